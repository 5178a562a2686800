"""How many function calls one call to a tool may take, on each host.

A limit on `ours` is what our code took when it was written down, with about one call in twenty to
spare; it does not depend on the version of Python or of a framework. A limit on `others` is for
what frameworks and the standard library do on top of the same request without mcp-mount: a wrapper
of a request that we make them build, an event loop, a lock. It has a quarter to spare, because
their versions differ.

A count above its limit is a change to look at, not a mistake: `python -m tests.performance.counting
"in Flask"` lists the functions. Raise the limit in the same change if the call now does something
that a user or the specification asks for and that cannot be decided when the server is made, and
say in `reason` what it is. Lower it when a call has become cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """The most function calls of one call to a tool.

    Attributes:
        ours: In mcp-mount.
        others: Outside of it, on top of the same request without mcp-mount.
        reason: What they are for.
    """

    ours: int
    others: int
    reason: str


LIMITS = {
    "alone": Limit(
        *(22, 5),
        "A direct call: one walk over the headers, one over the body, the tool, one reply.",
    ),
    "alone, session": Limit(
        *(26, 5),
        "A direct call, which also looks up the session that its header names.",
    ),
    "alone, plain function": Limit(
        *(42, 50),
        "A direct call on a thread of the pool, and what wakes the loop up again.",
    ),
    "alone, context and throttle": Limit(
        *(162, 125),
        "The long way: headers and message as objects, admission, a call with its channel to the "
        "client, the flow of the throttle around it, the reply in general.",
    ),
    "alone, WSGI": Limit(
        *(35, 5),
        "A direct call: one walk over the environment, one over the body, the tool, one reply.",
    ),
    "alone, WSGI, coroutine": Limit(
        *(135, 135),
        "The long way on the thread of the request; the tool on the background loop, while the "
        "thread waits. How often either finds the other waiting varies by eight calls.",
    ),
    "in Starlette": Limit(
        *(18, 10),
        "A direct call in front of the application, which has nothing in between.",
    ),
    "in FastAPI": Limit(
        *(18, 30),
        "A direct call in front of the application, after FastAPI's own __call__.",
    ),
    "in Flask": Limit(
        *(35, 5),
        "Flask's dispatch as for a view, then a direct call. It leaves out what JSON costs a view.",
    ),
    "beside Flask": Limit(
        *(41, 17),
        "A direct call in front of the application, with an application context for the tool and a "
        "request context that is made when the tool looks at it.",
    ),
    "in Django": Limit(
        *(129, 160),
        "Django's dispatch as for a view, then the long way on the thread of the request, with the "
        "check that its middleware may run there.",
    ),
    "in Django, ASGI": Limit(
        *(173, 200),
        "Django's dispatch as for a view, then the long way on the loop.",
    ),
    "beside Django": Limit(
        *(137, 290),
        "The long way, with Django's signals around it, which care for connections to databases.",
    ),
}
