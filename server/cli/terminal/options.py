"""The command line's options, described by the settings they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from server.app.settings import Settings
from server.cli.terminal.files import to_write

__all__ = [
    "DATA_DIR",
    "AsJson",
    "ConfigFile",
    "Dashboard",
    "DataDir",
    "Decoder",
    "Dsn",
    "Ephemeral",
    "Host",
    "LockTimeout",
    "LogFormat",
    "LogLevel",
    "Nats",
    "NodeName",
    "Origins",
    "OutFile",
    "PoolSize",
    "PooledDsn",
    "Port",
    "RestKey",
    "SlotName",
    "Workers",
]


def _for(setting: str, *flags: str) -> Any:
    field = Settings.model_fields[setting]
    text = field.description or setting
    return typer.Option(*flags, help=f"{text[0].upper()}{text[1:]}.{_default(field.default)}", show_default=False)


def _default(value: object) -> str:
    if value is None or isinstance(value, bool):
        return ""
    return f" [default: {', '.join(value) if isinstance(value, tuple) else value}]"


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="TOML file with settings. [default: realtime.toml, if it is there]", show_default=False
    ),
]
DATA_DIR = Path(".realtime/postgres")
DataDir = Annotated[Path, typer.Option(help="Where the Postgres of `realtime dev` keeps its data.")]
OutFile = Annotated[Path | None, typer.Option(callback=to_write, help="The file to write. [default: standard output]")]
Dsn = Annotated[str | None, _for("dsn", "--dsn")]
Host = Annotated[str | None, _for("host", "--host")]
Port = Annotated[int | None, _for("port", "--port")]
Workers = Annotated[int | None, _for("workers", "--workers")]
SlotName = Annotated[str | None, _for("slot_name", "--slot-name")]
Ephemeral = Annotated[bool | None, _for("ephemeral", "--ephemeral/--keep-slot", "--throw-away")]
Decoder = Annotated[Literal["auto", "pgoutput", "wal2json"] | None, _for("decoder", "--decoder")]
PoolSize = Annotated[int | None, _for("pool_size", "--pool-size")]
PooledDsn = Annotated[str | None, _for("pooled_dsn", "--pooled-dsn")]
Dashboard = Annotated[bool | None, _for("dashboard", "--dashboard/--no-dashboard")]
RestKey = Annotated[str | None, _for("rest_key", "--rest-key")]
Origins = Annotated[list[str] | None, _for("allowed_origins", "--allowed-origin")]
Nats = Annotated[list[str] | None, _for("nats_url", "--nats")]
NodeName = Annotated[str | None, _for("node_name", "--node-name")]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"] | None, _for("log_level", "--log-level")]
LogFormat = Annotated[Literal["auto", "console", "json"] | None, _for("log_format", "--log-format")]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]

LockTimeout = Annotated[
    float,
    typer.Option(
        min=0.001,
        metavar="SECONDS",
        help="How long to wait for locks before the transaction is rolled back and tried again, up to ten times.",
    ),
]
