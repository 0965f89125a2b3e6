"""A score for each sender, which messages raise and time lowers: many messages, repeated ones and links are spam.

A message adds its points to what is left of the score, which halves every ``half_life`` seconds. A message that would bring
it above the threshold is refused and adds nothing, or is flagged. Scores are of one node and of a bounded number of senders.

``RT_006`` has the seconds after which the same message passes. SDKs send it again by themselves where that is at most one,
as others wait behind it; else the application decides. So that code is for messages that pass within some seconds.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from cachetools import LRUCache

from engine.errors import ErrorCode, RealtimeError
from server.content.errors import ContentRefusedError
from server.content.fields import EVERYWHERE, texts_at
from server.content.filtering import TextSearch
from server.content.normalizing import normal_text

__all__ = ["SpamBlockedError", "SpamError", "SpamScores"]

_MAX_SENDERS: Final = 10_000  # about 1 KB each; the one that was silent longest goes first
_REMEMBERED: Final = 8  # messages of a sender that a new one is compared with
_SOON: Final = 10.0  # seconds after which it may be worthwhile to send a message again
_LINKS: Final = TextSearch((), [r"https?://|\bwww\."])


class SpamError(RealtimeError):
    """A sender publishes too much; the same message passes after ``retry_after`` seconds, which the text names, too."""

    code = ErrorCode.RATE_LIMITED
    limit = "spam"

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class SpamBlockedError(RealtimeError):
    """The same for a longer time."""

    code = ErrorCode.PERMISSION_DENIED
    limit = "spam"


@dataclass(slots=True)
class _Sender:
    score: float = 0.0
    at: float = 0.0
    digests: deque[bytes] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


class SpamScores:
    """The scores of one policy. ``clock``: seconds."""

    def __init__(self, settings: Mapping[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._threshold = float(settings["threshold"])
        self._half_life = float(settings.get("half_life", 10))
        self._message = float(settings.get("message", 1))
        self._repeat = float(settings.get("repeat", 3))
        self._link = float(settings.get("link", 2))
        self._rejects = settings.get("action", "reject") == "reject"
        self._clock = clock
        self._senders: LRUCache[str, _Sender] = LRUCache(_MAX_SENDERS)

    def check(self, sender: str, data: Any) -> bool:
        """Count a message of ``sender``. Returns whether it is flagged. Raises if it is refused: see ``_refusal``."""
        texts = list(texts_at(data, EVERYWHERE))
        digest = blake2b("\0".join(normal_text(text).text for text in texts).encode(), digest_size=16).digest()
        known: _Sender | None = self._senders.get(sender)
        if known is None:
            known = self._senders[sender] = _Sender()
        now = self._clock()
        left = known.score * math.exp2((known.at - now) / self._half_life)
        points = self._message + self._link * sum(len(_LINKS.spans(text)) for text in texts)
        if texts and digest in known.digests:
            points += self._repeat
        above = left + points > self._threshold
        if above and self._rejects:
            raise self._refusal(left, points)
        known.score, known.at = min(left + points, 2 * self._threshold), now
        known.digests.append(digest)
        return above

    def _refusal(self, left: float, points: float) -> RealtimeError:
        """``ContentRefusedError`` for a message that never passes, else ``SpamError`` or ``SpamBlockedError``."""
        room = self._threshold - points
        if room <= 0:
            return ContentRefusedError("data: it has too many links or repetitions")
        seconds = self._half_life * math.log2(left / room)
        text = f"too many messages, repetitions or links; try again in {seconds:.1f} s"
        return SpamError(text, seconds) if seconds <= _SOON else SpamBlockedError(text)
