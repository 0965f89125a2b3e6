"""``LIKE`` in linear time: the pattern is cut at ``%`` and its segments are found one after the other, leftmost first.

Between two ``%`` the leftmost place of a segment is always a right choice, so nothing is ever taken back. A segment of
letters alone is found by ``str.find``, which is linear. One with ``_`` is found bit-parallel (the shift-and method): for
each letter a row of bits says where in the text it stands, and the places of the segment are the conjunction of those
rows, shifted. The text is looked at in windows that grow, so a segment costs its length times the machine words up to
where it is found. Patterns are bounded by :data:`MAX_PATTERN`; a match is a bounded number of passes over the text.

Rules of like_match.c: ``\\`` takes the next character literally; ``_`` is one character, not one byte.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["MAX_PATTERN", "Like", "like_test", "pattern_problem"]

MAX_PATTERN = 1_000
"""Characters of a pattern that clients may have matched here; those of one filter or query together."""

Part = str | None  # one literal character, or None for an arbitrary one
_FEW = 16  # letters for which a pass in C each costs less than one in Python
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
    with text of n characters and a pattern of m, a call adds at most ``20 * n + m * (n / 16 + m / 16 + 100)``.
    """

    __slots__ = ("_first", "_ignore_case", "_last", "_middle", "steps")

    def __init__(self, pattern: str, *, ignore_case: bool) -> None:
        parts = [_Segment(segment) for segment in _segments(_lower(pattern) if ignore_case else pattern)]
        self._ignore_case = ignore_case
        self._first = parts[0]
        self._last = parts[-1] if len(parts) > 1 else None
        self._middle = [segment for segment in parts[1:-1] if segment.length]
        self.steps = 0

    def __call__(self, value: bytes) -> bool:
        """Whether ``value`` is like the pattern."""
        text = (value.lower() if self._ignore_case else value).decode()  # bytes.lower() folds ASCII alone
        first, last = self._first, self._last
        if last is None:
            return len(text) == first.length and first.stands_at(text, 0)
        end = len(text) - last.length
        if end < first.length or not first.stands_at(text, 0) or not last.stands_at(text, end):
            return False
        self.steps += first.length + last.length
        position, places = first.length, _Places(text)
        for segment in self._middle:
            found = segment.find(places, position, end)
            self.steps += places.taken_steps()
            if found < 0:
                return False
            position = found + segment.length
        return True


class _Places:
    """Where letters stand in a text: per letter a row of bits, the lowest of the first byte for the first character."""

    __slots__ = ("_bits", "_columns", "_steps", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._bits: dict[str, bytes] = {}
        self._columns: list[bytes] = []
        self._steps = 0

    def prepare(self, letters: frozenset[str]) -> None:
        """Find (at least) these letters. A pass in C for each of a few, one in Python for many."""
        missing = letters - self._bits.keys()
        if len(missing) > _FEW:
            self._bits |= self._collected(missing)
        else:
            self._bits |= {letter: self._translated(letter) for letter in missing}

    def window(self, letter: str, first: int, size: int) -> int:
        """The bits of ``letter`` (prepared) from the character ``first`` on, at least ``size`` of them."""
        self._steps += size // 64 + 1
        return int.from_bytes(self._bits[letter][first >> 3 : (first + size >> 3) + 1], "little") >> (first & 7)

    def _translated(self, letter: str) -> bytes:
        if not self._columns:  # the bytes of all characters, the last character first
            ascii_only = self.text.isascii()
            raw = self.text.encode("ascii" if ascii_only else "utf-32-le")
            self._columns = [raw[::-1]] if ascii_only else [raw[column::4][::-1] for column in range(3)]
        self.spend(len(self.text))
        found = -1
        for column, wanted in zip(self._columns, ord(letter).to_bytes(3, "little"), strict=False):
            digits = bytearray(b"0" * 256)
            digits[wanted] = ord("1")
            found &= int(column.translate(digits) or b"0", 2)
        if len(self._columns) == 1 and not letter.isascii():
            found = 0
        return found.to_bytes(len(self.text) // 8 + 1, "little")

    def _collected(self, letters: frozenset[str]) -> dict[str, bytes]:
        size = len(self.text) // 8 + 1
        bits = {letter: bytearray(size) for letter in letters & set(self.text)}
        self.spend(len(self.text) + len(bits) * size // 8)
        for place, letter in enumerate(self.text) if bits else ():
            if letter in bits:
                bits[letter][place >> 3] |= 1 << (place & 7)
        return {letter: bytes(bits.get(letter, b"")) for letter in letters}

    def spend(self, steps: int) -> None:
        """Count work."""
        self._steps += steps

    def taken_steps(self) -> int:
        """The work since this was asked last."""
        steps, self._steps = self._steps, 0
        return steps


class _Segment:
    """What stands between two ``%``: letters and places for any character."""

    __slots__ = ("_letters", "_literal", "_runs", "_wanted", "length")

    def __init__(self, parts: list[Part]) -> None:
        self.length = len(parts)
        self._wanted = [(offset, part) for offset, part in enumerate(parts) if part is not None]
        self._letters = frozenset(letter for _, letter in self._wanted)
        self._runs = _runs(parts)
        self._literal = "".join(part or "" for part in parts) if None not in parts else None

    def stands_at(self, text: str, start: int) -> bool:
        """Whether the text has the segment at ``start``; the text is long enough."""
        return all(text.startswith(run, start + offset) for offset, run in self._runs)

    def find(self, places: _Places, start: int, end: int) -> int:
        """The leftmost place from ``start`` on at which the segment ends by ``end``; -1 if there is none."""
        last = end - self.length
        if last < start:
            return -1
        if self._literal is not None:
            found = places.text.find(self._literal, start, end)
            places.spend((found if found >= 0 else end) - start + self.length)
            return found
        if not self._runs:
            return start
        if (last - start + 1) * self.length <= _AT_ONCE:
            places.spend((last - start + 1) * self.length)
            return self._one_by_one(places.text, start, last)
        return self._bit_parallel(places, start, last)

    def _one_by_one(self, text: str, start: int, last: int) -> int:
        offset, run = self._runs[0]
        found = text.find(run, start + offset, last + offset + len(run))
        while found >= 0 and not self.stands_at(text, found - offset):
            found = text.find(run, found + 1, last + offset + len(run))
        return found - offset if found >= 0 else -1

    def _bit_parallel(self, places: _Places, start: int, last: int) -> int:
        """Look at windows of the text, each twice as large as the one before: what is found soon costs little."""
        places.prepare(self._letters)
        size = 2 * self.length + 512
        while start <= last:
            size = min(size, last - start + 1)
            left = (1 << size) - 1  # places that may still be right, counted from start
            for offset, letter in self._wanted:
                left &= places.window(letter, start + offset, size)
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
