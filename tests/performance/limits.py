"""How much one call to a tool may take on each host: function calls, and instructions.

A limit on `ours` is what our code took when it was written down, with about one call in twenty to
spare; it does not depend on the version of Python or of a framework. A limit on `others` is for
what frameworks and the standard library do on top of the same request without mcp-mount: a wrapper
of a request that we make them build, an event loop, a lock. It has a quarter to spare, because
their versions differ. One on `instructions` is a ratio, with a tenth to spare: to an application
that is written by hand, answers the same and checks nothing; in and beside Flask and Django, to a
JSON view; of a chat, to a call of a tool on the same host, of which it may take one and a half. It
finds what happens in C: a validator that is made anew, a larger copy, a regular expression. `make
test` counts function calls, `make test-system` counts instructions.

A count above its limit is a change to look at, not a mistake: `python -m tests.performance.counting
"in Flask"` lists the functions, and `python -m tests.performance.instructions` prints the ratios.
Raise the limit in the same change if the call now does something that a user or the specification
asks for and that cannot be decided when the server is made, and say in `reason` what it is. Lower
it when a call has become cheaper; a test says when it is a quarter above the count.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """The most that one call to a tool may take.

    Attributes:
        ours: Function calls in mcp-mount.
        others: Function calls outside of it, on top of the same request without mcp-mount.
        instructions: Instructions of the processor, in those of what `COUNTED` in instructions.py
            names; None where threads wait for one another, which varies.
        reason: What they are for.
    """

    ours: int
    others: int
    instructions: float | None
    reason: str


LIMITS = {
    "alone": Limit(
        ours=15,
        others=5,
        instructions=1.06,
        reason=(
            "A direct call: one walk over the headers, one over the body, a look whether the "
            "tool is still that of the headers, the tool, one reply."
        ),
    ),
    "alone, session": Limit(
        ours=21,
        others=5,
        instructions=1.07,
        reason=("A direct call, which also looks up the session that its header names."),
    ),
    "alone, plain function": Limit(
        ours=33,
        others=55,
        instructions=None,
        reason=("A direct call on a thread of the pool, and what wakes the loop up again."),
    ),
    "alone, context and throttle": Limit(
        ours=162,
        others=115,
        instructions=6.76,
        reason=(
            "The long way: headers and message as objects, admission, a call with its channel "
            "to the client, the flow of the throttle around it, the reply in general."
        ),
    ),
    "alone, WSGI": Limit(
        ours=32,
        others=5,
        instructions=1.20,
        reason=(
            "A direct call: one walk over the environment, one over the body, the tool, one reply."
        ),
    ),
    "alone, WSGI, coroutine": Limit(
        ours=131,
        others=130,
        instructions=None,
        reason=(
            "The long way on the thread of the request; the tool on the background loop, "
            "while the thread waits. How often either finds the other waiting varies by eight "
            "calls."
        ),
    ),
    "alone, chat": Limit(
        ours=37,
        others=8,
        instructions=1.5,
        reason=(
            "A direct chat: one walk over headers, one pass over the body, the model, one reply."
        ),
    ),
    "alone, chat, plain function": Limit(
        ours=50,
        others=55,
        instructions=None,
        reason=("A direct chat on a thread of the pool, and what wakes the loop up again."),
    ),
    "alone, WSGI, chat": Limit(
        ours=37,
        others=14,
        instructions=1.47,
        reason=("A direct chat on the thread of the request."),
    ),
    "in Starlette": Limit(
        ours=15,
        others=15,
        instructions=1.13,
        reason=("A direct call in front of the application, which has nothing in between."),
    ),
    "in FastAPI": Limit(
        ours=15,
        others=30,
        instructions=1.70,
        reason=("A direct call in front of the application, after FastAPI's own __call__."),
    ),
    "in FastAPI, chat": Limit(
        ours=33,
        others=40,
        instructions=1.36,
        reason=("A direct chat in front of the application, after FastAPI's own __call__."),
    ),
    "in Flask": Limit(
        ours=34,
        others=-20,
        instructions=1.10,
        reason=(
            "Flask's dispatch as for a view, then a direct call. It leaves out what JSON "
            "costs a view."
        ),
    ),
    "in Flask, chat": Limit(
        ours=46,
        others=-5,
        instructions=1.18,
        reason=("Flask's dispatch as for a view, then a direct chat."),
    ),
    "beside Flask": Limit(
        ours=37,
        others=25,
        instructions=0.23,
        reason=(
            "A direct call in front of the application, with an application context for the "
            "tool and a request context that is made when the tool looks at it."
        ),
    ),
    "beside Flask, chat": Limit(
        ours=48,
        others=30,
        instructions=1.43,
        reason=("A direct chat in front of the application, otherwise as a call."),
    ),
    "beside Flask, ASGI": Limit(
        ours=34,
        others=20,
        instructions=None,
        reason=(
            "A direct call in front of the application, with an application context for the "
            "tool and a request context that is made when the tool looks at it."
        ),
    ),
    "in Django": Limit(
        ours=46,
        others=10,
        instructions=1.25,
        reason=(
            "Django's dispatch as for a view, then a direct call, with the server's "
            "authentication and the check that the project's middleware may run where it "
            "does."
        ),
    ),
    "in Django, chat": Limit(
        ours=64,
        others=20,
        instructions=1.19,
        reason=("Django's dispatch as for a view, then a direct chat."),
    ),
    "in Django, ASGI": Limit(
        ours=146,
        others=65,
        instructions=None,
        reason=("Django's dispatch as for a view, then the long way on the loop."),
    ),
    "beside Django": Limit(
        ours=35,
        others=90,
        instructions=0.47,
        reason=(
            "A direct call in front of the project, with Django's signals around it, which "
            "care for connections to databases."
        ),
    ),
    "beside Django, chat": Limit(
        ours=52,
        others=100,
        instructions=1.24,
        reason=("A direct chat in front of the project, otherwise as a call."),
    ),
}


@dataclass(frozen=True)
class PieceLimit:
    """The most that one piece of a streamed answer may take.

    Attributes:
        ours: Function calls in mcp-mount.
        others: Function calls outside of it.
        reason: What they are for.
    """

    ours: float
    others: float
    reason: str


PIECE_LIMITS = {
    "async": PieceLimit(
        ours=14, others=1, reason="The piece as a delta, added to the answer, and as an event."
    ),
    "async, each waits": PieceLimit(
        ours=44,
        others=30,
        reason="Besides, the reader is woken up, sends the event and waits again.",
    ),
    "sync": PieceLimit(
        ours=14,
        others=2,
        reason="As async; the loop is woken up once for all that has come meanwhile.",
    ),
    "sync, each waits": PieceLimit(
        ours=37, others=40, reason="Besides, the loop is woken up from the thread."
    ),
    "sync, WSGI": PieceLimit(
        ours=15, others=3, reason="As sync; every 5 ms the thread sends what there is."
    ),
}
