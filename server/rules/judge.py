"""Decides about an action on a channel by the rule that applies and gives the reason.

Variables of a condition:

* ``auth``: ``uid`` (the user; null without a proof of identity), ``role``, ``claims`` (of the token), ``anonymous``,
  ``attributes``;
* ``data``: the metadata of the channel's row in ``realtime.channels``; ``{}`` without a row;
* ``channel``: ``name``, ``kind`` (the text before the first colon), ``id`` (the text behind it), ``exists`` (it has a row)
  and ``createdBy``;
* ``request``: ``action`` (``subscribe``, ``publish``, ``presence``), ``event`` (of a message), ``ip``, ``transport`` and
  ``time``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

from engine.channels.core.access_rules import AccessRule, AccessRules
from engine.identity.principal import Principal
from engine.values.exact_json import exact_decoder
from server.auth.authorizer import Action, Circumstances
from server.rules.condition import CompiledCondition, ConditionError, Scope, compile_condition

__all__ = ["Decision", "RuleJudge", "RuleSource"]

_WORDS: Final = {Action.SUBSCRIBE: "subscribe", Action.PUBLISH: "publish", Action.PRESENCE: "presence"}
_OF_CHANNEL: Final = frozenset({"channel", "data"})
_MAX_SCOPES: Final = 10_000
_metadata: Final[msgspec.json.Decoder[dict[str, Any]]] = exact_decoder(dict[str, Any])


class RuleSource(Protocol):
    """Rules and rooms, as of the stream."""

    @property
    def rules(self) -> AccessRules:
        """The rules."""
        ...

    def room(self, channel: str) -> Mapping[str, str | None] | None:
        """The channel's row of ``realtime.channels`` as text, the same object until it changes; None: it has none."""
        ...

    async def current(self) -> None:
        """Wait until both are those that are committed now. Raises ``UnavailableError``."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a rule decided. ``problem``: why its condition could not be evaluated, which denies; None: it could."""

    rule: AccessRule
    allowed: bool
    problem: str | None = None


class RuleJudge:
    """See the module. Metadata is converted once for each channel, until it changes, and where it is read."""

    def __init__(self, source: RuleSource) -> None:
        self._source = source
        self._scopes: dict[str, tuple[Mapping[str, str | None] | None, Scope]] = {}

    def decide(self, principal: Principal, action: Action, channel: str, about: Circumstances) -> Decision | None:
        """The decision of the rule that applies; None: no row does. Does not raise."""
        rule = self.rule_of(action, channel)
        if rule is None:
            return None
        if isinstance(rule.condition, bool):
            return Decision(rule, rule.condition)
        try:
            condition = compile_condition(rule.condition)
            values: dict[str, object] = {}
            if "auth" in condition.variables:
                values["auth"] = _auth(principal, condition)
            if "request" in condition.variables:
                values["request"] = _request(rule.action, about)
            if condition.variables.isdisjoint(_OF_CHANNEL):
                return Decision(rule, condition.evaluate(Scope(values)))
            scope = self._scope(channel)
            for name, value in values.items():
                scope.give(name, value)
            return Decision(rule, condition.evaluate(scope))
        except ConditionError as problem:
            return Decision(rule, False, str(problem))

    def rule_of(self, action: Action, channel: str) -> AccessRule | None:
        """The rule that applies; None: no row does."""
        word = _WORDS.get(action)
        return None if word is None else self._source.rules.find(channel, word)

    def scope(self, principal: Principal, action: str, channel: str, about: Circumstances) -> Scope:
        """A scope with all variables. Raises ``ConditionError`` for values that no condition may read."""
        scope = self._scope(channel)
        scope.give("auth", _auth(principal))
        scope.give("request", _request(action, about))
        return scope

    def _scope(self, channel: str) -> Scope:
        """A scope with ``data`` and ``channel``. ``auth`` and ``request`` in it are of the decision before."""
        row = self._source.room(channel)
        found = self._scopes.get(channel)
        if found is not None and found[0] is row:
            return found[1]
        scope = Scope()
        scope.keep("channel", _channel(channel, row))
        scope.keep("data", _decoded(None if row is None else row.get("metadata")))
        if len(self._scopes) >= _MAX_SCOPES:
            self._scopes.clear()
        self._scopes[channel] = row, scope
        return scope


_AUTH: Final[Mapping[str, Callable[[Principal], object]]] = {
    "uid": lambda principal: principal.user_id if principal.authenticated else None,
    "role": lambda principal: principal.visibility.role,
    "claims": lambda principal: principal.claims,
    "anonymous": lambda principal: not principal.authenticated,
    "attributes": lambda principal: principal.attributes,
}


def _auth(principal: Principal, condition: CompiledCondition | None = None) -> Mapping[str, object]:
    """The variable; only what ``condition`` reads of it: converting the claims takes most of the time of a decision."""
    fields = None if condition is None else condition.auth_fields
    values = {name: value(principal) for name, value in _AUTH.items() if fields is None or name in fields}
    if condition is not None and condition.claims is not None and "claims" in values:
        values["claims"] = {name: principal.claims[name] for name in condition.claims if name in principal.claims}
    return values


def _channel(name: str, row: Mapping[str, str | None] | None) -> Mapping[str, object]:
    kind, _, id = name.partition(":")
    return {
        "name": name,
        "kind": kind,
        "id": id,
        "exists": row is not None,
        "createdBy": None if row is None else row.get("created_by"),
    }


def _request(action: str, about: Circumstances) -> Mapping[str, object]:
    return {
        "action": action,
        "event": about.event,
        "ip": about.ip,
        "transport": about.transport,
        "time": datetime.now(UTC),
    }


def _decoded(metadata: str | None) -> Mapping[str, Any]:
    if metadata is None:
        return {}
    try:
        return _metadata.decode(metadata)
    except (ValueError, RecursionError) as problem:  # msgspec.DecodeError is a ValueError
        raise ConditionError(f"the channel's metadata cannot be read: {problem}") from problem
