"""Pages of the past have every message that a subscriber wants, each once, whatever is recorded when they are read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.messages.decode import DecodedTransaction, MessageRow
from engine.channels.core.messages.model import ChannelOptions, Member, OlderMessages, Position, parse_position
from engine.channels.core.settings import ChannelSettings
from engine.channels.core.unrecorded import UnrecordedMessages
from engine.channels.history.older import MAX_PAGE, OlderPages
from engine.channels.history.reader import HistoryPage
from engine.postgres.snapshot import Snapshot
from tests.support.fakes.receivers import Calling, NoChannels

SHOWN = Snapshot(1_000_000, 1_000_000, frozenset())


def row(number: int, event: str = "e", size: int = 0, audience: bytes | None = None) -> MessageRow:
    payload = b'{"n":%d,"pad":"%b"}' % (number, b"x" * size)
    return MessageRow(number * 256, number, "c", event, payload, None, None, str(number), audience, 0, "2026-01-25")


@dataclass
class FakePast:
    """The core, the recovery and the reader of a node: messages in the tables (``rows``), and those that are unrecorded."""

    rows: list[MessageRow] = field(default_factory=list)
    position: int = 1 << 40
    unrecorded: UnrecordedMessages = field(default_factory=UnrecordedMessages)
    generation: int = 0
    reads: list[tuple[int, Position]] = field(default_factory=list)
    reached: list[Position | None] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    on_read: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        self.gate.set()

    async def loaded(self) -> None:
        """It always is."""

    async def reach(self, since: Position | None) -> None:
        self.reached.append(since)

    async def last(self, channel: str, count: int, before: Position, size: int) -> HistoryPage:
        assert channel == "c"
        self.reads.append((count, before))
        await self.gate.wait()
        self.on_read()
        found: list[MessageRow] = []
        for each in reversed(self.rows):
            if (each.lsn, each.seq) < before and len(found) < count:
                found.insert(0, each)
                if sum(len(one.payload) for one in found) > size:
                    return HistoryPage(SHOWN, found, more=True)
        return HistoryPage(SHOWN, found)

    def not_recorded(self, *rows: MessageRow) -> None:
        for each in rows:
            decoded = DecodedTransaction(each.lsn, each.lsn + 8, 0, each.seq, [each], full_xid=each.seq)
            self.unrecorded.append(decoded)

    def pages(self, **settings: Any) -> OlderPages:
        whole = cast("Any", self)
        return OlderPages(whole, whole, whole, ChannelSettings(node_id="n", **settings))


def subscription(user: str | None = None, **options: Any) -> Subscription:
    return Subscription(
        "c", ChannelOptions(**options), Member("m", user), Calling(lambda _: None), cast("Any", NoChannels())
    )


def numbers(page: OlderMessages) -> list[int]:
    return [event.key[1] for event in page.messages if event.key is not None]


async def all_pages(pages: OlderPages, wanting: Subscription, limit: int) -> list[list[int]]:
    found, before = [], None
    while True:
        page = await pages.read(wanting, before, limit)
        found.append(numbers(page))
        if page.before is None:
            return found
        before = parse_position(page.before)


async def test_pages_go_back_to_the_beginning_oldest_first() -> None:
    past = FakePast([row(n) for n in range(1, 8)])
    pages = past.pages()
    assert await all_pages(pages, subscription(), 3) == [[5, 6, 7], [2, 3, 4], [1]]
    assert past.reads[0] == (4, Position(past.position))
    assert await all_pages(pages, subscription(), 7) == [[1, 2, 3, 4, 5, 6, 7]]
    assert await all_pages(FakePast().pages(), subscription(), 7) == [[]]


async def test_a_position_of_a_transaction_is_its_end_and_of_the_future_is_now() -> None:
    past = FakePast([row(n) for n in range(1, 5)], position=1024)
    past.not_recorded(row(4))
    pages = past.pages()
    assert numbers(await pages.read(subscription(), Position(3 * 256), 2)) == [2, 3]
    assert numbers(await pages.read(subscription(), Position(3 * 256, 3), 2)) == [1, 2]
    assert numbers(await pages.read(subscription(), Position(1 << 50, 1), 2)) == [3, 4]
    assert past.reads[-1] == (3, Position(1024))
    assert past.reached == [Position(768), Position(768, 3), Position(1 << 50, 1)]


@given(
    st.lists(st.sampled_from(["table", "unrecorded", "both"]), max_size=40),
    st.integers(1, 9),
    st.sampled_from([1, 2, 3, 7]),
)
def test_every_message_comes_once_wherever_it_is(places: list[str], limit: int, every: int) -> None:
    rows = [row(n, "e" if n % every == 0 else "f") for n in range(1, len(places) + 1)]
    past = FakePast([each for each, place in zip(rows, places, strict=True) if place != "unrecorded"])
    past.not_recorded(*[each for each, place in zip(rows, places, strict=True) if place != "table"])
    found = asyncio.run(all_pages(past.pages(), subscription(events=("e",)), limit))
    wanted = [each.seq for each in rows if each.event == "e"]
    assert [number for page in found[::-1] for number in page] == wanted
    assert all(len(page) == limit for page in found[:-1])


async def test_filter_and_audience_are_those_of_the_subscription() -> None:
    secret = b'{"users":["bob"]}'
    past = FakePast([row(n, audience=secret if n % 2 else None) for n in range(1, 9)])
    pages = past.pages()
    assert await all_pages(pages, subscription("ann"), 2) == [[6, 8], [2, 4]]
    assert await all_pages(pages, subscription("bob"), 5) == [[4, 5, 6, 7, 8], [1, 2, 3]]
    assert await all_pages(pages, subscription("ann", where=(("n", "<=", 4),)), 5) == [[2, 4]]


async def test_a_search_for_what_is_wanted_ends_and_can_go_on() -> None:
    past = FakePast([row(n, "e" if n == 5 else "f") for n in range(1, 12_001)])
    pages = past.pages()
    page = await pages.read(subscription(events=("e",)), None, 3)
    assert numbers(page) == []
    assert page.before is not None
    assert sum(count for count, _ in past.reads) == 10_000
    rest = await pages.read(subscription(events=("e",)), parse_position(page.before), 3)
    assert (numbers(rest), rest.before) == ([5], None)


async def test_a_page_has_a_mebibyte_and_at_least_one_message() -> None:
    past = FakePast([row(n, size=400_000) for n in range(1, 6)] + [row(6, size=2 << 20)])
    found = await all_pages(past.pages(), subscription(), 50)
    assert found == [[6], [4, 5], [2, 3], [1]]
    page = await past.pages().read(subscription(), Position(6 * 256, 6), 50)
    assert sum(len(event.json) for event in page.messages) <= MAX_PAGE


async def test_no_more_bytes_are_read_for_a_page_than_are_allowed() -> None:
    past = FakePast([row(n, "f", size=400_000) for n in range(1, 31)])
    page = await past.pages(max_history_bytes=4 << 20).read(subscription(events=("e",)), None, 50)
    assert len(past.reads) == 4
    assert (numbers(page), page.before) == ([], "0/1300/19")


async def test_many_who_ask_for_the_same_page_have_it_read_once() -> None:
    past = FakePast([row(n) for n in range(1, 101)])
    pages = past.pages()
    past.gate.clear()
    asking = [asyncio.create_task(pages.read(subscription(), Position(50 * 256, 50), 10)) for _ in range(50)]
    for _ in range(5):
        await asyncio.sleep(0)
    past.gate.set()
    found = await asyncio.gather(*asking)
    assert {tuple(numbers(page)) for page in found} == {tuple(range(40, 50))}
    assert len(past.reads) == 1
    assert len({id(page.messages[0]) for page in found}) == 1  # and encoded once


async def test_a_page_that_was_read_before_a_discontinuity_is_read_again() -> None:
    past = FakePast([row(1)])

    def interrupt() -> None:
        past.generation += len(past.reads) == 1
        past.rows = [row(1), row(2)]

    past.on_read = interrupt
    assert numbers(await past.pages().read(subscription(), None, 5)) == [1, 2]
    assert len(past.reads) == 2


@pytest.mark.parametrize(("asked", "given"), [(5, 3), (2, 2)])
async def test_the_setting_bounds_the_messages_of_a_page(asked: int, given: int) -> None:
    past = FakePast([row(n) for n in range(1, 9)])
    assert len((await past.pages(max_history=3).read(subscription(), None, asked)).messages) == given
