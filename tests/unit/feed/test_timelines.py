"""The history file of a timeline."""

from __future__ import annotations

from engine.feed.replication_stream import read_timelines
from engine.lsn import parse_lsn


def test_the_history_file_of_a_timeline_has_where_each_earlier_one_ended() -> None:
    history = b'1\t0/3000148\tno recovery target specified\n\n2\t1/A0\tat restore point "\xff 3\t4/4"\n# a comment\n'
    assert read_timelines(history) == {1: parse_lsn("0/3000148"), 2: parse_lsn("1/A0")}
    assert read_timelines(b"") == {}
