"""``realtime token``, and what the start, the doctor and /health report of insecure settings."""

from __future__ import annotations

import json

import pytest

from server.app.insecure import insecure_settings
from server.app.settings import load_settings
from server.auth.tokens import TokenVerifier
from server.cli.doctor.diagnose import diagnose
from tests.support.clients.list_client import slot_name
from tests.support.ports import free_port
from tests.support.servers.commands import realtime
from tests.support.servers.processes import serving
from tests.support.values.tokens import AUDIENCE, ISSUER, LONG_SECRET, SECRET, pem

ISSUERS = [
    {"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET},
    {"issuer": "https://other.example", "secret": LONG_SECRET, "algorithms": "HS512", "user_claim": "uid"},
    {"issuer": "https://rsa.example", "public_key": pem("RS256")},
]


def made(*arguments: str) -> str:
    done = realtime("token", *arguments, REALTIME_AUTH_ISSUERS=json.dumps(ISSUERS))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_a_token_for_trying_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_AUTH_ISSUERS", json.dumps(ISSUERS))
    verifier = TokenVerifier(load_settings().auth_issuers)
    ada = verifier.verify_now(made("ada", "--claim", "role=editor", "--claim", 'teams=["red"]', "--expires", "8h"))
    assert ada is not None
    assert (ada.user_id, ada.visibility.role, ada.claims["teams"]) == ("ada", "editor", ["red"])
    assert ada.claims["exp"] - ada.claims["iat"] == 8 * 3600
    bob = verifier.verify_now(made("bob", "--issuer", "https://other.example"))
    assert bob is not None
    assert bob.user_id == "bob"


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("ada", "--issuer", "https://rsa.example"), 1, "no issuer 'https://rsa.example' with a secret"),
        (("ada", "--claim", "role"), 2, "'role' is not NAME=VALUE"),
        (("ada", "--claim", "role=[]"), 1, "the claim role is no role"),
        (("ada", "--expires", "soon"), 2, "'soon' is no time such as 30s"),
        (("",), 1, "the claim sub is no id of a user"),
    ],
)
def test_a_token_that_cannot_be_made_is_an_error_in_words(arguments: tuple[str, ...], code: int, reason: str) -> None:
    done = realtime("token", *arguments, REALTIME_AUTH_ISSUERS=json.dumps(ISSUERS))
    assert done.returncode == code
    assert reason in " ".join(done.stderr.replace("│", "").split())
    assert SECRET not in done.stdout + done.stderr


def test_without_a_secret_there_is_no_token() -> None:
    done = realtime("token", "ada")
    assert done.returncode == 1
    assert "auth_issuers has no issuer with a secret to sign with" in done.stderr


@pytest.mark.parametrize(
    ("settings", "insecure"),
    [
        ({}, ["allowed_origins"]),
        ({"trust_user_parameter": True}, ["trust_user_parameter", "allowed_origins"]),
        ({"host": "0.0.0.0"}, ["allow_anonymous", "allowed_origins"]),
        ({"host": "::1", "allowed_origins": ("https://a.example",)}, []),
        ({"host": "localhost", "allowed_origins": ("https://a.example",)}, []),
        ({"host": "db.internal", "allowed_origins": ("https://a.example",)}, ["allow_anonymous"]),
        ({"host": "0.0.0.0", "allow_anonymous": False}, []),
    ],
    ids=str,
)
def test_insecure_settings_are_named(settings: dict[str, object], insecure: list[str]) -> None:
    assert list(insecure_settings(load_settings(None, **settings))) == insecure


async def test_the_start_the_doctor_and_the_health_name_an_insecure_setting(database: str) -> None:
    config = {"trust_user_parameter": True, "slot_name": slot_name(), "ephemeral": True}
    async with serving(database, free_port(), **config) as server:
        assert (await server.healthy())["insecure"] == ["trust_user_parameter", "allowed_origins"]
        assert [line for line in server.lines if "insecure_setting" in line and "trust_user_parameter" in line]
    findings = diagnose(database, load_settings(None, trust_user_parameter=True))
    [finding] = [each for each in findings if each.text.startswith("trust_user_parameter")]
    assert (finding.level, finding.remedy) == ("warn", "For development only: remove it, and accept tokens.")
