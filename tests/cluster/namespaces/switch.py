"""The switch: ``python -m tests.cluster.namespaces.switch '{…}'`` (see :class:`Plan`).

Makes a namespace for each place but the first, which is the one that it is started in, and a TUN device in each. Prints
``{place: descriptor}``: the namespaces, as files of this process. Then it passes packets between them; a line of input is
what is wrong with links from now on, as a list of :class:`Order`. One of nothing is answered by a line with what has passed,
a list of :class:`Passed`. It ends with its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable

import msgspec

from tests.cluster.namespaces.packets import addresses, reset_for

__all__ = ["Order", "Passed", "Plan", "Switch", "Trouble"]

NEW_NETWORK = 0x40000000
_TUNSETIFF, _TUN_WITHOUT_HEADER = 0x400454CA, 0x0001 | 0x1000
_MTU = 9000
_AT_ONCE = 64  # packets of one place
_QUEUE = 1.0  # seconds of a link's rate that may wait
LIBC = ctypes.CDLL(None, use_errno=True)


class Plan(msgspec.Struct):
    """``places``: their addresses, each with the name of the part that has it, the first one's in front; an address whose
    name is empty is the operator's, and no trouble concerns it. ``routes``: of the first place, with their source.
    """

    places: dict[str, dict[str, str]]
    routes: dict[str, str]


class Trouble(msgspec.Struct):
    """Of packets from one part to another. ``delay``: seconds; ``loss``: the part of packets that is lost; ``rate``: bytes a
    second, 0: as fast as it goes; ``drop``: all are; ``reset``: each is answered with the end of its connection.
    """

    delay: float = 0.0
    loss: float = 0.0
    rate: int = 0
    drop: bool = False
    reset: bool = False


class Order(msgspec.Struct):
    """``link``: its name, as each link has a trouble of its own."""

    link: str
    source: str
    target: str
    trouble: Trouble


class Passed(msgspec.Struct):
    """What one part has been sent by another, headers of IP and TCP included; what was lost or refused is not counted."""

    source: str
    target: str
    packets: int = 0
    bytes: int = 0


class Switch:
    """Decides about packets. ``send``: writes one to the device of an address; ``later``: calls after some seconds."""

    def __init__(
        self,
        names: dict[bytes, str],
        send: Callable[[bytes, bytes], None],
        later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._names = names
        self._send = send
        self._later = later
        self._clock = clock
        self._chance = chance
        self._troubles: dict[tuple[str, str], dict[str, Trouble]] = {}
        self._free: dict[tuple[str, str], float] = {}  # from when on a link with a rate has sent all
        self._passed: dict[tuple[str, str], Passed] = {}

    @property
    def passed(self) -> list[Passed]:
        """Of all parts that have sent something to another."""
        return list(self._passed.values())

    def order(self, order: Order) -> None:
        """What is wrong from now on."""
        self._troubles.setdefault((order.source, order.target), {})[order.link] = order.trouble

    def take(self, packet: bytes) -> None:
        """Pass, delay, refuse or drop a packet."""
        ends = addresses(packet)
        if ends is None or ends[1] not in self._names:
            return
        way = (self._names.get(ends[0], ""), self._names[ends[1]])
        troubles = self._troubles.get(way)
        if not troubles:
            self._pass(way, ends[1], packet)
            return
        found = troubles.values()
        if any(each.reset for each in found):
            if (answer := reset_for(packet)) is not None:
                self._send(ends[0], answer)
            return
        if any(each.drop or (each.loss and self._chance() < each.loss) for each in found):
            return
        late = max(each.delay for each in found)
        if rate := min((each.rate for each in found if each.rate), default=0):
            now = self._clock()
            begin = max(now, self._free.get(way, now))
            if begin - now > _QUEUE:
                return
            self._free[way] = begin + len(packet) / rate
            late += self._free[way] - now
        if late:
            self._later(late, lambda: self._pass(way, ends[1], packet))
        else:
            self._pass(way, ends[1], packet)

    def _pass(self, way: tuple[str, str], address: bytes, packet: bytes) -> None:
        count = self._passed.get(way)
        if count is None:
            count = self._passed[way] = Passed(*way)
        count.packets += 1
        count.bytes += len(packet)
        self._send(address, packet)


def _device(addresses: list[str]) -> int:
    """A device in the present namespace, with these addresses."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"net0", _TUN_WITHOUT_HEADER))
    for command in ("link set lo up", f"link set net0 mtu {_MTU} up"):
        _ip(command)
    for address in addresses:
        _ip(f"addr add {address}/32 dev net0")
    return device


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)


def main() -> None:
    """Make everything, and run until the input ends."""
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    devices: dict[bytes, int] = {}
    names: dict[bytes, str] = {}
    spaces: dict[str, int] = {}
    for place, found in plan.places.items():
        if spaces and LIBC.unshare(NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "unshare")
        device = _device(list(found))
        for target, source in plan.routes.items() if not spaces else [("198.18.0.0/15", next(iter(found)))]:
            _ip(f"route add {target} dev net0 src {source}")
        spaces[place] = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        for address, name in found.items():
            packed = bytes(map(int, address.split(".")))
            devices[packed], names[packed] = device, name
    print(json.dumps(spaces), flush=True)
    asyncio.run(_run(devices, names))


async def _run(devices: dict[bytes, int], names: dict[bytes, str]) -> None:
    loop = asyncio.get_running_loop()

    def send(address: bytes, packet: bytes) -> None:
        with contextlib.suppress(OSError):  # its queue is full, or it is no packet for it: lost
            os.write(devices[address], packet)

    switch = Switch(names, send, loop.call_later, loop.time)

    def read(device: int) -> None:
        for _ in range(_AT_ONCE):
            try:
                packet = os.read(device, 65536)
            except BlockingIOError:
                return
            switch.take(packet)

    for device in set(devices.values()):
        loop.add_reader(device, read, device)
    while line := await asyncio.to_thread(sys.stdin.readline):
        orders = msgspec.json.decode(line, type=list[Order])
        for order in orders:
            switch.order(order)
        if not orders:
            print(msgspec.json.encode(switch.passed).decode(), flush=True)


if __name__ == "__main__":
    main()
