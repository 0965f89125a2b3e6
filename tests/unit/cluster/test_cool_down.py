"""A node goes on to take a table for some time after it has looked at it last."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from engine.cluster import selection
from engine.cluster.nats_stream import NatsStream
from engine.cluster.place import StreamPlace
from engine.cluster.selection import Selection
from engine.cluster.settings import ClusterSettings
from engine.cluster.topics import TopicChains
from engine.feed.decoders.frames import FramesDecoder
from engine.feed.table_interest import TableInterest

ONE, OTHER = 16384, 16385
COOL_DOWN = 30.0


def test_table_is_dropped_a_while_after_its_last_query_unless_one_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(selection, "time", SimpleNamespace(monotonic=lambda: now))
    interest = TableInterest()
    selected = Selection(
        stream=cast("NatsStream", None),
        settings=ClusterSettings(urls=(), slot="s", cool_down=COOL_DOWN),
        interest=interest,
        generation=1,
        place=StreamPlace(1, 100),
        chains=TopicChains(100),
        needed=lambda: 0,
        late=lambda _: None,
        followed=lambda _: None,
        decoder=FramesDecoder(),
    )
    interest.hold("a query", {ONE: ONE, OTHER: OTHER})
    interest.begin()
    assert selected._cold() == set()
    interest.keep("a query", {OTHER: OTHER})
    assert selected._cold() == set(), "its time begins"
    now += COOL_DOWN - 1
    assert selected._cold() == set()
    interest.hold("another", {ONE: ONE})
    now += 2
    assert selected._cold() == set(), "it is looked at again"
    interest.release("another")
    assert selected._cold() == set(), "its time begins anew"
    now += COOL_DOWN
    assert selected._cold() == {ONE}
    interest.drop({ONE})
    assert (selected._cold(), set(interest.taken)) == (set(), {OTHER})
