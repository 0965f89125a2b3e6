"""The one place where the data of clients meets the content policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from engine.channels.core.messages.model import Member, PresenceRefusedError
from engine.channels.core.routing import matches_pattern
from engine.channels.core.watched_rows import WatchedRows
from engine.values.exact_json import exact_decoder, write_exact
from server.content.errors import ContentRefusedError
from server.content.policy import Policy, compile_policy

__all__ = ["ContentInspector"]

_MAX_FOUND: Final = 10_000  # channels whose policies are remembered

_log = structlog.get_logger("realtime.content")
_decode: Callable[[bytes], Any] = exact_decoder(Any).decode


class ContentInspector:
    """Checks data by the policies of ``rows``, as they are at that moment. A changed row is compiled once."""

    def __init__(self, rows: WatchedRows) -> None:
        self._rows = rows
        self._version = -1
        self._compiled: dict[str, tuple[Mapping[str, str | None], Policy]] = {}
        self._policies: list[Policy] = []
        self._found: dict[str, Sequence[Policy]] = {}

    def message(self, member: Member, channel: str, event: str, data: bytes) -> bytes:
        """``data``, valid JSON, as ``member`` may publish it.

        Raises ``ContentRefusedError``, an error of ``spam`` or ``PolicyUnusableError`` if it may not.
        """
        policies = self._of(channel)
        if not policies or not (concerned := [each for each in policies if each.concerns_event(event)]):
            return data
        value = _decode(data)
        for policy in concerned:
            value, flagged = policy.apply(value, member)
            if flagged:
                _note_flag(policy, member, channel, event)
        return write_exact(value) if any(policy.rewrites for policy in concerned) else data

    def presence(self, member: Member, channel: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """``data`` as ``member`` may show it in ``channel``.

        Raises ``PresenceRefusedError``, an error of ``spam`` or ``PolicyUnusableError`` if it may not.
        """
        concerned = [policy for policy in self._of(channel) if policy.of_presence]
        if not concerned:
            return data
        shown: Mapping[str, Any] = _decode(write_exact(data))  # a copy
        try:
            for policy in concerned:
                shown, flagged = policy.apply(shown, member)
                if flagged:
                    _note_flag(policy, member, channel, policy.event)
        except ContentRefusedError as refused:
            raise PresenceRefusedError(str(refused)) from refused
        return shown

    def status(self) -> Mapping[str, Any]:
        """For ``/health``: the number of policies in force, and the problems of those that cannot be used."""
        self._refresh()
        problems = [f"{policy.name}: {policy.problem}" for policy in self._policies if policy.problem is not None]
        return {"policies": len(self._policies), "problems": problems}

    def _of(self, channel: str) -> Sequence[Policy]:
        if self._version != self._rows.version:
            self._refresh()
        found = self._found.get(channel)
        if found is None:
            if len(self._found) >= _MAX_FOUND:
                self._found.clear()
            found = [policy for policy in self._policies if matches_pattern(policy.channel, channel)]
            self._found[channel] = found
        return found

    def _refresh(self) -> None:
        if self._version == self._rows.version:
            return
        before, self._compiled = self._compiled, {}
        for row in self._rows.in_order():
            if row.get("enabled") != "t":
                continue
            name = row["name"] or ""
            known = before.get(name)
            self._compiled[name] = known if known is not None and known[0] is row else (row, _compiled(row))
        self._policies = [policy for _, policy in self._compiled.values()]
        self._found.clear()
        self._version = self._rows.version


def _note_flag(policy: Policy, member: Member, channel: str, event: str) -> None:
    """Without the text: the log is no place for it."""
    _log.warning(
        "content_flagged",
        policy=policy.name,
        channel=channel,
        event_name=event,
        user=member.user_id,
        connection=member.connection_id,
    )


def _compiled(row: Mapping[str, str | None]) -> Policy:
    policy = compile_policy(row)
    if policy.problem is not None:
        _log.error("content_policy_unusable", policy=policy.name, reason=policy.problem)
    return policy
