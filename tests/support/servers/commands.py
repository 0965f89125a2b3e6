"""The ``realtime`` command as a user runs it: a process, its output and its exit code."""

from __future__ import annotations

import os
import subprocess

from tests.support.servers import preloaded

__all__ = ["realtime"]

_GIVE_UP_AFTER = 120
"""Seconds after which a command that has not ended fails its test."""


def realtime(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``realtime ARGUMENTS`` to its end, with ``environment`` as its only settings, and one worker.

    It is a fork of a process that has the modules loaded. ``tests/integration/server/test_operations.py`` runs every command
    as ``python -m server``, an interpreter of its own.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("REALTIME_")}
    return preloaded.run(arguments, inherited | {"REALTIME_WORKERS": "1"} | environment, _GIVE_UP_AFTER)
