"""Which addresses are admitted."""

from __future__ import annotations

import pytest

from engine.identity.address_lists import AddressLists
from server.app.loading import load_settings
from server.app.settings import SettingsError


@pytest.mark.parametrize(
    ("allowed", "denied", "client", "admitted"),
    [
        ((), (), "192.0.2.1", True),
        ((), (), None, True),
        ((), ("192.0.2.0/24",), "192.0.2.1", False),
        ((), ("192.0.2.0/24",), "192.0.3.1", True),
        ((), ("192.0.2.77/24",), "192.0.2.1", False),
        (("192.0.2.0/24",), (), "192.0.3.1", False),
        (("192.0.2.0/24",), ("192.0.2.7",), "192.0.2.7", False),
        (("192.0.2.0/24",), ("192.0.2.7",), "192.0.2.8", True),
        ((), ("192.0.2.0/24",), "::ffff:192.0.2.1", False),
        ((), ("::ffff:192.0.2.0/120",), "192.0.2.1", False),
        ((), ("::ffff:192.0.2.0/120",), "192.0.3.1", True),
        (("::ffff:192.0.2.1",), (), "::ffff:192.0.2.1", True),
        (("::ffff:0:0/96",), (), "198.51.100.1", True),
        (("2001:db8::/32",), (), "2001:db8::1", True),
        (("2001:db8::/32",), (), "192.0.2.1", False),
        (("fe80::/10",), (), "fe80::1%eth0", True),
        (("192.0.2.0/24",), (), None, False),
        ((), ("192.0.2.0/24",), "unknown", False),
    ],
)
def test_a_denied_address_is_refused_and_an_allowed_one_admitted(
    allowed: tuple[str, ...], denied: tuple[str, ...], client: str | None, admitted: bool
) -> None:
    lists = AddressLists(allowed, denied)
    assert lists.admit(client) is admitted
    assert lists.refused == (not admitted)


def test_lists_come_from_the_environment_and_a_wrong_network_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_ALLOWED_IPS", "10.0.0.0/8, 2001:db8::/32")
    assert load_settings(None).allowed_ips == ("10.0.0.0/8", "2001:db8::/32")
    monkeypatch.setenv("REALTIME_DENIED_IPS", "10.0.0.0/33")
    with pytest.raises(SettingsError, match=r"10\.0\.0\.0/33"):
        load_settings(None)
