"""How many examples Hypothesis tries: all in ``make test``, fewer under its profile ``check``, which is ``make check``'s.

Most of the processor time of the short tests would go into examples. They are drawn anew in each run, so what ``make check``
leaves out one time it may find the next, and ``make test`` looks for all.
"""

from __future__ import annotations

from typing import Final

import hypothesis

__all__ = ["examples", "register_profiles"]

USUAL: Final = 100
FEW: Final = 30


def register_profiles() -> None:
    """Register ``tests``, and load it, and ``check``. No example has to be quick: the machine may be busy."""
    usual = hypothesis.settings.get_profile(hypothesis.settings.get_current_profile_name())
    hypothesis.settings.register_profile("tests", usual, deadline=None, max_examples=USUAL)
    hypothesis.settings.register_profile("check", usual, deadline=None, max_examples=FEW)
    hypothesis.settings.load_profile("tests")


def examples(number: int) -> int:
    """``max_examples`` of a test that has ``number`` where others have ``USUAL``."""
    profile = hypothesis.settings.get_profile(hypothesis.settings.get_current_profile_name())
    return max(1, number * profile.max_examples // USUAL)
