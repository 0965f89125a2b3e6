"""A file or folder that a command is given and cannot use is named in one line, before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.servers.commands import realtime

NOWHERE = "postgresql://app@127.0.0.1:1/app"
"""No database is needed to refuse the file: each command would fail with 3 here."""


def refused(*arguments: str) -> str:
    """The last line of standard error of a command that ends with a usage error."""
    done = realtime(*arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "command",
    [
        ["types", "--ts", "--dsn", NOWHERE, "--out"],
        ["bench", "publish", "--url", "http://127.0.0.1:1", "--json"],
        ["bench", "publish", "--url", "http://127.0.0.1:1", "--plot"],
    ],
    ids=["types", "json", "plot"],
)
def test_a_file_that_cannot_be_written_is_refused_at_once(command: list[str], tmp_path: Path) -> None:
    option = command[-1]
    absent = tmp_path / "absent"
    words = f"Error: Invalid value for '{option}': "
    assert refused(*command, str(absent / "file")) == f"{words}there is no folder {absent}"
    assert refused(*command, str(tmp_path)) == f"{words}{tmp_path} is a folder"
    assert not list(tmp_path.iterdir())


def test_what_prevents_the_writing_itself_is_one_line(database: str) -> None:
    done = realtime("types", "--ts", "--dsn", database, "--out", "/dev/full")
    assert (done.returncode, done.stderr) == (1, "realtime: /dev/full cannot be written: No space left on device\n")


def test_a_file_of_types_that_is_no_text_is_one_line(database: str, tmp_path: Path) -> None:
    file = tmp_path / "types.ts"
    file.write_bytes(b"\xff\xfe")
    done = realtime("types", "--ts", "--dsn", database, "--check", "--out", str(file))
    assert (done.returncode, done.stderr) == (1, f"realtime: {file} cannot be read: it is not in UTF-8\n")


@pytest.mark.own_database
def test_a_folder_in_which_no_postgresql_can_be_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for place in (file, file / "below"):
        done = realtime("dev", "--data-dir", str(place), "--port", "0")
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
        assert f"no PostgreSQL can be in {place}: " in done.stderr.splitlines()[-1]
