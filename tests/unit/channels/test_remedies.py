"""What follows the error of a batch of published messages."""

from __future__ import annotations

import psycopg
import pytest

from engine.channels.publish.publisher_session import AmbiguousError
from engine.channels.publish.remedies import Remedy, remedy_for

RESOLVED = [
    (psycopg.errors.DeadlockDetected(), Remedy.REPEAT),
    (psycopg.errors.SerializationFailure(), Remedy.REPEAT),
    (psycopg.errors.ReadOnlySqlTransaction(), Remedy.REFUSE_ROWS),
    (psycopg.errors.LockNotAvailable(), Remedy.SET_ASIDE),
    (psycopg.errors.CheckViolation(), Remedy.HALVE),
    (psycopg.errors.UndefinedTable(), Remedy.HALVE),
]


@pytest.mark.parametrize(("error", "remedy"), RESOLVED)
def test_each_kind_of_error_has_its_remedy(error: psycopg.Error, remedy: Remedy) -> None:
    assert remedy_for(error, rolled_back=True, spent=frozenset()) is remedy


@pytest.mark.parametrize("error", [error for error, _ in RESOLVED])
def test_a_batch_whose_outcome_is_not_known_is_looked_for_whatever_the_error(error: psycopg.Error) -> None:
    assert remedy_for(error, rolled_back=False, spent=frozenset()) is Remedy.RECOVER


def test_a_remedy_that_has_not_helped_gives_way_to_the_search_for_the_message() -> None:
    deadlock = psycopg.errors.DeadlockDetected()
    assert remedy_for(deadlock, rolled_back=True, spent=frozenset({Remedy.REPEAT})) is Remedy.HALVE


def test_messages_of_which_a_trigger_changed_some_and_skipped_others_are_written_one_by_one() -> None:
    assert remedy_for(AmbiguousError(), rolled_back=False, spent=frozenset()) is Remedy.HALVE
