"""Links between two groups of parts fail for some seconds: nothing passes, or in one direction only, or it is late."""

from __future__ import annotations

from collections.abc import Callable

from tests.cluster.links import CLIENTS, TROUBLES
from tests.faults.schedule import Fault, Schedule

__all__ = ["NETWORK_FAULTS"]

_LONGEST = 10.0  # seconds; longer than what relays and nodes wait for an answer of NATS

Groups = tuple[list[str], list[str]]


async def _apart(run: Schedule, groups: Groups) -> None:
    links = run.parts.links.between(*groups)
    if links and run.free(*links):
        with run.using(*links):
            what = run.chance.choice(list(TROUBLES))
            between = " | ".join("+".join(group) for group in groups)
            run.note(f"{between}: {what}")
            for link in links:
                TROUBLES[what](link, run.chance)
            await run.pause(_LONGEST)
            for link in links:
                link.heal()
            run.note(f"{between}: healed")


def _part(name: str, doc: str, groups: Callable[[Schedule], Groups]) -> Fault:
    async def fault(run: Schedule) -> None:
        await _apart(run, groups(run))

    fault.__name__, fault.__doc__ = name, doc
    return fault


def _any(run: Schedule, names: list[str]) -> list[str]:
    return [run.chance.choice(names)]


def _nodes(run: Schedule) -> list[str]:
    return [each.name for each in run.parts.nodes]


def _relays(run: Schedule) -> list[str]:
    return [each.name for each in run.parts.relays]


def _some_nats(run: Schedule) -> list[str]:
    """One of them, or all."""
    names = run.parts.nats.names
    return run.chance.choice((names, _any(run, names)))


def _one_nats_and_the_others(run: Schedule) -> Groups:
    one = _any(run, run.parts.nats.names)
    return one, [each for each in run.parts.nats.names if each not in one]


def _one_and_all_others(run: Schedule) -> Groups:
    one = _any(run, _nodes(run) + _relays(run) + run.parts.nats.names)
    return one, [each for each in _everything(run) if each not in one]


def _two_groups(run: Schedule) -> Groups:
    everything = _everything(run)
    run.chance.shuffle(everything)
    at = run.chance.randrange(1, len(everything))
    return everything[:at], everything[at:]


def _everything(run: Schedule) -> list[str]:
    """All parts. The servers of PostgreSQL are one: nothing is between them."""
    return [*_nodes(run), *_relays(run), *run.parts.nats.names, *run.parts.postgres, CLIENTS]


NETWORK_FAULTS: dict[str, Fault] = {
    each.__name__: each
    for each in (
        _part(
            "part_node_from_postgres",
            "A node and PostgreSQL.",
            lambda run: (_any(run, _nodes(run)), run.parts.postgres),
        ),
        _part(
            "part_relay_from_postgres",
            "A relay and PostgreSQL.",
            lambda run: (_any(run, _relays(run)), run.parts.postgres),
        ),
        _part("part_node_from_nats", "A node and NATS.", lambda run: (_any(run, _nodes(run)), _some_nats(run))),
        _part("part_relay_from_nats", "A relay and NATS.", lambda run: (_any(run, _relays(run)), _some_nats(run))),
        _part("part_nats", "A NATS server and the others.", _one_nats_and_the_others),
        _part("part_clients", "Clients and a node.", lambda run: ([CLIENTS], _any(run, _nodes(run)))),
        _part("part_one", "One part and all others.", _one_and_all_others),
        _part("part_two_groups", "Two groups of parts.", _two_groups),
    )
}
"""By name."""
