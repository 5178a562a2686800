"""Image generation and editing, as users register backends and clients ask for pictures."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from typing import Any

import pytest
from fastapi import FastAPI
from PIL import Image as PILImage
from starlette.testclient import TestClient

import mcp_mount.routes.images
from mcp_mount import Context, DefinitionError, ImageRouter, MCPServer, SyncContext
from mcp_mount.images import ImageRequest, ModelError, PartialImage, Picture
from mcp_mount.testing import Client
from tests.requests import ask, call
from tests.routes.test_chat import Leaver
from tests.routes.test_composition import get

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"


def make(**options: Any) -> MCPServer:
    server = MCPServer()
    server.include_router(ImageRouter(**options))
    return server


def serve(images: ImageRouter) -> MCPServer:
    server = MCPServer(secret_key="k")
    server.include_router(images)
    return server


def generate(server: MCPServer, **request: Any) -> Any:
    body = {"prompt": "a cat"} | request
    return get(server, "/v1/images/generations", "POST", json=body)


def edit(server: MCPServer, files: Any = None, **fields: Any) -> Any:
    files = [("image", ("a.png", PNG + b"1", "image/png"))] if files is None else files
    fields = {"prompt": "a hat"} | fields
    return get(server, "/v1/images/edits", "POST", data=fields, files=files)


def opened(data: str) -> Any:
    return PILImage.open(BytesIO(base64.b64decode(data)))


def drawn(answer: Any) -> bytes:
    assert answer.status_code == 200, answer.text
    return base64.b64decode(answer.json()["data"][0]["b64_json"])


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["message"]


def events(text: str) -> list[dict[str, Any]]:
    lines = [one[6:] for one in text.splitlines() if one.startswith("data: ")]
    return [json.loads(one) for one in lines]


# The stand-in.


def test_the_stand_in_draws_a_picture_of_the_size_and_says_what_it_is() -> None:
    block, said = call(make(), "generate_image", {"prompt": "a cat", "size": "64x32"})["content"]
    assert (block["type"], block["mimeType"]) == ("image", "image/png")
    assert opened(block["data"]).size == (64, 32)
    assert said["text"].startswith("A stand-in, drawn without an image model: ")


def test_the_same_prompt_gives_the_same_picture() -> None:
    def draw(prompt: str) -> str:
        return str(generate(make(), prompt=prompt, size="64x64").json()["data"][0]["b64_json"])

    assert draw("a cat") == draw("a cat") != draw("a dog")


FIGURES = [
    {"card": {"title": "Hello", "text": "A text.\nAnother line.", "footer": "end"}},
    {"chart": {"type": "bar", "title": "Sales", "labels": ["a", "b"], "values": [1, -2.5]}},
    {"chart": {"type": "line", "values": [1, 5, 3]}},
    {"chart": {"type": "line", "values": [5e-324]}},
    {"chart": {"type": "pie", "labels": ["a", "b"], "values": [1, 0]}},
    {"diagram": {"nodes": ["a", "b", "c"], "edges": [["a", "b"], ["b", "c"], ["c", "a"]]}},
    {"diagram": {"nodes": ["a"], "edges": [["a", "a"]]}},
]


@pytest.mark.parametrize("size", ["10x10", "640x400", "auto"])
@pytest.mark.parametrize("figure", FIGURES)
def test_the_stand_in_draws_figures_from_parameters(figure: Any, size: str) -> None:
    server = make()
    by_options = drawn(generate(server, size=size, **figure))
    assert by_options == drawn(generate(server, prompt=json.dumps(figure), size=size))
    assert by_options != drawn(generate(server, size=size))


@pytest.mark.parametrize(
    ("figure", "told"),
    [
        ({"chart": {"values": []}}, "chart.values"),
        ({"chart": {"values": [1], "labels": ["a", "b"]}}, "as many labels"),
        ({"chart": {"type": "pie", "values": [-1, 2]}}, "a pie has values"),
        ({"chart": {"values": "x"}}, "chart.values"),
        ({"chart": 7}, "chart: "),
        ({"card": {"texts": "x"}}, "card.texts"),
        ({"diagram": {"nodes": ["a"], "edges": [["a", "b"]]}}, "there is not: 'b'"),
    ],
)
def test_parameters_of_figures_that_do_not_fit_are_refused(figure: Any, told: str) -> None:
    status, message = error(generate(make(), **figure))
    assert (status, told in message) == (400, True), message


def test_the_stand_in_edits_a_picture() -> None:
    server = make()
    file = BytesIO()
    PILImage.new("RGBA", (40, 30), (0, 0, 0, 0)).save(file, format="png")
    files = [("image", ("a.png", file.getvalue())), ("mask", ("m.png", file.getvalue()))]
    answer = edit(server, files, size="auto", output_format="webp")
    assert PILImage.open(BytesIO(drawn(answer))).size == (40, 30)
    assert answer.json()["output_format"] == "webp"
    assert error(edit(server))[1] == "The picture cannot be read"


def test_without_a_backend_the_server_still_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mcp_mount.routes.images, "find_spec", lambda name: None)
    server = make()
    assert "mcp-mount[images]" in caplog.text
    assert ask(server, "tools/list")["result"]["tools"] == []
    assert generate(server).status_code == 503


# Requests.


def test_images_come_as_base64_or_as_a_url_that_shows_them() -> None:
    server = make()
    answer = generate(server, n=2, size="32x32").json()
    assert len(answer["data"]) == 2
    assert (answer["output_format"], answer["size"]) == ("png", "32x32")
    assert answer["created"] > 1_700_000_000
    url = generate(server, size="32x32", response_format="url").json()["data"][0]["url"]
    assert url.startswith("http://testserver/v1/images/files/")
    shown = get(server, url)
    assert shown.headers["content-type"] == "image/png"
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert PILImage.open(BytesIO(shown.content)).size == (32, 32)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"prompt": ""}, 400),
        ({"prompt": "x" * 40_000}, 400),
        ({"prompt": None}, 400),
        ({"n": 0}, 400),
        ({"n": 11}, 400),
        ({"size": "big"}, 400),
        ({"size": "0x0"}, 400),
        ({"size": "4096x64"}, 400),
        ({"response_format": "gif"}, 400),
        ({"output_format": "gif"}, 400),
        ({"partial_images": 4}, 400),
        ({"prompt": "\ud800"}, 400),
    ],
)
def test_a_bad_request_is_refused(request_: Any, status: int) -> None:
    body = json.dumps({"prompt": "a cat"} | request_)
    headers = {"content-type": "application/json"}
    path = "/v1/images/generations"
    answer = get(make(), path, "POST", content=body, headers=headers)
    assert (answer.status_code, set(answer.json())) == (status, {"error"})


def test_auto_and_null_mean_left_out() -> None:
    seen: list[ImageRequest] = []

    def draw(request: ImageRequest) -> bytes:
        seen.append(request)
        return PNG

    nothing = dict.fromkeys(
        ("size", "n", "quality", "background", "response_format", "stream", "model")
    )
    server = make(generate=draw)
    assert generate(server, **nothing).status_code == 200
    assert generate(server, size="auto", quality="auto", background="auto").status_code == 200
    assert [one.pixels for one in seen] == [(512, 512), (512, 512)]
    assert [one.quality for one in seen] == [None, "auto"]


def test_the_tool_tells_a_size_that_is_too_large() -> None:
    result = call(make(), "generate_image", {"prompt": "x", "size": "4096x64"})
    assert result["isError"] is True
    assert "at most 2048x2048" in result["content"][0]["text"]


# Backends.


async def _async_backend(prompt: str, size: tuple[int, int]) -> bytes:
    return JPEG + prompt.encode()


def _backend(prompt: str, size: tuple[int, int]) -> bytes:
    return JPEG + prompt.encode()


async def _of_request(request: ImageRequest, ctx: Context[Any]) -> bytes:
    assert ctx is not None
    return JPEG + request.prompt.encode()


def _of_request_here(request: ImageRequest, ctx: SyncContext[Any]) -> Picture:
    assert ctx is not None
    return Picture(JPEG + request.prompt.encode(), "image/jpeg")


async def _in_pieces(request: ImageRequest) -> AsyncIterator[Any]:
    yield PartialImage(PNG + b"1")
    yield PartialImage(PNG + b"2")
    yield JPEG + request.prompt.encode()


def _in_pieces_here(request: ImageRequest) -> Iterator[Any]:
    yield PartialImage(PNG + b"1")
    yield PartialImage(PNG + b"2")
    yield JPEG + request.prompt.encode()


BACKENDS = [
    _backend,
    _async_backend,
    _of_request,
    _of_request_here,
    _in_pieces,
    _in_pieces_here,
]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_of_ones_own(backend: Any) -> None:
    server = make(generate=backend)
    [block] = call(server, "generate_image", {"prompt": "ü"})["content"]
    assert block["mimeType"] == "image/jpeg"
    assert base64.b64decode(block["data"]) == JPEG + "ü".encode()
    assert drawn(generate(server, prompt="ü", model="any-name")) == JPEG + "ü".encode()


@pytest.mark.parametrize("backend", [_in_pieces, _in_pieces_here])
@pytest.mark.parametrize("wanted", [0, 1, 3])
def test_a_stream_has_pictures_on_their_way_and_then_the_picture(backend: Any, wanted: int) -> None:
    answer = generate(make(generate=backend), stream=True, partial_images=wanted, size="64x64")
    assert answer.headers["content-type"].startswith("text/event-stream")
    *partial, whole = events(answer.text)
    assert [one["partial_image_index"] for one in partial] == list(range(min(wanted, 2)))
    assert {one["type"] for one in partial} <= {"image_generation.partial_image"}
    assert whole["type"] == "image_generation.completed"
    assert base64.b64decode(whole["b64_json"]) == JPEG + b"a cat"
    assert (whole["output_format"], whole["size"], whole["quality"]) == ("jpeg", "64x64", "auto")
    assert whole["usage"]["total_tokens"] == 0


def test_streamed_pictures_are_drawn_together_and_come_in_order() -> None:
    begun: list[asyncio.Event] = []

    async def draw(request: ImageRequest) -> AsyncIterator[Any]:
        own, number = asyncio.Event(), len(begun)
        begun.append(own)
        yield PartialImage(PNG + b"%d" % number)
        while len(begun) < 3:
            await asyncio.sleep(0)
        if number < 2:
            # The last one is done first.
            await begun[number + 1].wait()
        own.set()
        yield PNG + b"whole %d" % number

    answer = generate(make(generate=draw), stream=True, n=3, partial_images=1)
    found = events(answer.text)
    assert [base64.b64decode(one["b64_json"])[8:] for one in found] == [
        *(b"0", b"whole 0"),
        *(b"1", b"whole 1"),
        *(b"2", b"whole 2"),
    ]
    assert {one["partial_image_index"] for one in found[::2]} == {0}


def test_a_streamed_picture_that_fails_ends_those_behind_it() -> None:
    ended: list[int] = []
    begun: list[int] = []

    async def draw(request: ImageRequest) -> AsyncIterator[Any]:
        number = len(begun)
        begun.append(number)
        try:
            while len(begun) < 4:
                await asyncio.sleep(0)
            if number == 1:
                raise ModelError("No", status=451)
            if number > 1:
                await asyncio.Event().wait()
            yield PNG
        finally:
            ended.append(number)

    answer = generate(make(generate=draw), stream=True, n=4)
    first, last = events(answer.text)
    assert (first["type"], last["error"]["message"]) == ("image_generation.completed", "No")
    assert sorted(ended) == [0, 1, 2, 3]


def test_a_backend_that_says_more_than_is_wanted_is_not_kept_waiting() -> None:
    async def draw(request: ImageRequest) -> AsyncIterator[Any]:
        for _ in range(200):
            yield PartialImage(PNG)
        yield PNG

    found = events(generate(make(generate=draw), stream=True, n=2, partial_images=1).text)
    assert [one["type"].partition(".")[2] for one in found] == ["partial_image", "completed"] * 2


def test_a_stream_that_fails_has_a_status_or_an_event() -> None:
    async def fails(request: ImageRequest) -> AsyncIterator[Any]:
        if request.prompt == "late":
            yield PartialImage(PNG)
        raise ModelError("No cats today", status=451)

    server = make(generate=fails)
    assert error(generate(server, stream=True)) == (451, "No cats today")
    answer = generate(server, stream=True, prompt="late", partial_images=1)
    assert answer.status_code == 200
    assert events(answer.text)[-1]["error"]["message"] == "No cats today"


def test_backends_have_names_aliases_and_policies_of_their_own() -> None:
    images = ImageRouter()

    @images.backend("red", aliases=["gpt-image-1"], throttle="1/minute")
    def red(request: ImageRequest) -> bytes:
        return PNG + b"red"

    images.add_backend("blue", lambda request: PNG + b"blue", description="All blue")
    server = serve(images)
    assert drawn(generate(server)) == PNG + b"red"
    assert error(generate(server, model="gpt-image-1"))[0] == 429
    assert drawn(generate(server, model="blue")) == PNG + b"blue"
    status, told = error(generate(server, model="green"))
    assert (status, told) == (404, "Unknown model 'green'; known: red, gpt-image-1, blue")
    listed = get(server, "/v1/models")
    assert listed.status_code == 404  # Only a CompletionsRouter lists.


def test_a_caller_without_the_permission_does_not_see_a_backend() -> None:
    images = ImageRouter()
    images.add_backend("secret", lambda request: PNG, permission=lambda request: False)
    images.add_backend("open", lambda request: PNG + b"open")
    server = serve(images)
    assert drawn(generate(server)) == PNG + b"open"
    assert error(generate(server, model="secret"))[0] in (403, 404)


def test_coroutines_draw_the_pictures_of_a_request_at_the_same_time() -> None:
    here = 0
    together = asyncio.Event()

    async def draw(request: ImageRequest) -> bytes:
        nonlocal here
        here += 1
        if here == 3:
            together.set()
        await asyncio.wait_for(together.wait(), 10)
        return PNG

    assert len(generate(make(generate=draw), n=3).json()["data"]) == 3


def test_a_cache_keeps_each_picture_of_a_request() -> None:
    asked = 0

    def draw(request: ImageRequest) -> bytes:
        nonlocal asked
        asked += 1
        return PNG + bytes([asked])

    server = make(generate=draw, cache=60)
    first, second = generate(server, n=2).json(), generate(server, n=2).json()
    assert (first["data"], asked) == (second["data"], 2)
    assert first["data"][0] != first["data"][1]


def test_a_backend_that_fails_says_so_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    def broken(prompt: str, size: tuple[int, int]) -> bytes:
        raise RuntimeError("secret")

    server = make(generate=broken)
    answer = generate(server)
    assert (answer.status_code, "secret" in answer.text) == (500, False)
    assert "secret" in caplog.text
    told = call(server, "generate_image", {"prompt": "x"})
    assert (told["isError"], "secret" in str(told)) == (True, False)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"GIF89a", "none of image/png"),
        (b"", "none of image/png"),
        (PNG + b"x" * 100, "more than the 50"),
        (None, "failed"),
        (7, "failed"),
    ],
)
def test_what_a_backend_returns_is_checked(value: Any, told: str) -> None:
    server = make(generate=lambda request: value, max_image_bytes=50)
    status, message = error(generate(server))
    assert (status >= 500, told in message) == (True, True), message


@pytest.mark.parametrize(
    ("register", "told"),
    [
        (lambda images: images.add_backend("x", 7), "or an object with draw"),
        (lambda images: images.add_backend("", _backend), "needs a name"),
        (lambda images: images.add_backend("x", lambda: b""), "takes an ImageRequest"),
        (lambda images: images.add_backend("x", lambda a, b, c: b""), "takes an ImageRequest"),
        (lambda images: images.add_backend("x", _backend, aliases="y"), "list of names"),
        (lambda images: images.add_backend("x", _backend, throtle="1/s"), "did you mean"),
        (lambda images: images.backend("x", edits=True)(_backend), "not a prompt and a size"),
        (lambda images: images.backend("x", edits="yes"), "edits is True or False"),
        (lambda images: ImageRouter(store="media"), "save and load"),
        (lambda images: ImageRouter(results="url"), '"image" or "link"'),
        (lambda images: ImageRouter(max_side=0), "max_side is a number from 1 on"),
        (lambda images: ImageRouter(url_seconds=-1), "url_seconds"),
    ],
)
def test_what_cannot_be_a_backend_is_refused_at_once(register: Any, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        register(ImageRouter())


# Edits.


def _editor(request: ImageRequest) -> bytes:
    given = [*request.images, *([request.mask] if request.mask else [])]
    return PNG + b"|".join(one.data[8:] for one in given) + request.prompt.encode()


@pytest.fixture
def editing() -> MCPServer:
    images = ImageRouter(max_images=3)
    images.backend("plain")(lambda request: PNG)
    images.backend("editor", edits=True)(_editor)
    return serve(images)


def test_pictures_are_edited_by_the_first_backend_that_does_so(editing: MCPServer) -> None:
    assert drawn(edit(editing, quality="", size="auto")) == PNG + b"1a hat"
    several = [("image[]", (f"{n}.png", PNG + n.encode())) for n in ("a", "b")]
    masked = [*several, ("mask", ("m.png", PNG + b"m"))]
    assert drawn(edit(editing, masked, model="editor")) == PNG + b"a|b|ma hat"
    assert error(edit(editing, model="plain")) == (
        400,
        "The image backend 'plain' edits no pictures",
    )


def test_pictures_to_edit_may_be_data_urls_in_json(editing: MCPServer) -> None:
    url = "data:image/png;base64," + base64.b64encode(PNG + b"u").decode()

    def send(**body: Any) -> Any:
        return get(editing, "/v1/images/edits", "POST", json={"prompt": "x", **body})

    assert drawn(send(image=url)) == PNG + b"ux"
    assert drawn(send(images=[{"image_url": url}], mask=None)) == PNG + b"ux"
    for image in ("http://localhost/a.png", {"file_id": "x"}, 7, "data:,x", "data:;base64,!"):
        assert send(image=image).status_code == 400
    assert send(image=[url] * 4).status_code == 400
    assert send(image=[]).status_code == 400


@pytest.mark.parametrize(
    ("files", "fields"),
    [
        ([("mask", ("a.png", PNG))], {}),
        ([("image", ("a.txt", b"text"))], {}),
        ([("image", ("a.png", PNG))] * 5, {}),
        ([("image", ("a.png", PNG)), ("prompt", ("p", b"x"))], {}),
        ([("image", ("a.png", PNG))], {f"f{number}": "x" for number in range(60)}),
        ([("image", ("a.png", PNG))], {"n": "many"}),
        ([("image", ("a.png", PNG))], {"prompt": "x" * 300_000}),
    ],
)
def test_forms_that_do_not_fit_are_refused(editing: MCPServer, files: Any, fields: Any) -> None:
    answer = edit(editing, files, **fields)
    assert (answer.status_code, set(answer.json())) == (400, {"error"})


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("multipart/form-data", b"", 400),
        ("multipart/form-data; boundary=x", b"--y\r\n", 400),
        ("multipart/form-data; boundary=x", b'--x\r\ncontent-disposition: form-data; na"', 400),
        ("multipart/form-data; boundary=x", b"x" * 5_000_000, 413),
        ("application/json", b"[]", 400),
        ("application/json", b"{", 400),
        ("text/plain", b"{}", 415),
        ("application/x-www-form-urlencoded", b"a=b", 415),
    ],
)
def test_bodies_that_are_no_form_are_refused(
    editing: MCPServer, kind: str, body: bytes, status: int
) -> None:
    headers = {"content-type": kind}
    answer = get(editing, "/v1/images/edits", "POST", content=body, headers=headers)
    assert (answer.status_code, set(answer.json())) == (status, {"error"})


def test_a_form_of_another_site_is_refused(editing: MCPServer) -> None:
    files = [("image", ("a.png", PNG))]
    headers = {"origin": "https://evil.example"}
    data = {"prompt": "x"}
    answer = get(editing, "/v1/images/edits", "POST", data=data, files=files, headers=headers)
    assert answer.status_code == 403


def test_a_form_of_another_site_is_refused_in_a_plain_application() -> None:
    app = FastAPI()
    app.include_router(ImageRouter(image_tools=False))
    files = [("image", ("a.png", PNG))]

    def send(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        path, data = "/v1/images/edits", {"prompt": "x"}
        answer = get(app, path, "POST", data=data, files=files, headers=named)
        assert set(answer.json()) == {"error"}
        return answer.status_code

    assert send() == send(origin="http://testserver") == send(sec_fetch_site="same-origin") == 400
    assert send(origin="https://evil.example") == send(origin="null") == 403
    assert send(sec_fetch_site="cross-site") == 403


def test_the_tool_edits_pictures(editing: MCPServer) -> None:
    encoded = base64.b64encode(PNG + b"e").decode()
    arguments = {"prompt": "x", "images": [encoded], "mask": f"data:image/png;base64,{encoded}"}
    [block] = call(editing, "edit_image", arguments)["content"]
    assert base64.b64decode(block["data"]) == PNG + b"e|ex"
    for images in (["!"], [base64.b64encode(b"text").decode()], ["image://x"], [encoded] * 4):
        assert call(editing, "edit_image", {"prompt": "x", "images": images})["isError"]


# Tools.


def test_results_may_be_links_to_resources_that_last_for_a_while() -> None:
    images = ImageRouter(results="link")
    images.backend("editor", edits=True)(lambda request: PNG + request.prompt.encode())
    server = serve(images)
    [link] = call(server, "generate_image", {"prompt": "a cat"})["content"]
    assert (link["type"], link["mimeType"], link["size"]) == ("resource_link", "image/png", 13)
    [read] = ask(server, "resources/read", {"uri": link["uri"]})["result"]["contents"]
    assert base64.b64decode(read["blob"]) == PNG + b"a cat"
    assert not call(server, "edit_image", {"prompt": "x", "images": [link["uri"]]}).get("isError")
    missing = link["uri"].replace("image://", "image://f")
    assert "error" in ask(server, "resources/read", {"uri": missing})


@pytest.mark.parametrize("backend", [_in_pieces, _in_pieces_here])
def test_the_tool_reports_pictures_on_their_way(backend: Any) -> None:
    with Client(make(generate=backend)) as client:
        result = client.call_tool("generate_image", {"prompt": "x"})
        assert result.progress == [1, 2]


def test_the_tools_may_be_left_out_and_run_as_tasks() -> None:
    assert ask(make(generate=_backend, image_tools=False), "tools/list")["result"]["tools"] == []
    server = make(generate=_backend, task=True)
    assert server.registry.tools["generate_image"].task is not None


@pytest.mark.parametrize("links", [False, True])
def test_the_tools_of_two_routers_have_names_and_backends_of_their_own(links: bool) -> None:
    server = MCPServer(secret_key="k")
    results: Any = "link" if links else "image"
    for group, mark in ((True, b"1"), ("posters", b"2")):
        router = ImageRouter(image_tools=group, results=results)
        backend = router.backend(f"backend{mark.decode()}", edits=True)
        backend(lambda request, mark=mark: PNG + mark)
        server.include_router(router)
    tools = {one["name"] for one in ask(server, "tools/list")["result"]["tools"]}
    names = ("generate_image", "edit_image", "posters_generate_image", "posters_edit_image")
    assert tools == set(names)
    given = base64.b64encode(PNG).decode()
    for name, mark in zip(names, (b"1", b"1", b"2", b"2"), strict=True):
        arguments = {"prompt": "x"} | ({"images": [given]} if "edit" in name else {})
        [block] = call(server, name, arguments)["content"]
        if links:
            read = ask(server, "resources/read", {"uri": block["uri"]})["result"]["contents"]
            edit = name.replace("generate", "edit")
            again = call(server, edit, {"prompt": "x", "images": [block["uri"]]})
            assert not again.get("isError"), again
            assert base64.b64decode(read[0]["blob"]) == PNG + mark
        else:
            assert base64.b64decode(block["data"]) == PNG + mark
    other = call(server, "posters_generate_image", {"prompt": "x", "model": "backend1"})
    assert not other.get("isError"), "the backends of the other router are there as well"


def test_a_second_router_is_told_what_to_write() -> None:
    server = make(generate=_backend)
    with pytest.raises(DefinitionError, match='image_tools="posters", by which its tools are'):
        server.include_router(ImageRouter())
    server.include_router(ImageRouter(image_tools=False))
    for wrong in ("", "a b", 3):
        with pytest.raises(DefinitionError, match="image_tools is"):
            ImageRouter(image_tools=wrong)  # type: ignore[arg-type]


def test_the_tools_run_as_tasks() -> None:
    with Client(make(generate=_in_pieces, task="required"), tasks=True) as client:
        [block] = client.call_tool("generate_image", {"prompt": "x"}).content
        assert base64.b64decode(block["data"]) == JPEG + b"x"


# Who leaves.


@pytest.mark.parametrize(("stream", "n"), [(False, 1), (False, 3), (True, 2)])
def test_a_client_that_leaves_ends_coroutines_at_once(stream: bool, n: int) -> None:
    begun: list[int] = []
    ended: list[int] = []

    async def draw(request: ImageRequest) -> AsyncIterator[Any]:
        begun.append(1)
        try:
            yield PartialImage(PNG)
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    async def run() -> None:
        more: Any = {"prompt": "x", "n": n, "partial_images": 1}
        path = "/v1/images/generations"
        leaver = Leaver(make(generate=draw), stream=stream, path=path, **more)
        await asyncio.wait_for(leaver.run(), 10)

    asyncio.run(run())
    assert (len(begun), len(ended)) == (n, n)


# URLs.


def test_urls_are_signed_and_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(ImageRouter(_backend, url_seconds=60, permission=lambda request: True))
    path = generate(server, response_format="url").json()["data"][0]["url"]
    assert get(server, path).content == JPEG + b"a cat"
    name = path.rpartition("/")[2]
    token, _, ending = name.rpartition(".")
    forged = [
        # Not the last character, some of whose bits stand for nothing.
        f"{token[:-2]}{'A' if token[-2] != 'A' else 'B'}{token[-1]}.{ending}",
        f"{token}.png",
        f"{token}.",
        token,
        "..%5C..%5Cetc%5Cpasswd",
        "x" * 5000,
        "%00",
    ]
    for one in forged:
        answer = get(server, f"/v1/images/files/{one}")
        assert (answer.status_code, set(answer.json())) == (404, {"error"}), one
    other = serve(ImageRouter(_backend))
    assert get(other, path).status_code == 404
    import time

    later = time.time() + 100
    monkeypatch.setattr(time, "time", lambda: later)
    assert get(server, path).status_code == 404


def test_a_url_shows_the_picture_without_credentials() -> None:
    images = ImageRouter(_backend, when=lambda caller: caller.id == "ann", prefix="/draw")
    server = MCPServer(secret_key="k", caller=lambda request: request.headers.get("x-user"))
    server.include_router(images)
    with TestClient(server, base_url="http://localhost") as client:
        body = {"prompt": "x", "response_format": "url"}
        assert client.post("/draw/v1/images/generations", json=body).status_code in (401, 403)
    allowed = serve(ImageRouter(_backend, permission=lambda request: "x-user" in request.headers))
    with TestClient(allowed, base_url="http://localhost") as client:
        headers = {"x-user": "ann"}
        assert client.post("/v1/images/generations", json=body).status_code == 401
        answer = client.post("/v1/images/generations", json=body, headers=headers)
        assert client.get(answer.json()["data"][0]["url"]).content == JPEG + b"x"


def test_urls_begin_as_the_router_says_and_come_in_streams_as_well() -> None:
    server = serve(ImageRouter(_backend, files_url="https://example.com/mcp/"))
    begin = "https://example.com/mcp/v1/images/files/"
    wanted = {"response_format": "url", "prompt": "x"}
    [event] = events(generate(server, stream=True, **wanted).text)
    for url in (event["url"], generate(server, **wanted).json()["data"][0]["url"]):
        assert url.startswith(begin)
        shown = get(server, url.removeprefix("https://example.com/mcp"))
        assert shown.content == JPEG + b"x"


class Shelf:
    """A store that has URLs of its own, or fails."""

    def __init__(self, base: str = "", fails: str = "") -> None:
        self._base = base
        self._fails = fails
        self.names: list[str] = []

    def save(self, name: str, data: bytes) -> None:
        if self._fails == "save":
            raise OSError("disk /dev/secret is full")
        self.names.append(name)

    def load(self, name: str) -> bytes | None:
        if self._fails == "load":
            raise OSError("disk /dev/secret is gone")
        return b"?"

    def url(self, name: str, seconds: float) -> str | None:
        return f"{self._base}{name}?for={seconds:.0f}" if self._base else None


@pytest.mark.parametrize(
    ("base", "begins"),
    [
        ("https://bucket.example/a/", "https://bucket.example/a/"),
        ("/media/", "http://testserver/media/"),
        ("", "http://testserver/v1/images/files/"),
    ],
)
def test_a_store_may_have_urls_of_its_own(base: str, begins: str) -> None:
    shelf = Shelf(base)
    server = serve(ImageRouter(_backend, store=shelf, url_seconds=60))
    url = generate(server, response_format="url").json()["data"][0]["url"]
    assert url.startswith(begins)
    assert url.endswith(f"{shelf.names[0]}?for=60") is bool(base)


def test_a_store_that_fails_is_told_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    server = serve(ImageRouter(_backend, store=Shelf(fails="save")))
    answer = generate(server, response_format="url")
    assert error(answer) == (500, "The picture could not be kept")
    assert answer.headers["x-should-retry"] == "false"
    assert "disk /dev/secret is full" in caplog.text
    server = serve(ImageRouter(_backend, store=Shelf(fails="load")))
    answer = get(server, generate(server, response_format="url").json()["data"][0]["url"])
    assert error(answer) == (500, "The picture could not be read")
    assert "disk /dev/secret is gone" in caplog.text
