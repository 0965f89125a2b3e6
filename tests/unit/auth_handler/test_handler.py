"""The operator's own handler: whom it lets in, and what clients get when it hangs, fails, or answers nonsense."""

from __future__ import annotations

import asyncio
import gzip
import hmac
import json
import re
import sys
import threading
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine.identity.principal import Principal
from server.app.loading import load_settings
from server.app.settings import SettingsError
from server.auth.refusal import AuthenticationError
from server.auth.tokens import TokenVerifier
from server.auth_handler.settings import HandlerSettings
from server.auth_handler.verifier import HandlerVerifier
from tests.support.ports import free_port
from tests.support.servers.auth_handlers import KEY, KNOWN, SECRET, asking, failure_of, judging
from tests.support.servers.processes import GIVE_UP_AFTER
from tests.support.values.tokens import claims, forged, issuer
from tests.support.values.tokens import token as jwt_of


async def test_the_identity_has_what_the_handler_answers() -> None:
    later = int(time.time()) + 3600
    full = {
        "userId": "ada",
        "role": "editor",
        "attributes": {"team": "red"},
        "claims": {"org": {"id": 7}, "sub": "eve", "role": "admin"},
        "expiresAt": later,
        "sessionId": "s-1",
    }
    async with asking() as (server, verifier):
        server.answer_with(full)
        found = await verifier.verify(KNOWN)
        assert (found.user_id, found.visibility.role, dict(found.attributes)) == ("ada", "editor", {"team": "red"})
        assert dict(found.claims) == {"sub": "ada", "role": "editor", "org": {"id": 7}}, "claims replace neither"
        assert (found.expires_at, found.session_id, found.authenticated) == (later, "s-1", True)
        [asked] = server.requests
        assert json.loads(asked.body) == {"type": "authenticate", "token": KNOWN}
        signed = f"{asked.headers['webhook-id']}.{asked.headers['webhook-timestamp']}.".encode() + asked.body
        kind, _, signature = asked.headers["webhook-signature"].partition(",")
        assert (kind, b64decode(signature)) == ("v1", hmac.digest(KEY, signed, "sha256"))
        assert abs(int(asked.headers["webhook-timestamp"]) - time.time()) < 600
        server.answer_with({"userId": 7, "expiresAt": 1})
        with pytest.raises(AuthenticationError, match="token expired"):
            await verifier.verify("another")


async def test_an_administrator_has_the_role_that_the_settings_name() -> None:
    for role, administrator in (("boss", True), ("editor", False), (None, False)):
        async with asking(admin_role="boss") as (server, verifier):
            server.answer_with({"userId": "ada"} | ({} if role is None else {"role": role}))
            assert (await verifier.verify(KNOWN)).administrator is administrator
            known = verifier.verify_now(KNOWN)
            assert known is not None
            assert known.administrator is administrator
    async with asking() as (server, verifier):
        server.answer_with({"userId": "ada", "role": "boss"})
        assert not (await verifier.verify(KNOWN)).administrator


async def test_clients_with_one_token_cause_one_question_and_each_has_its_own_principal() -> None:
    async with asking() as (server, verifier):
        server.answer_with({"userId": "ada"}, headers="Set-Cookie: user=ada\r\n")
        server.gate.clear()
        waiting = [asyncio.create_task(verifier.verify(KNOWN)) for _ in range(20)]
        await server.asked.wait()
        waiting[0].cancel()  # a client that gives up
        assert verifier.verify_now(KNOWN) is None
        server.gate.set()
        found = [each for each in await asyncio.gather(*waiting, return_exceptions=True) if isinstance(each, Principal)]
        assert len({id(each) for each in found}) == 19
        known = verifier.verify_now(KNOWN)
        assert known is not None
        assert known.user_id == "ada"
        assert len(server.requests) == 1
        server.answer_with({"refused": "gone"})
        with pytest.raises(AuthenticationError, match="gone"):
            await verifier.verify("another")
        server.answer_with({"userId": "bob"})
        assert (await verifier.verify("another")).user_id == "bob", "a refusal is not kept"
        assert [each.headers.get("cookie") for each in server.requests] == [None] * 3
        for never_asked in ("", "a" * 8193, "a b\n", "ä", "\ud800"):
            with pytest.raises(AuthenticationError, match="not a token"):
                await verifier.verify(never_asked)
        assert len(server.requests) == 3
    async with asking(cache=0) as (server, verifier):
        server.answer_with({"userId": "ada"})
        await verifier.verify(KNOWN)
        assert verifier.verify_now(KNOWN) is None


OURS = json.dumps(claims())
SIGNED = '{"alg": "HS256"}'
BROKEN = {
    forged('{"alg": "none"}', OURS): "wrong algorithm",
    forged('{"alg": "HS256", "crit": ["x"]}', OURS): "crit",
    forged("no JSON", OURS): "the header of the token cannot be read",
    forged(SIGNED, OURS) + "=": "not a JSON web token",
    forged(SIGNED, json.dumps(claims(exp="never"))): "exp is not a number",
    forged(SIGNED, json.dumps(claims(exp=None))): "lacks the claim exp",
    forged(SIGNED, OURS.replace("{", '{"iss": "https://other.example", ')): "a name occurs twice",
    forged(SIGNED, OURS.replace("{", '{"n": 1e400, ')): "a number is too large",
    forged(SIGNED, OURS.replace("{", '{"n": ' + "1" * 5_000 + ", ")): "the claims of the token cannot be read",
    forged(SIGNED, OURS.replace("{", '{"deep": ' + "[" * 2_500 + "]" * 2_500 + ", ")): "the claims of the token cannot",
    forged(SIGNED, "\ufeff" + OURS): "the claims of the token cannot be read",
}
"""Tokens that name the issuer, each with what is wrong with it."""


async def test_tokens_of_an_issuer_are_not_asked_about() -> None:
    async with asking(issuers=[issuer()]) as (server, verifier):
        server.answer_with({"userId": "eve"})
        assert (await verifier.verify(jwt_of(sub="ada"))).user_id == "ada"
        with pytest.raises(AuthenticationError, match="token expired"):
            await verifier.verify(jwt_of(exp=1))
        for text, reason in BROKEN.items():
            with pytest.raises(AuthenticationError, match=reason):
                await verifier.verify(text)
            with pytest.raises(AuthenticationError, match=reason):
                verifier.verify_now(text)
        assert server.requests == []
        assert (await verifier.verify(jwt_of(iss="https://other.example"))).user_id == "eve"


NONSENSE: dict[str, tuple[Any, int, str]] = {
    "no JSON": (b"<html>", 200, ""),
    "no UTF-8": (b"\xff\xfe", 200, ""),
    "no object": ([1], 200, ""),
    "nothing": (b"", 200, ""),
    "deep": (b"[" * 100_000, 200, ""),
    "twice": (b'{"userId": "ada", "userId": "bob"}', 200, ""),
    "no user": ({}, 200, ""),
    "a user that is none": ({"userId": True}, 200, ""),
    "a long user": ({"userId": "a" * 257}, 200, ""),
    "a role that is none": ({"userId": "ada", "role": "r" * 64}, 200, ""),
    "attributes that are not plain": ({"userId": "ada", "attributes": {"a": []}}, 200, ""),
    "claims that are none": ({"userId": "ada", "claims": "admin"}, 200, ""),
    "an unknown field": ({"userId": "ada", "user_id": "bob"}, 200, ""),
    "an endless time": (b'{"userId": "ada", "expiresAt": 1e400}', 200, ""),
    "half a surrogate": (b'{"userId": "\\ud800"}', 200, ""),
    "10 MB": (b'"' + b"a" * 10_000_000 + b'"', 200, ""),
    "compressed": (gzip.compress(b'{"userId": "ada"}'), 200, "Content-Encoding: gzip\r\n"),
    "elsewhere": (b"", 302, "Location: http://127.0.0.1:1/\r\n"),
    "forbidden": ({"refused": "no"}, 403, ""),
    "broken": (b"", 500, ""),
}


async def test_nonsense_lets_no_client_in_and_its_token_is_not_logged() -> None:
    async with asking() as (server, verifier):
        for name, (content, status, headers) in NONSENSE.items():
            server.answer_with(content, status, headers)
            with capture_logs() as logs:
                await failure_of(verifier, f"{KNOWN}-{name.replace(' ', '-')}")
            assert [each["event"] for each in logs] == ["auth_handler_failed"], name
            assert KNOWN not in repr(logs)
        server.answer_with({"userId": "ada"})
        assert (await verifier.verify(KNOWN)).user_id == "ada", "what one token causes does not pause the handler"


FUNCTIONS = """
import asyncio, threading
free = threading.Event()
async def raises(token):
    raise ValueError("cannot judge " + token)
async def leaves_the_server(token):
    raise SystemExit(token)
async def interrupts(token):
    raise KeyboardInterrupt(token)
async def cancels(token):
    raise asyncio.CancelledError(token)
async def cancels_its_task(token):
    asyncio.current_task().cancel()
    await asyncio.sleep(0)
def raises_in_a_thread(token):
    raise KeyError(token)
def leaves(token):
    raise SystemExit(token)
def nonsense(token):
    return ["user", token]
def no_json(token):
    return {"userId": "ada", "claims": {"at": object()}}
async def hangs(token):
    await asyncio.get_running_loop().create_future()
def endless(token):
    return {"userId": "ada", "expiresAt": float("nan")}
def no_number(token):
    return {"userId": "ada", "attributes": {"level": float("inf")}}
def hangs_in_a_thread(token):
    free.wait()
"""


async def test_a_function_that_fails_or_hangs_lets_no_client_in_and_its_token_is_not_logged(tmp_path: Path) -> None:
    file = tmp_path / "functions_that_fail.py"
    file.write_text(FUNCTIONS)
    for name in re.findall(r"def (\w+)", FUNCTIONS):
        async with judging(function=f"{file}:{name}", **({"timeout": 0.01} if "hangs" in name else {})) as verifier:
            with capture_logs() as logs:
                for number in range(7):
                    await failure_of(verifier, f"{KNOWN}-{number}")
            assert KNOWN not in repr(logs)
            paused = [each for each in logs if each["event"] == "auth_handler_paused"]
            assert len(paused) == ("hangs" in name), name
            assert logs[0]["event"] == "auth_handler_failed"
            if name in ("leaves", "leaves_the_server"):
                assert logs[0]["error"] == "the function raised SystemExit"
            if name == "raises":
                assert logs[0]["error"].startswith(f"ValueError in raises ({file}:"), "enough to find it"
    for thread in threading.enumerate():
        if thread.name == "realtime auth_handler":
            sys.modules["realtime_functions_that_fail"].free.set()
            thread.join(GIVE_UP_AFTER)


async def test_a_webhook_that_hangs_lets_no_client_in() -> None:
    async with asking(timeout=0.05) as (server, verifier):
        server.gate.clear()
        with capture_logs() as logs:
            await failure_of(verifier)
        assert logs == [{"event": "auth_handler_failed", "log_level": "warning", "error": "no answer within 0.05 s"}]


class Stubborn:
    """A handler that answers once ``gate`` is open, and counts."""

    def __init__(self, at_once: int = 1_000) -> None:
        self.at_once = at_once
        self.gate, self.began = asyncio.Event(), asyncio.Event()
        self.asked = 0

    async def ask(self, token: str) -> Principal:
        self.asked += 1
        self.began.set()
        await self.gate.wait()
        return Principal("ada", authenticated=True)

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_storm_of_logins_waits_for_its_turn_and_does_not_pause_the_handler() -> None:
    handler = Stubborn(at_once=2)
    verifier = HandlerVerifier(handler, TokenVerifier([]), timeout=GIVE_UP_AFTER, cache=0)
    asking = [asyncio.create_task(verifier.verify(f"token-{number}")) for number in range(20)]
    await handler.began.wait()
    await asyncio.sleep(0)
    assert handler.asked == 2, "the others wait, and their time has not begun"
    handler.gate.set()
    assert {each.user_id for each in await asyncio.gather(*asking)} == {"ada"}
    assert handler.asked == 20
    await verifier.close()


async def test_a_handler_that_does_not_answer_is_left_alone_until_it_answers_again() -> None:
    handler = Stubborn()
    verifier = HandlerVerifier(handler, TokenVerifier([]), timeout=0.01, cache=10, pause=3600)
    for number in range(5):
        assert (await failure_of(verifier, f"late-{number}")).retry_after is None
    paused = await failure_of(verifier)
    assert paused.retry_after is not None
    assert 3000 < paused.retry_after <= 3600
    assert handler.asked == 5, "it is not asked"
    verifier._breaker.reset_timeout = 0.0
    await failure_of(verifier, "the one that finds out")
    verifier._breaker.reset_timeout = 3600.0
    await failure_of(verifier)
    assert handler.asked == 6, "it is paused anew"

    verifier._breaker.reset_timeout = 0.0
    verifier._timeout = GIVE_UP_AFTER
    handler.began.clear()
    trial = asyncio.create_task(verifier.verify("trial"))
    await handler.began.wait()
    assert (await failure_of(verifier, "meanwhile")).retry_after == 1.0, "one asks, the others wait"
    handler.gate.set()
    assert (await trial).user_id == "ada"
    assert (await verifier.verify(KNOWN)).user_id == "ada"
    assert handler.asked == 8
    await verifier.close()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_busy_handler_is_left_alone(status: int) -> None:
    async with asking() as (server, verifier):
        server.answer_with(b"", status)
        for _ in range(6):
            await failure_of(verifier)
        assert len(server.requests) == 5


async def test_a_connection_that_breaks_is_tried_once_more() -> None:
    async with asking() as (server, verifier):
        server.answer_with({"userId": "ada"})
        server.breaks = 1
        assert (await verifier.verify(KNOWN)).user_id == "ada"
        first, second = server.requests
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        server.breaks = 2
        await failure_of(verifier, "another")
        assert len(server.requests) == 4
    async with judging(url=f"http://127.0.0.1:{free_port()}/", secret=SECRET) as verifier:
        await failure_of(verifier)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "exactly one of function and url"),
        ({"function": "a:b", "url": "https://a.example/"}, "exactly one of function and url"),
        ({"url": "https://a.example/"}, "secret: 24 to 64 bytes"),
        ({"url": "https://a.example/", "secret": "short"}, "secret: "),
        ({"url": "http://a.example/", "secret": SECRET}, "url: https is needed"),
        ({"url": "https://u:p@a.example/", "secret": SECRET}, "url: an address"),
        ({"function": "a:b", "secret": SECRET}, "only requests to a webhook are signed"),
        ({"function": "a:b", "timeout": 60}, "timeout"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_and_show_no_secret(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as refused:
        load_settings(None, auth_handler=settings)
    assert SECRET not in str(refused.value)
    assert HandlerSettings(url="https://a.example/", secret=f"whsec_{SECRET}").signing_key() == KEY
