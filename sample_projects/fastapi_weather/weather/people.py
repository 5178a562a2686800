"""People who have an account: their login page, and the session cookie."""

from html import escape
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from weather.database import connect, hashed

router = APIRouter(include_in_schema=False)


def current(request: Request) -> str | None:
    """Who is logged in."""
    return request.session.get("person")


def password_of(name: str) -> str | None:
    """The hash of a person's password: a new one ends the connections of their assistants."""
    with connect() as connection:
        row = connection.execute("SELECT password FROM person WHERE name = ?", (name,)).fetchone()
    return None if row is None else row["password"]


@router.get("/login", response_class=HTMLResponse)
def login_page() -> str:
    return _form()


@router.post("/login")
async def log_in(request: Request) -> Response:
    sent = parse_qs((await request.body()).decode("utf-8", "replace"))
    name, password = (sent.get(field, [""])[0] for field in ("name", "password"))
    if not await run_in_threadpool(_is_password, name, password):
        return HTMLResponse(_form("Wrong name or password"), 403)
    request.session["person"] = name
    return RedirectResponse(way_back(request.query_params.get("next", "")) or "/", 303)


@router.post("/logout")
def log_out(request: Request) -> Response:
    request.session.clear()
    return RedirectResponse("/", 303)


def way_back(path: str) -> str | None:
    """The path that the person wanted to see before the login, if it is one of this site.

    Anything else would let a link to the login page lead to another site: "//evil.example" and
    "/\\evil.example" are hosts for a browser, which also drops tabs and line ends.
    """
    is_own = path.startswith("/") and not path.startswith("//") and path.isprintable()
    return path if is_own and "\\" not in path else None


def _is_password(name: str, password: str) -> bool:
    known = password_of(name)
    return known is not None and hashed(password, known.partition("$")[0]) == known


def _form(problem: str = "") -> str:
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Log in</title><h1>Log in</h1>"
        f"<p role=alert>{escape(problem)}</p><form method=post>"
        "<p><label>Name <input name=name required></label>"
        "<p><label>Password <input name=password type=password required></label>"
        "<p><button>Log in</button></form></html>"
    )
