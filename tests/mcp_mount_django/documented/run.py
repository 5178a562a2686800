"""Execute every example of docs/django.md in a project with a shop; run by test_docs.py."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parent.parent.parent / "docs" / "django.md"
sys.path.insert(0, str(HERE))

BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
installed, tools, mcp_mount, bearer, partners, tokens, *others = BLOCKS
staff, atomic, tasks, query, views, *others = others
form, routers, rest, *others = others
nested, ninja, spectacular, audit, events, tests, beside = others


def execute(code: str, names: dict[str, Any]) -> dict[str, Any]:
    names["__name__"] = "documented"
    exec(compile(code, str(PAGE), "exec", dont_inherit=True), names)
    return names


settings_part, _, urls_part = re.split(r"(# urls\.py.*\n)", installed)
own: dict[str, Any] = {
    "INSTALLED_APPS": [
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "rest_framework",
        "rest_framework.authtoken",
        "drf_spectacular",
        "shop",
    ]
}
execute(settings_part, own)
execute(mcp_mount, own)

from django.conf import settings  # noqa: E402

settings.configure(
    INSTALLED_APPS=own["INSTALLED_APPS"],
    MCP_MOUNT={"NAME": own["MCP_MOUNT"]["NAME"]},
    SECRET_KEY="for-tests-only",
    ROOT_URLCONF="__main__",
    USE_TZ=True,
    REST_FRAMEWORK={"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"},
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
)

import django  # noqa: E402

django.setup()

from django.core.exceptions import ImproperlyConfigured  # noqa: E402
from django.test import TestCase  # noqa: E402
from django.test.utils import get_runner  # noqa: E402
from django.urls import include, path  # noqa: E402

import mcp_mount_django.options  # noqa: E402
from mcp_mount_django import MCPServer  # noqa: E402

assert set(own["MCP_MOUNT"]) <= set(mcp_mount_django.options.OPTIONS)

names: dict[str, Any] = {}
for block in (
    tools,
    bearer,
    partners,
    tokens,
    staff,
    atomic,
    tasks,
    query,
    views,
    form,
    routers,
    rest,
    nested,
    ninja,
    audit,
    events,
):
    execute(block, names)
urlpatterns: list[Any] = []
execute(urls_part, {"urlpatterns": urlpatterns, "path": path, "include": include})
urlpatterns.append(path("partners", include(names["partners"].urls)))
urlpatterns.append(path("catalogue", include(names["catalogue"].urls)))
urlpatterns += [path("api/", include(names["router"].urls)), path("ninja/", names["api"].urls)]
execute(spectacular, names)


class Examples(TestCase):
    """What the page says of them."""

    def setUp(self) -> None:
        from django.contrib.auth.models import User
        from shop.models import Product

        self.ada = User.objects.create_superuser("ada")
        self.bob = User.objects.create_user("bob")
        Product.objects.create(sku="TEA-07", name="Green tea", stock=3)

    def call(self, user: Any, tool: str, **arguments: Any) -> Any:
        from mcp_mount_django.testing import Client

        with Client(user=user) as client:
            return client.call_tool(tool, arguments)

    def test_tools_and_queries(self) -> None:
        from shop.models import LogEntry

        from mcp_mount.testing import RPCError

        assert self.call(None, "stock", sku="TEA-07").data == 3
        with pytest.raises(RPCError):
            self.call(self.bob, "order", sku="TEA-07")
        number = self.call(self.ada, "order", sku="TEA-07", quantity=2).data
        assert self.call(self.ada, "order", sku="X").text == "There is no product 'X'."
        found = self.call(self.ada, "find_orders", quantity__gte=2).data
        assert [one["pk"] for one in found["items"]] == [number]
        year = found["items"][0]["placed_at"][:4]
        assert self.call(self.ada, "revenue", year=int(year)).data == 20
        said = self.call(self.ada, "add_note", order=number, text="Soon")
        assert said.text == "Noted"
        assert "ada order failed" in {
            f"{one.user} {one.name} {one.outcome}" for one in LogEntry.objects.all()
        }

    def test_views_and_endpoints(self) -> None:
        assert [*names["catalogue"].registry.tools] == ["list_products", "get_product"]
        found = self.call(None, "search", query="tea").data
        assert found == {"page": 1, "found": ["TEA-07"]}
        assert self.call(None, "list_products").is_error
        assert self.call(self.bob, "list_products").data["results"][0]["sku"] == "TEA-07"
        assert self.call(None, "get_health").data == {"open": True}
        number = self.call(self.ada, "order", sku="TEA-07").data
        cancelled = self.call(self.ada, "order_cancel", pk=number)
        assert cancelled.data == {"cancelled": str(number)}
        archive = self.call(None, "note_archive", order=number, year=2026)
        assert archive.data == {"order": str(number), "year": "2026"}

    def test_documents(self) -> None:
        assert self.call(None, "stock_of", sku="TEA-07").data == {"stock": 3}
        found = self.call(self.bob, "products_retrieve", id=1)
        assert found.data["sku"] == "TEA-07"

    def test_forms_and_atomic_tools(self) -> None:
        from shop.models import Order, Product

        product = Product.objects.get()
        made = self.call(self.ada, "create_order", product=product.pk, quantity=2).structured
        order = Order.objects.get(pk=made["pk"])
        assert (order.user, order.quantity) == (self.ada, 2)
        assert not self.call(self.ada, "update_order", pk=order.pk, quantity=3).is_error
        order.refresh_from_db()
        assert (order.product, order.quantity) == (product, 3)
        said = self.call(self.bob, "complaint", text="Cold").text
        assert said == "bob complains: Cold"
        assert self.call(self.ada, "restock", sku="TEA-07", pieces=4).data == 7
        missing = self.call(self.ada, "restock", sku="X", pieces=4)
        assert missing.text == "Product matching query does not exist."

    def test_a_signal_tells_of_what_was_reused(self) -> None:
        from django.core import mail
        from django.test import override_settings

        from mcp_mount.auth import SignInEvent
        from mcp_mount_django.signals import sign_in_event

        # Django 6 takes addresses alone.
        admin: Any = "a@example.com" if django.VERSION >= (6,) else ("A", "a@example.com")
        with override_settings(ADMINS=[admin]):
            for kind in ("code reused", "tokens issued"):
                event = SignInEvent(kind, user="1", client="Claude")
                sign_in_event.send(names["server"], event=event)
        assert [one.subject for one in mail.outbox] == ["[Django] code reused: Claude of user 1"]

    def test_tasks_run_in_what_the_middleware_sets(self) -> None:
        from django.http import HttpRequest
        from django.utils import timezone

        request = HttpRequest()
        request.META["HTTP_X_TIME_ZONE"] = "Europe/Berlin"
        with names["reports"].task_context(request):
            assert timezone.get_current_timezone_name() == "Europe/Berlin"

    def test_partners_have_tokens(self) -> None:
        from shop.models import ApiKey

        from mcp_mount.testing import RPCError
        from mcp_mount_django.testing import Client

        ApiKey.objects.create(user=self.bob, secret="key")
        names["partners"].tool(name="who")(lambda: "somebody")
        with Client(path="/partners", headers={"authorization": "Bearer key"}) as client:
            assert client.call_tool("who").text == "somebody"
        for headers in ({}, {"authorization": "Bearer wrong"}):
            own = Client(path="/partners", headers=headers)
            with own as client, pytest.raises(RPCError):
                client.call_tool("who")


execute(tests, names)
# Tools of the page want permissions, and nothing beside the project tells who calls.
with pytest.raises(ImproperlyConfigured, match=r"permission='shop\.add_order' of order"):
    execute(beside, {})
documented = names["OrderTests"]
assert issubclass(documented, TestCase)
assert issubclass(type(names["server"]), MCPServer)

if __name__ == "__main__":
    import unittest

    runner = get_runner(settings)(verbosity=0)
    runner.setup_test_environment()
    databases = runner.setup_databases()
    loader = unittest.defaultTestLoader
    suite = unittest.TestSuite(
        [loader.loadTestsFromTestCase(one) for one in (documented, Examples)]
    )
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    runner.teardown_databases(databases)
    sys.exit(not result.wasSuccessful())
