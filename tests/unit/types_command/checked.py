"""What mypy reports of programs that use the SDK."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["SDK", "wrong_lines"]

SDK = Path(__file__).parents[3] / "sdk/python"


def wrong_lines(folder: Path, modules: Mapping[str, str], *, after: int = 0) -> dict[str, set[int]]:
    """The numbers of the lines with an error, by the module, counted after the first ``after`` lines. One run for all."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "mypy.ini").write_text(f"[mypy]\nstrict = true\npython_version = 3.11\nmypy_path = {SDK}\n")
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(folder / "cache"), *(f"{name}.py" for name in modules)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.stderr == ""
    found: dict[str, set[int]] = {name: set() for name in modules}
    for line in done.stdout.splitlines():
        name, _, report = line.partition(".py:")
        if ": error: " in report:
            found[name].add(int(report.partition(":")[0]) - after)
    return found
