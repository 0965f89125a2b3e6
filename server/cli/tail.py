"""``realtime tail``: follows a channel or a live query of a server, one JSON message a line."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Any, Final

import httpx
import typer

from engine.errors import RealtimeError
from server.cli.prelude import report
from server.logs.printable import printable

__all__ = ["TailError", "tail"]

_TIMEOUT: Final = 10.0  # seconds for a server to answer
_SILENT: Final = 90.0  # seconds of an open stream; a server sends something every 25 by default
_WORD_AFTER: Final = 2.0  # seconds without an answer after which a line has what is waited for
_LASTING: Final = 4001  # close codes from here on do not pass by connecting again
_REFUSED: Final = frozenset({400, 401, 403, 404})  # also of a connection that is to be resumed
_PAUSE: Final = 1.0  # seconds before a lost connection is made again
_STREAM: Final = "text/event-stream"
_OF_CONNECTION: Final = frozenset({"connected", "pong", "authenticated", "auth:expiring"})  # about the connection only


class TailError(RealtimeError):
    """The server cannot be reached, or refuses; the message has its reason."""


def tail(
    channel: Annotated[str, typer.Argument(help="A channel; db:collection:NAME for a live query.")],
    query: Annotated[
        str | None, typer.Option(help="Of a live query, as JSON: where, select, orderBy, limit, or sql and params.")
    ] = None,
    history: Annotated[int, typer.Option(min=0, help="Of a channel: how many stored messages first.")] = 0,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many messages. [default: follow]")] = None,
    url: Annotated[str, typer.Option(help="The server.")] = "http://127.0.0.1:8000",
    token_file: Annotated[
        typer.FileText | None,
        typer.Option(help="File with a token, - for the standard input. `realtime token` makes one."),
    ] = None,
) -> None:
    """Follow a channel or a live query, one JSON message a line."""
    headers = {} if token_file is None else {"Authorization": f"Bearer {_token(token_file)}"}
    wanted = json.dumps(_subscription(channel, query, history))
    left = count
    for message in _messages(_address(url), {"subscribe": wanted}, headers):
        if message["type"] == "error":
            raise TailError(f"{message['code']}: {message['message']}")
        if message["type"] == "close" and message["code"] >= _LASTING:
            raise TailError(f"the server ended the connection: {message['reason']} ({message['code']})")
        if message["type"] in _OF_CONNECTION:
            continue
        print(printable(json.dumps(message, ensure_ascii=not _is_utf8())), flush=True)
        if left is not None and message["type"] != "subscribed":
            left -= 1
            if not left:
                return


def _token(file: typer.FileText) -> str:
    token = file.read().strip()
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise TailError(
            "--token-file has no token: what was read is empty, or more than one line. `realtime token USER` makes one"
        )
    return token


def _address(url: str) -> str:
    """Where the stream of the server at ``url`` is. Raises ``typer.BadParameter`` if that is no address of a server."""
    hint = "--url"
    try:
        server = httpx.URL(url)
    except httpx.InvalidURL as wrong:
        raise typer.BadParameter(f"{url!r} is no address: {wrong}", param_hint=hint) from None
    if server.scheme not in {"http", "https"} or not server.host:
        raise typer.BadParameter(f"{url!r} is no address of a server, such as http://127.0.0.1:8000", param_hint=hint)
    if "?" in url or "#" in url:
        raise typer.BadParameter(
            f"{url!r} has more than the address of a server: leave out what begins with ? or #. "
            "Who you are comes from --token-file, as in `realtime token ada | realtime tail CHANNEL --token-file -`",
            param_hint=hint,
        )
    return f"{url.rstrip('/')}/realtime/sse"


def _subscription(channel: str, query: str | None, history: int) -> dict[str, Any]:
    message: dict[str, Any] = {"channel": channel}
    if channel.startswith("db:collection:"):
        try:
            message |= {"id": "tail", "query": json.loads(query or "{}")}
        except ValueError as wrong:
            raise typer.BadParameter(f"--query is no JSON: {wrong}") from None
    elif query is not None:
        raise typer.BadParameter("--query is for db:collection:NAME")
    return message | ({"history": history} if history else {})


def _messages(url: str, parameters: dict[str, str], headers: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The messages of the stream, which is resumed when the connection is lost. Raises ``TailError``."""
    place, opened, lost = "", False, False
    with httpx.Client() as client:
        while True:
            resumed = headers | ({"Last-Event-ID": place} if place else {})
            try:
                with _stream(client, client.build_request("GET", url, params=parameters, headers=resumed)) as answer:
                    if answer.status_code != httpx.codes.OK and (not opened or answer.status_code in _REFUSED):
                        raise TailError(_reason(answer))
                    for data, id in _received(answer):
                        if lost:
                            report("the connection is resumed")
                        place, opened, lost = id or place, True, False
                        if data:
                            yield json.loads(data)
            except httpx.TransportError as error:
                if not opened:
                    late = isinstance(error, httpx.TimeoutException)
                    reason = f"it did not answer within {_TIMEOUT:g} s" if late else str(error)
                    raise TailError(f"{url} cannot be reached: {reason}") from None
            if not opened:
                raise TailError(f"{url} ended its stream before the first message: is this the address of a server?")
            if not lost:
                report("the connection was lost; trying again until it is back")
            lost = True
            time.sleep(_PAUSE)


@contextmanager
def _stream(client: httpx.Client, asked: httpx.Request) -> Iterator[httpx.Response]:
    """The answer of a server, which has less time to begin it than to go on. A line reports what is waited for."""
    limits = httpx.Timeout(_TIMEOUT).as_dict()
    asked.extensions = {**asked.extensions, "timeout": limits}
    word = threading.Timer(_WORD_AFTER, report, [f"waiting for {asked.url.copy_with(query=None)} to answer"])
    word.daemon = True
    word.start()
    try:
        answer = client.send(asked, stream=True)
    finally:
        word.cancel()
    limits["read"] = _SILENT  # is read again when the body is
    with closing(answer):
        yield answer


def _received(answer: httpx.Response) -> Iterator[tuple[str, str]]:
    """The blocks of an answer; none of one that is an error. Raises ``TailError`` if it is no event stream."""
    if answer.status_code != httpx.codes.OK:
        return
    kind = answer.headers.get("content-type", "nothing")
    if kind.partition(";")[0].strip().lower() != _STREAM:
        raise TailError(
            f"{answer.url.copy_with(query=None)} answers with {kind}, not {_STREAM}: is --url that of a server?"
        )
    yield from _blocks(answer.iter_lines())


def _blocks(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Data and id of each block of an event stream (HTML standard, "Server-sent events")."""
    data, id = "", ""
    for line in lines:
        name, _, value = line.partition(":")
        if not line:
            if data or id:
                yield data, id
            data, id = "", ""
        elif name == "data":
            data += value.removeprefix(" ")
        elif name == "id":
            id = value.removeprefix(" ")


def _reason(answer: httpx.Response) -> str:
    answer.read()
    try:
        problem = answer.json()
        return f"{problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{answer.url.host} answers with {answer.status_code} {answer.reason_phrase}"


def _is_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
