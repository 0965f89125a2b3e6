"""Connections per user and network: counted here and on other nodes, exactly in the end; new ones per minute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.channels.core.census import ConnectionCensus
from engine.channels.core.messages.decode import RowChange
from engine.identity.networks import network_of
from engine.transaction import Kind
from server.limits.connection_limiter import ArrivalLimits, ConnectionLimiter, CountedConnection
from server.limits.exceeded import LimitExceededError

ADDRESS = "203.0.113.7"


class Node:
    """A node's limiter over its view of the stream: the changes up to ``seen``."""

    def __init__(self, name: str, stream: list[tuple[str, RowChange]], limits: ArrivalLimits) -> None:
        self.name = name
        self.census = ConnectionCensus(name)
        self.limiter = ConnectionLimiter(limits)
        self.limiter.follow(self.census)
        self.stream = stream
        self.seen = 0
        self.connections: dict[str, CountedConnection] = {}

    def connect(self, id: str, user: str | None, ip: str = ADDRESS) -> bool:
        try:
            counted = self.limiter.enter(id, ip, user)
        except LimitExceededError:
            return False
        counted.close = lambda _: self.disconnect(id)
        self.connections[id] = counted
        row = {"id": id, "node_id": self.name, "user_id": user, "ip": ip, "dropped_at": None}
        self.stream.append((self.name, RowChange(Kind.INSERT, "connections", None, row)))
        return True

    def disconnect(self, id: str) -> None:
        counted = self.connections.pop(id)
        counted.leave()
        inserted = next(change for _, change in self.stream if change.new is not None and change.new["id"] == id)
        self.stream.append((self.name, RowChange(Kind.DELETE, "connections", inserted.new, None)))

    def follow(self) -> None:
        """Take the next change of the stream, if there is one."""
        if self.seen < len(self.stream):
            node, change = self.stream[self.seen]
            self.seen += 1
            self.census.apply(change)
            if change.new is not None and node == self.name:
                self.limiter.shown(change.new["id"] or "")


def catch_up(*nodes: Node) -> None:
    while any(node.seen < len(node.stream) for node in nodes):
        for node in nodes:
            node.follow()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("connect"), st.integers(0, 2), st.sampled_from(["ada", "bob", None])),
        st.tuples(st.just("disconnect"), st.integers(0, 2), st.integers(0, 5)),
        st.tuples(st.just("follow"), st.integers(0, 2), st.none()),
    ),
    max_size=60,
)


@given(steps)
def test_no_user_and_no_network_has_more_than_its_limit_once_all_nodes_have_seen_the_stream(
    steps: list[tuple[str, int, str | int | None]],
) -> None:
    stream: list[tuple[str, RowChange]] = []
    nodes = [Node(f"n{number}", stream, ArrivalLimits(2, 4, 1000)) for number in range(3)]
    for count, (kind, which, what) in enumerate(steps):
        node = nodes[which]
        if kind == "connect":
            node.connect(f"c{count}", what if isinstance(what, str) else None)
        elif kind == "disconnect" and isinstance(what, int) and len(node.connections) > what:
            node.disconnect(list(node.connections)[what])
        else:
            node.follow()
    catch_up(*nodes)
    open_now = [counted for node in nodes for counted in node.connections.values()]
    assert len(open_now) <= 4
    assert sum(counted.user_id == "ada" for counted in open_now) <= 2
    mine = {counted.user_id for counted in nodes[0].connections.values()}
    for user in ("ada", "bob"):  # and the counts are exact: what is free can be had
        total = sum(counted.user_id == user for counted in open_now)
        assert nodes[0].connect("late", user) == (total < 2 and len(open_now) < 4), (user, mine)
        if "late" in nodes[0].connections:
            nodes[0].disconnect("late")


def test_of_two_nodes_that_admit_the_last_one_at_once_only_the_later_commit_is_closed() -> None:
    stream: list[tuple[str, RowChange]] = []
    one, two = (Node(name, stream, ArrivalLimits(1, 10, 1000)) for name in ("one", "two"))
    assert one.connect("a", "ada")
    assert two.connect("b", "ada")
    catch_up(one, two)
    assert (list(one.connections), list(two.connections)) == (["a"], [])


def test_connections_of_a_node_that_died_stop_to_count_when_its_rows_are_gone() -> None:
    stream: list[tuple[str, RowChange]] = []
    one, two = (Node(name, stream, ArrivalLimits(1, 10, 1000)) for name in ("one", "two"))
    assert one.connect("a", "ada")
    catch_up(two)
    assert not two.connect("b", "ada")
    one.disconnect("a")  # as the cascade from the node's row does
    catch_up(two)
    assert two.connect("c", "ada")


def test_a_connection_whose_presence_alone_is_left_does_not_count() -> None:
    census = ConnectionCensus("here")
    row = {"id": "a", "node_id": "there", "user_id": "ada", "ip": ADDRESS, "dropped_at": None}
    census.load([row])
    assert (census.of_user("ada"), census.of_network(ADDRESS)) == (1, 1)
    census.apply(RowChange(Kind.UPDATE, "connections", row, {**row, "dropped_at": "2026-01-01 00:00:00+00"}))
    assert (census.of_user("ada"), census.of_network(ADDRESS)) == (0, 0)


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    node = Node("one", [], ArrivalLimits(10, 2, 1000))
    assert node.connect("a", None, "2001:db8:1:2::1")
    assert node.connect("b", None, "2001:db8:1:2:ffff::9")
    assert not node.connect("c", None, "2001:db8:1:2::3")
    assert node.connect("d", None, "2001:db8:1:3::1")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", None, "", "no address"])
def test_the_machine_itself_and_what_is_no_address_count_for_no_network(address: str | None) -> None:
    assert network_of(address) is None


def test_an_ipv4_address_in_ipv6_form_is_that_address() -> None:
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") == "192.0.2.1"


def test_new_connections_per_minute_are_counted_with_those_of_other_nodes_and_come_back() -> None:
    now = 0.0
    limiter = ConnectionLimiter(ArrivalLimits(per_minute=3), clock=lambda: now)
    limiter.arrived_elsewhere(ADDRESS)
    usages = [limiter.arrive(ADDRESS) for _ in range(3)]
    assert [usage and usage.allowed for usage in usages] == [True, True, False]
    refused = usages[-1]
    assert refused is not None
    assert refused.wait == pytest.approx(20)
    other = limiter.arrive("203.0.113.8")
    assert other is not None
    assert other.allowed
    now += refused.wait
    again = limiter.arrive(ADDRESS)
    assert again is not None
    assert again.allowed


def test_a_connection_is_judged_by_the_rows_before_its_own_alone() -> None:
    stream: list[tuple[str, RowChange]] = []
    one, two = (Node(name, stream, ArrivalLimits(2, 10, 1000)) for name in ("one", "two"))
    assert two.connect("b", "ada")
    assert one.connect("a", "ada")
    assert one.connect("late", "ada")
    catch_up(one, two)
    assert (list(one.connections), list(two.connections)) == (["a"], ["b"])
