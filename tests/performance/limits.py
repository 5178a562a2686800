"""How much one call to a tool may take on each host: function calls, and instructions.

A limit on `ours` is what our code took when it was written down, with about one call in twenty to
spare; it does not depend on the version of Python or of a framework. A limit on `others` is for
what frameworks and the standard library do on top of the same request without mcp-mount: a wrapper
of a request that we make them build, an event loop, a lock. It has a quarter to spare, because
their versions differ. One on `instructions` is a ratio, with a tenth to spare: to an application
that is written by hand, answers the same and checks nothing; in and beside Flask and Django, to a
JSON view. It finds what happens in C: a validator that is made anew, a larger copy, a regular
expression. `make test` counts function calls, `make test-system` counts instructions.

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
        *(24, 5, 1.18),
        "A direct call: one walk over the headers, one over the body, a look whether the tool is "
        "still that of the headers, the tool, one reply.",
    ),
    "alone, session": Limit(
        *(29, 5, 1.16),
        "A direct call, which also looks up the session that its header names.",
    ),
    "alone, plain function": Limit(
        *(43, 55, None),
        "A direct call on a thread of the pool, and what wakes the loop up again.",
    ),
    "alone, context and throttle": Limit(
        *(164, 115, 6.81),
        "The long way: headers and message as objects, admission, a call with its channel to the "
        "client, the flow of the throttle around it, the reply in general.",
    ),
    "alone, WSGI": Limit(
        *(38, 5, 1.26),
        "A direct call: one walk over the environment, one over the body, the tool, one reply.",
    ),
    "alone, WSGI, coroutine": Limit(
        *(136, 130, None),
        "The long way on the thread of the request; the tool on the background loop, while the "
        "thread waits. How often either finds the other waiting varies by eight calls.",
    ),
    "in Starlette": Limit(
        *(20, 20, 1.26),
        "A direct call in front of the application, which has nothing in between.",
    ),
    "in FastAPI": Limit(
        *(20, 35, 1.84),
        "A direct call in front of the application, after FastAPI's own __call__.",
    ),
    "in Flask": Limit(
        *(38, -20, 1.10),
        "Flask's dispatch as for a view, then a direct call. It leaves out what JSON costs a view.",
    ),
    "beside Flask": Limit(
        *(42, 25, 0.24),
        "A direct call in front of the application, with an application context for the tool and a "
        "request context that is made when the tool looks at it.",
    ),
    "in Django": Limit(
        *(51, 10, 1.26),
        "Django's dispatch as for a view, then a direct call, with the server's authentication and "
        "the check that the project's middleware may run where it does.",
    ),
    "in Django, ASGI": Limit(
        *(149, 65, None),
        "Django's dispatch as for a view, then the long way on the loop.",
    ),
    "beside Django": Limit(
        *(35, 90, 0.47),
        "A direct call in front of the project, with Django's signals around it, which care for "
        "connections to databases.",
    ),
}
