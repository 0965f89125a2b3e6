"""Relays, nodes and NATS servers are killed, stopped and lose what they have stored, or single messages of it.

Votes are among what a NATS server of a cluster has stored. Raft, and so NATS, survives the loss of fewer than half of the
stores, or of all; after that of two of three the servers do not agree any more, whatever time they have. So while one has
not got back what it lost, no other one loses its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from tests.cluster.parts import Server
from tests.faults.schedule import Fault, Schedule

__all__ = ["PROCESS_FAULTS"]

_FILLS = 20.0  # seconds


async def _kill(run: Schedule, server: Server) -> None:
    if run.free(server):
        with run.using(server):
            run.note(f"kill -9 {server.name}")
            await server.kill()
            await run.pause(3.0)
            await server.start()
            run.note(f"start {server.name}")


async def _stop(run: Schedule, server: Server) -> None:
    if run.free(server):
        with run.using(server):
            run.note(f"SIGSTOP {server.name}")
            server.pause()
            await run.pause(8.0)
            server.go_on()
            run.note(f"SIGCONT {server.name}")


async def _relay(run: Schedule) -> Server:
    return await run.parts.leader() or run.chance.choice(run.parts.relays)


async def kill_relay(run: Schedule) -> None:
    """The leading relay is killed."""
    await _kill(run, await _relay(run))


async def stop_relay(run: Schedule) -> None:
    """The leading relay is stopped, and goes on."""
    await _stop(run, await _relay(run))


async def kill_node(run: Schedule) -> None:
    """A node is killed."""
    await _kill(run, run.chance.choice(run.parts.nodes))


async def stop_node(run: Schedule) -> None:
    """A node is stopped, and goes on."""
    await _stop(run, run.chance.choice(run.parts.nodes))


async def _nats(run: Schedule, count: int, *, wipe: bool) -> None:
    servers = run.chance.sample(run.parts.nats.all, count)
    busy = run.parts.nats.all if wipe else servers
    if run.free(*busy):
        with run.using(*busy):
            run.note(f"kill -9 of {count} NATS servers{', wiped' if wipe else ''}")
            run.parts.nats.kill(*servers, wipe=wipe)
            await run.pause(3.0)
            await run.parts.nats.start(*servers)
            run.note(f"start of {count} NATS servers")
            if wipe:
                await _filled(run)


async def _filled(run: Schedule) -> None:
    """Wait until all NATS servers have the stream; not for ever, since no relay need run."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FILLS):
            while not await run.parts.all_have_the_stream():  # noqa: ASYNC110 - other processes are waited for
                await asyncio.sleep(0.5)


async def kill_nats(run: Schedule) -> None:
    """A NATS server is killed."""
    await _nats(run, 1, wipe=False)


async def wipe_nats(run: Schedule) -> None:
    """A NATS server loses its store."""
    await _nats(run, 1, wipe=True)


async def kill_all_nats(run: Schedule) -> None:
    """All NATS servers are killed, and perhaps wiped."""
    await _nats(run, len(run.parts.nats.all), wipe=run.chance.random() < 0.5)


async def stop_nats(run: Schedule) -> None:
    """A NATS server is stopped, and goes on."""
    server = run.chance.choice(run.parts.nats.all)
    if run.free(server) and server.process is not None:
        with run.using(server):
            run.note("SIGSTOP of a NATS server")
            server.process.send_signal(signal.SIGSTOP)
            await run.pause(8.0)
            server.process.send_signal(signal.SIGCONT)
            run.note("SIGCONT of a NATS server")


async def truncate_nats(run: Schedule) -> None:
    """A NATS server is killed, and the file that it has written last ends before what was written."""
    server = run.chance.choice(run.parts.nats.all)
    if run.free(*run.parts.nats.all):
        with run.using(*run.parts.nats.all):
            run.parts.nats.kill(server)
            blocks = sorted(server.store.rglob("*.blk"), key=lambda path: path.stat().st_mtime)
            size = blocks[-1].stat().st_size if blocks else 0
            keep = run.chance.randrange(size + 1)
            if blocks:
                os.truncate(blocks[-1], keep)
            run.note(f"kill -9 of a NATS server, {keep} of {size} bytes of its last file are left")
            await run.pause(3.0)
            await run.parts.nats.start(server)
            run.note("start of a NATS server")
            await _filled(run)


async def lose_messages(run: Schedule) -> None:
    """The stream loses some messages before a node has them, of which others follow at once where there are such."""
    links = run.parts.links.between([each.name for each in run.parts.nodes], run.parts.nats.names)
    if run.free(*links, *run.parts.nats.all):
        with run.using(*links, *run.parts.nats.all):
            for link in links:  # cut: what NATS has sent into a link that is held would come
                link.sever()
            await run.pause(2.0)
            lost = await run.parts.lose(run.chance)
            run.note(f"the stream loses {lost}")
            for link in links:
                link.heal()


PROCESS_FAULTS: dict[str, Fault] = {
    each.__name__: each
    for each in (
        kill_relay,
        stop_relay,
        kill_node,
        stop_node,
        kill_nats,
        wipe_nats,
        kill_all_nats,
        stop_nats,
        truncate_nats,
        lose_messages,
    )
}
"""By name."""
