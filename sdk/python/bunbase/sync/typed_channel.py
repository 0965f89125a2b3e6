"""What a channel of synchronous code carries, for type checkers alone: see ``client/typed_channel.py``."""

from __future__ import annotations

from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic

from bunbase.protocol.model import Ack, Message, Presence
from bunbase.protocol.type_variables import E_co, N, S, T
from bunbase.sync.channel import SyncChannelBase
from bunbase.sync.iterator import SyncIterator

__all__ = ["SyncChannel"]

if TYPE_CHECKING:
    from typing import Never, TypeVar, Unpack, overload

    from bunbase.client.typed_channel import ReadOptions, SendOptions

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

    class TimedOptions(ReadOptions, total=False):
        """The options of ``SyncChannel.messages``."""

        timeout: float | None

    class SyncChannelTypes(Generic[E_co, S]):
        """The methods of ``SyncChannel`` whose types depend on events and state."""

        # Without types: as ``SyncChannel`` has them.
        @overload
        def send(
            self: SyncChannelTypes[Never, Any], event: str, data: object = None, **options: Unpack[SendOptions]
        ) -> Ack: ...
        @overload
        def send(self: _At0[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        def send(self: _At1[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        def send(self: _At2[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        def send(self: _At3[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        def send(self: _At4[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        def send(self: _At5[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        def send(self: _At6[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        def send(self: _At7[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        def send(self: _At8[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        def send(self: _At9[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        def send(self: _At10[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        @overload
        def send(self: _At11[T, N], event: N, data: T, **options: Unpack[SendOptions]) -> Ack: ...
        def send(self, event: Any, data: Any = None, **options: Any) -> Any: ...

        @overload
        def messages(
            self: SyncChannelTypes[Never, Any], event: str | None = None, **options: Unpack[TimedOptions]
        ) -> SyncIterator[Message]: ...
        @overload
        def messages(
            self, event: str | None, data: type[T], **options: Unpack[TimedOptions]
        ) -> SyncIterator[Message[T]]: ...
        @overload
        def messages(self: _At0[T, N], event: N, **options: Unpack[TimedOptions]) -> SyncIterator[Message[T]]: ...
        @overload
        def messages(self: _At1[T, N], event: N, **options: Unpack[TimedOptions]) -> SyncIterator[Message[T]]: ...
        @overload
        def messages(self: _At2[T, N], event: N, **options: Unpack[TimedOptions]) -> SyncIterator[Message[T]]: ...
        @overload
        def messages(self: _At3[T, N], event: N, **options: Unpack[TimedOptions]) -> SyncIterator[Message[T]]: ...
        @overload
        def messages(self: _At4[T, N], event: N, **options: Unpack[TimedOptions]) -> SyncIterator[Message[T]]: ...
        @overload
        def messages(self: _At5[T, N], event: N, **options: Unpack[TimedOptions]) -> SyncIterator[Message[T]]: ...
        @overload
        def messages(self: _At6[T, N], event: N, **options: Unpack[TimedOptions]) -> SyncIterator[Message[T]]: ...
        @overload
        def messages(self: _At7[T, N], event: N, **options: Unpack[TimedOptions]) -> SyncIterator[Message[T]]: ...
        @overload
        def messages(self: _At8[T, N], event: N, **options: Unpack[TimedOptions]) -> SyncIterator[Message[T]]: ...
        @overload
        def messages(self: _At9[T, N], event: N, **options: Unpack[TimedOptions]) -> SyncIterator[Message[T]]: ...
        @overload
        def messages(self: _At10[T, N], event: N, **options: Unpack[TimedOptions]) -> SyncIterator[Message[T]]: ...
        @overload
        def messages(self: _At11[T, N], event: N, **options: Unpack[TimedOptions]) -> SyncIterator[Message[T]]: ...
        @overload
        def messages(
            self: SyncChannelTypes[tuple[M1], Any], event: None = None, **options: Unpack[TimedOptions]
        ) -> SyncIterator[M1]: ...
        @overload
        def messages(
            self: SyncChannelTypes[tuple[M1, M2], Any], event: None = None, **options: Unpack[TimedOptions]
        ) -> SyncIterator[M1 | M2]: ...
        @overload
        def messages(
            self: SyncChannelTypes[tuple[M1, M2, M3], Any], event: None = None, **options: Unpack[TimedOptions]
        ) -> SyncIterator[M1 | M2 | M3]: ...
        @overload
        def messages(
            self: SyncChannelTypes[tuple[M1, M2, M3, M4], Any], event: None = None, **options: Unpack[TimedOptions]
        ) -> SyncIterator[M1 | M2 | M3 | M4]: ...
        @overload
        def messages(
            self: SyncChannelTypes[tuple[M1, M2, M3, M4, M5], Any], event: None = None, **options: Unpack[TimedOptions]
        ) -> SyncIterator[M1 | M2 | M3 | M4 | M5]: ...
        @overload
        def messages(
            self: SyncChannelTypes[tuple[M1, M2, M3, M4, M5, M6], Any],
            event: None = None,
            **options: Unpack[TimedOptions],
        ) -> SyncIterator[M1 | M2 | M3 | M4 | M5 | M6]: ...
        @overload
        def messages(
            self: SyncChannelTypes[tuple[M1, M2, M3, M4, M5, M6, M7], Any],
            event: None = None,
            **options: Unpack[TimedOptions],
        ) -> SyncIterator[M1 | M2 | M3 | M4 | M5 | M6 | M7]: ...
        @overload
        def messages(
            self: SyncChannelTypes[tuple[M1, M2, M3, M4, M5, M6, M7, M8], Any],
            event: None = None,
            **options: Unpack[TimedOptions],
        ) -> SyncIterator[M1 | M2 | M3 | M4 | M5 | M6 | M7 | M8]: ...
        @overload
        def messages(
            self: SyncChannelTypes[tuple[M1, M2, M3, M4, M5, M6, M7, M8, M9], Any],
            event: None = None,
            **options: Unpack[TimedOptions],
        ) -> SyncIterator[M1 | M2 | M3 | M4 | M5 | M6 | M7 | M8 | M9]: ...
        @overload
        def messages(
            self: SyncChannelTypes[tuple[M1, M2, M3, M4, M5, M6, M7, M8, M9, M10], Any],
            event: None = None,
            **options: Unpack[TimedOptions],
        ) -> SyncIterator[M1 | M2 | M3 | M4 | M5 | M6 | M7 | M8 | M9 | M10]: ...
        @overload
        def messages(
            self: SyncChannelTypes[tuple[M1, M2, M3, M4, M5, M6, M7, M8, M9, M10, M11], Any],
            event: None = None,
            **options: Unpack[TimedOptions],
        ) -> SyncIterator[M1 | M2 | M3 | M4 | M5 | M6 | M7 | M8 | M9 | M10 | M11]: ...
        @overload
        def messages(
            self: SyncChannelTypes[tuple[M1, M2, M3, M4, M5, M6, M7, M8, M9, M10, M11, M12], Any],
            event: None = None,
            **options: Unpack[TimedOptions],
        ) -> SyncIterator[M1 | M2 | M3 | M4 | M5 | M6 | M7 | M8 | M9 | M10 | M11 | M12]: ...
        def messages(self, event: Any = None, data: Any = None, **options: Any) -> Any: ...

        def update_presence(self, data: S | None = None, **fields: Any) -> None: ...

        def get_presence(self) -> Presence[S]: ...

    _At0 = SyncChannelTypes[tuple[Message[T, N], *tuple[Any, ...]], Any]
    _At1 = SyncChannelTypes[tuple[Any, Message[T, N], *tuple[Any, ...]], Any]
    _At2 = SyncChannelTypes[tuple[Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At3 = SyncChannelTypes[tuple[Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At4 = SyncChannelTypes[tuple[Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At5 = SyncChannelTypes[tuple[Any, Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At6 = SyncChannelTypes[tuple[Any, Any, Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At7 = SyncChannelTypes[tuple[Any, Any, Any, Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At8 = SyncChannelTypes[tuple[Any, Any, Any, Any, Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At9 = SyncChannelTypes[tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any]
    _At10 = SyncChannelTypes[
        tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any
    ]
    _At11 = SyncChannelTypes[
        tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any, Any, Any, Message[T, N], *tuple[Any, ...]], Any
    ]

else:

    class SyncChannelTypes:
        """Nothing: the types are for type checkers."""

        __class_getitem__ = classmethod(GenericAlias)


class SyncChannel(SyncChannelTypes[E_co, S], SyncChannelBase):  # type: ignore[misc]
    """Made by ``SyncRealtime.channel``; ``with channel:`` subscribes and unsubscribes. Raises what ``Channel`` does.

    In brackets the types of its events and of the state of present users, see ``Channel``.
    """
