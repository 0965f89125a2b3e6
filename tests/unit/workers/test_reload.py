"""What a rolling restart reads again."""

from __future__ import annotations

import pytest

from server.app.settings import Settings, SettingsError
from server.cli.serving.workers import Served, Workers


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
