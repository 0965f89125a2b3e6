"""Endpoints about alerts and their rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from pydantic import Field

from server.http.problems import ProblemError
from server.protocol.error_codes import ErrorCode
from server.rest.description.endpoint import Call, Endpoint, shown
from server.rest.description.figures import Alert, AlertList, AlertRule, AlertRuleChanges, AlertRuleList
from server.rest.pages import SortedPageQuery, read_sorted

__all__ = ["ENDPOINTS"]

_KEY: Final = re.compile(r"[0-9]{1,18}")  # a bigint


class AlertQuery(SortedPageQuery):
    """Which alerts."""

    open: bool | None = Field(None, description="true: only those that are open; false: only past ones.")


async def _list(call: Call) -> dict[str, object]:
    query = call.query_as(AlertQuery)
    if query.after is not None and not _KEY.fullmatch(query.after):
        raise ProblemError(ErrorCode.INVALID_MESSAGE, "after: give what next of the page before is")
    page, following, count = await read_sorted(call, "rest_alerts", "id", query, by_key=True, open=query.open)
    alerts = [shown(Alert, row) for row in page]
    return shown(AlertList, {"alerts": alerts, "next": following, "count": count})


async def _rules(call: Call) -> dict[str, object]:
    return shown(AlertRuleList, {"rules": [shown(AlertRule, row) for row in await call.rows("rest_alert_rules")]})


async def _change(call: Call) -> dict[str, object]:
    name, given = call.path["ruleName"], call.body_as(AlertRuleChanges).model_dump(exclude_unset=True)
    if "hold" in given:
        given["hold"] = f"{given['hold']:f} s"  # as PostgreSQL reads intervals
    rows = await call.rows("rest_alert_rule_update", rule=name, changes=msgspec.json.encode(given).decode())
    if not rows:
        raise ProblemError(ErrorCode.NOT_FOUND, f"there is no rule of alerts named {name!r}")
    return shown(AlertRule, rows[0])


ENDPOINTS: Sequence[Endpoint] = (
    Endpoint(
        "GET",
        "/alerts",
        "listAlerts",
        "List alerts",
        _list,
        "The rows of `realtime.alerts`, the latest first. A client subscribed to `admin:alerts` receives them as they come.",
        query=AlertQuery,
        answer=AlertList,
        scope="alerts",
    ),
    Endpoint(
        "GET",
        "/alert-rules",
        "listAlertRules",
        "List the rules of alerts",
        _rules,
        answer=AlertRuleList,
        scope="alerts",
    ),
    Endpoint(
        "PATCH",
        "/alert-rules/{ruleName}",
        "changeAlertRule",
        "Change a rule of alerts",
        _change,
        "Omitted fields stay. The next pass of the nodes judges by it.",
        body=AlertRuleChanges,
        answer=AlertRule,
        problems=(ErrorCode.NOT_FOUND,),
        scope="alerts",
    ),
)
