"""One limit for numbers that become long when PostgreSQL writes them out; its size is given where it is asked for."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from server.auth.identity import HandshakeRejectedError, HandshakeRequest, principal_of
from server.protocol.validation import InvalidMessageError, check_payload, check_storable
from server.session.subscribe_options import InvalidPresenceError, presence_data


def test_numbers_may_gain_as_many_digits_as_the_caller_allows() -> None:
    check_storable([Decimal("1e100"), Decimal("1e-100")], max_expansion=200)
    with pytest.raises(InvalidMessageError, match=r"^x: its numbers have 201 digits more .*; at most 200 are allowed$"):
        check_storable([Decimal("1e101"), Decimal("1e-100")], max_expansion=200, field="x")
    with pytest.raises(InvalidMessageError, match="at most 131072 are allowed"):
        check_storable(Decimal("1e131073"))


def _refusal(data: bytes) -> str | None:
    try:
        check_payload(data)
    except InvalidMessageError as wrong:
        return str(wrong)
    return None


NUMBERS = [
    "1e-16383",
    "1e-324",
    "5e-324",
    "1.5e300",
    "1e16",
    "0e-16383",
    "1e-000000000016383",
    "-1e-99",
    "12345678901234567890e50",
]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("around", ["[%s]", '{"a": {"b": [%s]}}', '{"c": "3e8f", "a": [%s]}'])
def test_what_postgresql_writes_out_is_a_few_times_as_long_as_the_message(number: str, around: str) -> None:
    """Whatever a double makes of the number: many are read as 0 or alike, and have thousands of digits in a table."""
    digits = len(f"{Decimal(number):f}") - len(number)
    for times in (1, 10, 100, 1_000, 3_000):
        data = (around % ",".join([number] * times)).encode()
        if (refused := _refusal(data)) is None:
            assert digits * times < 4_096 + 9 * len(data)
            assert digits * times < 132_000
        else:
            assert "digits more" in refused
            assert digits * times > 4_096 + 7 * len(data) or digits * times > 120_000, "that is little"


@pytest.mark.parametrize("number", NUMBERS)
def test_the_numbers_of_flat_messages_count_as_those_of_others(number: str) -> None:
    flat = "{" + ",".join(f'"{each}": {number}' for each in range(900)) + "}"
    nested = flat[:-1] + ', "list": []}'
    one, other = ((_refusal(each.encode()) or "").partition(";")[0] for each in (flat, nested))
    assert one == other


def test_a_value_that_another_of_its_key_hides_counts_too() -> None:
    hidden = ", ".join(['"a": 1e-16383'] * 100)
    assert "digits more" in (_refusal(f'{{{hidden}, "a": 1}}'.encode()) or "")
    assert check_payload(b'{"at": "12:30:05", "in": "a:b", "n": 1.5}')


def test_measured_values_are_taken() -> None:
    """Constants of physics, and what sensors report."""
    for number in ("6.62607015e-34", "1.602176634e-19", "6.02214076e23", "1.5e3", "3e-9"):
        data = f"[{', '.join([number] * 3_000)}]"
        assert len(check_payload(data.encode())) == 3_000


@pytest.mark.parametrize("value", [1.5, -2.25e-7, "1e5", True, None, 7])
def test_a_message_of_one_value_is_read_whatever_it_is(value: object) -> None:
    data = json.dumps(value).encode()
    assert check_payload(data) == value
    assert check_payload(b'{"at":%b}' % data) == {"at": value}


def test_the_digits_of_presence_count_with_its_bytes() -> None:
    assert presence_data({"metadata": {"n": Decimal("1e4000")}})
    with pytest.raises(InvalidPresenceError, match=r"4090 digits more .*; at most 4070 are allowed"):
        presence_data({"metadata": {"n": Decimal("1e4090")}})


def test_the_digits_of_attributes_are_bounded_as_the_address_is() -> None:
    def attributes(number: str) -> HandshakeRequest:
        return HandshakeRequest(query={"user": "ann", "attributes": f'{{"n": {number}}}'})

    assert principal_of(attributes("1e8192"), trust_user_parameter=True).user_id == "ann"
    with pytest.raises(
        HandshakeRejectedError, match=r"^attributes: its numbers have 8193 .*; at most 8192 are allowed$"
    ):
        principal_of(attributes("1e8193"), trust_user_parameter=True)


@pytest.mark.parametrize("value", [r'"\u0000"', r'"a\u0000e1"', "9" * 20 + "e99", "1e-99"])
@pytest.mark.parametrize(
    "around", ["%s", '{"id": "3e8f", "a": %s}', '{"a": {"b": [%s]}}', '[%s, "3e8f", 12, true, null]']
)
def test_data_is_refused_for_its_values_wherever_they_are(around: str, value: str) -> None:
    number = "e" in value and "u0000" not in value
    times = 1 << 15 if number else 1
    data = f"[{', '.join([around % value] * times)}]" if number else around % value
    with pytest.raises(InvalidMessageError, match="digits more" if number else "the character NUL"):
        check_payload(data.encode())
    if not number and around.startswith("{"):
        with pytest.raises(InvalidMessageError, match="the character NUL"):
            check_payload((around % "1").replace('"a"', value).encode())


@pytest.mark.parametrize(
    "data", ['"3e8f"', '{"id": "3e8f", "n": 12, "b": true, "z": null}', "12", '{"x": 1.5, "y": [2e3]}']
)
def test_data_that_postgresql_stores_as_it_is_passes(data: str) -> None:
    assert check_payload(data.encode()) is not None
