"""The methods of a server that make tools of what the project has already."""

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
from mcp_mount_django.exposing.forms import tool_of_form
from mcp_mount_django.exposing.openapi_methods import ExposeDocumentsMixin
from mcp_mount_django.exposing.queries import ModelQuery, tools_of
from mcp_mount_django.exposing.rest_methods import ExposeRESTMixin
from mcp_mount_django.exposing.views import tool_of_view

Q = TypeVar("Q", bound=type[ModelQuery])


class ExposeMixin(ExposeRESTMixin, ExposeDocumentsMixin):
    """Models, views, forms, endpoints of REST framework and others, and templates, as tools and
    pages.
    """

    def register(self, query: Q) -> Q:
        """Let callers query a model: the decorator of a `ModelQuery`.

        Args:
            query: The class.

        Returns:
            The same class.

        Raises:
            DefinitionError: For fields and lookups that the model does not have, and for names of
                tools that are taken.
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

        It is called with a request of the same caller (user, session, language), decorators and
        all; the middleware that the MCP request has passed is not passed again. JSON becomes
        structured content, text and HTML text, anything else a file; a status from 400 on, a
        redirect to the login, Http404 and PermissionDenied a failure that the model can read, and
        so is the page of a form that the view did not take.

        Args:
            view: The view.
            schema: Its arguments, as a pydantic model or a JSON Schema (the `schema` extra).
            name: Of the tool, by default of the view.
            method: Of the request; GET and DELETE carry the arguments in the query, others in a
                form.
            url: The arguments that its URL captures.
            as_json: Whether the others are sent as JSON.
            redirects: Whether a redirect is a success: by default of Django's own views of forms,
                which redirect when they are done.
            options: Those of a tool.

        Raises:
            DefinitionError: For words that match nothing, and for objects where the arguments are
                sent as a form or a query.
        """
        method = method.upper()
        name = str(name or getattr(view, "__name__", ""))
        function, own = tool_of_view(
            view,
            schema,
            method=method,
            url=several_names(url),
            as_json=as_json,
            redirects=redirects,
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
        """Make a tool of a form or a ModelForm: its fields are the arguments, it validates them.

        What is left out has the value that its page would show. What the form finds wrong is told
        to the model, field by field.

        Args:
            form: The class of the form.
            name: Of the tool; by default "create_…" or "update_…" with the name of the model, or
                the name of the form.
            update: Whether it changes a row that there is, by its key `pk`, and creates none.
            handle: What is done with the valid form, in place of its `save()`: a function of the
                request and the form, whose value is the result.
            form_kwargs: What the form is made with besides: a function of the request.
            queryset: The rows that a caller may change: a function of the request.
            exclude: Fields that are no arguments.
            title: Of the tool, for people.
            description: Of the tool; by default the docstring of the form.
            annotations: Hints of the tool.
            policies: Those of a tool. For a ModelForm `permission` is by default Django's
                permission to add or to change the model; None for everybody.

        Raises:
            DefinitionError: For a form that cannot be a tool.
        """
        function, own = tool_of_form(
            form,
            update=update,
            handle=handle,
            form_kwargs=form_kwargs,
            queryset=queryset,
            exclude=several_names(exclude),
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
        """Register a page that is one of the project's templates, rendered at each request.

        Args:
            uri: Of the page, such as "ui://orders".
            template: The name of the template.
            context: For the template, or a function of the request that gives it.
            options: Those of `page`.
        """

        def render(request: HttpRequest) -> str:
            given = context(request) if callable(context) else context
            return render_to_string(template, dict(given or {}), request)

        options.setdefault("name", uri.removeprefix("ui://"))
        self.page(uri, **options)(render)
