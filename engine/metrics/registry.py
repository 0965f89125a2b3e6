"""The registry: every metric of one node, by its name.

A metric is declared once, with its help text and the names of its labels; the part that counts keeps the instrument and
never sees the registry again. Values that a part has anyway (how many windows, how long the tail is) are not counted
twice: the part registers with ``before_reading`` what sets its gauges.

The number of series is bounded: a family has at most ``MAX_SERIES`` children, and what comes after them is counted under
the label value ``other``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Generic, Literal, TypeVar

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric

from engine.metrics.instruments import Counter, Gauge, Histogram

__all__ = ["MAX_SERIES", "OTHER", "Family", "Kind", "Registry"]

MAX_SERIES: Final = 64
OTHER: Final = "other"

Kind = Literal["counter", "gauge", "histogram"]

_Instrument = TypeVar("_Instrument", Counter, Gauge, Histogram)
_NAME: Final = re.compile(r"realtime_[a-z]+(_[a-z]+)*")


class Family(Generic[_Instrument]):
    """One metric: the instruments by the values of its labels; one, with no labels."""

    def __init__(
        self, kind: Kind, name: str, text: str, labels: Sequence[str], make: Callable[[], _Instrument]
    ) -> None:
        self.kind = kind
        self.name = name
        self.text = text
        self.labels = tuple(labels)
        self._make: Callable[[], _Instrument] = make
        self._children: dict[tuple[str, ...], _Instrument] = {}

    def of(self, *values: str) -> _Instrument:
        """The instrument of these label values."""
        found = self._children.get(values)
        if found is None:
            if len(values) != len(self.labels):
                raise ValueError(f"{self.name} has the labels {', '.join(self.labels)}, but got {values}")
            if len(self._children) >= MAX_SERIES:
                values = (OTHER,) * len(values)
            found = self._children.setdefault(values, self._make())
        return found

    def clear(self) -> None:
        """Forget all series of a gauge, before those that are now are set."""
        self._children.clear()

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], _Instrument]]:
        return iter(list(self._children.items()))


AnyFamily = Family[Counter] | Family[Gauge] | Family[Histogram]


class Registry:
    """See the module. All calls are made in the event loop's thread."""

    def __init__(self) -> None:
        self._families: dict[str, AnyFamily] = {}
        self._before: list[Callable[[], None]] = []

    # -- declaring -------------------------------------------------------------------------------------------------

    def counter(self, name: str, text: str) -> Counter:
        """A counter; its name ends in ``_total``."""
        return self.counters(name, text).of()

    def counters(self, name: str, text: str, *labels: str) -> Family[Counter]:
        """Counters by labels."""
        if not name.endswith("_total"):
            raise ValueError(f"{name}: the name of a counter ends in _total")
        return self._add(Family("counter", name, text, labels, Counter))

    def gauge(self, name: str, text: str) -> Gauge:
        """A gauge."""
        return self.gauges(name, text).of()

    def gauges(self, name: str, text: str, *labels: str) -> Family[Gauge]:
        """Gauges by labels."""
        return self._add(Family("gauge", name, text, labels, Gauge))

    def histogram(self, name: str, text: str, bounds: Sequence[float], scale: float = 1.0) -> Histogram:
        """A histogram; see :class:`Histogram`."""
        return self.histograms(name, text, bounds, scale=scale).of()

    def histograms(
        self, name: str, text: str, bounds: Sequence[float], *labels: str, scale: float = 1.0
    ) -> Family[Histogram]:
        """Histograms by labels."""
        return self._add(Family("histogram", name, text, labels, lambda: Histogram(bounds, scale)))

    def _add(self, family: Family[_Instrument]) -> Family[_Instrument]:
        if not _NAME.fullmatch(family.name) or family.name in self._families:
            raise ValueError(f"{family.name} is no name for a metric, or there is such a metric already")
        self._families[family.name] = family
        return family

    def before_reading(self, measure: Callable[[], None]) -> None:
        """Call ``measure`` before the values are read. It takes no longer than a few milliseconds, and does not raise."""
        self._before.append(measure)

    # -- reading ---------------------------------------------------------------------------------------------------

    def measure(self) -> None:
        """Have all gauges set to what is now."""
        for measure in self._before:
            measure()

    @property
    def families(self) -> Mapping[str, AnyFamily]:
        """All metrics, by name."""
        return self._families

    def value(self, name: str, **labels: str) -> float:
        """The sum of the series with these labels, of a histogram the number of observations; 0 if there is none.

        Call ``measure`` before, if gauges are to be current. Raises ``KeyError`` for a name that is none.
        """
        return sum(each.count if isinstance(each, Histogram) else each.value for each in self._matching(name, labels))

    def quantile(self, name: str, share: float, **labels: str) -> float | None:
        """Of the histograms of one metric with these labels together: see :meth:`Histogram.quantile`."""
        return self.merged(name, **labels).quantile(share)

    def merged(self, name: str, **labels: str) -> Histogram:
        """A copy of the histograms of one metric with these labels, together."""
        merged: Histogram | None = None
        for each in self._matching(name, labels):
            if isinstance(each, Histogram):
                merged = each.plus(merged or Histogram(each.bounds, each.scale))
        return merged or Histogram((), 1.0)

    def _matching(self, name: str, labels: Mapping[str, str]) -> Iterator[Counter | Gauge | Histogram]:
        family = self._families[name]
        for values, instrument in family:
            if labels.items() <= dict(zip(family.labels, values, strict=True)).items():
                yield instrument

    # -- Prometheus ------------------------------------------------------------------------------------------------

    def exposed(self) -> CollectorRegistry:
        """These metrics, and those of the process and of Python, for Prometheus' exposition."""
        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        return registry

    def describe(self) -> Iterator[Metric]:
        """The metrics without values."""
        for family in self._families.values():
            yield _empty(family)

    def collect(self) -> Iterator[Metric]:
        """The metrics with their values, as ``prometheus_client`` takes them."""
        self.measure()
        for family in self._families.values():
            metric = _empty(family)
            for values, instrument in family:
                labels = dict(zip(family.labels, values, strict=True))
                if isinstance(instrument, Histogram):
                    _add_histogram(metric, labels, instrument)
                else:
                    metric.add_sample(family.name, labels, instrument.value)
            yield metric


def _empty(family: AnyFamily) -> Metric:
    return Metric(
        family.name.removesuffix("_total") if family.kind == "counter" else family.name, family.text, family.kind
    )


def _add_histogram(metric: Metric, labels: Mapping[str, str], histogram: Histogram) -> None:
    total = 0
    for bound, count in zip((*histogram.bounds, None), histogram.counts, strict=True):
        total += count
        upper = "+Inf" if bound is None else repr(float(f"{bound * histogram.scale:.9g}"))
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": upper}, total)
    metric.add_sample(f"{metric.name}_count", dict(labels), total)
    metric.add_sample(f"{metric.name}_sum", dict(labels), histogram.sum * histogram.scale)
