"""What fails about NATS, in words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from engine.errors import FeedError

__all__ = ["NatsFailedError", "NatsRefusedError", "described", "explained", "in_words", "refusal_of"]

_MEANINGS: Final = {
    10047: "nats_max_bytes is more than is left of max_file_store, its limit of what it stores",
    10071: "another relay publishes, or NATS could not store a message and did not answer; then its log has the reason. "
    "It stores nothing more after a full disk until it is started again",
}
"""What errors of the server mean here, by their numbers (nats-server, server/errors.json): insufficient storage, and wrong
last sequence.
"""


class NatsFailedError(FeedError):
    """NATS cannot be reached or has refused. The message names the cause."""


class NatsRefusedError(NatsFailedError):
    """The user has no right to what was asked for: an operator has to change a setting."""


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """What the client library raises inside is raised as ``NatsFailedError``."""
    try:
        yield
    except (NatsError, OSError, TimeoutError) as error:
        raise NatsFailedError(f"NATS: {in_words(error)}") from error


def refusal_of(client: Client) -> str | None:
    """What the server has refused this user, whose request then gets no answer; None: nothing."""
    error = str(client.last_error or "")
    return error if "permissions violation" in error.lower() else None


def in_words(error: BaseException) -> str:
    """What the server or the client library has written about it."""
    description = getattr(error, "description", None) or str(error).strip() or type(error).__name__
    return described(description, getattr(error, "err_code", None))


def described(description: str, number: int | None) -> str:
    """An error of the server with what it means here. ``number``: its ``err_code``."""
    meaning = _MEANINGS.get(number or 0)
    return description if meaning is None else f"{description} ({meaning})"
