"""Fixtures of the tests of analytics."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.analytics.books import Books


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    books = Books(database)
    yield books
    books.close()
