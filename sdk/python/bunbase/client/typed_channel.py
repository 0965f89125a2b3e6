"""What a channel carries, for type checkers: ``Channel[Events, State]``. When the program runs, nothing of it is there.

``Events`` is a tuple of messages, each with the type of its data and its event's name:
``tuple[Message[Text, Literal["text"]], Message[Typing, Literal["typing"]]]``. Type checkers find a name among the members of
a tuple by one overload for each place, up to twelve; they have no type of the names of a ``TypedDict``. ``State`` is what
users set as their presence. Where no types are given, the first overload holds: ``Never`` is any tuple.
"""

from __future__ import annotations

from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic

from bunbase.client.channel import ChannelBase
from bunbase.client.messages import Messages
from bunbase.protocol.model import Ack, Message, Presence, User
from bunbase.protocol.type_variables import E_co, N, R, S, T

__all__ = ["Channel"]

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, Never, TypedDict, TypeVar, Unpack, overload

    M1 = TypeVar("M1", bound=Message)
    M2 = TypeVar("M2", bound=Message)
    M3 = TypeVar("M3", bound=Message)
    M4 = TypeVar("M4", bound=Message)
    M5 = TypeVar("M5", bound=Message)
    M6 = TypeVar("M6", bound=Message)
    M7 = TypeVar("M7", bound=Message)
    M8 = TypeVar("M8", bound=Message)
    M9 = TypeVar("M9", bound=Message)
    M10 = TypeVar("M10", bound=Message)
    M11 = TypeVar("M11", bound=Message)
    M12 = TypeVar("M12", bound=Message)
    L = TypeVar("L", bound=Callable[..., object])
    M_co = TypeVar("M_co", bound=Message, covariant=True)
    Listener = Callable[[Message[T, N]], R]
    Seen = Callable[[User[S]], R]
    Joined = Literal["presence:join", "presence:update", "presence:leave"]
    Own = Literal["*", "subscribed", "gap", "error", "room:created", "room:updated", "room:closed"]

    class SendOptions(TypedDict, total=False):
        """The options of ``Channel.send``."""

        id: str | None
        traceparent: str | None
        tracestate: str | None

    class ReadOptions(TypedDict, total=False):
        """The options of ``Channel.messages``."""

        buffer: int
        overflow: Literal["error", "drop-oldest"]

    class AnyMessages(Messages[Any], Generic[M_co]):
        """Messages of several events; which one it is shows in ``event``."""

        async def __anext__(self) -> M_co: ...

    class ChannelTypes(Generic[E_co, S]):
        """The methods of ``Channel`` whose types depend on events and state."""

        # Without types: as ``Channel`` has them.
        @overload
        def on(self: ChannelTypes[Never, Any], event: str, listener: L) -> L: ...
        @overload
        def on(self: ChannelTypes[Never, Any], event: str) -> Callable[[L], L]: ...
        @overload
        def on(self, event: Own, listener: L) -> L: ...
        @overload
        def on(self, event: Own) -> Callable[[L], L]: ...
        @overload
        def on(self, event: Joined, listener: Seen[S, R]) -> Seen[S, R]: ...
        @overload
        def on(self, event: Joined) -> Callable[[Seen[S, R]], Seen[S, R]]: ...
        @overload
        def on(self: _At0[T, N], event: N, listener: Listener[T, N, R]) -> Listener[T, N, R]: ...
        @overload
        def on(self: _At0[T, N], event: N) -> Callable[[Listener[T, N, R]], Listener[T, N, R]]: ...
        @overload
        def on(self: _At1[T, N], event: N, listener: Listener[T, N, R]) -> Listener[T, N, R]: ...
        @overload
        def on(self: _At1[T, N], event: N) -> Callable[[Listener[T, N, R]], Listener[T, N, R]]: ...
        @overload
        def on(self: _At2[T, N], event: N, listener: Listener[T, N, R]) -> Listener[T, N, R]: ...
        @overload
        def on(self: _At2[T, N], event: N) -> Callable[[Listener[T, N, R]], Listener[T, N, R]]: ...
        @overload
        def on(self: _At3[T, N], event: N, listener: Listener[T, N, R]) -> Listener[T, N, R]: ...
        @overload
        def on(self: _At3[T, N], event: N) -> Callable[[Listener[T, N, R]], Listener[T, N, R]]: ...
        @overload
        def on(self: _At4[T, N], event: N, listener: Listener[T, N, R]) -> Listener[T, N, R]: ...
        @overload
        def on(self: _At4[T, N], event: N) -> Callable[[Listener[T, N, R]], Listener[T, N, R]]: ...
        @overload
        def on(self: _At5[T, N], event: N, listener: Listener[T, N, R]) -> Listener[T, N, R]: ...
        @overload
        def on(self: _At5[T, N], event: N) -> Callable[[Listener[T, N, R]], Listener[T, N, R]]: ...
        @overload
        def on(self: _At6[T, N], event: N, listener: Listener[T, N, R]) -> Listener[T, N, R]: ...
        @overload
        def on(self: _At6[T, N], event: N) -> Callable[[Listener[T, N, R]], Listener[T, N, R]]: ...
        @overload
        def on(self: _At7[T, N], event: N, listener: Listener[T, N, R]) -> Listener[T, N, R]: ...
        @overload
        def on(self: _At7[T, N], event: N) -> Callable[[Listener[T, N, R]], Listener[T, N, R]]: ...
        @overload
        def on(self: _At8[T, N], event: N, listener: Listener[T, N, R]) -> Listener[T, N, R]: ...
        @overload
        def on(self: _At8[T, N], event: N) -> Callable[[Listener[T, N, R]], Listener[T, N, R]]: ...
        @overload
        def on(self: _At9[T, N], event: N, listener: Listener[T, N, R]) -> Listener[T, N, R]: ...
        @overload
        def on(self: _At9[T, N], event: N) -> Callable[[Listener[T, N, R]], Listener[T, N, R]]: ...
        @overload
        def on(self: _At10[T, N], event: N, listener: Listener[T, N, R]) -> Listener[T, N, R]: ...
        @overload
        def on(self: _At10[T, N], event: N) -> Callable[[Listener[T, N, R]], Listener[T, N, R]]: ...
        @overload
        def on(self: _At11[T, N], event: N, listener: Listener[T, N, R]) -> Listener[T, N, R]: ...
        @overload
        def on(self: _At11[T, N], event: N) -> Callable[[Listener[T, N, R]], Listener[T, N, R]]: ...
        def on(self, event: Any, listener: Any = None) -> Any: ...

        @overload
        async def send(
            self: ChannelTypes[Never, Any], event: str, data: object = None, **options: Unpack[SendOptions]
        ) -> Ack: ...
        @overload
        async def send(self: _At0[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        async def send(self: _At1[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        async def send(self: _At2[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        async def send(self: _At3[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        async def send(self: _At4[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        async def send(self: _At5[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        async def send(self: _At6[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        async def send(self: _At7[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        async def send(self: _At8[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        async def send(self: _At9[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        async def send(self: _At10[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        async def send(self: _At11[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        async def send(self, event: Any, data: Any = None, **options: Any) -> Any: ...

        @overload
        def messages(  # type: ignore[overload-overlap]
            self: ChannelTypes[Never, Any], event: str | None = None, **options: Unpack[ReadOptions]
        ) -> Messages: ...
        @overload
        def messages(self, event: str | None, data: type[T], **options: Unpack[ReadOptions]) -> Messages[T]: ...
        @overload
        def messages(self: _At0[T, N], event: N, **options: Unpack[ReadOptions]) -> Messages[T]: ...
        @overload
        def messages(self: _At1[T, N], event: N, **options: Unpack[ReadOptions]) -> Messages[T]: ...
        @overload
        def messages(self: _At2[T, N], event: N, **options: Unpack[ReadOptions]) -> Messages[T]: ...
        @overload
        def messages(self: _At3[T, N], event: N, **options: Unpack[ReadOptions]) -> Messages[T]: ...
        @overload
        def messages(self: _At4[T, N], event: N, **options: Unpack[ReadOptions]) -> Messages[T]: ...
        @overload
        def messages(self: _At5[T, N], event: N, **options: Unpack[ReadOptions]) -> Messages[T]: ...
        @overload
        def messages(self: _At6[T, N], event: N, **options: Unpack[ReadOptions]) -> Messages[T]: ...
        @overload
        def messages(self: _At7[T, N], event: N, **options: Unpack[ReadOptions]) -> Messages[T]: ...
        @overload
        def messages(self: _At8[T, N], event: N, **options: Unpack[ReadOptions]) -> Messages[T]: ...
        @overload
        def messages(self: _At9[T, N], event: N, **options: Unpack[ReadOptions]) -> Messages[T]: ...
        @overload
        def messages(self: _At10[T, N], event: N, **options: Unpack[ReadOptions]) -> Messages[T]: ...
        @overload
        def messages(self: _At11[T, N], event: N, **options: Unpack[ReadOptions]) -> Messages[T]: ...
        @overload
        def messages(
            self: ChannelTypes[tuple[M1], Any], event: None = None, **options: Unpack[ReadOptions]
        ) -> AnyMessages[M1]: ...
        @overload
        def messages(
            self: ChannelTypes[tuple[M1, M2], Any], event: None = None, **options: Unpack[ReadOptions]
        ) -> AnyMessages[M1 | M2]: ...
        @overload
        def messages(
            self: ChannelTypes[tuple[M1, M2, M3], Any], event: None = None, **options: Unpack[ReadOptions]
        ) -> AnyMessages[M1 | M2 | M3]: ...
        @overload
        def messages(
            self: ChannelTypes[tuple[M1, M2, M3, M4], Any], event: None = None, **options: Unpack[ReadOptions]
        ) -> AnyMessages[M1 | M2 | M3 | M4]: ...
        @overload
        def messages(
            self: ChannelTypes[tuple[M1, M2, M3, M4, M5], Any], event: None = None, **options: Unpack[ReadOptions]
        ) -> AnyMessages[M1 | M2 | M3 | M4 | M5]: ...
        @overload
        def messages(
            self: ChannelTypes[tuple[M1, M2, M3, M4, M5, M6], Any], event: None = None, **options: Unpack[ReadOptions]
        ) -> AnyMessages[M1 | M2 | M3 | M4 | M5 | M6]: ...
        @overload
        def messages(
            self: ChannelTypes[tuple[M1, M2, M3, M4, M5, M6, M7], Any],
            event: None = None,
            **options: Unpack[ReadOptions],
        ) -> AnyMessages[M1 | M2 | M3 | M4 | M5 | M6 | M7]: ...
        @overload
        def messages(
            self: ChannelTypes[tuple[M1, M2, M3, M4, M5, M6, M7, M8], Any],
            event: None = None,
            **options: Unpack[ReadOptions],
        ) -> AnyMessages[M1 | M2 | M3 | M4 | M5 | M6 | M7 | M8]: ...
        @overload
        def messages(
            self: ChannelTypes[tuple[M1, M2, M3, M4, M5, M6, M7, M8, M9], Any],
            event: None = None,
            **options: Unpack[ReadOptions],
        ) -> AnyMessages[M1 | M2 | M3 | M4 | M5 | M6 | M7 | M8 | M9]: ...
        @overload
        def messages(
            self: ChannelTypes[tuple[M1, M2, M3, M4, M5, M6, M7, M8, M9, M10], Any],
            event: None = None,
            **options: Unpack[ReadOptions],
        ) -> AnyMessages[M1 | M2 | M3 | M4 | M5 | M6 | M7 | M8 | M9 | M10]: ...
        @overload
        def messages(
            self: ChannelTypes[tuple[M1, M2, M3, M4, M5, M6, M7, M8, M9, M10, M11], Any],
            event: None = None,
            **options: Unpack[ReadOptions],
        ) -> AnyMessages[M1 | M2 | M3 | M4 | M5 | M6 | M7 | M8 | M9 | M10 | M11]: ...
        @overload
        def messages(
            self: ChannelTypes[tuple[M1, M2, M3, M4, M5, M6, M7, M8, M9, M10, M11, M12], Any],
            event: None = None,
            **options: Unpack[ReadOptions],
        ) -> AnyMessages[M1 | M2 | M3 | M4 | M5 | M6 | M7 | M8 | M9 | M10 | M11 | M12]: ...
        def messages(self, event: Any = None, data: Any = None, **options: Any) -> Any: ...

        async def update_presence(self, data: S | None = None, **fields: Any) -> None: ...

        @property
        def presence(self) -> Presence[S]: ...

        async def get_presence(self) -> Presence[S]: ...

    _At0 = ChannelTypes[tuple[Message[T, N], *tuple[Any, ...]], Any]
    _At1 = ChannelTypes[tuple[Any, Message[T, N], *tuple[Any, ...]], Any]
    _At2 = ChannelTypes[tuple[Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At3 = ChannelTypes[tuple[Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At4 = ChannelTypes[tuple[Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At5 = ChannelTypes[tuple[Any, Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At6 = ChannelTypes[tuple[Any, Any, Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At7 = ChannelTypes[tuple[Any, Any, Any, Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At8 = ChannelTypes[tuple[Any, Any, Any, Any, Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At9 = ChannelTypes[tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At10 = ChannelTypes[tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At11 = ChannelTypes[
        tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any
    ]

else:

    class ChannelTypes:
        """Nothing: the types are for type checkers."""

        __class_getitem__ = classmethod(GenericAlias)


class Channel(ChannelTypes[E_co, S], ChannelBase):  # type: ignore[misc]
    """Made by ``Realtime.channel``; ``async with channel:`` subscribes and unsubscribes.

    In brackets the types of its events and of the state of present users, for type checkers: ``Channel[Events, State]``.
    ``Events`` is a tuple of up to 12: ``tuple[Message[Text, Literal["text"]], Message[Typing, Literal["typing"]]]``.

    Events:
        *an event's name*: a ``Message`` with that event. ``*``: every message.
        ``presence:join``, ``presence:update``, ``presence:leave``: a ``User``.
        ``room:created``, ``room:updated``, ``room:closed``: the room's settings as a dictionary.
        ``subscribed``: the subscription is (again) open.
        ``gap``: some messages will not come: after a reconnect they had expired, or the server has lost some of a channel
            without history; read the page anew. It comes with the position before them.
        ``error``: a ``RealtimeError``: the subscription has ended, or a message could not be decrypted (``RT_007``).
    """
