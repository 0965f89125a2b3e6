"""The doctor warns where nothing bounds the temporary files of live queries."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from engine.postgres.connections.opening import connect_now
from server.app.loading import load_settings
from server.cli.doctor.diagnose import diagnose
from tests.support.postgres.sql import read, run_each


def _found(dsn: str, **settings: Any) -> tuple[str, str]:
    [found] = [each for each in diagnose(dsn, load_settings(None, **settings)) if "temp_file_limit" in each.text]
    return found.level, found.remedy


@pytest.fixture
def role(database: str) -> Iterator[str]:
    name = f"server_{uuid.uuid4().hex[:8]}"
    run_each(database, f"create role {name} login replication", f"select realtime.grant_server('{name}')")
    yield name
    run_each(database, "delete from realtime.server_roles", f"drop owned by {name}", f"drop role {name}")


def test_a_role_that_cannot_bound_temporary_files_and_has_no_bound_is_found(database: str, role: str) -> None:
    dsn = database.replace("postgres@", f"{role}@")
    level, advice = _found(dsn)
    alter, _, grant = advice.removeprefix("As a superuser: ").partition(" Or ")
    assert level == "warn"
    for remedy, undo in (
        (alter, f"alter role {role} reset temp_file_limit"),
        (grant, f"revoke set on parameter temp_file_limit from {role}"),
    ):
        run_each(database, remedy.rstrip(";"))
        assert _found(dsn)[0] == "ok"
        assert _found(dsn, query_temporary_size=10)[0] == ("warn" if remedy is alter else "ok")
        run_each(database, undo)
        assert _found(dsn)[0] == "warn"
    with connect_now(dsn, "test") as connection:
        assert connection.execute("show temp_file_limit").fetchone() == ("-1",)


def test_a_superuser_bounds_them_but_not_through_a_pooler(database: str) -> None:
    assert read(database, "show temp_file_limit") == [("-1",)]
    assert _found(database)[0] == "ok"
    assert _found(database, pooled_dsn=database)[0] == "warn"
    nothing = load_settings(None, query_temporary_size=0)
    assert [each for each in diagnose(database, nothing) if "temp_file_limit" in each.text] == []
