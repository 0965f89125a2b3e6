"""The client for code without asyncio: a thread with an event loop, and what is raised across it."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import closing

import pytest
from bunbase import ErrorCode, RealtimeError, SyncRealtime
from bunbase.sync.loop_thread import LoopThread

from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "bunbase"}


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    """A thread, which has ended after the test."""
    before = threads()
    thread = LoopThread()
    yield thread
    thread.close(nothing())
    assert threads() == before


async def nothing() -> None:
    pass


async def forever() -> None:
    await asyncio.Event().wait()


def test_a_coroutine_returns_and_raises_in_the_thread_that_calls(thread: LoopThread) -> None:
    async def name() -> str:
        return threading.current_thread().name

    async def refuse() -> None:
        raise RealtimeError(ErrorCode.PERMISSION_DENIED, "not allowed")

    assert thread.run(name()) == "bunbase"
    with pytest.raises(RealtimeError, match="not allowed") as refused:
        thread.run(refuse())
    shown = "".join(traceback.format_exception(refused.value))
    assert shown.count("File ") == 2, shown  # here, and where it is raised


def test_a_caller_that_is_interrupted_cancels_what_it_waits_for(
    thread: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = threading.Event()

    async def wait() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def interrupt(*_: object) -> None:
        started.wait(GIVE_UP_AFTER)
        raise KeyboardInterrupt

    async def begin() -> None:
        started.set()
        await wait()

    started = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr("concurrent.futures.Future.result", interrupt)
        with pytest.raises(KeyboardInterrupt):
            thread.run(begin())
    assert cancelled.wait(GIVE_UP_AFTER)


def test_it_is_an_error_to_wait_in_the_thread_itself(thread: LoopThread) -> None:
    async def again() -> None:
        thread.run(nothing())

    with pytest.raises(RuntimeError, match="wait for itself"):
        thread.run(again())


def test_closing_ends_what_other_threads_wait_for_and_nothing_runs_afterwards() -> None:
    before, thread, raised = threads(), LoopThread(), list[RealtimeError]()
    thread.run(nothing())

    def wait() -> None:
        try:
            thread.run(forever())
        except RealtimeError as error:
            raised.append(error)

    waiting = [threading.Thread(target=wait) for _ in range(3)]
    for each in waiting:
        each.start()
    thread.close(nothing())
    thread.close(nothing())
    for each in waiting:
        each.join(GIVE_UP_AFTER)
    assert [error.code for error in raised] == ["RT_001"] * 3
    with pytest.raises(RealtimeError, match="the client is closed"):
        thread.run(nothing())
    assert threads() == before


def test_a_thread_begins_with_the_first_call_only() -> None:
    before = threads()
    realtime = SyncRealtime("http://localhost:8410")
    realtime.channel("chat:1")
    realtime.database().collection("todos").limit(5)
    assert threads() == before
    realtime.close()
    with pytest.raises(RealtimeError, match="the client is closed"):
        realtime.connect()


def test_a_connection_that_fails_for_good_is_raised_and_leaves_no_thread() -> None:
    before = threads()
    url = f"http://127.0.0.1:{free_port()}"
    realtime = SyncRealtime(url, max_reconnect_attempts=1, reconnect_delay=0.001)
    with pytest.raises(RealtimeError, match=f"no connection to {url}/realtime after 2 attempts") as failed, realtime:
        pytest.fail("it is not connected")
    assert failed.value.code == ErrorCode.CONNECTION_FAILED
    assert realtime.status.state == "closed"
    assert threads() == before


def test_a_loop_over_messages_raises_when_the_connection_fails_for_good() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    realtime = SyncRealtime(url, max_reconnect_attempts=1, reconnect_delay=0.001)
    channel = realtime.channel("chat:1")
    messages, subscribing = channel.messages(), list[asyncio.Future[object]]()

    async def subscribe() -> None:
        subscribing.append(asyncio.ensure_future(channel._channel.subscribe()))
        await asyncio.sleep(0)

    realtime._thread.run(subscribe())
    with pytest.raises(RealtimeError, match="no connection"):
        next(messages)
    realtime.close()
    assert isinstance(subscribing[0].exception(), RealtimeError)
    assert list(messages) == []


def test_a_loop_over_messages_of_a_channel_that_is_not_subscribed_to_raises() -> None:
    with closing(SyncRealtime("http://localhost:8410")) as realtime:
        messages = realtime.channel("chat:1").messages(timeout=GIVE_UP_AFTER)
        with pytest.raises(RealtimeError, match="subscribe to the channel first") as refused:
            next(messages)
        assert refused.value.code == ErrorCode.NOT_FOUND


def test_the_callback_for_tokens_may_block() -> None:
    called: list[str] = []

    def get_token() -> str:
        called.append(threading.current_thread().name)
        time.sleep(0)
        raise KeyError("no session")

    url = f"http://127.0.0.1:{free_port()}"
    realtime = SyncRealtime(url, get_token=get_token, max_reconnect_attempts=0)
    with pytest.raises(RealtimeError, match="get_token failed: KeyError"):
        realtime.connect()
    realtime.close()
    assert called
    assert "bunbase" not in called
