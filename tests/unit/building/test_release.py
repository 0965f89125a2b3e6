"""``.ci/release`` in a clone: one version everywhere, a dated changelog, a commit and a tag; or a refusal and no change."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NODE = sorted(path.parent.name for path in (ROOT / "sdk").glob("*/package.json"))
INTERFACES = [str(path.relative_to(ROOT)) for path in (ROOT / "sql" / "interface").glob("*.json")]
AUTHOR = {f"GIT_{who}_{what}": "someone@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=os.environ | AUTHOR, capture_output=True, text=True, check=False)


def versions(folder: Path) -> set[str]:
    """Every version the packages name."""
    python = (tomllib.loads((folder / name).read_text()) for name in ("pyproject.toml", "sdk/python/pyproject.toml"))
    found = {each["project"]["version"] for each in python}
    for each in NODE:
        node = json.loads((folder / f"sdk/{each}/package.json").read_text())
        lock = json.loads((folder / f"sdk/{each}/package-lock.json").read_text())
        found |= {node["version"], lock["version"], lock["packages"][""]["version"]}
    return found


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository on ``main`` with the files of this checkout that a release touches."""
    node = [f"sdk/{each}/{name}" for each in NODE for name in ("package.json", "package-lock.json")]
    files = ["pyproject.toml", "sdk/python/pyproject.toml", *node]
    for name in [*files, "CHANGELOG.md", ".ci/release", "sql/schema/VERSION", *INTERFACES]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n### Added\n\n- Something.\n")
    (tmp_path / ".ci/release").chmod(0o755)
    for command in ("init --quiet --initial-branch main", "add .", "commit --quiet --message start"):
        assert run(tmp_path, "git", *command.split()).returncode == 0
    return tmp_path


def test_every_package_of_the_checkout_has_the_same_version() -> None:
    assert len(versions(ROOT)) == 1


def test_a_release_sets_one_version_dates_the_changelog_commits_and_tags(clone: Path) -> None:
    done = run(clone, ".ci/release", "99.1.0-rc.2")
    assert done.returncode == 0, done.stderr
    assert versions(clone) == {"99.1.0-rc.2"}
    assert "## [Unreleased]\n\n## [99.1.0-rc.2] - 20" in (clone / "CHANGELOG.md").read_text()
    interface = f"sql/interface/{(ROOT / 'sql/schema/VERSION').read_text().strip()}.json"
    named = json.loads((ROOT / interface).read_text())["release"] or "99.1.0-rc.2"
    assert json.loads((clone / interface).read_text())["release"] == named
    assert run(clone, "git", "tag").stdout == "v99.1.0-rc.2\n"
    assert run(clone, "git", "status", "--porcelain").stdout == ""
    assert run(clone, ".ci/release", "99.1.0-rc.1").stderr == "99.1.0-rc.1 is not later than 99.1.0-rc.2\n"
    assert "nothing under Unreleased" in run(clone, ".ci/release", "99.1.0").stderr


@pytest.mark.parametrize(
    ("version", "reason"), [("1.2", "is not a version"), ("v1.2.3", "is not a version"), ("0.0.1", "is not later")]
)
def test_a_wrong_version_is_refused_and_nothing_changes(clone: Path, version: str, reason: str) -> None:
    refused = run(clone, ".ci/release", version)
    assert (refused.returncode, reason in refused.stderr) == (1, True)
    assert run(clone, "git", "status", "--porcelain").stdout == ""


def test_a_release_of_uncommitted_changes_is_refused(clone: Path) -> None:
    (clone / "CHANGELOG.md").write_text("## [Unreleased]\n\n- Something else.\n")
    assert "not committed" in run(clone, ".ci/release", "99.0.0").stderr
    assert run(clone, "git", "tag").stdout == ""


def test_the_image_is_built_from_all_that_the_wheel_includes() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = (ROOT / "Dockerfile").read_text().splitlines()
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    for path in (*wheel["packages"], *wheel["force-include"]):
        assert f"COPY {path} {path}" in copied
        assert f"!{path}" in sent
