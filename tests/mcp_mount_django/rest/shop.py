"""An API of Django Ninja; imported by tests, when Django is set up."""

from __future__ import annotations

from itertools import count
from typing import Any

from ninja import Form, NinjaAPI, Router, Schema
from ninja.errors import HttpError

from mcp_mount_django import as_tool

_numbers = count()


class Item(Schema):
    sku: str
    count: int = 1


class Order(Schema):
    number: int
    items: list[Item]


def make_api() -> NinjaAPI:
    api = NinjaAPI(title="shop", urls_namespace=f"shop-{next(_numbers)}")
    router = Router(tags=["orders"])

    @router.get("/", response=list[Order])
    def list_orders(request: Any, open: bool = True, sku: str | None = None) -> Any:
        """The orders of the shop."""
        return [{"number": 1, "items": [{"sku": sku or "none", "count": int(open)}]}]

    @router.post("/{int:number}/items", response=Order)
    def add_items(request: Any, number: int, payload: list[Item]) -> Any:
        return {"number": number, "items": payload}

    @router.get("/latest", response=Order)
    def latest(request: Any) -> Any:
        return {"number": 9, "items": []}

    @router.get("/whoami", auth=lambda request: request.user.is_authenticated)
    def whoami(request: Any) -> Any:
        return {"email": request.user.email}

    @router.get("/{name}", response=Order)
    def get_order(request: Any, name: str) -> Any:
        if name == "7":
            raise HttpError(404, "no order 7")
        return {"number": int(name), "items": []}

    @router.post("/{int:number}/name", openapi_extra=as_tool("rename_order"))
    async def rename(request: Any, number: int, name: Form[str]) -> Any:
        return {"number": number, "name": name}

    @router.get("/files/{path:where}")
    def file(request: Any, where: str) -> Any:
        return {"where": where}

    api.add_router("/orders", router)
    return api
