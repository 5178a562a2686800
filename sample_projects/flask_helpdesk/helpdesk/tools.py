"""The helpdesk's tools."""

import sqlite3
from dataclasses import dataclass
from typing import Annotated, Literal

from flask import current_app, session
from pydantic import Field

from helpdesk.database import connect, connection
from mcp_mount import SyncContext, ToolError
from mcp_mount.auth import SignIn
from mcp_mount_flask import MCPMount


def password_of(name: str) -> str | None:
    """The hash of a person's password: a new one ends the connections of their assistants."""
    row = connection().execute("SELECT password FROM person WHERE name = ?", (name,)).fetchone()
    return None if row is None else row["password"]


mcp = MCPMount(
    path="/mcp",
    name="helpdesk",
    display_name="The helpdesk",
    instructions="The tickets of the IT helpdesk.",
    auth=SignIn(
        scopes={"tickets:answer": "Answer tickets in your name"},
        user=lambda: session.get("person"),
        login="/login",
        still_valid=password_of,
        store=connect,
    ),
    # Everything else is open to assistants without an account; the lists show the tools for those
    # who sign in as well, so that assistants know that they can ask to.
    auth_required=False,
    list_step_up=True,
)

Status = Literal["open", "waiting", "closed"]
Priority = Annotated[int, Field(ge=1, le=5, description="1 is the most urgent")]


@dataclass
class Ticket:
    id: int
    title: str
    status: Status
    priority: int
    opened_at: str


def _ticket(row: sqlite3.Row) -> Ticket:
    return Ticket(row["id"], row["title"], row["status"], row["priority"], row["opened_at"])


@mcp.tool(annotations={"readOnlyHint": True})
def list_tickets(status: Status | None = None) -> list[Ticket]:
    """List tickets, the most urgent first.

    :param status: only tickets in this state
    """
    rows = connection().execute(
        "SELECT * FROM ticket WHERE ?1 IS NULL OR status = ?1 ORDER BY priority, id", (status,)
    )
    return [_ticket(row) for row in rows]


@mcp.tool
def open_ticket(title: str, body: str = "", priority: Priority = 3) -> Ticket:
    """Open a ticket."""
    with connection() as database:
        row = database.execute(
            "INSERT INTO ticket (title, body, priority) VALUES (?, ?, ?) RETURNING *",
            (title, body, priority),
        ).fetchone()
    current_app.logger.info("Ticket %s was opened by an assistant", row["id"])
    return _ticket(row)


@mcp.tool
def comment(ticket: int, body: str, close: bool = False) -> Ticket:
    """Write a comment to a ticket, and close it if that settles it."""
    with connection() as database:
        row = database.execute("SELECT * FROM ticket WHERE id = ?", (ticket,)).fetchone()
        if row is None:
            raise ToolError(f"There is no ticket {ticket}; list_tickets shows them.")
        database.execute("INSERT INTO comment (ticket_id, body) VALUES (?, ?)", (ticket, body))
        if close:
            database.execute("UPDATE ticket SET status = 'closed' WHERE id = ?", (ticket,))
        row = database.execute("SELECT * FROM ticket WHERE id = ?", (ticket,)).fetchone()
    return _ticket(row)


@mcp.tool(annotations={"destructiveHint": False}, scopes="tickets:answer")
def answer(ticket: int, body: str, ctx: SyncContext) -> Ticket:
    """Answer a ticket in the name of the person who has signed in; it waits for a reply then."""
    with connection() as database:
        row = database.execute(
            "UPDATE ticket SET status = 'waiting' WHERE id = ? RETURNING *", (ticket,)
        ).fetchone()
        if row is None:
            raise ToolError(f"There is no ticket {ticket}; list_tickets shows them.")
        words = f"{ctx.access_token.subject}: {body}"
        database.execute("INSERT INTO comment (ticket_id, body) VALUES (?, ?)", (ticket, words))
    return _ticket(row)


@mcp.prompt
def triage() -> str:
    """Go through the open tickets."""
    return "List the open tickets, group those with one cause, and say which to solve first."
