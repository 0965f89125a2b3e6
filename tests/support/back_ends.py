"""The applications of the pages about back ends, written as their reader writes them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from tests.support.browsers import need
from tests.support.doc_blocks import blocks
from tests.support.values.tokens import SECRET

__all__ = ["REALTIME", "make_django", "needed", "python", "write"]

REALTIME = "http://localhost:8000"
"""The Realtime server, as the pages name it."""
_SETTINGS, _MIGRATION = "mysite/settings.py", "0002_realtime.py"


def needed(page: str) -> None:
    """Skip the test if the framework that the page is about is not installed."""
    name = Path(page).stem
    for module in {"fastapi": ("fastapi", "sqlalchemy"), "flask": ("flask", "sqlalchemy")}.get(name, (name,)):
        need(importlib.util.find_spec(module) is not None, f"{module} is not installed")


def write(page: str, folder: Path, server: str = REALTIME) -> None:
    """The files of a page, with the address of the Realtime server; the settings of Django are added to what there is."""
    for block in blocks(page=page):
        if block.title:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            begun = path.read_text() if block.title == _SETTINGS and path.exists() else ""
            path.write_text(begun + block.text.replace(REALTIME, server).replace('"…"', f'"{SECRET}"'))


def python(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    """Run Python in the folder of an application; what it has written."""
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_django(folder: Path, environment: dict[str, str], server: str = REALTIME) -> None:
    """The project of the page, up to ``migrate``: Django makes the first migration, before the page's own is there."""
    python(folder, environment, "-m", "django", "startproject", "mysite", ".")
    python(folder, environment, "manage.py", "startapp", "todos")
    write("docs/frameworks/django.md", folder, server)
    exposing = folder / "todos" / "migrations" / _MIGRATION
    text = exposing.read_text()
    exposing.unlink()
    python(folder, environment, "manage.py", "makemigrations", "todos")
    exposing.write_text(text)
    python(folder, environment, "manage.py", "migrate")
