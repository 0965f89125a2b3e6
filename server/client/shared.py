"""The state that all connections of a server share."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.channels.core.watched_rows import WatchedRows
from engine.tracing.context import TraceContext
from engine.tracing.messages import MessageTrace
from server.analytics.counter import UsageCounter
from server.auth.authenticator import AddressAuthenticator, Authenticator
from server.auth.authorizer import Authorizer, NameRules
from server.client.background import Background
from server.client.credential_watch import CredentialWatch
from server.client.intake import SharedIntake
from server.content.hook import ContentHook
from server.content.inspector import ContentInspector
from server.limits.joins import Joins
from server.limits.published_bytes import PublishedBytes
from server.limits.query_accounts import QueryAccounts
from server.limits.read_turns import ReadTurns
from server.logs.clients import ClientLog
from server.observe.meters import Meters
from server.ports.channels import ChannelService, Member
from server.ports.live_queries import LiveQueryService
from server.session.session import Session
from server.tracing.tracing import Tracing
from server.wire.wheels import Wheels
from server.wire.wires import Wires
from server.wire.write_turns import WriteTurns

__all__ = ["SharedServices"]


@dataclass(frozen=True, slots=True)
class SharedServices:
    """The engine's two services, the authorizer, the check of contents, the encoders, when WebSockets write, and what
    connections do again and again (``wheels``).

    ``query_accounts``: what live queries each user has; ``published``: how many bytes it publishes. ``meters`` count what
    connections do, and ``usage`` for analytics; None: nothing is counted. ``log``: which events of clients are logged.
    ``tracing`` records traces; None: it is off.
    ``key_watch`` and ``session_watch`` end connections with their credentials.
    """

    live_queries: LiveQueryService
    channels: ChannelService
    authorizer: Authorizer = field(default_factory=NameRules)
    authenticator: Authenticator = field(default_factory=AddressAuthenticator)
    content: ContentInspector = field(default_factory=lambda: ContentInspector(WatchedRows()))
    content_hook: ContentHook | None = None
    background: Background = field(default_factory=Background)
    intake: SharedIntake = field(default_factory=SharedIntake)
    joins: Joins = field(default_factory=Joins)
    wires: Wires = field(default_factory=Wires.make)
    write_turns: WriteTurns = field(default_factory=WriteTurns)
    read_turns: ReadTurns = field(default_factory=ReadTurns)
    wheels: Wheels = field(default_factory=Wheels)
    query_accounts: QueryAccounts = field(default_factory=QueryAccounts)
    published: PublishedBytes = field(default_factory=PublishedBytes)
    meters: Meters | None = None
    usage: UsageCounter | None = None
    tracing: Tracing | None = None
    log: ClientLog = field(default_factory=ClientLog)
    key_watch: CredentialWatch | None = None
    session_watch: CredentialWatch | None = None

    def trace(self, parent: TraceContext | None, member: Member, channel: str, size: int) -> MessageTrace | None:
        """The trace of a message that is about to be published; None: it has none. ``parent``: what the client gave;
        ``size``: bytes of its data.
        """
        if self.tracing is not None:
            return self.tracing.publishing(parent, member, channel, size)
        return None if parent is None else MessageTrace(parent)

    def count_resumed(self, session: Session, transport: str, what: str, recovered: bool | None) -> None:
        """A subscription to ``what`` (``channel`` or ``query``) is open. ``recovered``: None if it did not resume one."""
        if recovered is not None and self.meters is not None:
            self.meters.resumed(transport, what, recovered=recovered, first=not session.resumed)
            session.resumed = True
