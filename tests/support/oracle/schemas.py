"""Random tables. Value pools are small, so that rows collide, tie, enter and leave."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

__all__ = ["KINDS", "Column", "Kind", "Table", "tables"]


@dataclass(frozen=True)
class Kind:
    """A kind of column: SQL type, a pool of literals, and what builder queries may do with it.

    ``asked``: what it is compared with besides. ``base``: as what SQL has to compare it, if its operators do not see through
    domains.
    """

    sql: str
    pool: tuple[str, ...]
    order: bool = True
    equal: bool = True
    json: str = "text"  # how a client writes a value: text, int, number, bool
    element: str | None = None
    like: bool = False
    asked: tuple[str, ...] = ()
    base: str = ""

    def operand(self, name: str) -> str:
        """A column of the kind on the left side of an operator."""
        return f"{name}::{self.base}" if self.base else name

    @property
    def cast(self) -> str:
        """The type to cast literals to: without length (``col = $1`` does not truncate) and without collation."""
        bare = (self.base or self.sql).split("(")[0].split(" collate")[0]
        return "bpchar" if bare == "char" else bare  # char alone is char(1)


def _large(n: int) -> str:
    return f"{n}" * 4000


KINDS: dict[str, Kind] = {
    "bool": Kind("boolean", ("t", "f"), json="bool"),
    "int2": Kind("smallint", ("-3", "0", "1", "2", "7"), json="int"),
    "int4": Kind("integer", ("-2147483648", "-1", "0", "1", "2", "10"), json="int"),
    "int8": Kind(
        "bigint", ("-9223372036854775808", "0", "3", "20", "9007199254740992", "9007199254740993"), json="int"
    ),
    "numeric": Kind(
        "numeric", ("NaN", "-1", "1.0", "1.00", "1.5", "1e30", "0", "Infinity", "-Infinity"), json="number"
    ),
    "digits": Kind(
        "numeric",
        (
            "0.12345678901234567890123",
            "0.12345678901234567890124",
            "-34338492.215397047000001",
            "99999999999999999999999999",
        ),
        json="number",
        asked=("0.123456789012345678901235", "99999999999999999999999999.5", "0.00000000000000000001"),
    ),
    "scaled": Kind("numeric(6,2)", ("1.23", "1.24", "0", "NaN"), json="number", asked=("1.234", "1.235", "123456.7")),
    "time0": Kind("time(0)", ("23:59:59", "24:00:00", "00:00:01"), asked=("23:59:59.5", "00:00:00.5")),
    "stamp3": Kind(
        "timestamp(3)",
        ("2000-01-01 00:00:00.001", "2000-01-01 00:00:01.457", "infinity"),
        asked=("2000-01-01 00:00:00.0005", "2000-01-01 00:00:01.4567"),
    ),
    "denum": Kind("oracle_feeling", ("sad", "ok", "happy", "Zen"), base="oracle_mood"),
    "float8": Kind("double precision", ("NaN", "-0", "0", "0.1", "1e300", "-Infinity", "Infinity"), json="number"),
    "float4": Kind("real", ("NaN", "0.1", "0.5", "-2", "1e30"), json="number"),
    "text_c": Kind('text collate "C"', ("", "a", "B", "ab", "ä", "Z", "b_c", "a%", "日本"), like=True),
    "text": Kind("text", ("", "a", "B", "ab", "ä", "é", "b", "Ab"), like=True),
    "text_icu": Kind("text collate oracle_icu", ("a", "B", "ab", "ä", "A", "b", "Ä"), like=True),
    "varchar": Kind("varchar(8)", ("x", "xy", "X", "", "zz"), asked=("zz       longer",)),
    "bpchar": Kind("char(4)", ("a", "a  ", "ab", "b", "")),
    "enum": Kind("oracle_mood", ("sad", "ok", "happy", "Zen")),
    "domain": Kind("oracle_score", ("1", "5", "9"), json="int"),
    "date": Kind("date", ("2026-01-25", "1999-12-31", "infinity", "-infinity", "0044-03-15 BC")),
    "timestamptz": Kind(
        "timestamptz", ("2026-01-25 09:00:00.123+00", "2026-01-25 10:00:00+01", "infinity", "1970-01-01 00:00:00+00")
    ),
    "timestamp": Kind("timestamp", ("2026-01-25 09:00:00", "2026-01-25 09:00:00.000001", "-infinity")),
    "time": Kind("time", ("00:00:00", "23:59:59.5", "24:00:00")),
    "interval": Kind("interval", ("1 mon", "30 days", "720 hours", "-1 day", "1 year 2 mons 3 days 04:05:06.7")),
    "uuid": Kind("uuid", tuple(f"0000000{n}-0000-4000-8000-000000000000" for n in range(4))),
    "bytea": Kind("bytea", ("\\x", "\\x00", "\\x00ff", "\\xff", "\\x6162")),
    "jsonb": Kind("jsonb", ('{"a": 1}', '{"a": 1.0}', "[1, 2]", '"x"', "null", "{}"), order=False, equal=False),
    "ints": Kind(
        "integer[]", ("{}", "{1,2}", "{2,NULL}", "{7}", "{{1,2},{3,4}}"), order=False, equal=False, element="int4"
    ),
    "texts": Kind("text[]", ("{}", "{a,b}", '{"x,y",NULL}', '{"a\\"b"}'), order=False, equal=False, element="text"),
    "inet": Kind("inet", ("10.0.0.1", "10.0.0.0/8", "::1"), equal=True),
    "range": Kind("int4range", ("[1,5)", "empty", "(,3)"), order=False, equal=False),
    "composite": Kind("oracle_pair", ('(1,"a b")', "(,)", "(2,)"), order=False, equal=False),
    "large": Kind('text collate "C"', tuple(_large(n) for n in range(3)), order=False),
}

_KEYS = ("int4", "uuid", "text_c", "text_icu", "text", "numeric", "date", "enum", "timestamptz", "varchar")

TYPES = """
do $$
begin
  create collation oracle_icu (provider = icu, locale = 'en');
exception when feature_not_supported then
  create collation oracle_icu (provider = builtin, locale = 'C.UTF-8');  -- a Postgres built without ICU
end
$$;
create type oracle_mood as enum ('sad', 'ok', 'happy', 'Zen');
create domain oracle_feeling as oracle_mood;
create domain oracle_score as integer check (value between 0 and 9);
create type oracle_pair as (n integer, label text);
"""


@dataclass(frozen=True)
class Column:
    """A column ``name`` of a kind."""

    name: str
    kind: str
    not_null: bool = False

    @property
    def of(self) -> Kind:
        """Its kind."""
        return KINDS[self.kind]


@dataclass(frozen=True)
class Table:
    """A table with its primary key first and two columns every table has: ``grp`` (for joins) and ``n``."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    identity: str  # default, full, index
    partitioned: bool

    def column(self, name: str) -> Column:
        """The column called ``name``."""
        return next(column for column in self.columns if column.name == name)

    def ddl(self) -> str:
        """The statements that make the table."""
        lines = [f"{c.name} {c.of.sql}{' not null' if c.not_null else ''}" for c in self.columns]
        lines.append(f"primary key ({', '.join(self.key)})")
        external = "".join(  # not compressed, so that it is out of line and an update that leaves it does not bring it
            f"alter table {self.name} alter column {c.name} set storage external;"
            for c in self.columns
            if c.kind == "large"
        )
        if self.partitioned:
            text = f"create table {self.name} ({', '.join(lines)}) partition by hash ({self.key[0]});"
            for n in range(2):
                part = f"{self.name}_p{n}"
                text += f"create table {part} partition of {self.name} for values with (modulus 2, remainder {n});"
                text += self._identity_ddl(part)
            return text + external
        return f"create table {self.name} ({', '.join(lines)}); " + self._identity_ddl(self.name) + external

    def _identity_ddl(self, name: str) -> str:
        if self.identity == "full":
            return f"alter table {name} replica identity full;"
        if self.identity == "index":
            return (
                f"create unique index {name}_ident on {name} (ident); "
                f"alter table {name} replica identity using index {name}_ident;"
            )
        return ""


@st.composite
def tables(draw: st.DrawFn, name: str) -> Table:
    """A random table called ``name``."""
    key_kinds = draw(st.lists(st.sampled_from(_KEYS), min_size=1, max_size=2))
    identity = draw(st.sampled_from(["default", "default", "full", "index"]))
    columns = [Column(f"k{i}", kind, not_null=True) for i, kind in enumerate(key_kinds)]
    if identity == "index":
        columns.append(Column("ident", "int4", not_null=True))
    columns.append(Column("grp", "int4"))
    columns.append(Column("n", "numeric"))
    others = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5))
    columns += [Column(f"c{i}", kind, draw(st.booleans()) and kind != "composite") for i, kind in enumerate(others)]
    return Table(
        name,
        tuple(columns),
        tuple(f"k{i}" for i in range(len(key_kinds))),
        identity,
        identity != "index" and draw(st.integers(0, 4)) == 0,
    )
