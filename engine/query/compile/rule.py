"""What keeps a window to the rows that its subscribers' role and claims show, where row-level security decides that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from engine.postgres.statements.statement import RoleReading
from engine.query.ir.model import Predicate
from engine.query.ir.reread_plan import ReReadPlan

__all__ = ["LookedFor", "Rule", "Shown"]


LookedFor = frozenset[tuple[str, bytes]]
"""Columns of a looked-up table with the texts of values: a row of it that has none of these is of no concern."""


class Shown(NamedTuple):
    """``condition``: what a row meets if the role may see it. ``looked_for``: the rows of the one watched table on whose
    changes that depends; None: on any change of a watched table.
    """

    condition: Predicate
    looked_for: LookedFor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """Policies as a condition.

    ``role``: as which rows are read, and facts evaluated in the same snapshot. ``shows``: from what PostgreSQL returned
    for these to what a row must meet for the role to see it; raises ``NotIncrementalError`` if that cannot be
    decided exactly. ``watched``: oids of the tables on which the facts depend: a change there makes another condition.
    ``calls``: a change of a function does, too. ``otherwise``: the plan that has PostgreSQL decide.
    """

    role: RoleReading
    shows: Callable[[str], Shown]
    watched: frozenset[int]
    calls: bool
    otherwise: ReReadPlan
