"""Objects that others put into temporary schemas or make themselves are not called by functions of ours."""

from __future__ import annotations

import psycopg
from psycopg import sql

from server.app.settings import Settings
from server.cli.doctor.diagnose import diagnose
from server.cli.migration.migrate import migrate
from tests.integration.schema.conftest import Roles
from tests.support.servers.commands import realtime


def superuser(roles: Roles) -> bool:
    [(found,)] = roles.run(None, f"select rolsuper from pg_roles where rolname = '{roles.owner}'")
    return bool(found)


def attack(roles: Roles, function: str, arguments: str, result: str, answer: str) -> str:
    """A function of the table owner's that takes the place of one of PostgreSQL's, and makes its owner a superuser."""
    return (
        f"create function {function}({arguments}) returns {result} language plpgsql as $$ begin "
        f"if (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then "
        f'alter role "{roles.owner}" superuser; end if; return {answer}; end $$'
    )


def test_temporary_views_in_the_place_of_catalogs_are_not_read_by_functions_of_ours(roles: Roles) -> None:
    catalogs = ("pg_class", "pg_index", "pg_trigger", "pg_namespace", "pg_inherits", "pg_publication")
    with psycopg.connect(roles.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("set session authorization {}").format(sql.Identifier(roles.owner)))
        connection.execute(attack(roles, "shop.evil", "", "boolean", "true").encode())
        for catalog in catalogs:
            connection.execute(
                f"create temp view {catalog} as select c.* from pg_catalog.{catalog} c where shop.evil()".encode()
            )
        connection.execute("select realtime.expose('shop.items')")
        connection.execute("select realtime.expose('shop.parts')")
        connection.execute("select realtime.unexpose('items')")
    assert not superuser(roles)


def test_every_function_of_ours_looks_into_temporary_schemas_last_or_names_every_schema(roles: Roles) -> None:
    loose = roles.run(
        None,
        "select proname from pg_proc where pronamespace = 'realtime'::regnamespace and not exists "
        "(select from unnest(proconfig) setting where setting like 'search_path=%pg_temp') order by 1",
    )
    # Without a search_path of their own, to be inlined; they name the schema of everything they use.
    inlined = {
        "id_scope",
        "name_matches",
        "name_problem",
        "is_too_deep",
        "broadcast",
        "broadcast_all",
        "broadcast_users",
        "broadcast_rooms",
        "payload_of",
    }
    # Only realtime_reader may call these: they use, or set, the caller's own path.
    assert {name for (name,) in loose} <= inlined | {"read_as_reader", "use_path_of_role"}


def test_commands_of_a_superuser_call_no_function_that_others_have_made(roles: Roles) -> None:
    roles.run(None, f'grant create on schema public to "{roles.owner}"')
    roles.run(
        roles.owner,
        attack(
            roles,
            "public.has_function_privilege",
            "text, oid, text",
            "boolean",
            "pg_catalog.has_function_privilege($1::name, $2, $3)",
        ),
        attack(roles, "public.format", "text, text", "text", "pg_catalog.format($1, $2)"),
        attack(roles, "public.format", "text, name", "text", "pg_catalog.format($1, $2)"),
        attack(roles, "public.quote_ident", "name", "text", "pg_catalog.quote_ident($1::text)"),
    )
    roles.run(None, f'grant usage on schema realtime to "{roles.owner}"; grant select on realtime.migrations to public')
    roles.run(roles.owner, attack(roles, "public.to_jsonb", "realtime.migrations", "jsonb", "pg_catalog.to_jsonb($1)"))
    migrate(roles.dsn)
    diagnose(roles.dsn, Settings())
    assert realtime("slots", "--dsn", roles.dsn).returncode == 0
    assert realtime("expose", "shop.items", "--dsn", roles.dsn).returncode == 0
    assert not superuser(roles)
