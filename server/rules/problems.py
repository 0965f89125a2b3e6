"""Rules that cannot be compiled: they deny, are logged when they arrive, and are listed in ``/health`` and in
``realtime.rule_errors``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from engine.channels.core.access_rules import AccessRule, AccessRules
from server.rules.condition import ConditionError, compile_condition

__all__ = ["RuleProblems", "problem_of", "rule_problems"]

_log = structlog.get_logger("realtime.rules")

_SHOWN: Final = 10
_TURN: Final = 20  # rules that are compiled in one turn of the loop


def problem_of(condition: bool | str) -> str | None:
    """Why a condition cannot be compiled; None: it can."""
    if isinstance(condition, bool):
        return None
    try:
        compile_condition(condition)
    except ConditionError as problem:
        return str(problem)
    return None


def rule_problems(rules: AccessRules) -> list[str]:
    """The rules that cannot be compiled, in words."""
    return [
        _in_words(pattern, rule.action, problem)
        for pattern in sorted(rules.patterns)
        for rule in rules.of(pattern)
        if (problem := problem_of(rule.condition)) is not None
    ]


def _in_words(pattern: str, action: str, problem: str) -> str:
    return f"rule of {pattern!r}, {action}: {problem}"


class RuleProblems:
    """Compiles rules as they arrive, some in each turn of the loop. ``note``: called with those that do not compile."""

    def __init__(
        self, rules: AccessRules, note: Callable[[AccessRule, str], None] = lambda rule, problem: None
    ) -> None:
        self._rules = rules
        self._note = note
        self._found: dict[str, dict[str, str]] = {}
        self._waiting: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None
        rules.on_change(self._changed)
        self._changed(None)

    def __len__(self) -> int:
        return sum(map(len, self._found.values()))

    @property
    def shown(self) -> list[str]:
        """The first of them, in words."""
        found = (
            _in_words(pattern, action, problem)
            for pattern, problems in self._found.items()
            for action, problem in problems.items()
        )
        return [text for _, text in zip(range(_SHOWN), found, strict=False)]

    async def compiled(self) -> None:
        """Wait until all rules that have arrived are compiled."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def close(self) -> None:
        """Stop compiling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _changed(self, pattern: str | None) -> None:
        if pattern is None:
            self._waiting |= dict.fromkeys((*self._found, *self._rules.patterns))
        else:
            self._waiting[pattern] = None
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._compile())

    async def _compile(self) -> None:
        compiled = 0
        while self._waiting:
            pattern = next(iter(self._waiting))
            del self._waiting[pattern]
            self._found.pop(pattern, None)
            for rule in self._rules.of(pattern):
                if (problem := problem_of(rule.condition)) is not None:
                    self._found.setdefault(pattern, {})[rule.action] = problem
                    _log.error("rule_invalid", rule=pattern, action=rule.action, error=problem)
                    self._note(rule, problem)
            compiled += 1
            if compiled % _TURN == 0:
                await asyncio.sleep(0)
