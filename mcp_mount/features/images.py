"""The call of a backend that draws pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any, Final

from mcp_mount.calls.catalogue import HandlerCall
from mcp_mount.calls.incoming import IncomingRequest
from mcp_mount.calls.results import Result
from mcp_mount.context.context import Context, SyncContext
from mcp_mount.features.metering import tokens_of_pictures, tokens_of_texts
from mcp_mount.features.model_calls import ModelCall
from mcp_mount.features.models import RegisteredModel, named_model
from mcp_mount.features.prices import Price, known_cost
from mcp_mount.features.reserving import Metered, metered
from mcp_mount.llm.answers import Usage
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.images import ImageInvocation, ImagePieces, ImageRequest, Picture
from mcp_mount.wire.encoding import encode
from mcp_mount.wire.revisions import Revision

GENERATE: Final = "images/generations"
EDIT: Final = "images/edits"
"""How logs, audits and call middleware name the method of a call."""


class ImageCall(ModelCall[Picture]):
    """A call of an image backend: one picture.

    Attributes:
        invocation: What it is asked.
    """

    __slots__ = ("_given", "invocation")

    def __init__(
        self,
        incoming: IncomingRequest,
        model: RegisteredModel,
        request: ImageRequest,
        pieces: ImagePieces,
        number: int = 0,
    ) -> None:
        """Prepare a call.

        Args:
            incoming: The request that asks for it.
            model: The backend.
            request: What it is asked.
            pieces: Takes pictures on their way.
            number: Tells the pictures of one request apart, so that a cache does.
        """
        backend = model.image
        assert backend is not None, "only such models are called"
        self.invocation = ImageInvocation(request, pieces)
        policies = model.policies.chain
        arguments = None
        if policies:
            arguments = request.shown()
            if number:
                arguments["number"] = number
        super().__init__(
            replace(
                incoming,
                method=EDIT if request.images else GENERATE,
                params={"name": model.name},
                passed=incoming.passing,
                passing=frozenset(),
            ),
            model,
            self._draw_async if backend.is_async else self._draw,
            is_async=backend.is_async,
            encode=self._encode_picture,
            context=("context", Context if backend.is_async else SyncContext)
            if backend.wants_context
            else None,
            arguments=arguments,
            validate=self._take_arguments if policies else None,
        )
        self._given = self.arguments

    def _take_arguments(self, arguments: Mapping[str, Any]) -> HandlerCall:
        """Let the backend be asked what call middleware has put in place of the request."""
        if arguments is not self._given:
            request = self.invocation.request
            fresh = ImageRequest.model_validate(
                {key: one for key, one in arguments.items() if key != "number"}
            )
            self.invocation.request = fresh.with_files(request.images, request.mask)
        return (), {}

    def _draw(self, context: Any = None) -> Any:
        self.invocation.context = context
        backend: Any = self.model.image
        if self.incoming.spending is None:
            return backend.draw(self.invocation)
        with metered(self, self.model.price) as metering:
            return metering.ask(partial(backend.draw, self.invocation))

    async def _draw_async(self, context: Any = None) -> Any:
        self.invocation.context = context
        backend: Any = self.model.image
        if self.incoming.spending is None:
            return await backend.draw(self.invocation)
        with metered(self, self.model.price) as metering:
            return await metering.ask_async(partial(backend.draw, self.invocation))

    def most(self, max_tokens: int) -> Usage:
        """How many tokens it takes, at most, if it takes any.

        Args:
            max_tokens: Those of the picture.
        """
        request = self.invocation.request
        given = len(request.images) + (request.mask is not None)
        return Usage(tokens_of_pictures(given) + tokens_of_texts([request.prompt]), max_tokens)

    def note_spending(self, metering: Metered) -> None:
        """Note what the picture has taken; one that nobody waits for any more is paid as well."""
        picture: Picture | None = metering.answer
        if picture is not None:
            used = usage_of(picture)
            is_told = used != Usage() or not isinstance(self.model.price, Price)
            # A price of tokens is of no use without their number.
            metering.note(used if is_told else metering.most)
        elif metering.is_cut:
            metering.note(Usage(metering.most.input_tokens))

    def _encode_picture(self, value: Any, revision: Revision) -> Result:
        assert isinstance(value, Picture), "a backend returns a Picture"
        # Only policies look at the result.
        data = encode(_kept(value)) if self.policies else b"null"
        return self._keep(value, data)

    def used(self) -> tuple[Usage | None, float | None]:
        """The tokens and the cost of the picture, if they are known."""
        picture = self.known_answer()
        usage, cost = known_cost(self.model.price, None if picture is None else usage_of(picture))
        if usage == Usage():
            return None, None if isinstance(self.model.price, Price) else cost
        return usage, cost

    def _answer_in(self, value: Any) -> Picture:
        return Picture(**{**value, "data": base64.b64decode(value["data"])})


def usage_of(picture: Picture) -> Usage:
    """How many tokens a picture took, if its backend says so."""
    told = picture.usage or {}
    counts = [told.get(name) for name in ("input_tokens", "output_tokens")]
    return Usage(*(one if isinstance(one, int) and one > 0 else 0 for one in counts))


def _kept(picture: Picture) -> dict[str, Any]:
    """A picture in JSON form."""
    members = {one.name: getattr(picture, one.name) for one in fields(picture)}
    return {**members, "data": base64.b64encode(picture.data).decode()}


def image_call(
    models: Mapping[str, RegisteredModel],
    incoming: IncomingRequest,
    request: ImageRequest,
    pieces: ImagePieces,
    number: int = 0,
) -> ImageCall:
    """The call of the backend that a request for a picture names.

    Args:
        models: The models of a server, by their names.
        incoming: The request that asks for it.
        request: What the backend is asked. One that names none gets the first that its caller may
            ask; one with pictures the first that edits such.
        pieces: Takes pictures on their way.
        number: Tells the pictures of one request apart.

    Raises:
        ModelError: 404 if there is no such backend, or its caller may not know of it; 400 if it is
            of another kind; 503 if there is none at all.
        ProtocolError: 401 or 403, if an access token with more scopes is missing.
    """
    name = request.model
    drawing = {key: one for key, one in models.items() if one.image is not None}
    if not drawing:
        raise ModelError(
            "This server has no image backend", status=503, code="no_backend", again=False
        )
    if name is not None and name not in models:
        # A backend without a name of its own answers to every name.
        name = next((key for key, one in drawing.items() if one.answers_any_name), name)
    if name in models and name not in drawing:
        other = named_model(models, incoming, name)
        raise _unfit(f"The model {other.name!r} draws no pictures", "model")
    if name is None and request.images:
        editing = {key: one for key, one in drawing.items() if one.image and one.image.edits}
        drawing = editing or drawing
    model = named_model(drawing, incoming, name)
    if request.images and not (model.image is not None and model.image.edits):
        raise _unfit(f"The image backend {model.name!r} edits no pictures", "model")
    return ImageCall(incoming, model, request, pieces, number)


def _unfit(message: str, param: str) -> ModelError:
    return ModelError(message, status=400, param=param, again=False)
