"""Request contexts that are made when something asks for them.

A request context costs 24 µs: a request, a session, which is signed, and a match with all rules. A
server in front of an application needs none for a tool without Flask in it. What is always there
is the application context, whose teardown functions end the sessions of databases.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final

import flask.globals
from flask import Flask, request_tearing_down
from flask import Request as FlaskRequest
from flask.ctx import AppContext, RequestContext
from flask.sessions import SecureCookieSessionInterface

from mcp_mount.transports.environs import Environ

_app_variable: Final = getattr(flask.globals, "_cv_app", None)
_request_variable: Final = getattr(flask.globals, "_cv_request", None)

_IS_KNOWN: Final = isinstance(_app_variable, ContextVar) and isinstance(
    _request_variable, ContextVar
)
"""Whether Flask keeps its contexts as in versions 2.3 to 3.1: two, each in a variable."""


def can_be_lazy(app: Flask) -> bool:
    """Whether nobody can tell a request context that is made lazily from one that is made at once.

    That is so if nothing happens when it is made and when it ends: there are no functions to call
    at its end, and Flask's own functions make it, with a session that lives in the cookie.

    Args:
        app: The application.
    """
    kind = type(app)
    return (
        _IS_KNOWN
        and not app.teardown_request_funcs
        and not request_tearing_down.receivers
        and type(app.session_interface) is SecureCookieSessionInterface
        and app.request_class is FlaskRequest
        and kind.request_context is Flask.request_context
        and "request_context" not in vars(app)
        and kind.create_url_adapter is Flask.create_url_adapter
        and kind.do_teardown_request is Flask.do_teardown_request
    )


class LazyRequestContext(RequestContext):
    """A request context that is made at the first look at it, and is an ordinary one from then on.

    Args:
        app: The application.
        environ: Makes the WSGI environment of the request.
        app_context: The application context that it is pushed in.
    """

    def __init__(self, app: Flask, environ: Callable[[], Environ], app_context: AppContext) -> None:
        # Not the base class's: it would make the request. What is missing is asked of __getattr__.
        self.app = app
        self.lazy = _Lazy(environ, app_context)

    def __getattr__(self, name: str) -> Any:
        if name == "lazy" or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(name)
        self.lazy.make(self)
        return getattr(self, name)

    def copy(self) -> RequestContext:
        self.lazy.make(self)
        return self.copy()


class _Lazy:
    """How a request context is made lazily.

    Attributes:
        app_context: The application context that it is pushed in.
        pushed: As `RequestContext` notes that it was pushed: what resets Flask's variable, and the
            application context that ends with it, if one does.
    """

    __slots__ = ("_environ", "_lock", "app_context", "pushed")

    def __init__(self, environ: Callable[[], Environ], app_context: AppContext) -> None:
        self._environ = environ
        self._lock = threading.RLock()
        self.app_context = app_context
        self.pushed: tuple[Token[Any], AppContext | None] | None = None

    def make(self, context: RequestContext) -> None:
        """Make an ordinary context of a lazy one, which has been pushed once.

        The handler may have threads that look at it at a time, so it is made as another object,
        whose parts are handed over in one step.

        Args:
            context: The context.
        """
        assert _app_variable is not None
        assert _request_variable is not None
        with self._lock:
            if type(context) is not LazyRequestContext:
                return
            in_app = _app_variable.set(self.app_context)
            in_request = _request_variable.set(context)
            try:
                made = RequestContext(context.app, self._environ())
                made.push()
            finally:
                # Also what `push` has set.
                _request_variable.reset(in_request)
                _app_variable.reset(in_app)
            error = made.request.routing_exception
            if error is not None:
                # No route is at the path of the server. What was raised holds the frames that have
                # asked for the request, which would hold it: locals of the handler would stay
                # until the garbage collector runs.
                error.__traceback__ = error.__context__ = None
            vars(made)["_cv_tokens"] = [self.pushed]
            vars(context).update(vars(made))
            context.__class__ = RequestContext  # type: ignore[assignment]


class lazy_request:
    """Run what is within in an application context, and a request context that is made lazily.

    Args:
        app: The application, for which `can_be_lazy`.
        environ: Makes the WSGI environment of the request.
    """

    __slots__ = ("_app", "_context", "_environ", "_pushed")

    def __init__(self, app: Flask, environ: Callable[[], Environ]) -> None:
        self._app = app
        self._environ = environ

    def __enter__(self) -> None:
        assert _app_variable is not None
        assert _request_variable is not None
        # As RequestContext.push: it takes an application context that there is already.
        current = _app_variable.get(None)
        own = None
        if current is None or current.app is not self._app:
            current = own = self._app.app_context()
            own.push()
        self._context = LazyRequestContext(self._app, self._environ, current)
        token = _request_variable.set(self._context)
        self._pushed = self._context.lazy.pushed = (token, own)

    def __exit__(
        self, kind: type | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        context = self._context
        if type(context) is not LazyRequestContext or not can_be_lazy(self._app):
            # It was made, or is made for what the handler has added to its end.
            context.pop(error)
            return
        assert _request_variable is not None
        token, own = self._pushed
        try:
            _request_variable.reset(token)
        finally:
            if own is not None:
                own.pop(error)
