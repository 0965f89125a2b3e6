"""JSON as filters look at it: what is derived from a value is derived once, however many conditions ask for it.

A client may write a hundred conditions about one large value, and a hundred clients may do so about one message. So the
conditions of all of them share a ``Document``: the value at a path, its canonical form, the canonical forms of its elements
and the rows of its letters are made when first asked for and kept with it, by the value's identity and not by its path,
for a value has many paths (``a.0``, ``a.00``). What a condition costs beyond that does not depend on the document's size.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from engine.query.ir.like import Text
from engine.values.exact_json import write_exact

__all__ = ["Document", "Path", "Shape", "Value", "canonical_key", "kind_of", "shape_of"]

Path = tuple[str, ...]
Shape = tuple[str, int]

_KINDS: Final[Mapping[type, str]] = {
    bool: "boolean", int: "number", Decimal: "number", str: "string", list: "array", dict: "object"
}  # fmt: skip
_CONDITION: Final = 30  # steps, as long as looking at so many bytes takes


def canonical_key(value: object) -> bytes | None:
    """JSON that is the same for two values exactly if jsonb's ``=`` holds for them; None: equal to nothing.

    Numbers have to be canonical. Equal to nothing is what is nested too deeply to be written, for no literal is nested so
    deeply, and text that PostgreSQL cannot hold. Bytes, and not numbers or tuples of them, because their hashes are
    seeded: a client cannot choose values that fall together in a set.
    """
    try:
        return write_exact(value, in_order=True)
    except (RecursionError, UnicodeEncodeError):
        return None


def kind_of(value: object) -> str:
    """The type of a JSON value, in jsonb's words."""
    return _KINDS[type(value)]


def shape_of(value: Any) -> Shape:
    """The kind of a value, and its size if it has one. Values of different shapes are not equal."""
    kind = kind_of(value)
    return kind, len(value) if kind in ("string", "array", "object") else 0


class _Work:
    """The work done about one document. An object of its own, so that values and their document form no cycle: a document
    is freed with its last use, and not by a collection that may come much later.
    """

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps = 0


class Value:
    """One value of a document, not null."""

    __slots__ = ("_elements", "_key", "_texts", "_work", "found", "kind", "shape")

    def __init__(self, found: Any, work: _Work) -> None:
        self.found = found
        self.kind, _ = self.shape = shape_of(found)
        self._work = work
        self._key: tuple[bytes | None] | None = None
        self._elements: frozenset[bytes | None] | None = None
        self._texts: dict[bool, Text] = {}

    @property
    def key(self) -> bytes | None:
        """See :func:`canonical_key`."""
        if self._key is None:
            key = canonical_key(self.found)
            self._key = (key,)
            self.spend(1 if key is None else len(key))
        return self._key[0]

    @property
    def elements(self) -> frozenset[bytes | None]:
        """The keys of an array's elements, None if there is one that equals nothing."""
        if self._elements is None:
            keys = list(map(canonical_key, self.found))
            self._elements = frozenset(keys)
            self.spend(len(keys) + sum(map(len, filter(None, keys))))
        return self._elements

    def spend(self, steps: int) -> None:
        """Count work done about this value."""
        self._work.steps += steps

    def text(self, *, ignore_case: bool) -> Text:
        """A string, for ``like``."""
        text = self._texts.get(ignore_case)
        if text is None:
            text = self._texts[ignore_case] = Text(self.found, ignore_case=ignore_case)
            self.spend(len(self.found))
        return text


class Document:
    """A JSON value with canonical numbers, as :func:`engine.channels.core.filters.filter.read_json` gives it.

    ``steps`` counts the work done for conditions: bytes of canonical forms, elements, and the steps of ``like``. Invariant:
    but for the last, conditions about one array or string add no more together than one of each kind does.
    """

    __slots__ = ("__weakref__", "_paths", "_values", "_work", "data")

    def __init__(self, data: Any) -> None:
        self.data = data
        self._work = _Work()
        self._paths: dict[Path, Value | None] = {}
        self._values: dict[int, Value] = {}  # by id: they live as long as the document does

    @property
    def steps(self) -> int:
        """See the class."""
        return self._work.steps

    def spend(self, steps: int) -> None:
        """Count work done about the whole document."""
        self._work.steps += steps

    def at(self, path: Path) -> Value | None:
        """The value at ``path`` (as jsonb's ``#>``); None if there is none, or null."""
        self.spend(_CONDITION)
        try:
            return self._paths[path]
        except KeyError:
            value = self._paths[path] = self._value(_found(self.data, path))
            return value

    def _value(self, found: Any) -> Value | None:
        if found is None:
            return None
        value = self._values.get(id(found))
        if value is None:
            value = self._values[id(found)] = Value(found, self._work)
        return value


def _found(data: Any, path: Path) -> Any:
    for name in path:
        if isinstance(data, dict):
            data = data.get(name)
        elif isinstance(data, list) and name.isascii() and name.isdigit() and len(name) < 10 and int(name) < len(data):
            data = data[int(name)]
        else:
            return None
    return data
