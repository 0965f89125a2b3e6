"""``realtime top``: nodes, slots, channels and live queries, on a terminal again and again; elsewhere once."""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import psycopg
import typer
from psycopg.rows import dict_row

from engine.postgres.connections.opening import connect_now
from engine.postgres.statements.named_queries import query
from server.cli.prelude import migrated_dsn
from server.cli.terminal import options
from server.cli.terminal.output import print_json, print_records, size_in_words

__all__ = ["top"]

_PARTS: Final = ("nodes", "slots", "channels", "queries")
_SIZES: Final = frozenset({"lag_bytes", "retained_bytes", "safe_wal_size"})
_RATES: Final = ("messages", "reads")
_HOME: Final = (
    "\x1b[H"  # control sequences of ECMA-48: the cursor to the top, clear to the end of the line, of the page
)
_END_OF_LINE: Final = "\x1b[K\n"
_END_OF_PAGE: Final = "\x1b[J"

_Look = dict[str, list[dict[str, Any]]]


def top(
    interval: Annotated[float, typer.Option(min=0.5, metavar="SECONDS", help="Between two looks.")] = 2.0,
    rows: Annotated[int, typer.Option(min=1, max=1000, help="How many slots, channels and live queries at most.")] = 10,
    once: Annotated[bool, typer.Option("--once", help="Look once, also on a terminal.")] = False,
    as_json: options.AsJson = False,
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
) -> None:
    """Show connections, channels, live queries and lag, until Ctrl+C. Where the output is no terminal: once."""
    with connect_now(migrated_dsn(config, dsn), "realtime top", autocommit=True, row_factory=dict_row) as connection:
        look = _look(connection, rows)
        if as_json:
            print_json(look)
        elif once or not sys.stdout.isatty():
            print(_page(look), end="")
        else:
            _follow(connection, look, interval, rows)


def _follow(connection: psycopg.Connection[dict[str, Any]], look: _Look, interval: float, rows: int) -> None:
    looked = time.monotonic()
    while True:
        page = _page(look).splitlines()[: shutil.get_terminal_size().lines - 1]
        print(_HOME + "".join(f"{line}{_END_OF_LINE}" for line in page), end=_END_OF_PAGE, flush=True)
        time.sleep(interval)
        before, began, look = look, looked, _look(connection, rows)
        looked = time.monotonic()
        _add_rates(before["nodes"], look["nodes"], looked - began)


def _look(connection: psycopg.Connection[dict[str, Any]], rows: int) -> _Look:
    return {part: connection.execute(query(f"top_{part}"), {"rows": rows}).fetchall() for part in _PARTS}


def _add_rates(before: Sequence[Mapping[str, Any]], now: Sequence[dict[str, Any]], seconds: float) -> None:
    """Add to what nodes have counted since they started what that was per second."""
    known = {node["node"]: node for node in before}
    for node in now:
        for name in _RATES:
            then, count = known.get(node["node"], {}).get(name), node[name]
            if then is not None and count is not None and count >= then:  # else it has started again
                node[f"{name}_per_second"] = round((count - then) / seconds, 1)


def _page(look: _Look) -> str:
    width = shutil.get_terminal_size().columns
    with contextlib.redirect_stdout(io.StringIO()) as page:
        for part in _PARTS:
            records = [{name: _shown(name, value) for name, value in row.items()} for row in look[part]]
            names = list(dict.fromkeys(name for record in records for name in record))
            for record in records:
                record.update({name: None for name in names if name not in record})
            print(part.upper() if records else f"{part.upper()}: none")
            if records:
                print_records(names, records, as_json=False)
            print()
    return "".join(f"{line[:width]}\n" for line in page.getvalue().splitlines())


def _shown(name: str, value: Any) -> Any:
    return size_in_words(value) if name in _SIZES else value
