"""What the generators of this folder share: write the generated files, or with --check fail where they are not current."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["SDK", "write_or_check"]

SDK = Path(__file__).resolve().parent


def write_or_check(files: Mapping[Path, str]) -> int:
    """Returns the exit status: 1 if a file is not current and only a check was wanted."""
    script = Path(sys.argv[0]).name
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    if "--check" not in sys.argv:
        for path in stale:
            path.write_text(files[path])
        return 0
    for path in stale:
        print(f"{path.relative_to(SDK.parent)} is not current: run python sdk/{script}", file=sys.stderr)
    return int(bool(stale))
