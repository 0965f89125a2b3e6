"""The NATS servers of a cluster."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from server.cli.serving.local_nats import LocalNats
from tests.cluster.links import Links
from tests.support.ports import free_port

__all__ = ["NatsServers", "nats_names"]


def nats_names(count: int) -> list[str]:
    """Of the NATS servers."""
    return [f"nats{number}" for number in range(count)]


class NatsServers:
    """NATS servers: a cluster if they are several, whose connections to each other go over ``links``."""

    def __init__(self, folder: Path, count: int, links: Links) -> None:
        routes = [free_port() for _ in range(count)]
        self.names = nats_names(count)
        self._links = links
        self.all = []
        for name, route in zip(self.names, routes, strict=True):
            to_others = [
                f'"nats://{links.add(name, other, port, greets=True)}"'
                for other, port in zip(self.names, routes, strict=True)
                if other != name
            ]
            # Servers send each other the addresses of those they know: connections to them would bypass the links.
            port, host = free_port(), links.listens(name)
            cluster = (
                f'server_name: "{name}"\ncluster {{ name: c, listen: "{host}:{route}", advertise: "127.0.0.1:1", '
                f"no_advertise: true, routes: [{', '.join(to_others)}] }}\n"
            )
            more = f'listen: "{host}:{port}"\n' + (cluster if count > 1 else "")
            self.all.append(LocalNats(folder / name, port, more))

    @property
    def urls(self) -> tuple[str, ...]:
        """From here, without a link between."""
        near = [self._links.near(name) for name in self.names]
        return tuple(each.url.replace("127.0.0.1", address) for each, address in zip(self.all, near, strict=True))

    async def start(self, *servers: LocalNats) -> None:
        """Start those, or all."""
        names = {id(each): name for each, name in zip(self.all, self.names, strict=True)}
        await asyncio.gather(
            *(asyncio.to_thread(self._links.inside, names[id(each)], each.start) for each in servers or self.all)
        )

    def kill(self, *servers: LocalNats, wipe: bool = False) -> None:
        """End those, or all, at once. ``wipe``: remove what they have stored."""
        for each in servers or self.all:
            if each.process is not None:
                each.process.send_signal(signal.SIGCONT)
            each.kill()
            if wipe:
                each.wipe()
