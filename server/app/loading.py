"""Reads the settings from their sources, explains what is wrong with them, and shows them without secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Any, Final

from pydantic import ValidationError

from server.app.settings import PREFIX, WITH_SECRETS, Settings, SettingsError
from server.app.sources.layers import (
    CONFIG_FILE,
    DOTENV_FILE,
    NotJsonError,
    layers_of,
    place_in_dotenv,
    place_of,
    undecodable,
    variables_of,
)
from server.app.sources.words import in_words
from server.protocol.value_words import near

__all__ = ["load_settings", "public_settings", "settings_with_places", "unknown_variables"]

_LINE: Final = re.compile(r"\(at line ([0-9]+)")
"""In the messages of tomllib."""


def load_settings(config: Path | None = None, **flags: object) -> Settings:
    """Read the settings; ``flags`` that are None were not given. See :func:`settings_with_places`."""
    return settings_with_places(config, **flags)[0]


def settings_with_places(config: Path | None = None, **flags: object) -> tuple[Settings, Mapping[str, str]]:
    """The settings, and where those that differ from the defaults' source are written: a flag, a variable, a line of a file.

    ``config``: a TOML file; without it ``realtime.toml`` in the current folder counts, if it is there. Raises
    ``SettingsError`` if a file cannot be read, or a setting is unknown or wrong.
    """
    if config is not None and not config.is_file():
        raise SettingsError(f"the configuration file {config} {'is a folder' if config.is_dir() else 'does not exist'}")
    try:
        layers = layers_of(
            Settings, PREFIX, config, {name: value for name, value in flags.items() if value is not None}
        )
    except TOMLDecodeError as wrong:
        line = _LINE.search(str(wrong))
        where = f"{config or CONFIG_FILE}{f':{line[1]}' if line else ''}"
        raise SettingsError(f"{where}: the file cannot be read: {wrong}") from wrong
    except UnicodeDecodeError as wrong:
        where = next(filter(None, map(undecodable, [DOTENV_FILE, config or CONFIG_FILE])), "a file with settings")
        raise SettingsError(f"{where}: the file cannot be read: it is not in UTF-8") from wrong
    except OSError as wrong:
        raise SettingsError(f"a file with settings cannot be read: {wrong}") from wrong

    try:
        settings = Settings(_build_sources=(layers, {}))
    except ValidationError as wrong:
        raise SettingsError(in_words(wrong, Settings, WITH_SECRETS, lambda path: place_of(layers, path))) from wrong
    except NotJsonError as wrong:
        raise SettingsError(f"wrong settings: {wrong}") from None
    places = {name: place_of(layers, [name]) for name in Settings.model_fields}
    return settings, {name: place for name, place in places.items() if place is not None}


def unknown_variables() -> list[str]:
    """Variables of the environment, and of ``.env``, that look like settings and are none, in words."""
    found = [(name, "") for name in os.environ] + [
        (name, f"{place_in_dotenv(name)}: ") for name in variables_of(DOTENV_FILE) if name not in os.environ
    ]
    known = [name.upper() for name in Settings.model_fields]  # all begin alike, so the rest is compared
    return [
        f"{file}{name} is no setting{near(name.upper().removeprefix(PREFIX), known, PREFIX)}"
        for name, file in found
        if name.upper().startswith(PREFIX) and name.upper().removeprefix(PREFIX) not in known
    ]


def public_settings(settings: Settings) -> Mapping[str, Any]:
    """The settings as JSON has them; of those with secrets only whether they are set."""
    shown = settings.model_dump(mode="json", exclude=set(WITH_SECRETS))
    return shown | {name: bool(getattr(settings, name)) for name in WITH_SECRETS}
