"""The metrics of a machine: those of each worker, with its number as the label ``worker``, and those of its relay.

The relay leaves its process id in a file, and the worker that is scraped reads of that process what Linux has of any:
processor time, memory, open files. What only the relay knows is its place in the stream of a cluster: it writes that to
whatever connects to a socket of its own (:func:`showing`), and nothing else comes over it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import Metric

__all__ = ["RelayFigures", "of_process", "of_workers", "packed", "showing", "shown_by"]


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


class RelayFigures(msgspec.Struct, array_like=True):
    """What a relay shows: its metrics, as ``packed`` gives them, and the part of ``/health`` that is about the cluster."""

    metrics: bytes
    status: dict[str, Any]


_figures = msgspec.msgpack.Decoder(RelayFigures)


@asynccontextmanager
async def showing(path: Path, figures: Callable[[], RelayFigures]) -> AsyncIterator[None]:
    """Write ``figures`` to each connection at the socket ``path``. One that a former relay left is replaced."""

    async def write(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(msgspec.msgpack.encode(figures()))
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(write, path)
    try:
        yield
    finally:
        server.close()


async def shown_by(path: Path, timeout: float) -> RelayFigures | None:
    """What is shown at the socket ``path``; None: nothing within ``timeout`` seconds, as there is no relay, or it hangs."""
    writer = None
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(path)
            return _figures.decode(await reader.read())
    except (OSError, TimeoutError, msgspec.DecodeError):  # it has ended, perhaps while it wrote
        return None
    finally:
        if writer is not None:
            writer.transport.abort()


def of_workers(metrics: Iterable[tuple[str, bytes]]) -> list[Metric]:
    """One family of each name; ``metrics``: what ``packed`` gave, each with the value of the label."""
    merged: dict[str, Metric] = {}
    for worker, content in metrics:
        for family in _decoder.decode(content):
            metric = merged.get(family.name)
            if metric is None:
                metric = merged[family.name] = Metric(family.name, family.text, family.kind, family.unit)
            for name, labels, value in family.samples:
                metric.add_sample(name, labels | {"worker": worker}, value)
    return list(merged.values())
