"""``LIKE`` in linear time: the pattern is cut at ``%`` and its segments are found one after the other, leftmost first.

Between two ``%`` the leftmost place of a segment is always a right choice, so nothing is ever taken back. A segment of
letters alone is found by ``str.find``, which is linear. One with ``_`` is found bit-parallel (the shift-and method): for
each letter a row of bits marks where in the text it stands, and the places of the segment are the conjunction of those
rows, shifted. The text is looked at in windows that grow, so a segment costs its length times the machine words up to
where it is found. Patterns are bounded by :data:`MAX_PATTERN`; a match is a bounded number of passes over the text.
Rows are the text's, so all patterns that are matched against one :class:`Text` share them.

Rules of like_match.c: ``\\`` takes the next character literally; ``_`` is one character, not one byte.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.query.ir.latest import LONG, latest

__all__ = ["MAX_PATTERN", "Like", "Text", "like_test", "pattern_problem"]

MAX_PATTERN = 1_000
"""Characters of a pattern that clients may have matched here; those of one filter or query together."""

Part = str | None  # one literal character, or None for an arbitrary one
_RARE = 64  # a letter that makes up less than this part of a text is found place by place
_ROOM = 4 << 20  # bytes of rows kept for one text, unless the text is larger than half of that
_AT_ONCE = 4_000  # text times segment: up to here trying place after place is faster than preparing


def pattern_problem(pattern: str, room: int | None = None) -> str | None:
    """Why the pattern is refused, or None. ``room``: how many characters it may have; None: any number."""
    if room is not None and len(pattern) > room:
        return (
            f"its {len(pattern)} characters are too many: the like patterns of a query or filter have "
            f"at most {MAX_PATTERN} together"
        )
    trailing = len(pattern) - len(pattern.rstrip("\\"))
    return "a LIKE pattern must not end with its escape character \\" if trailing % 2 else None


def like_test(pattern: str, *, ignore_case: bool) -> Callable[[bytes], bool]:
    """A test for text (UTF-8) that is not null. ``ignore_case`` folds ASCII letters only (the C locale's ``lower``)."""
    return Like(pattern, ignore_case=ignore_case)


class Like:
    """A compiled pattern; call it with text as UTF-8.

    ``steps`` counts the work done: characters compared, and words of 64 characters looked at, over all calls. Invariant:
    with text of n characters and a pattern of m, a call adds at most ``100 * n + m * (n / 16 + m / 16 + 100)``. Of many
    patterns that are matched against one ``Text`` (:meth:`matches`), only the first ones add to the first term.
    """

    __slots__ = ("_first", "_last", "_middle", "ignore_case", "steps")

    def __init__(self, pattern: str, *, ignore_case: bool) -> None:
        parts = [_Segment(segment) for segment in _segments(_lower(pattern) if ignore_case else pattern)]
        self.ignore_case = ignore_case
        self._first = parts[0]
        self._last = parts[-1] if len(parts) > 1 else None
        self._middle = [segment for segment in parts[1:-1] if segment.length]
        self.steps = 0

    def __call__(self, value: bytes) -> bool:
        """Whether ``value`` is like the pattern."""
        read = _folded_text if self.ignore_case else _exact_text
        text = read(value) if len(value) < LONG else latest.of(value, read)
        before = text.steps
        truth = self.matches(text)
        self.steps += text.steps - before
        return truth

    def matches(self, text: Text) -> bool:
        """Whether ``text``, made with the same ``ignore_case``, is like the pattern. The work is counted there."""
        first, last = self._first, self._last
        if last is None:
            return len(text) == first.length and first.stands_at(text.letters, 0)
        end = len(text) - last.length
        if end < first.length or not first.stands_at(text.letters, 0) or not last.stands_at(text.letters, end):
            return False
        text.steps += first.length + last.length
        position = first.length
        for segment in self._middle:
            found = segment.find(text, position, end)
            if found < 0:
                return False
            position = found + segment.length
        return True


class Text:
    """Text that patterns are matched against, with what they share: per letter its number, and a row of bits for where it
    stands, the lowest of the first byte for the first character.

    ``ignore_case`` folds ASCII letters only. ``steps`` counts the work done. Invariant: the rows take at most ``_ROOM``
    bytes, or twice the text's size.
    """

    __slots__ = ("__weakref__", "_columns", "_counts", "_max_rows", "_rows", "letters", "steps")

    def __init__(self, letters: str, *, ignore_case: bool) -> None:
        self.letters = _lower(letters) if ignore_case else letters
        self.steps = 0
        self._counts: dict[str, int] = {}
        self._rows: dict[str, bytes] = {}
        self._columns: list[bytes] = []
        self._max_rows = max(_ROOM // (len(letters) // 8 + 1), 16)

    def __len__(self) -> int:
        return len(self.letters)

    def count(self, letter: str) -> int:
        """How often the letter stands in the text."""
        found = self._counts.get(letter)
        if found is None:
            found = self._counts[letter] = self.letters.count(letter)
            self.steps += len(self.letters) // 64 + found
        return found

    def window(self, letter: str, first: int, size: int) -> int:
        """The bits of ``letter`` from the character ``first`` on, at least ``size`` of them."""
        row = self._rows.get(letter)
        if row is None:
            if len(self._rows) >= self._max_rows:
                self._rows.clear()
            rare = self.count(letter) * _RARE < len(self.letters)
            row = self._rows[letter] = self._placed(letter) if rare else self._translated(letter)
        self.steps += size // 64 + 1
        return int.from_bytes(row[first >> 3 : (first + size >> 3) + 1], "little") >> (first & 7)

    def _placed(self, letter: str) -> bytes:
        row = bytearray(len(self.letters) // 8 + 1)
        self.steps += len(row) // 8
        place = self.letters.find(letter)
        while place >= 0:
            row[place >> 3] |= 1 << (place & 7)
            place = self.letters.find(letter, place + 1)
        return bytes(row)

    def _translated(self, letter: str) -> bytes:
        if not self._columns:  # the bytes of all characters, the last character first
            ascii_only = self.letters.isascii()
            raw = self.letters.encode("ascii" if ascii_only else "utf-32-le", "surrogatepass")
            self._columns = [raw[::-1]] if ascii_only else [raw[column::4][::-1] for column in range(3)]
        self.steps += len(self.letters)
        found = -1
        for column, wanted in zip(self._columns, ord(letter).to_bytes(3, "little"), strict=False):
            digits = bytearray(b"0" * 256)
            digits[wanted] = ord("1")
            found &= int(column.translate(digits) or b"0", 2)
        return found.to_bytes(len(self.letters) // 8 + 1, "little")


def _exact_text(value: bytes) -> Text:
    return Text(value.decode(), ignore_case=False)


def _folded_text(value: bytes) -> Text:
    return Text(value.decode(), ignore_case=True)


class _Segment:
    """What stands between two ``%``: letters and places for any character."""

    __slots__ = ("_literal", "_runs", "_wanted", "length")

    def __init__(self, parts: list[Part]) -> None:
        self.length = len(parts)
        self._wanted = [(offset, part) for offset, part in enumerate(parts) if part is not None]
        self._runs = _runs(parts)
        self._literal = "".join(part or "" for part in parts) if None not in parts else None

    def stands_at(self, text: str, start: int) -> bool:
        """Whether the text has the segment at ``start``; the text is long enough."""
        return all(text.startswith(run, start + offset) for offset, run in self._runs)

    def find(self, text: Text, start: int, end: int) -> int:
        """The leftmost place from ``start`` on at which the segment ends by ``end``; -1 if there is none."""
        last = end - self.length
        if last < start:
            return -1
        if self._literal is not None:
            found = text.letters.find(self._literal, start, end)
            text.steps += (found if found >= 0 else end) - start + self.length
            return found
        if not self._runs:
            return start
        if (last - start + 1) * self.length <= _AT_ONCE:
            text.steps += (last - start + 1) * self.length
            return self._one_by_one(text.letters, start, last)
        return self._bit_parallel(text, start, last)

    def _one_by_one(self, text: str, start: int, last: int) -> int:
        offset, run = self._runs[0]
        found = text.find(run, start + offset, last + offset + len(run))
        while found >= 0 and not self.stands_at(text, found - offset):
            found = text.find(run, found + 1, last + offset + len(run))
        return found - offset if found >= 0 else -1

    def _bit_parallel(self, text: Text, start: int, last: int) -> int:
        """Look at windows of the text, each twice as large as the one before: what is found soon costs little."""
        if not all(text.count(letter) for _, letter in self._wanted):
            return -1
        size = 2 * self.length + 512
        while start <= last:
            size = min(size, last - start + 1)
            left = (1 << size) - 1  # places that may still be right, counted from start
            for offset, letter in self._wanted:
                left &= text.window(letter, start + offset, size)
                if not left:
                    break
            if left:
                return start + (left & -left).bit_length() - 1
            start, size = start + size, 2 * size
        return -1


def _lower(text: str) -> str:
    return text.encode(errors="surrogatepass").lower().decode(errors="surrogatepass")


def _runs(parts: list[Part]) -> list[tuple[int, str]]:
    """The letters of a segment that stand together, with their offset."""
    runs: list[tuple[int, str]] = []
    fresh = True
    for offset, part in enumerate(parts):
        if part is None:
            fresh = True
        elif fresh:
            runs.append((offset, part))
            fresh = False
        else:
            begin, run = runs[-1]
            runs[-1] = (begin, run + part)
    return runs


def _segments(pattern: str) -> list[list[Part]]:
    """The pattern cut at ``%``."""
    segments: list[list[Part]] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == "%":
            segments.append([])
        elif character == "_":
            segments[-1].append(None)
        else:
            segments[-1].append(next(characters, "\\") if character == "\\" else character)
    return segments
