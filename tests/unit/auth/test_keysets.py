"""Key sets from an issuer's address: when they are fetched, what is read of the answer, and what is kept."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from server.auth.keysets import KeyFetchSettings, KeySetUnavailableError, RemoteKeys
from server.auth.refusal import AuthenticationError
from server.auth.tokens import TokenVerifier
from tests.support.servers.processes import GIVE_UP_AFTER
from tests.support.values.tokens import ISSUER, SECRET, issuer, jwk, key_set_document, private_key, token

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@dataclass
class Issuer:
    """An HTTP server that answers every request with ``answer``, once ``gate`` is open."""

    answer: bytes = b""
    requests: list[bytes] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    def answer_with(self, body: bytes, headers: bytes = b"") -> None:
        self.answer = OK + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        self.asked.set()
        await self.gate.wait()
        writer.write(self.answer)
        writer.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/keys"


@asynccontextmanager
async def issuing(*keys: dict[str, object]) -> AsyncIterator[Issuer]:
    one = Issuer()
    one.answer_with(key_set_document(*keys))
    one.gate.set()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    async with server, asyncio.timeout(GIVE_UP_AFTER):
        yield one


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def verifying(one: Issuer, clock: Clock, **settings: float) -> tuple[TokenVerifier, RemoteKeys]:
    """A verifier of this issuer's tokens, and where its keys are."""
    sources: list[RemoteKeys] = []

    def source(each: object) -> RemoteKeys:
        fetching = KeyFetchSettings(**{"timeout": GIVE_UP_AFTER, **settings})  # type: ignore[arg-type]
        sources.append(RemoteKeys(one.url, ("RS256", "ES256"), fetching, clock=clock))
        return sources[0]

    return TokenVerifier([issuer(jwks_url=one.url)], source_of=source), sources[0]


def rs256(number: int = 0, kid: str | None = "1", **changed: object) -> str:
    return token("RS256", private_key("RS256", number), None if kid is None else {"kid": kid}, **changed)


async def test_the_first_token_fetches_the_keys_and_the_next_need_no_round_trip() -> None:
    async with issuing(jwk("RS256", kid="1")) as one:
        verifier, _ = verifying(one, Clock())
        assert verifier.verify_now(rs256()) is None
        assert (await verifier.verify(rs256())).user_id == "ada"
        now = verifier.verify_now(rs256(sub="bob"))
        assert now is not None
        assert now.user_id == "bob"
        assert len(one.requests) == 1
        assert one.requests[0].startswith(b"GET /keys HTTP/1.1\r\n")


async def test_tokens_that_arrive_together_share_one_fetch_also_when_one_client_gives_up() -> None:
    async with issuing(jwk("RS256", kid="1")) as one:
        one.gate.clear()
        verifier, _ = verifying(one, Clock())
        waiting = [asyncio.create_task(verifier.verify(rs256(sub=f"user {n}"))) for n in range(20)]
        await one.asked.wait()
        waiting[0].cancel()
        await asyncio.wait({waiting[0]})
        one.gate.set()
        assert [(await each).user_id for each in waiting[1:]] == [f"user {n}" for n in range(1, 20)]
        assert len(one.requests) == 1


async def test_a_key_that_the_issuer_rotated_in_is_fetched_once_per_interval() -> None:
    async with issuing(jwk("RS256", kid="1")) as one:
        clock = Clock()
        verifier, _ = verifying(one, clock, min_interval=10)
        await verifier.verify(rs256())
        one.answer_with(key_set_document(jwk("RS256", kid="1"), jwk("RS256", 1, kid="2")))
        with pytest.raises(KeySetUnavailableError, match="try again in 10 s"):
            await verifier.verify(rs256(1, "2"))
        assert len(one.requests) == 1, "who makes up key ids cannot have the keys fetched at will"
        clock.now += 10
        assert (await verifier.verify(rs256(1, "2"))).user_id == "ada"
        assert verifier.verify_now(rs256()) is not None
        clock.now += 10
        with pytest.raises(AuthenticationError, match="unknown key"):
            await verifier.verify(rs256(1, "3"))
        assert len(one.requests) == 3


async def test_a_key_that_the_issuer_removed_is_refused_after_the_age_of_a_set() -> None:
    async with issuing(jwk("RS256", kid="1"), jwk("RS256", 1, kid="2")) as one:
        clock = Clock()
        verifier, source = verifying(one, clock, max_age=600)
        await verifier.verify(rs256())
        one.answer_with(key_set_document(jwk("RS256", 1, kid="2")))
        clock.now += 601
        assert verifier.verify_now(rs256()) is not None, "the set is fetched in the background"
        await source.refresh()
        assert len(one.requests) == 2
        assert verifier.verify_now(rs256()) is None
        assert verifier.verify_now(rs256(1, "2")) is not None


@pytest.mark.parametrize("first", [0, 1])
async def test_two_issuers_with_one_key_id_do_not_share_a_fetch(first: int) -> None:
    """CVE-2026-49998 of another server: who waits for the keys of one issuer gets none of the other's."""
    urls = [f"{ISSUER}/{name}" for name in ("one", "other")]
    async with issuing(jwk("RS256", 0, kid="1")) as one, issuing(jwk("RS256", 1, kid="1")) as other:
        issuers = [issuer(issuer=url, jwks_url=each.url) for url, each in zip(urls, (one, other), strict=True)]
        verifier = TokenVerifier(
            issuers, source_of=lambda each: RemoteKeys(str(each.jwks_url), ("RS256",), KeyFetchSettings(timeout=60))
        )
        for each in (one, other):
            each.gate.clear()
        # The key of each with the name of each, all waiting at the same time; the answer of ``first`` comes first.
        waiting = {
            (key, named): asyncio.create_task(verifier.verify(rs256(key, "1", iss=urls[named])))
            for key in (0, 1)
            for named in (0, 1)
        }
        await one.asked.wait()
        await other.asked.wait()
        (one, other)[first].gate.set()
        assert (await waiting[first, first]).user_id == "ada"
        (one, other)[1 - first].gate.set()
        await asyncio.wait(waiting.values())
        accepted = {pair for pair, task in waiting.items() if task.exception() is None}
        assert accepted == {(0, 0), (1, 1)}
        assert [len(each.requests) for each in (one, other)] == [1, 1]


NOT_FETCHED = {
    "no token": "x.y",
    "wrong signature's form": rs256().rpartition(".")[0] + ".=",
    "alg none": token().replace("eyJ", "fyJ"),
    "another algorithm": token("HS256", SECRET),
    "another issuer": rs256(iss=f"{ISSUER}.evil.example"),
    "an address as issuer": rs256(iss="http://169.254.169.254/latest"),
    "expired": rs256(exp=int(time.time()) - 60),
    "too long": rs256(a="b" * 9000),
}


async def test_nothing_is_fetched_for_a_token_that_fails_the_cheap_checks() -> None:
    async with issuing(jwk("RS256", kid="1")) as one:
        verifier, _ = verifying(one, Clock())
        for name, text in NOT_FETCHED.items():
            with pytest.raises(AuthenticationError):
                await verifier.verify(text)
            assert one.requests == [], name


async def test_the_address_is_the_configured_one_whatever_a_token_has() -> None:
    async with issuing(jwk("RS256", kid="1")) as one, issuing(jwk("RS256", 1, kid="1")) as evil:
        verifier, _ = verifying(one, Clock())
        header = {"kid": "1", "jku": evil.url, "x5u": evil.url, "jwk": jwk("RS256", 1)}
        with pytest.raises(AuthenticationError, match="wrong signature"):
            await verifier.verify(token("RS256", private_key("RS256", 1), header))
        assert (len(one.requests), evil.requests) == (1, [])


def chunked(size: int) -> bytes:
    part = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + part * (size // 65536)


BAD_ANSWERS = {
    "status": b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "too large": chunked(512 * 1024),
    "compressed": OK
    + b"Content-Encoding: gzip\r\n\r\n"
    + gzip.compress(key_set_document(jwk("RS256", kid="1")) + b" " * 1_000_000),
    "no JSON": OK + b"\r\n<html>",
    "nested": OK + b"\r\n" + b"[" * 100_000,
    "no keys": OK + b'\r\n{"keys": []}',
    "keys of a text": OK + b'\r\n{"keys": "x"}',
    "a secret": OK + b"\r\n" + key_set_document({"kty": "oct", "k": "AAAA", "alg": "HS256", "kid": "1"}),
    "encryption only": OK + b"\r\n" + key_set_document(jwk("RS256", kid="1", use="enc")),
    "no HTTP": b"220 ready\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
async def test_an_answer_that_is_no_key_set_leaves_the_last_good_one(case: str) -> None:
    async with issuing(jwk("RS256", kid="1")) as one:
        clock = Clock()
        verifier, _ = verifying(one, clock)
        await verifier.verify(rs256())
        one.answer = BAD_ANSWERS[case]
        clock.now += 100
        with pytest.raises(KeySetUnavailableError, match="cannot be fetched now"):
            await verifier.verify(rs256(1, "2"))
        assert verifier.verify_now(rs256()) is not None
        one.answer_with(key_set_document(jwk("RS256", 1, kid="2")))
        clock.now += 100
        assert (await verifier.verify(rs256(1, "2"))).user_id == "ada"


async def test_an_issuer_that_does_not_answer_is_given_up_in_time() -> None:
    async with issuing() as one:
        one.gate.clear()
        verifier, _ = verifying(one, Clock(), timeout=0.01)
        with pytest.raises(KeySetUnavailableError):
            await verifier.verify(rs256())
        one.gate.set()


async def test_keys_of_other_kinds_in_a_set_are_ignored() -> None:
    short = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "short"}
    others = [
        {"kty": "EC", "crv": "P-999"},
        {"kty": "XYZ"},
        short,
        {**jwk("ES256"), "kid": 7},
        {"kty": "oct", "k": "AA"},
    ]
    async with issuing(*others, jwk("RS256", kid="1")) as one:
        verifier, _ = verifying(one, Clock())
        assert (await verifier.verify(rs256())).user_id == "ada"
        assert (await verifier.verify(rs256(kid=None))).user_id == "ada", "the only key that can be meant"


async def test_the_keys_are_fetched_when_the_server_starts() -> None:
    async with issuing(jwk("RS256", kid="1")) as one:
        verifier, source = verifying(one, Clock())
        verifier.start()
        await source.refresh()
        assert len(one.requests) == 1
        assert verifier.verify_now(rs256()) is not None


async def test_a_fetch_is_abandoned_when_the_server_stops() -> None:
    async with issuing() as one:
        one.gate.clear()
        verifier, _ = verifying(one, Clock())
        verifier.start()
        await one.asked.wait()
        await verifier.close()
        one.gate.set()
