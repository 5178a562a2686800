"""Models that callers may query: fields, filters, search, order, pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from mcp_mount import DefinitionError
from mcp_mount.testing import RPCError
from tests.mcp_mount_django.clients import client, client_of

pytestmark = pytest.mark.usefixtures("database", "own_servers")


@pytest.fixture
def entries(ada: Any, bob: Any) -> None:
    """Five entries of Ada, one of Bob."""
    from tests.mcp_mount_django.ledger.models import Category, Entry

    food = Category.objects.create(name="Food & drink")
    for amount, note in ((10, "bread"), (20, "cheese"), (30, "bread and cheese"), (40, "")):
        Entry.objects.create(member=ada, amount=amount, note=note, category=food)
    Entry.objects.create(member=ada, amount=50, kind="fee")
    Entry.objects.create(member=bob, amount=60, note="bread")


def found(member: Any, **arguments: Any) -> list[float]:
    with client_of(member) as own:
        result = own.call_tool("find_entries", arguments)
    assert not result.is_error, result.text
    return [float(one["amount"]) for one in result.data["items"]]


@pytest.mark.parametrize(
    ("arguments", "amounts"),
    [
        ({}, [10, 20, 30]),
        ({"page": 2}, [40, 50]),
        ({"page": 9}, []),
        ({"order_by": "-amount"}, [50, 40, 30]),
        ({"search": "bread"}, [10, 30]),
        ({"search": "cheese bread"}, [30]),
        ({"search": "food", "amount__gte": "35"}, [40]),
        ({"kind": "fee"}, [50]),
        ({"amount__gte": 20, "amount__lt": 40}, [20, 30]),
        ({"category__isnull": True}, [50]),
        ({"category__name__icontains": "DRINK", "amount__lt": 20}, [10]),
        ({"made_at__year": 1999}, []),
        ({"pk__in": []}, []),
    ],
)
def test_rows_are_found(
    ada: Any, entries: None, arguments: dict[str, Any], amounts: list[float]
) -> None:
    assert found(ada, **arguments) == amounts


def test_a_caller_sees_their_own_rows(bob: Any, entries: None) -> None:
    assert found(bob) == [60]


def test_pages_are_counted(ada: Any, entries: None) -> None:
    with client_of(ada) as own:
        page = own.call_tool("find_entries", {"page": 2}).data
    assert (page["total"], page["page"], page["pages"]) == (5, 2, 2)
    assert list(page["items"][0]) == ["pk", "kind", "amount", "note", "category__name", "made_at"]


def test_a_row_is_got_by_its_key(ada: Any, bob: Any, entries: None) -> None:
    from tests.mcp_mount_django.ledger.models import Entry

    mine = Entry.objects.get(amount=20).pk
    with client_of(ada) as own:
        assert own.call_tool("get_entry", {"pk": mine}).data["note"] == "cheese"
    with client_of(bob) as own:
        assert own.call_tool("get_entry", {"pk": mine}).text == f"There is no entry {mine}."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "bribe"}, "kind: Input should be 'deposit' or 'fee'"),
        ({"order_by": "member__password"}, "order_by: Input should be"),
        ({"page": 0}, "page: Input should be greater than or equal to 1"),
        ({"member": 1}, "member: unknown argument"),
        ({"amount__gte": "much"}, "amount__gte"),
        ({"pk__in": [10**30]}, "pk__in.0: Input should be less than or equal to"),
    ],
)
def test_what_does_not_fit_is_told(ada: Any, arguments: dict[str, Any], words: str) -> None:
    with client_of(ada) as own:
        result = own.call_tool("find_entries", arguments)
    assert result.is_error
    assert words in result.text


def test_the_schema_is_that_of_the_model(ada: Any) -> None:
    with client_of(ada) as own:
        tools = {tool["name"]: tool for tool in own.list_tools()}
    find = tools["find_entries"]
    assert find["description"] == "Find the caller's entries."
    assert find["annotations"] == {"readOnlyHint": True}
    assert find["inputSchema"]["properties"]["kind"] == {
        "anyOf": [{"enum": ["deposit", "fee"], "type": "string"}, {"type": "null"}],
        "default": None,
        "description": "kind: deposit, fee",
    }
    row = find["outputSchema"]["$defs"]["Entry"]["properties"]
    assert row["amount"]["description"] == "In euros"
    assert row["category__name"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert tools["get_entry"]["inputSchema"]["required"] == ["pk"]


def test_by_default_a_model_needs_its_view_permission(ada: Any) -> None:
    from django.contrib.auth.models import Permission

    from mcp_mount.wire.rules import HasPermission
    from mcp_mount_django import MCPServer, ModelQuery
    from mcp_mount_django.servers import servers
    from tests.mcp_mount_django.ledger.models import Category

    class Categories(ModelQuery):
        model = Category
        fields = ("name",)
        detail = False

    server = MCPServer("categories")
    server.register(Categories)
    try:
        [tool] = server.registry.tools.values()
        assert (tool.name, tool.rules) == (
            "find_categories",
            (HasPermission("ledger.view_category"),),
        )
        assert tool.members["description"] == "Find categories."
        assert Permission.objects.filter(codename="view_category").exists()
    finally:
        servers.discard(server)


class Broken:
    """The attributes of queries that cannot work."""

    cases: ClassVar[dict[str, tuple[dict[str, Any], str]]] = {
        "no fields": ({"fields": ()}, "needs a model and fields"),
        "an unknown field": ({"fields": ("price",)}, "has no field 'price'"),
        "an unknown field of another": ({"fields": ("category__x",)}, "has no field"),
        "an unknown field of many": ({"fields": ("tags__x",)}, "has no field 'x'"),
        "an unknown lookup of many": ({"filters": ("tags__near",)}, "has no lookup 'near'"),
        "an order by many": ({"ordering": ("tags",)}, "leads to many rows"),
        "an annotation that cannot be": (
            {"annotations": {"twice": "price"}},
            "cannot be annotated with 'twice'",
        ),
        "a filter given twice": (
            {"filters": ("note", "note")},
            "the filter 'note' is given twice",
        ),
        "a reverse relation": ({"fields": ("member__entries",)}, "leads to many rows"),
        "an unknown lookup": ({"filters": ("amount__near",)}, "has no lookup 'near'"),
        "a costly lookup": ({"filters": ("note__regex",)}, "could overload the database"),
        "an unknown order": ({"ordering": ("price",)}, "has no field 'price'"),
        "a filter that is misspelt": (
            {"filter": ("amount",)},
            "has no option 'filter'; did you mean 'filters'?",
        ),
        "a guard that is misspelt": (
            {"permision": None},
            "has no option 'permision'; did you mean 'permission'?",
        ),
        "one name for several": ({"search": "note"}, "search must be a list of names, not 'note'"),
        "no page": ({"page_size": 0}, "page_size must be at least 1"),
    }


@pytest.mark.parametrize("case", Broken.cases)
def test_a_query_that_cannot_work_is_refused(case: str) -> None:
    from mcp_mount_django import MCPServer, ModelQuery
    from tests.mcp_mount_django.ledger.models import Entry

    attributes, words = Broken.cases[case]
    query = type("Query", (ModelQuery,), {"model": Entry, "fields": ("note",), **attributes})
    with pytest.raises(DefinitionError, match=words):
        MCPServer("broken").register(query)


def test_an_anonymous_caller_has_no_such_tool() -> None:
    with client() as own, pytest.raises(RPCError, match="Unknown tool"):
        own.call_tool("find_entries")


@pytest.fixture
def oddities() -> Iterator[Any]:
    """Three rows of a model with whatever fields there are, and what its query answers."""
    from django.db.models import Count
    from django.http import HttpRequest

    from mcp_mount.testing import Client
    from mcp_mount_django import MCPServer, ModelQuery
    from mcp_mount_django.servers import servers
    from tests.mcp_mount_django.ledger.models import Category, Oddity, Point

    tags = [Category.objects.create(name=name) for name in ("blue", "big", "old")]
    for number in range(3):
        one = Oddity.objects.create(
            page=number,
            search="x",
            request="r",
            order_by=number,
            model_config="m",
            copy="c",
            data=b"\xff\x00",
            where=Point(number, 2),
            level=number,
        )
        one.tags.set(tags[:number])

    class Oddities(ModelQuery):
        model = Oddity
        fields = (
            "page",
            "model_config",
            "copy",
            "data",
            "where",
            "level",
            "get_level_display",
            "tags",
            "tags__name",
            "doubled",
            "untyped",
            "tag_count",
        )
        annotations: ClassVar[dict[str, Any]] = {"tag_count": Count("tags")}
        filters = (
            "page",
            "search",
            "request",
            "order_by",
            "model_config",
            "tags",
            "tags__in",
            "tags__name__icontains",
            "tags__isnull",
            "tag_count__gte",
            "where",
            "level",
        )
        search = ("search",)
        ordering = ("tag_count",)
        permission = None

        def get_queryset(self, request: HttpRequest) -> Any:
            assert isinstance(request, HttpRequest)
            return super().get_queryset(request)

    server = MCPServer("odd")
    server.register(Oddities)
    with Client(server, headers={"host": "localhost"}) as own:
        yield own
    servers.discard(server)


def test_fields_of_all_kinds_have_a_form_in_json(oddities: Any) -> None:
    from tests.mcp_mount_django.ledger.models import Category, Oddity

    blue, big = (Category.objects.get(name=name).pk for name in ("blue", "big"))
    row = {
        "page": 2,
        "model_config": "m",
        "copy": "c",
        "data": "/wA=",
        "where": "2,2",
        "level": 2,
        "get_level_display": "High",
        "tags": [blue, big],
        "tags__name": ["blue", "big"],
        "doubled": 4,
        "untyped": {"where": "2,2"},
        "tag_count": 2,
    }
    [found] = oddities.call_tool("find_oddities", {"page__exact": 2}).structured["items"]
    assert found == row
    pk = Oddity.objects.get(page=2).pk
    assert oddities.call_tool("get_oddity", {"pk": pk}).structured == row


@pytest.mark.parametrize(
    ("arguments", "pages"),
    [
        ({}, [0, 1, 2]),
        ({"order_by": "-tag_count"}, [2, 1, 0]),
        ({"order_by__exact": 1}, [1]),
        ({"search": "x", "search__exact": "y"}, []),
        ({"request": "r", "model_config": "m"}, [0, 1, 2]),
        ({"page__exact": 1, "page": 1}, [1]),
        ({"tags__name__icontains": "b"}, [1, 2]),
        ({"tags__isnull": True}, [0]),
        ({"tag_count__gte": 2}, [2]),
        ({"where": "1,2"}, [1]),
        ({"level": 0}, [0]),
    ],
)
def test_filters_have_names_that_collide_with_none(
    oddities: Any, arguments: dict[str, Any], pages: list[int]
) -> None:
    page = oddities.call_tool("find_oddities", arguments).structured
    assert [one["page"] for one in page["items"]] == pages
    assert page["total"] == len(pages)


def test_rows_are_filtered_by_what_they_have_many_of(oddities: Any) -> None:
    from tests.mcp_mount_django.ledger.models import Category

    blue, big = (Category.objects.get(name=name).pk for name in ("blue", "big"))
    for arguments, pages in (({"tags": big}, [2]), ({"tags__in": [blue, big]}, [1, 2])):
        page = oddities.call_tool("find_oddities", arguments).structured
        assert [one["page"] for one in page["items"]] == pages
        assert page["total"] == len(pages)


def test_the_labels_of_choices_are_told(oddities: Any) -> None:
    tools = {tool["name"]: tool for tool in oddities.list_tools()}
    described = "level: 0 (Low), 1 (So so), 2 (High)"
    find = tools["find_oddities"]
    assert find["inputSchema"]["properties"]["level"]["description"] == described
    row = find["outputSchema"]["$defs"]["Oddity"]["properties"]
    assert row["level"]["description"] == described
    assert row["doubled"] == {
        "description": "Twice the page.",
        "type": "integer",
    }


def test_all_fields_are_shown_by_one_word() -> None:
    from mcp_mount_django import ModelQuery
    from mcp_mount_django.exposing.columns import Columns
    from tests.mcp_mount_django.ledger.models import Entry

    assert ModelQuery.permission == "view permission"
    shown = Columns(Entry, "__all__", {}).row_type.__annotations__
    assert list(shown) == [
        "id",
        "member",
        "category",
        "kind",
        "amount",
        "note",
        "made_at",
        "tags",
    ]


@pytest.mark.parametrize("language", ["en", "de", "zh-hans"])
def test_names_do_not_depend_on_the_language(language: str, own_servers: None) -> None:
    from django.contrib.auth.models import Group
    from django.test import override_settings
    from django.utils import translation

    from mcp_mount_django import MCPServer, ModelQuery

    class Groups(ModelQuery):
        model = Group
        fields = ("name",)

    server = MCPServer("groups")
    with override_settings(LANGUAGE_CODE=language), translation.override(language):
        server.register(Groups)
    assert list(server.registry.tools) == ["find_groups", "get_group"]
