"""The model over parts in network namespaces, as root on Linux: ``python -m tests.model.apart --minutes 5``.

Besides all else packets between two parts are lost, delayed or refused for some seconds. It plays at least one program, and
exits with 1 if one fails, whose steps are printed. Its network is its own, so it is a process of its own.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.cluster.links import TROUBLES
from tests.cluster.namespaces.namespaces import own_network
from tests.cluster.namespaces.reachable import let_in_others, reachable_postgres
from tests.conftest import started
from tests.model.machine import Machine, run_machine
from tests.model.parts_apart import PartsApart
from tests.model.world import World

_PLACE = st.integers(0, 9)  # two relays, three nodes, three NATS servers, PostgreSQL, clients


class MachineApart(Machine):
    """A :class:`Machine` whose network fails as well. To start it takes too long for programs to be made shorter."""

    shrinks = False

    def make_world(self, dsn: str) -> World:
        """See ``Machine``."""
        feed = PartsApart(self.server, dsn, self.decoder)
        return World(dsn, feed.nodes, feed)

    @rule(one=_PLACE, other=_PLACE, what=st.sampled_from(sorted(TROUBLES)), seconds=st.sampled_from((0.3, 1.0, 3.0)))
    def trouble(self, one: int, other: int, what: str, seconds: float) -> None:
        """Between two parts, for some time."""

        async def do() -> None:
            assert isinstance(self.world.feed, PartsApart)
            self.world.feed.trouble(one, other, what, seconds, random.Random(one + other))

        self.run(do())


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.model.apart", description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--steps", type=int, default=60, help="of each program")
    arguments = parser.parse_args()
    own_network()
    began, programs = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="realtime-model-postgres-") as folder:
        Path(folder).chmod(0o755)
        with started(reachable_postgres(Path(folder) / "pg18")) as postgres:
            let_in_others(postgres)
            while not programs or time.monotonic() - began < arguments.minutes * 60:
                run_machine(postgres, "pgoutput", base=MachineApart, examples=1, steps=arguments.steps)
                programs += 1
                print(f"{programs} without a difference after {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
