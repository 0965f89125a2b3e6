"""Instruments, and the registry that reads them."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from engine.metrics.instruments import Histogram
from engine.metrics.registry import MAX_SERIES, OTHER, Registry


def test_a_value_on_a_bound_counts_within_it_and_one_below_zero_as_zero() -> None:
    histogram = Histogram((10, 20))
    for value in (-5, 10, 10.5, 20, 21):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1]
    assert histogram.sum == 61.5


def test_quantiles_are_linear_within_a_bucket_and_end_at_the_last_bound() -> None:
    histogram = Histogram((1_000, 2_000), scale=1e-3)
    assert histogram.quantile(0.5) is None
    histogram.observe(1_500, 4)
    assert histogram.quantile(0.5) == pytest.approx(1.5)
    assert histogram.quantile(1.0) == pytest.approx(2.0)
    histogram.observe(9_999, 96)
    assert histogram.quantile(0.99) == 2.0


def test_the_exposition_is_what_prometheus_reads() -> None:
    registry = Registry()
    registry.counters("realtime_things_total", "Things.", "kind").of('a"b').value += 2
    registry.histogram("realtime_time_seconds", "Time.", (500, 1_000_000), scale=1e-6).observe(500, 3)
    registry.gauge("realtime_level", "Level.").value = 7
    exposed = registry.exposed()
    found = {each.name: each for each in text_string_to_metric_families(generate_latest(exposed).decode())}
    assert [(each.labels, each.value) for each in found["realtime_things"].samples] == [({"kind": 'a"b'}, 2)]
    assert found["realtime_level"].samples[0].value == 7
    buckets = {each.labels["le"]: each.value for each in found["realtime_time_seconds"].samples if "le" in each.labels}
    assert buckets == {"0.0005": 3, "1.0": 3, "+Inf": 3}
    assert sum(each.value for each in found["realtime_time_seconds"].samples if each.name.endswith("_sum")) == 0.0015
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "python_gc_collections"} <= found.keys()
    assert openmetrics(exposed).endswith(b"# EOF\n")


def test_series_beyond_the_bound_are_counted_as_one() -> None:
    registry = Registry()
    family = registry.counters("realtime_things_total", "Things.", "kind")
    for number in range(MAX_SERIES + 50):
        family.of(str(number)).value += 1
    assert len(list(family)) == MAX_SERIES + 1
    assert registry.value("realtime_things_total", kind=OTHER) == 50
    assert registry.value("realtime_things_total") == MAX_SERIES + 50


def test_gauges_are_set_before_they_are_read() -> None:
    registry = Registry()
    level = registry.gauge("realtime_level", "Level.")

    def measure() -> None:
        level.value += 1

    registry.before_reading(measure)
    generate_latest(registry.exposed())
    assert registry.value("realtime_level") == 1


def test_two_registries_of_one_process_do_not_share_values() -> None:
    first, second = Registry(), Registry()
    first.counter("realtime_things_total", "Things.").value += 1
    second.counter("realtime_things_total", "Things.")
    assert second.value("realtime_things_total") == 0


@pytest.mark.parametrize("name", ["things_total", "realtime_Things_total", "realtime_things"])
def test_a_counter_with_another_name_than_prometheus_has_for_it_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Registry().counter(name, "Things.")


def test_a_name_is_given_once() -> None:
    registry = Registry()
    registry.gauge("realtime_level", "Level.")
    with pytest.raises(ValueError, match="already"):
        registry.gauge("realtime_level", "Level.")
