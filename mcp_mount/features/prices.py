"""What the answers of models cost, in US dollars: as declared, or by a public table of prices."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, Protocol

from mcp_mount.llm.answers import Usage
from mcp_mount.llm.errors import ModelError
from mcp_mount.llm.models import traits_of
from mcp_mount.schemas.extras import MissingExtra, requires
from mcp_mount.schemas.functions import DefinitionError
from mcp_mount.wire.logs import own_logger

logger = own_logger("mcp_mount")

_MILLION: Final = 1_000_000
_TABLE: Final = "genai_prices"


class Pricing(Protocol):
    """What answers cost.

    Attributes:
        is_at_hand: Whether it is known at once.
    """

    @property
    def is_at_hand(self) -> bool: ...

    def cost(self, usage: Usage) -> float:
        """The cost of an answer, in US dollars.

        Raises:
            DefinitionError: If it cannot be known.
        """


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in US dollars for a million tokens.

    Args:
        input: Tokens that it reads.
        output: Tokens that it writes.
        cached: Tokens that it has read before; by default they cost as much as others.

    Raises:
        DefinitionError: For what is no price.
    """

    input: float
    output: float
    cached: float | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached"):
            value = getattr(self, name)
            if value is None and name == "cached":
                continue
            _check_price(f"the price of {name} tokens is US dollars for a million", value)

    @property
    def is_at_hand(self) -> bool:
        """Whether it is known at once."""
        return True

    def cost(self, usage: Usage) -> float:
        """The cost of an answer.

        Args:
            usage: The tokens that it took.
        """
        cached = self.input if self.cached is None else self.cached
        again = min(usage.cached_tokens, usage.input_tokens)
        read = (usage.input_tokens - again) * self.input + again * cached
        return (read + usage.output_tokens * self.output) / _MILLION


@dataclass(frozen=True, slots=True)
class PicturePrice:
    """What each picture of an image backend costs, in US dollars.

    Args:
        dollars: The price of a picture.

    Raises:
        DefinitionError: If it is none.
    """

    dollars: float

    def __post_init__(self) -> None:
        _check_price("price is US dollars for a picture", self.dollars)

    @property
    def is_at_hand(self) -> bool:
        """Whether it is known at once."""
        return True

    def cost(self, usage: Usage) -> float:
        """The cost of a picture, whatever it took."""
        return self.dollars


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """The price of a model in the table of `genai-prices` (extra `prices`), which is on the disk:
    nothing is downloaded.

    Attributes:
        owner: The name of the model on this server, for errors.
        model: The name of the model at its provider.
        url: The URL of the provider.
    """

    owner: str
    model: str
    url: str | None

    @property
    def is_at_hand(self) -> bool:
        """Whether the table has been read."""
        return _TABLE in sys.modules

    def cost(self, usage: Usage) -> float:
        """The cost of an answer."""
        declare = f"declare price=Price(…) of the model {self.owner!r}"
        with requires("prices", f"The price of {self.owner!r} ({declare}, or look it up)"):
            import genai_prices
        asked = genai_prices.Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=min(usage.cached_tokens, usage.input_tokens),
        )
        where = "" if self.url is None else f" at {self.url}"
        try:
            found = genai_prices.calc_price(asked, self.model, provider_api_url=self.url)
        except LookupError:
            raise DefinitionError(
                f"the price of {self.model!r}{where} is not known: {declare}"
            ) from None
        return float(found.total_price)


def known_cost(price: Pricing | None, usage: Usage | None) -> tuple[Usage | None, float | None]:
    """What was used, and its cost, if that is known at once."""
    if price is None or usage is None or not price.is_at_hand:
        return usage, None
    try:
        return usage, price.cost(usage)
    except DefinitionError:
        return usage, None


def budgeted_cost(name: str, price: Pricing, usage: Usage) -> float:
    """The cost of an answer where a budget of money needs it.

    Args:
        name: The name of the model.
        price: Its price.
        usage: What the answer takes.

    Raises:
        ModelError: If the price is not known; the log says what to declare.
    """
    try:
        return price.cost(usage)
    except (DefinitionError, MissingExtra) as error:
        logger.error("The budget of the model %r cannot be kept: %s", name, error)
        raise ModelError(
            f"The budget of the model {name!r} cannot be kept: its price is not known",
            status=500,
            again=False,
        ) from None


def listed_price(name: str, model: Any) -> ListedPrice | None:
    """The listed price of a model that says as what it is listed, by `priced_as`.

    Args:
        name: Its name on this server.
        model: What answers.
    """
    known = traits_of(model).priced_as
    return None if known is None else ListedPrice(name, *known)


def _check_price(what: str, value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not isfinite(value) or value < 0:
        raise DefinitionError(f"{what}, not {value!r}")
