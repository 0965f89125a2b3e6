"""What ``realtime doctor`` finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``remedy`` says how to mend it."""

    level: Literal["ok", "warn", "problem"]
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.level:<8} {self.text}"
        return f"{line}\n{'':<8} -> {self.remedy}" if self.remedy else line
