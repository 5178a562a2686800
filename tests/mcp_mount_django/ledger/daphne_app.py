"""The ledger for daphne, which takes no factory."""

from tests.mcp_mount_django.ledger.applications import asgi

app = asgi()
