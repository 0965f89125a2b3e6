"""The modules that browsers load from the server: the same as TypeScript's, in the source tree as in a wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from server.browser_sdk.modules import SOURCES, erased_modules
from tests.integration.sdk_js.scenario_server import ROOT, SCENARIOS


def test_types_are_erased_as_typescript_does(tmp_path: Path) -> None:
    for path, module in erased_modules(SOURCES).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(module, "utf-8")
    command = ["node", str(SCENARIOS / "erased.mjs"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_a_wheel_has_them_made(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        folder = "server/browser_sdk/made/"
        made = {name.removeprefix(folder): archive.read(name) for name in archive.namelist() if name.startswith(folder)}
    assert made == {path: module.encode() for path, module in erased_modules(SOURCES).items()}
