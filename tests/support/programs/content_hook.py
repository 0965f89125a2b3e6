"""Functions for the setting ``content_hook``."""

from __future__ import annotations

import asyncio
import threading

from server.content.hook import HookMessage

NO_FUNCTION = 1
waiting = threading.Event()


def no_shouting(message: HookMessage) -> str | None:
    """In a thread: texts in capitals are refused, and some make it fail."""
    assert threading.current_thread() is not threading.main_thread()
    text = message.data["text"]
    return "do not shout" if text.isupper() else None


async def known_users_only(message: HookMessage) -> str | None:
    await asyncio.sleep(0)
    return None if message.user_id == "ada" else f"{message.user_id} may not use {message.event} in {message.channel}"


async def for_ever(message: HookMessage) -> str | None:
    await asyncio.get_running_loop().create_future()
    return None


async def leaves(message: HookMessage) -> str | None:
    raise SystemExit


async def cancels(message: HookMessage) -> str | None:
    raise asyncio.CancelledError


def hangs(message: HookMessage) -> str | None:
    waiting.wait()
    return None


def yes(message: HookMessage) -> bool:
    return True
