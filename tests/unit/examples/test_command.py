"""What ``python -m examples`` starts for which arguments, without a server."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from examples import __main__ as command
from examples.realtime_server import EXAMPLES

ROOT = Path(__file__).parents[3]
ALL = [each.name for each in EXAMPLES]


class FakeServer:
    """Stands in for ``realtime dev``; ``files``: whose SQL it was given."""

    files: Sequence[str] = ()

    def __init__(self, folder: Path) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run_sql(self, files: Sequence[Path]) -> None:
        FakeServer.files = [f"{file.parent.name}/{file.name}" for file in files]


@pytest.mark.parametrize("given", [["chat"], ["game", "feed"], []], ids=["one", "two", "all"])
def test_the_named_examples_are_started_alone(given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[str] = []

    def serve(_: Any, examples: Sequence[Path], given: Any) -> None:
        served.extend(each.name for each in examples)

    monkeypatch.setattr(command, "RealtimeServer", FakeServer)
    monkeypatch.setattr(command, "_serve", serve)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["examples", *given])
    command.main()
    assert served == sorted(given or ALL)
    assert FakeServer.files == ["shared/roles.sql", *(f"{name}/schema.sql" for name in served)]


def test_an_example_that_there_is_not_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["examples", "chta"])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert "there is no example 'chta': there are chat, dashboard, feed, game, notes" in capsys.readouterr().err


def test_make_passes_the_name_on() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "examples", "EXAMPLE=chat", "PORT=8081"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1].endswith("python -m examples chat --port 8081")
