"""What clients publish is written in turns by publisher, and a batch is bounded in bytes."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from engine.channels.core.messages.model import Member, Publication
from engine.channels.publish.queue import PublishQueue

LARGE = 100_000
BATCH = 256 * 1024


async def _entered(queue: PublishQueue, ip: str, count: int, size: int, priority: int = 0) -> None:
    member = Member(f"connection of {ip}", ip=ip)
    for number in range(count):
        data = b'"' + str(number).encode().ljust(size - 2, b"x") + b'"'
        await queue.enter(Publication("c", ip, data, member, priority=priority), True, lambda _: None)


def _sent(queue: PublishQueue) -> list[str]:
    return [waiting.publication.event for waiting in queue.take()]


async def test_a_small_message_does_not_wait_behind_the_megabytes_of_another_address() -> None:
    queue = PublishQueue(1000, 5)
    await _entered(queue, "198.51.100.1", 40, LARGE)
    _sent(queue)  # is being written
    await _entered(queue, "203.0.113.1", 1, 10)
    assert "203.0.113.1" in _sent(queue)


async def test_a_batch_takes_as_many_bytes_as_it_may_and_no_more() -> None:
    queue = PublishQueue(1000, 500)
    await _entered(queue, "198.51.100.1", 5, LARGE)
    await _entered(queue, "198.51.100.1", 1, 2 * BATCH)
    assert queue.has_batch
    assert [len(_sent(queue)) for _ in range(4)] == [2, 2, 1, 1]
    assert not queue.wanted.is_set()
    await _entered(queue, "198.51.100.1", 1, 10)
    assert not queue.has_batch, "what was taken does not count any more"


async def test_a_batch_is_waited_for_until_it_is_full_and_no_longer_than_was_asked() -> None:
    queue, loop = PublishQueue(1000, 5), asyncio.get_running_loop()
    await _entered(queue, "198.51.100.1", 4, 10)
    filling = asyncio.create_task(queue.fill(60.0))
    await asyncio.sleep(0)
    assert not filling.done()
    await _entered(queue, "198.51.100.1", 2, 10)
    async with asyncio.timeout(10):
        await filling
    assert len(_sent(queue)) == 5
    began = loop.time()
    await queue.fill(0.02)
    assert loop.time() - began >= 0.015
    assert len(_sent(queue)) == 1


async def test_addresses_share_batches_by_bytes() -> None:
    queue = PublishQueue(1000, 500)
    await _entered(queue, "198.51.100.1", 20, LARGE)
    await _entered(queue, "203.0.113.1", 20, LARGE // 2)
    taken = [each for _ in range(6) for each in _sent(queue)]
    assert abs(taken.count("203.0.113.1") - 2 * taken.count("198.51.100.1")) <= 2


async def test_an_address_that_has_been_silent_has_not_saved_up_turns() -> None:
    queue = PublishQueue(1000, 500)
    await _entered(queue, "198.51.100.1", 40, LARGE)
    for _ in range(15):
        _sent(queue)
    await _entered(queue, "203.0.113.1", 40, LARGE)
    taken = [each for _ in range(3) for each in _sent(queue)]
    assert taken.count("198.51.100.1") in (2, 3, 4)


async def test_what_is_urgent_is_still_first() -> None:
    queue = PublishQueue(1000, 500)
    await _entered(queue, "203.0.113.1", 1, 10)
    await _entered(queue, "198.51.100.1", 3, LARGE, priority=1)
    assert _sent(queue)[0] == "198.51.100.1"


async def test_publishers_whose_turns_are_over_are_forgotten() -> None:
    queue = PublishQueue(10_000, 500)
    await _entered(queue, "198.51.100.1", 3, 10)
    for number in range(2000):
        await _entered(queue, f"203.0.{number // 250}.{number % 250}", 1, 10)
        if number % 100 == 0:
            _sent(queue)
            await _entered(queue, "198.51.100.1", 3, 10)
    assert len(queue._turns) < 200


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([10, 1000, LARGE])), min_size=1, max_size=60))
def test_messages_of_a_publisher_keep_their_order(messages: list[tuple[int, int]]) -> None:
    async def written() -> list[tuple[str, int]]:
        queue = PublishQueue(1000, 7)
        for number, (publisher, size) in enumerate(messages):
            await _entered(queue, f"203.0.113.{publisher}", 1, size)
            if number % 5 == 4:
                order.extend((w.publication.event, w.number) for w in queue.take())
        while queue.wanted.is_set():
            order.extend((w.publication.event, w.number) for w in queue.take())
        return order

    order: list[tuple[str, int]] = []
    asyncio.run(written())
    assert len(order) == len(messages)
    for publisher in {event for event, _ in order}:
        numbers = [number for event, number in order if event == publisher]
        assert numbers == sorted(numbers)
