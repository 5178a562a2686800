"""The pages that a person opens."""

from typing import Any

from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from shop.models import Order, Product


def catalogue(request: HttpRequest) -> HttpResponse:
    orders = Order.objects.select_related("product")[:10]
    if not request.user.is_authenticated:
        orders = Order.objects.none()
    context = {"products": Product.objects.all(), "orders": orders}
    return render(request, "shop/catalogue.html", context)


class Login(LoginView):
    """Django's login page, which leads back to `next`."""

    template_name = "shop/login.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        # Assistants in browsers open the page in a popup, which Django's same-origin cuts off.
        response["Cross-Origin-Opener-Policy"] = "unsafe-none"
        return response
