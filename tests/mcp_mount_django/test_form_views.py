"""Views of forms as tools: what they refuse is a failure; when they are done, they redirect."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.mcp_mount_django.clients import client

pytestmark = pytest.mark.usefixtures("database")

URLS = "urls_of_forms"


@pytest.fixture
def server() -> Iterator[Any]:
    from django.http import HttpResponse
    from django.test import override_settings
    from django.urls import include, path

    from mcp_mount_django import MCPServer
    from mcp_mount_django.servers import servers

    one = MCPServer("forms")
    done = path("done/", lambda request: HttpResponse("done"), name="done")
    urls = SimpleNamespace(urlpatterns=[path("forms", include(one.urls)), done])
    sys.modules[URLS] = urls  # type: ignore[assignment]
    with override_settings(ROOT_URLCONF=URLS):
        yield one
    servers.discard(one)
    del sys.modules[URLS]


def call(tool: str, **arguments: Any) -> Any:
    with client("/forms") as one:
        return one.call_tool(tool, arguments)


SCHEMA = {"properties": {"name": {}, "number": {}}}

PAGE = "<h1>New</h1><p>Write a name.</p>{{ form.as_p }}"


def engine(request: Any, form: Any, status: int = 200) -> Any:
    """What `render` answers: a plain response, which does not know its form."""
    from django.http import HttpResponse
    from django.template import Context, Engine

    page = Engine().from_string(PAGE).render(Context({"form": form}))
    return HttpResponse(page, status=status)


def category_form() -> Any:
    from django.forms import CharField, Form, IntegerField

    class CategoryForm(Form):
        name = CharField(max_length=5)
        number = IntegerField(min_value=1, required=False)

        def clean(self) -> dict[str, Any]:
            if self.cleaned_data.get("name") == "no":
                self.add_error(None, "Not this one.")
            return self.cleaned_data

    return CategoryForm


def class_view() -> Any:
    from django.template.response import TemplateResponse
    from django.views.generic import FormView

    class Create(FormView):  # type: ignore[type-arg]
        form_class = category_form()
        success_url = "/done/"

        def render_to_response(self, context: Any, **options: Any) -> Any:
            from django.template import Engine
            from django.template.backends.django import Template

            backend: Any = SimpleNamespace(engine=Engine())
            return TemplateResponse(
                self.request, Template(Engine().from_string(PAGE), backend), context
            )

    return Create.as_view()


def function_view(request: Any) -> Any:
    from django.shortcuts import redirect

    form = category_form()(request.POST)
    return redirect("/done/") if form.is_valid() else engine(request, form)


VIEWS = {"class": class_view, "function": lambda: function_view}


@pytest.mark.parametrize("kind", VIEWS)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "This field is required."),
        ("no", "Not this one."),
        ("longer", "Ensure this value has at most 5 characters (it has 6)."),
    ],
)
def test_a_form_that_is_refused_is_a_failure_with_its_errors(
    server: Any, kind: str, name: str, words: str
) -> None:
    server.add_view(VIEWS[kind](), SCHEMA, name="create", method="POST", redirects=True)
    result = call("create", name=name)
    field = "name: " if kind == "class" and name != "no" else ""
    assert (result.is_error, result.text) == (True, field + words)


def test_a_view_of_djangos_that_redirects_has_done_its_work(server: Any) -> None:
    server.add_view(class_view(), SCHEMA, name="create", method="POST")
    result = call("create", name="rent")
    assert (result.is_error, result.text) == (False, "Done; see /done/")


def test_a_redirect_of_another_view_is_a_success_where_that_is_said(server: Any) -> None:
    server.add_view(function_view, SCHEMA, name="create", method="POST")
    server.add_view(function_view, SCHEMA, name="create_too", method="POST", redirects=True)
    assert call("create", name="rent").is_error
    assert call("create_too", name="rent").text == "Done; see /done/"


def test_a_page_that_is_asked_for_is_no_failure(server: Any) -> None:
    server.add_view(lambda request: engine(request, category_form()({})), name="page")
    assert not call("page").is_error


FEEDBACK = "<div class='invalid-feedback{}'>Choose <b>a name</b>.</div>"

NOT_SHOWN = {
    "empty": "<input class='is-invalid'><div class='invalid-feedback'> </div>",
    "for the browser": "<input class='form-control' required>" + FEEDBACK.format(""),
    "of another control": "<p><input class='is-invalid'></p><p><input>" + FEEDBACK.format(""),
    "hidden": "<input class='is-invalid'>" + FEEDBACK.format("' hidden='hidden"),
    "hidden by a class": "<input class='is-invalid'>" + FEEDBACK.format(" d-none"),
    "in what is hidden": f"<div style='display: none'>{FEEDBACK.format(' d-block')}</div>",
    "a hidden list": "<ul class='errorlist' style='display:none'><li>Choose a name.</ul>",
    "code": "<ul class='errorlist'><script>let i = 1</script><style>li {}</style></ul>",
    "a template": "<template><ul class='errorlist'><li>Choose a name.</ul></template>",
}

SHOWN = {
    "behind a control": "<input class='form-control is-invalid'><br>" + FEEDBACK.format(""),
    "behind a group": "<div class='is-invalid'><input></div>" + FEEDBACK.format(""),
    "by a class": "<input>" + FEEDBACK.format(" d-block"),
    "by its style": "<input>" + FEEDBACK.format("' style='display:block"),
    "a list": "<ul class='errorlist'><li>Choose <b>a name</b>.</li></ul>",
    "items without an end": "<ul class='errorlist'><li>Choose <b>a name</b>.</ul><p>Fine",
    "a list with code": "<ul class='errorlist'><script>1</script><li>Choose <b>a name</b>.</ul>",
    "odd markup before": "<![foo[x]]><ul class='errorlist'><li>Choose <b>a name</b>.</li></ul>",
    "odd markup behind": "<ul class='errorlist'><li>Choose <b>a name</b>.</ul><![foo[x]]>",
}


@pytest.mark.parametrize("case", NOT_SHOWN)
def test_a_message_that_the_page_does_not_show_is_no_error(server: Any, case: str) -> None:
    from django.http import HttpResponse

    view = lambda request: HttpResponse(f"<p>Saved</p>{NOT_SHOWN[case]}<p>Next</p>")  # noqa: E731
    server.add_view(view, SCHEMA, name="create", method="POST")
    assert not call("create").is_error


@pytest.mark.parametrize("case", SHOWN)
def test_a_message_that_the_page_shows_is_an_error(server: Any, case: str) -> None:
    from django.http import HttpResponse

    view = lambda request: HttpResponse(f"<p>New</p>{SHOWN[case]}<p>Next</p>")  # noqa: E731
    server.add_view(view, SCHEMA, name="create", method="POST")
    result = call("create")
    assert (result.is_error, result.text) == (True, "Choose a name .")


@pytest.mark.parametrize("end", ["</li>", ""])
def test_each_item_of_a_list_of_errors_is_a_line(server: Any, end: str) -> None:
    from django.http import HttpResponse

    inner = f"<ul class='errorlist'><li>Too long{end}<li>Too odd{end}</ul>"
    page = f"<ul class='errorlist'><li>No name{end}<li>number {inner}{end}<li>Late{end}</ul>"
    server.add_view(lambda request: HttpResponse(page), SCHEMA, name="create", method="POST")
    assert call("create").text.splitlines() == ["No name", "number Too long", "Too odd", "Late"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_json_without_a_body_is_refused_at_once(server: Any, method: str) -> None:
    from mcp_mount import DefinitionError

    with pytest.raises(DefinitionError, match=f"as_json=True sends a body, and {method} has"):
        server.add_view(function_view, SCHEMA, name="create", method=method, as_json=True)
    assert not server.registry.tools


@pytest.mark.parametrize("kind", ["model", "schema"])
@pytest.mark.parametrize("is_async", [False, True])
def test_an_argument_may_be_called_request(server: Any, kind: str, is_async: bool) -> None:
    from django.http import JsonResponse
    from pydantic import create_model

    def view(request: Any) -> Any:
        return JsonResponse({"name": request.GET["request"], "by": request.user.username})

    async def view_async(request: Any) -> Any:
        return view(request)

    schema: Any = create_model("Of", request=(str, ...))
    if kind == "schema":
        schema = {"properties": {"request": {"type": "string"}}}
    server.add_view(view_async if is_async else view, schema, name="show")
    assert call("show", request="x").structured == {"name": "x", "by": ""}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "properties",
    [
        {"nested": {"type": "object"}},
        {"nested": {"type": "array", "items": {"type": "object"}}},
        {"nested": {"anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}]}},
    ],
)
def test_objects_in_a_form_or_a_query_are_refused_at_once(
    server: Any, method: str, properties: dict[str, Any]
) -> None:
    from mcp_mount import DefinitionError

    schema = {"properties": properties, "$defs": {"Inner": {"type": "object"}}}
    with pytest.raises(DefinitionError, match="'nested' is an object, which neither a form nor a"):
        server.add_view(function_view, schema, name="create", method=method)
    assert not server.registry.tools


def test_objects_are_sent_as_json_where_it_is_asked_for(server: Any) -> None:
    import json

    from django.http import JsonResponse
    from pydantic import BaseModel

    class Inner(BaseModel):
        z: int

    class Outer(BaseModel):
        nested: Inner

    def view(request: Any) -> Any:
        return JsonResponse(json.loads(request.body))

    server.add_view(view, Outer, name="create", method="POST", as_json=True)
    assert call("create", nested={"z": 1}).structured == {"nested": {"z": 1}}


def test_an_object_that_no_schema_tells_is_refused_when_it_comes(server: Any) -> None:
    server.add_view(function_view, SCHEMA, name="create", method="POST", redirects=True)
    result = call("create", name={"nested": {"z": 1}})
    words = "name: the form of function_view can carry only single values and lists of them"
    assert (result.is_error, result.text) == (True, words)


def test_a_view_has_its_own_path_and_match(server: Any) -> None:
    from django.http import JsonResponse
    from django.urls import path

    def view(request: Any, number: int) -> Any:
        match = request.resolver_match
        return JsonResponse({"path": request.path, "name": match.url_name, "number": number})

    sys.modules[URLS].urlpatterns.append(path("entries/<int:number>/", view, name="entry"))
    server.add_view(view, SCHEMA, url="number")
    found = call("view", number=3).structured
    assert found == {"path": "/entries/3/", "name": "entry", "number": 3}
