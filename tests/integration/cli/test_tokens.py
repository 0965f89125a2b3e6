"""``realtime token``, and what the start, the doctor and /health report of insecure settings."""

from __future__ import annotations

import json

import pytest

from server.app.insecure import insecure_settings
from server.app.loading import load_settings
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


async def test_the_start_the_doctor_and_the_health_name_the_same_insecure_settings(database: str) -> None:
    insecure = {
        "host": "0.0.0.0",
        "trust_user_parameter": True,
        "auth_issuers": [{"issuer": ISSUER, "secret": SECRET}],
        "rest_key": "correct horse",
        "content_hook": "tests.support.programs.content_hook:yes",
        "content_hook_errors": "allow",
    }
    expected = insecure_settings(load_settings(None, **insecure))
    assert len(expected) == 7, "several, one of them made of two settings"
    async with serving(database, free_port(), slot_name=slot_name(), ephemeral=True, **insecure) as server:
        assert (await server.health("correct horse"))[1]["insecure"] == list(expected)
        warned = [json.loads(line) for line in server.lines if "insecure_setting" in line]
    assert {each["setting"]: each["reason"] for each in warned} == expected
    findings = [each for each in diagnose(database, load_settings(None, **insecure)) if each.level == "warn"]
    named = [each.text.partition(": ")[0] for each in findings if each.text.partition(": ")[0] in expected]
    assert named == list(expected)
