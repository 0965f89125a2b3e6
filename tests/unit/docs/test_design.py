"""``docs/design.md``: each decision has its date and what was rejected, each dependency its reason."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DECISIONS, DEPENDENCIES = (ROOT / "docs/design.md").read_text().split("\n## Dependencies\n")
PYTHON = [tomllib.loads((ROOT / each / "pyproject.toml").read_text()) for each in (".", "sdk/python")]
JAVASCRIPT = [json.loads((ROOT / each / "package.json").read_text()) for each in ("sdk/js", "sdk/react", "examples")]


def required() -> set[str]:
    """The packages that the project and its SDKs name, in all of their groups."""
    groups: list[list[str]] = []
    for project in PYTHON:
        groups += [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
        groups += project.get("dependency-groups", {}).values()
    groups.append((ROOT / "tests/fuzz/requirements.in").read_text().splitlines())
    python = {match[0] for group in groups for package in group if (match := re.match(r"[\w-]+", package))}
    groups_of_node = [each.get(group, {}) for each in JAVASCRIPT for group in ("dependencies", "devDependencies")]
    return python | {name for group in groups_of_node for name in group}


@pytest.mark.parametrize(
    "decision", re.split(r"^### ", DECISIONS, flags=re.M)[1:], ids=lambda text: text.splitlines()[0]
)
def test_each_decision_has_its_date_and_a_rejected_alternative(decision: str) -> None:
    title, text = decision.split("\n", 1)
    assert re.search(r" <small>20\d\d-\d\d-\d\d</small>$", title)
    assert re.search(r"\*(Rejected|Replaced)\b", text)


def test_each_dependency_has_a_reason_and_nothing_else_is_listed() -> None:
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in DEPENDENCIES.splitlines() if line.startswith("| `")
    ]
    listed = {re.sub(r"\[.*\]", "", name) for row in rows for name in re.findall(r"`([\w@/.\[\]-]+)`", row[0])}
    assert listed - {"embedded", "e2ee", "geo", "otel"} == required()
    assert all(cell for row in rows for cell in row)
