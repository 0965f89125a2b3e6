"""The sources of settings, first to last: flags, the environment, ``.env``, a TOML file, ``DATABASE_URL``.

Each remembers which settings it gave and where they are written, so that errors and ``realtime config`` can name the place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from json import JSONDecodeError
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

from engine.errors import BunbaseError
from server.app.sources.toml_lines import in_toml

__all__ = [
    "CONFIG_FILE",
    "DATABASE_URL",
    "DOTENV_FILE",
    "Layer",
    "NotJsonError",
    "layers_of",
    "place_in_dotenv",
    "place_of",
    "undecodable",
    "variables_of",
]

CONFIG_FILE: Final = Path("realtime.toml")
"""Read in the current folder, unless another file is named."""

DOTENV_FILE: Final = Path(".env")

DATABASE_URL: Final = "DATABASE_URL"
"""The variable in which many platforms and frameworks have the database's address."""

_ADDRESS: Final = re.compile(r"postgres(ql)?://")
_FLAGS: Final = {"allowed_origins": "--allowed-origin"}


class NotJsonError(BunbaseError):
    """A variable of a setting that is a list or an object is no JSON; the message names both, and not the value.

    ``setting``: its name. ``position``: of the character, counted from 1, from which on it is none.
    """

    def __init__(self, setting: str, position: int, place: str = "") -> None:
        where = f"{place}: " if place else ""
        super().__init__(f"{where}{setting} must be JSON, and is none from character {position} on")
        self.setting = setting
        self.position = position


class _Environment(EnvSettingsSource):
    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
        return _decoded(super().decode_complex_value, field_name, field, value)


class _Dotenv(DotEnvSettingsSource):
    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
        return _decoded(super().decode_complex_value, field_name, field, value)


def _decoded(decode: Callable[[str, Any, Any], Any], name: str, field: Any, value: Any) -> Any:
    """Raises ``NotJsonError``: pydantic's own error hides the reason, and names no variable."""
    try:
        return decode(name, field, value)
    except JSONDecodeError as wrong:
        raise NotJsonError(name, wrong.pos + 1) from None


class Layer(PydanticBaseSettingsSource):
    """One source. ``given``: the settings that it had when it was read. ``place``: where a setting is, by its name, or what
    is inside it, by the names and numbers that lead there.
    """

    def __init__(
        self,
        settings: type[BaseSettings],
        read: Callable[[], Mapping[str, Any]],
        place: Callable[[Sequence[int | str]], str],
    ) -> None:
        super().__init__(settings)
        self._read = read
        self.place = place
        self.given: dict[str, Any] = {}

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Not used: the whole source is read at once."""
        return self.given.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """What the source has. Raises ``NotJsonError``, with the place."""
        try:
            self.given = dict(self._read())
        except NotJsonError as wrong:
            raise NotJsonError(wrong.setting, wrong.position, self.place([wrong.setting])) from None
        return self.given


def layers_of(
    settings: type[BaseSettings], prefix: str, config: Path | None, flags: Mapping[str, Any]
) -> tuple[Layer, ...]:
    """The sources, of which the first that has a setting counts.

    Args:
        settings: the class of the settings.
        prefix: of their names in the environment, in upper case.
        config: the TOML file; None: ``realtime.toml`` in the current folder, if there is one.
        flags: those that were given, by setting.
    """

    def variable(path: Sequence[int | str]) -> str:
        return f"{prefix}{str(path[0]).upper()}"

    toml = config or CONFIG_FILE
    dotenv = _Dotenv(settings, env_file=DOTENV_FILE, dotenv_filtering="only_existing")
    return (
        Layer(settings, InitSettingsSource(settings, dict(flags)), _flag),
        Layer(settings, _Environment(settings), variable),
        Layer(settings, dotenv, lambda path: place_in_dotenv(variable(path))),
        Layer(settings, _toml(settings, toml), lambda path: in_toml(toml, path)),
        Layer(settings, lambda: _url(os.environ), lambda path: DATABASE_URL),
        Layer(settings, lambda: _url(variables_of(DOTENV_FILE)), lambda path: place_in_dotenv(DATABASE_URL)),
    )


def place_of(layers: Sequence[Layer], path: Sequence[int | str]) -> str | None:
    """Where the value of a setting that counts is written, or what is inside it; None: in no source."""
    return next((layer.place(path) for layer in layers if path[0] in layer.given), None)


def variables_of(file: Path) -> Mapping[str, str]:
    """The variables of a file as ``.env`` is written; none if there is no such file."""
    if not file.is_file():
        return {}
    return {name: value for name, value in dotenv_values(file).items() if value is not None}


def place_in_dotenv(variable: str) -> str:
    """``.env`` with the line that sets a variable."""
    return _in_file(DOTENV_FILE, re.compile(rf"(?i)\s*(export\s+)?{re.escape(variable)}\s*="))


def undecodable(file: Path) -> str | None:
    """``file:line`` of the first line that is not in UTF-8; None if there is none, or no file."""
    lines = file.read_bytes().splitlines() if file.is_file() else []
    number = next((number for number, line in enumerate(lines, 1) if not _is_text(line)), None)
    return None if number is None else f"{file}:{number}"


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _toml(settings: type[BaseSettings], file: Path) -> Callable[[], Mapping[str, Any]]:
    return TomlConfigSettingsSource(settings, toml_file=file) if file.is_file() else dict


def _url(variables: Mapping[str, str]) -> dict[str, Any]:
    """Only PostgreSQL's addresses: applications have others under that name, too."""
    value = variables.get(DATABASE_URL, "")
    return {"dsn": value} if _ADDRESS.match(value) else {}


def _flag(path: Sequence[int | str]) -> str:
    name = str(path[0])
    return _FLAGS.get(name, f"--{name.replace('_', '-')}")


def _in_file(file: Path, line: re.Pattern[str]) -> str:
    """``file:line`` of the first line that begins so; without its number where that is written in another way."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return str(file)
    number = next((number for number, text in enumerate(lines, 1) if line.match(text)), None)
    return str(file) if number is None else f"{file}:{number}"
