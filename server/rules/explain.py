"""Why a request is allowed or denied: the rule that decides, and the value of each part of its condition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from engine.channels.core.access_rules import AccessRule
from engine.errors import QueryRejectedError
from engine.identity.principal import Principal
from engine.identity.visibility import Visibility
from server.auth.authorizer import Action, Circumstances, NameRules
from server.rules.condition import ConditionError, Scope, compile_condition
from server.rules.form import parts_of
from server.rules.judge import RuleJudge

__all__ = ["Explanation", "Part", "explain", "imagined"]

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Part:
    """One of the conditions that an expression joins with ``&&`` and ``||``. ``value``: its result in words."""

    text: str
    value: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """``decided_by``: the channel or pattern of the rule; None: the kind of the channel. ``condition``: of the rule.
    ``reason``: what else there is to know, in words.
    """

    allowed: bool
    decided_by: str | None
    condition: bool | str | None
    reason: str | None
    parts: tuple[Part, ...] = ()


def imagined(
    user: str | None,
    role: str = "authenticated",
    claims: Mapping[str, Any] = _NONE,
    attributes: Mapping[str, Any] = _NONE,
) -> Principal:
    """A client as it would be with these. Without a ``user`` it is anonymous, and has neither role nor claims."""
    if user is None:
        return Principal(None, attributes)
    return Principal(user, attributes, Visibility(role), claims={"sub": user, **claims}, authenticated=True)


def explain(
    judge: RuleJudge, names: NameRules, principal: Principal, action: Action, channel: str, about: Circumstances
) -> Explanation:
    """The decision about ``action``, as a server takes it. Does not raise."""
    decision = None if channel == "*" or channel.startswith("db:") else judge.decide(principal, action, channel, about)
    if decision is None:
        try:
            names.judge(principal, action, channel, about)
        except QueryRejectedError as refused:
            return Explanation(False, None, None, str(refused))
        return Explanation(True, None, None, "no rule decides; the kind of the channel is open")
    condition = decision.rule.condition
    parts = _parts(judge, principal, decision.rule, channel, about)
    return Explanation(decision.allowed, decision.rule.pattern, condition, decision.problem, parts)


def _parts(
    judge: RuleJudge, principal: Principal, rule: AccessRule, channel: str, about: Circumstances
) -> tuple[Part, ...]:
    if not isinstance(rule.condition, str) or len(texts := parts_of(rule.condition)) == 1:
        return ()
    try:
        scope = judge.scope(principal, rule.action, channel, about)
    except ConditionError:  # values that no condition may read: the problem of the decision names them
        return ()
    return tuple(Part(text, _value(text, scope)) for text in texts)


def _value(text: str, scope: Scope) -> str:
    try:
        return "true" if compile_condition(text).evaluate(scope) else "false"
    except ConditionError as problem:
        return str(problem)
