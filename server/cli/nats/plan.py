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

__all__ = ["PRIMARY", "Files", "Ports", "Remote", "ServerPlan", "Users", "address_in_url"]

PRIMARY: Final = "primary"
"""The JetStream domain of the servers to which relays publish. Those of another region have its name."""

_REPLIES: Final = "_INBOX.>"
_SERVER_REPLIES: Final = "$JSC.R.>"  # to servers that make the consumer of a mirror
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
_MIRROR: Final = (  # of nodes in another region, beside those of nodes
    "$JS.API.STREAM.CREATE.{stream}",
    "$JS.API.STREAM.DELETE.{stream}",
    f"$JS.{PRIMARY}.API.STREAM.INFO.{{stream}}",
)
_LEAF: Final = (  # of the servers of another region, at those of the primary one
    f"$JS.{PRIMARY}.API.STREAM.INFO.{{stream}}",
    f"$JS.{PRIMARY}.API.CONSUMER.CREATE.{{stream}}",
    f"$JS.{PRIMARY}.API.CONSUMER.CREATE.{{stream}}.>",
    "$JS.FC.>",  # flow control, in this account
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
    """The passwords of one slot's relay, nodes and leaf nodes: ``relay_SLOT``, ``node_SLOT`` and ``leaf_SLOT``.

    The rights of all end at the slot's stream and subjects. Each slot has an account of NATS of its own besides, so that
    nothing of another slot can be seen, answers in ``_INBOX`` included.
    """

    slot: str
    relay: str = field(default_factory=_password, repr=False)
    node: str = field(default_factory=_password, repr=False)
    leaf: str = field(default_factory=_password, repr=False)

    def account(self, *parts: str) -> str:
        """The account in the configuration, with the users of ``parts``: keys of :meth:`rights`."""
        users = "\n".join(
            f'      {{ user: "{user}_{self.slot}", password: "{getattr(self, user)}", '
            f"allowed_connection_types: [{'LEAFNODE' if user == 'leaf' else 'STANDARD'}], permissions: {{\n"
            f"        publish: {{ allow: {json.dumps(publish)} }}\n"
            f"        subscribe: {{ allow: {json.dumps(subscribe)} }}\n"
            "      } }"
            for part in parts
            for user, publish, subscribe in (self.rights()[part],)
        )
        return f"  {self._names.stream} {{\n    jetstream: enabled\n    users: [\n{users}\n    ]\n  }}\n"

    def rights(self) -> Mapping[str, tuple[str, list[str], list[str]]]:
        """The user, and subjects that it may publish and subscribe. ``mirror``: the nodes of another region."""
        names = self._names
        node = [names.control, *_of(_NODE, names.stream)]
        return {
            "relay": ("relay", [f"{names.prefix}.>", *_of(_RELAY, names.stream)], [names.control, _REPLIES]),
            "node": ("node", node, [_REPLIES]),
            "mirror": ("node", [*node, *_of(_MIRROR, names.stream)], [_REPLIES]),
            "leaf": (
                "leaf",
                [names.control, *_of(_LEAF, names.stream)],
                [_REPLIES, _SERVER_REPLIES, f"{names.crossing}.>"],
            ),
        }

    @property
    def _names(self) -> ClusterSettings:
        return ClusterSettings(urls=(), slot=self.slot)

    def credentials(self, part: str) -> str:
        """Name and password as an URL has them, of ``relay``, ``node`` or ``leaf``."""
        return f"{part}_{self.slot}:{getattr(self, part)}"


@dataclass(frozen=True, slots=True)
class Remote:
    """How the servers of another region reach those of the primary one, for one slot.

    ``urls``: of the listeners for leaf nodes, with the password; ``ca``: of their certificates.
    """

    slot: str
    urls: tuple[str, ...] = field(repr=False)
    ca: str

    def text(self) -> str:
        """Of the configuration."""
        account = ClusterSettings(urls=(), slot=self.slot).stream
        return (
            f"    {{ account: {account}, urls: {json.dumps(self.urls)}\n"
            f'      tls {{ ca_file: {json.dumps(self.ca)}, min_version: "1.2" }} }}\n'
        )


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
    region: str | None = None
    """Another region than the primary one: its name, and ``remotes``, by which it reaches that."""
    remotes: tuple[Remote, ...] = ()

    def text(self) -> str:
        """The configuration. It has passwords."""
        at = self.host if _is_address(self.host) else "0.0.0.0"
        name = self.host.replace(":", "-")
        parts = [
            "# Written by `realtime nats-config`. It has passwords: keep it readable for NATS alone.\n",
            f"server_name: {json.dumps(name)}\nlisten: {_listen(at, self.ports.client)}\n",
            self._tls("tls", verify=False),
            f"jetstream {{ store_dir: {json.dumps(str(self.files.store))}, domain: {self.region or PRIMARY} }}\n",
            "# A slot each. A client that names no user is refused.\n"
            f"accounts {{\n{''.join(each.account(*self._parts) for each in self.users)}}}\n",
        ]
        if len(self.servers) > 1:
            user, _, password = self.routes.partition(":")
            others = [each for each in self.servers if each != self.host]
            routes = [f"tls://{self.routes}@{address_in_url(each)}:{self.ports.cluster}" for each in others]
            parts.append(
                f"cluster {{\n  name: {self._name}\n  listen: {_listen(at, self.ports.cluster)}\n"
                f"  authorization {{ user: {json.dumps(user)}, password: {json.dumps(password)} }}\n"
                f"{self._tls('  tls', verify=True)}  routes: {json.dumps(routes)}\n}}\n"
            )
        if self.ports.leaf is not None:
            parts.append(
                "# The servers of other regions log in as the users leaf_SLOT, with their rights.\n"
                "# They know the addresses of all servers, and those that a server sees may be of a network of its own.\n"
                f"leafnodes {{\n  listen: {_listen(at, self.ports.leaf)}\n  no_advertise: true\n"
                f"{self._tls('  tls', verify=False)}}}\n"
            )
        if self.remotes:
            remotes = "".join(each.text() for each in self.remotes)
            parts.append(f"leafnodes {{\n  reconnect: 1\n  remotes: [\n{remotes}  ]\n}}\n")
        if self.ports.monitoring is not None:
            inside = at if _is_address(at) and ipaddress.ip_address(at).is_loopback else "127.0.0.1"
            parts.append(
                "# NATS asks no one for a password here, so it is for programs of this machine.\n"
                f"https: {_listen(inside, self.ports.monitoring)}\n"
            )
        return "\n".join(parts)

    @property
    def _name(self) -> str:
        """Of the cluster. Servers that are joined as leaf nodes must be of clusters with different names."""
        return "realtime" if self.region is None else f"realtime_{self.region}"

    @property
    def _parts(self) -> tuple[str, ...]:
        if self.region is not None:
            return ("mirror",)
        return ("relay", "node") if self.ports.leaf is None else ("relay", "node", "leaf")

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
