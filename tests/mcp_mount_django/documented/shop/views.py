from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from shop.models import Order, Product


def search(request):
    """Search the products."""
    found = Product.objects.filter(name__icontains=request.GET["query"])
    return JsonResponse({"page": int(request.GET["page"]), "found": [one.sku for one in found]})


def add_note(request, order):
    """Add a note to an order."""
    get_object_or_404(Order, pk=order)
    Order.objects.filter(pk=order).update(note=request.POST["text"])
    return HttpResponse("Noted", content_type="text/plain")


class ProductSerializer(serializers.ModelSerializer):
    class Meta:
        model = Product
        fields = ("id", "sku", "name", "stock")


class OrderSerializer(serializers.ModelSerializer):
    class Meta:
        model = Order
        fields = ("id", "product", "quantity")


class ProductViewSet(viewsets.ModelViewSet):
    queryset = Product.objects.order_by("pk")
    serializer_class = ProductSerializer
    permission_classes = (IsAuthenticated,)


class OrderViewSet(viewsets.ModelViewSet):
    queryset = Order.objects.order_by("pk")
    serializer_class = OrderSerializer

    @action(detail=True, methods=["post"])
    def cancel(self, request, pk=None):
        """Cancel an order."""
        self.get_object().delete()
        return Response({"cancelled": pk})


class Health(APIView):
    """Whether the shop is open."""

    def get(self, request):
        return Response({"open": True})


class NoteViewSet(viewsets.ViewSet):
    """Notes of an order."""

    @action(detail=False)
    def archive(self, request, order):
        """The notes of a year."""
        return Response({"order": order, "year": request.query_params["year"]})
