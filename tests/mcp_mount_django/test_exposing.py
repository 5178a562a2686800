"""Views and REST framework's endpoints as tools: what guards them, what limits them."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.mcp_mount_django.clients import client, client_of

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def server() -> Iterator[Any]:
    """A server at /exposed, beside what the test adds to its URLs."""
    from django.test import override_settings
    from django.urls import include, path

    from mcp_mount_django import MCPServer
    from mcp_mount_django.servers import servers

    one = MCPServer("exposed")
    urls = SimpleNamespace(urlpatterns=[path("exposed", include(one.urls))])
    sys.modules["urls_of_exposed"] = urls  # type: ignore[assignment]
    with override_settings(ROOT_URLCONF="urls_of_exposed"):
        yield one
    servers.discard(one)
    del sys.modules["urls_of_exposed"]


def route(pattern: Any) -> None:
    sys.modules["urls_of_exposed"].urlpatterns.append(pattern)


def call(tool: str, member: Any = None, **arguments: Any) -> Any:
    opened = client("/exposed") if member is None else client_of(member, path="/exposed")
    with opened as one:
        return one.call_tool(tool, arguments)


def schema(*names: str) -> dict[str, Any]:
    properties = {name: {"type": "string"} for name in names}
    return {"properties": properties, "additionalProperties": False}


SEGMENT = "must be one segment of a path, without '/'"
DOTS = "must not have '.' or '..' as a segment of a path"
CONTROL = "must not have control characters"


@pytest.mark.parametrize("routed", ["", "files/<str:name>", r"re:^(?P<name>[^/]+)$"])
@pytest.mark.parametrize(
    ("value", "words"),
    [("a/b", SEGMENT), ("", SEGMENT), ("..", DOTS), (".", DOTS), ("a\r\nb", CONTROL)],
)
def test_a_capture_is_one_that_its_url_could_have(
    server: Any, routed: str, value: str, words: str
) -> None:
    from django.http import HttpResponse
    from django.urls import path, re_path

    def file(request: Any, name: str) -> Any:
        return HttpResponse(name, content_type="text/plain")

    if routed:
        made = re_path(routed[3:], file) if routed.startswith("re:") else path(routed, file)
        route(made)
    server.add_view(file, schema("name"), url="name")
    refused = call("file", name=value)
    assert (refused.is_error, refused.text) == (True, f"name: {words}")
    assert call("file", name="a.b c").text == "a.b c"


@pytest.mark.parametrize("routed", ["files/<path:name>", r"re:^(?P<name>.+)$"])
def test_a_capture_of_several_segments_may_have_slashes(server: Any, routed: str) -> None:
    from django.http import HttpResponse
    from django.urls import include, path, re_path

    def file(request: Any, name: str) -> Any:
        return HttpResponse(name, content_type="text/plain")

    made = re_path(routed[3:], file) if routed.startswith("re:") else path(routed, file)
    route(path("below/", include(([made], "below"))))
    server.add_view(file, schema("name"), url=["name"])
    assert call("file", name="a/b").text == "a/b"
    assert call("file", name="a/../b").text == f"name: {DOTS}"


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(?:a|b)/(?P<name>\d+)/$",
        r"^(?P<name>\d+)/(\d+)/$",
    ],
    ids=["alternatives", "a group without a name"],
)
@pytest.mark.parametrize("namespace", ["api", None])
@pytest.mark.parametrize("name", ["item", None])
def test_a_view_whose_path_django_cannot_write_is_called(
    server: Any, pattern: str, namespace: str | None, name: str | None
) -> None:
    from django.http import HttpResponse
    from django.urls import include, re_path

    def item(request: Any, name: str) -> Any:
        return HttpResponse(name, content_type="text/plain")

    inner = [re_path(pattern, item, name=name)]
    below = include((inner, "api"), namespace=namespace) if namespace else include(inner)
    route(re_path("^api/", below))
    server.add_view(item, schema("name"), url="name")
    assert call("item", name="7").text == "7"
    assert "not accepted by the project's URL" in call("item", name="x").text


def test_a_key_of_a_viewset_is_one_segment(server: Any, ada: Any) -> None:
    from rest_framework.viewsets import ReadOnlyModelViewSet

    from tests.mcp_mount_django.ledger.models import Entry

    class Entries(ReadOnlyModelViewSet):  # type: ignore[type-arg]
        queryset = Entry.objects.all()
        serializer_class = serializer()

    server.add_viewset(Entries, actions="retrieve")
    assert call("get_entry", pk="1/2").text == f"pk: {SEGMENT}"
    assert call("get_entry", pk="..").text == f"pk: {DOTS}"


def serializer() -> Any:
    from rest_framework.serializers import ModelSerializer

    from tests.mcp_mount_django.ledger.models import Entry

    class EntrySerializer(ModelSerializer):  # type: ignore[type-arg]
        class Meta:
            model = Entry
            fields = ("id", "amount")

    return EntrySerializer


def _viewset(**options: Any) -> Callable[[Any], None]:
    def add(server: Any) -> None:
        from rest_framework.viewsets import ModelViewSet

        from tests.mcp_mount_django.ledger.models import Entry

        class Entries(ModelViewSet):  # type: ignore[type-arg]
            queryset = Entry.objects.all()
            serializer_class = serializer()

        server.add_viewset(Entries, **options)

    return add


def _api_view(**options: Any) -> Callable[[Any], None]:
    def add(server: Any) -> None:
        from rest_framework.views import APIView

        class Health(APIView):
            def get(self, request: Any) -> None: ...

        server.add_api_view(Health, name="health", **options)

    return add


def _view(**options: Any) -> Callable[[Any], None]:
    def view(request: Any) -> None: ...

    return lambda server: server.add_view(view, schema("name"), **options)


MISSPELT: dict[str, tuple[Callable[[Any], None], str]] = {
    "an action": (_viewset(actions=["lst"]), "Entries has no action 'lst'; did you mean 'list'?"),
    "one action": (_viewset(actions="lst"), "Entries has no action 'lst'; did you mean 'list'?"),
    "an option of a viewset": (
        _viewset(permision="x"),
        "add_viewset has no option 'permision'; did you mean 'permission'?",
    ),
    "a method": (_api_view(methods=["GTE"]), "Health has no method 'gte'; did you mean 'get'?"),
    "a method of a view": (
        _view(method="GTE"),
        "method= is not an HTTP method: 'GTE'; did you mea",
    ),
    "an argument of its URL": (
        _view(url=["nam"]),
        "view: the URL argument is not in the schema: 'nam'; did you mean 'name'?",
    ),
    "an option of a view": (
        _view(permision="x"),
        "a tool has no option 'permision'; did you mean 'permission'?",
    ),
}


@pytest.mark.parametrize("case", MISSPELT)
def test_a_word_that_matches_nothing_is_refused(server: Any, case: str) -> None:
    from mcp_mount import DefinitionError

    add, words = MISSPELT[case]
    with pytest.raises(DefinitionError) as caught:
        add(server)
    assert words in str(caught.value)
    assert not server.registry.tools


def test_all_actions_become_tools_or_none(server: Any) -> None:
    from mcp_mount import DefinitionError

    server.tool(name="delete_entry")(lambda: "mine")
    with pytest.raises(DefinitionError, match="the tool 'delete_entry' is already defined"):
        _viewset()(server)
    assert list(server.registry.tools) == ["delete_entry"]


@pytest.mark.parametrize("limit", [1_000_000, None])
@pytest.mark.parametrize("kind", ["plain", "async_answer", "async_view"])
def test_an_endless_answer_is_stopped_at_the_limit(
    server: Any, kind: str, limit: int | None
) -> None:
    from django.http import StreamingHttpResponse

    sent: list[str] = []

    def chunks() -> Iterator[bytes]:
        try:
            while True:
                sent.append("chunk")
                yield b"x" * 50_000
        finally:
            sent.append("closed")

    async def async_chunks() -> AsyncIterator[bytes]:
        for chunk in chunks():
            yield chunk

    def plain(request: Any) -> Any:
        return StreamingHttpResponse(chunks(), content_type="text/plain")

    def async_answer(request: Any) -> Any:
        return StreamingHttpResponse(async_chunks(), content_type="text/plain")

    async def async_view(request: Any) -> Any:
        return StreamingHttpResponse(async_chunks(), content_type="text/plain")

    views = {"plain": plain, "async_answer": async_answer, "async_view": async_view}
    options = {} if limit is None else {"max_result_bytes": limit}
    server.add_view(views[kind], name="endless", **options)
    result = call("endless")
    expected = limit or 4_194_304
    words = f"The answer has more than the {expected} bytes that may be sent. Ask for less."
    assert (result.is_error, result.text) == (True, words)
    assert len(sent) <= expected // 50_000 + 3


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_stream_that_ends_is_read_whole(server: Any, kind: str) -> None:
    from django.http import StreamingHttpResponse

    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    def plain(request: Any) -> Any:
        return StreamingHttpResponse([b"a", b"b"], content_type="text/plain")

    async def coroutine(request: Any) -> Any:
        return StreamingHttpResponse(chunks(), content_type="text/plain")

    server.add_view({"plain": plain, "coroutine": coroutine}[kind], name="both")
    assert call("both").text == "ab"


def test_the_guards_of_what_is_exposed_hold_for_its_tools(server: Any, ada: Any) -> None:
    from django.contrib.auth.decorators import login_required, permission_required
    from django.contrib.auth.mixins import LoginRequiredMixin
    from django.http import HttpResponse
    from django.views import View
    from django.views.decorators.http import require_POST
    from rest_framework.permissions import IsAuthenticated
    from rest_framework.response import Response
    from rest_framework.throttling import BaseThrottle
    from rest_framework.views import APIView

    class Never(BaseThrottle):
        def allow_request(self, request: Any, view: Any) -> bool:
            return False

    class Members(APIView):
        permission_classes = (IsAuthenticated,)

        def get(self, request: Any) -> Any:
            return Response("in")

    class Throttled(APIView):
        throttle_classes = (Never,)

        def get(self, request: Any) -> Any:
            return Response("in")

    class OfMixin(LoginRequiredMixin, View):
        def get(self, request: Any) -> Any:
            return HttpResponse("in", content_type="text/plain")

    def view(request: Any) -> Any:
        return HttpResponse("in", content_type="text/plain")

    server.add_view(login_required(view), name="logged_in")
    server.add_view(OfMixin.as_view(), name="of_mixin")
    permitted = permission_required("ledger.delete_entry", raise_exception=True)(view)
    server.add_view(permitted, name="permitted")
    server.add_view(require_POST(view), name="posted")
    server.add_api_view(Members, name="members")
    server.add_api_view(Throttled, name="throttled")
    for tool in ("logged_in", "of_mixin", "permitted", "posted", "get_members", "get_throttled"):
        assert (tool, call(tool).is_error) == (tool, True)
    assert call("logged_in").text == "Authentication required"
    assert call("get_members").text == "Authentication credentials were not provided."
    for tool in ("logged_in", "of_mixin", "get_members"):
        assert call(tool, ada).text == "in"
    for tool in ("permitted", "posted", "get_throttled"):
        assert call(tool, ada).is_error


def test_a_view_without_arguments_needs_no_schema_and_no_extra(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.http import JsonResponse

    def health(request: Any) -> Any:
        return JsonResponse({"open": True})

    # As if the `schema` extra were not installed.
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    server.add_view(health)
    assert call("health").structured == {"open": True}
    assert "unknown argument" in call("health", x=1).text


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_messages_of_a_view_are_for_the_model(server: Any, ada: Any, kind: str) -> None:
    from django.contrib import messages
    from django.http import HttpResponse, HttpResponseRedirect, JsonResponse

    def answer(request: Any, what: str) -> Any:
        messages.success(request, "Ordered.")
        messages.info(request, "Comes on Monday.")
        if what == "redirect":
            return HttpResponseRedirect("/orders/")
        if what == "failure":
            return HttpResponse("Sold out", status=409, content_type="text/plain")
        return JsonResponse({"a": 1}) if what == "data" else HttpResponse("")

    def plain(request: Any) -> Any:
        return answer(request, request.GET["what"])

    async def coroutine(request: Any) -> Any:
        return answer(request, request.GET["what"])

    view = {"plain": plain, "coroutine": coroutine}[kind]
    server.add_view(view, schema("what"), name="order", redirects=True)
    said = "Ordered.\nComes on Monday."
    assert call("order", what="redirect").text.endswith(f"\n{said}")
    assert call("order", what="failure").text == f"Sold out\n{said}"
    assert call("order", what="text").text == f"Done\n{said}"
    assert call("order", what="data").structured == {"a": 1}


def test_decorators_of_views_hold_for_tools(server: Any, ada: Any) -> None:
    from django.contrib.auth.decorators import login_required, permission_required
    from django.http import HttpRequest, JsonResponse

    @server.tool
    @login_required
    def plain(request: HttpRequest) -> str:
        return str(request.user.email)

    @server.tool
    @login_required
    async def coroutine(request: HttpRequest) -> str:
        return str((await request.auser()).email)

    @server.tool
    @permission_required("ledger.delete_entry", raise_exception=True)
    def permitted(request: HttpRequest) -> str:
        return "in"

    @server.tool
    def responds(request: HttpRequest) -> dict[str, int]:
        return JsonResponse({"a": 1})  # type: ignore[return-value]

    for tool in ("plain", "coroutine"):
        refused = call(tool)
        assert (refused.is_error, refused.text) == (True, "Authentication required")
        assert call(tool, ada).text == "ada@example.org"
    assert call("permitted", ada).is_error
    assert call("responds").structured == {"a": 1}


@pytest.mark.parametrize("kind", ["function", "decorated", "class"])
def test_a_view_that_needs_an_argument_of_its_url_is_refused_without_it(
    server: Any, kind: str
) -> None:
    from django.http import HttpResponse
    from django.views import View
    from django.views.decorators.http import require_POST

    from mcp_mount import DefinitionError

    def add_note(request: Any, order: int) -> Any:
        return HttpResponse(str(order), content_type="text/plain")

    class Note(View):
        def post(self, request: Any, order: int) -> Any:
            return add_note(request, order)

    made: Any = {"function": add_note, "decorated": require_POST(add_note), "class": Note.as_view()}
    words = (
        "takes 'order', which no argument of the tool gives: if its URL captures it, name it by "
        "url=['order']; if its path() or a decorator gives it, add a view that passes it on"
    )
    with pytest.raises(DefinitionError, match=re.escape(words)):
        server.add_view(made[kind], schema("order"), method="POST", name="note")
    server.add_view(made[kind], schema("order"), method="POST", name="note", url="order")
    assert call("note", order="5").text == "5"


def test_an_argument_that_a_decorator_gives_a_view_is_not_of_its_url(server: Any) -> None:
    from functools import wraps

    from django.http import HttpResponse

    def with_shop(view: Any) -> Any:
        @wraps(view)
        def wrapped(request: Any) -> Any:
            return view(request, "tea")

        return wrapped

    @with_shop
    def shown(request: Any, shop: str) -> Any:
        return HttpResponse(shop, content_type="text/plain")

    server.add_view(shown)
    assert call("shown").text == "tea"
