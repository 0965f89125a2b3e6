"""Reads the settings, explains in words what is wrong with them, and shows them without secrets."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from server.app.settings import PREFIX, WITH_SECRETS, Settings, SettingsError

__all__ = ["load_settings", "public_settings", "unknown_variables"]


def load_settings(config: Path | None = None, **flags: object) -> Settings:
    """Read the settings; ``flags`` that are None were not given.

    Raises ``SettingsError`` if the file cannot be read, or a setting is unknown or wrong.
    """
    if config is not None and not config.is_file():
        raise SettingsError(f"the configuration file {config} does not exist")

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=config)

    try:
        return FromFile(**{name: value for name, value in flags.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as wrong:
        raise SettingsError(_in_words(wrong)) from wrong
    except TOMLDecodeError as wrong:
        raise SettingsError(f"the configuration file {config} cannot be read: {wrong}") from wrong
    except ValueError as wrong:  # broken JSON in an environment variable
        raise SettingsError(f"the settings cannot be read: {wrong}") from wrong


def unknown_variables() -> list[str]:
    """Variables of the environment that look like settings and are none, in words."""
    names = [name for name in os.environ if name.upper().startswith(PREFIX)]
    return [
        f"{name} is no setting{_near(name.upper(), [PREFIX + known.upper() for known in Settings.model_fields])}"
        for name in names
        if name[len(PREFIX) :].lower() not in Settings.model_fields
    ]


def public_settings(settings: Settings) -> Mapping[str, Any]:
    """The settings as JSON has them; of those with secrets only whether they are set."""
    shown = settings.model_dump(mode="json", exclude=set(WITH_SECRETS))
    return shown | {name: bool(getattr(settings, name)) for name in WITH_SECRETS}


def _near(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _in_words(wrong: ValidationError) -> str:
    problems = []
    for problem in wrong.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            problems.append(f"{name} is no setting{_near(name, list(Settings.model_fields))}")
        else:
            # Of what is wrong with several settings together the input is all settings.
            hidden = not name or problem["loc"][0] in WITH_SECRETS
            got = "" if hidden else f" (got {problem['input']!r})"
            problems.append(f"{name}: {problem['msg']}{got}" if name else problem["msg"])
    return f"wrong settings: {'; '.join(problems)}"
