"""The service's tools."""

import asyncio
import os
from typing import Annotated

from pydantic import BaseModel, Field

from mcp_mount import Cache, Context, MCPServer, SyncContext, ToolError, ToolsRouter
from mcp_mount.auth import SignIn
from weather.database import connect, open_database
from weather.people import current, password_of

tools = ToolsRouter(throttle="300/minute", timeout=10)

Code = Annotated[str, Field(description="A station's code; stations lists them")]


class Station(BaseModel):
    code: str
    city: str
    latitude: float
    longitude: float


class Weather(BaseModel):
    city: str
    hour: int
    temperature: float = Field(description="In degrees Celsius")
    humidity: int = Field(description="In per cent")


@tools.tool(annotations={"readOnlyHint": True})
def stations() -> list[Station]:
    """List the weather stations."""
    with connect() as connection:
        return [Station(**row) for row in connection.execute("SELECT * FROM station")]


@tools.tool(annotations={"readOnlyHint": True}, cache=Cache(60, per="everyone"))
def weather(station: Code, hour: Annotated[int, Field(ge=0, le=23)] = 12) -> Weather:
    """Tell the weather at a station at an hour of the day."""
    with connect() as connection:
        row = connection.execute(
            "SELECT city, hour, temperature, humidity FROM observation"
            " JOIN station ON code = station WHERE station = ? AND hour = ?",
            (station, hour),
        ).fetchone()
    if row is None:
        raise ToolError(f"There is no station {station!r}.")
    return Weather(**row)


@tools.tool(annotations={"readOnlyHint": True})
async def compare(codes: list[Code], ctx: Context) -> dict[str, float]:
    """Give the mean temperature of several stations; tells its progress."""
    means: dict[str, float] = {}
    for done, code in enumerate(codes, 1):
        means[code] = await asyncio.to_thread(_mean, code)
        await ctx.report_progress(done, len(codes), code)
    return means


@tools.tool(annotations={"readOnlyHint": True}, scopes="stations:read")
def my_stations(ctx: SyncContext) -> list[Station]:
    """List the stations that the person who has signed in has kept."""
    with connect() as connection:
        rows = connection.execute(
            "SELECT station.* FROM station JOIN kept ON code = station WHERE person = ?",
            (ctx.access_token.subject,),
        )
        return [Station(**row) for row in rows]


@tools.tool(annotations={"destructiveHint": False}, scopes="stations:keep")
def keep_station(station: Code, ctx: SyncContext) -> str:
    """Keep a station for the person who has signed in."""
    with connect() as connection:
        if not connection.execute("SELECT 1 FROM station WHERE code = ?", (station,)).fetchone():
            raise ToolError(f"There is no station {station!r}.")
        connection.execute(
            "INSERT OR IGNORE INTO kept VALUES (?, ?)", (ctx.access_token.subject, station)
        )
    return f"{station} is kept."


def _mean(code: str) -> float:
    with connect() as connection:
        query = "SELECT round(avg(temperature), 1) FROM observation WHERE station = ?"
        mean = connection.execute(query, (code,)).fetchone()[0]
    if mean is None:
        raise ToolError(f"There is no station {code!r}.")
    return mean


server = MCPServer(
    "weather",
    display_name="The weather service",
    instructions="Observations of four weather stations.",
    log_calls=True,
    auth=SignIn(
        scopes={"stations:read": "See your stations", "stations:keep": "Keep stations for you"},
        user=current,
        login="/login",
        still_valid=password_of,
        store=open_database,
    ),
    # The weather is for everybody; the lists show the tools for those who sign in as well, so that
    # assistants know that they can ask to.
    auth_required=False,
    list_step_up=True,
    # What it seals for assistants is good after a restart, and in other workers.
    secret_key=os.environ.get("WEATHER_SECRET_KEY", "sample-key-of-the-weather"),
)
server.include_router(tools)
