"""The type variables of values that an application gets to see: what a document, or a message's data, is.

With their defaults a name without brackets means what it did before it took a type: ``Snapshot`` is one whose documents are
any objects. Only type checkers read defaults, as Python itself has them from 3.13 on; mypy and pyright have the types of
``typing_extensions`` of their own, so it need not be installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

__all__ = ["D", "D_co", "T", "T_co"]

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    D = TypeVar("D", bound=Mapping[str, Any], default=Mapping[str, Any])
    D_co = TypeVar("D_co", bound=Mapping[str, Any], default=Mapping[str, Any], covariant=True)
    T = TypeVar("T", default=Any)
    T_co = TypeVar("T_co", default=Any, covariant=True)
else:
    from typing import TypeVar

    D, D_co = TypeVar("D"), TypeVar("D_co", covariant=True)
    T, T_co = TypeVar("T"), TypeVar("T_co", covariant=True)
