"""Authorization: every action of a client is checked here first.

The name of a channel decides. Its prefix is its kind, and the kind determines the permissions (:class:`NameRules`). Live
queries may read the exposed columns of collections.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from fnmatch import translate
from operator import is_
from re import Pattern
from re import compile as compile_pattern
from typing import Final, Protocol

from msgspec import Struct

from engine.catalog.rights import SERVICE_PREFIX
from engine.channels.core.access_rules import ALERTS_CHANNEL
from engine.errors import QueryRejectedError
from engine.identity.principal import Principal
from server.protocol.client_messages import COLLECTION_PREFIX
from server.protocol.error_codes import ErrorCode

__all__ = [
    "UNKNOWN",
    "Action",
    "Authorizer",
    "Basis",
    "ChannelNotFoundError",
    "Circumstances",
    "NameRules",
    "NotAllowedError",
]


class NotAllowedError(QueryRejectedError):
    """The client may not do this with that channel or collection."""

    code = ErrorCode.PERMISSION_DENIED


class ChannelNotFoundError(QueryRejectedError):
    """There is no channel of that name, and none can be."""

    code = ErrorCode.NOT_FOUND


class Action(Enum):
    """The actions of a client on a resource: ``QUERY`` on a collection, the others on a channel."""

    QUERY = "query"
    SUBSCRIBE = "subscribe to"
    PUBLISH = "publish to"
    PRESENCE = "be present in"

    __hash__ = object.__hash__  # members are compared by identity; Enum hashes the name, in Python


class Circumstances(Struct, frozen=True, gc=False):
    """How a request came. ``event``: of the message to be published; ``transport``: ``websocket``, ``sse``, ``poll``
    or ``rest``.
    """

    ip: str | None = None
    transport: str | None = None
    event: str | None = None


UNKNOWN: Final = Circumstances()
_QUERY: Final = Action.QUERY  # an attribute of an enumeration is slow to find

_NEVER: Final = "(?!)"  # a regular expression that matches nothing


class Basis:
    """The objects that a decision rests on. Equal if they are the same ones: then the decision would be, too, but for what
    a condition makes of the time.
    """

    __slots__ = ("_objects",)

    def __init__(self, *objects: object) -> None:
        self._objects = objects

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Basis)
            and len(self._objects) == len(other._objects)
            and all(map(is_, self._objects, other._objects))
        )

    __hash__ = None  # type: ignore[assignment]


class Authorizer(Protocol):
    """Decides. Called once per request, in the order of a connection's requests."""

    async def authorize(
        self, principal: Principal, action: Action, resource: str, about: Circumstances = UNKNOWN
    ) -> None:
        """Whether ``principal`` may do ``action`` with the collection or channel named ``resource``.

        Raises ``NotAllowedError`` (``RT_003``) if it may not, ``ChannelNotFoundError`` (``RT_004``) if there can be no such
        channel.
        """
        ...

    def judge(self, principal: Principal, action: Action, resource: str, about: Circumstances = UNKNOWN) -> None:
        """The same as of what this node knows now. For subscriptions that are open, when rules may have changed."""
        ...

    def basis(self, principal: Principal, action: Action, resource: str) -> Basis:
        """What a decision rests on now. As long as it does, it need not be made again."""
        ...


class NameRules:
    """Decides by the kind of the name alone.

    ========================  ==============================================================
    ``public:*``              open
    ``presence:*``            open
    ``private:user-ID``       open to the authenticated user ID
    ``private:*``             closed
    ``admin:alerts``          administrators may subscribe; a rule of that name opens it to others
    ``db:collection:*``       read with live queries, written with SQL; no messages
    ``db:*``, ``*``           no channels
    any other                 open if it matches one of ``open_channels``
    ========================  ==============================================================

    Clients without a proof of identity may use of these, besides ``public:*``, those that match ``anonymous_channels``.
    Operators that watch have live queries on the service's own tables, and nothing else.
    """

    def __init__(self, open_channels: Iterable[str] = ("*",), anonymous_channels: Iterable[str] = ("*",)) -> None:
        self._open = _pattern_of(open_channels)
        self._anonymous = _pattern_of(anonymous_channels)

    async def authorize(
        self, principal: Principal, action: Action, resource: str, about: Circumstances = UNKNOWN
    ) -> None:
        """See the class."""
        self.judge(principal, action, resource, about)

    def judge(self, principal: Principal, action: Action, resource: str, about: Circumstances = UNKNOWN) -> None:
        """See the class."""
        if principal.watches:
            _check_watching(action, resource)
        elif action is not _QUERY:
            self._check(principal, action, resource)

    def basis(self, principal: Principal, action: Action, resource: str) -> Basis:
        """See ``Authorizer``."""
        return Basis(principal.claims, principal.attributes, principal.visibility, principal.administrator)

    def _check(self, principal: Principal, action: Action, channel: str) -> None:
        kind = channel.partition(":")[0]
        if kind == "db":
            if channel.startswith(COLLECTION_PREFIX):
                raise NotAllowedError(f"{channel!r} is a live query: its rows are written with SQL")
            raise ChannelNotFoundError(
                f"there is no channel {channel!r}: names with db: are live queries ({COLLECTION_PREFIX}NAME)"
            )
        if channel == "*":
            raise ChannelNotFoundError("'*' is no channel: it stands for what is sent to a connection itself")
        if kind == "private":
            if principal.authenticated and channel == f"private:user-{principal.user_id}":
                return
            raise NotAllowedError(
                f"you may not {action.value} {channel!r}: without a rule, a client may use of the private channels only its "
                "user's own, private:user-ID, with a token"
            )
        if kind == "public":
            return
        if channel == ALERTS_CHANNEL:
            _check_alerts(principal, action)
            return
        if kind != "presence" and not self._open.match(channel):
            raise NotAllowedError(
                f"this server does not let clients {action.value} {channel!r} (setting open_channels)"
            )
        if not principal.authenticated and not self._anonymous.match(channel):
            raise NotAllowedError(
                f"anonymous clients may not {action.value} {channel!r} here: connect with a token, use a channel public:…, "
                "or open this one by a rule or the setting anonymous_channels"
            )


def _check_alerts(principal: Principal, action: Action) -> None:
    if not (principal.administrator and action is Action.SUBSCRIBE):
        raise NotAllowedError(
            f"you may not {action.value} {ALERTS_CHANNEL!r}: administrators may subscribe to the alerts; a rule of "
            "exactly this name can let clients subscribe, none lets them publish or be present"
        )


def _check_watching(action: Action, resource: str) -> None:
    if not (action is Action.QUERY and resource.startswith(SERVICE_PREFIX)):
        raise NotAllowedError(
            f"you may not {action.value} {resource!r}: with a key of the REST API in the place of a token a connection has "
            f"live queries on {SERVICE_PREFIX}* alone"
        )


def _pattern_of(patterns: Iterable[str]) -> Pattern[str]:
    """What matches the names that one of the shell's ``patterns`` matches."""
    return compile_pattern("|".join(map(translate, patterns)) or _NEVER)
