"""What is counted in bounded memory: different users, and messages of channels."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from server.analytics.distinct import HASHES, SAMPLE, DistinctUsers
from server.analytics.frequent import FrequentChannels

names = st.sampled_from([f"chat:{number}" for number in range(40)])


def users_of(hashes: list[int]) -> DistinctUsers:
    users = DistinctUsers()
    users.add(hashes)
    return users


@given(st.lists(st.integers(0, HASHES - 1), max_size=SAMPLE - 1))
def test_fewer_users_than_the_sample_has_are_counted_exactly(hashes: list[int]) -> None:
    assert users_of(hashes).count == len(set(hashes))
    assert users_of(hashes + hashes).sample == sorted(set(hashes))


def test_more_users_are_estimated_within_the_documented_error_whatever_their_order_and_repetitions() -> None:
    numbers = random.Random(11)
    for size in (SAMPLE, 5_000, 60_000):
        hashes = [numbers.randrange(HASHES) for _ in range(size)]
        once, shuffled = users_of(hashes), users_of(numbers.sample(hashes, size) + hashes[: size // 2])
        assert once.sample == shuffled.sample == sorted(set(hashes))[:SAMPLE]
        assert abs(once.count - size) < 4 * 0.0313 * size  # four standard errors


def test_the_union_of_samples_is_the_sample_of_the_union() -> None:
    numbers = random.Random(12)
    first, second = ([numbers.randrange(HASHES) for _ in range(3_000)] for _ in range(2))
    united = users_of(users_of(first).sample + users_of(second).sample)
    assert united.sample == users_of(first + second).sample


@given(st.lists(st.tuples(names, st.integers(1, 50)), max_size=300))
def test_few_channels_are_counted_exactly(messages: list[tuple[str, int]]) -> None:
    counted, exact = FrequentChannels(capacity=40), Counter[str]()
    for channel, count in messages:
        counted.add(channel, count)
        exact[channel] += count
    assert counted.total == exact.total()
    assert counted.channels == len(exact)
    assert counted.top(100) == dict(exact)


@given(st.lists(st.tuples(names, st.integers(1, 50)), max_size=300), st.integers(2, 12))
def test_counts_of_many_channels_are_never_too_high_and_too_low_by_a_bounded_share(
    messages: list[tuple[str, int]], capacity: int
) -> None:
    counted, exact = FrequentChannels(capacity), Counter[str]()
    for channel, count in messages:
        counted.add(channel, count)
        exact[channel] += count
    assert counted.total == exact.total()
    assert len(counted.top(1_000)) <= capacity
    for channel, count in exact.items():
        assert count - 2 * counted.total / capacity <= counted.of(channel) <= count


def test_the_busiest_channels_remain_when_counters_are_given_up() -> None:
    counted = FrequentChannels(capacity=100)
    for number in range(60):
        counted.add(f"chat:{number}", number + 1)
    counted.shrink(3)
    assert counted.top(10) == {"chat:59": 60, "chat:58": 59, "chat:57": 58}
    assert (counted.channels, counted.total) == (60, sum(range(61)))
