"""What the pages are built of, and what is reported where they cannot be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from examples import bundles
from examples.bundles import build_pages
from examples.realtime_server import EXAMPLES, PAGES
from tests.support.browsers import need

PLAIN = PAGES / "game"


def lacking(folder: Path) -> str:
    """Why the page of ``chat`` is not made."""
    found = build_pages([PAGES / "chat", PLAIN], folder)
    assert found.keys() <= {"chat"}
    return found.get("chat", "")


def test_what_is_not_there_is_named_and_the_others_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert lacking(tmp_path).startswith("Node.js is not installed")
    monkeypatch.setattr(shutil, "which", lambda _: "node")
    pages = tmp_path / "examples"
    shutil.copytree(PAGES / "chat", pages / "chat")
    monkeypatch.setattr(bundles, "PAGES", pages)
    assert "run `npm ci` in examples" in lacking(tmp_path)


def test_the_bundler_s_complaint_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need(shutil.which("node") is not None, "no Node.js")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / ".package-lock.json").touch()
    (tmp_path / "build.mjs").write_text("console.error('chat.tsx:3: no such name'); process.exit(1)")
    monkeypatch.setattr(bundles, "PAGES", tmp_path)
    assert lacking(tmp_path / "pages") == "its pages could not be made: chat.tsx:3: no such name"


def test_without_such_an_example_nothing_is_built(tmp_path: Path) -> None:
    assert build_pages([PLAIN], tmp_path / "pages") == {}
    assert not (tmp_path / "pages").exists()


def test_the_lock_names_no_registry_and_has_hashes() -> None:
    packages = json.loads((PAGES / "package-lock.json").read_text())["packages"]
    installed = {name: each for name, each in packages.items() if name}
    assert installed
    assert [name for name, each in installed.items() if "resolved" in each or "integrity" not in each] == []


def test_every_page_of_the_list_is_an_example() -> None:
    page = (PAGES / "index.html").read_text()
    assert [each.name for each in EXAMPLES if f'href="/{each.name}/"' not in page] == []
