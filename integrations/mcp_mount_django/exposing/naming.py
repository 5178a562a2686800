"""Names of tools: the names for the objects of a model or a view."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.utils import translation
from django.utils.text import camel_case_to_spaces, slugify


@dataclass(frozen=True, slots=True)
class Naming:
    """The names for the objects of a view in the names of its tools."""

    one: str
    several: str

    @classmethod
    def of(cls, view: Any, name: str | None, plural: str | None) -> Naming:
        """Return the names that the user gave, or those of the model, or of the class.

        Args:
            view: The class of a view.
            name: The name for one object, or None.
            plural: The name for several, or None.
        """
        if name is None:
            one, several = _own_names(view)
        else:
            one, several = name, name if _is_plural(name) else plural_of(name)
        return cls(one, plural or several)


def _own_names(view: Any) -> tuple[str, str]:
    model = getattr(getattr(view, "queryset", None), "model", None)
    serializer = getattr(view, "serializer_class", None)
    model = model or getattr(getattr(serializer, "Meta", None), "model", None)
    if model is not None:
        return tool_names(model)
    one = snake_case(re.sub(r"(ViewSet|APIView|API|View)$", "", view.__name__) or view.__name__)
    if _is_plural(one):
        return one.removesuffix("ies") + "y" if one.endswith("ies") else one[:-1], one
    return one, plural_of(one)


def _is_plural(name: str) -> bool:
    return re.search(r"[^su]s$", name) is not None


def tool_names(model: type[Model]) -> tuple[str, str]:
    """Return the singular and the plural for objects of a model in the names of tools.

    They come from the name of the class, "bread_ingredient" and "bread_ingredients", whatever the
    language of the project is. A `verbose_name_plural` without a `verbose_name` corrects the plural
    ("people"), as it does in the admin.
    """
    options = model._meta
    singular = snake_case(str(options.object_name))
    given = options.original_attrs
    if "verbose_name_plural" in given and "verbose_name" not in given:
        with translation.override(None):
            words = slugify(str(options.verbose_name_plural)).replace("-", "_")
        if words:
            return singular, words
    return singular, plural_of(singular)


def snake_case(name: str) -> str:
    """Return the name of a class in the form used for tools: "bread_ingredient"."""
    return camel_case_to_spaces(name).replace(" ", "_").strip("_")


def plural_of(word: str) -> str:
    """Return the English plural of a word."""
    if word.endswith("y") and word[-2:-1] not in ("", *"aeiou_"):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "x", "z", "ch", "sh")) else f"{word}s"
