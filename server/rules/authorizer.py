"""The server's authorizer: rows of ``realtime.rules`` decide, and what they leave open the kind of the channel decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from engine.channels.core.access_rules import AccessRule
from engine.channels.core.messages.model import UnavailableError
from engine.identity.principal import Principal
from engine.shared_look import SharedLook
from server.auth.authorizer import UNKNOWN, Action, Basis, Circumstances, NameRules, NotAllowedError
from server.protocol.client_messages import COLLECTION_PREFIX
from server.rules.explain import Explanation, explain
from server.rules.judge import RuleJudge, RuleSource
from server.rules.problems import problem_of

__all__ = ["RuleAuthorizer"]

_log = structlog.get_logger("realtime.rules")

_TIMEOUT: Final = 5.0  # seconds that a refusal waits for what is committed
_MAX_REPORTED: Final = 1_000  # rules
_MAX_REASONS: Final = 20  # of one rule: a client can make up names of fields that are missing


class RuleAuthorizer:
    """See the module.

    A refusal by ``authorize`` is as of what was committed when it was asked: a rule or a membership that is saved and then
    used by a client at once counts. ``note``: called with each rule whose condition could not be evaluated, the reason and
    the channel, once for each reason until the rule is changed.
    """

    def __init__(
        self,
        source: RuleSource,
        names: NameRules,
        note: Callable[[AccessRule, str, str], None] = lambda rule, problem, channel: None,
    ) -> None:
        self._source = source
        self._note = note
        self._names = names
        self._judge = RuleJudge(source)
        self._look = SharedLook(self._source_current)
        self._reported: dict[AccessRule, set[str]] = {}
        source.rules.on_change(self._changed)

    async def authorize(
        self, principal: Principal, action: Action, resource: str, about: Circumstances = UNKNOWN
    ) -> None:
        """See ``Authorizer``. Raises ``UnavailableError`` if a refusal cannot be confirmed now."""
        try:
            self.judge(principal, action, resource, about)
        except NotAllowedError:
            if action is Action.QUERY or resource.startswith(COLLECTION_PREFIX):
                raise
            await self._current()
            self.judge(principal, action, resource, about)

    def judge(self, principal: Principal, action: Action, resource: str, about: Circumstances = UNKNOWN) -> None:
        """See ``Authorizer``."""
        if principal.watches or resource == "*" or resource.startswith("db:"):  # no rule decides about these
            self._names.judge(principal, action, resource, about)
            return
        decision = self._judge.decide(principal, action, resource, about)
        if decision is None:
            self._names.judge(principal, action, resource, about)
            return
        if decision.problem is not None:
            self._report(decision.rule, resource, decision.problem)
        if not decision.allowed:
            raise NotAllowedError(
                f"you may not {action.value} {resource!r}: the rule of {decision.rule.pattern!r} does not allow it"
            )

    def basis(self, principal: Principal, action: Action, resource: str) -> Basis:
        """See ``Authorizer``: the rule that decides (None: the kind does), the room and the principal's fields."""
        rule, row = self._judge.rule_of(action, resource), self._source.room(resource)
        return Basis(rule, row, principal.claims, principal.attributes, principal.visibility, principal.administrator)

    async def explain(self, principal: Principal, action: Action, channel: str, about: Circumstances) -> Explanation:
        """The decision as of what is committed now, and its reason. Raises ``UnavailableError`` if that is not known."""
        await self._current()
        return explain(self._judge, self._names, principal, action, channel, about)

    def _report(self, rule: AccessRule, channel: str, problem: str) -> None:
        """Report a condition that could not be evaluated: once for each reason."""
        reasons = self._reported.get(rule)
        if reasons is None:
            if len(self._reported) >= _MAX_REPORTED:
                self._reported.clear()
            reasons = self._reported[rule] = set()
        if problem in reasons or len(reasons) >= _MAX_REASONS:
            return
        reasons.add(problem)
        _log.warning("rule_failed", rule=rule.pattern, action=rule.action, channel=channel, error=problem)
        if problem_of(rule.condition) is None:  # else it was noted as one that does not compile
            self._note(rule, problem, channel)

    def _changed(self, pattern: str | None) -> None:
        """A row has changed: what its rules fail with is new, also if they are as they were before another change."""
        for rule in [rule for rule in self._reported if pattern is None or rule.pattern == pattern]:
            del self._reported[rule]

    async def _current(self) -> None:
        """Wait for what is committed now. One look at the database at a time, shared by all who asked before it began."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                await self._look()
        except TimeoutError as late:
            raise UnavailableError("this server does not follow the database now; try again") from late

    async def _source_current(self) -> None:
        async with asyncio.timeout(_TIMEOUT):
            await self._source.current()
