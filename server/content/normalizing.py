"""Text in the form in which it is searched, and where each part of it was.

The form is Unicode's NFKC with case folding, without characters that show nothing (``Default_Ignorable_Code_Point`` of
Unicode's DerivedCoreProperties.txt: zero-width spaces and joiners, soft hyphens, variation selectors, tags; controls that
are no white space, category Cc, and formats, Cf) and without marks that strike through a character or enclose it. So
full-width and mathematical letters, ligatures, and what hides within a word or strikes it out are no way past a filter.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

__all__ = ["NormalText", "is_mark", "normal_text"]

_IGNORED: Final = (
    *((0x00, 0x08), (0x0B, 0x0B), (0x0E, 0x1F), (0x7F, 0x9F)),  # Cc but tab, line feed, form feed and carriage return
    *((0x600, 0x605), (0x6DD, 0x6DD), (0x70F, 0x70F), (0x890, 0x891), (0x8E2, 0x8E2)),  # Cf that are not below
    *((0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x13430, 0x1343F)),
    *(
        (0x334, 0x338),
        (0x20D2, 0x20D3),
        (0x20D8, 0x20DA),
        (0x20E5, 0x20E6),
        (0x20EA, 0x20EB),
    ),  # marks that strike through
    *((0x488, 0x489), (0x1ABE, 0x1ABE), (0x20DD, 0x20E0), (0x20E2, 0x20E4), (0xA670, 0xA672)),  # Me, marks that enclose
    *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
    *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)
_WITHOUT_IGNORED: Final = {code: None for first, last in _IGNORED for code in range(first, last + 1)}
_STRUCK: Final = {
    code: form[0]
    for code in range(0x2190, 0x2AFF)  # arrows and operators, such as ≠, which is = with U+0338
    if (form := unicodedata.normalize("NFD", chr(code)))[1:] == "\u0338"
}
_VISIBLE: Final = {**_WITHOUT_IGNORED, **_STRUCK}
_JAMO: Final = ((0x1161, 0x1175), (0x11A8, 0x11C2))  # vowels and finals, which compose with what is before them


class NormalText:
    """``text`` in normal form. ``places``: where in the original each of its characters begins and ends; None: there."""

    __slots__ = ("places", "text")

    def __init__(self, text: str, places: Sequence[tuple[int, int]] | None = None) -> None:
        self.text = text
        self.places = places

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The part of the original that ``text[start:end]``, which is not empty, stands for."""
        if self.places is None:
            return start, end
        return self.places[start][0], self.places[end - 1][1]


def normal_text(text: str) -> NormalText:
    """``text`` in normal form, in linear time."""
    folded = text.casefold()  # no character becomes shorter, so an equal length is one for one
    if len(folded) == len(text) and unicodedata.is_normalized("NFKC", folded) and folded.translate(_VISIBLE) == folded:
        return NormalText(folded)
    parts: list[str] = []
    places: list[tuple[int, int]] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end < len(text) and end - start < 32 and _joins(text[end]):
            continue
        form = _normal(text[start:end])
        parts.append(form)
        places += [(start, end)] * len(form)
        start = end
    return NormalText("".join(parts), places)


def is_mark(character: str) -> bool:
    """Whether it is an accent or another mark on the character before it."""
    return unicodedata.category(character).startswith("M")


def _joins(character: str) -> bool:
    """Whether it may compose with what is before it, or hides between that and what composes."""
    code = ord(character)
    if code < 0x300:
        return code in _WITHOUT_IGNORED
    return is_mark(character) or code in _WITHOUT_IGNORED or any(low <= code <= high for low, high in _JAMO)


def _normal(text: str) -> str:
    visible = text.translate(_VISIBLE)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold()).translate(_VISIBLE)
