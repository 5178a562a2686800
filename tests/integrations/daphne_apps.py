"""Applications for daphne, which takes no factory: each is made when it is named."""

from __future__ import annotations

from typing import Any

from tests.integrations import apps


def __getattr__(name: str) -> Any:
    factory = getattr(apps, name, None)
    if factory is None:
        raise AttributeError(name)
    return factory()
