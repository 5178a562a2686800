"""The service's tools."""

import asyncio
from typing import Annotated

from pydantic import BaseModel, Field

from mcp_mount import Cache, Context, MCPServer, ToolError, ToolsRouter
from weather.database import connect

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


def _mean(code: str) -> float:
    with connect() as connection:
        query = "SELECT round(avg(temperature), 1) FROM observation WHERE station = ?"
        mean = connection.execute(query, (code,)).fetchone()[0]
    if mean is None:
        raise ToolError(f"There is no station {code!r}.")
    return mean


server = MCPServer("weather", instructions="Observations of four weather stations.", log_calls=True)
server.include_router(tools)
