"""Files that a command is given: they are refused before its work where that can be seen, and in one line where not."""

from __future__ import annotations

from pathlib import Path

import typer

from engine.errors import RealtimeError

__all__ = ["FileError", "read_text", "to_write", "write_text"]


class FileError(RealtimeError):
    """A file cannot be read or written; the message has its name and the reason."""


def to_write(path: Path | None) -> Path | None:
    """The callback of an option for a file that will be written. Raises ``typer.BadParameter`` if it cannot be one."""
    if path is None:
        return None
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}")
    return path


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8. Raises ``FileError``."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror}") from error


def read_text(path: Path) -> str:
    """What a file in UTF-8 has. Raises ``FileError``."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FileError(f"{path} cannot be read: it is not in UTF-8") from error
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from error
