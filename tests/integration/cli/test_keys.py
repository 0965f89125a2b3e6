"""``realtime keys``, and the functions of SQL that it calls."""

from __future__ import annotations

import hashlib
import re

import psycopg
import pytest

from tests.support.clients.list_client import read, write
from tests.support.servers.commands import realtime
from tests.support.values.api_keys import key_row, ring_of


def keys(database: str, *arguments: str, code: int = 0) -> str:
    """What the command prints, on stderr if it fails."""
    done = realtime("keys", *arguments, REALTIME_DSN=database)
    assert done.returncode == code, done.stderr
    return " ".join((done.stderr if code else done.stdout).split())


def test_keys_are_made_listed_and_revoked(database: str) -> None:
    web = keys(database, "create", "the web app")
    jobs = keys(database, "create", "jobs", "--kind", "secret", "--scope", "publish", "--scope", "history")
    near = ("--allow-ip", "10.0.0.0/8", "--allow-ip", "2001:db8::7", "--deny-ip", "10.0.0.9")
    brief = keys(database, "create", "brief", "--kind", "secret", "--expires", "8h", *near)
    assert re.fullmatch(r"pk_[0-9a-f]{12}_[0-9a-f]{72}", web)
    assert re.fullmatch(r"sk_[0-9a-f]{12}_[0-9a-f]{72}", jobs)
    assert len({web[15:], jobs[15:], brief[15:]}) == 3
    for key in (web, jobs):  # a server accepts what SQL makes
        assert ring_of(key_row(key)).check(key, None).prefix == key[:15]
    stored = read(
        database, "select prefix, hash, scopes, expires_at - created_at from realtime.api_keys order by created_at"
    )
    assert [(prefix, hash) for prefix, hash, _, _ in stored] == [
        (key[:15], hashlib.sha256(key.encode()).hexdigest()) for key in (web, jobs, brief)
    ]
    assert [scopes for _, _, scopes, _ in stored] == [None, ["publish", "history"], None]
    assert [str(lasts) for _, _, _, lasts in stored] == ["None", "None", "8:00:00"]

    assert keys(database, "revoke", jobs[:15]) == "it is revoked"
    assert keys(database, "revoke", jobs[:15]) == "it had been revoked before"
    [(id,)] = read(database, f"select id::text from realtime.api_keys where prefix = '{web[:15]}'")
    assert keys(database, "revoke", str(id)) == "it is revoked"
    assert "there is no such API key" in keys(database, "revoke", "pk_000000000000", code=3)

    listed = keys(database, "list")
    assert "jobs secret " + jobs[:15] + " publish, history never any revoked" in listed
    assert "the web app publishable " + web[:15] + " - never any revoked" in listed
    assert re.search(f"brief secret {brief[:15]} all 2[0-9: -]+ UTC 10.0.0.0/8 2001:db8::7 not 10.0.0.9 valid", listed)
    for key in (web, jobs, brief):
        assert key[16:] not in listed
        dumped = read(database, "select coalesce(string_agg(k::text, ''), '') from realtime.api_keys k")
        assert key[16:] not in str(dumped)


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("create", "x", "--scope", "publish"), 3, "scopes are for secret keys: a publishable one gives no rights"),
        (("create", "x", "--kind", "secret", "--scope", "all"), 3, "scopes are of publish, history, presence"),
        (("create", ""), 3, "name has 1 to 100 characters"),
        (("create", "x", "--expires", "soon"), 2, "'soon' is no time such as 30s"),
        (("create", "x", "--kind", "private"), 2, "must be one of 'publishable', 'secret', not 'private'"),
        (("create", "x", "--allow-ip", "10.0.0.0/40"), 3, 'invalid input syntax for type inet: "10.0.0.0/40"'),
    ],
)
def test_a_key_that_cannot_be_made_is_an_error_in_words(
    database: str, arguments: tuple[str, ...], code: int, reason: str
) -> None:
    assert reason in " ".join(keys(database, *arguments, code=code).replace("│", "").split())


def test_only_the_owner_makes_keys_and_a_row_of_a_wrong_shape_is_refused(database: str) -> None:
    write(database, "drop role if exists stranger; create role stranger; grant realtime_publisher to stranger")
    for statement in (
        "select realtime.create_api_key('x', 'secret')",
        "select realtime.revoke_api_key('pk_000000000000')",
        "select hash from realtime.api_keys",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            write(database, f"set role stranger; {statement}")
    for values in ("'x', 'secret', 'sk_1', repeat('0', 64)", "'x', 'secret', 'sk_000000000000', 'the key'"):
        with pytest.raises(psycopg.errors.CheckViolation):
            write(database, f"insert into realtime.api_keys (name, kind, prefix, hash) values ({values})")
    with pytest.raises(psycopg.errors.CheckViolation):
        write(
            database,
            "insert into realtime.api_keys (name, kind, prefix, hash, expires_at) "
            "values ('x', 'secret', 'sk_000000000000', repeat('0', 64), 'infinity')",
        )
    with pytest.raises(psycopg.DatabaseError, match="expires_at has passed"):
        write(database, "select realtime.create_api_key('x', 'secret', null, now())")
