"""The filters of a policy: what is to be done with a message in which something is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from server.content.errors import ContentRefusedError
from server.content.fields import EVERYWHERE, rewrite_texts, steps_of, texts_at
from server.content.filtering import TextSearch

__all__ = ["Filter"]

_MASK: Final = "*"


class Filter:
    """One entry of the column ``filters``. Raises ``PolicyError`` if its words or patterns cannot be searched for."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self._search = TextSearch(entry.get("words", ()), entry.get("patterns", ()))
        self._fields: Sequence[tuple[str, ...]] = [steps_of(path) for path in entry.get("fields", ())] or [EVERYWHERE]
        self.action: str = entry["action"]

    def apply(self, data: Any) -> tuple[Any, bool]:
        """``data``, changed in place where something is masked, and whether it is flagged.

        Raises ``ContentRefusedError`` if something is found that is rejected.
        """
        if self.action == "mask":
            for steps in self._fields:
                data = rewrite_texts(data, steps, self._masked)
            return data, False
        found = any(self._search.spans(text) for steps in self._fields for text in texts_at(data, steps))
        if found and self.action == "reject":
            raise ContentRefusedError("data: it has a word or a pattern that is not taken here")
        return data, found

    def _masked(self, text: str) -> str:
        parts = []
        end = 0
        for start, stop in self._search.spans(text):
            parts += [text[end:start], _MASK * (stop - start)]
            end = stop
        return "".join((*parts, text[end:]))
