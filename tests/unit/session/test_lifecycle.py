"""The states of a connection: only the steps of the theory of operation are possible."""

from __future__ import annotations

from itertools import pairwise, product

import pytest

from server.session.lifecycle import IllegalTransitionError, State, advance

WAY = [State.CONNECTING, State.AUTHENTICATING, State.OPEN, State.DRAINING, State.CLOSED]
STEPS = {*pairwise(WAY), (State.AUTHENTICATING, State.DRAINING)} | {(state, State.CLOSED) for state in WAY[:-1]}


@pytest.mark.parametrize(("before", "after"), sorted(STEPS, key=str))
def test_a_connection_goes_forward(before: State, after: State) -> None:
    assert advance(before, after) is after


@pytest.mark.parametrize(("before", "after"), sorted(set(product(State, State)) - STEPS, key=str))
def test_any_other_step_raises(before: State, after: State) -> None:
    with pytest.raises(IllegalTransitionError, match=f"from {before.value} to {after.value}"):
        advance(before, after)


def test_a_connection_ends_in_its_last_two_states() -> None:
    assert [state for state in WAY if state.ending] == [State.DRAINING, State.CLOSED]
