"""``.ci/second_try`` in a tree with tests of its own, which fail once or always."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SECOND_TRY = Path(__file__).parents[3] / ".ci/second_try"
ONCE = """
from pathlib import Path
def test_it():
    seen = Path(__file__).with_suffix(".seen")
    if not seen.exists():
        seen.touch()
        raise AssertionError("the first time")
"""
ALWAYS = "def test_it():\n    raise AssertionError('always')\n"
ERROR = "import nothing_of_that_name\n"


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=60, check=False)


def tried(tree: Path, **tests: str) -> subprocess.CompletedProcess[str]:
    """Have these tests fail, then try them again. In names of files ``__`` is a folder."""
    (tree / "pytest.ini").write_text("[pytest]\n")
    for name, text in tests.items():
        file = tree / "tests" / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    first = run(tree, "-m", "pytest", "-q", "--import-mode=importlib", "tests")
    assert first.returncode, first.stdout
    return run(tree, str(SECOND_TRY), "2")


def test_what_passes_alone_is_unsteady_and_named(tmp_path: Path) -> None:
    done = tried(tmp_path, integration__test_one=ONCE, browser__test_two=ONCE)
    assert done.returncode == 0, done.stdout
    assert [line.split(":")[0] for line in done.stdout.splitlines() if line.startswith("UNSTEADY")] == [
        "UNSTEADY tests/browser/test_two.py",
        "UNSTEADY tests/integration/test_one.py",
    ]


@pytest.mark.parametrize(
    "tests",
    [
        {"integration__test_one": ONCE, "integration__test_two": ALWAYS},
        {"integration__test_one": ONCE, "oracle__test_two": ONCE},
        {"unit__test_one": ONCE},
        {f"integration__test_{n}": ONCE for n in range(4)},
        {"integration__test_one": ERROR},
    ],
    ids=["one-fails-again", "random-history", "no-other-process", "too-many", "not-collected"],
)
def test_all_else_stays_a_failure(tmp_path: Path, tests: dict[str, str]) -> None:
    done = tried(tmp_path, **tests)
    assert done.returncode == 2
    assert "UNSTEADY" not in done.stdout


def test_a_failure_of_other_steps_has_no_second_try(tmp_path: Path) -> None:
    assert run(tmp_path, str(SECOND_TRY), "2").returncode == 2
