"""The query parameters of lists: filters of django-filter, search, order, pages."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from tests.mcp_mount_django.rest.test_viewsets import views


@pytest.fixture
def rows(database: None) -> Any:
    import datetime

    from tests.mcp_mount_django.ledger.models import Category, Entry, Member

    member = Member.objects.create_user("x@example.org")
    rent = Category.objects.create(name="rent")
    made = []
    for number, (kind, amount) in enumerate([("deposit", 10), ("fee", 20), ("deposit", 30)]):
        one = Entry.objects.create(member=member, kind=kind, amount=amount, category=rent)
        when = datetime.datetime(2026, 1 + number, 5, 12, tzinfo=datetime.timezone.utc)
        Entry.objects.filter(pk=one.pk).update(made_at=when)
        made.append(one.pk)
    return made


def viewset(filterset: Any) -> Any:
    from django_filters.rest_framework import DjangoFilterBackend

    class Filtered(views().Entries):  # type: ignore[misc]
        filter_backends = (DjangoFilterBackend,)
        filterset_class = filterset

    return Filtered


def filterset(**filters: Any) -> Any:
    from django_filters.rest_framework import FilterSet

    from tests.mcp_mount_django.ledger.models import Entry

    meta = type("Meta", (), {"model": Entry, "fields": ()})
    return type("Filters", (FilterSet,), {"Meta": meta, **filters})


def test_fields_of_a_filterset_are_arguments_with_their_types(
    server: Any, arguments_of: Any
) -> None:
    from django_filters.rest_framework import DjangoFilterBackend

    class Filtered(views().Entries):  # type: ignore[misc]
        filter_backends = (DjangoFilterBackend,)
        filterset_fields = {  # noqa: RUF012
            "kind": ["exact", "in"],
            "amount": ["exact", "gte", "range"],
            "category": ["exact", "isnull"],
            "category__name": ["icontains"],
            "made_at": ["year", "lt"],
            "member": ["exact"],
        }

    server.add_viewset(Filtered, actions="list")
    found = arguments_of("list_entries")
    kinds = {"type": "string", "enum": ["deposit", "fee"]}
    assert {name: without_text(one) for name, one in found.items()} == {
        "kind": kinds,
        "kind__in": {"type": "array", "items": kinds},
        "amount": {"type": "number"},
        "amount__gte": {"type": "number"},
        "amount__range": {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 2,
            "maxItems": 2,
        },
        "category": {"type": "integer"},
        "category__isnull": {"type": "boolean"},
        "category__name__icontains": {"type": "string"},
        "made_at__year": {"type": "integer"},
        "made_at__lt": {"type": "string", "format": "date-time"},
        "member": {"type": "integer"},
        "limit": {"type": "integer"},
        "offset": {"type": "integer"},
    }
    assert found["amount__gte"]["description"] == "Amount is greater than or equal to"


def without_text(schema: dict[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in schema.items() if key != "description"}
    if isinstance(plain.get("items"), dict):
        plain["items"] = without_text(plain["items"])
    return plain


def test_a_range_has_two_arguments_that_filter(
    server: Any, call: Any, arguments_of: Any, rows: Any
) -> None:
    from django_filters import DateFromToRangeFilter, RangeFilter

    made_at, amount = DateFromToRangeFilter(), RangeFilter()
    server.add_viewset(viewset(filterset(made_at=made_at, amount=amount)), actions="list")
    found = arguments_of("list_entries")
    assert [*found][:4] == ["made_at_after", "made_at_before", "amount_min", "amount_max"]
    assert without_text(found["made_at_after"]) == {"type": "string", "format": "date"}
    result = call("list_entries", made_at_after="2026-01-20", amount_max=25)
    assert [one["id"] for one in result.structured["results"]] == [rows[1]]


@pytest.mark.parametrize("sent", [["deposit"], "deposit", ["deposit", "fee"]])
def test_several_values_are_sent_as_the_filter_reads_them(
    server: Any, call: Any, rows: Any, sent: Any
) -> None:
    from django_filters import BaseInFilter, CharFilter, MultipleChoiceFilter

    class Words(BaseInFilter, CharFilter):  # type: ignore[misc]
        pass

    choices = [("deposit", "Deposit"), ("fee", "Fee")]
    filters = {
        "kinds": Words(field_name="kind"),
        "several": MultipleChoiceFilter(field_name="kind", choices=choices),
    }
    server.add_viewset(viewset(filterset(**filters)), actions="list")
    expected = 3 if len(sent) == 2 else 2
    assert call("list_entries", kinds=sent).structured["count"] == expected
    assert call("list_entries", several=sent).structured["count"] == expected


def test_a_range_in_one_parameter_takes_two_values(server: Any, call: Any, rows: Any) -> None:
    from django_filters import BaseRangeFilter, NumberFilter

    class Numbers(BaseRangeFilter, NumberFilter):  # type: ignore[misc]
        pass

    server.add_viewset(viewset(filterset(amount=Numbers())), actions="list")
    assert call("list_entries", amount=[15, 25]).structured["count"] == 1
    assert call("list_entries", amount=[15]).text == "amount: Range query expects two values."


def test_integer_choices_are_integers_and_labels_are_told(server: Any, arguments_of: Any) -> None:
    from django_filters import ChoiceFilter, TypedChoiceFilter

    choices = [(1, "Low"), ("High ones", [(2, "High")])]
    filters = {
        "level": TypedChoiceFilter(choices=choices, coerce=int, label="Level"),
        "yes": ChoiceFilter(choices=[(True, "Yes"), (False, "No")], label="Yes or no"),
    }
    server.add_viewset(viewset(filterset(**filters)), actions="list")
    found = arguments_of("list_entries")
    assert found["level"] == {
        "type": "integer",
        "enum": [1, 2],
        "description": "Level. 1: Low, 2: High",
    }
    assert found["yes"]["enum"] == ["True", "False"]


def test_an_order_and_a_lookup_of_django_filter(
    server: Any, call: Any, arguments_of: Any, rows: Any
) -> None:
    from django.forms import DecimalField
    from django_filters import LookupChoiceFilter, OrderingFilter

    filters = {
        "order": OrderingFilter(fields=["amount"]),
        "amount": LookupChoiceFilter(field_class=DecimalField, lookup_choices=["gt", "lt"]),
    }
    server.add_viewset(viewset(filterset(**filters)), actions="list")
    found = arguments_of("list_entries")
    assert found["order"]["items"]["enum"] == ["amount", "-amount"]
    assert found["amount_lookup"]["enum"] == ["gt", "lt"]
    result = call("list_entries", order=["-amount"], amount=15, amount_lookup="gt")
    assert [one["id"] for one in result.structured["results"]] == [rows[2], rows[1]]


def test_values_of_rows_are_not_looked_for_at_the_start(
    server: Any, arguments_of: Any, rows: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from django_filters import AllValuesFilter, ModelChoiceFilter

    def of_tenant(request: Any) -> Any:
        return request.tenant.categories

    filters = {
        "amount": AllValuesFilter(),
        "note": AllValuesFilter(),
        "category": ModelChoiceFilter(queryset=of_tenant),
    }
    with CaptureQueriesContext(connection) as queries:
        server.add_viewset(viewset(filterset(**filters)), actions="list")
    assert not queries.captured_queries
    assert arguments_of("list_entries")["note"]["type"] == "string"
    assert arguments_of("list_entries")["category"]["type"] == "integer"


def test_a_filter_that_cannot_be_read_is_left_out_with_a_warning(
    server: Any, arguments_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from django import forms
    from django_filters import CharFilter, Filter

    class Odd(Filter):  # type: ignore[misc]
        @property
        def field(self) -> Any:
            raise LookupError("no tenant")

    class OddField(forms.MultiValueField):
        widget = forms.Textarea

        def __init__(self, **options: Any) -> None:
            super().__init__(fields=(forms.CharField(), forms.CharField()), **options)

    class InParts(Filter):  # type: ignore[misc]
        field_class = OddField

    filters = {"odd": Odd(), "parts": InParts(), "note": CharFilter()}
    with caplog.at_level(logging.WARNING, "mcp_mount"):
        server.add_viewset(viewset(filterset(**filters)), actions="list")
    assert [*arguments_of("list_entries")] == ["note", "limit", "offset"]
    told = [one.getMessage() for one in caplog.records]
    assert len(told) == 2
    assert "the filter 'odd' is not an argument" in told[0]
    assert "LookupError: no tenant" in told[0]
    assert "Textarea" in told[1]


def test_search_and_order_of_rest_framework(
    server: Any, call: Any, arguments_of: Any, rows: Any
) -> None:
    from rest_framework.filters import OrderingFilter, SearchFilter

    class Found(views().Entries):  # type: ignore[misc]
        filter_backends = (SearchFilter, OrderingFilter)
        search_fields = ("^kind", "category__name")
        ordering_fields = ("amount", "made_at")

    server.add_viewset(Found, actions="list")
    found = arguments_of("list_entries")
    assert found["search"]["description"] == "Text to search for in kind, category__name"
    enum = ["amount", "-amount", "made_at", "-made_at"]
    assert found["ordering"]["items"]["enum"] == enum
    result = call("list_entries", search="dep", ordering=["-amount"])
    assert [one["id"] for one in result.structured["results"]] == [rows[2], rows[0]]


def test_an_action_that_filters_and_pages_has_their_arguments(
    server: Any, call: Any, arguments_of: Any, rows: Any
) -> None:
    from django_filters.rest_framework import DjangoFilterBackend
    from rest_framework.decorators import action
    from rest_framework.response import Response

    class Filtered(views().Entries):  # type: ignore[misc]
        filter_backends = (DjangoFilterBackend,)
        filterset_fields = ("kind",)

        @action(detail=False)
        def recent(self, request: Any) -> Any:
            page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
            return self.get_paginated_response([one.pk for one in page])

        @action(detail=False)
        def plain(self, request: Any) -> Any:
            return Response([])

    server.add_viewset(Filtered, actions=["recent", "plain"])
    assert [*arguments_of("entry_recent")] == ["kind", "limit", "offset"]
    assert [*arguments_of("entry_plain")] == []
    assert call("entry_recent", kind="fee").structured["results"] == [rows[1]]


def test_a_list_without_pages_is_bounded(
    server: Any, call: Any, arguments_of: Any, rows: Any
) -> None:
    server.add_viewset(views().Entries, actions="list", page_size=2)
    found = call("list_entries").structured
    assert (found["count"], len(found["results"])) == (3, 2)
    rest = call("list_entries", limit=2, offset=2).structured
    assert [one["id"] for one in rest["results"]] == [rows[2]]


def test_pages_without_a_size_are_bounded(
    server: Any, call: Any, arguments_of: Any, rows: Any
) -> None:
    from rest_framework.pagination import PageNumberPagination

    class Paged(views().Entries):  # type: ignore[misc]
        pagination_class = PageNumberPagination

    server.add_viewset(Paged, actions="list", page_size=2)
    assert [*arguments_of("list_entries")] == ["page", "page_size"]
    assert len(call("list_entries").structured["results"]) == 2
    assert len(call("list_entries", page=2).structured["results"]) == 1


def test_all_rows_come_where_it_is_asked_for(server: Any, call: Any, rows: Any) -> None:
    server.add_viewset(views().Entries, actions="list", page_size=None)
    assert len(json.loads(call("list_entries").text)) == 3


def test_pages_of_the_project_stay_as_they_are(
    server: Any, call: Any, arguments_of: Any, rows: Any
) -> None:
    from rest_framework.pagination import CursorPagination

    class Cursor(CursorPagination):
        page_size = 1
        ordering = "pk"

    class Paged(views().Entries):  # type: ignore[misc]
        pagination_class = Cursor

    server.add_viewset(Paged, actions="list")
    assert [*arguments_of("list_entries")] == ["cursor"]
    assert len(call("list_entries").structured["results"]) == 1
