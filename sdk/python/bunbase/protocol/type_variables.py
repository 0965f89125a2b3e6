"""The type variables of what an application gets to see: what a document, a message's data, or a user's state is.

With their defaults a name without brackets means what it did before it took a type: ``Snapshot`` is one whose documents are
any objects. Only type checkers read defaults, as Python itself has them from 3.13 on; mypy and pyright have the types of
``typing_extensions`` of their own, so it need not be installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

__all__ = ["D", "D_co", "E_co", "N", "N_co", "R", "S", "S_co", "T", "T_co"]

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    D = TypeVar("D", bound=Mapping[str, Any], default=Mapping[str, Any])
    D_co = TypeVar("D_co", bound=Mapping[str, Any], default=Mapping[str, Any], covariant=True)
    T = TypeVar("T", default=Any)
    T_co = TypeVar("T_co", default=Any, covariant=True)
    N = TypeVar("N", bound=str, default=str)
    N_co = TypeVar("N_co", bound=str, default=str, covariant=True)
    E_co = TypeVar("E_co", default=Any, covariant=True)
    R = TypeVar("R", default=Any)
    S = TypeVar("S", bound=Mapping[str, Any], default=Any)
    S_co = TypeVar("S_co", bound=Mapping[str, Any], default=Mapping[str, Any], covariant=True)
else:
    from typing import TypeVar

    D, D_co = TypeVar("D"), TypeVar("D_co", covariant=True)
    T, T_co = TypeVar("T"), TypeVar("T_co", covariant=True)
    N, N_co, E_co = TypeVar("N"), TypeVar("N_co", covariant=True), TypeVar("E_co", covariant=True)
    R, S, S_co = TypeVar("R"), TypeVar("S"), TypeVar("S_co", covariant=True)
