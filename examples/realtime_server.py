"""``realtime dev`` as a process of its own, with tokens: configured as a real server would be."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self
from urllib.parse import urlsplit

from engine.errors import RealtimeError
from server.cli.local_postgres import LocalPostgres, running_in

__all__ = ["AUDIENCE", "BACK_END_ROLE", "EXAMPLES", "ISSUER", "PAGES", "RealtimeServer", "RealtimeServerError"]

PAGES = Path(__file__).parent
EXAMPLES: Sequence[Path] = sorted(path.parent for path in PAGES.glob("*/schema.sql"))
ISSUER, AUDIENCE = "examples", "realtime"
BACK_END_ROLE = "examples"
"""Made by ``shared/roles.sql``."""

_ADDRESS = re.compile(r"^\s*Dashboard\s+(\S+)/dashboard$")
_CONFIGURATION = """\
# Made by `python -m examples`. The secret signs the tokens of users: it stays between the back end and the server.
allow_anonymous = false
open_channels = []
anonymous_channels = []

[[auth_issuers]]
issuer = "{issuer}"
audience = "{audience}"
secret = {secret}
"""


class RealtimeServerError(RealtimeError):
    """``realtime dev`` did not start, or refused the SQL of an example; what it wrote has the reason."""


class RealtimeServer:
    """A context: entered when the server is ready, left when it has stopped. Killed meanwhile, it is started again.

    ``url``: its address. ``dsn``: of its database, as its superuser. ``secret``: with which tokens are signed. ``data_dir``:
    of PostgreSQL.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data_dir = folder / "postgres"
        self._configuration = folder / "realtime.toml"
        self.secret = secrets.token_urlsafe(48)  # a new one with each start
        self.url = ""
        self._restarted = False

    def __enter__(self) -> Self:
        """Raises ``RealtimeServerError``."""
        text = _CONFIGURATION.format(issuer=ISSUER, audience=AUDIENCE, secret=json.dumps(self.secret))
        self._configuration.touch(mode=0o600)
        self._configuration.write_text(text)
        self._start()
        database = running_in(self.data_dir)
        assert database is not None, "the server has started, so its database runs"
        self.dsn = database
        return self

    def _start(self, *options: str) -> None:
        dev = ["dev", "--no-examples", "--data-dir", str(self.data_dir), "--config", str(self._configuration), *options]
        # Ctrl+C is for this process, which then ends that one: two signals would stop the end of its PostgreSQL.
        self._process = subprocess.Popen(_command(*dev), stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert self._process.stdout is not None
        try:
            self.url = _address(self._process.stdout)
            threading.Thread(target=self._process.stdout.read, daemon=True).start()  # a full pipe would stop it
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        if self._restarted:  # it found its PostgreSQL running, and left it so
            LocalPostgres(self.data_dir).stop()

    def run_sql(self, files: Sequence[Path]) -> None:
        """Run files in one transaction, as ``realtime psql`` does. Raises ``RealtimeServerError``."""
        psql = ["psql", "--dsn", self.dsn, "--", "-qX1", "-v", "ON_ERROR_STOP=1"]
        psql += [f"--file={file}" for file in files]
        quiet = os.environ | {"PGOPTIONS": "-c client_min_messages=warning"}  # what exists already is no news
        if subprocess.run(_command(*psql), stdout=subprocess.DEVNULL, env=quiet, check=False).returncode:
            raise RealtimeServerError("the SQL of the examples was refused")

    def wait(self) -> None:
        """Until the server ends by itself, which raises ``RealtimeServerError``. One that was killed is started again."""
        while (status := self._process.wait()) < 0:
            print("realtime dev was killed: starting it again ...", file=sys.stderr, flush=True)
            self._restarted = True
            self._start("--port", str(urlsplit(self.url).port))
        raise RealtimeServerError(f"realtime dev ended with {status}")


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "server", *arguments]


def _address(output: IO[str]) -> str:
    """The address that ``realtime dev`` prints once it serves."""
    for line in output:
        if found := _ADDRESS.match(line.rstrip()):
            return found[1]
    raise RealtimeServerError("realtime dev did not start")
