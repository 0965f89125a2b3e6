"""``realtime config``: the settings in effect, and where each comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from server.app.loading import settings_with_places
from server.cli.prelude import report_unknown_variables
from server.cli.reference.settings import effective, example_file
from server.cli.terminal import options
from server.cli.terminal.output import print_json, print_table, toml_value

__all__ = ["config_command"]


def config_command(
    example: Annotated[
        bool, typer.Option("--example", help="Print a commented file with all settings, for realtime.toml.")
    ] = False,
    set_only: Annotated[bool, typer.Option("--set", help="Only those that are set, not the defaults.")] = False,
    as_json: options.AsJson = False,
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
) -> None:
    """Show the settings in effect and the source of each; secrets are masked."""
    if example:
        print(example_file(), end="")
        return
    settings, places = settings_with_places(config, dsn=dsn)
    report_unknown_variables()
    shown = [each for each in effective(settings, places) if not set_only or each["source"] != "default"]
    if as_json:
        print_json(shown)
    else:
        print_table(
            ("SETTING", "VALUE", "SOURCE"),
            [(str(each["setting"]), toml_value(each["value"]), str(each["source"])) for each in shown],
        )
