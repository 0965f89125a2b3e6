"""A window made of what was read, joined to the stream."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from engine.catalog.model import Table
from engine.live.core.outcome import DISAGREEING, READ_AGAIN
from engine.live.core.table_windows import RowUnknownError, TableWindows
from engine.live.core.window import Window
from engine.postgres.snapshot import ReadResult
from engine.query.compile.plan import IncrementalPlan
from engine.transaction import Message, Relation, Transaction
from engine.values.labels import UnknownLabelError

__all__ = ["loaded_window"]

_log = structlog.get_logger(__name__)


def loaded_window(
    plan: IncrementalPlan, read: ReadResult, live: TableWindows, unseen: Iterable[Transaction], spare_rows: int
) -> Window:
    """A window with the rows of ``read`` and the changes of the transactions ``unseen``, which its snapshot does not show.

    It is invalidated if one of them could not be applied.
    """
    window = Window(plan, spare_rows)
    try:
        window.load(plan.rows(read.rows))
        for transaction in unseen:
            for change in transaction.changes:
                if not isinstance(change, Message) and _is_of(change.relation, plan.table):
                    live.apply_to(window, change)
    except (RowUnknownError, *DISAGREEING) as problem:
        level = _log.info if isinstance(problem, UnknownLabelError) else _log.warning
        level(READ_AGAIN, collection=plan.table.collection, error=str(problem))
        window.invalidate("the table's definition changed")
    window.commit()
    return window


def _is_of(relation: Relation, table: Table) -> bool:
    return relation.oid == table.oid or relation.oid in table.members
