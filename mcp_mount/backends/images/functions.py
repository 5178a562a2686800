"""Python functions as image backends."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

from mcp_mount.backends.answering_functions import AnsweringFunction, close, close_async
from mcp_mount.backends.images.pictures import picture_of
from mcp_mount.llm.images import ImageInvocation, PartialPicture, Picture
from mcp_mount.schemas.functions import (
    DefinitionError,
    describe,
    signature_of,
)
from mcp_mount.transports.threads import run_in_thread


class PartialImage:
    """A picture on its way, which a function that draws may yield before the whole one.

    Args:
        source: Bytes, a path, an `Image` or a PIL image.
    """

    def __init__(self, source: Any) -> None:
        picture = picture_of(source)
        self.picture = PartialPicture(picture.data, picture.media_type)


class FunctionBackend(AnsweringFunction):
    """A function that draws, as an image backend.

    It takes an `ImageRequest`, or the prompt and the size (width, height); and the context if a
    parameter is annotated `Context` (in an `async def`) or `SyncContext` (in a `def`). It returns
    bytes, an `Image`, a PIL image or a `Picture`; a generator yields `PartialImage` first.

    Args:
        function: The function: plain, a coroutine function, or a generator of either kind.
        edits: Whether it edits the pictures of a request.

    Raises:
        DefinitionError: If it takes other parameters.
    """

    def __init__(self, function: Callable[..., Any], *, edits: bool = False) -> None:
        super().__init__(function)
        self.edits = edits
        self._context, self._takes_size = self._parameters()
        self.wants_context = self._context is not None
        if edits and self._takes_size:
            raise DefinitionError(
                f"{describe(function)}: a function that edits takes an ImageRequest, which has the "
                "pictures, not a prompt and a size"
            )

    def draw(self, invocation: ImageInvocation) -> Any:
        """Draw a picture; a coroutine, if the function is one."""
        return self._draw_async(invocation) if self.is_async else self._draw_here(invocation)

    async def _draw_async(self, invocation: ImageInvocation) -> Picture:
        value = self._call(invocation)
        if inspect.isawaitable(value):
            value = await value
        if isinstance(value, AsyncIterator):
            found: Any = None
            try:
                async for one in value:
                    if isinstance(one, PartialImage):
                        await invocation.pieces.put(one.picture)
                    else:
                        found = one
            finally:
                await close_async(value)
            return await run_in_thread(partial(self._picture, found, invocation))
        if isinstance(value, Iterator):
            # Each of its steps may block.
            return await run_in_thread(partial(self._exhaust, value, invocation))
        if isinstance(value, bytes | Picture):
            return self._picture(value, invocation)
        # It may have to be read or encoded.
        return await run_in_thread(partial(self._picture, value, invocation))

    def _draw_here(self, invocation: ImageInvocation) -> Picture:
        value = self._call(invocation)
        self.refuse_awaitable(value)
        if isinstance(value, Iterator):
            return self._exhaust(value, invocation)
        return self._picture(value, invocation)

    def _exhaust(self, steps: Iterator[Any], invocation: ImageInvocation) -> Picture:
        found: Any = None
        try:
            for one in steps:
                if isinstance(one, PartialImage):
                    invocation.pieces.put_from_thread(one.picture)
                else:
                    found = one
        finally:
            close(steps)
        return self._picture(found, invocation)

    def _picture(self, value: Any, invocation: ImageInvocation) -> Picture:
        if value is None or isinstance(value, PartialImage):
            raise TypeError(f"{describe(self.function)} has drawn no picture")
        return picture_of(value, invocation.request.output_format)

    def _call(self, invocation: ImageInvocation) -> Any:
        request = invocation.request
        args = (request.prompt, request.pixels) if self._takes_size else (request,)
        if self._context is None:
            return self.function(*args)
        return self.function(*args, **{self._context: invocation.context})

    def _parameters(self) -> tuple[str | None, bool]:
        """The name of the parameter for the context, and whether there is one for the size."""
        context, needed, most = None, 0, 0
        for one in signature_of(self.function).parameters.values():
            if self.takes_context(one):
                context = one.name
            elif one.kind is one.VAR_POSITIONAL:
                most += 2
            elif one.kind is not one.VAR_KEYWORD:
                is_needed = one.default is one.empty
                if one.kind is not one.KEYWORD_ONLY:
                    needed, most = needed + is_needed, most + 1
                elif is_needed:
                    needed = 3
        if needed > 2 or not most:
            raise DefinitionError(
                f"{describe(self.function)}: an image backend takes an ImageRequest, or a prompt "
                f"and a size; and a {self.context_class.__name__} if it wants one"
            )
        return context, needed == 2
