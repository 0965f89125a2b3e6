"""Connections by the credential that let them in: judged once for each change and each end, however many there are."""

from __future__ import annotations

import asyncio
import time

from server.auth.refusal import AuthenticationError
from server.client.credential_watch import Credential, CredentialWatch


class Holder:
    def __init__(self) -> None:
        self.refused: AuthenticationError | None = None

    def refuse(self, refusal: AuthenticationError) -> None:
        self.refused = refusal


def armed(watch: CredentialWatch) -> int:
    """How many timers will have the watch look."""
    loop = asyncio.get_running_loop()
    return sum(each._callback == watch._look and not each.cancelled() for each in loop._scheduled)  # type: ignore[attr-defined]


async def test_a_credential_used_from_many_addresses_has_one_timer() -> None:
    ends_at = {"key": time.time() + 3600}
    judged: list[Credential] = []

    def judge(credential: Credential) -> float:
        judged.append(credential)
        if ends_at["key"] <= time.time():
            raise AuthenticationError("API key expired")
        return ends_at["key"]

    watch = CredentialWatch(judge)
    holders = {Credential("key", address=f"192.0.2.{number}"): Holder() for number in range(20)}
    for credential, holder in holders.items():
        watch.enter(credential, holder)
    assert armed(watch) == 1
    for _ in range(3):
        judged.clear()
        watch.changed("key")
        watch.changed(None)
        await asyncio.sleep(0)
        assert len(judged) == 20, "once for all changes of a turn"
        assert armed(watch) == 1
    ends_at["key"] = 0.0
    watch.changed("another")
    await asyncio.sleep(0)
    assert not any(holder.refused for holder in holders.values()), "what has not changed is not judged"
    watch._look("key")
    assert all(str(holder.refused) == "API key expired" for holder in holders.values())
    for credential, holder in holders.items():
        watch.leave(credential, holder)
    assert (armed(watch), watch._entries) == (0, {})
