"""Bursts, repeats and links raise the score of a sender; time lowers it."""

from __future__ import annotations

import re

import pytest

from engine.errors import RealtimeError
from server.content.errors import ContentRefusedError
from server.content.spam import SpamBlockedError, SpamError, SpamScores


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def scores(clock: Clock, **settings: object) -> SpamScores:
    return SpamScores({"threshold": 10, "half_life": 10} | settings, clock)


def passed(score: SpamScores, sender: str, *messages: object) -> int:
    """How many messages pass before one is refused."""
    for number, message in enumerate(messages):
        try:
            score.check(sender, message)
        except RealtimeError:
            return number
    return len(messages)


def test_a_burst_is_refused_until_the_seconds_have_passed_that_the_refusal_names() -> None:
    clock = Clock()
    score = scores(clock)
    assert passed(score, "ada", *map(str, range(20))) == 10
    with pytest.raises(SpamError) as refused:
        score.check("ada", "again")
    assert refused.value.code == "RT_006"
    seconds = refused.value.retry_after
    assert seconds is not None
    assert re.findall(r"try again in ([0-9.]+) s", str(refused.value)) == [f"{seconds:.1f}"]
    assert passed(score, "bob", "hello") == 1
    clock.now += seconds - 0.01
    assert passed(score, "ada", "again") == 0
    clock.now += 0.02
    assert passed(score, "ada", "again") == 1
    clock.now += 1_000
    assert passed(score, "ada", *map(str, range(20))) == 10


@pytest.mark.parametrize(("half_life", "kind", "code"), [(1, SpamError, "RT_006"), (600, SpamBlockedError, "RT_003")])
def test_only_what_passes_soon_is_refused_with_the_code_after_which_sdks_send_it_again(
    half_life: float, kind: type[RealtimeError], code: str
) -> None:
    score = scores(Clock(), half_life=half_life)
    assert passed(score, "ada", *map(str, range(20))) == 10
    with pytest.raises(kind, match="try again in") as refused:
        score.check("ada", "again")
    assert refused.value.code == code


def test_repeats_count_more_also_in_other_letters_and_behind_other_messages() -> None:
    score = scores(Clock(), repeat=4)
    assert passed(score, "ada", {"t": "Buy now"}, "between", {"t": "BUY\u200b now", "n": 2}, {"t": "buy now"}) == 3
    score = scores(Clock(), repeat=4)
    assert passed(score, "ada", 1, 1, {"n": 1}, {"n": 1}, None, []) == 6, "data without a text repeats nothing"


def test_links_count_more_and_one_message_can_have_too_many() -> None:
    score = scores(Clock(), link=3)
    assert passed(score, "ada", "see HTTPS://x.example and www.y.example", "http://z.example") == 1
    with pytest.raises(ContentRefusedError, match="too many links"):
        score.check("bob", "http://x " * 4)
    assert passed(scores(Clock(), link=0), "ada", "http://x " * 1_000) == 1


def test_a_flag_lets_the_message_pass_and_the_score_does_not_grow_without_end() -> None:
    clock = Clock()
    score = scores(clock, action="flag")
    assert [score.check("ada", str(number)) for number in range(12)] == [False] * 10 + [True] * 2
    for number in range(1_000):
        score.check("ada", f"more {number}")
    clock.now += 20
    assert not score.check("ada", "later")


def test_the_number_of_senders_that_are_remembered_is_bounded() -> None:
    score = scores(Clock())
    for number in range(10_100):
        score.check(f"user {number}", "x")
    assert len(score._senders) == 10_000
