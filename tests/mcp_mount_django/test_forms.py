"""Forms and ModelForms as tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from mcp_mount import DefinitionError
from mcp_mount.testing import RPCError
from tests.mcp_mount_django.clients import client_of

pytestmark = pytest.mark.usefixtures("database", "own_servers")


def entry_form() -> Any:
    from django import forms
    from django.core.exceptions import ValidationError

    from tests.mcp_mount_django.ledger.models import Entry

    class EntryForm(forms.ModelForm):  # type: ignore[type-arg]
        """Enter an amount."""

        class Meta:
            model = Entry
            fields = ("kind", "amount", "note", "category", "tags")

        def __init__(self, *args: Any, member: Any = None, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.fields["tags"].required = False
            if member is not None:
                self.instance.member = member

        def clean(self) -> Any:
            if self.cleaned_data.get("note") == "bribe":
                raise ValidationError("No bribes")
            return self.cleaned_data

    return EntryForm


def contact_form() -> Any:
    from django import forms

    class ContactForm(forms.Form):
        email = forms.EmailField(help_text="Where to answer")
        subject = forms.ChoiceField(choices=[("bill", "A bill"), ("other", "other")])
        text = forms.CharField(max_length=20)
        copies = forms.IntegerField(min_value=1, max_value=3, initial=1)
        urgent = forms.BooleanField(required=False)
        when = forms.SplitDateTimeField(required=False)
        days = forms.MultipleChoiceField(
            choices=[("mo", "Monday"), ("tu", "Tuesday")], required=False
        )
        data = forms.JSONField(required=False)
        file = forms.FileField(required=False)

    return ContactForm


@pytest.fixture
def server() -> Iterator[Any]:
    from django.http import HttpRequest
    from django.test import override_settings
    from django.urls import include, path

    from mcp_mount_django import MCPServer
    from tests.mcp_mount_django.ledger.models import Entry

    one = MCPServer("forms", open=True)

    def handle(request: HttpRequest, form: Any) -> dict[str, Any]:
        data = dict(form.cleaned_data)
        return {**data, "when": data["when"] and data["when"].isoformat(), "by": request.user.email}

    one.add_form(contact_form(), handle=handle)
    member = {"form_kwargs": lambda request: {"member": request.user}, "permission": None}
    one.add_form(entry_form(), **member)
    one.add_form(
        entry_form(),
        update=True,
        queryset=lambda request: Entry.objects.filter(member=request.user),
        permission=None,
    )

    class Urls:
        urlpatterns = (path("forms", include(one.urls)),)

    with override_settings(ROOT_URLCONF=Urls):
        yield one


def call(user: Any, tool: str, **arguments: Any) -> Any:
    with client_of(user, path="/forms") as client:
        return client.call_tool(tool, arguments)


def test_a_form_validates_its_arguments(server: Any, ada: Any) -> None:
    given = {"email": "x@example.org", "subject": "bill", "text": "Hello"}
    assert call(ada, "contact", **given).structured == {
        **given,
        "copies": 1,
        "urgent": False,
        "when": None,
        "days": [],
        "data": None,
        "file": None,
        "by": "ada@example.org",
    }
    more = {"copies": 3, "urgent": True, "days": ["mo", "tu"], "data": {"a": [1, "x"]}}
    found = call(ada, "contact", **given, **more, when="2026-03-04T05:06:07Z").structured
    assert {name: found[name] for name in more} == more
    assert datetime.fromisoformat(found["when"]) == datetime(
        2026, 3, 4, 5, 6, 7, tzinfo=timezone.utc
    )


@pytest.mark.parametrize("value", ["123", "null", '"x"', "{", "", 123, [1], {"a": "1"}, True])
def test_the_field_of_json_has_the_value_that_came(server: Any, ada: Any, value: Any) -> None:
    given = {"email": "x@example.org", "subject": "bill", "text": "Hello"}
    assert call(ada, "contact", **given, data=value).structured["data"] == value


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("day", 10**400, "day: Enter a valid date."),
        ("day", True, "day: Enter a valid date."),
        ("number", 10**400, "number: Enter a number."),
        ("number", "1e400", "number: Enter a number."),
        ("address", 1.5, "address: Enter a valid IPv4 or IPv6 address."),
        ("when", 7, "when: Enter a valid date/time."),
        ("when", "0001-01-01T00:00:00+23:59", "when: A value is out of the range that its field"),
        ("tags", [10**30], "A value is out of the range that its field can hold."),
        ("tags", [{"pk": 1}], "tags: must be a list of single values"),
        ("tags", [None], "tags: must be a list of single values"),
        ("tag", 1e300, "tag: Select a valid choice."),
        ("text", "a\0b", "text: Null characters are not allowed."),
    ],
)
def test_values_that_no_browser_sends_are_refused_as_those_of_their_field(
    server: Any, ada: Any, name: str, value: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    from django import forms

    from tests.mcp_mount_django.ledger.models import Category

    every = Category.objects.all()
    fields = {
        "day": forms.DateField(required=False),
        "number": forms.FloatField(required=False),
        "address": forms.GenericIPAddressField(required=False),
        "when": forms.SplitDateTimeField(required=False),
        "tags": forms.ModelMultipleChoiceField(every, required=False),
        "tag": forms.ModelChoiceField(every, required=False),
        "text": forms.CharField(required=False),
    }
    server.add_form(_form(**fields), handle=lambda request, form: "valid")
    result = call(ada, "odd", **{name: value})
    assert result.is_error
    assert words in result.text
    assert not caplog.records


@pytest.mark.parametrize("has_model", [False, True])
def test_what_the_database_does_not_take_when_a_form_is_saved_is_told(
    server: Any, ada: Any, has_model: bool
) -> None:
    from django import forms

    from tests.mcp_mount_django.ledger.models import Category

    def save(form: Any) -> Any:
        return Category.objects.create(pk=form.cleaned_data["number"], name="rent")

    body: dict[str, Any] = {"number": forms.IntegerField(), "save": save}
    if has_model:
        body["Meta"] = type("Meta", (), {"model": Category, "fields": []})
    kind: Any = forms.ModelForm if has_model else forms.Form
    server.add_form(type("Saving", (kind,), body), name="save", permission=None)
    assert call(ada, "save", number=2**70).text == "The database does not accept these values."
    assert call(ada, "save", number=7).structured["pk"] == 7


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"email": "nobody"}, "email: Enter a valid email address."),
        (
            {"subject": "x"},
            "subject: Select a valid choice. x is not one of the available choices.",
        ),
        ({"text": "x" * 21}, "text: Ensure this value has at most 20 characters (it has 21)."),
        ({"copies": 4}, "copies: Ensure this value is less than or equal to 3."),
        ({"text": ["x"]}, "text: must be one value, not list"),
        ({"days": "mo"}, "days: must be a list"),
        ({"txt": "x"}, "txt: unknown argument"),
        ({"email": None}, "email: This field is required."),
    ],
)
def test_what_a_form_finds_wrong_is_told(
    server: Any, ada: Any, wrong: dict[str, Any], words: str
) -> None:
    given = {"email": "x@example.org", "subject": "bill", "text": "Hello", **wrong}
    result = call(ada, "contact", **given)
    assert result.is_error
    assert words in result.text


def test_a_model_form_creates_a_row(server: Any, ada: Any) -> None:
    from tests.mcp_mount_django.ledger.models import Category, Entry

    food = Category.objects.create(name="food")
    made = call(ada, "create_entry", amount="1.5", category=food.pk, tags=[food.pk]).structured
    entry = Entry.objects.get(pk=made["pk"])
    assert made["text"] == str(entry)
    assert (entry.member, entry.amount, entry.kind) == (ada, 1.5, "deposit")
    assert list(entry.tags.all()) == [food]
    bribe = call(ada, "create_entry", amount=1, note="bribe")
    assert (bribe.is_error, bribe.text) == (True, "No bribes")
    assert Entry.objects.count() == 1


def test_a_model_form_changes_what_is_given_and_nothing_else(
    server: Any, ada: Any, bob: Any
) -> None:
    from tests.mcp_mount_django.ledger.models import Category, Entry

    food = Category.objects.create(name="food")
    entry = Entry.objects.create(member=ada, amount=5, note="bread", kind="fee", category=food)
    entry.tags.add(food)
    assert not call(ada, "update_entry", pk=entry.pk, amount=7).is_error
    entry.refresh_from_db()
    assert (entry.amount, entry.note, entry.kind, entry.category) == (7, "bread", "fee", food)
    assert list(entry.tags.all()) == [food]
    assert not call(ada, "update_entry", pk=entry.pk, category=None, tags=[], note="").is_error
    entry.refresh_from_db()
    assert (entry.amount, entry.note, entry.category, entry.tags.count()) == (7, "", None, 0)
    for pk in (entry.pk, 0, "x"):
        refused = call(bob, "update_entry", pk=pk, amount=1)
        assert (refused.is_error, refused.text) == (True, f"There is no entry {pk}.")


def test_the_schema_is_that_of_the_form(server: Any, ada: Any) -> None:
    with client_of(ada, path="/forms") as client:
        tools = {tool["name"]: tool for tool in client.list_tools()}
    contact = tools["contact"]["inputSchema"]
    assert contact["required"] == ["email", "subject", "text"]
    assert contact["properties"] == {
        "email": {
            "type": "string",
            "format": "email",
            "maxLength": 320,
            "description": "Where to answer",
        },
        "subject": {
            "type": "string",
            "enum": ["bill", "other"],
            "description": "subject. bill: A bill, other: other",
        },
        "text": {"type": "string", "maxLength": 20, "description": "text"},
        "copies": {
            "type": "integer",
            "minimum": 1,
            "maximum": 3,
            "description": "copies",
            "default": 1,
        },
        "urgent": {"type": ["boolean", "null"], "description": "urgent"},
        "when": {"type": ["string", "null"], "format": "date-time", "description": "when"},
        "days": {
            "type": "array",
            "items": {"type": "string", "enum": ["mo", "tu"]},
            "description": "days. mo: Monday, tu: Tuesday",
        },
        "data": {"description": "data"},
    }
    assert tools["create_entry"]["description"] == "Enter an amount."
    assert tools["create_entry"]["inputSchema"]["required"] == ["amount", "tags"]
    assert tools["update_entry"]["inputSchema"]["required"] == ["pk"]


def test_a_model_form_needs_the_permission_of_its_model(ada: Any, server: Any) -> None:
    from django.contrib.auth.models import Permission

    from tests.mcp_mount_django.ledger.models import Entry

    server.add_form(entry_form(), name="add_guarded")
    server.add_form(entry_form(), name="change_guarded", update=True)
    rules = [
        server.registry.tools[name].rules[0].name for name in ("add_guarded", "change_guarded")
    ]
    assert rules == ["ledger.add_entry", "ledger.change_entry"]
    entry = Entry.objects.create(member=ada, amount=5)
    with pytest.raises(RPCError, match="Unknown tool"):
        call(ada, "change_guarded", pk=entry.pk, amount=1)
    ada.user_permissions.add(Permission.objects.get(codename="change_entry"))
    assert not call(ada, "change_guarded", pk=entry.pk, amount=1).is_error


def _form(**fields: Any) -> Any:
    from django import forms

    return type("OddForm", (forms.Form,), fields)


def _broken() -> dict[str, tuple[Callable[[Any], None], str]]:
    from django import forms

    def handle(request: Any, form: Any) -> None: ...

    async def later(request: Any, form: Any) -> None: ...

    return {
        "no form": (lambda server: server.add_form(dict), "add_form takes a form class, not"),
        "no save": (lambda server: server.add_form(_form()), "OddForm has no save(): give handle="),
        "a coroutine": (
            lambda server: server.add_form(_form(), handle=later),
            "handle= must be a plain function",
        ),
        "no model": (
            lambda server: server.add_form(_form(), handle=handle, update=True),
            "update= is for a ModelForm",
        ),
        "rows for a form that makes one": (
            lambda server: server.add_form(entry_form(), queryset=lambda request: None),
            "EntryForm: queryset= says which rows update=True may change",
        ),
        "a file": (
            lambda server: server.add_form(_form(scan=forms.FileField()), handle=handle),
            "the field 'scan' is a file, which no tool can fill: exclude='scan' leaves it out",
        ),
        "an unknown field": (
            lambda server: server.add_form(_form(), handle=handle, exclude="x"),
            "OddForm has no field 'x'",
        ),
        "an option that is none": (
            lambda server: server.add_form(_form(), handle=handle, permision="x"),
            "a tool has no option 'permision'",
        ),
    }


@pytest.mark.parametrize(
    "case",
    [
        "no form",
        "no save",
        "a coroutine",
        "no model",
        "rows for a form that makes one",
        "a file",
        "an unknown field",
        "an option that is none",
    ],
)
def test_a_form_that_cannot_be_a_tool_is_refused(case: str, project: None) -> None:
    from mcp_mount_django import MCPServer

    add, words = _broken()[case]
    server = MCPServer("broken forms")
    with pytest.raises(DefinitionError) as caught:
        add(server)
    assert words in str(caught.value)
    assert not server.registry.tools
