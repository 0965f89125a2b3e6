"""What the newcomer is given: packages built from a fresh export of the tree, commands, and processes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.browsers import browser_environment
from tests.support.doc_blocks import Block, blocks

__all__ = ["QUICKSTART", "ROOT", "Workshop", "block", "played", "printed_dsn", "started"]

ROOT = Path(__file__).parents[2]
QUICKSTART = "docs/guides/quickstart.md"
PACKAGES = {
    "@bunbase/sdk": "js",
    "@bunbase/react": "react",
    "@bunbase/svelte": "svelte",
    "@bunbase/tanstack-db": "tanstack-db",
    "@bunbase/vue": "vue",
}
"""Packages of npm, and their folders in ``sdk``."""
_TIMEOUT = 600  # seconds: packages are fetched


def block(page: str, language: str, title: str = "") -> Block:
    """The first block of a page in that language, with that title."""
    return blocks(language, title, page=page)[0]


class Workshop:
    """A folder with the tree as it is committed, and the packages made of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        self.wheels = folder / "wheels"
        self.tarballs: dict[str, Path] = {}

    def build(self) -> None:
        """Export ``HEAD``; build the wheels and the tarballs. What a kept folder has is not made again."""
        if self.tree.exists():
            self.tarballs = {each: next(self.folder.glob(f"bunbase-{each[9:]}-*.tgz")) for each in PACKAGES}
            return
        self.tree.mkdir(parents=True)
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x"], cwd=self.tree, input=archive, check=True)
        for project in (self.tree, self.tree / "sdk" / "python"):
            # In an environment of its own, which has nothing of the project, as with everyone who builds it (PEP 517).
            self.run(
                sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(self.wheels), ".", cwd=project
            )
        for each, name in PACKAGES.items():
            package = self.tree / "sdk" / name
            installed = ROOT / "sdk" / name / "node_modules"
            if installed.exists():
                shutil.copytree(installed, package / "node_modules", symlinks=True)
            else:
                self.run("npm", "ci", "--no-audit", "--no-fund", cwd=package)
            packed = self.run("npm", "pack", "--silent", "--pack-destination", str(self.folder), cwd=package)
            self.tarballs[each] = self.folder / packed.split()[-1]

    def python(self) -> Path:
        """The environment of the quickstart, with the command ``realtime``; its programs. Made once."""
        folder = self.folder / "quickstart"
        if not folder.exists():
            folder.mkdir()
            self.bash(block(QUICKSTART, "sh").text, folder)
        return folder / ".venv" / "bin"

    def run(self, *command: str, cwd: Path, input: str = "", **environment: str) -> str:
        """Run a command to its end; its output. Fails with all it has written."""
        environment = {**os.environ, **environment}
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            input=input,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def bash(self, text: str, cwd: Path, **environment: str) -> str:
        """Run the commands of a page as they are written; pip finds the wheels, and npm is given the tarballs."""
        for name, tarball in self.tarballs.items():
            text = re.sub(rf"(?<!\S){re.escape(name)}(?!\S)", str(tarball), text)
        given = {"PIP_FIND_LINKS": str(self.wheels), "npm_config_yes": "true", **environment}  # npm asks in a terminal
        return self.run("bash", "-euo", "pipefail", "-c", text, cwd=cwd, **given)


@contextmanager
def started(command: list[str], until: str, cwd: Path, **environment: str) -> Iterator[str]:
    """A process that runs meanwhile; what it has written until a line with ``until``. It gets Ctrl+C at the end."""
    log = cwd / f"{Path(command[0]).name}-{time.monotonic_ns()}.log"
    given = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, cwd=cwd, env=given, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 120
            while until not in log.read_text():
                assert process.poll() is None, f"{command} has ended:\n{log.read_text()}"
                assert time.monotonic() < deadline, f"{command} does not write {until!r}:\n{log.read_text()}"
                time.sleep(0.2)
            yield log.read_text()
        finally:
            os.killpg(process.pid, 2)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)


def printed_dsn(printed: str) -> str:
    """The address of the database, which ``realtime dev`` prints."""
    [dsn] = re.findall(r"Postgres +(\S+)", printed)
    return str(dsn)


def played(order: Callable[[str], None], scenario: str, *arguments: str, **environment: str) -> None:
    """A scenario of ``tests``. ``order`` does what it asks for by lines that begin with ``RUN``."""
    command = ["node", str(ROOT / "tests" / scenario), *arguments]
    given = os.environ | browser_environment() | environment
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=given) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("RUN "):
                    order(line.split()[1])
                else:
                    print(line, end="", flush=True)
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 0, f"{scenario} has failed"
