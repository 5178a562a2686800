"""The shop's tools: mcp_mount_django finds them in every app, as the admin finds admin.py."""

import os
from typing import Annotated

from django.db.models import F
from pydantic import BaseModel, Field

from mcp_mount import CompletionsRouter, SyncContext, ToolError
from mcp_mount.models import OpenAI, Tools, stand_in
from mcp_mount_django import server
from shop.models import Order, Product


class ProductCard(BaseModel):
    sku: str
    name: str
    price: str = Field(description="In euros")
    stock: int

    @classmethod
    def of(cls, product: Product) -> "ProductCard":
        return cls(
            sku=product.sku, name=product.name, price=str(product.price), stock=product.stock
        )


class Receipt(BaseModel):
    order: int
    product: ProductCard
    total: str


@server.tool(title="Search the catalogue", annotations={"readOnlyHint": True})
def search_products(
    query: Annotated[str, Field(description="Part of the name; empty for all")] = "",
    only_in_stock: bool = False,
) -> list[ProductCard]:
    """Find products by name."""
    found = Product.objects.filter(name__icontains=query)
    if only_in_stock:
        found = found.filter(stock__gt=0)
    return [ProductCard.of(product) for product in found[:50]]


@server.tool(title="Place an order")
def place_order(
    sku: str, customer: str, quantity: Annotated[int, Field(ge=1, le=100)] = 1
) -> Receipt:
    """Order a product.

    Args:
        sku: The product's number, as search_products gives it.
        customer: Who orders.
        quantity: How many pieces.
    """
    product = Product.objects.filter(sku=sku).first()
    if product is None:
        raise ToolError(f"There is no product {sku!r}; search_products lists them.")
    order = Order.objects.create(product=product, quantity=quantity, customer=customer)
    taken = Product.objects.filter(sku=sku, stock__gte=quantity).update(stock=F("stock") - quantity)
    if not taken:
        # The call is a transaction: the order above goes with it.
        raise ToolError(f"Only {product.stock} of {sku} are left.")
    product.refresh_from_db()
    return Receipt(
        order=order.pk, product=ProductCard.of(product), total=str(product.price * quantity)
    )


@server.tool(
    title="List the orders", annotations={"readOnlyHint": True}, permission="shop.view_order"
)
def orders(customer: str = "") -> list[str]:
    """List the orders of a customer, or all of them."""
    found = Order.objects.filter(customer__icontains=customer).select_related("product")
    return [str(order) for order in found[:50]]


@server.tool(title="My orders", annotations={"readOnlyHint": True}, scopes="orders:read")
def my_orders(ctx: SyncContext) -> list[str]:
    """List the orders of the person who has signed in."""
    mine = Order.objects.filter(customer=ctx.request.user.get_username())
    return [f"No. {order.pk}: {order}" for order in mine.select_related("product")[:50]]


@server.tool(title="Cancel an order", scopes="orders:write")
def cancel_order(number: int, ctx: SyncContext) -> str:
    """Cancel an order of the person who has signed in.

    Args:
        number: The number of the order, as my_orders gives it.
    """
    mine = Order.objects.filter(customer=ctx.request.user.get_username(), pk=number)
    order = mine.select_related("product").first()
    if order is None:
        raise ToolError(f"You have no order {number}; my_orders lists yours.")
    Product.objects.filter(pk=order.product_id).update(stock=F("stock") + order.quantity)
    order.delete()
    return f"Cancelled: {order}"


# The shop's assistant: a model that looks up products and orders for the user who asks it. Without
# the URL of a model it is a stand-in that repeats what it is told.
UPSTREAM = os.environ.get("SHOP_MODEL_URL")

assistant = CompletionsRouter()
assistant.add_model(
    "assistant",
    stand_in
    if UPSTREAM is None
    else OpenAI(UPSTREAM, os.environ["SHOP_MODEL"], key=os.environ.get("SHOP_MODEL_KEY")),
    tools=Tools("search_products", "orders"),
)
server.include_router(assistant)


@server.prompt(title="Recommend a gift")
def gift(
    occasion: Annotated[str, Field(description="Birthday, housewarming, ...")],
    budget: Annotated[str, Field(description="In euros")] = "20",
) -> str:
    """Ask for a gift from the catalogue."""
    return f"Find a gift for a {occasion} under {budget} euros in the shop and say why it fits."


@server.completion("gift", "occasion")
def occasions(completion) -> list[str]:
    known = ("birthday", "farewell", "housewarming", "wedding")
    return [one for one in known if one.startswith(completion.value.lower())]
