"""The numbers that PostgreSQL reads as ``real``: strtof(3), which float4in calls, makes them neither infinite nor zero."""

from __future__ import annotations

import ctypes
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.query.builder.values import _fits_float4

_strtof = ctypes.CDLL(None).strtof
_strtof.restype, _strtof.argtypes = ctypes.c_float, [ctypes.c_char_p, ctypes.c_void_p]

LARGEST, SMALLEST = Decimal((2**24 - 1) * 2**104), Decimal(math.ldexp(1.0, -149))
INFINITE, ZERO = Decimal((2**25 - 1) * 2**103), Decimal(math.ldexp(1.0, -150))


def is_read(text: str) -> bool:
    value = float(_strtof(text.encode(), None))
    return math.isfinite(value) and (value != 0 or Decimal(text) == 0)


@pytest.mark.parametrize(
    "text",
    [
        "0", "-0", "0e-999", "1e39", "-1e39", "1e999", "1e-999", "0.1", str(LARGEST), f"-{LARGEST}", str(SMALLEST),
        str(INFINITE), str(INFINITE - 1), "3.4028235677973366e38", "-3.4028235677973366e38", "3.4028235677973367e38",
        str(ZERO), f"{ZERO}1", "7.006492321624085e-46", "7.006492321624086e-46",
    ],
)  # fmt: skip
def test_the_limits_of_real_are_postgresqls(text: str) -> None:
    assert _fits_float4(Decimal(text)) is is_read(text)


@given(st.sampled_from([LARGEST, INFINITE, SMALLEST, ZERO]), st.integers(-(10**6), 10**6), st.integers(1, 30))
def test_numbers_near_the_limits_of_real_are_judged_as_postgresql_does(near: Decimal, off: int, digits: int) -> None:
    number = near + off * Decimal(10) ** (near.adjusted() - digits)
    assert _fits_float4(number) is is_read(str(number))
