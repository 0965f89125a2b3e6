"""Requests of the one-way transports that fail are repeated, the same each time."""

from __future__ import annotations

import httpx
import pytest
from bunbase.protocol.errors import ConnectionEndedError
from bunbase.transports.base import Address
from bunbase.transports.polling import PollingTransport
from bunbase.transports.posting import refused


def transport_over(answers: list[httpx.Response | httpx.HTTPError], taken: list[bytes]) -> PollingTransport:
    """A transport whose server gives ``answers``, the last one again and again, and puts the bodies into ``taken``."""

    def answer(request: httpx.Request) -> httpx.Response:
        taken.append(request.content)
        given = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(given, httpx.HTTPError):
            raise given
        return given

    transport = PollingTransport(Address("http://127.0.0.1:1"), 60.0)
    transport._http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return transport


async def test_a_batch_without_an_answer_is_sent_again_under_its_number() -> None:
    taken: list[bytes] = []
    transport = transport_over([httpx.ReadError("cut"), httpx.Response(503), httpx.Response(202)], taken)
    await transport.send([{"type": "ping"}])
    assert len(taken) == 3
    assert len(set(taken)) == 1


async def test_a_server_that_stays_silent_ends_the_connection_with_the_last_problem() -> None:
    transport = transport_over([httpx.Response(500)], [])
    transport.configure({}, silence=0.0)
    with pytest.raises(ConnectionEndedError, match="POST send: HTTP 500"):
        await transport.send([{"type": "ping"}])


async def test_a_transport_that_was_closed_meanwhile_has_ended() -> None:
    transport = transport_over([httpx.Response(202)], [])
    await transport.close(leave=False)
    with pytest.raises(ConnectionEndedError, match="closed"):
        await transport.send([{"type": "ping"}])


PAGE = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>nginx</body>\r\n</html>"
PROBLEM = {"type": "about:blank", "status": 429, "code": "RT_005", "detail": "too many connections"}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (httpx.Response(502, html=PAGE), "SSE: HTTP 502 Bad Gateway"),
        (httpx.Response(401, html=PAGE), "SSE: HTTP 401 Unauthorized"),
        (httpx.Response(404, json=["no problem"]), "SSE: HTTP 404 Not Found"),
        (httpx.Response(429, json=PROBLEM), "SSE: too many connections"),
        (httpx.Response(599), "SSE: HTTP 599"),
    ],
)
def test_a_proxy_s_page_is_reported_by_its_status_and_the_server_s_answer_by_its_detail(
    answer: httpx.Response, text: str
) -> None:
    assert str(refused("SSE", answer)) == text
