"""The modules that browsers load from the server: the same as TypeScript's, in the source tree as in a wheel."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from server.browser_sdk.modules import SOURCES, erased_modules
from tests.integration.sdk_js.scenario_server import ROOT, SCENARIOS


def test_types_are_erased_as_typescript_does(tmp_path: Path) -> None:
    for path, module in erased_modules(SOURCES).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(module, "utf-8")
    command = ["node", str(SCENARIOS / "erased.mjs"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def build_environment(tmp_path: Path) -> Path:
    """A folder with what ``pyproject.toml`` names for a build and what that requires, as ``pip`` makes one (PEP 517)."""
    folder = tmp_path / "environment"
    folder.mkdir()
    waiting = [
        Requirement(each) for each in tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    ]
    linked: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        if requirement.name in linked or (requirement.marker is not None and not requirement.marker.evaluate()):
            continue
        linked.add(requirement.name)
        found = distribution(requirement.name)
        waiting += map(Requirement, found.requires or ())
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            (folder / top).symlink_to(str(found.locate_file(top)))
    return folder


def build_wheel(source: Path, environment: Path, wheels: Path) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys; sys.path.append(sys.argv[1]); from hatchling.build import build_wheel; build_wheel(sys.argv[2])"
    )
    build = [sys.executable, "-I", "-S", "-c", program, str(environment), str(wheels)]
    return subprocess.run(build, cwd=source, capture_output=True, text=True, timeout=300, check=False)


def test_a_wheel_has_them_made(tmp_path: Path, build_environment: Path) -> None:
    wheels = tmp_path / "wheels"
    done = build_wheel(ROOT, build_environment, wheels)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        folder = "server/browser_sdk/made/"
        made = {name.removeprefix(folder): archive.read(name) for name in archive.namelist() if name.startswith(folder)}
    assert made == {path: module.encode() for path, module in erased_modules(SOURCES).items()}


def test_a_wheel_without_them_is_not_built(tmp_path: Path, build_environment: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("engine", "server", "sql", "migrations", "docs", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).symlink_to(ROOT / name)
    done = build_wheel(source, build_environment, tmp_path / "wheels")
    assert done.returncode != 0
    assert "a wheel is built from the whole repository" in done.stderr
