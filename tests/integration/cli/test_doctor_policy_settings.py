"""The doctor warns where it cannot be known with which settings a served role's sessions evaluate policies."""

from __future__ import annotations

import uuid

import pytest

from server.app.loading import load_settings
from server.cli.doctor.diagnose import diagnose
from tests.support.postgres.sql import read, run_each


def _warnings(dsn: str) -> list[str]:
    return [each.text for each in diagnose(dsn, load_settings()) if "policies are evaluated with" in each.text]


def test_a_setting_of_the_serving_role_hides_what_the_server_is_configured_with(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"people_{uuid.uuid4().hex[:8]}"
    [(name,)] = read(database, "select current_database()")
    own = f"alter role current_user in database {name}"
    run_each(
        database,
        f"create role {role}",
        f"select realtime.serve_role('{role}')",
        "create table guarded (id int primary key)",
        f"{own} set timezone to 'Asia/Tokyo'",
    )
    try:
        assert _warnings(database) == [], "no table with row-level security is exposed"
        run_each(database, "alter table guarded enable row level security", "select realtime.expose('guarded')")
        [found] = _warnings(database)
        assert found.startswith("policies are evaluated with TimeZone = UTC")
        run_each(database, f"alter database {name} set timezone to 'Asia/Tokyo'")
        assert _warnings(database) == [], "that of the database is known"
        run_each(database, f"{own} reset all")
        monkeypatch.setenv("PGDATESTYLE", "German")
        [found] = _warnings(database)
        assert found.startswith("policies are evaluated with DateStyle = ISO, MDY")
    finally:
        run_each(database, f"{own} reset all", f"drop owned by {role}", f"drop role {role}")
