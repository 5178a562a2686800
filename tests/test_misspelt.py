"""Names that users write and that match nothing: an error that names what exists."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from starlette.applications import Starlette

from mcp_mount import (
    CompletionsRouter,
    DefinitionError,
    ImageRouter,
    MCPRouter,
    MCPServer,
    TaskPolicy,
    ToolsRouter,
    mount_asgi,
    mount_wsgi,
)
from mcp_mount.auth import JWT, TokenVerifier
from mcp_mount.policies import Cache, MaxConcurrency, Throttle, Timeout
from mcp_mount_flask import MCPBlueprint, MCPMount
from mcp_mount_flask import mount as mount_flask
from mcp_mount_starlette import mount as mount_starlette


def _tool(sku: str) -> str:
    return sku


def _page() -> str:
    return ""


def _of(server: Any, method: str, *arguments: Any, **options: Any) -> Callable[[], Any]:
    return lambda: getattr(server, method)(*arguments, **options)


def _flask(**config: Any) -> Flask:
    app = Flask("shop")
    app.config.update(config)
    return app


OPTIONS: dict[str, tuple[Callable[[], Any], str]] = {
    "a server": (
        lambda: MCPServer("shop", permision="x"),
        "MCPServer has no option 'permision'; did you mean 'permission'?",
    ),
    "a server, an own option": (
        lambda: MCPServer("shop", instruction="x"),
        "MCPServer has no option 'instruction'; did you mean 'instructions'?",
    ),
    "a server, FastAPI's title": (lambda: MCPServer(title="x"), "MCPServer has no option 'title'"),
    "a server, FastAPI's limit of bodies": (
        lambda: MCPServer(max_body_size=1000),
        "MCPServer has no option 'max_body_size'; did you mean 'max_body_bytes'?",
    ),
    "a server, several": (
        lambda: MCPServer("shop", permision="x", debugg=True),
        "MCPServer has no option 'debugg'; did you mean 'debug'?",
    ),
    "a server, changed": (
        lambda: MCPServer("shop").configure(permision="x"),
        "MCPServer has no setting 'permision'; did you mean 'permission'?",
    ),
    "a router": (
        lambda: MCPRouter(scope="admin"),
        "MCPRouter has no option 'scope'; did you mean 'scopes'?",
    ),
    "a router of tools": (
        lambda: ToolsRouter(htpp=False),
        "ToolsRouter has no option 'htpp'; did you mean 'http'?",
    ),
    "a router of completions": (
        lambda: CompletionsRouter(trottle="1/minute"),
        "CompletionsRouter has no option 'trottle'; did you mean 'throttle'?",
    ),
    "a router of images": (
        lambda: ImageRouter(prefx="/x"),
        "ImageRouter has no option 'prefx'; did you mean 'prefix'?",
    ),
    "a router that is included": (
        lambda: MCPServer().include_router(ToolsRouter(), prefx="/x"),
        "include_router has no option 'prefx'; did you mean 'prefix'?",
    ),
    "a router in a router": (
        lambda: MCPRouter().include_router(ToolsRouter(), permission="x"),
        "include_router has no option 'permission'; there are: callbacks, ",
    ),
    "a tool": (
        lambda: MCPServer().tool(descripton="x")(_tool),
        "a tool has no option 'descripton'; did you mean 'description'?",
    ),
    "a tool that is added": (
        _of(MCPServer(), "add_tool", _tool, permision="x"),
        "a tool has no option 'permision'; did you mean 'permission'?",
    ),
    "what a tool is made with": (
        _of(MCPServer(), "add_tool", _tool, rules=()),
        "a tool has no option 'rules'",
    ),
    "what no log is to show": (
        _of(MCPServer(), "add_tool", _tool, redact=["skuu"]),
        "the tool '_tool': redact= names no argument 'skuu'; did you mean 'sku'?",
    ),
    "what a result is dropped by": (
        _of(MCPServer(), "add_tool", _tool, cache=Cache(60, tags="of:{skuu}")),
        "the tool '_tool': a tag of its cache names no argument 'skuu'; did you mean 'sku'?",
    ),
    "what no log is to show of a prompt": (
        lambda: MCPServer().prompt(redact="skuu")(_tool),
        "the prompt '_tool': redact= names no argument 'skuu'; did you mean 'sku'?",
    ),
    "what no log is to show of a resource": (
        lambda: MCPServer().resource("a://{sku}", redact="skuu")(_tool),
        "the resource 'a://{sku}': redact= names no argument 'skuu'; did you mean 'sku'?",
    ),
    "a resource": (
        lambda: MCPServer().resource("a://b", permision="x")(_tool),
        "a resource has no option 'permision'; did you mean 'permission'?",
    ),
    "a prompt": (
        lambda: MCPServer().prompt(role="x")(_tool),
        "a prompt has no option 'role'; did you mean 'roles'?",
    ),
    "a page": (
        lambda: MCPServer().page("ui://x", permision="x")(_page),
        "a page has no option 'permision'; did you mean 'permission",
    ),
    "a pipeline": (
        lambda: _with_tool().pipeline("both", "_tool", "_tool", permision="x"),
        "a tool has no option 'permision'; did you mean 'permission'?",
    ),
    "a mount in Flask": (
        lambda: MCPMount(_flask(), permision="x"),
        "MCPMount has no option 'permision'; did you mean 'permission'?",
    ),
    "a key of Flask's configuration": (
        lambda: MCPMount(_flask(MCP_THROTLE="1/minute")),
        "MCPMount has no key 'MCP_THROTLE'; did you mean 'MCP_THROTTLE'?",
    ),
    "a blueprint": (
        lambda: MCPBlueprint("b", __name__, permision="x"),
        "MCPBlueprint has no option 'permision'; did you mean 'permission'?",
    ),
}


def _with_tool() -> MCPServer:
    server = MCPServer()
    server.add_tool(_tool)
    return server


HAVE_NO_CHECKS: dict[str, Callable[..., Any]] = {
    "a resource": lambda **options: MCPServer().resource("a://b", **options)(_tool),
    "a page": lambda **options: MCPServer().page("ui://x", **options)(_page),
    "a prompt": lambda **options: MCPServer().prompt(**options)(_tool),
    "MCPServer": MCPServer,
    "MCPRouter": MCPRouter,
    "ToolsRouter": ToolsRouter,
    "MCPMount": lambda **options: MCPMount(_flask(), **options),
    "MCPBlueprint": lambda **options: MCPBlueprint("b", __name__, **options),
}


@pytest.mark.parametrize("owner", HAVE_NO_CHECKS)
def test_no_option_is_suggested_that_would_be_refused(owner: str) -> None:
    for name in ("task", "chek", "check_resul", "xyz"):
        with pytest.raises(DefinitionError, match=f"{owner} has no option '{name}'; ") as caught:
            HAVE_NO_CHECKS[owner](**{name: lambda: None})
        assert "check," not in str(caught.value)
        assert "'check" not in str(caught.value).partition("; ")[2]
    # What others have is refused in words that say so.
    with pytest.raises(DefinitionError, match=r"(server|router|blueprint|'.*') has no check="):
        HAVE_NO_CHECKS[owner](check=lambda: None)


def _closed(sku: str) -> str:
    return sku


@pytest.mark.parametrize(
    "options",
    [
        *({"throtle": "1/minute"}, {"throttle": "often"}, {"timeout": "5"}, {"scopes": []}),
        *({"roles": 5}, {"max_concurrency": 0}, {"redact": "no"}, {"max_result_bytes": 0}),
        *({"permission": 5}, {"title": 5}, {"call_middleware": 5}),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["tool", "prompt", "resource"])
def test_an_error_names_the_function_that_is_declared(kind: str, options: Any) -> None:
    server: Any = MCPServer()
    arguments = ("a://{sku}",) if kind == "resource" else ()
    with pytest.raises(DefinitionError, match=r"^tests\.test_misspelt\._closed \(.*\): ") as caught:
        getattr(server, kind)(*arguments, **options)(_closed)
    assert str(caught.value).count("_closed (") == 1


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_that_means_nothing_is_refused(case: str) -> None:
    call, words = OPTIONS[case]
    with pytest.raises(DefinitionError) as caught:
        call()
    assert words in str(caught.value)


def test_an_option_that_means_nothing_changes_nothing() -> None:
    server = MCPServer("shop")
    with pytest.raises(DefinitionError):
        server.configure(name="other", permision="x")
    assert server.core.protocol.settings.name == "shop"


def test_an_option_of_a_users_own_class_is_its_own() -> None:
    class Shop(MCPServer):
        def __init__(self, city: str, **options: Any) -> None:
            super().__init__(f"shop in {city}", **options)

    assert Shop("Oslo", page_size=3).title == "shop in Oslo"
    with pytest.raises(DefinitionError, match="Shop has no option 'cty'; did you mean 'city'"):
        Shop("Oslo", cty="x")


def test_what_is_no_router_is_refused_in_words_that_say_what_is() -> None:
    wrong: Any = MCPServer("orders")
    with pytest.raises(DefinitionError, match=r"takes a router .*, not MCPServer"):
        MCPServer("shop").include_router(wrong)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep_alive": 0}, "keep_alive is a number of seconds above 0, not 0"),
        ({"caller": lambda: "x"}, "caller= is a function with one parameter, the host's request"),
        ({"when": lambda: True}, "is a function with one parameter, the "),
        ({"open": "no"}, "open is True or False, not 'no'"),
        ({"page_size": 0}, "page_size is a number from 1 on, not 0"),
        ({"list_ttl_ms": -1}, "list_ttl_ms is a number from 0 on, not -1"),
        ({"list_step_up": "no"}, "list_step_up is True or False, not 'no'"),
        ({"auth_required": "no"}, "auth_required is True or False, not 'no'"),
        ({"max_body_bytes": "4 MB"}, "max_body_bytes is a number from 1 on, not '4 MB'"),
        ({"session_ttl": 0}, "session_ttl is a number of seconds above 0, not 0"),
        ({"version": 7}, "version is a text, not 7"),
        ({"task_limits": {"tasks": 5}}, "task_limits is a TaskLimits, .* not {'tasks': 5}"),
        ({"allowed_origins": "https://app.example"}, "allowed_origins is a list of origins"),
        ({"allowed_origins": ["app.example"]}, "origins such as .* not 'app.example'"),
        ({"allowed_origins": ["https://app.example/"]}, "without a path"),
        ({"allowed_origins": ["*"]}, r"not '\*'"),
        ({"secret_key": 7}, r"secret_key is a key \(str or bytes\), or a list .* object of int"),
        ({"secret_key": {"k": "v"}}, "secret_key is a key .* object of dict"),
        ({"secret_key": ["new", 7]}, "secret_key has keys of str or bytes, not an object of int"),
    ],
)
def test_options_of_the_wrong_kind_are_refused_at_once_and_when_changed(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises((DefinitionError, ValueError), match=words):
        MCPServer("shop", **options)
    with pytest.raises((DefinitionError, ValueError), match=words):
        MCPServer("shop").configure(**options)


@pytest.mark.parametrize("mount", [mount_starlette, mount_flask, mount_wsgi, mount_asgi])
def test_swapped_arguments_of_mount_are_refused(mount: Any) -> None:
    with pytest.raises(TypeError, match=r"the application comes first, .* mount\(app, '/mcp'"):
        mount(Flask("shop"), MCPServer("shop"), "/mcp")


@pytest.mark.parametrize(
    ("mount", "app", "words"),
    [
        (mount_wsgi, Starlette(), "Starlette is not a WSGI application: use mount_asgi"),
        (mount_asgi, Flask("shop"), "Flask is not an ASGI application: use mount_wsgi"),
        (mount_starlette, Flask("shop"), "takes an application of Starlette, not Flask"),
        (mount_flask, Starlette(), "takes an application of Flask, not Starlette"),
        (mount_wsgi, None, "NoneType is not a WSGI application"),
    ],
)
def test_an_application_of_another_kind_is_refused(mount: Any, app: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        mount(app, "/mcp", MCPServer("shop"))


def test_what_is_no_server_is_not_mounted() -> None:
    with pytest.raises(TypeError, match=r"takes an MCPServer of mcp_mount, not .* MCPMount"):
        mount_flask(Flask("shop"), "/mcp", MCPMount())  # type: ignore[arg-type]


def test_a_task_policy_whose_when_is_no_function_is_refused() -> None:
    wrong: Any = True
    with pytest.raises(TypeError, match=r"when=…\) is a function of the arguments, not True"):
        TaskPolicy(when=wrong)


@pytest.mark.parametrize("wrong", [[1], 5, "x", [lambda: None]])
@pytest.mark.parametrize("make", [MCPServer, ToolsRouter])
def test_dependencies_of_another_kind_are_refused_in_words_of_ours(make: Any, wrong: Any) -> None:
    with pytest.raises(DefinitionError, match=r"a list of Depends\(function\).* permission="):
        make(dependencies=wrong)


@pytest.mark.parametrize(
    ("kind", "first", "wrong", "meant"),
    [
        (Throttle, "1/minute", "ky", "key"),
        (Cache, 60, "tag", "tags"),
        (Timeout, 5, "interupt", "interrupt"),
        (MaxConcurrency, 5, "wiat", "wait"),
        (JWT, "https://issuer.example", "audiences", "audience"),
        (TokenVerifier, len, "authorization_server", "authorization_servers"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_option_of_a_policy_that_means_nothing_is_refused(
    kind: Any, first: Any, wrong: str, meant: str
) -> None:
    words = f"{kind.__name__} has no option '{wrong}'; did you mean '{meant}'?"
    with pytest.raises(DefinitionError, match=re.escape(words)):
        kind(first, **{wrong: 1})
