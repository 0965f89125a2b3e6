"""The comparison with other systems: each "yes" of ours leads to the page that shows it."""

from __future__ import annotations

import re
from pathlib import Path

from markdown.extensions.toc import slugify  # type: ignore[import-untyped]

PAGE = Path(__file__).parents[3] / "docs" / "guides" / "comparison.md"


def ours() -> list[tuple[str, str]]:
    """The feature and what the column ``This`` has of it, for each row of the tables that have that column."""
    rows = [
        [cell.strip() for cell in line.strip("|").split(" |")] for line in PAGE.read_text().splitlines() if "|" in line
    ]
    return [(row[0], row[1]) for row in rows if len(row) == 6 and row[1] not in ("This", "---")]


def test_each_yes_has_a_link() -> None:
    features = ours()
    assert len(features) > 25
    assert [feature for feature, cell in features if not re.match(r"no\b", cell) and "](" not in cell] == []


SHOWN = {
    "What a client follows": "result",
    "The list is kept for you": "oldIndex",
    "Filter": "operator",
    "Order and limit": "sort key",
    "Some fields alone": "select",
    "One document by its id": r"\.doc\(",
    "Once, not followed": "await .*get\\(",
    "Counts": "count",
    "Joins, aggregates, any SELECT": "sql",
    "A document as a cursor": "startAfter",
    "Pages that stay live": "loadMore",
    "How a query is kept up to date": '"reason"',
    "Written by whom": "insert",
    "Row-level security": "removal",
    "Resume after a break": "since",
    "Commit order, whole transactions": "Commit order",
    "Channels": "subscribe",
    "In the same transaction as rows": "broadcast",
    "History, and resuming after a break": "since",
    "Rules per channel": "CEL",
    "Messages from before the subscription": "before",
    "Only some messages of a channel": "filter|audience|conflate",
    "Presence": "typing",
    "Rooms that become occupied and vacated": "room:vacated",
    "End-to-end encryption in the SDK": "Encryption",
    "Writes from the client": "API",
    "Optimistic state": "whenSeen",
    "Works offline, local store": "offline",
    "Types from the database": "realtime types",
    "Fields, operators and values checked by the compiler": "error: no such field|A misspelt name",
    "Loading and error state of a query": "status",
    "Errors without a handler": "console.error",
    "An outage of any length": "reconnect|again",
    "Rendering on servers": "autoConnect: false",
    "Hooks and composables": "useQuery|Query",
    "Collection of TanStack DB": "collection",
    "Loops over results, `for await`": "for await|async for",
    "Languages of SDKs": "SDK",
    "Transports": "WebSocket",
    "Starter project": "quickstart|Quickstart",
    "On the developer's machine": "make demo",
    "Page that shows what happens inside": "Connections",
    "Without npm": "<script",
    "On your own machines": "systemd",
    "Several nodes": "NATS",
    "Metrics, tracing, alerts": "metrics|trac|alert",
    "Slot that is lost, or pins WAL": "max_slot_wal_keep_size",
}
"""What the place has that a feature leads to, as a regular expression."""


def place(link: str) -> str:
    """The chapter that a link of the page leads to, with those inside it."""
    path, _, anchor = link.partition("#")
    lines = (PAGE.parent / path).read_text().splitlines()
    if not anchor:
        return "\n".join(lines)
    heads = [(number, re.match(r"(#+) (.*)", line)) for number, line in enumerate(lines)]
    titles = [(number, len(head[1]), head[2]) for number, head in heads if head]
    [(begin, level)] = [(number, level) for number, level, title in titles if slugify(title, "-") == anchor]
    ends = [number for number, other, _ in titles if number > begin and other <= level]
    return "\n".join(lines[begin : min(ends, default=len(lines))])


def test_each_link_leads_to_what_shows_the_feature() -> None:
    linked = {feature: re.findall(r"\]\(([^)]+)\)", cell) for feature, cell in ours()}
    linked = {feature: links for feature, links in linked.items() if links}
    assert linked.keys() == SHOWN.keys()
    wrong = [
        (feature, link)
        for feature, links in linked.items()
        for link in links
        if not re.search(SHOWN[feature], place(link))
    ]
    assert wrong == []


def test_each_figure_of_others_has_its_source() -> None:
    text = PAGE.read_text()
    figures = text[text.index("## Figures") : text.index("## What is not there")]
    for system in ("Supabase", "Electric", "Centrifugo", "Firestore"):
        assert re.search(rf"^\| {system}.*\]\(https://.*\|$", figures, re.MULTILINE), system


def test_our_figures_are_those_of_the_page_about_performance() -> None:
    rows = PAGE.read_text().partition("\n| This | ")[2].partition("\n| Supabase Realtime | ")[0]
    measured = (PAGE.parents[1] / "performance.md").read_text()
    numbers = re.findall(r"(?<![\d,.])(?:\d+\.\d+|\d{1,3}(?:,\d{3})+|\d\d:\d\d)(?!\d)", rows)
    assert len(numbers) > 8
    assert [number for number in numbers if not re.search(rf"(?<![\d,.]){re.escape(number)}(?!\d)", measured)] == []


def test_it_has_a_date_and_names_what_is_missing() -> None:
    text = PAGE.read_text()
    assert re.search(r"As of \w+ 20\d\d", text)
    missing = [feature for feature, cell in ours() if re.match(r"no\b", cell)]
    assert {"Writes from the client", "Works offline, local store", "Push notifications", "Hosted for you"} <= set(
        missing
    )
