"""How long a relay may be silent."""

from __future__ import annotations

from engine.relay.feed import SILENCE
from engine.relay.settings import RelaySettings


def test_a_stuck_relay_is_shown_soon_and_one_that_has_missed_a_single_beat_is_not() -> None:
    usual = RelaySettings()
    assert 2 * (usual.beat + usual.look) <= SILENCE < 3 * usual.beat
