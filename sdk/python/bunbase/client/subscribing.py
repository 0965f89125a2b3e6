"""What ``Channel.subscribe`` returns: a coroutine that also names the use of the channel that it begins."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any

from bunbase.core.use_count import Use
from bunbase.protocol.type_variables import T

__all__ = ["Subscribing"]


class Subscribing(Coroutine[Any, Any, T]):
    """Await it once, as any coroutine; that begins the use. Given to ``Channel.unsubscribe`` it ends that very one."""

    def __init__(self, use: Use, coroutine: Coroutine[Any, Any, T]) -> None:
        self._use = use
        self._coroutine = coroutine

    @staticmethod
    def use_of(what: object) -> Use | None:
        """The use that it begins; None if it is something else."""
        return what._use if isinstance(what, Subscribing) else None

    def __repr__(self) -> str:
        return f"<Subscribing {self._coroutine!r}>"

    def __await__(self) -> Generator[Any, Any, T]:
        return self._coroutine.__await__()

    def send(self, value: Any, /) -> Any:
        """See ``Coroutine``."""
        return self._coroutine.send(value)

    def throw(self, kind: Any, value: Any = None, trace: TracebackType | None = None, /) -> Any:
        """See ``Coroutine``."""
        if value is None and trace is None:
            return self._coroutine.throw(kind)
        return self._coroutine.throw(kind, value, trace)

    def close(self) -> None:
        """See ``Coroutine``."""
        self._coroutine.close()
