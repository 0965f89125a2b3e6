"""Times in buckets: exact to 0.8 %, and the same whether one process counted them or several."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from server.bench.load.clients.histogram import Histogram

NANOSECONDS = st.lists(st.integers(1_000, 10**12), min_size=1, max_size=50)


def histogram(times: list[int]) -> Histogram:
    counted = Histogram()
    for each in times:
        counted.record(each)
    return counted


@given(NANOSECONDS, st.floats(0, 1))
def test_a_quantile_is_never_below_the_time_and_at_most_a_bucket_above(times: list[int], share: float) -> None:
    found = histogram(times).quantile(share)
    exact = sorted(times)[max(1, -int(-share * len(times) // 1)) - 1] / 1e9
    assert found >= exact - 1e-6  # whole microseconds
    assert found <= exact * (1 + 1 / 128) + 1e-6


@given(NANOSECONDS, NANOSECONDS)
def test_what_two_processes_counted_is_what_one_would_have_counted(mine: list[int], theirs: list[int]) -> None:
    merged = Histogram.from_json(json.loads(json.dumps(histogram(mine).to_json())))
    merged.add(Histogram.from_json(json.loads(json.dumps(histogram(theirs).to_json()))))
    together = histogram(mine + theirs)
    assert merged.to_json() == together.to_json()
    assert (merged.count, merged.longest) == (len(mine + theirs), max(mine + theirs) / 1e9)


def test_no_times_and_times_beyond_all_buckets() -> None:
    assert Histogram().quantile(0.5) == 0.0
    assert histogram([10**14]).quantile(1.0) == (1 << 32) / 1e6
    assert histogram([-5]).quantile(0.5) == 0.0
