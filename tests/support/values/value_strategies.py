"""Values of each type as input text, edges over-represented."""

from __future__ import annotations

import json
from collections.abc import Callable

from hypothesis import strategies as st

Texts = st.SearchStrategy[str]

TEXT: Texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.text(
    'ab %_\\"{},()\t\nNULL\u00e9\U0001f600', max_size=8
)
_MICROS = st.sampled_from(["", ".5", ".45", ".000001", ".999999", ".1"])


def _integers(bits: int) -> Texts:
    limit = 2 ** (bits - 1)
    return (st.integers(-limit, limit - 1) | st.integers(-12, 12)).map(str)


def _float(width: int) -> Texts:
    numbers = st.floats(width=width) | st.sampled_from([0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e20])  # type: ignore[arg-type]
    return numbers.map(repr)


def _numeric() -> Texts:
    digits = st.text("0123456789", min_size=1, max_size=40)
    plain = st.tuples(st.sampled_from(["", "-"]), digits, st.just(".") | st.just(""), digits).map(
        lambda parts: parts[0] + parts[1] + (parts[2] + parts[3] if parts[2] else "")
    )
    return plain | st.sampled_from(
        ["NaN", "Infinity", "-Infinity", "1", "1.0", "1.00", "1e100", "-1e-100", "0", "0.000"]
    )


def _two(low: int, high: int) -> Texts:
    return st.integers(low, high).map(lambda number: f"{number:02}")


_DAYS = st.tuples(_two(1, 12), _two(1, 28)).map("-".join)
_CLOCK = st.builds(lambda h, m, s, f: f"{h}:{m}:{s}{f}", _two(0, 23), _two(0, 59), _two(0, 59), _MICROS)


def _moment(last_year: int, tail: Callable[[str], str], clock: Texts) -> Texts:
    years = st.integers(1, last_year) | st.integers(1995, 2005) | st.integers(9998, 10001)
    after = st.builds(lambda y, d, c: tail(f"{y:04}-{d} {c}".strip()), years, _DAYS, clock)
    before = st.builds(lambda y, d, c: tail(f"{y:04}-{d} {c}".strip()) + " BC", st.integers(1, 4712), _DAYS, clock)
    return after | before | st.sampled_from(["infinity", "-infinity"])


_ZONES = st.sampled_from(["+00", "-05", "+05:30", "-15:59", "+15:59:59", "+01", "-00:00:01"])
_TIME = _CLOCK | st.sampled_from(["24:00:00", "00:00:00"])
_INTERVAL = st.builds(
    lambda m, d, us: f"{m} months {d} days {us} microseconds",
    st.integers(-40, 40) | st.integers(-(10**7), 10**7),
    st.integers(-70, 70) | st.integers(-(10**8), 10**8),
    st.sampled_from([0, 86_400_000_000, -86_400_000_000, 1, -1]) | st.integers(-(10**15), 10**15),
)


def _hex(length: int) -> Texts:
    return st.binary(min_size=length, max_size=length).map(lambda value: value.hex())


def array_text(items: st.SearchStrategy[str | None], delimiter: str = ",") -> Texts:
    def one(values: list[str | None]) -> str:
        return "{" + delimiter.join("NULL" if v is None else _quoted(v) for v in values) + "}"

    flat = st.lists(items, max_size=5).map(one)
    grid = st.integers(1, 3).flatmap(
        lambda width: st.lists(st.lists(items, min_size=width, max_size=width).map(one), min_size=1, max_size=3).map(
            lambda rows: "{" + delimiter.join(rows) + "}"
        )
    )
    bounded = st.lists(items, min_size=1, max_size=4).map(lambda values: f"[-1:{len(values) - 2}]={one(values)}")
    return flat | grid | bounded


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def record_text(*fields: st.SearchStrategy[str | None]) -> Texts:
    return st.tuples(*fields).map(lambda values: "(" + ",".join("" if v is None else _quoted(v) for v in values) + ")")


def maybe(items: Texts) -> st.SearchStrategy[str | None]:
    return items | st.none()


JSON: Texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
).map(json.dumps)

_TIMESTAMPTZ = _moment(294_000, lambda text: text + "+00", _CLOCK)
_MOOD = st.sampled_from(["zebra", "apple", 'Mango "x"'])
_PRICE = st.integers(-(10**9), 10**9).map(lambda n: f"{n / 1000:.3f}")
_PAIR = record_text(maybe(_integers(32)), maybe(TEXT), maybe(_TIMESTAMPTZ), maybe(array_text(maybe(TEXT))))

SORTABLE: dict[str, Texts] = {
    "bool": st.sampled_from(["t", "f"]),
    "int2": _integers(16),
    "int4": _integers(32),
    "int8": _integers(64),
    "oid": st.integers(0, 2**32 - 1).map(str),
    "float4": _float(32),
    "float8": _float(64),
    "numeric": _numeric(),
    "text": TEXT,
    "varchar": TEXT,
    "name": TEXT.filter(lambda text: len(text.encode()) < 64),
    "char": st.text("abz~ !\\09", max_size=1),
    "bpchar": st.tuples(TEXT, st.sampled_from(["", " ", "   "])).map("".join),
    "bytea": st.binary(max_size=6).map(lambda value: "\\x" + value.hex()),
    "uuid": _hex(16),
    "date": _moment(5_874_000, lambda text: text, st.just("")),
    "timestamp": _moment(294_000, lambda text: text, _CLOCK),
    "timestamptz": _TIMESTAMPTZ,
    "time": _TIME,
    "timetz": st.tuples(_TIME, _ZONES).map("".join)
    | st.sampled_from(["12:00:00+02", "10:00:00+00", "05:00:00-05", "15:30:00+05:30"]),
    "interval": _INTERVAL,
    "mood": _MOOD,
    "price": _PRICE,
    "price2": _PRICE,
    "macaddr": _hex(6),
    "macaddr8": _hex(8),
    "bit": st.text("01", max_size=20),
    "pg_lsn": st.tuples(_hex(4), _hex(3)).map("/".join),
    "xid8": st.integers(0, 2**64 - 1).map(str),
}
_IP = st.ip_addresses().map(str)
EQUATABLE: dict[str, Texts] = {
    "inet": _IP | st.tuples(_IP, st.integers(0, 32).map(str)).map("/".join),
    "cidr": _IP,
    "xid": st.integers(0, 2**32 - 1).map(str),
    "ints": array_text(maybe(_integers(4))),
    "texts": array_text(maybe(TEXT)),
    "moods": array_text(maybe(_MOOD)),
    "moments": array_text(maybe(_TIMESTAMPTZ)),
}
JSON_ONLY: dict[str, Texts] = {
    "json": JSON,
    "jsonb": JSON,
    "floats": array_text(maybe(_float(64))),
    "numerics": array_text(maybe(_numeric())),
    "pair": _PAIR,
    "pairs": array_text(maybe(_PAIR)),
    "int4range": st.sampled_from(["empty", "[1,5)", "(,3]", "[2,)"]),
    "tstzrange": st.sampled_from(["[2024-01-01,2024-02-01)", "empty", "(,infinity]"]),
    "point": st.just("(1,2.5)"),
    "boxes": array_text(maybe(st.sampled_from(["(1,2),(3,4)", "(0,0),(1,1)"])), ";"),
    "money": st.sampled_from(["1.5", "-12345.67", "0"]),
    "prices": array_text(maybe(_PRICE)),
    "nothing": st.just("()"),
    "tsvector": st.sampled_from(["'a':1 'b''c':2", "'x\\\\y'"]),
    "bools": array_text(maybe(st.sampled_from(["t", "f"]))),
    "jsons": array_text(maybe(JSON)),
}
