"""Conditions in CEL: what compiles, what they give, and what bounds them."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.rules.condition import CompiledCondition, ConditionError, Scope, compile_condition
from server.rules.form import fields_of, parts_of

VARIABLES: dict[str, Any] = {
    "auth": {"uid": "ann", "role": "user", "claims": {"org": "acme", "level": 3}, "anonymous": False, "attributes": {}},
    "data": {
        "members": ["ann", "bob"],
        "admins": {"ann": True},
        "open": True,
        "limit": 10**30,
        "price": Decimal("2.5"),
    },
    "channel": {"name": "private:room-1", "kind": "private", "id": "room-1"},
    "request": {"action": "publish", "event": "sent"},
}


def evaluated(text: str, **variables: object) -> bool:
    scope = Scope()
    for name, value in {**VARIABLES, **variables}.items():
        (scope.keep if name in ("data", "channel") else scope.give)(name, value)
    return compile_condition(text).evaluate(scope)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("auth.uid != null && data.members.includes(auth.uid)", True),
        ("auth.uid != null && data.members.includes('eve')", False),
        ("auth.uid in data.members", True),
        ("auth.uid in data.admins", True),
        ("auth.uid == null", False),
        ("data.open", True),
        ("!auth.anonymous", True),
        ("auth.claims.level >= 3", True),
        ("has(auth.claims.team) && auth.claims.team == 'x'", False),
        ("data.members.exists(member, member == auth.uid)", True),
        ("data.members.all(m, m != 'eve') && data.members.exists(m, m == 'bob')", True),
        ("size(data.members) == 2", True),
        ("channel.name.startsWith('private:') && channel.id.matches('^room-[0-9]+$')", True),
        ("channel.name.includes('room') && 'x'.includes('')", True),
        ("request.event == 'sent' || request.action == 'subscribe'", True),
        ("data.limit > 1.0 && data.price == 2.5", True),
        ("[1, 2].includes(1) && ![1, 2].includes(true) && ![true].includes(1)", True),
        ("true || auth.nothing == 1", True),
        ("type(auth.uid) == string", True),
        ("'all( exists(' != '' // .all(x, y.all(z, true))", True),
    ],
)
def test_a_condition_gives_what_cel_defines(text: str, result: bool) -> None:
    assert evaluated(text) is result


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not empty"),
        ("auth.uid ==", "Syntax error"),
        ("auth.uid === 'ann'", "=="),
        ("auth.uid !== null", "=="),
        ("nothing(auth.uid)", "there is no function 'nothing'"),
        ("user.id == 1", "there is no variable 'user'"),
        ("auth.uid == undefined", "there is no variable 'undefined'"),
        ("data.a.all(x, data.b.exists(y, x == y))", "inside another"),
        ("data.a.all(x, (data.b.map(y, y) == x))", "inside another"),
        ("data.a.all(x, data.b. // here\n exists(y, x == y))", "inside another"),
        ("data.a.all // once\n // twice\n (x, data.b.exists // here\n (y, x == y))", "inside another"),
        (r"""r"\" == "" || data.a.all(x, data.b.exists(y, x == y)) || "" == "x\"""", "inside another"),
        (r"""r'\' == '' || data.a.all(x, data.b.exists(y, x == y)) || '' == 'x'""", "inside another"),
        (r"""bR"\" == b"" || data.a.all(x, data.b.exists(y, x == y)) || "" == "x\"""", "inside another"),
        (r"""'''\'''' == '' || data.a.all(x, data.b.exists(y, x == y)) || '' == '''x'''""", "inside another"),
        ("(" * 2000 + "true" + ")" * 2000, "parse"),
        ("true" + " && true" * 1000, "at most 4096 characters"),
    ],
)
def test_what_cannot_be_compiled_has_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ConditionError) as refused:
        compile_condition(text)
    assert reason.lower() in str(refused.value).lower()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("auth.claims.team == 'x'", "no field 'team'"),
        ("auth.uid", "no boolean"),
        ("1", "no boolean"),
        ("auth.uid + 1 == 2", "string + int"),
        ("data.members.includes(auth.uid) && data.open.includes(1)", "includes"),
        ("9223372036854775807 + size(data.members) > 0", "overflow"),
        ("1 / 0 == 1", "zero"),
        ("data.members[7] == 'x'", "out of bounds"),
        ("auth.uid.matches('(')", "regex"),
        ("auth.uid.matches('(a{1000}){1000}')", "size limit"),
    ],
)
def test_what_cannot_be_evaluated_has_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ConditionError) as refused:
        evaluated(text)
    assert reason in str(refused.value)


def test_values_that_clients_can_make_large_are_refused_and_not_read() -> None:
    with pytest.raises(ConditionError, match="data has 10002 values"):
        evaluated("auth.uid in data.members", data={"members": list(range(10_000))})
    many = {"members": ["x"] * 2_000}
    assert evaluated("auth.uid in data.members", data=many) is False
    with pytest.raises(ConditionError, match="data has 2002 values, this expression may read 1000"):
        evaluated("data.members.exists(m, m == auth.uid)", data=many)
    deep: list[Any] = []
    for _ in range(40):
        deep = [deep]
    with pytest.raises(ConditionError, match="nested more than 32 levels deep"):
        evaluated("true", data={"deep": deep})


def test_a_regular_expression_with_nested_repetitions_is_no_slower_than_another() -> None:
    assert evaluated("auth.uid.matches('^(a+)+$')", auth={"uid": "a" * 5_000 + "b"}) is False


def test_an_expression_is_compiled_once() -> None:
    assert compile_condition("auth.uid == 'once'") is compile_condition("auth.uid == 'once'")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a == 1", ["a == 1"]),
        ("a == '&&' && (b || c) && d.all(x, x && y)", ["a == '&&'", "(b || c)", "d.all(x, x && y)"]),
        ("a || [b && c] == {'x': d || e}", ["a", "[b && c] == {'x': d || e}"]),
        ("a && b ? c : d || e", ["a && b ? c : d || e"]),
        ("a // && b", ["a // && b"]),
    ],
)
def test_an_expression_consists_of_what_it_joins(text: str, parts: list[str]) -> None:
    assert parts_of(text) == parts


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("auth.uid != null && auth.claims.org == 'x'", {"uid", "claims"}),
        ("data.auth.x == auth.uid", {"x", "uid"}),
        ("auth['uid'] == 'x'", None),
        ("has(auth.uid) && auth == {}", None),
        ("auth .uid == null", None),
        ("true", set()),
    ],
)
def test_only_the_fields_that_an_expression_names_are_converted(text: str, fields: set[str] | None) -> None:
    assert fields_of(text, "auth") == fields


class PanicException(BaseException):
    """As PyO3 raises it."""


class Failing:
    """A program that fails in an unusual way."""

    def __init__(self, failure: BaseException) -> None:
        self._failure = failure

    def variables(self) -> list[str]:
        return []

    def execute(self, context: object) -> object:
        raise self._failure


def test_a_failure_inside_the_library_denies_and_an_interrupt_goes_on() -> None:
    with pytest.raises(ConditionError, match="called unwrap"):
        CompiledCondition("x", Failing(PanicException("called unwrap"))).evaluate(Scope())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        CompiledCondition("x", Failing(KeyboardInterrupt())).evaluate(Scope())  # type: ignore[arg-type]


_ATOMS = """
auth.uid data.members data.limit request.event null true 1 -1 9223372036854775807 18446744073709551615u 1e308 0.0/0.0
'a' b'\xff' 'é😀' [] {'a':1} [1,'a',null] timestamp('9999-12-31T23:59:59Z') timestamp('0001-01-01T00:00:00Z') x ` (
duration('99999999h') duration('-1ns') type(1) '[[:alpha:]]' '(?i)a{99999}' '+02:00'
"""
ATOMS = st.sampled_from(_ATOMS.split())
_SHAPES = """
_ _&&_ _||_ !(_) -_ _==_ _<_ _+_==_ _-_>_ _*_==_ _/_==_ _%_==_ _[_]==_ (_)in(_) _?_:_ size(_)==_ int(_)==_ uint(_)==_
double(_)==_ string(_)==_ _.matches(_) _.includes(_) _.contains(_) _.startsWith(_) _.getHours(_)==1 _.all(x,_)
_.map(x,_)==_ _.existsOne(x,_) duration(_)==_ timestamp(_)>_ has(_.a) bytes(_)==_
"""
SHAPES = st.sampled_from(_SHAPES.split())


@given(st.data())
def test_any_expression_gives_a_boolean_or_a_reason(data: st.DataObject) -> None:
    text = data.draw(st.one_of(SHAPES, st.text(max_size=20)))
    for choices in (st.one_of(SHAPES, ATOMS), ATOMS, ATOMS):
        text = "".join(data.draw(choices) if letter == "_" else letter for letter in text)
    with suppress(ConditionError):
        assert evaluated(text) in (True, False)
