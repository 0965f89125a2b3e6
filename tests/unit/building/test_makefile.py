"""What ``make`` does with the linters of JavaScript, in a tree that has the Makefile alone; the tools are stand-ins."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def make(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("CI", "MAKEFLAGS", "MAKELEVEL")}
    command = ["make", *arguments]
    return subprocess.run(
        command, cwd=folder, env=inherited | environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clone in which Python's tools are installed, and whose npm installs nothing."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for folder in (
        ".venv/bin",
        "tests/browser",
        "sdk/js",
        "sdk/react",
        "sdk/svelte",
        "sdk/tanstack-db",
        "sdk/vue",
        "examples",
        "sdk/python",
        "tests/support/orms",
        "programs",
    ):
        (tmp_path / folder).mkdir(parents=True)
    sources = ("requirements.lock", "requirements-dev.lock", "pyproject.toml", "sdk/python/pyproject.toml")
    (tmp_path / "tests/fuzz").mkdir()
    (tmp_path / "tests/fuzz/requirements.lock").touch()
    for age, names in enumerate(((".venv/.installed-development",), (".venv/.installed",), sources)):
        for name in names:
            (tmp_path / name).touch()
            os.utime(tmp_path / name, (2_000_000_000 - age,) * 2)
    for name in ("python", "ruff", "codespell", "lint-imports", "mypy"):
        _program(tmp_path / ".venv/bin" / name)
    _program(tmp_path / "programs/npm")
    return tmp_path


def _program(path: Path) -> None:
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)


@pytest.mark.parametrize("target", ["test", "check", "lint"])
def test_packages_of_node_are_installed_before_the_linters_that_are_among_them(tree: Path, target: str) -> None:
    done = make("--dry-run", target, folder=tree)
    assert done.returncode == 0, done.stderr
    assert 0 < done.stdout.index("npm ci") < done.stdout.index("npm run --silent lint")


@pytest.mark.parametrize(("ci", "succeeds"), [("true", False), ("", True)], ids=["in_ci", "at_home"])
def test_a_missing_eslint_is_reported_and_fails_in_continuous_integration(tree: Path, ci: str, succeeds: bool) -> None:
    done = make("lint", folder=tree, CI=ci, PATH=f"{tree}/programs:{os.environ['PATH']}")
    assert (done.returncode == 0) is succeeds, done.stderr
    assert "the JavaScript and TypeScript are not checked" in done.stderr


def test_the_matrix_runs_the_tests_on_each_version_whose_package_is_locked(tree: Path) -> None:
    versions = json.loads((ROOT / "tests/support/postgres/versions/package-lock.json").read_text())["packages"]
    locked = sorted(name.rpartition("-")[2] for name in versions if name)
    done = make("--dry-run", "matrix", folder=tree)
    assert done.returncode == 0, done.stderr
    [loop] = [line for line in done.stdout.splitlines() if "for version in" in line]
    assert loop.partition("for version in ")[2].partition(";")[0].split() == locked
    assert all(package["integrity"].startswith("sha512-") for name, package in versions.items() if name)
    assert all((ROOT / folder).is_dir() for folder in re.findall(r"tests/integration/\w+", done.stdout))


def test_the_short_tests_are_in_the_tree(tree: Path) -> None:
    done = make("--dry-run", "check", folder=tree)
    assert done.returncode == 0, done.stderr
    paths = re.findall(r"tests/\S+", next(line for line in done.stdout.splitlines() if "--without-database" in line))
    assert "tests/unit" in paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
