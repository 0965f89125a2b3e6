"""What the process of the command asks of an :mod:`agent`, one order a line of JSON, and what is answered."""

from __future__ import annotations

import msgspec

__all__ = [
    "Act",
    "Arrive",
    "Connect",
    "Count",
    "Counts",
    "Drop",
    "Order",
    "Plan",
    "Publish",
    "Receive",
    "Subscribe",
    "Write",
]


class Plan(msgspec.Struct):
    """An agent's argument. ``tokens`` are taken in turn. ``sources``: local addresses, of which each has at most
    ``per_source`` connections. ``connection``: the class of connections, as ``module:name``.
    """

    url: str
    connection: str
    every: int = 1
    tokens: list[str] = []
    headers: dict[str, str] = {}
    sources: list[str] = []
    per_source: int = 10_000


class Connect(msgspec.Struct, tag=True):
    """Open ``count`` connections as ``group``, the first with the number ``first``: ``rate`` a second; 0: ``at_once``.
    ``connection``: their class, if it is not that of the plan.
    """

    group: str
    count: int
    first: int
    rate: float = 0.0
    at_once: int = 100
    connection: str = ""


class Subscribe(msgspec.Struct, tag=True):
    """Each of ``group`` subscribes ``each`` times: connection n to number n + 0, 1, 2 … times ``stride``, modulo
    ``numbers``, which stands for ``%n`` in ``template``. ``%p``, ``%e``: position and epoch of its last answer.
    ``rate``: connections a second; 0: all at once. ``rows``: answered by rows. ``goal``, ``members``: see ``Connection``.
    """

    group: str
    template: str
    numbers: int = 1
    each: int = 1
    stride: int = 1
    rate: float = 0.0
    rows: bool = False
    goal: int = 0
    members: int = 0
    stuck: float = 30.0


class Publish(msgspec.Struct, tag=True):
    """``group`` publishes, in turn, ``rate`` a second for ``seconds``: ``template`` with a number below ``numbers`` for
    ``%n`` (each connection has every so many of them) and a stamp of ``size`` bytes for ``%d``. ``acked``: until each has
    been answered.
    """

    group: str
    template: str
    rate: float
    seconds: float
    size: int
    numbers: int = 1
    acked: bool = True
    stuck: float = 30.0


class Write(msgspec.Struct, tag=True):
    """``statement`` in SQL, ``rate`` a second for ``seconds`` by ``connections``, one a transaction: parameters are a number
    below ``numbers`` and a stamp of ``size`` bytes.
    """

    dsn: str
    statement: str
    rate: float
    seconds: float
    size: int
    numbers: int = 1
    connections: int = 8


class Arrive(msgspec.Struct, tag=True):
    """Clients arrive, ``rate`` a second for ``seconds``: each connects, subscribes to a channel of its own (``%n``),
    publishes there and receives that. They stay, as ``group``.
    """

    group: str
    subscribe: str
    publish: str
    rate: float
    seconds: float
    size: int
    first: int
    stuck: float = 30.0


class Receive(msgspec.Struct, tag=True):
    """Wait until ``group`` has got ``deliveries`` in all, or nothing comes for ``stuck`` seconds. ``completed``: until so
    many have what :class:`Subscribe` had as their goal.
    """

    group: str
    deliveries: int = 0
    completed: int = 0
    stuck: float = 30.0


class Count(msgspec.Struct, tag=True):
    """Answer the tally, and begin a new one."""


class Drop(msgspec.Struct, tag=True):
    """End the connections of ``group``."""

    group: str
    clean: bool = True


Act = Connect | Subscribe | Publish | Write | Arrive | Receive | Drop
Order = Act | Count


class Counts(msgspec.Struct):
    """The answer to an order: ``done`` of what it was about (connections opened, messages sent …) and ``failed`` of it,
    ``seconds`` it took. ``least``, ``greatest``: deliveries to one client of the group.
    """

    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    least: int = 0
    greatest: int = 0
