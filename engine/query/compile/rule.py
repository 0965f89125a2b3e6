"""What keeps a window to the rows that its subscribers' role and claims show, where row-level security decides that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.postgres.statements.statement import RoleReading
from engine.query.ir.model import Predicate
from engine.query.ir.reread_plan import ReReadPlan

__all__ = ["Rule"]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """Policies as a condition.

    ``role``: as which rows are read, and facts evaluated in the same snapshot. ``condition``: from what PostgreSQL returned
    for these to the condition that a row meets if the role may see it; raises ``NotIncrementalError`` if that cannot be
    decided exactly. ``watched``: oids of the tables on which the facts depend: a change there makes another condition.
    ``calls``: a change of a function does, too. ``otherwise``: the plan that has PostgreSQL decide.
    """

    role: RoleReading
    condition: Callable[[str], Predicate]
    watched: frozenset[int]
    calls: bool
    otherwise: ReReadPlan
