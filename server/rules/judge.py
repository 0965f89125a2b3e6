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

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

from engine.channels.core.access_rules import AccessRule, AccessRules
from engine.identity.principal import Principal
from engine.values.exact_json import exact_decoder
from server.auth.authorizer import Action, Circumstances
from server.rules.condition import ConditionError, Scope, compile_condition

__all__ = ["Decision", "RuleJudge", "RuleSource"]

_WORDS: Final = {Action.SUBSCRIBE: "subscribe", Action.PUBLISH: "publish", Action.PRESENCE: "presence"}
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
    """See the module. Metadata is converted once for each channel, until it changes."""

    def __init__(self, source: RuleSource) -> None:
        self._source = source
        self._scopes: dict[str, tuple[Mapping[str, str | None] | None, Scope]] = {}

    def decide(self, principal: Principal, action: Action, channel: str, about: Circumstances) -> Decision | None:
        """The decision of the rule that applies; None: no row does. Does not raise."""
        word = _WORDS.get(action)
        rule = None if word is None else self._source.rules.find(channel, word)
        if rule is None:
            return None
        if isinstance(rule.condition, bool):
            return Decision(rule, rule.condition)
        try:
            condition = compile_condition(rule.condition)
            scope = self._scope(channel)
            if "auth" in condition.variables:
                scope.give("auth", _auth(principal, condition.auth_fields))
            if "request" in condition.variables:
                scope.give("request", _request(rule.action, about))
            return Decision(rule, condition.evaluate(scope))
        except ConditionError as problem:
            return Decision(rule, False, str(problem))

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


def _auth(principal: Principal, fields: Collection[str] | None = None) -> Mapping[str, object]:
    """The variable; only these fields, since converting the claims takes most of the time of a decision."""
    values: dict[str, object] = {
        "uid": principal.user_id if principal.authenticated else None,
        "role": principal.visibility.role,
        "claims": principal.claims,
        "anonymous": not principal.authenticated,
        "attributes": principal.attributes,
    }
    return values if fields is None else {name: value for name, value in values.items() if name in fields}


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
