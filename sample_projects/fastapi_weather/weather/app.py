"""The FastAPI application: its own API and page, and the MCP server mounted in it."""

from html import escape

from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse

from mcp_mount_fastapi import mount
from weather import tools
from weather.tools import Station, server

api = FastAPI(title="Weather")


@api.get("/", response_class=HTMLResponse, include_in_schema=False)
def page() -> str:
    rows = "".join(f"<li>{escape(one.city)} ({escape(one.code)})</li>" for one in tools.stations())
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Weather</title>"
        f"<h1>Weather stations</h1><ul>{rows}</ul>"
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
