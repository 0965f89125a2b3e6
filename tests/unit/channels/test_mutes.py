"""The most specific preference counts, and rows that change while the table is read are not lost."""

from __future__ import annotations

from engine.channels.core.filters.mutes import Mutes

Row = dict[str, str | None]


def row(channel: str | None, event: str | None, muted: bool = True) -> Row:
    return {"channel": channel, "event": event, "muted": "t" if muted else "f"}


def loaded(*rows: tuple[str | None, str | None, bool]) -> Mutes:
    mutes = Mutes()
    mutes.load([{"channel": channel, "event": event, "muted": muted} for channel, event, muted in rows])
    return mutes


def test_the_most_specific_row_counts() -> None:
    mutes = loaded((None, None, True), (None, "e", False), ("c", None, True), ("c", "e", False))
    assert mutes.active
    assert [mutes.mutes(*key) for key in (("c", "e"), ("c", "f"), ("d", "e"), ("d", "f"))] == [False, True, False, True]
    assert not loaded(("c", "e", True)).mutes("c", "f")
    assert not loaded().active


def test_changes_are_applied_as_the_stream_brings_them() -> None:
    mutes = loaded(("c", None, True))
    mutes.apply(row("c", None), row("d", None))
    assert (mutes.mutes("c", "e"), mutes.mutes("d", "e")) == (False, True)
    mutes.apply(None, row("d", "e", muted=False))
    assert not mutes.mutes("d", "e")
    mutes.apply(row("d", "e"), None)
    assert mutes.mutes("d", "e")
    mutes.clear()
    assert (mutes.active, mutes.mutes("d", "e")) == (False, False)


def test_changes_during_a_read_count_whether_or_not_it_shows_them() -> None:
    for read in ([], [{"channel": "c", "event": None, "muted": True}]):
        mutes = Mutes()
        mutes.apply(None, row("c", None))
        assert mutes.active
        mutes.load(read)
        assert mutes.mutes("c", "e")
        mutes.read_again()
        assert mutes.mutes("c", "e"), "what was known counts until the rows are there"
        mutes.apply(row("c", None), None)
        mutes.load([{"channel": "c", "event": None, "muted": True}])
        assert not mutes.active


def test_a_table_that_was_emptied_during_a_read_stays_empty() -> None:
    mutes = loaded(("c", None, True))
    mutes.read_again()
    mutes.apply(None, row("d", None))
    mutes.clear()
    mutes.apply(None, row("e", None))
    mutes.load([{"channel": name, "event": None, "muted": True} for name in "cd"])
    assert [mutes.mutes(name, "x") for name in "cde"] == [False, False, True]
