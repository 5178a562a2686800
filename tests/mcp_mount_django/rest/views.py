"""Serializers and viewsets of the ledger; imported by tests, when Django is set up."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from tests.mcp_mount_django.ledger.models import Category, Entry


class EntrySerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    class Meta:
        model = Entry
        fields = ("id", "kind", "amount", "note", "category", "member")


class CategorySerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    class Meta:
        model = Category
        fields = ("id", "name")


class NameSerializer(serializers.Serializer):  # type: ignore[type-arg]
    new_name = serializers.CharField()


class Entries(viewsets.ModelViewSet):  # type: ignore[type-arg]
    queryset = Entry.objects.order_by("pk")
    serializer_class = EntrySerializer


class Categories(viewsets.ModelViewSet):  # type: ignore[type-arg]
    """Where money goes."""

    queryset = Category.objects.order_by("pk")
    serializer_class = CategorySerializer

    @action(detail=True, methods=["get", "post"])
    def budget(self, request: Any, pk: str) -> Any:
        return Response({"pk": pk, "method": request.method, "data": request.data})

    @budget.mapping.delete
    def drop_budget(self, request: Any, pk: str) -> Any:
        return Response({"dropped": pk})

    @action(detail=True, methods=["post"])
    def close(self, request: Any, pk: str) -> Any:
        """Close a category for good."""
        return Response({"closed": pk})

    @action(detail=True, url_path=r"months/(?P<month>\d{4}-\d\d)")
    def of_month(self, request: Any, pk: str, month: str) -> Any:
        return Response({"pk": pk, "month": month})

    @action(detail=True, methods=["post"])
    def rename(self, request: Any, pk: str) -> Any:
        new = NameSerializer(data=request.data)
        new.is_valid(raise_exception=True)
        return Response(new.validated_data)

    @action(detail=False, methods=["post"])
    def batch(self, request: Any) -> Any:
        several = self.get_serializer(data=request.data, many=True)
        several.is_valid(raise_exception=True)
        return Response({"made": [one["name"] for one in several.validated_data]})

    @action(detail=False)
    def totals(self, request: Any) -> Any:
        return Response({"year": request.query_params.get("year")})


class OfRequest(viewsets.ModelViewSet):  # type: ignore[type-arg]
    """As in multi-tenant projects: everything hangs on the request, and what its URL captures."""

    serializer_class = CategorySerializer
    lookup_field = "name"

    def get_queryset(self) -> Any:
        return Category.objects.filter(name__startswith=self.request.tenant)

    def get_serializer_context(self) -> Any:
        return {**super().get_serializer_context(), "tenant": self.request.tenant}  # type: ignore[attr-defined]

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        # As permission classes do that set the tenant.
        request._request.tenant = request.resolver_match.kwargs["organizer"]
        super().initial(request, *args, **kwargs)
