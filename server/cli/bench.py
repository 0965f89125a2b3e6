"""``realtime bench``: loads a server with clients, and measures it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from engine.errors import RealtimeError
from server.cli.terminal.files import to_write, write_text
from server.cli.terminal.output import print_table

__all__ = ["IncompleteError", "bench"]

_LOAD: Final = "How much"
_HOW: Final = "How it is played"


_Json = Annotated[Path | None, typer.Option("--json", callback=to_write, help="Keep all figures in this file.")]
_Plot = Annotated[Path | None, typer.Option(callback=to_write, help="Draw latency against load into this SVG file.")]


class IncompleteError(RealtimeError):
    """Something that was published did not come, or was refused."""


def bench(  # noqa: PLR0913
    scenarios: Annotated[
        list[str] | None, typer.Argument(help="Which, one after the other. [default: list them]", show_default=False)
    ] = None,
    url: Annotated[str, typer.Option(help="The server.")] = "http://127.0.0.1:8000",
    dsn: Annotated[
        str | None, typer.Option(help="Its database: for what is written in SQL, and the processor time of PostgreSQL.")
    ] = None,
    token_file: Annotated[
        typer.FileText | None,
        typer.Option(help="File with a token a line, which clients take in turn; - for the input."),
    ] = None,
    api_key: Annotated[str | None, typer.Option(envvar="REALTIME_API_KEY", help="A publishable API key.")] = None,
    clients: Annotated[int | None, typer.Option(min=1, help="Subscribers.")] = None,
    publishers: Annotated[int | None, typer.Option(min=1, help="Clients that publish.")] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="Channels.")] = None,
    each: Annotated[int | None, typer.Option(min=1, help="Subscriptions of each client.")] = None,
    queries: Annotated[int | None, typer.Option(min=1, help="Distinct live queries.")] = None,
    messages: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Messages of a channel that are replayed.")
    ] = None,
    rate: Annotated[
        list[float] | None, typer.Option(min=0, help="Messages, changes or clients a second of all. Several: a curve.")
    ] = None,
    connect_rate: Annotated[float | None, typer.Option(min=1, help="Connections a second.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Of each round.")] = None,
    size: Annotated[int | None, typer.Option(min=22, max=100_000, help="Bytes of a message's data.")] = None,
    channel: Annotated[str | None, typer.Option(help="What names of channels begin with. [default: bench]")] = None,
    transport: Annotated[
        Literal["websocket", "sse", "polling"],
        typer.Option(help="How subscribers are connected; publishers have WebSockets."),
    ] = "websocket",
    find: Annotated[bool, typer.Option("--find", help="Search for the highest rate that the server sustains.")] = False,
    p95: Annotated[
        float, typer.Option(min=0.1, help="Milliseconds that 95 % of deliveries may take, with --find.")
    ] = 50,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes of clients. [default: as many as open files require]")
    ] = None,
    every: Annotated[
        int, typer.Option(min=1, help="Time one delivery in so many, which takes less of the processor.")
    ] = 1,
    json_file: _Json = None,
    plot: _Plot = None,
) -> None:
    """Load a server with clients, and measure it. Without a scenario: list them."""
    from server.bench.load.errors import BenchUsageError
    from server.bench.load.target import target_of
    from server.bench.run import SCENARIOS, Round, Wanted, describe, play
    from server.bench.scenario import TRANSPORTS

    if not scenarios:
        print_table(["SCENARIO", "ABOUT"], [[name, kind.about] for name, kind in SCENARIOS.items()])
        return
    if unknown := [name for name in scenarios if name not in SCENARIOS]:
        raise typer.BadParameter(f"there is no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    given: dict[str, Any] = {
        "clients": clients, "publishers": publishers, "channels": channels, "each": each, "queries": queries,
        "messages": messages, "connect_rate": connect_rate, "seconds": seconds, "size": size, "prefix": channel, "dsn": dsn,
        "rate": rate[0] if rate else None,
    }  # fmt: skip
    wanted = Wanted(given, rate or (), find, p95 / 1000, processes, every, TRANSPORTS[transport])
    tokens = () if token_file is None else tuple(token_file.read().split())
    try:
        target = target_of(url, tokens, api_key)
        about = {**describe(target, target.check()), "transport": transport}
        rounds: list[Round] = []
        for name in scenarios:
            with _progress(name) as progress:
                played = asyncio.run(play(name, target, wanted, progress, lambda each: None))
            _show(name, played)
            rounds += played
            if plot is not None:
                _draw(plot, name, played)
    except BenchUsageError as wrong:
        raise typer.BadParameter(str(wrong)) from None
    if json_file is not None:
        document = {"about": about, "rounds": [each.to_json() for each in rounds]}
        write_text(json_file, json.dumps(document, indent=2) + "\n")
    _refuse_incomplete(each for each in rounds if not find or each.figures.get("highest"))


def _refuse_incomplete(rounds: Iterable[Any]) -> None:
    """Print what the errors of rounds advise. Raises ``IncompleteError`` if anything is missing, or was refused."""
    from server.bench.advice import advice

    bad = [each for each in rounds if not each.complete]
    for line in advice(reason for each in bad for reason in each.figures["errors"]):
        print(f"realtime: {line}", file=sys.stderr)
    if bad:
        raise IncompleteError(_what_failed(bad))


def _what_failed(rounds: list[Any]) -> str:
    missing = sum(each.figures.get("missing", 0) for each in rounds)
    errors = sum(count for each in rounds for count in each.figures["errors"].values())
    return f"{missing:,} of what was expected did not come, and there were {errors:,} errors"


def _show(name: str, rounds: list[Any]) -> None:
    from server.bench.report import cells

    figures = [each.figures for each in rounds]
    print(f"\n{name}")
    heads, lines = cells(figures)
    if len(lines) == 1:
        print_table(["", ""], [[head, cell] for head, cell in zip(heads, lines[0], strict=True)])
    else:
        print_table(heads, lines)
    for each in figures:
        for reason, count in each["errors"].items():
            print(f"  {count:,} × {reason}")
    best = [each for each in figures if "highest" in each]
    if best:
        rate = best[0]["rate"]
        print(f"highest sustained: {rate:,.0f}/s" if best[0]["highest"] else f"{rate:,.0f}/s is not sustained either")


def _draw(path: Path, name: str, rounds: list[Any]) -> None:
    from server.bench.plot import svg

    try:
        text = svg(f"{name}: latency against load", [each.figures for each in rounds])
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong), param_hint="--plot") from None
    write_text(path, text)


@contextmanager
def _progress(name: str) -> Iterator[Callable[[str], None]]:
    """Show what is being done, where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status(name) as status:
        yield lambda text: status.update(f"{name}: {text}")
