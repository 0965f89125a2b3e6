"""The settings as ``realtime config`` shows them: in effect, with their sources; and as a commented file to begin with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from server.app.settings import WITH_SECRETS, Settings

__all__ = ["MASK", "effective", "example_file"]

MASK: Final = "********"

_ADDRESSES: Final = ("dsn", "pooled_dsn")
_FORMER: Final = ("throw_away",)
_OWN: Final = [name for name in Settings.__annotations__ if name in Settings.model_fields]
_NAMES: Final = tuple(name for name in dict.fromkeys((*_OWN, *Settings.model_fields)) if name not in _FORMER)
"""The database and the address first, limits and what else has a class of its own behind them."""

_IN_ADDRESSES: Final = ("password", "sslpassword")
_HEAD: Final = """\
# Settings of Bunbase Realtime. The file realtime.toml in the current folder is read, or the one of --config.
# What is commented out shows the default. A flag, then REALTIME_... in the environment, then .env come before this file.
"""


def effective(settings: Settings, places: Mapping[str, str]) -> list[dict[str, object]]:
    """Each setting with its ``value``, as JSON has it, and its ``source``; no value has a secret."""
    shown = settings.model_dump(mode="json")
    return [
        {"setting": name, "value": _public(name, shown[name]), "source": places.get(name, "default")} for name in _NAMES
    ]


def example_file() -> str:
    """A TOML file with each setting, its description and its default, commented out."""
    parts = [_HEAD]
    for name in _NAMES:
        field = Settings.model_fields[name]
        default = field.get_default()
        value = "" if default is None else json.dumps(default, default=str)
        parts.append(f"# {field.description}{'; not set by default' if default is None else ''}\n# {name} = {value}\n")
    return "\n".join(parts)


def _public(name: str, value: object) -> object:
    if not value or name not in WITH_SECRETS:
        return value
    return _without_password(str(value)) if name in _ADDRESSES else MASK


def _without_password(address: str) -> str:
    try:
        parts = conninfo_to_dict(address)
    except ProgrammingError:
        return MASK
    return make_conninfo("", **{name: MASK if name in _IN_ADDRESSES else value for name, value in parts.items()})
