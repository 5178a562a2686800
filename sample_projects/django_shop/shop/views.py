"""The page that a person opens."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from shop.models import Order, Product


def catalogue(request: HttpRequest) -> HttpResponse:
    orders = Order.objects.select_related("product")[:10]
    if not request.user.is_authenticated:
        orders = Order.objects.none()
    context = {"products": Product.objects.all(), "orders": orders}
    return render(request, "shop/catalogue.html", context)
