"""No input that is kept shows a fault any more. ``make fuzz`` looks for others."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.corpus import CORPUS, fuzz, kept, mutated
from tests.fuzz.targets import TARGETS, Target


def test_each_target_has_inputs_and_each_folder_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
    assert all(kept(name) for name in TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_the_inputs_that_are_kept_show_no_fault(name: str) -> None:
    for data in kept(name):
        TARGETS[name].run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_some_inputs_made_of_them_show_no_fault(name: str) -> None:
    few = settings(max_examples=20, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    few(given(mutated(kept(name), TARGETS[name]))(TARGETS[name].run))()


def test_a_fault_is_found_and_the_input_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The fuzzer itself: of a target that fails for one byte, the smallest input is kept."""
    monkeypatch.setattr("tests.fuzz.corpus.CORPUS", tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "first").write_bytes(b"harmless")

    def run(data: bytes) -> None:
        assert b"\xee" not in data

    random.seed(1)
    with pytest.raises(AssertionError):
        fuzz("broken", Target(run, (b"\xee",)), 60.0)
    assert any(b"\xee" in data for data in kept("broken"))
