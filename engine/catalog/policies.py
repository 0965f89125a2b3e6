"""What decides which rows of a table with row-level security are seen: from the rows of ``realtime.policy_sources()``.

Which claims are read, and whether the clock is, is found in the text of policies and functions; whether text is read as a
time, in their node trees (:mod:`engine.catalog.times_read`). Where a text may read more
than what is found, all claims count: then fewer subscribers share a window, and none sees what is not for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from engine.catalog.problems import Problem

__all__ = ["UNKNOWN", "Policies", "Policy", "policies_of"]

_SETTING: Final = re.compile(r"current_setting", re.IGNORECASE)
_CONSTANT: Final = re.compile(r"current_setting\(\s*'([^']*)'(?:::text)?\s*(?:,\s*(?:true|false)\s*)?\)", re.IGNORECASE)
# current_setting('request.jwt.claims', true)::json ->> 'sub', also with nullif(…, '') or coalesce(…, '') around the setting
_KEY: Final = re.compile(
    r"(\s*(?:,\s*''(?:::text)?\s*\))?\s*\)*\s*::\s*jsonb?\s*\)*)\s*->>?\s*'((?:[^']|'')+)'(?:::text)?+"
    # and behind it nothing that continues the literal, or computes with it before the arrow does
    r"(?=\s*(?:$|[),;=<>\]]|->|[a-z]))",
    re.IGNORECASE,
)
# Words before a parenthesis that leave what is in it as it is: any other may be a function that makes other JSON of it.
_PLAIN: Final = frozenset(
    re.findall(
        r"\w+",
        "coalesce nullif select where and or not on when then else return having by if elsif distinct like ilike is",
    )
)
_NAME_BEFORE: Final = re.compile(r"[\w$.\"]+$")
_SELECT_BEFORE: Final = re.compile(r"(?<=\()\s*select$", re.IGNORECASE)
# An operator in front of the claims is applied before ->> is, unless it compares (docs: "Operator Precedence").
_FREE: Final = re.compile(r"(?:^|[\w(,;\[]|(?<![-+*/<>=~!@#%^&|`?:])(?:=|<>|!=|:=|=>|[<>]=?))$")
# Settings that no one sets but who reads the rows: also those of PostgREST before version 9.
_READERS: Final = re.compile(r"request\..+|role|session_authorization|is_superuser", re.IGNORECASE)
_ELSEWHERE: Final = re.compile(  # the last two check a text by the domain that a literal names
    r"\b(set_config|pg_settings|pg_show_all_settings|show|pg_input_is_valid|pg_input_error_info)\b", re.IGNORECASE
)
_CLOCK: Final = re.compile(
    r"\b(?:(?:now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|age|random|gen_random_uuid)\"?\s*\("
    r"|current_date|current_time|current_timestamp|localtime|localtimestamp"
    r"|pg_(?!catalog\b|temp\b)\w+|information_schema|has_\w+_privilege"
    r"|last_value|is_called|log_cnt)",  # columns of a sequence, whose changes are not in the WAL as rows
    re.IGNORECASE,
)
# Built-in functions that return the same for the same claims and rows, and words that are followed by parentheses.
_SAME: Final = frozenset(
    re.findall(
        r"\w+",
        """
        coalesce nullif greatest least lower upper btrim ltrim rtrim trim substr substring left right replace split_part
        concat concat_ws format md5 length char_length octet_length strpos position initcap reverse starts_with
        regexp_replace regexp_match regexp_split_to_array string_to_array array_to_string array_length cardinality
        array_position array_append array_agg unnest string_agg count max min sum bool_or bool_and every abs mod
        current_setting to_json to_jsonb json_extract_path json_extract_path_text jsonb_extract_path
        jsonb_extract_path_text json_array_elements json_array_elements_text jsonb_array_elements jsonb_array_elements_text
        json_array_length jsonb_array_length jsonb_typeof json_typeof jsonb_exists jsonb_object_keys json_object_keys
        json_build_object jsonb_build_object json_agg jsonb_agg generate_series row_number in exists any all some array
        values and or not where as on using select from when then else case if elsif return returns is union except
        intersect with join row over operator varchar char numeric decimal bit timestamp time begin perform query into by
        limit cast
        """,
    )
)
_READING: Final = re.compile(r"\b(?:from|join|table|execute|perform|into|update|using|copy)\b", re.IGNORECASE)
_CALL: Final = re.compile(r"(?<![\w.\"])(?:pg_catalog\.)?\"?([a-z_]\w*)\"?\s*\(", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that a role reads a table under. ``condition``: as PostgreSQL prints it, names outside ``pg_catalog`` with
    their schema.
    """

    oid: int
    permissive: bool
    condition: str


@dataclass(frozen=True, slots=True)
class Policies:
    """What the policies of a table read.

    ``tables``: oids of the tables on which it depends which rows are seen, its own too; ``functions``, ``views``: of these.
    ``claims``: names of the claims that are read; None: perhaps all. ``clock``: it depends on the clock, on settings or on
    system catalogs, whose changes are not in the WAL. ``problem``: why live queries cannot follow them, in words, and
    ``refusal``: the same for clients. ``sources``: a text of all this and of the conditions themselves, by which two states
    are compared. ``mark``: of them in the database (query ``policies_mark``), no later than the rest; ``names``: that it is
    also about, those in texts of functions, which may come to mean something else. ``applied``: the
    policies of each served role that is not exempt from them. ``unusual``: the name of a built-in function in them that is
    not known to return the same for the same claims and rows. ``own_rows``: what they call may read rows of the table
    itself; ``functions_read``: ... of any.
    """

    tables: frozenset[int]
    functions: frozenset[int]
    views: frozenset[int]
    claims: frozenset[str] | None
    clock: bool
    problem: str | None
    sources: str
    mark: str = ""
    applied: Mapping[str, tuple[Policy, ...]] = field(default_factory=dict)
    own_rows: bool = True
    functions_read: bool = True
    unusual: str | None = None
    refusal: str | None = None
    names: tuple[str, ...] = ()


UNKNOWN: Final = Policies(
    frozenset(),
    frozenset(),
    frozenset(),
    None,
    clock=False,
    problem="its policies are being changed; try again",
    refusal="its policies are being changed; try again",
    sources="",
)
"""Of a table that got row-level security while the catalog was read; the change is announced, and the catalog read again."""


def policies_of(
    table: str,
    rows: Iterable[Mapping[str, Any]],
    mark: str,
    setting: str,
    changing: Collection[str] = (),
    by_time: Collection[tuple[str, int]] = (),
) -> Policies:
    """The policies of ``table`` (its name). ``setting`` has the claims. ``changing``: names of the built-in functions that
    do not always return the same for the same arguments. ``by_time``: kind and oid of what reads text as a time
    (:mod:`engine.catalog.times_read`).
    """
    found = sorted(rows, key=lambda row: (row["kind"], row["oid"]))
    texts = [row["source"] for row in found if row["source"] and row["language"] not in ("c", "internal")]
    compiled = any(row["language"] in ("c", "internal") and row["volatility"] != "i" for row in found)
    claims: frozenset[str] | None = frozenset()
    for text in texts:
        read = _claims_in(text, setting)
        claims = None if claims is None or read is None else claims | read
    unknown = list(_unknown_calls(texts, (row["name"] for row in found if row["kind"] == "function")))
    problem = _problem(table, found)
    timed = any((row["kind"], row["oid"]) in by_time for row in found)
    return Policies(
        tables=frozenset(row["oid"] for row in found if row["kind"] == "table"),
        functions=frozenset(row["oid"] for row in found if row["kind"] == "function"),
        views=frozenset(row["oid"] for row in found if row["kind"] == "view"),
        claims=None if compiled else claims,
        clock=compiled
        or timed
        or any(_CLOCK.search(text) or _reads_settings(text, setting) for text in texts)
        or any(name in changing for name in unknown),
        problem=None if problem is None else problem.text,
        refusal=None if problem is None else problem.refusal,
        sources=repr([timed, *((row["kind"], row["oid"], row["source"]) for row in found)]),
        mark=mark,
        functions_read=any(row["kind"] == "function" and _may_read(row) for row in found),
        unusual=unknown[0] if unknown else None,
    )


def _may_read(function: Mapping[str, Any]) -> bool:
    """Whether a function may read a table: one in C may, and one whose text has a word that brings in rows."""
    return function["language"] not in ("sql", "plpgsql") or _READING.search(function["source"] or "from") is not None


def _unknown_calls(texts: Iterable[str], functions: Iterable[str]) -> Iterator[str]:
    """The functions in ``texts`` that are neither among ``functions`` (names with argument types) nor usual ones."""
    own = {name.split("(")[0].rsplit(".", 1)[-1].strip('"').lower() for name in functions}
    called = (match[1].lower() for text in texts for match in _CALL.finditer(text))
    return (name for name in called if name not in _SAME and name not in own)


def _reads_settings(text: str, setting: str) -> bool:
    """Whether a text reads settings that others may change, with no trace in the WAL."""
    return any(
        constant is None or (constant[1].lower() != setting.lower() and not _READERS.fullmatch(constant[1]))
        for constant in _settings_in(text)
    )


def _settings_in(text: str) -> Iterator[re.Match[str] | None]:
    """The calls of ``current_setting`` with the name of the setting; None where that is computed."""
    return (_CONSTANT.match(text, each.start()) for each in _SETTING.finditer(text))


def _problem(table: str, found: Iterable[Mapping[str, Any]]) -> Problem | None:
    for row in found:
        if row["problem"]:
            text = "its policies look at what cannot be followed; the server's log has more"
            return Problem(f"the policies of {table} cannot be followed: {row['problem']}", text)
    unpublished = [row["name"] for row in found if not row["published"]]
    if unpublished:
        return Problem(
            f"the policies of {table} read {', '.join(unpublished)}, which the publication bunbase_realtime does not have; "
            f"expose {table} again, or run `realtime migrate`",
            "its policies read what the publication bunbase_realtime does not have; expose it again, or run "
            "`realtime migrate`",
        )
    return None


def _claims_in(text: str, setting: str) -> frozenset[str] | None:
    """The claims that the text of a policy or function reads; None: perhaps all."""
    if _ELSEWHERE.search(text):
        return None
    names: set[str] = set()
    for constant in _settings_in(text):
        if constant is None:
            return None
        if constant[1].lower() != setting.lower():
            continue
        key = _KEY.match(text, constant.end())
        if key is None or not _is_as_set(text[: constant.start()], key[1].count(")")):
            return None
        names.add(key[2].replace("''", "'"))
    return frozenset(names)


def _is_as_set(before: str, closed: int) -> bool:
    """Whether nothing makes something else of a setting, as ``lower(current_setting('request.jwt.claims'))`` does, up to
    the last of ``closed`` parentheses behind it. ``before``: the text in front of it.
    """
    rest = before.rstrip().removesuffix("pg_catalog.").rstrip()
    for _ in range(closed):
        rest = _SELECT_BEFORE.sub("", rest)
        if not rest.endswith("("):
            return False
        rest = rest[:-1].rstrip()
        word = _NAME_BEFORE.search(rest)
        if word is not None and word[0].lower() not in _PLAIN:
            return False
        if word is not None and word[0].lower() in ("coalesce", "nullif"):
            rest = rest[: word.start()].rstrip()
    line = before.rfind("\n", 0, len(rest)) + 1
    return _FREE.search(rest) is not None and "--" not in before[line:]  # in a comment no parenthesis counts
