"""`manage.py seed`: the sample's products and its users."""

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management.base import BaseCommand

from shop.models import Product

PRODUCTS = [
    ("MUG-01", "Enamel mug", "14.50", 12),
    ("TEA-07", "Green tea, 100 g", "7.90", 40),
    ("POT-02", "Cast iron teapot", "49.00", 3),
    ("KTL-05", "Gooseneck kettle", "64.00", 0),
    ("SPN-11", "Bamboo spoon", "3.20", 150),
]


class Command(BaseCommand):
    help = "Fill the shop with products, and the users demo, clerk and guest (passwords alike)."

    def handle(self, *args, **options) -> None:
        for sku, name, price, stock in PRODUCTS:
            values = {"name": name, "price": price, "stock": stock}
            Product.objects.update_or_create(sku=sku, defaults=values)
        users = get_user_model().objects
        if not users.filter(username="demo").exists():
            users.create_superuser("demo", password="demo")
            users.create_user("guest", password="guest")
            clerk = users.create_user("clerk", password="clerk")
            clerk.user_permissions.add(Permission.objects.get(codename="view_order"))
        self.stdout.write(f"{Product.objects.count()} products")
