from ninja import NinjaAPI
from shop.models import Product

api = NinjaAPI(title="shop")


@api.get("/products/{sku}/stock", tags=["stock"])
def stock_of(request, sku: str):
    """How many pieces are left."""
    return {"stock": Product.objects.get(sku=sku).stock}
