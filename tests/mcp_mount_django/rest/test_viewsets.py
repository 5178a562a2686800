"""Viewsets as REST framework's routers serve them: their actions, captures, names and texts."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from mcp_mount.testing.conversation import RPCError


def views() -> Any:
    from tests.mcp_mount_django.rest import views

    return views


@pytest.fixture
def rent(database: None) -> Any:
    from tests.mcp_mount_django.ledger.models import Category

    return Category.objects.create(name="rent")


def test_each_action_becomes_a_tool(server: Any) -> None:
    exposed = server.add_viewset(views().Categories, schema={"budget": {}})
    assert sorted(exposed.tools) == [
        "category_batch",
        "category_budget_get",
        "category_budget_post",
        "category_close",
        "category_drop_budget",
        "category_of_month",
        "category_rename",
        "category_totals",
        "create_category",
        "delete_category",
        "get_category",
        "list_categories",
        "update_category",
    ]
    assert exposed.left_out == {}


def test_a_method_of_an_action_is_called_by_that_method(server: Any, call: Any, rent: Any) -> None:
    name = {"properties": {"name": {"type": "string"}}}
    server.add_viewset(views().Categories, actions="budget", schema={"budget": name})
    assert sorted(server.registry.tools) == [
        "category_budget_get",
        "category_budget_post",
        "category_drop_budget",
    ]
    assert call("category_budget_get", pk="7").structured["method"] == "GET"
    assert call("category_budget_post", pk="7", name="x").structured == {
        "pk": "7",
        "method": "POST",
        "data": {"name": "x"},
    }
    assert call("category_drop_budget", pk="7").structured == {"dropped": "7"}


def test_one_mapped_method_may_be_chosen_by_its_own_name(server: Any) -> None:
    server.add_viewset(views().Categories, actions="drop_budget")
    assert "category_drop_budget" in server.registry.tools


def test_a_capture_in_the_path_of_an_action_is_an_argument(
    server: Any, call: Any, arguments_of: Any
) -> None:
    server.add_viewset(views().Categories, actions="of_month")
    assert list(arguments_of("category_of_month")) == ["pk", "month"]
    result = call("category_of_month", pk="1", month="2026-11")
    assert result.structured == {"pk": "1", "month": "2026-11"}


def test_an_action_that_reads_no_body_has_no_fields(server: Any, arguments_of: Any) -> None:
    server.add_viewset(views().Categories, actions="close")
    assert list(arguments_of("category_close")) == ["pk"]


def test_an_action_that_reads_its_body_by_itself_is_left_out(server: Any) -> None:
    exposed = server.add_viewset(views().Categories)
    assert exposed.left_out == {
        "POST /categories/{pk}/budget/": "Categories.budget: it reads the body of its request by "
        "itself: declare its fields with schema={'budget': ...}"
    }


def test_a_serializer_in_the_code_of_an_action_is_that_of_its_body(
    server: Any, call: Any, arguments_of: Any
) -> None:
    server.add_viewset(views().Categories, actions="rename")
    assert [*arguments_of("category_rename")] == ["pk", "new_name"]
    assert call("category_rename", pk=1, new_name="x").structured == {"new_name": "x"}


def test_an_action_that_takes_a_list_has_one_argument_for_it(
    server: Any, call: Any, arguments_of: Any
) -> None:
    server.add_viewset(views().Categories, actions="batch")
    assert arguments_of("category_batch")["body"]["items"]["required"] == ["name"]
    made = call("category_batch", body=[{"name": "x"}, {"name": "y"}])
    assert made.structured == {"made": ["x", "y"]}


def test_query_parameters_of_an_action_may_be_given(
    server: Any, call: Any, arguments_of: Any
) -> None:
    from pydantic import BaseModel

    class Year(BaseModel):
        year: int

    server.add_viewset(views().Categories, actions="totals", query={"totals": Year})
    assert arguments_of("category_totals")["year"]["type"] == "integer"
    assert call("category_totals", year=2026).structured == {"year": "2026"}


def test_the_body_of_an_action_may_be_given(server: Any, call: Any, arguments_of: Any) -> None:
    schema = {
        "properties": {"limit": {"$ref": "#/$defs/Money"}},
        "$defs": {"Money": {"type": "number"}},
    }
    server.add_viewset(views().Categories, actions="budget", schema={"budget": schema})
    result = call("category_budget_post", pk="1", limit=4.5)
    assert result.structured["data"] == {"limit": 4.5}


def _odd_schemas() -> dict[str, Any]:
    from rest_framework import serializers

    class Broken(serializers.Serializer):  # type: ignore[type-arg]
        def get_fields(self) -> Any:
            return {"of": self.context["request"].user}

    return {
        "no schema": (str, "str has no fields"),
        "a strange class": (type("Strange", (), {}), "Strange is neither a serializer nor a"),
        "an object": (object(), "takes a serializer class, a pydantic model, or a JSON Schema"),
        "bare fields": ({"limit": {"type": "number"}}, 'write them below {"properties": ...}'),
        "of a request": (Broken, "Broken cannot be made without a request (KeyError: 'request')"),
        "no fields": (serializers.BaseSerializer, "BaseSerializer has no fields"),
    }


@pytest.mark.parametrize("many", [False, True])
def test_the_body_of_an_action_may_be_a_serializer(
    server: Any, call: Any, arguments_of: Any, many: bool
) -> None:
    own = views().NameSerializer
    server.add_viewset(
        views().Categories, actions="budget", schema={"budget": own(many=True) if many else own}
    )
    given: dict[str, Any] = {"new_name": "x"}
    if many:
        given = {"body": [given]}
    assert [*arguments_of("category_budget_post")] == ["pk", *given]
    result = call("category_budget_post", pk="1", **given)
    assert result.structured["data"] == given.get("body", given)


def test_the_query_of_an_action_may_be_a_serializer(
    server: Any, call: Any, arguments_of: Any
) -> None:
    from rest_framework import serializers

    class Year(serializers.Serializer):  # type: ignore[type-arg]
        year = serializers.IntegerField(min_value=1)

    server.add_viewset(views().Categories, actions="totals", query={"totals": Year})
    assert arguments_of("category_totals")["year"]["minimum"] == 1
    assert call("category_totals", year=2026).structured == {"year": "2026"}


def test_a_serializer_for_a_change_needs_none_of_its_fields(server: Any) -> None:
    own = {"partial_update": views().CategorySerializer, "update": views().CategorySerializer}
    server.add_viewset(views().Categories, actions=[*own], schema=own)
    tools = server.registry.tools
    assert tools["update_category"].input_schema["required"] == ["pk"]
    assert tools["replace_category"].input_schema["required"] == ["pk", "name"]


@pytest.mark.parametrize(
    "case",
    ["no schema", "a strange class", "an object", "bare fields", "of a request", "no fields"],
)
@pytest.mark.parametrize("option", ["schema", "query"])
def test_what_is_no_schema_is_refused(server: Any, option: str, case: str) -> None:
    from mcp_mount import DefinitionError

    odd, words = _odd_schemas()[case]
    with pytest.raises(DefinitionError) as caught:
        server.add_viewset(views().Categories, **{option: {"budget": odd}})
    assert f"{option}={{'budget': ...}}: " in str(caught.value)
    assert words in str(caught.value)
    assert not server.registry.tools


@pytest.mark.parametrize("option", ["schema", "query"])
@pytest.mark.parametrize("key", [("create", "update"), 1, None])
def test_a_schema_is_for_one_action_or_method(server: Any, option: str, key: Any) -> None:
    from mcp_mount import DefinitionError

    with pytest.raises(DefinitionError, match="a key is the name of one action or method"):
        server.add_viewset(views().Categories, **{option: {key: views().CategorySerializer}})


def test_a_query_has_fields(server: Any) -> None:
    from mcp_mount import DefinitionError

    several = views().NameSerializer(many=True)
    with pytest.raises(DefinitionError, match="a query has fields, and this is of type 'array'"):
        server.add_viewset(views().Categories, query={"totals": several})


@pytest.mark.parametrize("schema", [{}, {"properties": {}}])
def test_an_action_may_be_said_to_have_no_body(
    server: Any, call: Any, arguments_of: Any, schema: dict[str, Any]
) -> None:
    server.add_viewset(views().Categories, actions="budget", schema={"budget": schema})
    assert [*arguments_of("category_budget_post")] == ["pk"]
    assert call("category_budget_post", pk="1").structured["data"] == {}


def test_a_table_for_an_action_that_is_not_there_is_refused(server: Any) -> None:
    from mcp_mount import DefinitionError

    with pytest.raises(DefinitionError, match="query= matches no endpoint: 'total'; did you mean"):
        server.add_viewset(views().Categories, query={"total": {}})
    assert not server.registry.tools


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ("list_categories", "List categories. Where money goes."),
        ("create_category", "Create a category. Where money goes."),
        ("get_category", "Get a category. Where money goes."),
        ("update_category", "Change a category. Where money goes."),
        ("delete_category", "Delete a category. Where money goes."),
        ("category_close", "Close a category for good."),
        ("category_totals", "Totals: an action on categories. Where money goes."),
    ],
)
def test_each_tool_says_what_it_does(server: Any, tool: str, text: str) -> None:
    server.add_viewset(views().Categories)
    assert server.registry.tools[tool].members["description"] == text


@pytest.mark.parametrize("language", ["en", "de"])
def test_names_are_those_of_the_model_in_every_language(server: Any, language: str) -> None:
    from django.contrib.auth.models import Permission
    from django.utils import translation
    from rest_framework.viewsets import ReadOnlyModelViewSet

    class Permissions(ReadOnlyModelViewSet):  # type: ignore[type-arg]
        queryset = Permission.objects.all()

    with translation.override(language):
        server.add_viewset(Permissions)
    assert list(server.registry.tools) == ["list_permissions", "get_permission"]


def test_methods_that_a_viewset_does_not_allow_are_no_tools(server: Any) -> None:
    class Some(views().Categories):  # type: ignore[misc]
        http_method_names = ("get", "put", "head")

    server.add_viewset(Some)
    assert "create_category" not in server.registry.tools
    assert "replace_category" in server.registry.tools
    assert "category_budget" in server.registry.tools


def test_put_is_a_tool_where_it_is_asked_for(server: Any, call: Any, rent: Any) -> None:
    server.add_viewset(views().Categories, actions=["update", "partial_update"])
    assert call("replace_category", pk=rent.pk, name="food").structured["name"] == "food"
    assert call("update_category", pk=rent.pk).structured["name"] == "food"


def test_two_viewsets_of_one_model_need_names_of_their_own(server: Any) -> None:
    from mcp_mount import DefinitionError

    server.add_viewset(views().Categories, actions="list")
    words = "'list_categories' is already defined; .* with name=, or select others with actions=$"
    with pytest.raises(DefinitionError, match=words):
        server.add_viewset(views().Categories, actions=["retrieve", "list"])
    assert list(server.registry.tools) == ["list_categories"]
    server.add_viewset(views().Categories, actions="list", name="purpose")
    server.add_viewset(views().Categories, actions="list", name="media", plural="media")
    assert list(server.registry.tools) == ["list_categories", "list_purposes", "list_media"]


def test_a_plain_viewset_has_tools_without_a_model(server: Any, call: Any) -> None:
    from rest_framework.response import Response
    from rest_framework.viewsets import ViewSet

    class JobRunViewSet(ViewSet):
        def list(self, request: Any) -> Any:
            return Response([{"id": "a"}])

        def retrieve(self, request: Any, pk: str) -> Any:
            return Response({"id": pk})

    server.add_viewset(JobRunViewSet)
    assert list(server.registry.tools) == ["list_job_runs", "get_job_run"]
    assert call("get_job_run", pk="a").structured == {"id": "a"}


def test_an_action_without_a_schema_is_left_out_with_the_reason(
    server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from rest_framework.viewsets import ViewSet

    class Jobs(ViewSet):
        def list(self, request: Any) -> None: ...

        def create(self, request: Any) -> None: ...

    with caplog.at_level(logging.WARNING, "mcp_mount"):
        exposed = server.add_viewset(Jobs)
    assert exposed.tools == ["list_jobs"]
    reason = (
        "Jobs.create: it has no serializer that describes its fields: declare them with "
        "schema={'create': ...}"
    )
    assert exposed.left_out == {"POST /jobs/": reason}
    assert [one.getMessage() for one in caplog.records] == [
        f"Endpoints that cannot be tools are left out:\nPOST /jobs/: {reason}"
    ]


def test_an_action_that_is_named_must_work(server: Any) -> None:
    from rest_framework.viewsets import ViewSet

    from mcp_mount import DefinitionError

    class Jobs(ViewSet):
        def create(self, request: Any) -> None: ...

    with pytest.raises(
        DefinitionError, match=r"Jobs\.create cannot be a tool: it has no serializer"
    ):
        server.add_viewset(Jobs, actions="create")
    server.add_viewset(Jobs, actions="create", schema={"create": {"properties": {"x": {}}}})
    assert "create_job" in server.registry.tools


def test_policies_are_declared_for_each_tool(server: Any, call: Any, ada: Any) -> None:
    def none_is_called_x(name: str | None) -> None:
        if name == "x":
            raise ValueError("no x, please")

    server.add_viewset(
        views().Categories,
        actions=["list", "create"],
        permission=lambda request: request.user.is_authenticated,
    )
    server.add_viewset(views().Categories, actions="create", name="purpose", check=none_is_called_x)
    with pytest.raises(RPCError, match="Unknown tool"):
        call("list_categories")
    assert not call("list_categories", ada).is_error
    assert "no x, please" in call("create_purpose", name="x").text
    assert call("create_purpose", name="y").structured["name"] == "y"


def test_a_router_guards_what_it_exposes(server: Any, call: Any, ada: Any) -> None:
    from mcp_mount_django import ToolsRouter

    members = ToolsRouter(permission=lambda request: request.user.is_authenticated)
    members.add_viewset(views().Categories, actions="list")
    server.include_router(members)
    with pytest.raises(RPCError, match="Unknown tool"):
        call("list_categories")
    assert call("list_categories", ada).structured["count"] == 0


def test_outputs_are_promised_where_it_is_asked_for(server: Any, call: Any, rent: Any) -> None:
    server.add_viewset(views().Categories, actions="retrieve")
    server.add_viewset(
        views().Categories, actions=["list", "retrieve"], name="purpose", output_schemas=True
    )
    assert server.registry.tools["get_category"].output.schema is None
    assert server.registry.tools["get_purpose"].output.schema["properties"] == {
        "id": {"type": "integer"},
        "name": {"type": "string"},
    }
    assert call("get_purpose", pk=rent.pk).structured == {"id": rent.pk, "name": "rent"}
    assert call("list_purposes").structured["results"] == [{"id": rent.pk, "name": "rent"}]


def test_an_answer_that_is_not_as_promised_goes_as_text(server: Any, call: Any) -> None:
    from rest_framework.response import Response

    class Odd(views().Categories):  # type: ignore[misc]
        def retrieve(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            return Response({"id": "seven"})

    server.add_viewset(Odd, actions="retrieve", output_schemas=True)
    result = call("get_category", pk=1)
    assert (result.is_error, result.text) == (False, '{"id":"seven"}')
    assert server.registry.tools["get_category"].output.schema is None


def test_the_list_at_the_terminal_shows_the_fields_of_a_body(server: Any) -> None:
    from mcp_mount.cli.console import Console

    class ByName(views().Categories):  # type: ignore[misc]
        lookup_field = "name"

    server.add_viewset(ByName, actions="partial_update")
    [line] = [one for one in Console(server).list() if "update_category" in one]
    assert "update_category(name, " in line
    assert "body={" in line
    assert "name" in line.partition("body={")[2].partition("}")[0]
