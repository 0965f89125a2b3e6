"""``.ci/release`` in a clone: one version everywhere, a dated changelog, a commit and a tag; or a refusal and no change."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

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
    code = [".ci/release", "server/__init__.py", "server/repository_address.py"]
    for name in [*files, *code, "CHANGELOG.md", "mkdocs.yml", "sql/schema/VERSION", *INTERFACES]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n### Added\n\n- Something.\n")
    (tmp_path / ".ci/release").chmod(0o755)
    remote = "remote add origin git@git.example.org:team/realtime.git"
    for command in ("init --quiet --initial-branch main", remote, "add .", "commit --quiet --message start"):
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


def manifests(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"sdk/{each}/package.json").read_text()) for each in NODE]


def test_a_release_links_every_package_to_the_repository_it_is_made_in(clone: Path) -> None:
    assert run(clone, ".ci/release", "99.1.0").returncode == 0
    address = "https://git.example.org/team/realtime"
    changelog = {"Changelog": f"{address}/blob/main/CHANGELOG.md"}
    wanted = {"Homepage": address, "Repository": address, "Issues": f"{address}/issues"} | changelog
    for name in ("pyproject.toml", "sdk/python/pyproject.toml"):
        assert tomllib.loads((clone / name).read_text())["project"]["urls"] == wanted
    for each, package in zip(NODE, manifests(clone), strict=True):
        repository = {"type": "git", "url": f"git+{address}.git", "directory": f"sdk/{each}"}
        links = {"homepage": f"{address}#readme", "repository": repository, "bugs": {"url": f"{address}/issues"}}
        assert package == package | links
    assert f"repo_url: {address}\n" in (clone / "mkdocs.yml").read_text()


def test_a_later_release_elsewhere_links_there_and_changes_nothing_else(clone: Path) -> None:
    assert run(clone, ".ci/release", "99.1.0").returncode == 0
    changelog = clone / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("## [Unreleased]\n", "## [Unreleased]\n\n- More.\n"))
    run(clone, "git", "commit", "--all", "--quiet", "--message", "more")
    first = {name: (clone / name).read_text() for name in ("pyproject.toml", "sdk/js/package.json", "mkdocs.yml")}
    done = run(clone, ".ci/release", "99.2.0", "--repository", "https://example.net:8443/realtime/")
    assert done.returncode == 0, done.stderr
    for name, text in first.items():
        moved = text.replace("https://git.example.org/team/realtime", "https://example.net:8443/realtime")
        assert (clone / name).read_text() == moved.replace("99.1.0", "99.2.0")


@pytest.mark.parametrize("remote", [None, "/srv/realtime.git", "file:///srv/realtime", "buildhost:realtime.git"])
def test_a_release_without_a_public_address_is_refused_and_nothing_changes(clone: Path, remote: str | None) -> None:
    run(clone, "git", "remote", "remove", "origin")
    if remote is not None:
        run(clone, "git", "remote", "add", "origin", remote)
    refused = run(clone, ".ci/release", "99.1.0")
    assert (refused.returncode, "--repository https://" in refused.stderr) == (1, True)
    assert run(clone, "git", "status", "--porcelain").stdout + run(clone, "git", "tag").stdout == ""


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
