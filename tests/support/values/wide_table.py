"""A table with a column of every kind of type: the columns' types and the values they are filled with."""

from __future__ import annotations

__all__ = ["NOT_NULL", "POOLS", "SORTABLE", "TYPES"]

# Few values per column, so that predicates hit and ties are common; every type's edges among them.
POOLS: dict[str, list[str]] = {
    "bool": ["t", "f"],
    "small": ["-32768", "0", "7", "32767"],
    "int": ["-1", "0", "1", "2", "2147483647"],
    "big": ["-9223372036854775808", "0", "5", "9223372036854775807"],
    "real": ["NaN", "-0", "0", "0.1", "1e20", "-Infinity"],
    "float": ["NaN", "-0", "0", "0.1", "1.5", "Infinity", "1e-300"],
    "num": ["NaN", "Infinity", "1", "1.0", "1.00", "-2.5", "123456789012345678901234567890.5"],
    "priced": ["0", "1.5", "1.500", "99"],
    "text_c": ["", "a", "A", "ab", "a%b", "a_b", "b\\", "é", "😀", "NULL", "a b "],
    "text_d": ["", "a", "B", "ab", "Ab", "zz"],
    "vc": ["a", "ab", "abcde"],
    "padded": ["a", "ab", "b "],
    "tagname": ["x", "Y", ""],
    "uid": ["00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    "day": ["2024-02-29", "0001-01-01 BC", "10000-01-01", "infinity", "-infinity"],
    "at": ["2024-01-01 00:00:00+00", "2024-01-01 00:00:00.5+00", "4000-01-01 00:00:00+00 BC", "infinity"],
    "span": ["1 mon", "30 days", "720:00:00", "-1 day", "00:00:00"],
    "clock": ["12:00:00+02", "10:00:00+00", "11:00:00+00"],
    "mood": ["sad", "ok", "happy"],
    "raw": ["\\x", "\\x00", "\\x00ff"],
    "ints": ["{}", "{1}", "{1,2}", "{NULL,2}", "{{1,2},{3,4}}", "[0:1]={1,2}"],
    "texts": ["{}", "{a}", '{a,"b c"}', '{NULL,"NULL"}', '{"",a}'],
    "moods": ["{}", "{sad,ok}", "{happy}"],
}
TYPES = {
    "bool": "bool", "small": "int2", "int": "int4", "big": "int8", "real": "float4", "float": "float8", "num": "numeric",
    "priced": "price", "text_c": 'text collate "C"', "text_d": "text", "vc": "varchar(5)", "padded": "char(4)",
    "tagname": "name", "uid": "uuid", "day": "date", "at": "timestamptz", "span": "interval", "clock": "timetz",
    "mood": "mood", "raw": "bytea", "ints": "int[]", "texts": "text[]", "moods": "mood[]",
}  # fmt: skip
SORTABLE = [name for name in POOLS if name not in ("ints", "texts", "moods")]
NOT_NULL = ("int", "at", "text_c")
