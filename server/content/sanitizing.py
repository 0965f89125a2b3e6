"""Markup in chosen fields is cleaned, by the library nh3 (ammonia): what stays cannot run anything in a page.

A profile names what may stay. The result is HTML in both: also in ``text``, where no tag stays, ``<``, ``>`` and ``&`` are
entities. A parser of HTML takes time that grows with the square of the nesting, so the number of tags is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nh3 import Cleaner

from server.content.errors import ContentRefusedError, PolicyError
from server.content.fields import rewrite_texts, steps_of, texts_at

__all__ = ["Sanitizer"]

_MAX_TAGS: Final = 2_000  # in all fields of a message; each costs 10 µs at worst then
_WITHOUT_CONTENT: Final = {"script", "style"}
_FORMATTING: Final = {
    *("a", "b", "blockquote", "br", "code", "em", "i", "li", "ol", "p", "pre", "s", "strong", "u", "ul"),
}
_PROFILES: Final = {
    "text": Cleaner(tags=set(), attributes={}, clean_content_tags=_WITHOUT_CONTENT),
    "formatting": Cleaner(
        tags=_FORMATTING,
        attributes={"*": set(), "a": {"href", "title"}},
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",
        link_rel="nofollow noopener noreferrer",
        clean_content_tags=_WITHOUT_CONTENT,
    ),
}


class Sanitizer:
    """Cleans the fields of ``profiles``: profile by path. Raises ``PolicyError`` if it names another one."""

    def __init__(self, profiles: Mapping[str, str]) -> None:
        unknown = sorted(set(profiles.values()) - _PROFILES.keys())
        if unknown:
            raise PolicyError(f"sanitize: there is no profile {unknown[0]!r}; there are {', '.join(_PROFILES)}")
        self._fields = [(steps_of(path), _PROFILES[profile]) for path, profile in profiles.items()]

    def clean(self, data: Any) -> Any:
        """``data`` with clean fields, changed in place. Raises ``ContentRefusedError`` if they have too many tags."""
        tags = sum(text.count("<") for steps, _ in self._fields for text in texts_at(data, steps))
        if tags > _MAX_TAGS:
            raise ContentRefusedError(f"data: more than {_MAX_TAGS} tags in fields that are sanitized")
        for steps, cleaner in self._fields:
            data = rewrite_texts(data, steps, cleaner.clean)
        return data
