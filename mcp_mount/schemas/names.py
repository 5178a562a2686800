"""Names that users write and that must match something: errors that name what exists."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, wraps
from typing import Any, Final

from typing_extensions import ParamSpec

from mcp_mount.schemas.functions import DefinitionError

P = ParamSpec("P")

_MAX_LISTED: Final = 60
"""How many names an error lists."""

_MAX_BESIDE: Final = 12
"""How many names an error lists where one of them is nearly what the user wrote."""


def several_names(option: str, value: Any) -> list[str]:
    """Names that may be given alone or in a collection, as a list.

    A text is one name: to take it apart into its characters would select nothing, in silence.

    Args:
        option: The name of the option.
        value: What the user gave; None for no names.

    Raises:
        DefinitionError: For what is neither.
    """
    if value is None:
        return []
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Collection) or not all(isinstance(one, str) for one in names):
        raise DefinitionError(f"{option} is a name, or a list of names, not {value!r}")
    return list(names)


def list_of_names(option: str, value: Any) -> Sequence[str]:
    """Names that are given in a list, and not alone.

    Args:
        option: The name of the option.
        value: What the user gave.

    Raises:
        DefinitionError: For a text, and for a list with an empty name or what is no name.
    """
    is_list = isinstance(value, Collection) and not isinstance(value, str)
    if not is_list or not all(isinstance(one, str) and one for one in value):
        raise DefinitionError(f"{option} are a list of names, not {value!r}")
    return list(value)


def suggestion(name: Any, known: Iterable[str]) -> str:
    """What to write in place of a name that does not exist, as the end of a sentence.

    Args:
        name: What the user wrote.
        known: What exists.

    Returns:
        The nearest name, or else all of them.
    """
    # Needed for errors alone, and importing it takes a while.
    from difflib import get_close_matches

    names = sorted(set(known))
    text = str(name).lower()
    lowered = {one.lower(): one for one in names}
    near = [one for one in get_close_matches(text, lowered, n=3, cutoff=0.6) if _is_near(text, one)]
    if not names:
        return "there are none"
    listed = ", ".join(names[:_MAX_LISTED])
    if len(names) > _MAX_LISTED:
        listed += f" and {len(names) - _MAX_LISTED} more"
    if not near:
        return f"there are: {listed}"
    guess = f"did you mean {lowered[near[0]]!r}?"
    return guess if len(names) > _MAX_BESIDE else f"{guess} There are: {listed}"


def _is_near(written: str, meant: str) -> bool:
    """Whether a name is meant by a similar one: similar are "path" and "auth", too."""
    begins_alike = meant.startswith(written[: (len(meant) + 1) // 2])
    return begins_alike or _edits(written, meant) <= len(meant) / 3


def _edits(written: str, meant: str) -> int:
    """How many letters are missing, too many, wrong, or swapped with the next one."""
    before: list[int] = []
    row = list(range(len(meant) + 1))
    for i, letter in enumerate(written, 1):
        earlier, before, row = before, row, [i]
        for j, other in enumerate(meant, 1):
            edits = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and written[i - 2] == other and letter == meant[j - 2]:
                edits = min(edits, earlier[j - 2] + 1)
            row.append(edits)
    return row[-1]


_NOWHERE: Final[Mapping[str, str]] = {}


def refuse_unknown(
    what: str,
    names: Iterable[Any],
    known: Collection[str],
    elsewhere: Mapping[str, str] = _NOWHERE,
) -> None:
    """Raise an error for names that match nothing.

    Args:
        what: The beginning of the sentence, such as "MCPServer has no option".
        names: What the user wrote.
        known: What exists.
        elsewhere: Names of other libraries, and what to write in their place.

    Raises:
        DefinitionError: If some do not exist; each is named, with what to write in its place, or
            the nearest one that does exist.
    """
    # What is no text is no name, and need not be hashable.
    wrong = [name for name in names if not isinstance(name, str) or name not in known]
    if wrong:
        raise DefinitionError(
            "\n".join(
                f"{what} {one!r}; {elsewhere.get(str(one)) or suggestion(one, known)}"
                for one in wrong
            )
        )


def refuse_unknown_options(
    owner: object,
    options: Iterable[str],
    also: Collection[str] = (),
    but: Collection[str] = (),
    elsewhere: Mapping[str, str] = _NOWHERE,
) -> None:
    """Raise an error for keyword arguments that the class of an object does not take.

    Frameworks do not always refuse them: FastAPI up to 0.141 keeps any as `extra`.

    Args:
        owner: The object that is being made, `self` in its `__init__`: the error names its class.
        options: The keyword arguments that were given.
        also: Those that it takes besides the ones that its classes spell out.
        but: Those that it does not take although one of its classes does.
        elsewhere: Those of other libraries, and what to write in their place.

    Raises:
        DefinitionError: If there is one that means nothing.
    """
    kind: Any = type(owner)
    known = (options_of(kind) | set(also)) - set(but)
    refuse_unknown(f"{kind.__name__} has no option", options, known, elsewhere)


@cache
def options_of(kind: type) -> frozenset[str]:
    """The keyword arguments that a class and its bases spell out."""
    return frozenset(
        name
        for base in kind.__mro__
        if base is not object and "__init__" in vars(base)
        for name in keywords_of(vars(base)["__init__"])
    )


def naming_options(init: Callable[P, None]) -> Callable[P, None]:
    """A decorator of `__init__`: a keyword argument that it does not have is refused in words that
    name the nearest one. Its signature stays as it is, for type checkers and for IDEs.

    Args:
        init: The `__init__` of a class of which users make objects.
    """
    known = frozenset(keywords_of(init))
    kind = init.__qualname__.partition(".")[0]

    @wraps(init)
    def checked(*args: P.args, **options: P.kwargs) -> None:
        refuse_unknown(f"{kind} has no option", options, known)
        init(*args, **options)

    return checked


def keywords_of(function: Any) -> list[str]:
    """The parameters of a function that may be given by name, without `self`."""
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        one.name
        for one in inspect.signature(function).parameters.values()
        if one.kind in kinds and one.name != "self"
    ]
