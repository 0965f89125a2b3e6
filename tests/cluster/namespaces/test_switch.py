"""The switch decides about packets as it is ordered; what ends a connection is well-formed."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import pytest

from tests.cluster.namespaces.packets import addresses, reset_for
from tests.cluster.namespaces.switch import Order, Passed, Switch, Trouble

ADA, BOB, OPERATOR = (socket.inet_aton(each) for each in ("198.18.0.10", "198.18.0.11", "198.19.0.10"))


def packet(source: bytes, target: bytes, flags: int = 16, data: bytes = b"hello") -> bytes:
    tcp = struct.pack("!HHIIBBHHH", 1111, 2222, 1000, 5000, 5 << 4, flags, 0, 0, 0) + data
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + source + target + tcp


class World:
    """A switch whose time stands still. ``sent``: address and packet; ``late``: what it wants to do later."""

    def __init__(self, luck: float = 0.5) -> None:
        self.sent: list[tuple[bytes, bytes]] = []
        self.late: list[float] = []
        names = {ADA: "ada", BOB: "bob", OPERATOR: ""}
        self.switch = Switch(names, self._send, self._later, lambda: 100.0, lambda: luck)

    def _send(self, address: bytes, packet: bytes) -> None:
        self.sent.append((address, packet))

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self.late.append(round(seconds, 6))
        call()

    def trouble(self, link: str = "one", **values: object) -> None:
        self.switch.order(Order(link, "ada", "bob", Trouble(**values)))  # type: ignore[arg-type]

    def passes(self, source: bytes, target: bytes) -> bool:
        before = len(self.sent)
        self.switch.take(packet(source, target))
        return self.sent[before:] == [(target, packet(source, target))]


def test_packets_pass_unless_there_is_trouble_in_their_direction() -> None:
    world = World()
    assert world.passes(ADA, BOB)
    world.trouble(drop=True)
    assert not world.passes(ADA, BOB)
    assert world.passes(BOB, ADA)
    assert world.passes(ADA, OPERATOR)
    world.trouble()
    assert world.passes(ADA, BOB)


def test_two_links_of_the_same_parts_heal_by_themselves() -> None:
    world = World()
    world.trouble("one", drop=True)
    world.trouble("two", drop=True)
    world.trouble("one")
    assert not world.passes(ADA, BOB)
    world.trouble("two")
    assert world.passes(ADA, BOB)


@pytest.mark.parametrize(("loss", "passes"), [(0.4, True), (0.6, False), (0.0, True)])
def test_a_part_of_the_packets_is_lost(loss: float, passes: bool) -> None:
    world = World(luck=0.5)
    world.trouble(loss=loss)
    assert world.passes(ADA, BOB) is passes


def test_packets_take_time_and_wait_for_each_other_where_little_passes() -> None:
    world = World()
    world.trouble(delay=0.08)
    assert world.passes(ADA, BOB)
    world.trouble(rate=len(packet(ADA, BOB)) * 2)
    for _ in range(4):
        world.switch.take(packet(ADA, BOB))
    assert world.late == [0.08, 0.5, 1.0, 1.5]  # the fourth would wait for longer than the queue is


def test_what_has_passed_is_counted_by_sender_and_receiver() -> None:
    world = World()
    size = len(packet(ADA, BOB))
    for _ in range(3):
        world.passes(ADA, BOB)
    world.passes(BOB, ADA)
    world.passes(OPERATOR, BOB)
    world.trouble(delay=0.08)
    world.passes(ADA, BOB)
    world.trouble(drop=True)
    world.passes(ADA, BOB)
    world.trouble(reset=True)
    world.passes(ADA, BOB)
    assert world.switch.passed == [
        Passed("ada", "bob", 4, 4 * size),
        Passed("bob", "ada", 1, size),
        Passed("", "bob", 1, size),
    ]


@pytest.mark.parametrize(
    ("flags", "sequence", "acknowledged", "answer"), [(16, 5000, 0, 4), (2, 0, 1006, 4 | 16), (17, 5000, 0, 4)]
)
def test_a_refused_packet_is_answered_by_what_ends_its_connection(
    flags: int, sequence: int, acknowledged: int, answer: int
) -> None:
    world = World()
    world.trouble(reset=True)
    world.switch.take(packet(ADA, BOB, flags))
    [(address, reset)] = world.sent
    assert address == ADA
    assert addresses(reset) == (BOB, ADA)
    assert struct.unpack_from("!HHII", reset, 20) == (2222, 1111, sequence, acknowledged)
    assert reset[33] == answer
    head = struct.unpack("!10H", reset[:20])
    assert sum(head) % 0xFFFF == 0, "the checksum makes the sum nothing"
    pseudo = reset[12:20] + struct.pack("!BBH", 0, 6, 20)
    assert sum(struct.unpack("!16H", pseudo + reset[20:])) % 0xFFFF == 0


def test_an_end_is_not_answered_and_other_packets_are_dropped() -> None:
    world = World()
    world.trouble(reset=True)
    world.switch.take(packet(ADA, BOB, 4))
    world.switch.take(b"\x60" + bytes(60))
    assert reset_for(packet(ADA, BOB)[:9] + b"\x11" + packet(ADA, BOB)[10:]) is None
    assert world.sent == []
