"""What a rolling restart reads again."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.app.settings import Settings, SettingsError
from server.cli.serving.workers import Served, Workers

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
"""A supervisor has no threads when it forks; a process of tests may have some, of which Python 3.12 and later warn."""


def settings_of(**changed: object) -> Settings:
    return Settings.model_validate({"dsn": "dbname=app", "slot_name": "before", "pool_size": 8} | changed)


def workers_with(read: Settings) -> Workers:
    return Workers(Served(settings_of(), "dbname=app"), lambda error: (str(error), 1), lambda: read)


def test_settings_of_workers_change_and_those_of_the_server_stay() -> None:
    workers = workers_with(settings_of(slot_name="after", port=9, pool_size=4))
    workers.reload()
    found = workers.settings
    assert (found.pool_size, found.slot_name, found.port) == (4, "before", 8000)


def test_settings_that_cannot_be_read_leave_those_that_are() -> None:
    def read() -> Settings:
        raise SettingsError("pool_size: wrong")

    workers = Workers(Served(settings_of(), "dbname=app"), lambda error: (str(error), 1), read)
    with pytest.raises(SettingsError):
        workers.reload()
    assert workers.settings == settings_of()


def wrong_settings(folder: Path) -> dict[str, dict[str, object]]:
    """By what the reason names."""
    no_pem = folder / "no.pem"
    no_pem.write_text("no certificate")
    module = folder / "ends_at_once.py"
    module.write_text("import os\nos._exit(0)\n")
    return {
        "country_database": {"country_database": folder / "none.mmdb"},
        "PEM": {"tls_certificate": no_pem},
        "content_hook": {"content_hook": "no.such.module:judge"},
        "auth_handler": {"auth_handler": {"function": "no.such.module:judge"}},
        "has ended": {"content_hook": f"{module}:judge"},
    }


def test_settings_that_cannot_be_used_leave_those_that_are(tmp_path: Path) -> None:
    for named, wrong in wrong_settings(tmp_path).items():
        workers = workers_with(settings_of(**wrong))
        with pytest.raises(SettingsError, match=named):
            workers.reload()
        assert workers.settings == settings_of()


def test_settings_with_which_a_worker_does_not_start_give_way_to_those_with_which_all_did() -> None:
    read = iter([settings_of(pool_size=5), settings_of(pool_size=6), settings_of(pool_size=7)])
    workers = Workers(Served(settings_of(), "dbname=app"), lambda error: (str(error), 1), lambda: next(read))
    workers.reload()
    workers.conclude(proven=True)
    workers.reload()
    workers.reload()  # before the workers have been restarted
    workers.conclude(proven=False)
    assert workers.settings.pool_size == 5
