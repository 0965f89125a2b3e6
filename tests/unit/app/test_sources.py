"""Settings come from files in the current folder, too, and each error and each value names its place."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.app.loading import load_settings, settings_with_places, unknown_variables
from server.app.settings import WITH_SECRETS, Settings, SettingsError
from server.cli import prelude
from server.cli.main import app
from server.cli.reference.settings import MASK, effective, example_file
from server.cli.terminal.psql import connecting, psql_command

URL = "postgresql://app:secret@db.example/app"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("REALTIME_DSN", "REALTIME_WORKERS", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_environment_wins_over_dotenv_over_the_file_of_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "realtime.toml").write_text('host = "file"\nport = 1\nslot_name = "of_file"\n')
    (folder / ".env").write_text(
        "# ours\nexport REALTIME_PORT=2\nREALTIME_HOST='dotenv'\nSECRET_KEY=another program's\n"
    )
    monkeypatch.setenv("REALTIME_PORT", "3")
    settings, places = settings_with_places(decoder="pgoutput")
    assert (settings.port, settings.host, settings.slot_name) == (3, "dotenv", "of_file")
    assert places == {
        "port": "REALTIME_PORT",
        "host": ".env:3",
        "slot_name": "realtime.toml:3",
        "decoder": "--decoder",
    }


def test_a_named_file_takes_the_place_of_that_of_the_folder(folder: Path) -> None:
    (folder / "realtime.toml").write_text("port = 1\n")
    (folder / "other.toml").write_text('host = "other"\n')
    settings = load_settings(folder / "other.toml")
    assert (settings.port, settings.host) == (8000, "other")


def test_the_database_of_other_tools_counts_where_there_is_no_setting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_text(f"DATABASE_URL={URL}\n")
    settings, places = settings_with_places()
    assert (settings.dsn, places["dsn"]) == (URL, ".env:1")
    monkeypatch.setenv("DATABASE_URL", "postgres://of-the-environment/x")
    assert load_settings().dsn == "postgres://of-the-environment/x"
    (folder / "realtime.toml").write_text('dsn = "host=of-the-file"\n')
    assert load_settings().dsn == "host=of-the-file"


def test_a_database_of_another_kind_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///db.sqlite3")
    assert load_settings().dsn is None


@pytest.mark.parametrize("command", ["slots", "doctor", "expose t", "rules check", "psql"])
def test_without_a_database_commands_use_that_of_a_running_development_server(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(prelude, "running_in", lambda folder: "postgresql://postgres@127.0.0.1:1/postgres")
    monkeypatch.setattr(os, "execve", lambda program, arguments, environment: ran.append(environment["PGHOST"]))
    done = CliRunner().invoke(app, command.split())
    assert done.stderr.startswith(
        "realtime: no database is given, so it is that of the `realtime dev` in .realtime/postgres: 127.0.0.1 port 1\n"
    )
    assert "127.0.0.1" in f"{done.exception}{ran}"


def test_commands_that_find_no_development_server_name_the_ways_to_give_a_database() -> None:
    done = CliRunner().invoke(app, ["slots"])
    assert isinstance(done.exception, SettingsError)
    assert str(done.exception).startswith("no database is given: use --dsn, ")
    assert str(done.exception).endswith("; and no `realtime dev` runs in .realtime/postgres")


@pytest.mark.parametrize("address", ["host=a password=secret", "host=a password=secret connect_timeout=4"])
def test_psql_has_our_time_limit_unless_another_is_set(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
    arguments, environment = psql_command("/bin/psql", address)
    limit = 4 if "connect_timeout" in address else 10
    assert (environment["PGCONNECT_TIMEOUT"], environment["PGPASSWORD"]) == (str(limit), "secret")
    assert "secret" not in " ".join(arguments)
    assert (
        connecting(address, environment)
        == f"psql connects to a port 5432; it gives up after {limit} s (connect_timeout)"
    )
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "2")
    assert psql_command("/bin/psql", address)[1]["PGCONNECT_TIMEOUT"] == ("4" if limit == 4 else "2")


def test_psql_takes_its_own_options_in_place_of_parts_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSERVICE", "another")  # which would come before the variables
    arguments, environment = psql_command(
        "/bin/psql", "postgresql://ada@a:5433/app?application_name=x", ["-d", "other"]
    )
    assert arguments == ["/bin/psql", "-d", "other"]
    assert {name: environment[name] for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGAPPNAME")} == {
        "PGHOST": "a",
        "PGPORT": "5433",
        "PGUSER": "ada",
        "PGDATABASE": "app",
        "PGAPPNAME": "x",
    }
    assert "PGSERVICE" not in environment
    assert psql_command("/bin/psql", "service=ours")[1]["PGSERVICE"] == "ours"
    assert psql_command("/bin/psql", "host=a keepalives_idle=5")[0] == ["/bin/psql", "--dbname", "keepalives_idle=5"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("port", "many", "port must be a whole number, not 'many'"),
        ("port", "70000", "port must be at most 65535, not '70000'"),
        ("metrics", "perhaps", "metrics must be true or false, not 'perhaps'"),
        ("decoder", "test", "decoder must be 'auto', 'pgoutput' or 'wal2json', not 'test'"),
        ("lease", "soon", "lease must be a number, not 'soon'"),
    ],
)
def test_what_is_wrong_is_in_our_words_with_its_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    (folder / "realtime.toml").write_text(f'# settings\n{name} = "{value}"\n')
    with pytest.raises(SettingsError) as wrong:
        load_settings()
    assert str(wrong.value) == f"wrong settings: realtime.toml:2: {words}"
    monkeypatch.setenv(f"REALTIME_{name.upper()}", value)
    with pytest.raises(SettingsError, match=f"REALTIME_{name.upper()}: {name} must be "):
        load_settings()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("serve --port abc", "Invalid value for '--port': must be a whole number, not 'abc'"),
        ("dev --nodes 9", "Invalid value for '--nodes': must be at most 8, not '9'"),
        ("tail x --count 0", "Invalid value for '--count': must be at least 1, not '0'"),
        ("keys list --port 1", "No such option: --port"),
        (
            "serve --log-level inf",
            "Invalid value for '--log-level': must be one of 'debug', 'info', 'warning', 'error', not 'inf'; "
            "did you mean info?",
        ),
    ],
)
def test_a_wrong_flag_is_refused_in_the_words_of_settings(line: str, words: str) -> None:
    done = CliRunner().invoke(app, line.split())
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, f"Error: {words}")


def test_a_variable_that_has_to_be_json_is_named_without_its_value(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_text("\nREALTIME_AUTH_ISSUERS=[{secret}]\n")
    with pytest.raises(SettingsError) as wrong:
        load_settings()
    assert str(wrong.value) == "wrong settings: .env:2: auth_issuers must be JSON, and is none from character 3 on"
    monkeypatch.setenv("REALTIME_AUTH_ISSUERS", "x")
    with pytest.raises(SettingsError) as wrong:
        load_settings()
    assert str(wrong.value) == (
        "wrong settings: REALTIME_AUTH_ISSUERS: auth_issuers must be JSON, and is none from character 1 on"
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("auth_issuers", [{"isuer": "a"}], "auth_issuers.0.isuer is no setting; did you mean issuer?"),
        ("auth_handler", {"ulr": "https://a"}, "auth_handler.ulr is no setting; did you mean url?"),
        ("auth_issuers", [{"zzz": "a"}], "auth_issuers.0.zzz is no setting"),
    ],
)
def test_a_misspelt_name_inside_a_setting_is_named_with_the_one_that_is_near(
    name: str, value: object, words: str
) -> None:
    with pytest.raises(SettingsError) as wrong:
        load_settings(None, **{name: value})
    assert f"{words}; " in f"{wrong.value}; "


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('port = 1\n[[auth_issuers]]\nissuer = "a"\nisuer = "b"\n', ["4: auth_issuers.0.isuer is no setting"]),
        (
            '[[auth_issuers]]\nissuer = "a"\nsecrt = "x"\n\n[[ auth_issuers ]]\naudience = "x"\n"isuer" = "b"\n',
            ["3: auth_issuers.0.secrt is no setting", "7: auth_issuers.1.isuer is no setting"],
        ),
        ('[auth_handler]\nfunction = "a:b"\ntimeout = 99\n', ["3: auth_handler.timeout must be at most 9"]),
        ('auth_handler.function = "a:b"\nauth_handler.ulr = "x"\n', ["2: auth_handler.ulr is no setting"]),
        ('auth_issuers = [\n  { issuer = "a" },\n  { isuer = "b" },\n]\n', ["3: auth_issuers.1.isuer is no setting"]),
        ('auth_handler = { function = "a:b", ulr = "x" }\n', ["1: auth_handler.ulr is no setting"]),
        ("[nonsense]\nport = 1\n", ["1: nonsense is no setting"]),
        ('[[auth_issuers]]\naudience = "x"\n', ["1: auth_issuers.0"]),
    ],
)
def test_what_is_wrong_inside_a_table_is_named_with_its_own_line(folder: Path, text: str, words: list[str]) -> None:
    (folder / "realtime.toml").write_text(text)
    with pytest.raises(SettingsError) as wrong:
        load_settings()
    for each in words:
        assert f"realtime.toml:{each}" in str(wrong.value)


def test_a_broken_file_is_named(folder: Path) -> None:
    (folder / "realtime.toml").write_text("port = \n")
    with pytest.raises(SettingsError, match=r"^realtime\.toml:1: the file cannot be read: "):
        load_settings()


@pytest.mark.parametrize("name", [".env", "realtime.toml"])
def test_a_file_that_is_no_text_is_named_with_its_line(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"# ours\n# caf\xe9\n")
    with pytest.raises(SettingsError, match=rf"^{re.escape(name)}:2: the file cannot be read: it is not in UTF-8$"):
        load_settings()


def test_a_folder_is_no_file_with_settings(folder: Path) -> None:
    with pytest.raises(SettingsError, match=f"^the configuration file {re.escape(str(folder))} is a folder$"):
        load_settings(folder)


def test_an_address_of_another_database_is_named_with_its_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://u:secret@x/y")
    wrong = CliRunner().invoke(app, ["migrate"]).exception
    assert str(wrong).startswith("no database is given, and DATABASE_URL is no postgresql:// address: use --dsn, ")
    (folder / "realtime.toml").write_text('\ndsn = "mysql://u:secret@x/y"\n')
    wrong = CliRunner().invoke(app, ["migrate"]).exception
    assert str(wrong).startswith("realtime.toml:2: the dsn is not a PostgreSQL address: ")
    monkeypatch.setenv("REALTIME_DSN", "mysql://u:secret@x/y")
    wrong = CliRunner().invoke(app, ["serve"]).exception
    assert str(wrong).startswith("REALTIME_DSN: the dsn is not a PostgreSQL address: ")
    assert "secret" not in str(wrong)


def test_settings_that_do_not_fit_each_other_are_named_with_the_place_of_one(folder: Path) -> None:
    (folder / "realtime.toml").write_text('host = "h"\ntls_key = "key.pem"\n')
    with pytest.raises(SettingsError, match=r"^wrong settings: realtime\.toml:2: tls_key is given without "):
        load_settings()


def test_a_variable_that_is_like_no_setting_gets_no_suggestion(folder: Path) -> None:
    (folder / ".env").write_text("REALTIME_FOOBARBAZ=1\n")
    assert ".env:1: REALTIME_FOOBARBAZ is no setting" in unknown_variables()


def test_a_misspelt_variable_of_dotenv_is_named(folder: Path) -> None:
    (folder / ".env").write_text("OTHER=2\nREALTIME_PROT=1\n")
    found = [text for text in unknown_variables() if "PROT" in text]
    assert found == [".env:2: REALTIME_PROT is no setting; did you mean REALTIME_PORT?"]


def test_the_example_file_is_read_as_the_defaults(folder: Path) -> None:
    lines = example_file().splitlines()
    names = [line for line in lines if line.startswith("# ") and line[2:].split(" =")[0] in Settings.model_fields]
    assert len(names) == len(Settings.model_fields) - 1  # without the former name of ephemeral
    assert all(tomllib.loads(line[2:]) for line in names)
    default = Settings().model_dump()
    given = [line[2:] for line in names if default[line[2:].split(" =")[0]] is not None]
    assert len(given) > 60
    (folder / "realtime.toml").write_text("\n".join(given))
    assert load_settings().model_dump() == default


NOT_SET = [
    name
    for name, field in Settings.model_fields.items()
    if field.get_default() is None and f"# {name} = " in example_file()
]


@pytest.mark.parametrize("name", sorted({*NOT_SET} - {"alert_webhook"}))  # whose secret is left to the reader
def test_what_the_example_file_shows_of_a_setting_without_a_default_is_one(folder: Path, name: str) -> None:
    [line] = [line[2:] for line in example_file().splitlines() if line.startswith(f"# {name} = ")]
    others = {
        "country_header": 'trusted_proxies = ["10.0.0.0/8"]\n',
        "nats_origin": 'nats_url = ["nats://a:4222"]\n',
        "tls_key": 'tls_certificate = "a.pem"\n',
    }
    (folder / "realtime.toml").write_text(others.get(name, "") + line)
    assert load_settings().model_dump()[name] is not None


def test_no_secret_is_shown_with_the_settings_in_effect() -> None:
    secrets = {
        "alert_webhook": {"url": "https://hooks.example", "secret": "whsec_" + "czNjcjN0" * 4},
        "auth_handler": {"url": "https://auth.example", "secret": "whsec_" + "czNjcjN0" * 4},
        "auth_issuers": [{"issuer": "https://a.example", "audience": "app", "secret": "czNjcjN0" * 8}],
        "dsn": URL,
        "nats_url": ["nats://relay:secret@nats.example:4222"],
        "pooled_dsn": "host=pooler user=app password=secret",
        "rest_key": "czNjcjN0" * 8,
    }
    assert sorted(secrets) == sorted(WITH_SECRETS)
    shown = {each["setting"]: each["value"] for each in effective(*settings_with_places(None, **secrets))}
    assert shown["rest_key"] == shown["auth_issuers"] == MASK
    assert "db.example" in str(shown["dsn"])
    assert not any(secret in str(shown) for secret in ("czNjcjN0", "secret'", "=secret", ":secret"))
