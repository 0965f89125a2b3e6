"""What fails about NATS, in words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from nats.errors import Error as NatsError

from engine.errors import FeedError

__all__ = ["NatsFailedError", "explained", "in_words"]


class NatsFailedError(FeedError):
    """NATS cannot be reached or has refused. The message names the cause."""


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """What the client library raises inside is raised as ``NatsFailedError``."""
    try:
        yield
    except (NatsError, OSError, TimeoutError) as error:
        raise NatsFailedError(f"NATS: {in_words(error)}") from error


def in_words(error: BaseException) -> str:
    """What the server or the client library has written about it."""
    description = getattr(error, "description", None)
    return str(description or error).strip() or type(error).__name__
