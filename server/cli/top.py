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
from server.cli.prelude import migrated_dsn, refuse_figures_of_standby
from server.cli.terminal import options
from server.cli.terminal.output import print_json, print_records, size_in_words

__all__ = ["top"]

_PARTS: Final = ("nodes", "slots", "channels", "queries")
_SIZES: Final = frozenset({"lag_bytes", "retained_bytes", "safe_wal_size"})
_RATES: Final = ("messages", "reads")
_FIRST: Final = ("node", "state", *(f"{name}/s" for name in _RATES))
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
        refuse_figures_of_standby(connection)
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
        size = shutil.get_terminal_size()
        page = _page(_fitting(look, size.lines - 1)).splitlines()[: size.lines - 1]
        print(_HOME + "".join(f"{line[: size.columns]}{_END_OF_LINE}" for line in page), end=_END_OF_PAGE, flush=True)
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
                node[f"{name}/s"] = round((count - then) / seconds, 1)


def _fitting(look: _Look, lines: int) -> _Look:
    """As much of ``look`` as so many lines hold: of the longest parts less, and of each at least one row."""
    shown = {part: len(look[part]) for part in _PARTS}
    while sum(count + 3 if count else 2 for count in shown.values()) > lines and max(shown.values()) > 1:
        longest = max(_PARTS, key=shown.__getitem__)
        shown[longest] -= 1
    return {part: look[part][: shown[part]] for part in _PARTS}


def _page(look: _Look) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as page:
        for part in _PARTS:
            records = [{name: _shown(name, value) for name, value in row.items()} for row in look[part]]
            names = list(dict.fromkeys(name for record in records for name in record))
            if part == "nodes":
                names.sort(key=_place)
            for record in records:
                record.update({name: None for name in names if name not in record})
            print(part.upper() if records else f"{part.upper()}: none")
            if records:
                print_records(names, records, as_json=False)
            print()
    return page.getvalue()


def _place(name: str) -> int:
    """Of a column among the others: what is looked at most comes first, as a narrow terminal shows no more."""
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _shown(name: str, value: Any) -> Any:
    return size_in_words(value) if name in _SIZES else value
