"""What ``realtime dev`` prints and logs for its developer."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from server.app.loading import load_settings
from server.cli.dev import Development, hint_of, listener_of


def test_a_taken_port_is_reported_with_who_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = load_settings(None).model_copy(update={"port": port})
        settings.model_fields_set.discard("port")  # as the default is
        with listener_of(settings) as listener:
            assert listener.getsockname()[1] != port
    printed = capsys.readouterr().err
    assert printed.startswith(f"port {port} is taken by ")
    assert f"(process {os.getpid()}); using " in printed


@pytest.mark.parametrize("examples", [True, False])
def test_what_may_be_done_next_is_done_in_psql_which_finds_the_database_by_itself(examples: bool) -> None:
    hint = hint_of(Development(Path("postgres"), examples=examples))
    assert "psql" in hint
    assert not re.search(r"\brealtime [a-z]", hint)  # other commands need --dsn
