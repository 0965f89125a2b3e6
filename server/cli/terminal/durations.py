"""Lengths of time as they are typed."""

from __future__ import annotations

import re
from typing import Final

import typer

__all__ = ["seconds_of"]

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")


def seconds_of(text: str, option: str) -> int:
    """The seconds of a text such as ``30s``, ``10m``, ``8h`` or ``1d``.

    Raises ``typer.BadParameter``, which names the option.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time such as 30s, 10m, 8h or 1d", param_hint=option)
    return int(found[1]) * _UNITS[found[2]]
