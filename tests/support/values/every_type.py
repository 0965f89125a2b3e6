"""A column of every type PostgreSQL has, and of the kinds users make of them, with its extreme values.

``Kind.rows`` are what the table holds, ``Kind.more`` what else it is compared with: for a type with a modifier, values that
the modifier would change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["KINDS", "SETUP", "Kind"]


@dataclass(frozen=True)
class Kind:
    """A type with values as text.

    ``refused``: operators (and ``order``) that PostgreSQL does not have for it. ``base``: what SQL has to cast both sides
    to, where operators do not see through a domain, or do not know what type a literal is of. ``numbers``: literals are
    numbers. ``element``: one that arrays may contain. ``since``: the server version that first has it.
    """

    type: str
    rows: tuple[str, ...]
    more: tuple[str, ...] = ()
    refused: frozenset[str] = frozenset()
    element: str = ""
    numbers: bool = False
    since: int = 140000
    base: str = ""


SETUP: Final = """
create type mood as enum ('sad', 'ok', 'happy');
create domain dmood as mood; create domain ddmood as dmood;
create domain price as numeric(6,2); create domain dtime as time(0); create domain dtext as varchar(3);
create domain dbits as bit(3); create domain dpad as char(3); create domain dspan as interval(1);
create domain dints as int[]; create domain dprices as price[]; create domain ddoc as jsonb;
create type comp as (a int, b text); create type outer_comp as (c comp, n numeric(4,1));
create type opaque as (a int, j json); create type dotted as (p point); create type blank as ();
create domain dcomp as comp; create domain positive as int check (value > 0);
create type clocks as range (subtype = time); create type prices as range (subtype = price);
create domain dspan4 as int4range; create domain dsets as int4multirange; create domain dcomps as comp[];
create type moods as range (subtype = mood, multirange_type_name = mood_sets);
create type comprange as range (subtype = comp, multirange_type_name = compranges);
create type dmoodrange as range (subtype = dmood);
create type classes as range (subtype = regclass, subtype_opclass = oid_ops);
create type stay as (during moods, n int);
"""

_ORDERED = ("<", "<=", ">", ">=")
_NO_ORDER = frozenset({*_ORDERED, "order"})
_NOTHING = frozenset({"==", "!=", "in", "not-in", *_ORDERED, "order"})
_INTS = ("-32768", "-1", "0", "1", "32767")
_HUGE = (
    "9007199254740993", "99999999999999999999999999", "-99999999999999999999999999", "0.5", "1.0", "-0", "1e400", "1e-400",
    "1e-16383", "0.12345678901234567890123", "-34338492.215397047", "9223372036854775807", "9223372036854775808", "1e3",
)  # fmt: skip


def _kinds() -> Mapping[str, Kind]:
    return {
        "small": Kind("smallint", _INTS, _HUGE, numbers=True),
        "int": Kind("int", (*_INTS, "2147483647", "-2147483648", "1000"), _HUGE, numbers=True),
        "big": Kind(
            "bigint", (*_INTS, "9007199254740992", "9007199254740993", "9223372036854775807"), _HUGE, numbers=True
        ),
        "num": Kind(
            "numeric",
            ("0.12345678901234567890123", "0.12345678901234567890124", "-34338492.215397047", "-34338492.2153970471",
             "1e-16383", "0", "1e100", "12345678901234567890123.5", "NaN", "Infinity", "-Infinity", "1e400",
             "99999999999999999999999999"),
            _HUGE, numbers=True,
        ),
        "scaled": Kind("numeric(6,2)", ("1.23", "1.24", "-0.5", "9999.99", "0", "NaN"), ("1.234", "1.235", "123456.7"),
                       numbers=True),
        "rounded": Kind("numeric(3,-2)", ("12300", "100"), ("12345", "149"), numbers=True, since=150000),
        "real": Kind("real", ("0.1", "-0", "0", "3.4e38", "1e-45", "NaN", "Infinity", "16777216"), ("1.5", "1e-40")),
        "double": Kind("float8", ("0.1", "-0", "1e308", "5e-324", "NaN", "-Infinity", "9007199254740992"),
                       ("0.1000000000000000055511151231257827", "9007199254740993", "1"), numbers=True),
        "money": Kind("money", ("$1.00", "-$92,233,720,368,547,758.08", "$0.10"), ("1", "0.105")),
        "bool": Kind("bool", ("t", "f")),
        "text": Kind("text", ("", "a", "A", "ab ", "é", "NULL", "'\"\\"), ("zz",)),
        "text_c": Kind('text collate "C"', ("", "a", "A", "ab ", "é", "NULL"), ("zz",)),
        "vc": Kind("varchar(5)", ("abcde", "ab", ""), ("abcdefg", "ab   ", "abcde   ")),
        "padded": Kind("char(3)", ("a", "ab", "abc", ""), ("a ", "abcd", "abc   ", "a\t")),
        "padded_c": Kind('char(3) collate "C"', ("a", "ab", "abc", ""), ("a ", "abcd", "abc   ", "a\t")),
        "one": Kind('"char"', ("a", "", "\\377"), ("b", "ab")),
        "tag": Kind("name", ("x", "Y", ""), ("x" * 70,)),
        "raw": Kind("bytea", ("\\x", "\\x00", "\\x00ff"), ("\\xff",)),
        "day": Kind("date", ("2024-02-29", "infinity", "-infinity", "4713-01-01 BC", "5874897-12-31"), ("2000-1-1",)),
        "clock": Kind("time", ("00:00:00", "24:00:00", "23:59:59.999999"), ("23:59:59.5",)),
        "clock0": Kind("time(0)", ("23:59:59", "24:00:00", "00:00:01"), ("23:59:59.5", "23:59:59.4", "00:00:00.5")),
        "zoned": Kind("timetz", ("12:00:00+02", "10:00:00+00", "00:00:00-15:59"), ("11:00:00+01",)),
        "zoned1": Kind("timetz(1)", ("12:00:00.5+02", "10:00:00+00"), ("12:00:00.46+02", "10:00:00.04+00")),
        "at": Kind("timestamp", ("2000-01-01 00:00:00.001", "infinity", "-infinity", "4713-01-01 BC", "294276-12-31"),
                   ("2000-01-01 00:00:00.0005",)),
        "at3": Kind("timestamp(3)", ("2000-01-01 00:00:00.001", "2000-01-01 00:00:01.457", "infinity"),
                    ("2000-01-01 00:00:00.0005", "2000-01-01 00:00:01.4567")),
        "tz": Kind("timestamptz", ("2000-01-01 00:00:00.5+00", "infinity", "10000-01-01 00:00+00"),
                   ("2000-01-01 02:00+02",)),
        "tz0": Kind("timestamptz(0)", ("2000-01-01 00:00:00+00", "2000-01-01 00:00:01+00"), ("2000-01-01 00:00:00.5+00",)),
        "span": Kind("interval", ("1 mon", "30 days", "720:00:00", "-178000000 years", "00:00:00.000001"), ("30.5 days",)),
        "span2": Kind("interval(2)", ("00:00:01.25", "1 day"), ("1.254 seconds", "1.255 seconds")),
        "days": Kind("interval day", ("3 days", "0"), ("3 days 5 hours", "1 hour")),
        "minutes": Kind("interval hour to minute", ("01:30:00",), ("01:30:30", "1.5 hours")),
        "uid": Kind("uuid", ("00000000-0000-0000-0000-000000000000",), ("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",)),
        "host": Kind("inet", ("10.0.0.1", "10.0.0.1/8", "::1"), ("10.1/16",)),
        "net": Kind("cidr", ("10.0.0.0/8", "::/0"), ("10/8",)),
        "mac": Kind("macaddr", ("08:00:2b:01:02:03",), ("0800.2b01.0204",)),
        "mac8": Kind("macaddr8", ("08:00:2b:01:02:03:04:05",), ("08:00:2b:01:02:03",)),
        "bits": Kind("bit(3)", ("101", "000"), ("1010", "10", "")),
        "varbits": Kind("varbit(4)", ("101", "", "1010"), ("10101", "1")),
        "plain": Kind("json", ('{"a": 1}', "1.0"), ("1",), _NOTHING),
        "doc": Kind("jsonb", ('{"a": 1.0}', "12345678901234567890123.5", "1e3", '"x"', "[1]", "null"),
                    ("12345678901234567890123.50", "12345678901234567890124.5", "1000", "1.0")),
        "way": Kind("jsonpath", ("$.a",), ("$.b",), _NOTHING),
        "spot": Kind("point", ("(1,2)",), ("(1,2.5)",), _NOTHING),
        "line": Kind("line", ("{1,2,3}",), ("{1,2,4}",), _NO_ORDER | {"!=", "not-in"}),
        "seg": Kind("lseg", ("[(0,0),(1,1)]", "[(0,0),(2,2)]"), ("[(0,0),(1,0)]",), frozenset({"order"})),
        "box": Kind("box", ("(1,1),(0,0)", "(2,2),(1,1)"), ("(3,3),(0,0)",), frozenset({"!=", "not-in", "order"})),
        "path": Kind("path", ("[(0,0),(1,1)]", "((0,0),(1,1),(2,2))"), ("[(5,5)]",),
                     frozenset({"!=", "not-in", "order"})),
        "poly": Kind("polygon", ("((0,0),(1,1))",), ("((0,0),(1,2))",), _NOTHING),
        "round": Kind("circle", ("<(0,0),1>", "<(1,1),2>"), ("<(5,5),1>",), frozenset({"order"})),
        "vector": Kind("tsvector", ("'a' 'b'", ""), ("b a",)),
        "search": Kind("tsquery", ("'a' & 'b'", ""), ("a&b", "a|b")),
        "lsn": Kind("pg_lsn", ("0/16B3748", "FF/0"), ("0/0",)),
        "snap": Kind("pg_snapshot", ("10:20:10,14",), ("10:20:",), _NOTHING),
        "oid": Kind("oid", ("0", "4294967295", "5"), ("-1", "7")),
        "xid": Kind("xid", ("3", "4294967295"), ("4",), _NO_ORDER),
        "cid": Kind("cid", ("3", "4294967295"), ("4",), _NO_ORDER | {"!=", "not-in"}),
        "tid": Kind("tid", ("(0,1)", "(4294967295,65535)"), ("(0,2)",)),
        "xid8": Kind("xid8", ("3", "18446744073709551615"), ("4",)),
        "class": Kind("regclass", ("pg_class", "pg_type"), ("pg_proc",), base="regclass"),
        "vec": Kind("oidvector", ("1 2", ""), ("1 3",)),
        "shorts": Kind("int2vector", ("1 2",), ("1 3",), frozenset({"order"})),
        "ref": Kind("refcursor", ("a",), ("b",), _NOTHING),
        "mood": Kind("mood", ("sad", "ok", "happy")),
        "ints": Kind("int[]", ("{}", "{1}", "{1,NULL}", "{{1,2},{3,4}}", "[0:1]={1,2}"), ("{2}",), element="1"),
        "scaled_list": Kind("numeric(6,2)[]", ("{1.23}", "{}", "{1.24,NaN}"), ("{1.234}", "{1.235}"), element="1.234"),
        "texts": Kind("text[]", ("{}", '{a,"b c"}', '{NULL,"NULL"}', '{"",a}'), ("{b}",), element="a"),
        "vcs": Kind("varchar(3)[]", ("{abc}", "{ab}"), ("{abcd}",), element="abcd"),
        "pads": Kind("char(3)[]", ("{abc}", "{ab}"), ("{abcd}", '{"ab "}'), element="ab "),
        "clocks0": Kind("time(0)[]", ("{23:59:59}", "{24:00:00}"), ("{23:59:59.5}",), element="23:59:59.5"),
        "moods": Kind("mood[]", ("{}", "{sad,ok}"), ("{happy}",), element="sad"),
        "dmoods": Kind("dmood[]", ("{}", "{sad,ok}"), ("{happy}",), element="sad", base="mood[]"),
        "prices": Kind("price[]", ("{1.23}", "{}", "{2,NULL}"), ("{1.24}", "{1.234}"), element="1.234", base="numeric[]"),
        "positives": Kind("positive[]", ("{1}", "{2,3}"), ("{4}", "{-1}"), element="2", base="int[]"),
        "docs": Kind("jsonb[]", ('{"1.0"}', '{"{\\"a\\": 1}"}'), ('{"1"}',), element="1"),
        "plains": Kind("json[]", ('{"1"}', "{}"), ('{"2"}',), _NOTHING | {"array-contains"}, element="1"),
        "spots": Kind("point[]", ('{"(1,2)"}', "{}"), ('{"(1,3)"}',), _NOTHING | {"array-contains"}, element="(1,2)"),
        "xids": Kind("xid[]", ("{3}", "{}"), ("{4}",), _NO_ORDER, element="3"),
        "boxes": Kind("box[]", ("{(1,1),(0,0);(2,2),(1,1)}",), ("{(3,3),(0,0)}",), _NOTHING | {"array-contains"},
                      element="(1,1),(0,0)"),
        "comps": Kind("comp[]", ('{"(1,x)"}', '{"(,)"}', "{}"), ('{"(2,)"}',), element="(1,x)"),
        "opaques": Kind("opaque[]", ('{"(1,)"}', "{}"), ('{"(2,)"}',), _NOTHING | {"array-contains"}, element="(1,)"),
        "rangelist": Kind("int4range[]", ('{"[1,3)"}',), ('{"[1,2]"}',), element="[1,2]"),
        "dmood": Kind("dmood", ("sad", "ok"), ("happy",), base="mood"),
        "ddmood": Kind("ddmood", ("sad", "ok"), ("happy",), base="mood"),
        "price": Kind("price", ("1.23", "1.24"), ("1.234", "1.235", "99999999"), numbers=True),
        "dclock": Kind("dtime", ("23:59:59", "24:00:00"), ("23:59:59.5",)),
        "dtext": Kind("dtext", ("abc", "ab"), ("abcd",)),
        "dbits": Kind("dbits", ("101",), ("1010",)),
        "dpad": Kind("dpad", ("ab", "abc"), ("abcd", "ab ")),
        "dspan": Kind("dspan", ("00:00:01.2",), ("1.25 seconds", "1.24 seconds")),
        "dints": Kind("dints", ("{1}", "{1,2}"), ("{3}",), element="1", base="int[]"),
        "dprices": Kind("dprices", ("{1.23}", "{}"), ("{1.24}", "{1.234}"), element="1.234", base="numeric[]"),
        "ddoc": Kind("ddoc", ('{"a": 1}', "1.0"), ("1",)),
        "positive": Kind("positive", ("1", "5"), ("-1", "0.5", "99999999999"), numbers=True),
        "comp": Kind("comp", ("(1,x)", "(,)", "(1,)", "(,x)", '(2,"")'), ("(1,y)",), base="comp"),
        "dcomp": Kind("dcomp", ("(1,x)", "(,)"), ("(2,x)",), base="comp"),
        "outer": Kind("outer_comp", ('("(1,x)",1.2)', "(,)", '("(,)",)'), ('("(1,x)",1.3)',), base="outer_comp"),
        "opaque": Kind("opaque", ("(1,)", "(,)", '(1,"{}")'), ("(2,)",), _NOTHING),
        "dotted": Kind("dotted", ('("(1,2)")', "()"), (), _NOTHING),
        "blank": Kind("blank", ("()",), base="blank"),
        "range": Kind("int4range", ("[1,5)", "empty", "(,)", "[2,)"), ("[1,4]", "(0,5)")),
        "nums": Kind("numrange", ("[1.5,2.5)", "empty"), ("[1.50,2.5)",)),
        "times": Kind("tstzrange", ('["2000-01-01 00:00:00+00",)',), ('["2000-01-01 02:00:00+02",)',)),
        "clockrange": Kind("clocks", ("[01:00:00,02:00:00)",), ("[01:00,02:00]",)),
        "pricerange": Kind("prices", ("[1.23,2.00)",), ("[1.234,2)",)),
        "drange": Kind("dspan4", ("[1,5)", "empty"), ("[1,4]",), base="int4range"),
        "moodrange": Kind("moods", ("[sad,ok]", "empty", "(,)"), ("[sad,happy)",)),
        "moodsets": Kind("mood_sets", ("{[sad,ok]}", "{}"), ("{[happy,)}",)),
        "comprange": Kind("comprange", ('["(1,x)","(2,y)")', "empty"), ('["(1,x)","(2,z)")',)),
        "compranges": Kind("compranges", ('{["(1,x)","(2,y)")}', "{}"), ('{["(1,x)",)}',)),
        "dmoodrange": Kind("dmoodrange", ("[sad,ok]", "empty"), ("[ok,happy)",)),
        "classes": Kind("classes", ("[pg_class,pg_class]", "empty"), ("(,pg_class]",)),
        "dmulti": Kind("dsets", ("{[1,5)}", "{}"), ("{[1,4]}",), base="int4multirange"),
        "dates": Kind("datemultirange", ("{[2000-01-01,2000-01-05)}", "{}"), ("{[2000-01-01,2000-01-04]}",)),
        "stay": Kind("stay", ('("[sad,ok]",1)', "(,)"), ('("[sad,happy]",1)',), base="stay"),
        "stays": Kind("stay[]", ('{"(\\"[sad,ok]\\",1)"}', "{}"), ('{"(,2)"}',), element="(,2)"),
        "moodranges": Kind("moods[]", ('{"[sad,ok]"}', "{}"), ('{"[happy,)"}',), element="[sad,ok]"),
        "multis": Kind("int4multirange[]", ('{"{[1,5)}"}', "{}"), ('{"{[1,4]}"}',), element="{[1,4]}"),
        "dcomps": Kind("dcomps", ('{"(1,x)"}', "{}"), ('{"(2,)"}',), element="(1,x)", base="comp[]"),
        "chars": Kind('"char"[]', ("{a}", "{}"), ("{b}",), element="a"),
        "names": Kind("name[]", ("{a}", "{}"), ("{b}",), element="a"),
        "lsns": Kind("pg_lsn[]", ("{0/16B3748}", "{}"), ("{0/0}",), element="0/016B3748"),
        "xid8s": Kind("xid8[]", ("{3}", "{}"), ("{4}",), element="3"),
        "tids": Kind("tid[]", ('{"(0,1)"}', "{}"), ('{"(0,2)"}',), element="(0,1)"),
        "moneys": Kind("money[]", ("{$1.00}", "{}"), ("{2}",), element="1"),
        "macs": Kind("macaddr8[]", ("{08:00:2b:01:02:03:04:05}", "{}"), ("{08:00:2b:01:02:03}",),
                     element="08002b0102030405"),
        "varbitlist": Kind("varbit(4)[]", ("{101,1}", "{}"), ("{10101}",), element="101"),
        "vectors": Kind("tsvector[]", ("{'a' 'b'}", "{}"), ("{b}",), element="b a"),
        "ways": Kind("jsonpath[]", ("{$.a}", "{}"), ("{$.b}",), _NOTHING | {"array-contains"}, element="$.a"),
        "vecs": Kind("oidvector[]", ('{"1 2"}', "{}"), ('{"1 3"}',), element="1 2"),
        "kind": Kind("regtype", ("integer", "text"), ("boolean",), base="regtype"),
        "bare": Kind("varbit", ("101", ""), ("1",)),
        "multi": Kind("int4multirange", ("{[1,5),[7,9)}", "{}"), ("{[1,4],[7,8]}",)),
    }  # fmt: skip


KINDS: Final = _kinds()
