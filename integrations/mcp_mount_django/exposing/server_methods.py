"""The methods of a server that make tools of what the project already has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from django.db.models import QuerySet
from django.forms import BaseForm
from django.http import HttpRequest
from django.template.loader import render_to_string
from pydantic import BaseModel
from typing_extensions import Unpack

from mcp_mount.openapi.bodies import response_limit
from mcp_mount.policies.options import PolicyOptions
from mcp_mount.routes.options import PageOptions, ToolOptions
from mcp_mount.schemas.names import several_names
from mcp_mount.schemas.values import flag, or_none
from mcp_mount_django.exposing.forms import tool_of_form
from mcp_mount_django.exposing.openapi_methods import ExposeDocumentsMixin
from mcp_mount_django.exposing.queries import ModelQuery, tools_of
from mcp_mount_django.exposing.rest_methods import ExposeRESTMixin
from mcp_mount_django.exposing.views import tool_of_view

Q = TypeVar("Q", bound=type[ModelQuery])


class ExposeMixin(ExposeRESTMixin, ExposeDocumentsMixin):
    """Expose models, views, forms, endpoints and templates as tools and pages."""

    def register(self, query: Q) -> Q:
        """Let callers query a model: a decorator for subclasses of `ModelQuery`.

        Args:
            query: The class.

        Returns:
            The same class.

        Raises:
            DefinitionError: If the model does not have a field or lookup, or a name is taken.
        """
        self.add_tools(tools_of(query()))
        return query

    def add_view(
        self,
        view: Callable[..., Any],
        schema: type[BaseModel] | Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        method: str = "GET",
        url: str | Sequence[str] = (),
        as_json: bool = False,
        redirects: bool | None = None,
        **options: Unpack[ToolOptions],
    ) -> None:
        """Make a tool of a view: a function, or what `as_view` returns, coroutine or not.

        The view gets a request by the same caller (user, session, language), and its decorators
        apply. Middleware does not run again. JSON becomes structured content, text and HTML become
        text, anything else a file. A status of 400 or more, a redirect to the login, Http404,
        PermissionDenied, and the page of a rejected form are failures that the model can read.

        Args:
            view: The view.
            schema: Its arguments, as a pydantic model or a JSON Schema (the `schema` extra).
            name: The name of the tool. The default is the name of the view.
            method: The HTTP method. GET and DELETE send the arguments in the query string, others
                in a form.
            url: The arguments that its URL captures.
            as_json: Whether to send the other arguments as JSON.
            redirects: Whether a redirect is a success. By default it is for Django's own form
                views, which redirect when they are done.
            options: The options of a tool.

        Raises:
            DefinitionError: If a value matches nothing, or an argument is an object and not sent as
                JSON.
        """
        method = method.upper()
        name = str(name or getattr(view, "__name__", ""))
        function, own = tool_of_view(
            view,
            schema,
            method=method,
            url=several_names("url", url),
            as_json=flag("as_json", as_json),
            redirects=or_none(flag)("redirects", redirects),
            limit=partial(response_limit, self, name),
        )
        inner = getattr(view, "view_class", view)
        given: dict[str, Any] = {
            "name": name,
            "description": inner.__doc__,
            "annotations": {"readOnlyHint": method in ("GET", "HEAD")},
        }
        self.add_tool(function, **{**given, **own, **options})

    def add_form(
        self,
        form: type[BaseForm],
        *,
        name: str | None = None,
        update: bool = False,
        handle: Callable[[HttpRequest, Any], Any] | None = None,
        form_kwargs: Callable[[HttpRequest], Mapping[str, Any]] | None = None,
        queryset: Callable[[HttpRequest], QuerySet[Any]] | None = None,
        exclude: str | Sequence[str] = (),
        title: str | None = None,
        description: str | None = None,
        annotations: Any = None,
        **policies: Unpack[PolicyOptions],
    ) -> None:
        """Make a tool of a Form or ModelForm. Its fields are the arguments, and it validates them.

        Arguments that are left out have the value that its page would show. The model reads the
        errors of each field.

        Args:
            form: The class of the form.
            name: The name of the tool. The default is "create_…" or "update_…" with the name of the
                model, or the name of the form.
            update: Whether it changes an existing row, by its key `pk`, instead of creating one.
            handle: A function of the request and the valid form that replaces `save()`. Its value
                is the result.
            form_kwargs: A function of the request that returns further arguments of the form.
            queryset: A function of the request that returns the rows that a caller may change.
            exclude: Fields that are not arguments.
            title: The title of the tool, for users.
            description: The description of the tool. The default is the docstring of the form.
            annotations: Hints for clients.
            policies: Policies of the tool. For a ModelForm, `permission` is by default Django's
                permission to add or change the model; None makes the tool public.

        Raises:
            DefinitionError: If the form cannot be a tool, or an argument has an invalid value.
        """
        function, own = tool_of_form(
            form,
            update=flag("update", update),
            handle=handle,
            form_kwargs=form_kwargs,
            queryset=queryset,
            exclude=several_names("exclude", exclude),
        )
        given = {
            "name": name,
            "title": title,
            "description": description,
            "annotations": annotations,
        }
        chosen = {key: value for key, value in given.items() if value is not None}
        self.add_tool(function, **{**own, **chosen, **policies})

    def add_template_page(
        self,
        uri: str,
        template: str,
        *,
        context: Mapping[str, Any] | Callable[[HttpRequest], Mapping[str, Any]] | None = None,
        **options: Unpack[PageOptions],
    ) -> None:
        """Register a page that is one of the project's templates, rendered for each request.

        Args:
            uri: The URI of the page, such as "ui://orders".
            template: The name of the template.
            context: The context of the template, or a function of the request that returns it.
            options: The options of `page`.
        """

        def render(request: HttpRequest) -> str:
            given = context(request) if callable(context) else context
            return render_to_string(template, dict(given or {}), request)

        options.setdefault("name", uri.removeprefix("ui://"))
        self.page(uri, **options)(render)
