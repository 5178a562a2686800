"""Routers of REST framework: all that is registered on them, in one line."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_mount import DefinitionError

TAKEN_BODY = (
    "Categories.budget: it reads the body of its request by itself: declare its fields with "
    "schema={'budget': ...}"
)

OF_ENTRIES = ["create_entry", "delete_entry", "get_entry", "list_entries", "update_entry"]


def views() -> Any:
    from tests.mcp_mount_django.rest import views

    return views


@pytest.fixture
def router(database: None) -> Any:
    from rest_framework.routers import DefaultRouter

    one = DefaultRouter()
    one.register("categories", views().Categories)
    one.register("entries", views().Entries, basename="booking")
    return one


def test_all_that_is_registered_becomes_tools(
    server: Any, route: Any, router: Any, call: Any
) -> None:
    from django.urls import include, path

    exposed = server.add_router(router)
    route(path("api/", include(router.urls)))
    assert {*OF_ENTRIES, "list_categories", "category_rename"} <= set(exposed.tools)
    assert exposed.left_out == {"POST /categories/{pk}/budget/": TAKEN_BODY}
    made = call("create_category", name="rent").structured
    assert call("get_category", pk=made["id"]).structured["name"] == "rent"
    assert call("list_entries").structured["count"] == 0


@pytest.mark.parametrize(
    "choice",
    [
        {"include": "entries"},
        {"include": ["booking"]},
        {"include": "entr*"},
        {"exclude": "categories"},
        {"include": "*", "exclude": ["category"]},
    ],
)
def test_some_are_chosen_by_prefix_or_basename(
    server: Any, router: Any, choice: dict[str, Any]
) -> None:
    assert sorted(server.add_router(router, **choice).tools) == OF_ENTRIES


OF_A_REGEX = r"orgs/(?P<org>[^/.]+)/[a-z]"


@pytest.mark.parametrize("word", [OF_A_REGEX, "orgs/*", "member"])
@pytest.mark.parametrize("option", ["include", "exclude", "names"])
def test_a_prefix_that_is_a_regex_matches_itself(
    server: Any, router: Any, option: str, word: str
) -> None:
    router.register(OF_A_REGEX, views().Categories, basename="member")
    given = {"names": {word: "user"}} if option == "names" else {option: word}
    tools = server.add_router(router, methods="get", **given).tools
    listed = {one for one in tools if one.startswith("list_")}
    assert (
        listed
        == {
            "include": {"list_categories"},
            "exclude": {"list_categories", "list_entries"},
            "names": {"list_categories", "list_entries", "list_users"},
        }[option]
    )


def test_tools_may_be_those_that_only_read(server: Any, router: Any) -> None:
    tools = server.add_router(router, methods="get", include="entries").tools
    assert sorted(tools) == ["get_entry", "list_entries"]


def test_put_is_a_tool_where_patch_is_not_chosen(server: Any, router: Any) -> None:
    assert server.add_router(router, methods="put", include="entries").tools == ["replace_entry"]


def test_objects_may_be_called_otherwise(server: Any, router: Any) -> None:
    tools = server.add_router(router, names={"entries": "posting"}, methods="get").tools
    assert {"list_postings", "get_posting", "list_categories"} <= set(tools)


def test_viewsets_of_one_model_are_called_by_their_basenames(server: Any, router: Any) -> None:
    router.register("closed", views().Categories, basename="closed-category")
    tools = server.add_router(router, methods="get").tools
    assert {"list_categories", "list_closed_categories", "get_closed_category"} <= set(tools)


def test_only_what_the_router_has_urls_for_becomes_a_tool(server: Any) -> None:
    from rest_framework.routers import Route, SimpleRouter

    class ReadOnly(SimpleRouter):
        routes = [  # noqa: RUF012
            Route(r"^{prefix}$", {"get": "list"}, "{basename}-list", False, {"suffix": "List"})
        ]

    router = ReadOnly()
    router.register("categories", views().Categories)
    assert server.add_router(router).tools == ["list_categories"]


def test_what_the_urls_of_a_nested_router_capture_are_arguments(
    server: Any, route: Any, call: Any
) -> None:
    from django.urls import include, path
    from rest_framework.routers import SimpleRouter
    from rest_framework_nested.routers import NestedSimpleRouter

    from tests.mcp_mount_django.ledger.models import Category, Entry, Member

    class OfCategory(views().Entries):  # type: ignore[misc]
        def get_queryset(self) -> Any:
            return super().get_queryset().filter(category=self.kwargs["category_pk"])

    router = SimpleRouter()
    router.register("categories", views().Categories)
    inner = NestedSimpleRouter(router, "categories", lookup="category")
    inner.register("entries", OfCategory)
    plain = SimpleRouter()
    plain.register(r"of/(?P<category_pk>[^/.]+)/entries", OfCategory, basename="of")
    route(path("api/", include(inner.urls)), path("plain/", include(plain.urls)))
    server.add_router(inner, methods="get")
    server.add_router(plain, methods="get", names={"of": "booking"})
    rent, food = (Category.objects.create(name=name) for name in ("rent", "food"))
    entry = Entry.objects.create(
        member=Member.objects.create_user("x@example.org"), category=rent, amount=1
    )
    for listed, one in (("list_entries", "get_entry"), ("list_bookings", "get_booking")):
        assert call(listed, category_pk=rent.pk).structured["count"] == 1
        assert call(listed, category_pk=food.pk).structured["count"] == 0
        assert call(one, category_pk=rent.pk, pk=entry.pk).structured["id"] == entry.pk


def test_policies_hold_for_each_tool_of_a_router(
    server: Any, router: Any, call: Any, ada: Any
) -> None:
    from mcp_mount.testing import RPCError

    server.add_router(router, methods="get", permission="ledger.view_entry")
    with pytest.raises(RPCError, match="Unknown tool"):
        call("list_categories", ada)
    ada.is_superuser = True
    ada.save()
    assert not call("list_categories", ada).is_error


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"include": "entry"}, "include= matches nothing on the router: 'entry'; did you mean"),
        ({"exclude": "x*"}, "exclude= matches nothing on the router: 'x*'"),
        ({"names": {"entry": "x"}}, "names= matches nothing on the router: 'entry'"),
        (
            {"names": {("entries", "x"): "x"}},
            "names= matches nothing on the router: ('entries', 'x')",
        ),
        ({"include": [1]}, "include is a name, or a list of names, not [1]"),
        ({"methods": "fetch"}, "methods= names no method that a tool can have: 'fetch'"),
        ({"exclude": "*"}, "exclude= leaves nothing of the router"),
        ({"includes": "x"}, "add_router has no option 'includes'; did you mean 'include'?"),
        (
            {"names": {"entries": "category"}},
            "the objects of 'categories' and 'entries' would both be called 'category'",
        ),
    ],
)
def test_words_that_match_nothing_on_a_router_are_refused(
    server: Any, router: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        server.add_router(router, **options)
    assert words in str(caught.value)
    assert not server.registry.tools


@pytest.mark.parametrize("case", ["empty", "urls", "viewset"])
def test_what_is_no_router_is_refused(server: Any, router: Any, case: str) -> None:
    from rest_framework.routers import SimpleRouter

    odd, words = {
        "empty": (SimpleRouter(), "nothing is registered on the router yet"),
        "urls": (router.urls, "add_router takes a router of REST framework"),
        "viewset": (views().Entries, "use add_viewset or add_api_view for views"),
    }[case]
    with pytest.raises(DefinitionError, match=words):
        server.add_router(odd)


def test_a_server_with_very_many_tools_is_warned_of_once(
    server: Any, router: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from rest_framework.routers import SimpleRouter

    for number in range(3):
        many = SimpleRouter()
        for one in range(40):
            many.register(f"c{number}-{one}", views().Categories, basename=f"c{number}-{one}")
        server.add_router(many, methods="post")
    assert caplog.text.count("models choose badly among so many") == 1
