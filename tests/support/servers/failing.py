"""The ``realtime`` command with a fault in it: following the database fails for good at a message called ``break``."""

from __future__ import annotations

from typing import Any

from engine.channels.core.unrecorded import UnrecordedMessages
from server.cli.main import main

_append = UnrecordedMessages.append


def _broken(self: UnrecordedMessages, records: Any) -> None:
    if any(row.event == "break" for row in records.messages):
        raise AssertionError("an unforeseen fault")
    _append(self, records)


if __name__ == "__main__":
    setattr(UnrecordedMessages, "append", _broken)  # noqa: B010 - the type checker is right that other code should not do this
    main()
