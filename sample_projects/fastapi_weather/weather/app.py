"""The FastAPI application: its own API and page, and the MCP server mounted in it."""

import os
from html import escape

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse
from starlette.middleware.sessions import SessionMiddleware

from mcp_mount_fastapi import mount
from weather import people, tools
from weather.tools import Station, server

api = FastAPI(title="Weather")
# For the sample only: a real project keeps its key out of the repository.
api.add_middleware(
    SessionMiddleware, secret_key=os.environ.get("WEATHER_SECRET_KEY", "sample-key-of-the-weather")
)
api.include_router(people.router)


@api.get("/", response_class=HTMLResponse, include_in_schema=False)
def page(request: Request) -> str:
    person = people.current(request)
    account = (
        "<p><a href=login>Log in</a></p>"
        if person is None
        else f"<form method=post action=logout>Hello, {escape(person)}. <button>Log out</button>"
        "</form><p><a href=mcp/assistants/>Your connected assistants</a></p>"
    )
    rows = "".join(f"<li>{escape(one.city)} ({escape(one.code)})</li>" for one in tools.stations())
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Weather</title>"
        f"<h1>Weather stations</h1>{account}<ul>{rows}</ul>"
        "<p>API: <a href=docs>docs</a>. Assistants: <code>/mcp</code>.</p></html>"
    )


@api.get("/stations")
def list_stations() -> list[Station]:
    return tools.stations()


@api.get("/stations/{code}")
def get_station(code: str) -> Station:
    for station in tools.stations():
        if station.code == code:
            return station
    raise HTTPException(404, "There is no such station")


mount(api, "/mcp", server)
