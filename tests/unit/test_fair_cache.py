"""A cache bounded by weight, of which a flood of entries that are asked for once gets only a part."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.fair_cache import FairCache

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 12), st.integers(1, 60)), max_size=80)


@given(STEPS)
def test_the_kept_entries_never_exceed_the_room(steps: list[tuple[bool, int, int]]) -> None:
    cache: FairCache[int, tuple[int, int]] = FairCache(200)
    last: dict[int, tuple[int, int]] = {}
    for asks, key, weight in steps:
        if asks:
            assert cache.get(key) in (None, last.get(key))
        else:
            last[key] = (key, weight)
            cache.put(key, last[key], weight)
        kept = [value for value in map(cache.get, range(13)) if value is not None]
        assert sum(weight for _, weight in kept) == cache.weight <= 200
        assert len(kept) == len(cache)
        assert all(weight <= 25 for _, weight in kept)


def test_a_flood_of_entries_that_are_asked_for_once_leaves_proven_ones_alone() -> None:
    cache: FairCache[str, int] = FairCache(1000)
    for number in range(10):
        cache.put(f"good {number}", number, 50)
        assert cache.get(f"good {number}") == number
    for number in range(10_000):
        cache.put(f"flood {number}", number, 40)
        assert cache.weight <= 1000
    assert [cache.get(f"good {number}") for number in range(10)] == list(range(10))


def test_a_value_of_more_than_an_eighth_of_the_room_is_not_kept() -> None:
    cache: FairCache[str, int] = FairCache(800)
    cache.put("a", 1, 100)
    cache.put("a", 2, 101)
    assert cache.get("a") is None
    assert (len(cache), cache.weight) == (0, 0)
