"""Tuning of the live queries."""

from __future__ import annotations

from dataclasses import dataclass

from engine.work_share import TARGET

__all__ = ["LiveSettings"]


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """Tuning.

    ``idle_ttl``: seconds a query is kept after its last subscriber left; ``idle_bytes``: bytes of such queries together.
    ``plan_bytes``: bytes of plans, and as many again of checked SQL; all three as estimated.
    ``reread_interval``: a re-read query runs at most once per this many seconds. ``clock_interval``: seconds between
    re-runs of a query that depends on the time. ``reread_wait``: seconds that a re-read query waits for the budget of its
    user; then it ends. ``max_rows``: rows a query may have; ``max_bytes``: what
    those of clients' own SQL may have together. ``spare_rows``: rows kept beyond a limit, at least; more (half the limit,
    up to 500) for larger limits. ``readers``: database connections for reads. ``read_timeout_ms``: longest time of a read;
    ``quick_timeout_ms``: longest time before it is moved to the slow lane (see
    :mod:`engine.postgres.read_lanes`); ``reads_per_user``: reads of one user at the same time;
    ``read_memory``: megabytes that a sort or hash of a read may take; ``read_temporary``: megabytes of temporary files that
    it may write, None: as the database has it.
    ``lock_timeout_ms``: longest time of one wait for a lock. ``slow_pause``: seconds at most between two attempts of a query
    that does not end within ``read_timeout_ms`` any more.
    ``batch_claims``: sets of claims at most for which one statement reads under row-level security (see
    :mod:`engine.live.batched_reads`); ``batch_timeout_ms``: longest time of such a statement.
    ``stream_generated``: whether the decoder sends generated columns. ``watch_interval``: seconds between two looks at
    definitions whose changes were not announced. ``anonymous_role``: the role of subscribers without token, if it is served.
    ``claims_setting``: where policies find the claims of a token. ``work_share``: part of the processor for all
    users together who have had much done lately (:mod:`engine.work_share`).
    """

    idle_ttl: float = 15.0
    idle_bytes: int = 32 << 20
    plan_bytes: int = 8 << 20
    reread_interval: float = 0.05
    clock_interval: float = 1.0
    reread_wait: float = 60.0
    max_rows: int = 10_000
    max_bytes: int = 32 << 20
    spare_rows: int = 10
    watch_interval: float = 10.0
    readers: int = 8
    reads_per_user: int = 2
    read_timeout_ms: int = 30_000
    quick_timeout_ms: int = 2_000
    read_memory: int = 16
    read_temporary: int | None = 1024
    lock_timeout_ms: int = 1_000
    slow_pause: float = 30.0
    batch_claims: int = 100
    batch_timeout_ms: int = 250
    stream_generated: bool = True
    anonymous_role: str = "anonymous"
    claims_setting: str = "request.jwt.claims"
    work_share: float = TARGET
