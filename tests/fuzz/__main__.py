"""``python -m tests.fuzz [TARGET …]``: fuzz each target for FUZZ_SECONDS (60), with a bound on memory; ``make fuzz``.

An input that shows a fault is written into the corpus of its target, and the exit code is 1. Correct the fault, give the
file a name that has what was wrong, and commit it: every run of the tests tries it from then on.
"""

from __future__ import annotations

import os
import resource
import sys
import traceback
from typing import Final

from tests.fuzz.corpus import fuzz
from tests.fuzz.targets import TARGETS

_MEMORY: Final = 4 << 30  # bytes of address space


def main(names: list[str]) -> int:
    """Returns the exit code."""
    if unknown := [name for name in names if name not in TARGETS]:
        print(f"there is no target {unknown[0]!r}; there are {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    seconds = float(os.environ.get("FUZZ_SECONDS", "60"))
    failed = 0
    for name in names or TARGETS:
        try:
            print(f"{name}: {fuzz(name, TARGETS[name], seconds)} inputs", flush=True)
        except Exception:  # noqa: BLE001 - the other targets are fuzzed as well
            traceback.print_exc()
            print(f"{name}: FAULT; the input is in tests/fuzz/corpus/{name}", flush=True)
            failed = 1
    return failed


sys.exit(main(sys.argv[1:]))
