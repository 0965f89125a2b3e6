"""Why a request is allowed or denied: the rule that decides, and the value of each part of its condition."""

from __future__ import annotations

from dataclasses import dataclass

from engine.identity.principal import Principal
from server.auth.authorizer import Action, Circumstances, NameRules
from server.rules.condition import ConditionError, Scope, compile_condition
from server.rules.form import parts_of
from server.rules.judge import RuleJudge

__all__ = ["Explanation", "Part", "explain"]


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


def explain(
    judge: RuleJudge, names: NameRules, principal: Principal, action: Action, channel: str, about: Circumstances
) -> Explanation:
    """The decision about ``action``, as a server takes it. Raises ``NotAllowedError`` or ``ChannelNotFoundError`` where the
    kind of the channel denies it.
    """
    decision = None if channel == "*" or channel.startswith("db:") else judge.decide(principal, action, channel, about)
    if decision is None:
        names.judge(principal, action, channel, about)
        return Explanation(True, None, None, "no rule decides; the kind of the channel is open")
    condition = decision.rule.condition
    parts: tuple[Part, ...] = ()
    if isinstance(condition, str) and len(texts := parts_of(condition)) > 1:
        scope = judge.scope(principal, decision.rule.action, channel, about)
        parts = tuple(Part(text, _value(text, scope)) for text in texts)
    return Explanation(decision.allowed, decision.rule.pattern, condition, decision.problem, parts)


def _value(text: str, scope: Scope) -> str:
    try:
        return "true" if compile_condition(text).evaluate(scope) else "false"
    except ConditionError as problem:
        return str(problem)
