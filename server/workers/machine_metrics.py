"""The metrics of a machine: those of each worker, with its number as the label ``worker``, and what its relay takes.

The relay answers no requests. It leaves its process id in a file, and the worker that is scraped reads of that process
what Linux has of any: processor time, memory, open files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import Metric

__all__ = ["of_process", "of_workers", "packed"]


class _Family(msgspec.Struct, array_like=True):
    name: str
    text: str
    kind: str
    unit: str
    samples: list[tuple[str, dict[str, str], float]]


_decoder = msgspec.msgpack.Decoder(list[_Family])


def packed(registry: CollectorRegistry) -> bytes:
    """The metrics of this worker, for another one. (MessagePack: JSON has no infinity, which a capacity may be.)"""
    return msgspec.msgpack.encode(
        [
            _Family(
                family.name,
                family.documentation,
                family.type,
                family.unit,
                [(sample.name, sample.labels, float(sample.value)) for sample in family.samples],
            )
            for family in registry.collect()
        ]
    )


def of_process(pid_file: Path) -> CollectorRegistry:
    """``process_*`` of the process whose id is in ``pid_file``; none while there is no such process."""

    def pid() -> str:
        try:
            return pid_file.read_text()
        except OSError:
            return "none"

    registry = CollectorRegistry()
    ProcessCollector(pid=pid, registry=registry)
    return registry


def of_workers(metrics: Mapping[str, bytes]) -> list[Metric]:
    """One family of each name; ``metrics``: what ``packed`` gave, by the values of the label."""
    merged: dict[str, Metric] = {}
    for worker, content in metrics.items():
        for family in _decoder.decode(content):
            metric = merged.get(family.name)
            if metric is None:
                metric = merged[family.name] = Metric(family.name, family.text, family.kind, family.unit)
            for name, labels, value in family.samples:
                metric.add_sample(name, labels | {"worker": worker}, value)
    return list(merged.values())
