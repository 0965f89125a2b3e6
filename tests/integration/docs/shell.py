"""The commands of pages: taken apart, and run in the place where a page has its reader run them."""

from __future__ import annotations

import os
import re
import shlex
import string
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.doc_blocks import Block
from tests.support.postgres.other_version import client_program
from tests.support.servers.commands import realtime

__all__ = ["ROOT", "Invocation", "Shell", "commands_of"]

ROOT = Path(__file__).parents[3]
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=")
_FILES = {"realtime.toml", "src/collections.ts", "app/collections.py", "nats", "nats-eu", "nats/leaf.toml"}
"""Names that pages give to files of their reader."""


@dataclass(frozen=True)
class Invocation:
    """One command of a block: what is assigned for it, its words, and the line that a shell runs, pipes and all."""

    block: Block
    assigned: dict[str, str]
    words: list[str]
    line: str

    def __str__(self) -> str:
        return f"{self.block}: {self.line}"


def commands_of(block: Block) -> list[Invocation]:
    """Its commands in their order; ``docker compose exec SERVICE`` is what it runs there."""
    found = []
    for line in block.text.replace("\\\n", " ").replace("|\n", "| ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            found.append(_command(block, words, line))
    return found


def _command(block: Block, words: list[str], line: str) -> Invocation:
    assigned = {}
    while words and _ASSIGNMENT.match(words[0]):
        name, _, value = words.pop(0).partition("=")
        assigned[name] = value
    if words[:3] == ["docker", "compose", "exec"]:
        words, line = words[4:], line.split(words[3], 1)[1]
    return Invocation(block, assigned, words, line.strip())


@dataclass
class Shell:
    """Runs commands. ``dsn``: of a superuser; ``replaced``: what pages write for what only a reader knows.

    ``folder`` is the reader's; ``output`` what the last command has written.
    """

    dsn: str
    folder: Path
    replaced: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    output: str = ""

    def run(self, *blocks: Block, skip: tuple[str, ...] = ()) -> None:
        """All commands of the blocks, but for those of ``realtime`` in ``skip`` (that end with the reader's Ctrl+C)."""
        for block in blocks:
            for command in commands_of(block):
                if command.words[:1] != ["realtime"] or command.words[1] not in skip:
                    self.one(command)

    def one(self, command: Invocation) -> None:
        """Run one command, which has to succeed."""
        if command.words[:1] == ["export"]:
            name, _, value = command.words[1].partition("=")
            self.environment[name] = self._filled(value)
        elif command.words[:1] == ["realtime"] and "|" not in command.line:
            arguments = [self._filled(word) for word in command.words[1:]]
            arguments = [str(self.folder / word) if word in _FILES else word for word in arguments]
            done = realtime(*arguments, **self.environment, **command.assigned)
            self._check(command, done)
        else:
            self._check(command, self._in_bash(command.line))

    def _in_bash(self, line: str) -> subprocess.CompletedProcess[str]:
        programs = client_program("psql").parent
        path = f"{programs}:{os.environ['PATH']}"
        given = {**os.environ, **self._postgres(), **self.environment, "PATH": path}
        script = self._filled(line, variables=False).replace("deploy/postgres/", f"{ROOT}/deploy/postgres/")
        command = ["bash", "-euo", "pipefail", "-c", script]
        return subprocess.run(
            command, cwd=self.folder, env=given, capture_output=True, text=True, timeout=120, check=False
        )

    def _postgres(self) -> dict[str, str]:
        """The variables by which ``psql`` and others find the server."""
        from psycopg.conninfo import conninfo_to_dict

        parts = conninfo_to_dict(self.dsn)
        return {"PGHOST": str(parts["host"]), "PGPORT": str(parts["port"]), "PGUSER": str(parts["user"])}

    def _filled(self, text: str, *, variables: bool = True) -> str:
        for written, meant in self.replaced.items():
            text = text.replace(written, meant)
        return string.Template(text).safe_substitute(self.environment) if variables else text

    def _check(self, command: Invocation, done: subprocess.CompletedProcess[str]) -> None:
        self.output = done.stdout
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
