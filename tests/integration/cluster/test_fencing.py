"""A relay that was stopped or cut off publishes nothing once another one leads; and how a term begins."""

from __future__ import annotations

import asyncio
import signal
from itertools import groupby

import httpx
import msgspec
import pytest

from engine.cluster.election import LeadershipLostError
from engine.cluster.feed import ClusterFeed
from engine.cluster.identity import identity_of
from engine.cluster.messages import RECORD, pulse_of
from engine.cluster.nats_stream import connected
from engine.cluster.publisher import FencedError
from engine.cluster.settings import ClusterSettings
from engine.feed.decoders.frames import WalFrames
from engine.feed.settings import FeedSettings
from engine.postgres.reconnecting import Database
from engine.relay.messages import Part, Passed
from engine.relay.topic import Topics
from engine.transaction import Discontinuity, Progress
from server.cli.serving.local_nats import LocalNats
from tests.integration.cluster.conftest import Cluster, ids
from tests.integration.cluster.made_up_terms import content, publisher, publishing, server
from tests.support.postgres.sql import GIVE_UP_AFTER, until
from tests.support.servers.processes import ServerProcess


async def role(relay: ServerProcess, wanted: str) -> None:
    """Wait until the relay has this role, and streams if it leads."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        while True:
            try:
                body = (await relay.health())[1]
            except httpx.TransportError:
                body = {}
            if body.get("role") == wanted and (wanted == "standby" or body["feed"]["state"] == "streaming"):
                return
            await asyncio.sleep(0.05)


async def test_stopped_relay_gets_nothing_into_the_stream_once_another_one_leads(cluster: Cluster) -> None:
    await cluster.relay()
    first = await cluster.leading()
    second = await cluster.relay()
    node = await cluster.node()
    rows = await node.follow()
    cluster.insert(1)
    await rows.until(lambda: ids(rows) == [1])
    first.process.send_signal(signal.SIGSTOP)
    cluster.insert(*range(2, 50))  # wait in its socket, and are the first that it publishes when it goes on
    await role(second, "leader")
    cluster.insert(50)
    await rows.until(lambda: ids(rows) == [*range(1, 51)])
    first.process.send_signal(signal.SIGCONT)
    await role(first, "standby")
    await until(lambda: any('"relay_term_ended"' in line for line in first.lines))
    cluster.insert(51)
    await rows.until(lambda: ids(rows) == [*range(1, 52)])
    async with cluster.stream() as stream:
        messages = await content(stream)
    assert len([leader for leader, _ in groupby(messages, key=lambda each: each[1].leader)]) == 2
    assert not any('"relay_term_ended"' in line for line in second.lines)
    assert rows.resets == 1, "the first list alone"
    assert node.stream.interruptions == 0


async def test_relay_with_a_live_connection_is_fenced_by_the_first_message_of_another_one(nats: LocalNats) -> None:
    settings = ClusterSettings(urls=(nats.url,), slot="app", beat=60.0)
    old, new = publisher(settings, server()), publisher(settings, server())
    running = asyncio.create_task(old.run())
    await old.begin(500, server())
    await old.publish(Passed(500, 600), 600)
    await until(lambda: old.reached == 600)
    async with publishing(new, 500, server()):
        await until(lambda: not new.queue)
        await old.publish(Passed(600, 700), 700)
        with pytest.raises(FencedError):
            async with asyncio.timeout(GIVE_UP_AFTER):
                await running
    async with connected(settings, "a test") as stream:
        messages = await content(stream)
    assert len([leader for leader, _ in groupby(messages, key=lambda each: each[1].leader)]) == 2
    assert max(sent.position for _, sent in messages) == 600


@pytest.mark.parametrize("slot", [600, 900], ids=["the slot of before", "a slot that was made anew"])
async def test_term_begins_with_what_the_one_before_has_published_and_not_recorded(nats: LocalNats, slot: int) -> None:
    settings = ClusterSettings(urls=(nats.url,), slot="app", beat=60.0)
    before = publisher(settings, server())
    pulse = before._pulse()
    assert pulse is not None
    before._pulse = lambda: msgspec.structs.replace(pulse, recorded=600)

    async def commit(xid: int, previous: int, position: int, payload: bytes = b"", parts: int = 1) -> None:
        for part in range(parts):
            last = part == parts - 1
            frames = WalFrames(position - 10, position, xid, 0, part, not last, (), (payload,))
            await before.publish(Part(previous, frames), position, Topics(16384), first=not part, last=last)

    async with publishing(before, 500, server()):
        await commit(7, 500, 600)
        await commit(8, 600, 700, b"x" * 3_000_000)
        await commit(9, 700, 800, parts=3)
        await before.publish(Passed(800, 850), 850)
        await until(lambda: before.reached == 850)
    assert before.adopted is not None
    assert before.adopted.commits == {}
    async with publishing(publisher(settings, server()), slot, server()) as after:
        assert after.adopted is not None
        assert (after.adopted.recorded, after.adopted.commits) == (600, {8: 690, 9: 790})


async def test_relay_whose_stream_was_made_anew_by_another_one_is_fenced(nats: LocalNats) -> None:
    settings = ClusterSettings(urls=(nats.url,), slot="app")
    old = publisher(settings, server())
    async with publishing(old, 500, server()):
        await old.publish(Passed(500, 600), 600)
        await until(lambda: old.reached == 600)
    nats.kill()
    nats.wipe()
    nats.start()
    async with publishing(publisher(settings, server()), 600, server()) as new:
        await new.publish(Passed(600, 700), 700)
        await until(lambda: new.reached == 700)
        await old.publish(Passed(600, 650), 650)
        with pytest.raises(FencedError):
            async with asyncio.timeout(GIVE_UP_AFTER):
                await old.run()
    async with connected(settings, "a test") as stream:
        assert {sent.generation for _, sent in await content(stream)} == {new.generation}


async def test_relay_that_cannot_prove_that_it_leads_does_not_make_the_stream(nats: LocalNats) -> None:
    settings = ClusterSettings(urls=(nats.url,), slot="app")

    async def lost() -> None:
        raise LeadershipLostError("the session of the lock has ended")

    with pytest.raises(LeadershipLostError):
        async with publishing(publisher(settings, server(), leads=lost), 500, server()):
            pass
    async with connected(settings, "a test") as stream:
        assert await stream.state() is None


async def test_term_that_lost_its_connection_before_its_first_message_goes_on(nats: LocalNats) -> None:
    settings = ClusterSettings(urls=(nats.url,), slot="app")
    async with publishing(publisher(settings, server()), 500, server()) as before:
        await before.publish(Passed(500, 600), 600)
        await until(lambda: before.reached == 600)
    term = publisher(settings, server())
    term._pulse = lambda: None  # so nothing is published at its beginning
    async with publishing(term, 600, server()):
        assert term.generation == before.generation
    running = asyncio.create_task(term.run())
    await term.publish(Passed(600, 700), 700)
    await until(lambda: term.reached == 700 or running.done())
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})


async def test_signs_of_life_pass_under_a_load_that_never_ends(nats: LocalNats) -> None:
    settings = ClusterSettings(urls=(nats.url,), slot="app", beat=60.0)
    async with publishing(publisher(settings, server()), 500, server()) as term:
        await until(lambda: not term.queue)
        await term.publish(Passed(500, 600), 600)
        assert term.queue, "NATS had no time to acknowledge it"
        term.beat()
        term.beat()
        assert len(term.queue) == 2
        await until(lambda: not term.queue)
    async with connected(settings, "a test") as stream:
        assert [is_pulse for is_pulse, _ in await content(stream)] == [True, False, True]


async def test_sign_of_life_with_news_is_published_behind_one_that_waits_within_an_event_and_behind_it(
    nats: LocalNats,
) -> None:
    settings = ClusterSettings(urls=(nats.url,), slot="app", beat=60.0)
    async with publishing(publisher(settings, server()), 500, server()) as term:
        await until(lambda: not term.queue)
        await term.publish(Passed(500, 600), 600)
        pulse = term._pulse()
        assert pulse is not None
        for recorded in (510, 520, 520):
            term._pulse = lambda recorded=recorded: msgspec.structs.replace(pulse, recorded=recorded)  # type: ignore[misc]
            term.beat()
        await term.publish(Passed(600, 700), 700, last=False)
        term._pulse = lambda: msgspec.structs.replace(pulse, recorded=530)
        term.beat()
        await term.publish(Passed(600, 700), 700, first=False)
        await until(lambda: not term.queue)
    async with connected(settings, "a test") as stream:
        messages = await content(stream)
    assert [is_pulse for is_pulse, _ in messages] == [True, False, True, True, False, True, False, True]
    signs = [(pulse_of(sent).recorded, sent.last, sent.leads_to) for is_pulse, sent in messages if is_pulse]
    assert signs == [(0, True, 500), (510, True, 600), (520, True, 600), (530, False, 700), (530, True, 700)]


async def test_node_that_waits_for_the_recording_asks_for_it(nats: LocalNats) -> None:
    settings = ClusterSettings(urls=(nats.url,), slot="app", beat=60.0)
    asked = asyncio.Event()
    term = publisher(settings, server())
    term._recording = asked.set
    async with publishing(term, 500, server()), connected(settings, "a test") as stream, asyncio.timeout(GIVE_UP_AFTER):
        await stream.client.publish(settings.control, RECORD)
        await asked.wait()


async def test_stream_that_is_begun_anew_begins_with_a_sign_of_life(nats: LocalNats) -> None:
    settings = ClusterSettings(urls=(nats.url,), slot="app", beat=60.0)
    async with publishing(publisher(settings, server()), 500, server()) as term:
        term.start_over(800)
        await term.publish(Passed(800, 900), 900)
        await until(lambda: term.reached == 900)
    async with connected(settings, "a test") as stream:
        messages = await content(stream)
    assert [is_pulse for is_pulse, _ in messages[:2]] == [True, False]
    assert [(sent.generation, sent.previous) for _, sent in messages[:2]] == [(term.generation, 800)] * 2


async def test_node_notices_a_crash_of_the_server_between_two_terms(cluster: Cluster) -> None:
    async with Database(cluster.dsn, "a test") as database:
        ours = await identity_of(database)
    before = server()._replace(system=ours.system)
    restarted = before._replace(processes=before.processes._replace(pids=frozenset({2})))
    node = FeedSettings(slot_name=cluster.slot, node_id="n_1")
    term = publisher(cluster.settings, before, ours)
    async with publishing(term, 500, before), ClusterFeed(cluster.dsn, node, cluster.settings) as feed:
        async with asyncio.timeout(GIVE_UP_AFTER):
            await feed.streaming()
            await term.publish(Passed(500, 600), 600)
            assert await anext(feed) == Progress(600)
            feed.saw(650, before.timeline)  # what was committed, and was not on the disk
            await until(lambda: term.reached == 600)
            after = publisher(cluster.settings, restarted, ours)
            async with publishing(after, 600, restarted):
                event = await anext(feed)
                assert isinstance(event, Discontinuity)
                assert (event.missing, event.safe) == (False, 600)
