"""The page about security names each setting that has to do with it, and a page that describes it."""

from __future__ import annotations

import re
from pathlib import Path

from server.app.settings import Settings
from tests.unit.app.test_insecure import FORMER, HARMLESS, INSECURE

DOCS = Path(__file__).parents[3] / "docs"
_OTHERS = """
alert_interval analytics analytics_channels analytics_days_kept analytics_hours_kept analytics_interval
analytics_minutes_kept analytics_users balance_share channels_pool_size country_database decoder drain_time ephemeral
heartbeat_interval lease log_format missed_pings nats_max_bytes nats_origin nats_replicas node_name node_region node_url
ping_interval planned_connections pool_size relay_lease respect_do_not_track rest_pool_size slot_failover slot_name
trace_names trace_sample_ratio tracing workers
"""
OTHERS = frozenset(_OTHERS.split()) | FORMER
"""Settings that have nothing to do with security: what they are set to lets no one in and bounds no client."""

_ROW = re.compile(r"^\| (`[^|]+) \|[^|]+\|(.+)\|$", re.MULTILINE)
_NAME = re.compile(r"`(\w+)`")
_LINK = re.compile(r"\]\(([^)#]*)(?:#[^)]*)?\)")


def rows() -> dict[str, list[str]]:
    """The pages that the section links, by setting."""
    page = (DOCS / "security.md").read_text()
    section = page.split("\n## Settings\n")[1].split("\n## ")[0]
    return {
        name: [target or "security.md" for target in _LINK.findall(places)]
        for names, places in _ROW.findall(section)
        for name in _NAME.findall(names)
    }


def test_each_setting_is_on_the_page_or_has_nothing_to_do_with_security() -> None:
    assert set(rows()) == Settings.model_fields.keys() - OTHERS, "add it to docs/security.md, or here"
    assert OTHERS <= HARMLESS, "one that may be insecure has to do with security"
    assert INSECURE.keys() <= rows().keys()


def test_a_page_that_is_linked_describes_the_setting() -> None:
    for name, pages in rows().items():
        named = re.compile(rf"`{name}\b|^\[?{name}\b", re.MULTILINE)
        assert any(named.search(_without_the_table(page)) for page in pages), f"{name} is described on none of {pages}"


def _without_the_table(page: str) -> str:
    text = (DOCS / page).read_text()
    if page != "security.md":
        return text
    before, _, after = text.partition("\n## Settings\n")
    return before + after.partition("\n## ")[2]
