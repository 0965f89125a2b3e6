"""No input a client can send may look like a failure of the server: not to the client, not in the log, not to others.

``--fuzz-minutes N`` goes on for N minutes instead of some seconds.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.fuzz.hostile import frames, messages, packed_messages
from tests.fuzz.hostile_http import addresses, bodies, headers, last_ids, paths, polls, raw_bodies, rest_requests
from tests.fuzz.substitution import ADDRESSES, MESSAGES, REST, VALUES_OF_COLUMNS, substituted, texts_of
from tests.fuzz.world import ITEMS, World

# Hypothesis describes inputs by their strategies, and warns where that makes a long text.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")


@dataclass
class Fuzzer:
    """Runs a property in the loop of its world."""

    runner: asyncio.Runner
    world: World
    minutes: float

    def holds(
        self, examples: int, inputs: st.SearchStrategy[Any], tried: Callable[[Any], Coroutine[Any, Any, None]]
    ) -> None:
        """The property holds for so many ``inputs``, always the same ones, and then for others as long as there is time."""

        async def attempt(given_input: object) -> None:
            await tried(given_input)
            await self.world.check()

        def whole(given_input: object) -> None:
            self.runner.run(attempt(given_input))

        usual = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        usual(given(inputs)(whole))()
        end = time.monotonic() + 60 * self.minutes
        for number in itertools.count(random.randrange(10**9)):  # Hypothesis prints the one that fails
            if time.monotonic() >= end:
                return
            seed(number)(settings(usual, max_examples=500, derandomize=False)(given(inputs)(whole)))()


@pytest.fixture(scope="module")
def fuzzer(pg18: LocalPostgres, fuzz_minutes: float) -> Iterator[Fuzzer]:
    with database_on(pg18, ITEMS) as dsn, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            world = runner.run(World.open(dsn, stack))
            yield Fuzzer(runner, world, fuzz_minutes / 8)
        finally:
            runner.run(stack.aclose())
        world.check_log()  # the server has ended: nothing more comes


@pytest.mark.long
def test_every_part_of_every_message_can_be_anything(fuzzer: Fuzzer) -> None:
    async def each() -> None:
        tried: set[str] = set()
        for base, path in (*((message, None) for message in MESSAGES), *VALUES_OF_COLUMNS):
            messages = [message for message in substituted(base, path) if message not in tried]
            await fuzzer.world.try_messages(messages)
            tried.update(messages)
            await fuzzer.world.check()

    fuzzer.runner.run(each())


def test_every_part_of_every_rest_request_can_be_anything(fuzzer: Fuzzer) -> None:
    async def each() -> None:
        for method, path, base in REST:
            for body in substituted(base):
                await fuzzer.world.post(f"/realtime/{path}", body.encode(), method)
            await fuzzer.world.check()

    fuzzer.runner.run(each())


@pytest.mark.long
def test_every_parameter_of_a_connection_can_be_anything(fuzzer: Fuzzer) -> None:
    """Of a message in the address its fields: what they contain is read as in messages of a WebSocket."""

    async def each() -> None:
        for name, base in ADDRESSES:
            for text in texts_of(substituted(base, depth=1)):
                others = "" if name == "channel" else "&channel=presence:1"
                await fuzzer.world.try_stream(f"{name}={text}{others}", "")
            await fuzzer.world.check()

    fuzzer.runner.run(each())


def test_every_message_is_answered_once_and_never_as_a_failure(fuzzer: Fuzzer) -> None:
    fuzzer.holds(80, st.lists(messages, min_size=1, max_size=6), fuzzer.world.try_messages)


def test_every_messagepack_message_is_answered_once_and_never_as_a_failure(fuzzer: Fuzzer) -> None:
    fuzzer.holds(40, st.lists(packed_messages, min_size=1, max_size=6), fuzzer.world.try_messages)


def test_every_address_of_a_stream_is_refused_or_answered_in_full(fuzzer: Fuzzer) -> None:
    async def tried(asked: tuple[str, str]) -> None:
        await fuzzer.world.try_stream(*asked)

    fuzzer.holds(40, st.tuples(addresses, last_ids), tried)


def test_every_request_of_a_polling_client_is_answered_and_never_as_a_failure(fuzzer: Fuzzer) -> None:
    world = fuzzer.world
    session = fuzzer.runner.run(world.poll_session())
    sent = st.one_of(
        polls(session).map(lambda body: ("POST", "/realtime/poll", body)),
        bodies(session).map(lambda body: ("POST", "/realtime/send", body)),
        st.tuples(addresses, st.just("{}")).map(lambda parts: ("POST", f"/realtime/poll?{parts[0]}", parts[1])),
    )

    async def tried(asked: tuple[str, str, str]) -> None:
        method, path, body = asked
        await world.post(path, body.encode(errors="surrogatepass"), method)

    fuzzer.holds(60, sent, tried)


def test_every_rest_request_is_answered_and_never_as_a_failure(fuzzer: Fuzzer) -> None:
    async def tried(asked: tuple[str, str, bytes]) -> None:
        method, path, body = asked
        await fuzzer.world.post(path, body, method)

    fuzzer.holds(100, rest_requests(), tried)


def test_every_path_is_answered_and_never_as_a_failure(fuzzer: Fuzzer) -> None:
    async def tried(path: str) -> None:
        await fuzzer.world.post(path, b"", "GET")

    fuzzer.holds(30, paths, tried)


def test_frames_of_either_kind_are_answered_once_and_never_as_a_failure(fuzzer: Fuzzer) -> None:
    async def tried(sent: tuple[list[str | bytes], bool]) -> None:
        await fuzzer.world.try_frames(sent[0], packed=sent[1])

    fuzzer.holds(40, st.tuples(st.lists(frames, min_size=1, max_size=6), st.booleans()), tried)


def test_any_headers_and_bodies_are_answered_and_never_as_a_failure(fuzzer: Fuzzer) -> None:
    world = fuzzer.world
    paths = ("channels/chat:1/broadcast", "channels", "broadcast", "poll", "send", "sse/session")

    async def tried(sent: tuple[str, list[tuple[str, str]], bytes]) -> None:
        path, lines, body = sent
        await world.post(f"/realtime/{path}", body, "POST", lines)
        await world.try_upgrade(lines)

    fuzzer.holds(60, st.tuples(st.sampled_from(paths), headers, raw_bodies), tried)
