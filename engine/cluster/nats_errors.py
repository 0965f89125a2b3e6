"""What fails about NATS, in words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from nats.aio.client import Client
from nats.errors import Error as NatsError

from engine.errors import FeedError

__all__ = ["NatsFailedError", "NatsRefusedError", "explained", "in_words", "refusal_of"]


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
    description = getattr(error, "description", None)
    return str(description or error).strip() or type(error).__name__
