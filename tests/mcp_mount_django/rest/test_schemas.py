"""What a tool of REST framework takes: fields of serializers, bodies of all kinds, hand-written
schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.mcp_mount_django.rest.test_viewsets import views


@pytest.fixture
def settings_of_spectacular(project: None) -> Iterator[None]:
    from django.test import override_settings

    own = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
    with override_settings(REST_FRAMEWORK=own):
        yield


def view_of(serializer: Any, **attributes: Any) -> Any:
    """A view that answers with what its serializer has read."""
    from rest_framework.generics import CreateAPIView
    from rest_framework.response import Response

    class Echo(CreateAPIView):  # type: ignore[type-arg]
        serializer_class = serializer

        def create(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            serializer = self.get_serializer(data=request.data)
            serializer.is_valid(raise_exception=True)
            return Response(serializer.data)

    for name, value in attributes.items():
        setattr(Echo, name, value)
    return Echo


def test_fields_of_a_serializer(server: Any, arguments_of: Any) -> None:
    import decimal

    from django.core.validators import RegexValidator
    from rest_framework import serializers

    class Inner(serializers.Serializer):  # type: ignore[type-arg]
        x = serializers.IntegerField(min_value=0)
        y = serializers.ReadOnlyField()

    class Order(serializers.Serializer):  # type: ignore[type-arg]
        level = serializers.ChoiceField(choices=[(1, "Low"), (2, "High")], help_text="How much")
        kind = serializers.ChoiceField(choices=["a", "b"], allow_null=True)
        price = serializers.DecimalField(max_digits=5, decimal_places=2, max_value=10)
        rate = serializers.FloatField(default=1.5)
        share = serializers.DecimalField(
            max_digits=5, decimal_places=2, required=False, default=decimal.Decimal("0.5")
        )
        anything = serializers.JSONField(required=False)
        names = serializers.DictField(child=serializers.IntegerField(), required=False)
        slug = serializers.CharField(validators=[RegexValidator(r"^[a-z]+\Z")], required=False)
        odd = serializers.CharField(validators=[RegexValidator(r"(?i)^[a-z]+$")], required=False)
        inner = Inner(many=True, required=False)
        hidden = serializers.HiddenField(default=1)
        shown = serializers.CharField(read_only=True)

    server.add_api_view(view_of(Order), name="order")
    assert arguments_of("create_order") == {
        "level": {
            "type": "integer",
            "enum": [1, 2],
            "description": "How much. 1: Low, 2: High",
        },
        "kind": {"type": ["string", "null"], "enum": ["a", "b", None]},
        "price": {"type": "string", "format": "decimal"},
        "rate": {"type": "number", "default": 1.5},
        "share": {"type": "string", "format": "decimal", "default": "0.5"},
        "anything": {},
        "names": {"type": "object", "additionalProperties": {"type": "integer"}},
        "slug": {"type": "string", "pattern": "^[a-z]+$"},
        "odd": {"type": "string"},
        "inner": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"x": {"type": "integer", "minimum": 0}},
                "required": ["x"],
            },
        },
    }
    required = server.registry.tools["create_order"].input_schema["required"]
    assert required == ["level", "kind", "price"]


@pytest.mark.parametrize("parser", ["JSONParser", "FormParser"])
def test_a_body_is_sent_as_the_view_reads_it(server: Any, call: Any, parser: str) -> None:
    from rest_framework import parsers, serializers

    class Note(serializers.Serializer):  # type: ignore[type-arg]
        text = serializers.CharField()
        loud = serializers.BooleanField()

    view = view_of(Note, parser_classes=[getattr(parsers, parser)])
    server.add_api_view(view, name="note")
    assert call("create_note", text="ä & b", loud=True).structured == {
        "text": "ä & b",
        "loud": True,
    }


def test_a_file_is_uploaded_where_the_view_takes_files_only(server: Any, call: Any) -> None:
    import base64

    from rest_framework import parsers, serializers
    from rest_framework.generics import CreateAPIView
    from rest_framework.response import Response

    class Upload(serializers.Serializer):  # type: ignore[type-arg]
        title = serializers.CharField()
        file = serializers.FileField()

    class Uploads(CreateAPIView):  # type: ignore[type-arg]
        serializer_class = Upload
        parser_classes = (parsers.MultiPartParser,)

        def create(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            read = self.get_serializer(data=request.data)
            read.is_valid(raise_exception=True)
            sent = read.validated_data
            return Response({"title": sent["title"], "text": sent["file"].read().decode()})

    server.add_api_view(Uploads, name="upload")
    file = base64.b64encode(b"a,b").decode()
    assert call("create_upload", title="ä", file=file).structured == {"title": "ä", "text": "a,b"}


def test_problems_are_told_by_field(server: Any, call: Any) -> None:
    from rest_framework import serializers

    class Note(serializers.Serializer):  # type: ignore[type-arg]
        text = serializers.CharField()

    server.add_api_view(view_of(Note), name="note")
    assert call("create_note", text="").text == "text: This field may not be blank."


@pytest.mark.parametrize("kind", ["generic", "handler", "function"])
def test_an_argument_of_the_url_is_known_where_the_view_says_it(
    server: Any, call: Any, arguments_of: Any, kind: str
) -> None:
    from rest_framework.decorators import api_view
    from rest_framework.generics import RetrieveAPIView
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from tests.mcp_mount_django.ledger.models import Category

    class Generic(RetrieveAPIView):  # type: ignore[type-arg]
        queryset = Category.objects.all()
        serializer_class = views().CategorySerializer

    class Handler(APIView):
        def get(self, request: Any, pk: int, part: str = "") -> Any:
            return Response({"name": "rent"})

    @api_view(["GET"])
    def function(request: Any, pk: int) -> Any:
        return Response({"name": "rent"})

    one = Category.objects.create(name="rent")
    view = {"generic": Generic, "handler": Handler, "function": function}[kind]
    server.add_api_view(view, name="category")
    assert [*arguments_of("get_category")] == ["pk"]
    assert call("get_category", pk=one.pk).structured["name"] == "rent"


def test_an_argument_of_the_url_that_is_missing_is_named(server: Any) -> None:
    from rest_framework.generics import RetrieveUpdateDestroyAPIView

    from mcp_mount import DefinitionError
    from tests.mcp_mount_django.ledger.models import Category

    class One(RetrieveUpdateDestroyAPIView):  # type: ignore[type-arg]
        queryset = Category.objects.all()
        serializer_class = views().CategorySerializer

    with pytest.raises(DefinitionError, match=r"One\.get needs 'pk' of its URL: add it to url="):
        server.add_api_view(One, name="category", url=["organizer"])
    server.add_api_view(One, name="category", url=["organizer", "pk"])
    assert [*server.registry.tools] == ["get_category", "update_category", "delete_category"]


def test_a_view_with_a_method_of_its_own_may_be_looked_up_by_anything(
    server: Any, call: Any
) -> None:
    from rest_framework.generics import RetrieveAPIView
    from rest_framework.response import Response

    class File(RetrieveAPIView):  # type: ignore[type-arg]
        def get(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            return Response(kwargs)

    server.add_api_view(File, name="file", url="filename")
    assert call("get_file", filename="a.txt").structured == {"filename": "a.txt"}


def test_a_list_view_with_a_capture_has_pages_and_filters(
    server: Any, call: Any, arguments_of: Any
) -> None:
    from rest_framework.filters import SearchFilter
    from rest_framework.generics import ListCreateAPIView

    from tests.mcp_mount_django.ledger.models import Entry

    class Listed(ListCreateAPIView):  # type: ignore[type-arg]
        queryset = Entry.objects.order_by("pk")
        serializer_class = views().EntrySerializer
        filter_backends = (SearchFilter,)
        search_fields = ("note",)

    server.add_api_view(Listed, name="entry", url="category")
    assert [*server.registry.tools] == ["list_entries", "create_entry"]
    assert [*arguments_of("list_entries")] == ["category", "search", "limit", "offset"]
    assert call("list_entries", category=1).structured["count"] == 0


def test_what_is_no_view_of_rest_framework_is_refused(server: Any) -> None:
    from mcp_mount import DefinitionError

    def view(request: Any) -> None: ...

    with pytest.raises(DefinitionError, match="view is not a view of REST framework: use add_view"):
        server.add_api_view(view, name="x")


def test_a_function_view_is_described_by_its_docstring(server: Any) -> None:
    from rest_framework.decorators import api_view

    @api_view(["GET"])
    def health(request: Any) -> None:
        """Tell whether all is well."""

    server.add_api_view(health, name="health")
    tool = server.registry.tools["get_health"]
    assert tool.members["description"] == "Tell whether all is well."


def test_what_drf_spectacular_says_comes_first(
    server: Any, call: Any, arguments_of: Any, settings_of_spectacular: None
) -> None:
    from drf_spectacular.utils import OpenApiParameter, extend_schema
    from rest_framework import serializers
    from rest_framework.decorators import action
    from rest_framework.response import Response

    class Limit(serializers.Serializer):  # type: ignore[type-arg]
        limit = serializers.IntegerField(help_text="In euros")

    class Documented(views().Categories):  # type: ignore[misc]
        @extend_schema(
            description="The sum of a year.",
            parameters=[OpenApiParameter("year", int, required=True, description="Which year")],
        )
        @action(detail=False)
        def sums(self, request: Any) -> Any:
            return Response({"year": request.query_params["year"]})

        @extend_schema(request=Limit, responses={200: None})
        @action(detail=True, methods=["post"])
        def cap(self, request: Any, pk: str) -> Any:
            return Response(request.data)

    server.add_viewset(Documented)
    sums = arguments_of("category_sums")
    assert sums["year"] == {"type": "integer", "description": "Which year"}
    assert server.registry.tools["category_sums"].members["description"] == "The sum of a year."
    assert call("category_sums", year=2026).structured == {"year": "2026"}
    assert [*arguments_of("category_cap")] == ["pk", "limit"]
    assert call("category_cap", pk=1, limit=5).structured == {"limit": 5}
    assert [*arguments_of("create_category")] == ["name"]
    assert [*arguments_of("list_categories")] == ["limit", "offset"]
    description = server.registry.tools["create_category"].members["description"]
    assert description == "Create a category. Where money goes."


def test_what_was_written_for_drf_yasg_is_read(server: Any, call: Any, arguments_of: Any) -> None:
    from rest_framework import serializers
    from rest_framework.response import Response
    from rest_framework.views import APIView

    class Task(serializers.Serializer):  # type: ignore[type-arg]
        title = serializers.CharField()

    class Tasks(APIView):
        def get(self, request: Any) -> Any:
            return Response({"project": request.query_params.get("project")})

        def post(self, request: Any) -> Any:
            return Response(request.data)

        def put(self, request: Any) -> Any: ...

    # As `@swagger_auto_schema` leaves them.
    of_get: dict[str, Any] = {
        "operation_summary": "Get tasks list",
        "manual_parameters": [
            {"name": "project", "in": "query", "type": "integer", "description": "Project ID"},
            {"name": "id", "in": "path", "type": "integer"},
        ],
    }
    Tasks.get._swagger_auto_schema = of_get  # type: ignore[attr-defined]
    Tasks.post._swagger_auto_schema = {"post": {"request_body": Task}}  # type: ignore[attr-defined]
    Tasks.put._swagger_auto_schema = {"request_body": object()}  # type: ignore[attr-defined]
    server.add_api_view(Tasks, name="task")
    assert arguments_of("get_task") == {"project": {"type": "integer", "description": "Project ID"}}
    assert server.registry.tools["get_task"].members["description"] == "Get tasks list"
    assert call("get_task", project=3).structured == {"project": "3"}
    assert call("create_task", title="x").structured == {"title": "x"}
    assert arguments_of("replace_task") == {}


@pytest.mark.parametrize(
    ("noun", "said"),
    [
        ("user", "a user"),
        ("usage_report", "a usage report"),
        ("unit", "a unit"),
        ("university", "a university"),
        ("url", "a url"),
        ("utility", "a utility"),
        ("european_order", "a european order"),
        ("update", "an update"),
        ("upload", "an upload"),
        ("unimportant_thing", "an unimportant thing"),
        ("order", "an order"),
        ("hour", "an hour"),
        ("house", "a house"),
    ],
)
def test_descriptions_made_of_names_have_the_right_article(noun: str, said: str) -> None:
    from mcp_mount_django.exposing.rest_endpoints import sentence

    words = sentence("patch", noun, f"{noun}s", of_one=True, many=False, action="")
    assert words == f"Change {said}."
