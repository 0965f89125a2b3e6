"""Methods that still work, for those who know them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

__all__ = ["withdrawn"]

F = TypeVar("F", bound=Callable[..., Any])


def withdrawn(instead: str) -> Callable[[F], F]:
    """Its calls are a ``DeprecationWarning`` that names what to use in its place: ``instead``."""

    def mark(method: F) -> F:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            warnings.warn(f"{method.__name__}() is withdrawn: use {instead}", DeprecationWarning, stacklevel=2)
            return method(*args, **kwargs)

        call.__deprecated__ = instead  # type: ignore[attr-defined]
        return cast("F", call)

    return mark
