"""Pictures and sound in answers of an interface that has no place for them: text stands there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from mcp_mount.llm.answers import Delta
from mcp_mount.llm.media import AudioPart, ImagePart, joined_audio


class MediaAsText:
    """Puts text in place of pictures and sound: of a picture where it is, of sound what is said in
    it. Sound comes in pieces, so its text comes with the end of the answer.

    Args:
        shows: Whether the interface has a place for a picture.
    """

    def __init__(self, shows: Callable[[ImagePart], bool] = lambda image: False) -> None:
        self._shows = shows
        self._heard: dict[int, list[AudioPart]] = defaultdict(list)

    def of(self, delta: Delta) -> Delta:
        """A piece of an answer, as the interface can have it."""
        texts = [delta.text]
        if delta.audio is not None:
            self._heard[delta.choice].append(delta.audio)
        if delta.image is not None and not self._shows(delta.image):
            texts.append(delta.image.as_text)
            delta = replace(delta, image=None)
        if delta.finish and (sound := joined_audio(self._heard.pop(delta.choice, []))):
            texts.append(sound.as_text)
        text = "".join(texts)
        return delta if text == delta.text else replace(delta, text=text)
