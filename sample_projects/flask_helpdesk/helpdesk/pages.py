"""The pages that a person opens."""

from flask import Blueprint, flash, redirect, render_template, request, session, url_for
from werkzeug.security import check_password_hash
from werkzeug.wrappers import Response

from helpdesk.database import connection

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def tickets() -> str | Response:
    if "person" not in session:
        return redirect(url_for("pages.login"))
    rows = connection().execute("SELECT * FROM ticket ORDER BY status DESC, priority").fetchall()
    return render_template("tickets.html", tickets=rows)


@blueprint.route("/login", methods=["GET", "POST"])
def login() -> str | Response:
    if request.method == "POST":
        person = (
            connection()
            .execute("SELECT * FROM person WHERE name = ?", (request.form["name"],))
            .fetchone()
        )
        if person and check_password_hash(person["password"], request.form["password"]):
            session["person"] = person["name"]
            return redirect(way_back() or url_for("pages.tickets"))
        flash("Wrong name or password")
    return render_template("login.html")


def way_back() -> str | None:
    """The path that the person wanted to see before the login, if it is one of this site.

    Anything else would let a link to the login page lead to another site: "//evil.example" and
    "/\\evil.example" are hosts for a browser, which also drops tabs and line ends.
    """
    path = request.args.get("next", "")
    is_own = path.startswith("/") and not path.startswith("//") and path.isprintable()
    return path if is_own and "\\" not in path else None


@blueprint.post("/logout")
def logout() -> Response:
    session.clear()
    return redirect(url_for("pages.login"))
