"""What a NATS server is configured for: addresses, files and passwords; and the text of its configuration.

Rules: docs.nats.io, "NATS Server Configuration" (TLS, authorization, accounts, clustering, leaf nodes, monitoring), and
"JetStream API" for the subjects of requests.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.cluster.settings import ClusterSettings

__all__ = ["Files", "Ports", "ServerPlan", "Users", "address_in_url"]

_REPLIES: Final = "_INBOX.>"
_RELAY: Final = (  # requests about the one stream
    "$JS.API.STREAM.CREATE.{stream}",
    "$JS.API.STREAM.UPDATE.{stream}",
    "$JS.API.STREAM.INFO.{stream}",
    "$JS.API.STREAM.PURGE.{stream}",
    "$JS.API.STREAM.DELETE.{stream}",
    "$JS.API.STREAM.MSG.GET.{stream}",
)
_NODE: Final = (
    "$JS.API.STREAM.INFO.{stream}",
    "$JS.API.STREAM.MSG.GET.{stream}",
    "$JS.API.DIRECT.GET.{stream}",
    "$JS.API.DIRECT.GET.{stream}.>",
    "$JS.API.CONSUMER.CREATE.{stream}",
    "$JS.API.CONSUMER.CREATE.{stream}.>",
    "$JS.API.CONSUMER.INFO.{stream}.*",
    "$JS.API.CONSUMER.DELETE.{stream}.*",
    "$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
)


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports of the listeners; ``leaf`` and ``monitoring`` None: there is no such listener."""

    client: int = 4222
    cluster: int = 6222
    leaf: int | None = None
    monitoring: int | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """Of one server, as its own machine has them."""

    certificate: Path
    key: Path
    ca: Path
    store: Path


def _password() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True)
class Users:
    """The passwords of one slot's relay and nodes, whose names are ``relay`` and ``node`` and the slot's.

    The rights of both end at the slot's stream and subjects. Each slot has an account of NATS of its own besides, so that
    nothing of another slot can be seen, answers in ``_INBOX`` included.
    """

    slot: str
    relay: str = field(default_factory=_password, repr=False)
    node: str = field(default_factory=_password, repr=False)

    def account(self) -> str:
        """The account in the configuration."""
        names = ClusterSettings(urls=(), slot=self.slot)
        rights = {
            "relay": ([f"{names.prefix}.>", *_of(_RELAY, names.stream)], [names.control, _REPLIES]),
            "node": ([names.control, *_of(_NODE, names.stream)], [_REPLIES]),
        }
        users = "\n".join(
            f'      {{ user: "{part}_{self.slot}", password: "{password}", permissions: {{\n'
            f"        publish: {{ allow: {json.dumps(publish)} }}\n"
            f"        subscribe: {{ allow: {json.dumps(subscribe)} }}\n"
            "      } }"
            for part, password in (("relay", self.relay), ("node", self.node))
            for publish, subscribe in (rights[part],)
        )
        return f"  {names.stream} {{\n    jetstream: enabled\n    users: [\n{users}\n    ]\n  }}\n"

    def credentials(self) -> Mapping[str, str]:
        """Name and password as an URL has them, by the part that uses them."""
        return {"relay": f"relay_{self.slot}:{self.relay}", "node": f"node_{self.slot}:{self.node}"}


def _of(subjects: tuple[str, ...], stream: str) -> list[str]:
    return [each.format(stream=stream) for each in subjects]


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """One server. ``host``: by which clients and the other ``servers`` reach it; it listens on that alone if it is an
    address, else on all addresses of its machine.
    """

    host: str
    servers: tuple[str, ...]
    ports: Ports
    files: Files
    users: tuple[Users, ...]
    routes: str = field(repr=False)
    """Name and password by which the servers know one another."""

    def text(self) -> str:
        """The configuration. It has passwords."""
        at = self.host if _is_address(self.host) else "0.0.0.0"
        name = self.host.replace(":", "-")
        parts = [
            "# Written by `realtime nats-config`. It has passwords: keep it readable for NATS alone.\n",
            f"server_name: {json.dumps(name)}\nlisten: {_listen(at, self.ports.client)}\n",
            self._tls("tls", verify=False),
            f"jetstream {{ store_dir: {json.dumps(str(self.files.store))} }}\n",
            "# A slot each. A client that names no user is refused.\n"
            f"accounts {{\n{''.join(each.account() for each in self.users)}}}\n",
        ]
        if len(self.servers) > 1:
            user, _, password = self.routes.partition(":")
            others = [each for each in self.servers if each != self.host]
            routes = [f"tls://{self.routes}@{address_in_url(each)}:{self.ports.cluster}" for each in others]
            parts.append(
                f"cluster {{\n  name: realtime\n  listen: {_listen(at, self.ports.cluster)}\n"
                f"  authorization {{ user: {json.dumps(user)}, password: {json.dumps(password)} }}\n"
                f"{self._tls('  tls', verify=True)}  routes: {json.dumps(routes)}\n}}\n"
            )
        if self.ports.leaf is not None:
            parts.append(
                "# Leaf nodes log in as the users above, with their rights.\n"
                f"leafnodes {{\n  listen: {_listen(at, self.ports.leaf)}\n{self._tls('  tls', verify=False)}}}\n"
            )
        if self.ports.monitoring is not None:
            inside = at if _is_address(at) and ipaddress.ip_address(at).is_loopback else "127.0.0.1"
            parts.append(
                "# NATS asks no one for a password here, so it is for programs of this machine.\n"
                f"https: {_listen(inside, self.ports.monitoring)}\n"
            )
        return "\n".join(parts)

    def _tls(self, name: str, *, verify: bool) -> str:
        files = self.files
        text = f"{name} {{ cert_file: {json.dumps(str(files.certificate))}, key_file: {json.dumps(str(files.key))}"
        checked = f", ca_file: {json.dumps(str(files.ca))}, verify: true" if verify else ""
        return f'{text}{checked}, min_version: "1.2" }}\n'


def address_in_url(host: str) -> str:
    """``host`` in brackets if it is an IPv6 address."""
    return f"[{host}]" if ":" in host else host


def _listen(address: str, port: int) -> str:
    return json.dumps(f"{address_in_url(address)}:{port}")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
