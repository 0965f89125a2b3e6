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
    with pytest.raises(InvalidMessageError, match="at most 1048576 are allowed"):
        check_storable(Decimal("1e1048577"))


def test_a_message_of_plain_values_is_taken_at_once_only_while_its_numbers_cannot_be_too_many() -> None:
    few = {f"{number}": 1e300 for number in range(1_000)}
    check_storable(few)  # so that nothing is passed over where they are not looked at
    assert check_payload(json.dumps(few).encode()) == few
    many = {f"{number}": 1e300 for number in range(4_000)}
    with pytest.raises(InvalidMessageError, match="1240000 digits more"):
        check_payload(json.dumps(many).encode())


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
