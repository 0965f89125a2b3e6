"""What waits for a slow connection: higher priority first, each channel in its order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.wire.frame import Frame
from server.wire.send_queue import SendQueue

FRAMES = st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(-1, 2), st.integers(1, 9)), max_size=40)


def filled(frames: list[tuple[str | None, int, int]]) -> SendQueue:
    box: SendQueue = SendQueue()
    for number, (channel, priority, size) in enumerate(frames):
        frame = f"{number}:{channel}".encode().ljust(size + 8)
        box.add(Frame(frame, channel, 0 if channel is None else priority))
    return box


def test_a_high_message_overtakes_low_ones_of_other_channels_with_its_channels_earlier_messages() -> None:
    box = filled([("low", 0, 1), ("low", 0, 1), ("mixed", 0, 1), ("low", 0, 1), ("mixed", 5, 1), ("high", 7, 1)])
    assert [frame.data.strip() for frame in box.take(10**6)] == [
        b"5:high", b"2:mixed", b"4:mixed", b"0:low", b"1:low", b"3:low",
    ]  # fmt: skip
    assert not box
    assert box.size == 0


def test_nothing_overtakes_a_frame_that_is_about_anything() -> None:
    box = filled([("low", 0, 1), (None, 0, 1), ("low", 0, 1), ("high", 1, 1)])
    assert [frame.data.strip() for frame in box.take(10**6)] == [b"0:low", b"1:None", b"3:high", b"2:low"]


@given(FRAMES, st.integers(1, 60))
def test_every_frame_is_taken_once_and_each_channel_keeps_its_order(
    frames: list[tuple[str | None, int, int]], most: int
) -> None:
    box = filled(frames)
    taken: list[bytes] = []
    while box:
        part = [frame.data for frame in box.take(most)]
        assert part
        assert len(part) == 1 or sum(map(len, part)) <= most
        taken += part
    found = [(int(number), name) for number, _, name in (frame.decode().strip().partition(":") for frame in taken)]
    assert sorted(number for number, _ in found) == list(range(len(frames)))
    for channel in ("a", "b", "c", "None"):
        mine = [number for number, name in found if name == channel]
        assert mine == sorted(mine)
