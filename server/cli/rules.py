"""``realtime rules``: the rules of channels, those that do not compile, and who may do what by them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer
from psycopg.rows import dict_row

from engine.channels.core.access_rules import AccessRules
from engine.postgres.connections.opening import connect_now
from engine.postgres.statements.named_queries import query
from engine.values.exact_json import exact_decoder
from server.auth.authorizer import Action, Circumstances, NameRules
from server.cli.prelude import found_dsn, read_settings
from server.cli.terminal import options
from server.cli.terminal.output import print_table
from server.rules.explain import Explanation, explain, imagined
from server.rules.judge import RuleJudge
from server.rules.problems import problem_of, rule_problems

__all__ = ["rules_app"]

_HEADS = ("CHANNEL", "ACTION", "CONDITION", "PROBLEM")

rules_app = typer.Typer(help="List the rules of channels, check them, or test what they allow.", no_args_is_help=True)


class _Word(StrEnum):
    subscribe = "subscribe"
    publish = "publish"
    presence = "presence"


class _SavedRules:
    """The rules and one room, as they are committed."""

    def __init__(self, dsn: str, channel: str | None = None) -> None:
        self.rules = AccessRules()
        with connect_now(dsn, "realtime rules", autocommit=True, row_factory=dict_row) as connection:
            self.rules.load(connection.execute(query("engine_rules")).fetchall())
            found = connection.execute(query("rules_room"), {"channel": channel}).fetchone()
            self.errors: Mapping[tuple[str, str], str] = {
                (row["channel"], row["action"]): f"failed in {row['failed_in']}: {row['error']}"
                for row in connection.execute(query("rule_errors"))
            }
        self._room: Mapping[str, str | None] | None = found

    def room(self, channel: str) -> Mapping[str, str | None] | None:
        """See ``RuleSource``: the one room."""
        return self._room

    async def current(self) -> None:
        """See ``RuleSource``."""


@rules_app.command("list")
def list_rules(config: options.ConfigFile = None, dsn: options.Dsn = None) -> None:
    """List every condition, and why it cannot be compiled, or with what a server failed last."""
    saved = _SavedRules(found_dsn(read_settings(config, dsn=dsn)))
    print_table(
        _HEADS,
        [
            (pattern, rule.action, _shown(rule.condition), problem_of(rule.condition) or saved.errors.get(key, "-"))
            for pattern in sorted(saved.rules.patterns)
            for rule in saved.rules.of(pattern)
            for key in ((pattern, rule.action),)
        ],
    )


@rules_app.command("check")
def check_rules(config: options.ConfigFile = None, dsn: options.Dsn = None) -> None:
    """Print the rules that do not compile, and exit with 1 if there are any."""
    rules = _SavedRules(found_dsn(read_settings(config, dsn=dsn))).rules
    found = rule_problems(rules)
    print("\n".join(found) or f"{len(rules)} rows, all of them compile")
    if found:
        raise typer.Exit(1)


@rules_app.command("test")
def try_request(  # noqa: PLR0913
    action: Annotated[_Word, typer.Argument(help="What is to be done.")],
    channel: Annotated[str, typer.Argument(help="With which channel.")],
    user: Annotated[str | None, typer.Option(help="The authenticated user. [default: an anonymous client]")] = None,
    claims: Annotated[str, typer.Option(metavar="JSON", help="The claims of the user's token.")] = "{}",
    role: Annotated[str, typer.Option(help="The user's role.")] = "authenticated",
    attributes: Annotated[str, typer.Option(metavar="JSON", help="The user's attributes.")] = "{}",
    event: Annotated[str | None, typer.Option(help="The event of the message to be published.")] = None,
    ip: Annotated[str | None, typer.Option(help="The client's address.")] = None,
    transport: Annotated[str, typer.Option(help="websocket, sse or poll.")] = "websocket",
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
) -> None:
    """Evaluate the rules as a server does, and print which one decides and why. Exits with 1 if it is denied."""
    settings = read_settings(config, dsn=dsn)
    saved = _SavedRules(found_dsn(settings), channel)
    principal = imagined(user, role, _object(claims, "--claims"), _object(attributes, "--attributes"))
    names = NameRules(settings.open_channels, settings.anonymous_channels)
    about = Circumstances(ip, transport, event)
    found = explain(RuleJudge(saved), names, principal, Action[action.name.upper()], channel, about)
    print("\n".join(_lines(found)))
    if not found.allowed:
        raise typer.Exit(1)


def _lines(found: Explanation) -> list[str]:
    lines = ["allowed" if found.allowed else "denied"]
    lines.append(f"decided by  {'the kind of the channel' if found.decided_by is None else f'rule {found.decided_by}'}")
    if found.condition is not None:
        lines.append(f"condition   {_shown(found.condition)}")
    if found.reason is not None:
        lines.append(f"{'reason' if found.condition is None else 'error':<12}{found.reason}")
    return lines + [f"part        {part.text}  ->  {part.value}" for part in found.parts]


def _shown(condition: bool | str) -> str:
    return " ".join(condition.split()) if isinstance(condition, str) else json.dumps(condition)


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        return dict(exact_decoder(dict[str, Any]).decode(text))
    except (ValueError, RecursionError) as wrong:
        raise typer.BadParameter(f"a JSON object is expected: {wrong}", param_hint=option) from wrong
