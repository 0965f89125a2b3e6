"""Whether a client's publish is recorded: a client cannot make the server record everything."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from engine.tracing.context import TraceContext
from engine.tracing.messages import MessageTrace
from server.app.settings import Settings
from server.ports.channels import Member
from server.tracing.tracing import Tracing

MEMBER = Member("me", "ann")
FLAGGED = TraceContext(1, 2, 1, "a=1")  # an id that a ratio by ids would always choose


class Published:
    """Keeps what would be spans."""

    def __init__(self) -> None:
        self.found: list[tuple[Any, ...]] = []

    def published(self, *about: Any) -> None:
        self.found.append(about)

    def delivered(self, *about: Any) -> None:
        raise AssertionError(about)


async def flush(seconds: float) -> None:
    raise AssertionError(seconds)


def tracing(bits: Callable[[int], int] | None = None, **settings: Any) -> tuple[Tracing, Published]:
    spans = Published()
    return Tracing(Settings(**settings), spans, flush, bits or random.Random(1).getrandbits), spans


def publish(of: Tracing, parent: TraceContext | None) -> MessageTrace | None:
    return of.publishing(parent, MEMBER, "c", 4)


@pytest.mark.parametrize("trusted", ["none", "servers"])
def test_the_flag_and_the_trace_id_of_an_untrusted_client_decide_nothing(trusted: str) -> None:
    made, _ = tracing(trace_sample_ratio=0.1, trace_trusted_parents=trusted)
    recorded = [trace.sampled for _ in range(1000) if (trace := publish(made, FLAGGED)) is not None]
    assert len(recorded) == 1000
    assert 50 < sum(recorded) < 150


def test_what_is_not_recorded_is_passed_on_as_it_came() -> None:
    made, _ = tracing(trace_sample_ratio=0.0)
    assert publish(made, None) is None
    passed = publish(made, FLAGGED)
    assert passed is not None
    assert (passed.context, passed.sampled) == (FLAGGED, False)
    passed.end(None)  # makes no span


def test_a_trusted_client_decides() -> None:
    for ratio in (0.0, 1.0):
        made, _ = tracing(trace_sample_ratio=ratio, trace_trusted_parents="all")
        decided = [publish(made, FLAGGED), publish(made, FLAGGED._replace(flags=0))]
        assert [trace is not None and trace.sampled for trace in decided] == [True, False]


def test_a_recorded_publish_has_a_span_of_its_own_in_the_trace_of_its_parent() -> None:
    made, spans = tracing(trace_sample_ratio=1.0)
    for parent in (FLAGGED, FLAGGED._replace(flags=2), None):
        trace = publish(made, parent)
        assert trace is not None
        if parent is not None:
            assert trace.context == TraceContext(1, trace.context.span_id, 1 | parent.flags, "a=1")
            assert trace.context.span_id != parent.span_id
        trace.end(None)
        assert spans.found[-1][0] == parent
        assert spans.found[-1][2:] == (MEMBER, "c", 4, trace, None)


def test_ids_are_never_zero() -> None:
    made, _ = tracing(lambda _: 0, trace_sample_ratio=1.0)
    trace = publish(made, None)
    assert trace is not None
    assert trace.context.trace_id > 0 < trace.context.span_id


def test_open_telemetry_is_not_loaded_while_tracing_is_off() -> None:
    program = "import sys, server.app.server; print([name for name in sys.modules if 'opentelemetry' in name])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
