"""``.ci/system-packages`` beside another package manager; ``apt-get`` is a stand-in with the real one's output."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "system-packages"
LOCKED = "E: Could not get lock {lock}. It is held by process 17 (apt-get)"


def install(folder: Path, answers: list[str], wait: int = 60) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the script for one package with an ``apt-get`` that fails with each of ``answers`` in turn, then succeeds.

    Returns what became of it and the verbs that ``apt-get`` was called with.
    """
    calls = folder / "calls"
    for number, answer in enumerate(answers):
        (folder / f"answer{number}").write_text(answer)
    programs = folder / "bin"
    programs.mkdir()
    (programs / "sudo").write_text('#!/bin/sh\nshift\nexec "$@"\n')
    (programs / "apt-get").write_text(
        "#!/bin/sh\n"
        f'number=$(cat "{calls}" 2> /dev/null | wc -l)\n'
        f'echo "$*" >> "{calls}"\n'
        f'[ -e "{folder}/answer$number" ] || exit 0\n'
        f'cat "{folder}/answer$number" >&2\nexit 100\n'
    )
    (programs / "sleep").write_text(f'#!/bin/sh\nexec "{shutil.which("sleep")}" 0.1\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    done = subprocess.run(
        [str(SCRIPT), "some-package"],
        env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "APT_WAIT": str(wait)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    verbs = [
        next(word for word in line.split() if word in ("update", "install"))
        for line in calls.read_text().split("\n")[:-1]
    ]
    return done, verbs


@pytest.mark.parametrize("lock", ["/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock"])
def test_a_lock_of_another_package_manager_is_waited_for(tmp_path: Path, lock: str) -> None:
    done, verbs = install(tmp_path, [LOCKED.format(lock=lock)])
    assert (done.returncode, verbs) == (0, ["update", "update", "install"])
    assert "waiting for another package manager" in done.stderr
    assert "could not install" not in done.stderr


def test_another_failure_is_reported_at_once(tmp_path: Path) -> None:
    done, verbs = install(tmp_path, ["E: Unable to locate package some-package"])
    assert verbs == ["update"]
    assert done.returncode != 0


def test_a_lock_that_stays_ends_the_wait(tmp_path: Path) -> None:
    done, verbs = install(tmp_path, [LOCKED.format(lock="/var/lib/dpkg/lock")] * 100, wait=1)
    assert done.returncode != 0
    assert set(verbs) == {"update"}
    assert LOCKED.format(lock="/var/lib/dpkg/lock") in done.stderr
