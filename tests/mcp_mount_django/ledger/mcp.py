"""The ledger's tools."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db.models import Sum
from django.http import HttpRequest
from django.utils import timezone, translation
from django.utils.translation import gettext
from rest_framework.authentication import TokenAuthentication

from mcp_mount import Context, SyncContext, ToolError
from mcp_mount_django import MCPServer, ModelQuery, server
from tests.mcp_mount_django.ledger.models import AuditEntry, Entry, Member

by_token = MCPServer("by token", authentication=[TokenAuthentication], login_required=True)
staff = MCPServer("staff", permission=lambda request: request.user.is_staff)


def signed_in(request: HttpRequest) -> bool:
    return request.user.is_authenticated


def balance_of(member: Any) -> Decimal:
    total: Decimal | None = Entry.objects.filter(member=member).aggregate(sum=Sum("amount"))["sum"]
    return total or Decimal(0)


def write(member: Any, amount: int, note: str = "") -> Decimal:
    """In both databases."""
    Entry.objects.create(member=member, amount=amount, note=note)
    AuditEntry.objects.create(member=member.pk, text=f"{amount} {note}")
    return balance_of(member)


def whoami(request: HttpRequest) -> str:
    """Tell who calls."""
    return request.user.email


async def whoami_async(ctx: Context) -> str:
    """Tell who calls, from a coroutine."""
    return str(ctx.request.user.email)


def balance(request: HttpRequest) -> int:
    """The sum of the caller's entries."""
    return int(balance_of(request.user))


async def balance_async(request: HttpRequest) -> int:
    """The same, by the async ORM."""
    amounts = [one.amount async for one in Entry.objects.filter(member_id=request.user.pk)]
    return int(sum(amounts))


def deposit(request: HttpRequest, amount: int, note: str = "") -> int:
    """Make an entry."""
    return int(write(request.user, amount, note))


def deposit_aloud(ctx: SyncContext, amount: int) -> int:
    """Make an entry, and say so before and after."""
    ctx.report_progress(1, 2)
    total = write(ctx.request.user, amount)
    ctx.report_progress(2, 2)
    return int(total)


def deposit_and_fail(request: HttpRequest, amount: int, crash: bool = False) -> int:
    """Make an entry that does not stay."""
    write(request.user, amount)
    if crash:
        raise RuntimeError("secret")
    raise ToolError("No")


def deposit_aloud_and_fail(ctx: SyncContext, amount: int) -> int:
    """The same, in a stream."""
    ctx.report_progress(1)
    write(ctx.request.user, amount)
    ctx.report_progress(2)
    raise ToolError("No")


for one in (server, by_token):
    for tool in (
        whoami,
        whoami_async,
        balance,
        balance_async,
        deposit,
        deposit_aloud,
        deposit_and_fail,
        deposit_aloud_and_fail,
    ):
        one.tool(permission=signed_in)(tool)


@server.tool
def public() -> str:
    """For everybody."""
    return "public"


@server.tool(permission="ledger.delete_entry")
def delete_all(request: HttpRequest) -> int:
    """Delete all entries of all members."""
    return Entry.objects.all().delete()[0]


@staff.tool
def members() -> list[str]:
    """All members."""
    return [member.email for member in Member.objects.order_by("email")]


def manners() -> str:
    return f"{translation.get_language()} {gettext('Monday')} {timezone.get_current_timezone()}"


@server.tool(name="manners")
def manners_sync() -> str:
    """Language and time zone."""
    return manners()


@server.tool
def manners_aloud(ctx: SyncContext) -> str:
    """Language and time zone, in a stream."""
    ctx.report_progress(1)
    return manners()


@server.tool
async def manners_async() -> str:
    """Language and time zone, in a coroutine."""
    return manners()


@server.tool
async def manners_async_aloud(ctx: Context) -> str:
    """Language and time zone, in a coroutine that speaks."""
    await ctx.report_progress(1)
    return manners()


@server.register
class Entries(ModelQuery):
    """Find the caller's entries."""

    model = Entry
    fields = ("pk", "kind", "amount", "note", "category__name", "made_at")
    filters = (
        "kind",
        "amount__gte",
        "amount__lt",
        "category",
        "category__name__icontains",
        "category__isnull",
        "made_at__year",
        "pk__in",
    )
    search = ("note", "category__name")
    ordering = ("amount", "made_at")
    page_size = 3
    permission = signed_in

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(member=request.user)


server.add_template_page(
    "ui://ledger",
    "ledger/page.html",
    context=lambda request: {"balance": balance(request)},
    permission=signed_in,
)
