"""Addresses of chapters that have become pages still lead to where the reader goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.docs.test_links import ROOT, identifiers, links

MOVED = {
    ("backends", "django"): "django.md",
    ("backends", "fastapi"): "fastapi.md",
    ("backends", "flask"): "flask.md",
    ("backends", "the-token"): "",
    ("backends", "content-security-policy"): "",
    ("backends", "programs-that-follow"): "",
    ("frameworks", "nextjs-and-rendering-on-servers"): "nextjs.md",
    ("frameworks", "react-native"): "react-native.md",
    ("frameworks", "react"): "",
    ("frameworks", "content-security-policy"): "",
}
"""What addresses of ``docs/guides`` name, and the page that their chapter has become, if it has."""


@pytest.mark.parametrize(("place", "target"), MOVED.items(), ids=str)
def test_the_address_leads_on(place: tuple[str, str], target: str) -> None:
    page, fragment = place
    path = f"docs/guides/{page}.md"
    assert fragment in identifiers(ROOT / path)
    linked = {Path(file).resolve() for file, _ in links(path)}
    assert not target or ROOT / "docs/frameworks" / target in linked
