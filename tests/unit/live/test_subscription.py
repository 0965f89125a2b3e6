"""Subscriptions to one live query: what each of them has after pauses, failures and the query's end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.errors import SubscriptionFailedError
from engine.live.core.document_changes import BATCH, WindowEvent, apply_changes, list_changes
from engine.live.core.result_set import DocumentTooDeepError, ResultSet, too_deep_in
from engine.live.core.resume_log import Resume
from engine.live.core.shared_query import LiveQuery, Subscription
from engine.live.reads import prepare_opening
from engine.query.planner import reread_instead
from engine.values.nesting import MAX_LEVELS
from tests.support.values.message_stream import MESSAGES, plan_for, row

Documents = list[tuple[str, bytes]]
DEEP = b'{"deep":' + b"[" * (MAX_LEVELS + 1) + b"]" * (MAX_LEVELS + 1) + b"}"


def documents(names: str, data: bytes = b"{}") -> Documents:
    return [(name, data) for name in names]


class Subscriber:
    """A subscription, the events it got and the list that they make; ``on_event`` may do anything."""

    def __init__(self, shared: Shared, resume: Resume | None = None) -> None:
        self.events: list[WindowEvent] = []
        self.list: Documents = []
        self.on_event: Callable[[], object] = lambda: None
        self.subscription = Subscription(shared.query, self._deliver, shared, shared.release, resume)
        shared.query.subscriptions[self.subscription] = None

    def _deliver(self, subscription: Subscription, event: WindowEvent) -> None:
        self.events.append(event)
        if event.reset:
            self.list.clear()
        apply_changes(self.list, event.changes)
        self.on_event()

    @property
    def names(self) -> str:
        return "".join(name for name, _ in self.list)


class Shared:
    """A live query whose list the test decides."""

    def __init__(self, names: str = "") -> None:
        plan = reread_instead(plan_for("room"), "a join")
        self.query = LiveQuery(plan.visibility, plan.key, "messages", {})
        self.query.plan = plan
        self.query.rows = ResultSet(documents(names))
        self.position = 10

    def release(self, subscription: Subscription) -> None:
        self.query.subscriptions.pop(subscription, None)

    def subscriber(self, resume: Resume | None = None, *, begun: bool = True) -> Subscriber:
        subscriber = Subscriber(self, resume)
        if begun:
            subscriber.subscription.begin()
        return subscriber

    def becomes(self, names: str, data: bytes = b"{}", *, emit: bool = True) -> None:
        """The list after the next commit."""
        self.position += 10
        before, after = self.query.current(), documents(names, data)
        self.query.rows = ResultSet(after)
        self.query.stage(before)
        if emit:
            self.deliver(before.documents, after)

    def deliver(self, before: object, after: Documents) -> None:
        changes = list_changes(before, after)  # type: ignore[arg-type]
        event = WindowEvent(self.position, False, changes, None, self.position * 1_000)
        self.query.deliver(event, too_deep_in(event))


# -- what a query is -----------------------------------------------------------------------------------------------


def test_a_query_reports_its_strategy_and_its_tables() -> None:
    query = LiveQuery(plan_for("room").visibility, "key", "messages", {})
    assert query.tables == frozenset()
    query.plan = plan_for("room")
    assert (query.strategy, query.reason, set(query.tables)) == ("incremental", None, {MESSAGES.oid})
    subscriber = Shared().subscriber()
    assert (subscriber.subscription.strategy, subscriber.subscription.reason) == ("re-read", "a join")
    assert subscriber.subscription.query.tables == {MESSAGES.oid}


def test_the_weight_of_a_query_grows_with_its_rows() -> None:
    small, large = Shared("a"), Shared()
    large.query.rows = ResultSet(documents("abc", b"x" * 10_000))
    assert large.query.weight() - small.query.weight() > 3 * 9_000
    plan = plan_for("room")
    rows = [row(number, "room") for number in range(100)]
    assert ResultSet(None, plan, rows).weight() > sum(len(value or b"") for each in rows for value in each)
    assert ResultSet(()).weight() == 0


# -- beginning -----------------------------------------------------------------------------------------------------


def test_a_subscription_begins_with_the_list_and_follows_it() -> None:
    shared = Shared("ab")
    early, late = shared.subscriber(begun=False), shared.subscriber()
    shared.becomes("abc")
    assert (early.events, late.names) == ([], "abc")
    early.subscription.begin()
    assert (early.names, [event.reset for event in early.events]) == ("abc", [True])
    assert [event.committed_at for event in late.events] == [None, 20_000]
    assert (early.subscription.position, early.subscription.epoch) == (20, shared.query.log.epoch)


def test_subscribers_that_begin_at_the_same_list_share_one_event() -> None:
    shared = Shared("ab")
    first, second = shared.subscriber(begun=False), shared.subscriber(begun=False)
    first.subscription.begin()
    second.subscription.begin()
    assert first.events[0] is second.events[0]
    shared.position = 15
    third = shared.subscriber()
    assert third.events[0] is not first.events[0], "as of another position"
    assert third.events[0].changes is first.events[0].changes, "of the same list"
    shared.becomes("c")
    assert shared.subscriber().names == "c"


def test_what_a_subscriber_begins_with_is_made_in_batches_unless_the_list_changes_meanwhile() -> None:
    shared = Shared()
    shared.query.rows = ResultSet([(f"{number}", b"{}") for number in range(10 * BATCH)])
    assert len(list(prepare_opening(shared.query))) >= 20, "batches"
    prepared = shared.query.opening
    assert prepared is not None
    assert list(prepare_opening(shared.query)) == [], "it is made already"
    subscriber = shared.subscriber()
    assert subscriber.events[0].changes is prepared.changes
    assert subscriber.events[0].changes_json is prepared.changes_json
    assert (subscriber.events[0].position, subscriber.list) == (10, shared.query.rows.documents)
    shared.becomes("ab", emit=False)
    steps = prepare_opening(shared.query)
    next(steps)
    shared.deliver([], documents("ab"))
    assert list(steps) != []
    assert shared.query.opening is None
    assert shared.subscriber().names == "ab"


def test_a_subscriber_resumes_with_the_events_it_missed_or_with_the_list() -> None:
    shared = Shared("a")
    state = Resume(shared.position, shared.query.log.epoch)
    assert shared.subscriber().subscription.recovered is None
    shared.becomes("ab")
    shared.becomes("abc")
    resumed = shared.subscriber(state, begun=False)
    assert resumed.subscription.recovered is True
    resumed.list = documents("a")
    resumed.subscription.begin()
    assert (resumed.names, [event.reset for event in resumed.events]) == ("abc", [False, False])
    for unknown in (Resume(state.position - 1, state.epoch), Resume(state.position, "0"), Resume(99, state.epoch)):
        again = shared.subscriber(unknown)
        assert (again.subscription.recovered, again.names, len(again.events)) == (False, "abc", 1)


def test_events_beyond_the_limit_of_the_log_are_not_known_any_more() -> None:
    shared = Shared("a")
    shared.subscriber()
    epoch, positions = shared.query.log.epoch, [shared.position]
    for number in range(70):
        shared.becomes("ab" if number % 2 else "a", b"%d" % number)
        positions.append(shared.position)
    since = shared.query.log.since
    assert [len(since(Resume(position, epoch)) or []) for position in positions[-65:]] == list(range(64, -1, -1))
    assert since(Resume(positions[-66], epoch)) is None
    shared.becomes("a", b'"' + b"x" * 40_000 + b'"')
    assert since(Resume(positions[-1], epoch)) is None, "larger than the log may be"
    assert since(Resume(shared.position, epoch)) == []
    assert shared.query.log.weight == 0


# -- pauses --------------------------------------------------------------------------------------------------------


def test_a_paused_subscriber_gets_the_difference_when_it_resumes() -> None:
    shared = Shared("abc")
    paused, other = shared.subscriber(), shared.subscriber()
    paused.subscription.pause()
    shared.becomes("bc")
    shared.becomes("bcd")
    paused.subscription.pause()
    assert paused.names == "abc"
    paused.subscription.resume()
    assert (paused.names, len(paused.events), paused.events[-1].committed_at) == ("bcd", 2, 30_000)
    paused.subscription.resume()
    shared.becomes("d")
    assert (paused.names, len(paused.events), other.names) == ("d", 3, "d")


def test_a_pause_in_which_nothing_came_of_it_all_ends_without_an_event() -> None:
    shared = Shared("abc")
    paused = shared.subscriber()
    paused.subscription.pause()
    shared.becomes("b")
    shared.becomes("abc")
    paused.subscription.resume()
    assert (paused.names, len(paused.events)) == ("abc", 1)


def test_a_subscriber_can_be_paused_and_resumed_by_the_delivery_to_another() -> None:
    """In the middle of one event: each ends with the list, having got each change once."""
    shared = Shared("ab")
    before, after = shared.subscriber(), shared.subscriber()

    def pause_both() -> None:
        for subscriber in (before, after):
            subscriber.subscription.pause()
            subscriber.on_event = lambda: None

    before.on_event = pause_both
    shared.becomes("bc")
    assert (before.names, after.names) == ("bc", "ab")
    for subscriber in (before, after):
        subscriber.subscription.resume()
        assert subscriber.names == "bc"

    def pause_and_resume() -> None:
        after.subscription.pause()
        after.subscription.resume()

    before.on_event = pause_and_resume
    shared.becomes("c")
    assert (before.names, after.names) == ("c", "c")


def test_a_subscriber_that_begins_or_pauses_between_a_commit_and_its_events_has_the_list_of_before() -> None:
    shared = Shared("a")
    paused = shared.subscriber()
    shared.becomes("ab", emit=False)
    late = shared.subscriber()
    paused.subscription.pause()
    assert (late.names, shared.query.delivered().documents) == ("a", documents("a"))
    shared.deliver(documents("a"), documents("ab"))
    assert (late.names, paused.names) == ("ab", "a")
    paused.subscription.resume()
    assert paused.names == "ab"


def test_pausing_before_the_beginning_or_after_the_end_does_nothing() -> None:
    shared = Shared("a")
    subscriber = shared.subscriber(begun=False)
    subscriber.subscription.pause()
    subscriber.subscription.begin()
    shared.becomes("ab")
    assert subscriber.names == "ab"
    subscriber.subscription.pause()
    subscriber.subscription.cancel()
    subscriber.subscription.resume()
    shared.becomes("abc")
    assert (subscriber.names, shared.query.subscriptions) == ("ab", {})


# -- ends ----------------------------------------------------------------------------------------------------------


def test_the_end_reaches_each_subscriber_once_whatever_it_is_doing() -> None:
    shared = Shared("a")
    begun, paused, late = shared.subscriber(), shared.subscriber(), shared.subscriber(begun=False)
    paused.subscription.pause()
    error = SubscriptionFailedError("the table was dropped")
    shared.query.end(20, error)
    assert [event.error for event in begun.events] == [None, error]
    assert len(paused.events) == 1
    paused.subscription.resume()
    paused.subscription.resume()
    late.subscription.begin()
    assert [event.error for event in (*paused.events, *late.events)] == [None, error, error]


def failing() -> None:
    raise RuntimeError("the connection's queue is closed")


def test_a_subscriber_to_which_delivery_fails_is_ended_and_the_others_go_on() -> None:
    shared = Shared("a")
    broken, other = shared.subscriber(), shared.subscriber()
    broken.on_event = failing
    shared.becomes("ab")
    assert other.names == "ab"
    assert isinstance(broken.events[-1].error, SubscriptionFailedError)
    assert list(shared.query.subscriptions) == [other.subscription]
    events = len(broken.events)
    shared.becomes("abc")
    assert (other.names, len(broken.events)) == ("abc", events)


@pytest.mark.parametrize("step", ["begin", "resume"])
def test_a_delivery_that_fails_at_the_beginning_or_on_resuming_ends_the_subscription(step: str) -> None:
    shared = Shared("a")
    broken = shared.subscriber(begun=step == "resume")
    if step == "resume":
        broken.subscription.pause()
        shared.becomes("ab")
    broken.on_event = failing
    getattr(broken.subscription, step)()
    assert isinstance(broken.events[-1].error, SubscriptionFailedError)
    assert shared.query.subscriptions == {}


def test_a_document_that_is_nested_too_deeply_ends_the_query_before_it_is_delivered() -> None:
    shared = Shared("a")
    subscriber = shared.subscriber()
    shared.becomes("ab", DEEP)
    assert shared.query.ended
    assert isinstance(subscriber.events[-1].error, DocumentTooDeepError)
    assert (subscriber.names, len(subscriber.events)) == ("a", 2)


def test_a_nested_document_that_leaves_the_list_does_no_harm() -> None:
    shared = Shared()
    shared.query.rows = ResultSet([("a", b"{}"), ("b", DEEP)])
    subscriber = shared.subscriber()
    before = shared.query.rows.documents
    shared.query.rows = ResultSet(documents("a"))
    shared.query.stage(ResultSet(before))
    shared.deliver(before, documents("a"))
    assert not shared.query.ended
    assert subscriber.names == "a"


def test_the_first_list_is_checked_whether_it_is_encoded_or_not() -> None:
    with pytest.raises(DocumentTooDeepError, match="the field 'deep' of the row 'b'"):
        ResultSet([("a", b"{}"), ("b", DEEP)]).check_nesting()
    ResultSet([("a", b"{}")]).check_nesting()
    plan, rows = plan_for("room"), [list(row(number, "room")) for number in range(3)]
    ResultSet(None, plan, [tuple(each) for each in rows]).check_nesting()
    rows[1][3] = b"(" * 10_000 + b"[" * 10_000  # text with brackets is encoded, and found to be a string
    ResultSet(None, plan, [tuple(each) for each in rows]).check_nesting()
