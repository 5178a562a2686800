from django.contrib.auth.models import User
from django.db import models


class Product(models.Model):
    sku = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=100, blank=True)
    stock = models.IntegerField(default=0)


class Order(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    product = models.ForeignKey(Product, on_delete=models.CASCADE)
    quantity = models.IntegerField()
    note = models.CharField(max_length=100, blank=True)
    placed_at = models.DateTimeField(auto_now_add=True)

    @property
    def total(self) -> int:
        return self.quantity * 10


class ApiKey(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    secret = models.CharField(max_length=100)


class LogEntry(models.Model):
    user = models.CharField(max_length=100)
    name = models.CharField(max_length=100)
    outcome = models.CharField(max_length=20)
