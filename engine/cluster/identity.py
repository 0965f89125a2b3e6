"""Which database a stream in NATS is of: two databases must not share one.

A stream is named by its slot, and the slots of two servers may have one name. So the leading relay's signs of life name the
database, by the system identifier of its server and its oid, which a backup and a promoted standby keep (those have another
timeline, and the stream is begun anew: :func:`engine.cluster.place.why_begun_anew`). A relay of another database publishes
nothing there, and a node of another one reads nothing.

The identity is in messages and not in the stream's metadata, so it is gone with them: a stream that has not been written to
for ``max_age`` belongs to the next relay that begins.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.cluster.messages import Pulse
from engine.cluster.settings import ClusterSettings
from engine.postgres.reconnecting import Database
from engine.relay.followed import RelayFailedError

__all__ = ["DatabaseIdentity", "OtherDatabaseError", "check_same", "identity_of", "messages_oid"]


class OtherDatabaseError(RelayFailedError):
    """The stream is of another database. ``what``: both, in words; ``remedy``: what an operator does about it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}: {remedy}")
        self.what, self.remedy = what, remedy


class DatabaseIdentity(NamedTuple):
    """``system``: the system identifier of the server; ``oid`` and ``name``: of the database in it."""

    system: str
    oid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (oid {self.oid} of system {self.system})"


async def identity_of(database: Database) -> DatabaseIdentity:
    """The database behind a connection. Raises ``psycopg.Error`` or ``OSError``."""
    return DatabaseIdentity(**(await database.rows("database_identity"))[0])


async def messages_oid(database: Database) -> int:
    """The oid of the table of messages; 0: it is not there. Raises ``psycopg.Error`` or ``OSError``."""
    return int((await database.rows("messages_oid"))[0]["oid"])


def check_same(settings: ClusterSettings, pulse: Pulse, ours: DatabaseIdentity) -> None:
    """Raise ``OtherDatabaseError`` if the relay of ``pulse`` is of another database than this process.

    A relay of a version that did not name its database is known by its system alone.
    """
    theirs = DatabaseIdentity(pulse.server.system, pulse.database_oid or ours.oid, pulse.database or "a database")
    if (theirs.system, theirs.oid) != (ours.system, ours.oid):
        raise OtherDatabaseError(
            f"stream {settings.stream} in NATS is of the database {theirs}, published by relay {pulse.relay}; "
            f"this process is of {ours}",
            "give one of them another slot_name. If this database has taken the place of "
            f"the other one, stop the other's relays and remove the stream (`nats stream rm {settings.stream}`), "
            f"or wait {settings.max_age:.0f} s",
        )
