"""Where viewsets are in the project's URLs: nested routers, versions, namespaces, decorators."""

from __future__ import annotations

from types import MappingProxyType, ModuleType
from typing import Any

import pytest


def views() -> Any:
    from tests.mcp_mount_django.rest import views

    return views


@pytest.fixture
def rows(database: None) -> None:
    from tests.mcp_mount_django.ledger.models import Category

    for name in ("acme-rent", "acme-food", "other-rent"):
        Category.objects.create(name=name)


def of_request(route: Any, viewset: Any) -> None:
    from django.urls import include, path, re_path
    from rest_framework.routers import DefaultRouter

    router = DefaultRouter()
    router.register("categories", viewset, basename="category")
    nested = re_path(r"^organizers/(?P<organizer>[^/]+)/", include(router.urls))
    route(path("api/", include(([nested], "api"), namespace="v1")))


@pytest.mark.parametrize("is_routed", [True, False])
def test_a_viewset_that_needs_its_request_works_in_nested_urls(
    server: Any, route: Any, call: Any, rows: None, is_routed: bool
) -> None:
    if is_routed:
        of_request(route, views().OfRequest)
    exposed = server.add_viewset(views().OfRequest, url=["organizer"])
    assert exposed.left_out == {}
    found = call("list_categories", organizer="acme").structured["results"]
    assert [one["name"] for one in found] == ["acme-rent", "acme-food"]
    assert call("get_category", organizer="acme", name="other-rent").is_error
    created = call("create_category", organizer="acme", name="acme-fun")
    assert created.structured["name"] == "acme-fun"


def test_a_capture_that_is_named_as_a_relation_may_be_any_key_of_it(
    server: Any, arguments_of: Any
) -> None:
    server.add_viewset(views().Entries, url=["category", "member_pk"], actions="retrieve")
    found = arguments_of("get_entry")
    assert found["category"] == {"type": ["string", "integer"]}
    assert found["member_pk"]["type"] == "integer"
    assert found["pk"]["type"] == "integer"


def test_a_field_of_the_name_of_a_capture_is_not_sent_twice(server: Any, arguments_of: Any) -> None:
    server.add_viewset(views().OfRequest, url="organizer")
    assert list(arguments_of("update_category"))[:2] == ["organizer", "name"]


def test_a_value_may_be_given_for_a_capture(
    server: Any, route: Any, call: Any, rows: None, arguments_of: Any
) -> None:
    of_request(route, views().OfRequest)
    server.add_viewset(views().OfRequest, url="organizer", kwargs={"organizer": "acme"})
    assert "organizer" not in arguments_of("list_categories")
    assert call("list_categories").structured["count"] == 2


def test_a_serializer_that_needs_a_real_request_is_left_out(server: Any) -> None:
    class Stubborn(views().OfRequest):  # type: ignore[misc]
        def get_serializer_class(self) -> Any:
            return {"acme": views().CategorySerializer}[self.request.tenant]

        serializer_class = None

    exposed = server.add_viewset(Stubborn, url="organizer", name="category")
    assert "list_categories" in exposed.tools
    reason = exposed.left_out["POST /{organizer}/categories/"]
    assert reason.startswith("Stubborn.create: its serializer cannot be made without a request")
    assert reason.endswith("declare its fields with schema=")


def test_a_view_may_ask_whether_it_is_only_asked_for_its_schema(
    server: Any, arguments_of: Any
) -> None:
    class Asking(views().Categories):  # type: ignore[misc]
        def get_serializer_class(self) -> Any:
            if getattr(self, "swagger_fake_view", False):
                return views().CategorySerializer
            return self.request.tenant.serializer

    server.add_viewset(Asking, actions="create")
    assert list(arguments_of("create_category")) == ["name"]


def test_a_serializer_may_depend_on_method_and_action(server: Any, arguments_of: Any) -> None:
    class ByMethod(views().Entries):  # type: ignore[misc]
        def get_serializer_class(self) -> Any:
            is_new = self.request.method == "POST" and self.action == "create"
            return views().EntrySerializer if is_new else views().CategorySerializer

    server.add_viewset(ByMethod)
    assert "amount" in arguments_of("create_entry")
    assert list(arguments_of("update_entry")) == ["pk", "name"]


def test_the_request_of_a_view_has_its_own_path_and_match(
    server: Any, route: Any, call: Any
) -> None:
    from django.urls import include, path
    from rest_framework.response import Response
    from rest_framework.routers import SimpleRouter

    class Telling(views().Categories):  # type: ignore[misc]
        def retrieve(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            match = request.resolver_match
            return Response(
                {
                    "path": request.path,
                    "name": match.view_name,
                    "kwargs": match.kwargs,
                    "link": self.reverse_action("detail", kwargs={"pk": 5}),
                }
            )

    router = SimpleRouter()
    router.register("cats", Telling, basename="cat")
    route(path("api/", include((router.urls, "api"))))
    server.add_viewset(Telling, actions="retrieve")
    assert call("get_category", pk=3).structured == {
        "path": "/api/cats/3/",
        "name": "api:cat-detail",
        "kwargs": {"pk": "3"},
        "link": "http://testserver/api/cats/5/",
    }


def test_what_is_wrapped_around_a_viewset_in_the_urls_holds(
    server: Any, route: Any, call: Any, ada: Any
) -> None:
    from django.contrib.auth.decorators import login_required
    from django.urls import path

    view = login_required(views().Categories.as_view({"get": "list"}))
    route(path("categories/", view))
    server.add_viewset(views().Categories, actions="list")
    assert call("list_categories").text == "Authentication required"
    assert not call("list_categories", ada).is_error


def test_other_urls_of_a_request_are_those_of_its_views(server: Any, route: Any, call: Any) -> None:
    """As middleware has it that chooses the URLs by the host."""
    from django.urls import path, set_urlconf
    from rest_framework.response import Response

    class Telling(views().Categories):  # type: ignore[misc]
        def list(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            return Response({"path": request.path})

    view = Telling.as_view({"get": "list"})
    other: Any = ModuleType("other_urls")
    other.urlpatterns = [path("other/", view, name="category-list")]
    route(path("categories/", view, name="category-list"))
    server.add_viewset(Telling, actions="list")

    def choosing(call: Any, call_next: Any) -> Any:
        set_urlconf(other)
        try:
            return call_next()
        finally:
            set_urlconf(None)

    server.add_viewset(Telling, actions="list", name="other", call_middleware=choosing)
    assert call("list_categories").structured == {"path": "/categories/"}
    assert call("list_others").structured == {"path": "/other/"}
    assert call("list_categories").structured == {"path": "/categories/"}


class TenantMiddleware:
    """As that of multi-tenant projects: it decides by the path."""

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> Any:
        if request.path.startswith("/api/"):
            request.organizer = request.path.split("/")[3]
        response = self._get_response(request)
        response["X-Tenant"] = "seen"
        return response

    def process_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> Any:
        from django.http import HttpResponseForbidden

        if kwargs.get("organizer") == "closed":
            return HttpResponseForbidden("closed", content_type="text/plain")
        return None


def test_middleware_that_decides_by_path_may_run_around_a_view(
    server: Any, route: Any, call: Any
) -> None:
    class OfTenant(views().OfRequest):  # type: ignore[misc]
        def list(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            from rest_framework.response import Response

            return Response({"organizer": request.organizer})

    of_request(route, OfTenant)
    middleware = f"{__name__}.TenantMiddleware"
    server.add_viewset(OfTenant, url="organizer", actions="list", middleware=middleware)
    assert call("list_categories", organizer="acme").structured == {"organizer": "acme"}
    refused = call("list_categories", organizer="closed")
    assert (refused.is_error, refused.text) == (True, "closed")


def test_middleware_that_is_not_there_is_refused(server: Any) -> None:
    from mcp_mount import DefinitionError

    with pytest.raises(
        DefinitionError, match=r"middleware= names 'shop\.Nope', which cannot be imported"
    ):
        server.add_viewset(views().Categories, middleware="shop.Nope")


def test_a_key_that_the_url_cannot_have_is_refused(server: Any, route: Any, call: Any) -> None:
    from django.urls import include, path
    from rest_framework.routers import SimpleRouter

    class Numbered(views().Categories):  # type: ignore[misc]
        lookup_value_regex = r"\d+"

    router = SimpleRouter()
    router.register("categories", Numbered)
    route(path("", include(router.urls)))
    server.add_viewset(Numbered)
    assert call("get_category", pk="seven").text == "pk: not accepted by the project's URL"


def test_a_key_that_leads_to_another_action_is_refused(server: Any, route: Any, call: Any) -> None:
    from django.urls import include, path
    from rest_framework.routers import SimpleRouter

    router = SimpleRouter()
    router.register("categories", views().Categories)
    route(path("", include(router.urls)))
    server.add_viewset(views().Categories)
    result = call("get_category", pk="totals")
    assert result.is_error
    assert "lead to another endpoint, GET /categories/totals/" in result.text


def test_a_version_in_the_path_is_an_argument_with_its_choices(
    server: Any, route: Any, call: Any, arguments_of: Any
) -> None:
    from django.urls import path
    from rest_framework.response import Response
    from rest_framework.versioning import URLPathVersioning
    from rest_framework.views import APIView

    class Versions(URLPathVersioning):
        allowed_versions = ("v1", "v2")

    class Health(APIView):
        versioning_class = Versions

        def get(self, request: Any, version: str) -> Any:
            return Response({"version": request.version})

    route(path("api/<str:version>/health/", Health.as_view()))
    server.add_api_view(Health, name="health")
    assert arguments_of("get_health")["version"] == {"type": "string", "enum": ["v1", "v2"]}
    assert call("get_health", version="v2").structured == {"version": "v2"}
    assert call("get_health", version="v3").is_error
    server.add_api_view(Health, name="state", kwargs={"version": "v1"})
    assert call("get_state").structured == {"version": "v1"}


def test_nested_routers_of_drf_nested_routers(
    server: Any, route: Any, call: Any, arguments_of: Any, rows: None
) -> None:
    from django.urls import include, path
    from rest_framework_nested.routers import NestedSimpleRouter, SimpleRouter
    from rest_framework_nested.viewsets import NestedViewSetMixin

    from tests.mcp_mount_django.ledger.models import Category, Entry, Member

    class OfCategory(NestedViewSetMixin, views().Entries):  # type: ignore[misc]
        parent_lookup_kwargs = MappingProxyType({"category_pk": "category__pk"})

    router = SimpleRouter()
    router.register("categories", views().Categories)
    inner = NestedSimpleRouter(router, "categories", lookup="category")
    inner.register("entries", OfCategory)
    route(path("api/", include(router.urls)), path("api/", include(inner.urls)))
    server.add_viewset(OfCategory)
    assert arguments_of("list_entries")["category_pk"]["type"] == "integer"
    category = Category.objects.get(name="acme-rent")
    other = Category.objects.get(name="acme-food")
    member = Member.objects.create_user("x@example.org")
    Entry.objects.create(member=member, category=category, amount=1)
    assert call("list_entries", category_pk=category.pk).structured["count"] == 1
    assert call("list_entries", category_pk=other.pk).structured["count"] == 0


@pytest.mark.parametrize("namespace", ["api", None])
@pytest.mark.parametrize("name", ["event-detail", None])
def test_a_name_that_is_captured_twice_leads_to_the_path_of_the_view(
    server: Any, route: Any, call: Any, name: str | None, namespace: str | None
) -> None:
    from django.urls import include, path, re_path
    from rest_framework.response import Response

    class Telling(views().Categories):  # type: ignore[misc]
        lookup_field = "slug"
        lookup_url_kwarg = "event"

        def retrieve(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            return Response({"path": request.path, "kwargs": request.resolver_match.kwargs})

    view = Telling.as_view({"get": "retrieve"})
    inner = [re_path(r"^events/(?P<event>[0-9]+)/$", view, name=name)]
    below = include((inner, namespace)) if namespace else include(inner)
    # A name within a group that is captured again, as nested routers make it.
    outer = re_path(r"^api/(?P<event>[^/]+)/", below)
    route(path("v1/", include([outer])))
    server.add_viewset(Telling, actions="retrieve")
    found = call("get_category", event="7")
    assert found.structured == {"path": "/v1/api/7/events/7/", "kwargs": {"event": "7"}}
    assert "not accepted by the project's URL" in call("get_category", event="x").text
