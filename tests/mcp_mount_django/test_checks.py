"""System checks, and `manage.py mcp`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from mcp_mount import DefinitionError
from mcp_mount.tasks import CeleryTasks
from sample_projects.processes import PYTHONPATH, ROOT, free_port
from tests.valkey import Valkey

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def only_the_projects(project: None) -> None:
    """Checks and commands see the servers of the ledger, and none that another test has left."""
    from mcp_mount_django import server
    from mcp_mount_django.servers import servers
    from tests.mcp_mount_django.ledger.mcp import by_token, staff

    for one in set(servers) - {server, by_token, staff}:
        servers.discard(one)


@pytest.fixture
def server() -> Iterator[Any]:
    """A server that the project knows as long as the test runs."""
    from mcp_mount_django import MCPServer
    from mcp_mount_django.servers import servers

    one = MCPServer(
        "checked", authentication=[lambda request: None], task_context=contextlib.nullcontext
    )
    yield one
    servers.discard(one)


def problems(*, deploy: bool = False) -> list[str]:
    from django.core.checks import run_checks

    return [
        f"{one.id} {one.msg}" for one in run_checks(tags=["mcp"], include_deployment_checks=deploy)
    ]


def test_the_ledger_has_no_problems() -> None:
    assert problems() == []


def test_a_key_that_means_nothing_is_found() -> None:
    from django.test import override_settings

    with override_settings(MCP_MOUNT={"NAME": "x", "LOGIN_REQUIERD": True}):
        assert problems() == [
            "mcp_mount.E001 MCP_MOUNT has no key 'LOGIN_REQUIERD'; did you mean 'LOGIN_REQUIRED'?"
        ]


def test_a_setting_that_is_written_as_in_flask_is_found() -> None:
    from django.test import override_settings

    with override_settings(MCP_LOGIN_REQUIRED=True, MCP_SERVER_URL="https://shop.example/mcp"):
        assert problems() == ["mcp_mount.W015 The setting MCP_LOGIN_REQUIRED is not read."]


def test_an_authenticator_that_is_not_there_is_found() -> None:
    from django.test import override_settings

    with override_settings(MCP_MOUNT={"AUTHENTICATION": ["nope.Nope"]}):
        assert problems() == [
            "mcp_mount.E009 MCP_MOUNT['AUTHENTICATION'] names 'nope.Nope': No module named 'nope'"
        ]


def test_an_authenticator_may_stand_alone() -> None:
    from django.test import override_settings

    with override_settings(MCP_MOUNT={"AUTHENTICATION": "nope.Nope"}):
        assert problems() == [
            "mcp_mount.E009 MCP_MOUNT['AUTHENTICATION'] names 'nope.Nope': No module named 'nope'"
        ]


def test_a_setting_that_is_no_dict_is_found() -> None:
    from django.test import override_settings

    with override_settings(MCP_MOUNT=["OPEN"]):
        assert problems() == ["mcp_mount.E001 MCP_MOUNT must be a dict, not ['OPEN']"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"TIMEOUT": "5"}, "MCP_MOUNT['TIMEOUT']: "),
        ({"THROTTLE": "often"}, "MCP_MOUNT['THROTTLE']: "),
        ({"MAX_RESULT_BYTES": 0}, "MCP_MOUNT['MAX_RESULT_BYTES']: MAX_RESULT_BYTES is a number"),
        ({"KEEP_ALIVE": 0}, "MCP_MOUNT['KEEP_ALIVE']: KEEP_ALIVE is a number of seconds"),
        ({"PAGE_SIZE": "9"}, "MCP_MOUNT['PAGE_SIZE']: PAGE_SIZE is a number from 1 on"),
        ({"OPEN": "no"}, "MCP_MOUNT['OPEN']: OPEN is True or False"),
        ({"WHEN": 3}, "MCP_MOUNT['WHEN']: "),
        ({"AUTH_REQUIRED": None}, "MCP_MOUNT['AUTH_REQUIRED']: AUTH_REQUIRED is True or False"),
        ({"LOGIN_REQUIRED": "no"}, "MCP_MOUNT['LOGIN_REQUIRED']: LOGIN_REQUIRED is True or False"),
        ({"LOGIN_REQUIRED": None}, "MCP_MOUNT['LOGIN_REQUIRED']: LOGIN_REQUIRED is True or False"),
        ({"AUTHENTICATION": None}, "MCP_MOUNT['AUTHENTICATION']: AUTHENTICATION must be "),
        ({"AUTHENTICATION": [5]}, "MCP_MOUNT['AUTHENTICATION']: AUTHENTICATION must be "),
        ({"FIND_USER": 5}, "MCP_MOUNT['FIND_USER']: FIND_USER is a function of the access token"),
        ({"AUTH_REQUIRED": True}, "MCP_MOUNT['AUTH_REQUIRED'] asks for access tokens or API keys"),
        ({"MCP_TIMEOUT": 5}, "MCP_MOUNT has no key 'MCP_TIMEOUT'; write 'TIMEOUT'"),
        ({"CORS": True}, "MCP_MOUNT has no key 'CORS'; write allowed_origins="),
        (
            {"ALLOWED_HOSTS": ["x"]},
            "MCP_MOUNT has no key 'ALLOWED_HOSTS'; the host names of the project are in "
            "settings.ALLOWED_HOSTS",
        ),
    ],
)
def test_a_value_that_cannot_be_is_told_by_its_key(setting: Any, words: str) -> None:
    from django.core.exceptions import ImproperlyConfigured
    from django.test import override_settings

    from mcp_mount_django import MCPServer

    with override_settings(MCP_MOUNT=setting), pytest.raises(ImproperlyConfigured) as caught:
        MCPServer("x")
    assert str(caught.value).startswith(words)


def test_every_option_of_a_server_is_a_key_of_the_setting() -> None:
    from mcp_mount.options import OPTIONS
    from mcp_mount_django import options

    own = {"AUTHENTICATION", "LOGIN_REQUIRED", "FIND_USER", "TASK_CONTEXT"}
    keys = {name.upper() for name in OPTIONS} - {"ALLOWED_HOSTS"}
    assert set(options.OPTIONS) == keys | own


@pytest.mark.usefixtures("own_servers")
@pytest.mark.parametrize("value", [5, None, object(), "x", [5], [None], {"x": 5}, float("nan")])
def test_every_value_of_the_setting_is_checked(value: Any) -> None:
    from django.core.exceptions import ImproperlyConfigured
    from django.test import override_settings

    from mcp_mount_django import MCPServer, options

    for key in options.OPTIONS:
        with override_settings(MCP_MOUNT={key: value}), contextlib.suppress(ImproperlyConfigured):
            MCPServer()


@pytest.mark.usefixtures("own_servers")
def test_what_a_server_of_the_project_is_made_with_is_checked() -> None:
    from mcp_mount_django import MCPServer

    wrong: Any = "no"
    with pytest.raises(DefinitionError, match="login_required is True or False, not 'no'"):
        MCPServer("x", login_required=wrong)
    with pytest.raises(DefinitionError, match="authentication must be authentication classes"):
        MCPServer("x", authentication=[wrong, 5])
    with pytest.raises(DefinitionError, match=r"is made: MCPServer\(login_required=…\)"):
        MCPServer("x").configure(login_required=True)  # type: ignore[call-arg]


def test_a_misspelt_permission_is_found(server: Any) -> None:
    from django.test import override_settings

    server.is_beside = True
    server.configure(permission="ledger.view_entry")
    server.tool(name="one", permission="ledger.veiw_entry")(lambda: "one")
    server.resource("a://b", permission="shop.sell")(lambda: "two")
    misspelt = (
        "mcp_mount.W014 permission='ledger.veiw_entry' of the tool 'one': no model of the project "
        "has such a permission, so only superusers have it."
    )
    unknown = (
        "mcp_mount.W014 permission='shop.sell' of the resource 'a://b': no model of the project "
        "has such a permission, so only superusers have it."
    )
    assert problems() == [misspelt, unknown]
    # Another backend may have permissions of its own.
    with override_settings(AUTHENTICATION_BACKENDS=["rules.permissions.ObjectPermissionBackend"]):
        assert problems() == [misspelt]


def test_a_misspelt_model_of_a_route_is_found(server: Any) -> None:
    from mcp_mount import CompletionsRouter
    from mcp_mount.models import Route

    server.is_beside = True
    router = CompletionsRouter()
    router.add_model("smart", Route(["clade"]))
    router.add_model("claude", lambda request: "Hello")
    server.include_router(router)
    assert problems() == [
        "mcp_mount.E016 The server 'checked' cannot start: the model 'smart' asks 'clade', which "
        "is no model of this server; did you mean 'claude'? There are: claude."
    ]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_with_a_misspelt_model_answers_nothing(
    is_async: bool, server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    import asyncio

    from django.test import AsyncClient, Client, override_settings
    from django.urls import include, path

    from mcp_mount import CompletionsRouter
    from mcp_mount.models import Route

    router = CompletionsRouter()
    router.add_model("smart", Route(["clade"]))
    server.include_router(router)

    class Urls:
        urlpatterns = (path("mcp", include(server.urls)),)

    with override_settings(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["testserver"]):
        if is_async:
            answer: Any = asyncio.run(AsyncClient().get("/mcp/v1/models"))
        else:
            answer = Client().get("/mcp/v1/models")
    assert answer.status_code == 503
    assert "the model 'smart' asks 'clade', which is no model of this server" in caplog.text


def test_urls_before_the_apps_are_loaded_are_told_where_to_be(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.apps import apps
    from django.core.exceptions import ImproperlyConfigured

    monkeypatch.setattr(apps, "apps_ready", False)
    with pytest.raises(ImproperlyConfigured, match="in the module that ROOT_URLCONF names"):
        _ = server.urls


def test_a_server_of_the_wrong_package_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import mcp_mount
    from tests.mcp_mount_django.ledger import mcp

    monkeypatch.setattr(mcp, "lost", mcp_mount.MCPServer("lost"), raising=False)
    assert problems() == [
        "mcp_mount.W011 tests.mcp_mount_django.ledger.mcp.lost is a server of mcp_mount, which "
        "does not use this project's users, permissions, settings or transactions."
    ]


def test_tools_of_an_app_that_is_not_installed_are_found(tmp_path: Path) -> None:
    from django.test import override_settings

    (tmp_path / "shop").mkdir()
    module = tmp_path / "shop" / "mcp.py"
    module.write_text("from mcp_mount_django import server\n")
    with override_settings(BASE_DIR=tmp_path):
        assert problems() == [
            f"mcp_mount.W010 {module} is never imported: "
            "its folder is not an app in INSTALLED_APPS."
        ]


STARTS = """
import json, os, sys, traceback
from django.conf import settings
from django.core import asgi, wsgi
import mcp_mount_django

urlpatterns = []

def start(kind, setting):
    settings.configure(
        SECRET_KEY="k", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MCP_MOUNT=setting,
        INSTALLED_APPS=[
            "django.contrib.contenttypes", "django.contrib.auth", "mcp_mount_django", *sys.argv[2:]
        ],
    )
    {"asgi": asgi.get_asgi_application, "wsgi": wsgi.get_wsgi_application}[kind]()
    print("started")

for number, (kind, setting) in enumerate(json.load(sys.stdin)):
    # Django is configured once in a process.
    if os.fork() == 0:
        sys.stdout = sys.stderr = open(f"{sys.argv[1]}/{number}", "w")
        try:
            start(kind, setting)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""
"""Starts a project with each of the settings; writes down what each start says."""

SETTINGS: list[tuple[Any, str]] = [
    ({"LOGIN_REQUIRED": True}, "started"),
    ({"LOGIN_REQUIERD": True}, "ImproperlyConfigured: MCP_MOUNT has no key 'LOGIN_REQUIERD'"),
    ({"AUTHENTICATION": ["nope.Nope"]}, "ImproperlyConfigured: AUTHENTICATION names 'nope"),
    ({"AUTHENTICATION": "nope.Nope"}, "ImproperlyConfigured: AUTHENTICATION names 'nope.Nope"),
    (["OPEN"], "ImproperlyConfigured: MCP_MOUNT must be a dict, not ['OPEN']"),
    ({"AUTH": "nope.verifier"}, "ImproperlyConfigured: MCP_MOUNT['AUTH'] names 'nope"),
    ({"THROTTLE": "often"}, "often"),
    ({"TASK_CONTEXT": 5}, "returns a context manager, not 5"),
    ({"TASK_CONTEXT": "pkgutil.walk_packages"}, "decorate it with @contextlib.contextmanager"),
]
STARTED = [(kind, setting) for kind in ("wsgi", "asgi") for setting, _ in SETTINGS]


def said_at_start(folder: Path, starts: list[tuple[str, Any]], *apps: str) -> list[str]:
    """What a project says that starts with each setting; apps: more of them, in `folder`."""
    subprocess.run(
        [sys.executable, "-c", STARTS, str(folder), *apps],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{PYTHONPATH}"},
        input=json.dumps(starts),
        text=True,
        check=True,
        timeout=300,
    )
    return [(folder / str(number)).read_text() for number in range(len(starts))]


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return said_at_start(tmp_path_factory.mktemp("starts"), STARTED)


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize(("setting", "words"), SETTINGS)
def test_a_project_does_not_start_with_a_setting_that_means_nothing(
    starts: list[str], kind: str, setting: Any, words: str
) -> None:
    said = starts[STARTED.index((kind, setting))]
    assert words in said
    assert said.endswith("started\n") is (words == "started")


def test_the_app_must_be_installed_where_a_server_is_routed(server: Any) -> None:
    from django.core.exceptions import ImproperlyConfigured
    from django.test import override_settings

    with (
        override_settings(INSTALLED_APPS=["django.contrib.contenttypes"]),
        pytest.raises(ImproperlyConfigured, match='Add "mcp_mount_django" to INSTALLED_APPS'),
    ):
        _ = server.urls


def test_a_list_of_a_wrong_project_is_no_success(tmp_path: Path) -> None:
    from django.test import override_settings

    with override_settings(MCP_MOUNT={"LOGIN_REQUIERD": True}):
        for command in (("list", *LEDGER), ("check",)):
            assert "did you mean 'LOGIN_REQUIRED'?" in failure(*command)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mcp.py").write_text("from mcp_mount_django import server\n")
    with override_settings(BASE_DIR=tmp_path):
        for command in (("list", *LEDGER), ("check",)):
            assert "its folder is not an app in INSTALLED_APPS" in failure(*command)


def test_a_server_without_a_route_is_found(server: Any) -> None:
    assert problems() == []
    server.tool(name="one")(lambda: "one")
    assert problems() == ["mcp_mount.W001 The server 'checked' has tools, but no URL."]
    server.is_beside = True
    assert problems() == []


def test_a_prefix_with_a_slash_is_found(server: Any) -> None:
    from types import SimpleNamespace

    from django.test import override_settings
    from django.urls import include, path

    server.tool(name="one")(lambda: "one")
    urls = SimpleNamespace(urlpatterns=[path("api/mcp/", include(server.urls))])
    sys.modules["urls_with_slash"] = urls  # type: ignore[assignment]
    with override_settings(ROOT_URLCONF="urls_with_slash"):
        found = [one for one in problems() if "checked" in one]
    assert found == [
        "mcp_mount.W002 The server 'checked' is at '/api/mcp/': clients that omit the slash, "
        "and routes below it, do not reach it."
    ]


def test_a_coroutine_that_would_block_on_the_orm_is_found(server: Any) -> None:
    from asgiref.sync import sync_to_async

    from tests.mcp_mount_django.ledger.models import Entry

    server.is_beside = True

    @server.tool
    async def counts() -> int:
        return Entry.objects.filter(amount=1).count()

    @server.tool
    async def loops() -> int:
        return sum(one.pk for one in Entry.objects.all())

    @server.tool
    async def right() -> int:
        def inner() -> int:
            return Entry.objects.count()

        numbers = [one.pk async for one in Entry.objects.all()]
        return await Entry.objects.acount() + await sync_to_async(inner)() + len(numbers)

    @server.tool
    def plain() -> int:
        return Entry.objects.count()

    found = [one.partition(" runs the query ")[2] for one in problems()]
    assert found == [
        "'Entry.objects.filter(amount=1).count()', which raises SynchronousOnlyOperation.",
        "'for … in Entry.objects.all()', which raises SynchronousOnlyOperation.",
    ]


def test_models_with_a_key_that_are_open_to_all_are_found(server: Any) -> None:
    from mcp_mount import CompletionsRouter
    from mcp_mount.models import OpenAI

    server.is_beside = True
    server.configure(open=False)
    router = CompletionsRouter()
    router.add_model("gpt", OpenAI("http://127.0.0.1:9/v1", "gpt", key="sk-secret"))
    router.add_model(
        "staff", OpenAI("http://127.0.0.1:9/v1", "gpt", key="k"), permission="ledger.view_entry"
    )
    server.include_router(router)
    assert [one for one in problems() if "'checked'" in one] == [
        "mcp_mount.W004 Anybody who reaches the server 'checked' may ask 1 of its models with your "
        "key for the upstream: gpt."
    ]
    server.configure(open=True)
    assert problems() == []


def test_what_is_open_to_all_is_found(server: Any) -> None:
    server.is_beside = True
    server.configure(open=False)
    server.tool(name="one")(lambda: "one")
    server.tool(name="two", permission="ledger.view_entry", task=True)(lambda: "two")
    server.tool(name="three", annotations={"readOnlyHint": True})(lambda: "three")
    found = (
        "mcp_mount.W004 Anybody who reaches the server 'checked' may call 1 of its tools that may "
        "write: one."
    )
    assert [one for one in problems() if "'checked'" in one] == [found]
    server.configure(open=True)
    assert [one for one in problems() if "'checked'" in one] == []


def test_a_form_that_nothing_guards_is_open_to_all(server: Any) -> None:
    from django import forms

    server.is_beside = True
    server.configure(open=False)
    form = type("WipeForm", (forms.Form,), {})
    server.add_form(form, handle=lambda request, form: "wiped")
    server.add_form(form, name="kept", handle=str, permission="ledger.view_entry")
    [found] = [one for one in problems() if "'checked'" in one]
    assert found.endswith("may call 1 of its tools that may write: wipe.")


def test_what_needs_one_process_is_found_before_a_deployment(server: Any) -> None:
    server.is_beside = True
    server.tool(name="two", permission="ledger.view_entry", task=True)(lambda: "two")
    assert [one for one in problems(deploy=True) if "'checked'" in one] == [
        "mcp_mount.I006 Tasks, and answers of 2025 clients to questions, need a single process; "
        "the server 'checked' has tools that use them: two.",
    ]


def test_with_a_backplane_nothing_needs_one_process(server: Any) -> None:
    server.is_beside = True
    server.tool(name="two", permission="ledger.view_entry", task=True)(lambda: "two")
    server.configure(backplane="redis://127.0.0.1:1/0")
    assert [one for one in problems(deploy=True) if "'checked'" in one] == []


def test_two_servers_of_one_name_and_backplane_are_found(server: Any) -> None:
    from django.test import override_settings
    from django.urls import include, path

    from mcp_mount_django import MCPServer
    from mcp_mount_django.servers import servers

    url = "redis://127.0.0.1:1/0"
    server.configure(backplane=url)
    other = MCPServer("checked", backplane=url)

    class Urls:
        urlpatterns = (path("one", include(server.urls)), path("other", include(other.urls)))

    try:
        with override_settings(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["testserver"]):
            [found] = [one for one in problems() if "E023" in one]
            other.configure(name="till")
            assert not any("E023" in one for one in problems())
    finally:
        servers.discard(other)
    assert found.startswith(
        "mcp_mount.E023 In the URLs two servers have the name 'checked' and the same backplane, "
    )


def test_a_second_tool_of_a_name_stops_the_start(server: Any) -> None:
    from mcp_mount import DefinitionError

    server.tool(name="one")(lambda: "one")
    with pytest.raises(DefinitionError, match="the tool 'one' is already defined by"):
        server.tool(name="one")(lambda: "two")


def run(*words: str) -> str:
    from django.core.management import call_command

    output = StringIO()
    call_command("mcp", *words, stdout=output)
    return output.getvalue()


def failure(*words: str) -> str:
    from django.core.management import CommandError

    with pytest.raises(CommandError) as caught:
        run(*words)
    return str(caught.value)


LEDGER = ("--server", "ledger")


def test_list_shows_what_the_user_may_use(ada: Any) -> None:
    nobody = run("list", *LEDGER)
    assert "  public  For everybody." in nobody
    assert "deposit" not in nobody
    mine = run("list", *LEDGER, "--user", "ada@example.org")
    assert "  deposit(amount, [note])  Make an entry." in mine
    assert "Resources:\n  ui://ledger" in mine
    assert "delete_all" not in mine


def test_call_calls_with_the_rights_of_the_user(ada: Any) -> None:
    user = (*LEDGER, "--user", str(ada.pk))
    assert run("call", *user, "deposit", "amount=5", "note=17") == "5\n"
    assert run("call", *user, "deposit", "--json", '{"amount": 2}') == "7\n"
    entries = json.loads(run("call", *user, "find_entries", "search=17"))
    assert [one["note"] for one in entries["items"]] == ["17"]
    assert run("call", *user, "whoami_async") == "ada@example.org\n"


@pytest.mark.parametrize(
    "words",
    [
        ("--user", "ada@example.org", "deposit", "amount=5", "note=x"),
        ("deposit", "--user", "ada@example.org", "amount=5", "note=x"),
        ("deposit", "amount=5", "--user", "ada@example.org", "note=x"),
        ("deposit", "amount=5", "note=x", "--user", "ada@example.org"),
    ],
)
def test_options_may_stand_between_the_arguments_of_a_tool(ada: Any, words: Any) -> None:
    assert run("call", *LEDGER, *words) == "5\n"


@pytest.mark.parametrize("words", [("list",), ("call", "one"), ("stdio",)])
@pytest.mark.parametrize("is_beside", [False, True])
def test_commands_refuse_nobody_where_a_login_is_required(
    ada: Any, words: Any, is_beside: bool
) -> None:
    from mcp_mount_django import MCPServer
    from mcp_mount_django.servers import servers

    server = MCPServer("closed", login_required=True)
    try:
        server.is_beside = is_beside
        server.tool(name="one")(lambda: "one")
        command, *rest = words
        assert failure(command, "--server", "closed", *rest).startswith("Authentication required")
        if command == "call":
            user = ("--server", "closed", "--user", str(ada.pk))
            assert run(command, *user, *rest) == "one\n"
    finally:
        servers.discard(server)


def test_an_option_that_is_none_is_refused(ada: Any) -> None:
    assert "unrecognized arguments: --usr" in failure("call", *LEDGER, "deposit", "--usr", "x")


def seen(get_response: Any) -> Any:
    """A middleware that sets what tools rely on."""

    def middleware(request: Any) -> Any:
        from django.utils import timezone, translation

        request.tenant = f"tenant of {request.user.email}"
        with timezone.override("Asia/Tokyo"), translation.override("de"):
            return get_response(request)

    return middleware


def middleware(name: str, *, first: bool = False) -> Any:
    from django.conf import settings
    from django.test import override_settings

    own = [f"tests.mcp_mount_django.test_checks.{name}"]
    every = own + settings.MIDDLEWARE if first else settings.MIDDLEWARE + own
    return override_settings(MIDDLEWARE=every)


def test_commands_go_through_the_middleware_with_the_user(ada: Any, server: Any) -> None:
    from django.http import HttpRequest
    from django.utils import timezone, translation

    def rights(request: HttpRequest) -> bool:
        return request.tenant == "tenant of ada@example.org"  # type: ignore[attr-defined]

    @server.tool(permission=rights)
    def where(request: HttpRequest) -> dict[str, list[str]]:
        assert request.session is not None
        zone = timezone.get_current_timezone_name()
        return {"seen": [request.tenant, zone, translation.get_language(), request.get_host()]}

    @server.tool(permission=rights)
    async def where_async(request: HttpRequest) -> dict[str, list[str]]:
        user = await request.auser()
        return {"seen": [user.email, timezone.get_current_timezone_name()]}

    user = ("--server", "checked", "--user", "ada@example.org")
    with middleware("seen"):
        assert "  where" in run("list", *user)
        assert json.loads(run("call", *user, "where"))["seen"] == [
            "tenant of ada@example.org",
            "Asia/Tokyo",
            "de",
            "127.0.0.1",
        ]
        assert json.loads(run("call", *user, "where_async"))["seen"] == [
            "ada@example.org",
            "Asia/Tokyo",
        ]
    assert "Nothing is for this caller" in run("list", *user)


def test_commands_tell_of_a_middleware_that_stands_in_the_way(ada: Any) -> None:
    words = (
        "The project's middleware answers 302 and redirects to https://elsewhere.example/: the "
        "request does not reach the server."
    )
    with middleware("redirect", first=True):
        assert failure("call", *LEDGER, "public") == words
        assert failure("list", *LEDGER) == words
        assert failure("stdio", *LEDGER) == words


def test_call_says_what_is_wrong(ada: Any) -> None:
    user = (*LEDGER, "--user", "ada@example.org")
    assert failure("call", *LEDGER, "balance").startswith(
        "There is no tool 'balance' (for this user); "
    )
    assert "did you mean 'deposit'?" in failure("call", *user, "depositt")
    assert failure("call", *user, "deposit_and_fail", "amount=1") == "No"
    assert "amount: missing, but required" in failure("call", *user, "deposit")
    assert failure("call", *user, "deposit", "5") == "'5' must be argument=value"
    assert failure("call", *user, "deposit", "--json", "[]") == "--json must be an object"
    assert "--json: " in failure("call", *user, "deposit", "--json", "{")
    assert (
        failure("list", *LEDGER, "--user", "eve@example.org")
        == "There is no user 'eve@example.org'"
    )
    assert "There is no server 'x'" in failure("list", "--server", "x")
    assert failure("list") == "Choose one with --server: by token, ledger, staff"


def test_check_asks_each_server_as_a_client_would(caplog: pytest.LogCaptureFixture) -> None:
    assert run("check").splitlines()[-4:] == [
        "ledger at /mcp: answers",
        "by token at /token/mcp: answers",
        "staff at /staff/mcp: answers",
        "ledger, by token, staff: no backplane, each process is on its own",
    ]
    assert caplog.records == []


@pytest.fixture
def shared() -> Iterator[Valkey]:
    """A Redis that two of the project's servers share."""
    from mcp_mount_django import server
    from tests.mcp_mount_django.ledger.mcp import staff

    with Valkey("--requirepass", "secret") as redis:
        for one in (server, staff):
            one.configure(backplane=redis.url.replace("//", "//:secret@"))
        yield redis
        for one in (server, staff):
            one.configure(backplane="memory://")


def test_check_asks_a_backplane_once_for_all_who_share_it(shared: Valkey) -> None:
    assert run("check").splitlines()[-2:] == [
        f"ledger, staff: the backplane {shared.url} answers",
        "by token: no backplane, each process is on its own",
    ]
    shared.stop()
    said = blocked(words="A backplane cannot be used")
    assert f"ledger, staff:\nProblem: The backplane {shared.url} cannot be used from here: " in said
    assert said.count("Problem: ") == 1
    assert "secret" not in said


@pytest.mark.parametrize(
    ("path", "is_shared"), [("/mcp", True), ("/app/staff/mcp/", True), ("/token/mcp", False)]
)
def test_check_with_a_url_asks_the_backplane_of_the_server_there(
    shared: Valkey, path: str, is_shared: bool
) -> None:
    from django.core.management import call_command

    shared.stop()
    output = StringIO()
    with pytest.raises(SystemExit):
        call_command("mcp", "check", f"http://127.0.0.1:{free_port()}{path}", stdout=output)
    assert ("Problem: The backplane redis://127.0.0.1:" in output.getvalue()) is is_shared


def test_check_prints_warnings_and_asks_all_the_same(server: Any) -> None:
    from django.core.management import call_command

    server.is_beside = True
    server.configure(open=False)
    server.tool(name="one")(lambda: "one")
    output, warnings = StringIO(), StringIO()
    call_command("mcp", "check", stdout=output, stderr=warnings)
    assert "(mcp_mount.W004) Anybody who reaches the server 'checked'" in warnings.getvalue()
    assert "staff at /staff/mcp: answers" in output.getvalue()


def test_check_ends_with_an_error_where_tools_have_no_url(server: Any) -> None:
    server.tool(name="one")(lambda: "one")
    said = failure("check")
    assert said.startswith("A client would not reach all tools.\n")
    assert "The server 'checked' has tools, but no URL." in said


def test_check_says_what_stands_in_the_way() -> None:
    assert "ledger at /mcp: redirects to https://" in blocked(
        MIDDLEWARE=["tests.mcp_mount_django.test_checks.redirect"]
    )
    assert "refuses the host 'nowhere.example'" in blocked("--host", "nowhere.example")


def blocked(*options: str, words: str = "would not get an answer", **settings: Any) -> str:
    from django.core.management import CommandError, call_command
    from django.test import override_settings

    output = StringIO()
    with (
        override_settings(**settings),
        pytest.raises(CommandError, match=words),
    ):
        call_command("mcp", "check", *options, stdout=output)
    return output.getvalue()


def redirect(get_response: Any) -> Any:
    """A middleware that stands in the way."""
    from django.http import HttpResponseRedirect

    return lambda request: HttpResponseRedirect("https://elsewhere.example/")


def test_stdio_serves_with_the_rights_of_a_user(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "LEDGER_FOLDER": str(tmp_path),
        "PYTHONPATH": PYTHONPATH,
        "DJANGO_SETTINGS_MODULE": "tests.mcp_mount_django.ledger.settings",
    }
    made = [sys.executable, "-m", "tests.mcp_mount_django.ledger.applications", "ada"]
    subprocess.run(made, cwd=ROOT, env=environment, check=True, timeout=300)
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    lines = [
        json.dumps(
            {
                "jsonrpc": "2.0",
                "id": number,
                "method": "tools/call",
                "params": {"name": tool, "arguments": arguments, "_meta": meta},
            }
        )
        for number, (tool, arguments) in enumerate(
            [("whoami", {}), ("deposit", {"amount": 3}), ("delete_all", {})]
        )
    ]
    words = ["-m", "django", "mcp", "stdio", "--server", "ledger", "--user", "ada@example.org"]
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    answers: dict[int, Any] = {}
    for line in lines:
        process.stdin.write(line + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        answers[answer["id"]] = answer
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()
    assert answers[0]["result"]["content"][0]["text"] == "ada@example.org"
    assert answers[1]["result"]["structuredContent"]["result"] == 3
    assert answers[2]["error"]["message"] == "Unknown tool: delete_all"


def test_a_path_into_a_module_that_imports_the_server_is_refused_and_says_why(
    tmp_path: Path,
) -> None:
    package = tmp_path / "outlet"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "mcp.py").write_text(
        "from mcp_mount_django import server\n\n\ndef caller(request):\n    return None\n"
    )
    [said] = said_at_start(tmp_path, [("wsgi", {"CALLER": "outlet.mcp.caller"})], "outlet")
    assert "the module 'outlet.mcp' imports the server that needs it" in said


@pytest.mark.parametrize(
    ("backend", "problem"),
    [("default", "is an ImmediateBackend"), ("missing", "missing")],
)
def test_a_framework_without_workers_is_found(server: Any, backend: str, problem: str) -> None:
    from mcp_mount_django.queues import DjangoTasks

    server.is_beside = True
    server.configure(tasks=DjangoTasks(backend), backplane="redis://127.0.0.1:1/0")
    assert problems() == []
    server.tool(name="later", task=True, permission="ledger.view_entry")(lambda: "x")
    [found] = problems()
    assert found.startswith("mcp_mount.E024 Tasks of the server 'checked' are refused: ")
    assert problem in found


def test_tasks_that_workers_could_not_find_are_told(server: Any) -> None:
    server.is_beside = True
    server.configure(tasks=CeleryTasks(Celery("desk")), backplane="memory://")
    server.tool(name="later", task=True, permission="ledger.view_entry")(lambda: "x")
    assert problems() == [
        "mcp_mount.E025 Tasks of the server 'checked' are refused: tasks= (TASKS) needs a "
        "backplane= where workers and web processes find the state of tasks."
    ]
