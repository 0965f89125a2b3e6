"""What is wrong with the settings is reported without the value of any setting with a secret."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any, Final

import pytest

from server.app.loading import load_settings
from server.app.settings import PREFIX, WITH_SECRETS, Settings, SettingsError

SECRET: Final = "s3cr3t-w0rd-" + "f" * 32
DSN: Final = f"postgresql://ada:{SECRET}@db.example/app"
SECRETS: Final[dict[str, Any]] = {
    "alert_webhook": {"url": "https://hooks.example", "secret": "whsec_" + "czNjcjN0" * 4},
    "auth_handler": {"url": "https://auth.example", "secret": "whsec_" + "czNjcjN0" * 4},
    "auth_issuers": [{"issuer": "https://a.example", "audience": "app", "secret": SECRET}],
    "dsn": DSN,
    "nats_url": [f"nats://ada:{SECRET}@nats.example:4222"],
    "pooled_dsn": DSN,
    "rest_key": SECRET,
}
HIDDEN: Final = (SECRET, "czNjcjN0")

TOGETHER: Final[dict[str, dict[str, Any]]] = {
    "tls_key is given without tls_certificate": {"tls_key": "key.pem"},
    "proxy_protocol is given without trusted_proxies": {"proxy_protocol": True},
    "proxy_protocol and tls_certificate exclude each other": {
        "proxy_protocol": True,
        "trusted_proxies": ["10.0.0.1"],
        "tls_certificate": "a.pem",
    },
}
OF_ANOTHER_KIND: Final[tuple[Any, ...]] = (
    SECRET,
    [SECRET],
    {"secret": SECRET},
    {"url": SECRET, "secret": SECRET},
    {"function": "a.b", "secret": SECRET},
    {"url": f"https://ada:{SECRET}@a.example", "secret": SECRET, "timeout": -1},
    [{"secret": SECRET}],
    [{"secret": [SECRET]}],
    [{"secret": SECRET, "jwks_url": f"https://a.example/{SECRET}#x"}],
    [{"issuer": "a", "secret": SECRET}, {"issuer": "a", "secret": SECRET}],
    [{"secret": SECRET, "algorithms": ["RS256"]}],
    [{"issuer": "a", "secret": SECRET, "sceret": SECRET}],
)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REALTIME_DSN", raising=False)


def refusal(**flags: object) -> SettingsError | None:
    """The error of these settings beside those with secrets."""
    try:
        load_settings(None, **{**SECRETS, **flags})
    except SettingsError as wrong:
        return wrong
    return None


def shows_no_secret(wrong: SettingsError) -> bool:
    """Neither in its text nor in its traceback, which has that of the library's error."""
    shown = str(wrong) + "".join(traceback.format_exception(wrong))
    return not any(secret in shown for secret in HIDDEN)


def test_every_setting_with_a_secret_has_one_in_these_tests() -> None:
    assert sorted(SECRETS) == sorted(WITH_SECRETS)
    assert refusal() is None


@pytest.mark.parametrize("reason", sorted(TOGETHER))
def test_an_error_that_concerns_several_settings_shows_its_reason_and_no_setting(reason: str) -> None:
    wrong = refusal(**TOGETHER[reason])
    assert wrong is not None
    assert str(wrong).startswith("wrong settings: --")  # the place of the first of them
    assert f": {reason}" in str(wrong)
    assert "got" not in str(wrong)
    assert shows_no_secret(wrong)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_wrong_value_of_any_setting_shows_no_secret_of_the_others(name: str) -> None:
    wrong = refusal(**{name: {"of": ["another kind"]}})
    assert wrong is not None
    assert name in str(wrong)
    assert shows_no_secret(wrong)


@pytest.mark.parametrize("name", sorted(WITH_SECRETS))
def test_a_wrong_value_of_a_setting_with_a_secret_is_not_shown_at_any_depth(name: str) -> None:
    found = [wrong for value in OF_ANOTHER_KIND if (wrong := refusal(**{name: value})) is not None]
    assert len(found) >= len(OF_ANOTHER_KIND) - 2
    assert [str(wrong) for wrong in found if not shows_no_secret(wrong)] == []


def test_broken_json_in_the_environment_and_a_broken_file_show_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "realtime.toml"
    file.write_text(f'rest_key = "{SECRET}\n')
    with pytest.raises(SettingsError) as wrong:
        load_settings(file)
    assert shows_no_secret(wrong.value)
    monkeypatch.setenv(f"{PREFIX}AUTH_ISSUERS", json.dumps(SECRETS["auth_issuers"])[:-1])
    with pytest.raises(SettingsError) as wrong:
        load_settings()
    assert shows_no_secret(wrong.value)
