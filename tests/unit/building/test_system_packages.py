"""``.ci/system-packages`` beside another package manager; ``apt-get`` is a stand-in with the real one's output."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / ".ci" / "system-packages"
SUPPORTED = int(json.loads((ROOT / "sdk/js/package.json").read_text())["engines"]["node"].removeprefix(">="))
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


def run_beside_node(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    """Run the script where ``node`` has this version and nothing can be installed."""
    (folder / "node").write_text(f"#!/bin/sh\necho v{version}\n")
    (folder / "apt-get").write_text("#!/bin/sh\nexit 0\n")
    (folder / "sudo").write_text("#!/bin/sh\nexit 1\n")
    for program in folder.iterdir():
        program.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(
        [str(SCRIPT)], env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_node_below_the_supported_one_is_an_error_that_names_the_next_step(tmp_path: Path) -> None:
    done = run_beside_node(tmp_path, f"{SUPPORTED - 1}.20.4")
    assert done.returncode != 0
    assert f"Node {SUPPORTED - 1}.20.4 ({tmp_path}/node) is too old" in done.stderr
    assert f"need Node {SUPPORTED} or newer" in done.stderr
    assert "https://nodejs.org" in done.stderr


def test_the_oldest_supported_node_is_accepted(tmp_path: Path) -> None:
    done = run_beside_node(tmp_path, f"{SUPPORTED}.0.0")
    assert (done.returncode, "too old" in done.stderr) == (0, False), done.stderr


def test_each_job_that_runs_the_tests_of_the_javascript_sdk_sets_up_the_supported_node() -> None:
    jobs: dict[str, Any] = {}
    for each in (ROOT / ".github/workflows").glob("*.yml"):
        jobs |= yaml.safe_load(each.read_text())["jobs"]
    missing = []
    for name, job in jobs.items():
        commands = " ".join(step.get("run", "") for step in job["steps"])
        needs_node = any(
            each in commands for each in (".ci/run", "make check", "make coverage", "make newcomer", "node-packages")
        )
        set_up = [step["with"]["node-version"] for step in job["steps"] if "setup-node" in step.get("uses", "")]
        if needs_node and set_up != [SUPPORTED]:
            missing.append(name)
    assert missing == []


def test_the_newcomer_goes_through_the_documentation_each_night() -> None:
    nightly = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text())
    assert "schedule" in nightly[True]  # YAML 1.1 reads `on` as true
    commands = [step.get("run", "") for job in nightly["jobs"].values() for step in job["steps"]]
    assert any(command.endswith("make newcomer") for command in commands)
