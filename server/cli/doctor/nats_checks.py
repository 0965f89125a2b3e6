"""``realtime doctor``: the NATS servers of a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from engine.cluster.settings import ClusterSettings
from server.app.settings import Settings
from server.cli.doctor.finding import Finding

__all__ = ["nats_findings"]


def nats_findings(settings: Settings) -> Iterator[Finding]:
    """Each server: reached, with authentication and TLS; and the stream of the relay."""
    cluster = settings.cluster
    if cluster is None:
        return
    for url in cluster.urls:
        yield from asyncio.run(_examine(replace(cluster, urls=(url,))))


async def _examine(cluster: ClusterSettings) -> list[Finding]:
    from engine.cluster.nats_stream import (  # here and not above: NATS' client is loaded in a cluster only
        NatsFailedError,
        connected,
        without_password,
    )

    name = f"NATS at {without_password(cluster.urls[0])}"
    found = []
    try:
        async with connected(cluster, "realtime doctor") as stream:
            if not stream.authenticates:
                remedy = "Give it users with passwords (authorization in its configuration), and name one in nats_url."
                found.append(Finding("problem", f"{name} lets in anyone, who may then read every row", remedy))
            if not stream.encrypted:
                found.append(
                    Finding(
                        "warn", f"{name} does not speak TLS", "Add tls to its configuration; use tls:// in nats_url."
                    )
                )
            state = await stream.state()
    except NatsFailedError as error:
        return [*found, Finding("problem", f"{name}: {error}", "Start it with JetStream, and correct nats_url.")]
    if state is None:
        return [
            *found,
            Finding("warn", f"{name} has no stream {cluster.stream}", "Start `realtime relay`, which makes it."),
        ]
    return [*found, Finding("ok", f"{name} has the stream {cluster.stream} with {state.messages} messages")]
