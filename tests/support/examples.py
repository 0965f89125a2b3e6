"""How many examples Hypothesis tries: half of ``USUAL`` in ``make test``, fewer under its profile ``check``, which is
``make check``'s, and three times as many under ``thorough``, which is for changes of what a property is about.

Much of the processor time of a run would go into examples. They are drawn anew in each run, so what one run leaves out the
next may find.
"""

from __future__ import annotations

from typing import Final

import hypothesis

__all__ = ["examples", "register_profiles"]

USUAL: Final = 100
PROFILES: Final = {"check": 30, "tests": 50, "thorough": 300}
"""The number of examples under each profile, of a test that asks for no number; ``tests`` is the one in use."""


def register_profiles() -> None:
    """Register ``PROFILES``, and load ``tests``. No example has to be quick: the machine may be busy."""
    usual = hypothesis.settings.get_profile(hypothesis.settings.get_current_profile_name())
    for name, number in PROFILES.items():
        hypothesis.settings.register_profile(name, usual, deadline=None, max_examples=number)
    hypothesis.settings.load_profile("tests")


def examples(number: int) -> int:
    """``max_examples`` of a test that has ``number`` where others have ``USUAL``."""
    profile = hypothesis.settings.get_profile(hypothesis.settings.get_current_profile_name())
    return max(1, number * profile.max_examples // USUAL)
