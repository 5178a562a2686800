"""Pictures and sound in the answers of chat models, in the form of each interface."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mcp_types import ImageContent

from mcp_mount import Audio, ChatRequest, CompletionsRouter, Context, File, Image
from mcp_mount.models import AudioPart, ChatCompletion, ImagePart, ModelError, Route, Tools
from mcp_mount.testing import Client
from tests.backends.models.asking import ask as ask_model
from tests.backends.models.asking import ask_in_pieces, model_of
from tests.backends.models.asking import events as written
from tests.routes import test_responses as responses
from tests.routes.test_chat import ask, build, events, says
from tests.routes.test_composition import get
from tests.upstream import Upstream

PNG = b"\x89PNG\r\n\x1a\n"
ENCODED = base64.b64encode(PNG).decode()
URL = f"data:image/png;base64,{ENCODED}"
LINK = "https://example.com/cat.png"
IMAGE = {"type": "image_url", "image_url": {"url": URL}}
SOUND = {"type": "input_audio", "input_audio": {"data": "c291bmQ=", "format": "mp3"}}
NOT_HEARD = "[audio/wav, 5 bytes: only text can be shown here]"
LEFT_OUT = "[image/png, 8 bytes: only text can be shown here]"


def message_of(*pieces: Any) -> dict[str, Any]:
    answer = ask(build(says(*pieces)[0]))
    assert answer.status_code == 200, answer.text
    message: dict[str, Any] = answer.json()["choices"][0]["message"]
    return message


@pytest.mark.parametrize("number", range(4), ids=["plain", "coroutine", "generator", "iterator"])
@pytest.mark.parametrize(
    "picture",
    [
        Image(data=PNG),
        IMAGE,
        {"type": "input_image", "image_url": URL},
        ImagePart(URL),
        ImagePart.of(PNG, "image/png"),
        ImageContent(type="image", data=ENCODED, mime_type="image/png"),
        ChatCompletion(images=[ImagePart(URL)]),
        [Image(data=PNG)],
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_picture_is_a_member_of_the_message(picture: Any, number: int) -> None:
    server = build(says("Look", picture)[number])
    [choice] = ask(server).json()["choices"]
    assert choice["finish_reason"] == "stop"
    message = choice["message"]
    assert (message["content"], message["images"]) == ("Look", [{**IMAGE, "index": 0}])
    deltas = [one["choices"][0]["delta"] for one in events(server)]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"content": "Look"},
        {"images": [{**IMAGE, "index": 0}]},
        {},
    ]


def test_pictures_are_counted_through() -> None:
    message = message_of(ImagePart(LINK), Image(data=PNG))
    assert message["content"] == ""
    assert [one["index"] for one in message["images"]] == [0, 1]
    assert message["images"][0]["image_url"] == {"url": LINK}
    chunks = events(build(says(ImagePart(LINK), Image(data=PNG))[0]))
    shown = [one["choices"][0]["delta"].get("images") for one in chunks]
    assert [one[0]["index"] for one in shown if one] == [0, 1]


@pytest.mark.parametrize("sound", [Audio(data=b"sound", format="mpeg"), SOUND])
def test_sound_is_in_openais_form(sound: Any) -> None:
    audio = message_of(sound)["audio"]
    assert (audio["data"], audio["transcript"], audio["format"]) == ("c291bmQ=", "", "mp3")
    assert audio["id"].startswith("audio_")
    assert isinstance(audio["expires_at"], int)
    assert message_of(sound)["content"] is None


def test_pieces_of_sound_come_as_pieces_and_make_one() -> None:
    pieces = [AudioPart(b"so", "pcm16", "Hel"), AudioPart(b"und", transcript="lo", id="audio_1")]
    audio = message_of(*pieces)["audio"]
    assert (audio["data"], audio["transcript"], audio["id"]) == ("c291bmQ=", "Hello", "audio_1")
    chunks = [one["choices"][0]["delta"].get("audio") for one in events(build(says(*pieces)[0]))]
    first, second = [one for one in chunks if one]
    assert (base64.b64decode(first["data"]), first["transcript"]) == (b"so", "Hel")
    assert first["id"].startswith("audio_")
    assert (base64.b64decode(second["data"]), second["transcript"]) == (b"und", "lo")


def test_parts_of_text_and_refusals_are_text_and_refusals() -> None:
    message = message_of({"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"})
    assert (message["content"], message["refusal"]) == ("a", "b")


@pytest.mark.parametrize(
    "said",
    [
        {"type": "file", "file": {"file_data": "x"}},
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}},
        {"type": "input_audio", "input_audio": {"data": "?"}},
        {},
        File(data="x"),
        [Audio(data=b"a"), Audio(data=b"b")],
        [SOUND, SOUND],
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_in_an_answer_is_an_error(stream: bool, said: Any) -> None:
    server = build(lambda request: said)
    if stream and isinstance(said, list):
        # It has begun.
        answer = ask(server, stream=True)
        assert (answer.status_code, "failed" in answer.text) == (200, True)
        return
    answer = ask(server, stream=stream)
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "failed"


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_has_pictures_as_openais_tool_for_them_does(stream: bool) -> None:
    model = says("Look", Image(data=PNG), "there")[0]
    if stream:
        found = responses.events(model)
        kinds = [one["type"] for one in found]
        at = kinds.index("response.image_generation_call.completed")
        assert kinds[at - 1 : at + 2] == [
            "response.output_item.added",
            "response.image_generation_call.completed",
            "response.output_item.done",
        ]
        output = found[-1]["response"]["output"]
    else:
        output = responses.ask(model).json()["output"]
    kinds = ["message", "image_generation_call"]
    assert [one["type"] for one in output] == [*kinds, "message"][: 2 + stream]
    assert {**output[1], "id": ""} == {
        "id": "",
        "type": "image_generation_call",
        "status": "completed",
        "result": ENCODED,
        "output_format": "png",
    }


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([ImagePart(LINK)], f"![image]({LINK})"),
        ([AudioPart(b"so", "pcm16", "Hel"), AudioPart(b"und", transcript="lo")], "Hello"),
        (
            ["Hear: ", Audio(data=b"sound", format="wav")],
            "Hear: [audio/wav, 5 bytes: only text can be shown here]",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["responses", "completions"])
def test_text_stands_for_what_an_interface_has_no_place_for(
    path: str, stream: bool, pieces: list[Any], text: str
) -> None:
    model = says(*pieces)[0]
    if path == "responses":
        output = (
            responses.events(model)[-1]["response"]["output"]
            if stream
            else responses.ask(model).json()["output"]
        )
        assert [one["content"][0]["text"] for one in output] == [text]
    else:
        assert text_completion(model, stream) == text


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_completion_says_what_it_leaves_out(stream: bool) -> None:
    assert text_completion(says("Look: ", Image(data=PNG))[0], stream) == f"Look: {LEFT_OUT}"


def text_completion(model: Any, stream: bool) -> str:
    body = {"prompt": "hi", "stream": stream}
    answer = get(build(model), "/v1/completions", "POST", json=body)
    if not stream:
        return str(answer.json()["choices"][0]["text"])
    data = [one.removeprefix("data: ") for one in answer.text.split("\n\n") if "{" in one]
    return "".join(json.loads(one)["choices"][0]["text"] for one in data)


def test_the_tool_chat_gives_mcp_clients_content() -> None:
    model = says("Look", Image(data=PNG), ImagePart(LINK), Audio(data=b"sound", format="wav"))[0]
    result = Client(build(model, chat_tool=True)).call_tool("chat", {"message": "hi"})
    assert result.content == [
        {"type": "text", "text": "Look"},
        {"type": "image", "data": ENCODED, "mimeType": "image/png"},
        {"type": "text", "text": f"![image]({LINK})"},
        {"type": "audio", "data": "c291bmQ=", "mimeType": "audio/wav"},
    ]
    only = build(says(Image(data=PNG))[0], chat_tool=True)
    assert Client(only).call_tool("chat", {"message": "hi"}).content == [
        {"type": "image", "data": ENCODED, "mimeType": "image/png"}
    ]


def test_a_handler_gets_pictures_and_sound() -> None:
    server = build(says("Look", Image(data=PNG), Audio(data=b"sound", format="wav"))[0])

    @server.tool
    async def look(ctx: Context) -> list[str]:
        answer = await ctx.complete("hi")
        assert answer.audio is not None
        assert answer.images[0].file is not None
        return [answer.text, answer.images[0].file.data().hex(), answer.audio.data.decode()]

    assert Client(server).call_tool("look").data == ["Look", PNG.hex(), "sound"]


def painter(request: ChatRequest) -> Iterator[Any]:
    yield Image(data=PNG)
    yield Audio(data=b"sound", format="wav")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "add",
    [
        lambda router: router.add_model("own", Route(["painter"])),
        lambda router: router.add_model("own", "painter"),
        lambda router: router.add_model("own", painter, tools=Tools()),
        lambda router: router.add_model("own", painter, budget="1000000 tokens/day"),
        lambda router: router.add_model("own", painter, cache=60),
    ],
    ids=["route", "named", "tools", "budget", "cache"],
)
def test_pictures_and_sound_come_through_models_that_ask_others(
    add: Callable[[Any], None], stream: bool
) -> None:
    server = build(painter)
    router = CompletionsRouter()
    add(router)
    server.include_router(router)
    for _ in range(2):
        if stream:
            deltas = [one["choices"][0]["delta"] for one in events(server, model="own")]
            images = [image for one in deltas for image in one.get("images", ())]
            sounds = [one["audio"]["data"] for one in deltas if "audio" in one]
        else:
            message = ask(server, model="own").json()["choices"][0]["message"]
            images, sounds = message["images"], [message["audio"]["data"]]
        assert ([one["image_url"]["url"] for one in images], sounds) == ([URL], ["c291bmQ="])


def test_an_upstream_may_answer_with_pictures_and_sound(upstream: Upstream) -> None:
    sound = {"id": "audio_1", "data": "c291bmQ=", "transcript": "Hi", "expires_at": 9}
    message = {"content": "Look", "images": [IMAGE], "audio": sound}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    upstream.raw = "application/json", json.dumps(whole).encode()
    answer = ask_model(model_of("openai", upstream))
    assert (answer.text, answer.images) == ("Look", [ImagePart(URL)])
    assert answer.audio == AudioPart(b"sound", "", "Hi", "audio_1", 9)
    upstream.raw = written(
        {"choices": [{"index": 0, "delta": {"images": [IMAGE]}}]},
        {"choices": [{"index": 0, "delta": {"audio": {"id": "audio_1", "transcript": "H"}}}]},
        {"choices": [{"index": 0, "delta": {"audio": {"data": "c28="}}, "finish_reason": "stop"}]},
        "[DONE]",
    )
    answer, deltas = ask_in_pieces(model_of("openai", upstream), stream=True)
    assert answer.images == [ImagePart(URL)]
    assert answer.audio == AudioPart(b"so", "", "H", "audio_1")
    assert [one.audio.data for one in deltas if one.audio] == [b"", b"so"]


@pytest.mark.parametrize(
    "said", [{"images": [{"image_url": {"url": "x"}}]}, {"audio": {"data": "?"}}]
)
def test_an_upstream_with_broken_pictures_has_no_answer(said: Any, upstream: Upstream) -> None:
    whole = {"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}
    upstream.raw = "application/json", json.dumps(whole).encode()
    with pytest.raises(ModelError) as raised:
        ask_model(model_of("openai", upstream))
    assert raised.value.status == 502
