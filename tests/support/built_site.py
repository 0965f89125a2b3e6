"""The documentation as MkDocs builds it, once in a run of the tests however many of their processes ask for it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["built_site"]

ROOT = Path(__file__).parents[2]


def built_site(temporary: pytest.TempPathFactory) -> Path:
    """The folder of the site, built from the sources as they are now. A warning of MkDocs is an ``AssertionError``."""
    own = temporary.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    site, report = shared / "built-site", shared / "built-site.log"
    with (shared / "built-site.lock").open("w") as lock:  # given back when it is closed
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not report.exists():
            # With --quiet MkDocs counts no warnings, and a strict build succeeds in spite of them.
            build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
            done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
            report.write_text(f"mkdocs ended with {done.returncode}:\n{done.stderr}" if done.returncode else "")
    assert not report.read_text(), report.read_text()
    return site
