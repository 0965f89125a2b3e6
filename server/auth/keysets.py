"""The key sets of issuers (``jwks_url``): fetched when needed, kept, and fetched again when a key is unknown.

The address comes from the configuration alone, never from a token. A key set belongs to one issuer: two issuers may use the
same key id for different keys.

When a set is fetched
---------------------

* At the start, so that the first clients need not wait.
* When a token names a key id that the set does not have: the issuer may have rotated its keys. At most once per
  ``min_interval``, and one fetch serves all who wait, because every client can make up key ids.
* In the background when the set is older than ``max_age`` and in use, so that a key which the issuer removed expires here.

A set that cannot be fetched, or is no key set, leaves the last good one in place.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
import structlog

from engine.errors import RealtimeError
from server.auth.http_answer import read_body
from server.auth.jwk import InvalidKeyError, Keys, VerifyingKey, key_set

__all__ = ["FixedKeys", "KeyFetchSettings", "KeySetUnavailableError", "KeySource", "RemoteKeys"]

_log = structlog.get_logger("realtime.auth")


class KeySetUnavailableError(RealtimeError):
    """A token cannot be verified now, as its key is not known here yet. The client may try again."""


@dataclass(frozen=True, slots=True)
class KeyFetchSettings:
    """Seconds, and bytes. ``min_interval``: between two fetches; ``max_age``: of a set before it is fetched again."""

    min_interval: float = 10.0
    max_age: float = 600.0
    timeout: float = 5.0
    max_size: int = 256 * 1024


class KeySource:
    """The keys of one issuer. ``algorithms``: those that its tokens may name."""

    algorithms: Sequence[str]

    def find(self, algorithm: str, key_id: str | None) -> list[VerifyingKey]:
        """The known keys that fit the header of a token."""
        raise NotImplementedError

    @property
    def grows(self) -> bool:
        """Whether ``refresh`` can find more keys."""
        return False

    async def refresh(self) -> None:
        """Learn keys that are not known yet. Raises ``KeySetUnavailableError`` if that is not possible now."""

    def warm(self) -> None:
        """The server starts."""

    async def close(self) -> None:
        """The server stops."""


class FixedKeys(KeySource):
    """Keys from the configuration."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.algorithms = keys.algorithms

    def find(self, algorithm: str, key_id: str | None) -> list[VerifyingKey]:
        """See the base."""
        return self._keys.find(algorithm, key_id)


class RemoteKeys(KeySource):
    """See the module. ``clock``: seconds, monotonic."""

    def __init__(
        self,
        url: str,
        algorithms: Sequence[str],
        settings: KeyFetchSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self.algorithms = algorithms
        self._settings = settings or KeyFetchSettings()
        self._clock = clock
        self._keys = Keys(())
        self._fetched_at: float | None = None  # when the current keys arrived
        self._tried_at: float | None = None  # when the last fetch began
        self._fetching: asyncio.Task[bool] | None = None

    @property
    def grows(self) -> bool:
        """See the base."""
        return True

    def find(self, algorithm: str, key_id: str | None) -> list[VerifyingKey]:
        """See the base. Starts a fetch in the background if the set is old."""
        if self._fetched_at is not None and self._clock() - self._fetched_at > self._settings.max_age and self._due:
            self._fetch()
        return self._keys.find(algorithm, key_id)

    async def refresh(self) -> None:
        """See the base."""
        if self._fetching is None and not self._due:
            raise KeySetUnavailableError(
                "the key of this token is not known, and the issuer's keys were fetched a moment ago; "
                f"try again in {self._settings.min_interval:g} s"
            )
        # shield: one client that gives up must not end the fetch for the others
        if not await asyncio.shield(self._fetch()):
            raise KeySetUnavailableError("the issuer's keys cannot be fetched now; try again")

    def warm(self) -> None:
        """See the base."""
        self._fetch()

    async def close(self) -> None:
        """See the base."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})

    @property
    def _due(self) -> bool:
        return self._tried_at is None or self._clock() - self._tried_at >= self._settings.min_interval

    def _fetch(self) -> asyncio.Task[bool]:
        """The fetch that is under way, or a new one: whether it succeeded."""
        if self._fetching is None:
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._renew())
            self._fetching.add_done_callback(self._done)
        return self._fetching

    def _done(self, task: asyncio.Task[bool]) -> None:
        self._fetching = None
        if not task.cancelled() and (failure := task.exception()) is not None:
            _log.error("key_set_crashed", url=self._url, exc_info=failure)

    async def _renew(self) -> bool:
        try:
            async with asyncio.timeout(self._settings.timeout):
                document = await self._download()
            self._keys = key_set(document, self.algorithms)
        except TimeoutError:
            _log.warning("key_set_failed", url=self._url, error=f"no answer within {self._settings.timeout:g} s")
            return False
        except (httpx.HTTPError, InvalidKeyError, ValueError, RecursionError) as error:
            _log.warning("key_set_failed", url=self._url, error=f"{type(error).__name__}: {error}")
            return False
        self._fetched_at = self._clock()
        return True

    async def _download(self) -> Any:
        """The document. Raises ``httpx.HTTPError`` and ``ValueError``. Neither redirects nor compression are followed."""
        headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
        async with (
            httpx.AsyncClient(timeout=self._settings.timeout, follow_redirects=False) as http,
            http.stream("GET", self._url, headers=headers) as answer,
        ):
            if answer.status_code != HTTPStatus.OK:
                raise InvalidKeyError(f"the answer has the status {answer.status_code}")
            return json.loads(await read_body(answer, self._settings.max_size))
