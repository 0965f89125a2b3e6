"""``realtime doctor``: the NATS servers of a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from engine.cluster.identity import DatabaseIdentity, OtherDatabaseError, check_same
from engine.cluster.messages import ClusterProtocolError, pulse_of
from engine.cluster.settings import ClusterSettings
from server.app.settings import Settings
from server.cli.doctor.finding import Finding
from server.cli.doctor.nats_listeners import listener_findings

if TYPE_CHECKING:
    from engine.cluster.nats_stream import StreamState

__all__ = ["nats_findings"]

_START: Final = "Start a node of this region; nodes make the mirror, and look after it."


def nats_findings(settings: Settings, ours: DatabaseIdentity) -> Iterator[Finding]:
    """Each server: reached, with authentication and TLS; and the stream of the relay, which has to be of the database
    ``ours``.
    """
    cluster = settings.cluster
    if cluster is None:
        return
    for url in cluster.urls:
        yield from asyncio.run(_examine(replace(cluster, urls=(url,)), ours))


async def _examine(cluster: ClusterSettings, ours: DatabaseIdentity) -> list[Finding]:
    from engine.cluster.mirror import Mirror  # here and not above: NATS' client is loaded in a cluster only
    from engine.cluster.nats_stream import (
        NatsFailedError,
        connected,
        without_password,
    )

    shown = without_password(cluster.urls[0])
    name = f"NATS at {shown}"
    found = []
    try:
        async with connected(cluster, "realtime doctor") as stream:
            if await _lets_in_anyone(replace(cluster, urls=(shown,))):
                remedy = "Give it users with passwords (authorization in its configuration), and name one in nats_url."
                found.append(Finding("problem", f"{name} lets in anyone, who may then read every row", remedy))
            elif await stream.sees_everything():
                remedy = "Limit its rights to the stream and subjects of the slot; `realtime nats-config` writes that."
                found.append(Finding("warn", f"{name} lets the user of nats_url read all subjects", remedy))
            if not stream.encrypted:
                remedy = "Add tls to its configuration; use tls:// in nats_url."
                found.append(Finding("warn", f"{name} does not speak TLS", remedy))
            found += await listener_findings(name, urlsplit(shown).hostname or "")
            if cluster.origin is not None and (problem := await Mirror(stream, cluster).problem()):
                return [*found, Finding("warn", f"{name}, mirror of {cluster.stream}: {problem}", _START)]
            state = await stream.state()
            pulse = None if state is None else await stream.last_pulse()
            if pulse is not None:
                check_same(cluster, pulse_of(pulse), ours)
    except OtherDatabaseError as error:
        return [*found, Finding("problem", f"{name}: {error.what}", f"{error.remedy[0].upper()}{error.remedy[1:]}.")]
    except ClusterProtocolError as error:
        return [*found, Finding("problem", f"{name}: {error}", "Let relays, nodes and this command be of one version.")]
    except NatsFailedError as error:
        return [*found, Finding("problem", f"{name}: {error}", "Start it with JetStream, and correct nats_url.")]
    return [*found, _of_stream(name, cluster, state)]


def _of_stream(name: str, cluster: ClusterSettings, state: StreamState | None) -> Finding:
    if state is None:
        return Finding("warn", f"{name} has no stream {cluster.stream}", "Start `realtime relay`, which makes it.")
    if state.replicas < cluster.replicas and cluster.origin is None:
        text = f"{name}: {state.replicas} of {cluster.replicas} NATS servers (nats_replicas) have the stream"
        return Finding("warn", text, "Let all NATS servers run; the leading relay then adds them to it.")
    return Finding("ok", f"{name} has the stream {cluster.stream} with {state.messages} messages")


async def _lets_in_anyone(anonymous: ClusterSettings) -> bool:
    """Tried, because a server with a ``no_auth_user`` asks for a password all the same."""
    from engine.cluster.nats_stream import NatsFailedError, connected  # as above

    try:
        async with connected(anonymous, "realtime doctor"):
            return True
    except NatsFailedError:
        return False
