"""Settings of a cluster: how relays and nodes reach NATS."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from engine.cluster.settings import ClusterSettings

__all__ = ["NatsSettings"]

_ADDRESS: Final = re.compile(r"(nats|tls)://[^\s/]+", re.ASCII)
_NO_NAME: Final = re.compile(r"[^a-z0-9_]+")


class NatsSettings(BaseSettings):
    """A part of :class:`server.app.settings.Settings`."""

    nats_url: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="NATS servers of a cluster, nats://user:password@host:4222 or tls://...; empty: a slot of its own",
    )
    nats_ca: Path | None = Field(
        None, description="PEM file of the certificates that NATS servers are checked by; the system's without it"
    )
    nats_origin: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_-]{1,63}$",
        description="JetStream domain of the primary region, whose stream the NATS servers of a node's region mirror",
    )
    nats_replicas: int = Field(1, ge=1, le=5, description="NATS servers that keep the stream of the relay")
    nats_max_bytes: int = Field(
        1 << 30, ge=1 << 20, description="bytes of that stream; a node that is farther behind reads everything again"
    )
    relay_lease: float = Field(
        1.0, ge=0.5, le=60, description="seconds after which another relay takes the place of a silent one"
    )
    node_name: str | None = Field(
        None,
        pattern=r"^[a-z0-9_]{1,63}$",
        description="this node's or relay's name in a cluster; made of the machine's name and the port without it",
    )

    @field_validator("nats_url", mode="before")
    @classmethod
    def _split_addresses(cls, given: object) -> object:
        """In the environment a list is JSON, or simply separated by commas."""
        if not isinstance(given, str):
            return given
        return json.loads(given) if given.lstrip().startswith("[") else [each for each in given.split(",") if each]

    @field_validator("nats_url")
    @classmethod
    def _addresses(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(each.strip() for each in given)
        if not all(_ADDRESS.fullmatch(each) for each in found):
            raise ValueError("an address of NATS is nats://user:password@host:4222, or tls:// in front")
        return found

    def cluster_of(self, slot: str) -> ClusterSettings | None:
        """Of the cluster around ``slot``; None: there is none."""
        if not self.nats_url:
            return None
        return ClusterSettings(
            urls=self.nats_url,
            slot=slot,
            ca=self.nats_ca,
            origin=self.nats_origin,
            replicas=self.nats_replicas,
            max_bytes=self.nats_max_bytes,
            lease=self.relay_lease,
        )

    def name_in_cluster(self, slot: str, port: int) -> str:
        """Of this process among the nodes and relays of ``slot``."""
        if self.node_name is not None:
            return self.node_name
        machine = _NO_NAME.sub("_", socket.gethostname().lower()).strip("_")[:40]
        return f"{slot[:16]}_{machine}_{port}"
