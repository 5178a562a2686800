"""Endpoints that an OpenAPI document describes: of Django Ninja, and of drf-spectacular."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mcp_mount_django.rest.test_viewsets import views


@pytest.fixture
def api(database: None) -> Any:
    """An API of Django Ninja, with everything that a tool may be asked for."""
    from tests.mcp_mount_django.rest.shop import make_api

    return make_api()


@pytest.fixture
def exposed(server: Any, api: Any, route: Any) -> Any:
    from django.urls import path

    server.expose(api, tags="orders")
    route(path("api/v1/", api.urls))
    return server


def test_routes_of_django_ninja_become_tools(exposed: Any, arguments_of: Any) -> None:
    assert sorted(exposed.registry.tools) == [
        "add_items",
        "file",
        "get_order",
        "latest",
        "list_orders",
        "rename_order",
        "whoami",
    ]
    assert [*arguments_of("list_orders")] == ["open", "sku"]
    assert [*arguments_of("add_items")] == ["number", "body"]
    description = exposed.registry.tools["list_orders"].members["description"]
    assert description == "The orders of the shop."


def test_routes_of_django_ninja_are_called(exposed: Any, call: Any) -> None:
    order = {"number": 1, "items": [{"sku": "TEA", "count": 0}]}
    assert call("list_orders", open=False, sku="TEA").structured == {"result": [order]}
    items = [{"sku": "TEA", "count": 2}]
    assert call("add_items", number=3, body=items).structured == {"number": 3, "items": items}
    assert call("rename_order", number=3, name="x").structured == {"number": 3, "name": "x"}
    assert call("file", where="a/b").structured == {"where": "a/b"}


def test_what_django_ninja_refuses_is_told(exposed: Any, call: Any) -> None:
    refused = call("get_order", name="7")
    assert (refused.is_error, refused.text) == (True, "no order 7")
    no_url = call("add_items", number="x", body=[])
    assert no_url.text == "The project has no URL /api/v1/orders/x/items"
    assert "sku" in call("add_items", number=1, body=[{}]).text


def test_django_ninja_knows_the_caller(exposed: Any, call: Any, ada: Any) -> None:
    assert call("whoami").is_error
    assert call("whoami", ada).structured == {"email": "ada@example.org"}


def test_an_argument_cannot_lead_to_another_route(exposed: Any, call: Any) -> None:
    result = call("get_order", name="latest")
    assert result.is_error
    assert "lead to another endpoint, GET /api/v1/orders/latest" in result.text


def test_only_what_is_marked_becomes_a_tool_by_default(server: Any, api: Any) -> None:
    assert server.expose(api).tools == ["rename_order"]


def test_an_api_without_urls_says_so(server: Any, api: Any, call: Any) -> None:
    server.expose(api, operations="latest")
    assert call("latest").text == "The API 'shop' is not in the project's URLs"


def test_the_document_of_drf_spectacular(
    server: Any, route: Any, call: Any, arguments_of: Any
) -> None:
    from django.test import override_settings
    from django.urls import include, path
    from drf_spectacular.generators import SchemaGenerator
    from rest_framework.routers import SimpleRouter

    from tests.mcp_mount_django.ledger.models import Category

    router = SimpleRouter()
    router.register("categories", views().Categories)
    route(path("api/", include(router.urls)))
    own = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
    with override_settings(REST_FRAMEWORK=own):
        document = SchemaGenerator().get_schema(request=None, public=True)
    done = server.expose(document, paths="/api/categories/*", methods=["get", "post"])
    assert "api_categories_retrieve" in done.tools
    one = Category.objects.create(name="rent")
    found = call("api_categories_retrieve", id=one.pk).structured
    assert found == {"id": one.pk, "name": "rent"}
    assert [*arguments_of("api_categories_create")] == ["name"]
    assert call("api_categories_create", name="food").structured["name"] == "food"


@pytest.mark.parametrize(
    ("api", "words"),
    [
        (
            {"swagger": "2.0", "paths": {}},
            r"is of Swagger 2\.0, .*with add_viewset and add_api",
        ),
        ({}, "the document has no paths"),
        (object(), "not object; use add_viewset, add_api_view or add_view for views"),
    ],
)
def test_what_is_no_document_is_refused(server: Any, api: Any, words: str) -> None:
    from mcp_mount import DefinitionError

    with pytest.raises(DefinitionError, match=words):
        server.expose(api)


def test_a_misspelt_policy_of_expose_is_refused(server: Any) -> None:
    from mcp_mount import DefinitionError

    with pytest.raises(DefinitionError, match="expose has no option 'permision'"):
        server.expose({"openapi": "3.1.0", "paths": {}}, permision="x")
