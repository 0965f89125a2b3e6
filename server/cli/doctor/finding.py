"""Findings of ``realtime doctor``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from server.app.version import package_version

__all__ = ["Finding", "document_of", "grouped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``remedy``: the steps that repair it, in one line or several."""

    level: Literal["ok", "warn", "problem"]
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        remedies = [f"{'':<8} -> {line}" for line in self.remedy.splitlines()]
        return "\n".join([f"{self.level:<8} {self.text}", *remedies])


def document_of(findings: Iterable[Finding]) -> dict[str, Any]:
    """The JSON document of ``realtime doctor --json``. Fields may be added to it; none is renamed or removed."""
    listed = [{"level": each.level, "text": each.text, "remedy": each.remedy.splitlines()} for each in findings]
    levels = [each["level"] for each in listed]
    return {
        "version": package_version(),
        "ok": "problem" not in levels,
        "problems": levels.count("problem"),
        "warnings": levels.count("warn"),
        "findings": listed,
    }


def grouped(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, in the place of its first, with all remedies that were given for it."""
    remedies: dict[tuple[Literal["ok", "warn", "problem"], str], dict[str, None]] = {}
    for finding in findings:
        remedies.setdefault((finding.level, finding.text), {}).update(dict.fromkeys(finding.remedy.splitlines()))
    return [Finding(level, text, "\n".join(lines)) for (level, text), lines in remedies.items()]
