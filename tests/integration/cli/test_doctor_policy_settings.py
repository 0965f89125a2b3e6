"""The doctor warns where a served role's sessions have other settings than policies are evaluated with."""

from __future__ import annotations

import uuid

from server.app.loading import load_settings
from server.cli.doctor.diagnose import diagnose
from tests.support.postgres.sql import read, run_each


def _warnings(dsn: str) -> list[str]:
    return [each.text for each in diagnose(dsn, load_settings()) if "policies are evaluated with" in each.text]


def test_settings_of_a_database_or_served_role_that_policies_do_not_have_are_warned_of(database: str) -> None:
    role = f"people_{uuid.uuid4().hex[:8]}"
    [(name,)] = read(database, "select current_database()")
    run_each(
        database,
        f"create role {role}",
        f"select realtime.serve_role('{role}')",
        "create table guarded (id int primary key)",
        f"alter database {name} set timezone to 'Asia/Tokyo'",
    )
    try:
        assert _warnings(database) == [], "no table with row-level security is exposed"
        run_each(
            database,
            "alter table guarded enable row level security",
            "select realtime.expose('guarded')",
            f"alter role {role} set extra_float_digits to 3",
            f"alter role {role} set datestyle to 'SQL, DMY'",
            f"alter role {role} in database {name} set intervalstyle to 'iso_8601'",
        )
        found = _warnings(database)
        assert [text.split(" have ")[1].split(", policies")[0] for text in found] == [
            "DateStyle = SQL, DMY",
            "IntervalStyle = iso_8601",
            "TimeZone = Asia/Tokyo",
        ]
        assert all(f"role {role} " in text for text in found)
        run_each(
            database,
            f"alter role {role} set timezone to 'Etc/UTC'",
            f"alter role {role} set datestyle to 'ISO, MDY'",
            f"alter role {role} in database {name} reset all",
        )
        assert _warnings(database) == [], "what is set for the role counts before what is set for the database"
    finally:
        run_each(database, f"drop owned by {role}", f"drop role {role}")
