"""``realtime dev`` and a real browser: what visitors see is what Postgres reports, also after the server was killed.

The scenario itself is ``demo.mjs``; this starts the server, kills and restarts it when the scenario asks, and reports.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg
import pytest

from server.cli.local_postgres import LocalPostgres
from tests.support.browsers import browser_environment, need_browser
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER

HERE = Path(__file__).parent


@contextmanager
def killed_late(process: subprocess.Popen[str]) -> Iterator[None]:
    """What ``process`` writes is read inside: it is killed if that fails, or takes far longer than it may."""
    late = threading.Timer(8 * GIVE_UP_AFTER, process.kill)
    late.start()
    try:
        yield
    except BaseException:
        process.kill()
        raise
    finally:
        late.cancel()


class DevServer:
    """``realtime dev`` in a process of its own."""

    def __init__(self, data_dir: Path, port: int, log: Path) -> None:
        self._data_dir, self._port, self._log = data_dir, port, log
        self.url = f"http://localhost:{port}/"

    def start(self) -> None:
        """Returns when it has printed the page's address."""
        command = "from server.cli.main import main; main()"
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", command, "dev", "--data-dir", str(self._data_dir), "--port", str(self._port)],
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=HERE.parent.parent,
                text=True,
            )
        with killed_late(self.process):
            for line in self._output:
                if "Demo page" in line:
                    return
        pytest.fail(f"realtime dev did not start:\n{self._log.read_text()}")

    def kill(self) -> None:
        """SIGKILL; its Postgres goes on."""
        self.process.kill()
        self.process.wait()
        self._output.close()

    @property
    def _output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DevServer]:
    need_browser("chromium")
    dev = DevServer(tmp_path / "postgres", free_port(), tmp_path / "server.log")
    dev.start()
    yield dev
    dev.kill()
    LocalPostgres(tmp_path / "postgres").delete()


@pytest.mark.long
@pytest.mark.own_database
@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_the_demo_page_in_a_real_browser(server: DevServer, tmp_path: Path, browser: str) -> None:
    need_browser(browser)
    pictures = tmp_path / "screenshots"
    pictures.mkdir()
    lines: list[str] = []
    with subprocess.Popen(
        ["node", str(HERE / "demo.mjs"), server.url, str(pictures)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"BROWSER": browser} | browser_environment(),
    ) as scenario:
        assert scenario.stdin is not None
        assert scenario.stdout is not None
        with killed_late(scenario):
            for line in scenario.stdout:
                lines.append(line)
                if line.strip() == "KILL SERVER":
                    server.kill()
                    write_meanwhile(LocalPostgres(tmp_path / "postgres").dsn)
                    server.start()
                    scenario.stdin.write("restarted\n")
                    scenario.stdin.flush()
    assert scenario.returncode == 0, (
        f"{''.join(lines)}\nscreenshots: {pictures}\n{(tmp_path / 'server.log').read_text()}"
    )
    assert len(list(pictures.glob("*.png"))) == (16 if browser == "chromium" else 0)


@pytest.mark.long
@pytest.mark.own_database
def test_the_code_that_the_demo_page_shows_runs(server: DevServer, tmp_path: Path) -> None:
    done = subprocess.run(
        ["node", str(HERE / "snippets.mjs"), server.url, str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | browser_environment(),
        timeout=8 * GIVE_UP_AFTER,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    programs = sorted(tmp_path.glob("*.py"))
    assert len(programs) == 7
    for program in programs:
        with subprocess.Popen([sys.executable, "-u", str(program)], stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            with killed_late(running):
                assert running.stdout.readline(), program.read_text()
                running.kill()


def write_meanwhile(dsn: str) -> None:
    """Changes that no server is there to stream."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "insert into messages (room_id, author, body) values ('general', 'psql', 'Written while the server was dead')"
        )
        connection.execute("delete from orders where id % 3 = 0")
        connection.execute(
            "select realtime.broadcast('chat:lounge', 'message', '{\"text\": \"Sent while the server was dead\"}')"
        )
