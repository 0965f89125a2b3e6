"""Whose live queries are counted together, and for how long that is remembered."""

from __future__ import annotations

import pytest

from engine.live.planning_budget import PlanningBudget
from engine.live.query_accounts import UserAccount, reread_wait
from engine.time_budget import TimeBudget
from server.limits.query_accounts import QueryAccounts


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (("u", "192.0.2.1"), ("u", "192.0.2.2"), True),
        (("u", "192.0.2.1"), ("w", "192.0.2.1"), False),
        ((None, "192.0.2.1"), (None, "192.0.2.1"), True),
        ((None, "2001:db8::1"), (None, "2001:db8::2"), True),
        ((None, "192.0.2.1"), ("u", "192.0.2.1"), False),
        ((None, "127.0.0.1"), (None, "127.0.0.1"), False),
        (("u", "127.0.0.1"), ("u", None), True),
    ],
    ids=["user", "users", "address", "network", "anonymous and user", "own machine", "user on the own machine"],
)
def test_connections_of_a_user_are_counted_together_and_of_an_address_where_there_is_no_user(
    first: tuple[str | None, str], second: tuple[str | None, str], same: bool
) -> None:
    accounts = QueryAccounts()
    assert (accounts.enter(*first).user is accounts.enter(*second).user) is same


def test_a_client_that_comes_back_has_no_new_budget_and_accounts_are_forgotten_when_theirs_is_full_again() -> None:
    now = 100.0
    accounts = QueryAccounts(budget=lambda: PlanningBudget(lambda: now))
    connections = [accounts.enter(f"u{number}", None) for number in range(1000)]
    user = connections[0].user
    user.planning.charge(25.0)
    for connection in connections:
        accounts.leave(connection)
    assert accounts.enter("u0", None).user is user
    assert user.planning.wait == pytest.approx(80.0)
    accounts.leave(accounts.enter("u0", None))
    for _ in range(1000):
        accounts.leave(accounts.enter("u0", None))
    assert len(accounts) == 1, "all others were forgotten"
    again = accounts.enter("u0", None)
    now += 3600.0
    assert again.user is user, "it is in use"


def test_a_read_is_charged_in_advance_to_the_holder_with_the_most_left_who_alone_decides_how_long_it_waits() -> None:
    now = 100.0
    hostile, honest = (UserAccount(rereads=TimeBudget(0.1, 1.0, lambda: now)) for _ in range(2))
    assert [reread_wait([hostile], 0.6) for _ in range(3)] == [0.0, 0.0, pytest.approx(2.0)]
    assert hostile.rereads.left == pytest.approx(-0.2), "what waits is not charged"
    assert reread_wait([hostile, honest], 0.6) == 0.0
    assert honest.rereads.left == pytest.approx(0.4)
    assert hostile.rereads.left == pytest.approx(-0.2)
    assert reread_wait([], 5.0) == 0.0
    now += 2.0
    assert reread_wait([hostile], 0.0) == 0.0


def test_an_account_is_kept_until_its_budget_for_lists_is_full_again() -> None:
    accounts = QueryAccounts()
    first = accounts.enter("u", None)
    first.user.rereads.charge(1000.0)
    accounts.leave(first)
    accounts.leave(accounts.enter("v", None))
    assert accounts.enter("u", None).user is first.user
