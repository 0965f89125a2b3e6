"""The operator's own check: it may refuse, fail, or never return, and every message is answered."""

from __future__ import annotations

import asyncio
import json

import pytest

from engine.channels.core.messages.model import Member, UnavailableError
from server.content.errors import ContentRefusedError
from server.content.hook import ContentHook
from server.operator_function import FunctionNameError
from tests.support.programs import content_hook

PLACE = "tests.support.programs.content_hook"


def hook(function: str, timeout: float = 60.0, **options: bool) -> ContentHook:
    return ContentHook(f"{PLACE}:{function}", timeout, **options)


async def check(made: ContentHook, data: object = None, user: str | None = "ada") -> None:
    await made.check(Member("c", user), "chat:1", "sent", json.dumps(data).encode())


async def test_a_function_lets_a_message_pass_or_gives_the_reason_why_not() -> None:
    made = hook("no_shouting")
    await check(made, {"text": "hello"})
    with pytest.raises(ContentRefusedError, match=r"^data: do not shout$"):
        await check(made, {"text": "HELLO"})
    made = hook("known_users_only")
    await check(made)
    with pytest.raises(ContentRefusedError, match="bob may not use sent in chat:1"):
        await check(made, user="bob")


@pytest.mark.parametrize("function", ["no_shouting", "yes", "leaves", "cancels"])
async def test_a_message_whose_check_fails_is_refused_or_published_as_the_setting_is(function: str) -> None:
    made = hook(function)
    with pytest.raises(UnavailableError, match="could not be checked") as refused:
        await check(made, {"no text": 1})
    assert refused.value.code == "RT_001"
    made = hook(function, allow_on_error=True)
    await check(made, {"no text": 1})


@pytest.mark.parametrize("function", ["for_ever", "hangs"])
async def test_a_check_that_does_not_return_is_given_up(function: str) -> None:
    content_hook.waiting.clear()
    try:
        made = hook(function, 0.01)
        async with asyncio.timeout(60):
            for _ in range(20):  # more than there are threads
                with pytest.raises(UnavailableError):
                    await check(made)
    finally:
        content_hook.waiting.set()


@pytest.mark.parametrize("name", ["", "nowhere_at_all:f", f"{PLACE}:missing", f"{PLACE}:NO_FUNCTION", ":f", PLACE])
def test_a_name_that_leads_to_no_function_is_refused_at_the_start(name: str) -> None:
    with pytest.raises(FunctionNameError, match="content_hook: "):
        ContentHook(name, 1.0)
