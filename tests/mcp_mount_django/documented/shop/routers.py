"""The routers of the shop, which its URLs include."""

from rest_framework.routers import DefaultRouter
from shop import views

router = DefaultRouter()
router.register("products", views.ProductViewSet)
router.register("orders/(?P<order>[^/]+)/notes", views.NoteViewSet, basename="note")
