"""The project has one word per thing (``docs/glossary.md``); the words that it has given up do not come back.

Searched are all tracked text files except the changelog, migrations (an applied one is never edited), licences
and lock files. A word that is also plain English has a pattern of the use that is given up.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_SEARCHED = re.compile(
    r"CHANGELOG\.md|migrations/.*|(.*/)?LICENSE|.*\.lock|.*package-lock\.json|tests/unit/test_words\.py"
)

NOT_TESTS = r"(?!tests/|sdk/js/test/).*"


@dataclass(frozen=True)
class Retired:
    """``pattern``: what is given up; ``instead``: what is written for it; ``within``: paths that match this pattern."""

    pattern: str
    instead: str
    within: str = r".*"

    def __str__(self) -> str:
        return self.pattern


NAMES = (
    Retired(r"\bTogether\b|_together\b", "write batcher, group commit"),
    Retired(r"(?i)\blinger", "idle_ttl, idle_bytes", r"engine/live/.*"),
    Retired(r"\bTap\b|\badd_tap\b", "stream consumer"),
    Retired(r"\b(Feed|Channels|LiveQueries|Events)Like\b", "ChangeFeed, ChannelService, LiveQueryService, EventBatch"),
    Retired(r"\bmend(s|ed|ing|able)?\b", "reconcile, correct, restore"),
    Retired(r"\bbring_up\b|\bbrings? up\b", "catch up"),
    Retired(r"(?<![a-z]\.all)\b_?settled\b|\bunsettled\b", "caught up, answered"),
    Retired(r"\bnext_move\b|\bmoved\(\)", "wait_changed, changed"),
    Retired(r"\b_?MOST_|_MOST\b", "MAX_*"),
    Retired(r"\bbreath\b|\bpatience\b(?! sort)", "yield interval, timeout"),
    Retired(r"\bself\._turn\b|\bclass Turn\b", "a lock named for what it guards"),
    Retired(r"\bhorizon\b|\bslack\b|\bjournal\b", "bound, spare rows, dirty set"),
    Retired(r"\bwindow\.broken\b|\bbroken windows?\b", "invalidated"),
    Retired(r"\bHolders\b|\bListing\b|\bPairs\b", "row index, result set, documents"),
    Retired(r"\bConjunction\b|\b_?alternatives\b", "index terms, disjuncts", r"engine/.*"),
    Retired(r"NotOneTable|NotReproducible", "NotIncrementalError"),
    Retired(r"\bmoments\b|clock word", "special date/time values", r"engine/.*"),
    Retired(r"(?i)\bledgers?\b|class Records\b", "unrecorded messages, decoded transaction"),
    Retired(r"\bclass (Past|Check|Replay)\b", "HistoryPage, ResumeCheck, HistoryReader"),
    Retired(r"(?i)\battendances?\b|\btastes\b", "membership, mute rules"),
    Retired(r"\bIsolated\b|\bleft[ _-]out\b", "fault barrier, skipped"),
    Retired(r"\bclass \w*Command\b", "control message"),
    Retired(r"\bdef (offer|tell|say|hear|emit|_tell|_say|_hear)\(", "deliver, receive, publish", NOT_TESTS),
    Retired(r"(?i)\bsinks?\b|outbox", "transport, send queue"),
    Retired(r"\b_?congest\b|\b_?reliev(e|es|ed|ing)\b|overflowing", "pause_queries, resume_queries, over_limit"),
    Retired(
        r"\bclass (Open|Join|Cancel|Send|Present)\b",
        "SubscribeQuery, SubscribeChannel, CancelSubscription, …",
        "server",
    ),
    Retired(
        r"\bGate(keeper)?\b|[Kk]eeper\b|(?<!Connection)Acceptor\b", "ConnectionAcceptor, SessionStore, CatalogWatcher"
    ),
    Retired(r"\bclass (Upgrade|Refused)\b", "HandshakeRequest, HandshakeRejected"),
    Retired(r"(?i)farewell|good-?bye|\bdismiss", "clean_close, disconnect_all"),
    Retired(r"\bdef _?gone\(", "closed, disconnected"),
    Retired(r"\bclass (Place|Named)\b|\b_?(Handed|Asked)\b", "StreamPosition, WriteState, StreamRequest"),
    Retired(r"\bcalm\b|\b_?hurry\b", "tune_gc, force_stop, reconnect_now"),
    Retired(r"throw[_-]away", "ephemeral"),
    Retired(r"\bclass (Hub|Connector)\b", "ConnectionManager, SubscriptionManager"),
    Retired(r"\bTalkers?\b|\bStage\b", "TestClient, a fake of tests/support"),
    Retired(r"\bclass (Person|Rooms|Lists|Door|Archive|Stay)\b", "TestClient, a fake of tests/support", r"tests/.*"),
)

PROSE = (
    Retired(r"(?i)\bwhoever\b", "the client, the caller, …"),
    Retired(r"(?i)\bnobody\b(?!['\"@/])|_nobody_?", "no client, no subscriber, …"),
    Retired(r"(?i)\bsomebody\b", "a client, another node, …"),
    Retired(r"(?i)\bso long\b(?! as)", "that time, this many seconds"),
    Retired(r"(?i)\b(has|have|had) yet to\b", "not yet"),
    Retired(r"(?i)\b(what|it|he|stream|connection|time) is over\b", "has ended"),
    Retired(r"(?i)\btold\b|\btells?\b|\btelling\b", "send, deliver, name, show", NOT_TESTS),
    Retired(r"(?i)\bsa(y|ys|ying|id)\b", "report, name, return, have", NOT_TESTS),
    Retired(r"(?i)\bhears?\b|\bheard\b", "receive", NOT_TESTS),
    Retired(r"(?i)\bhanded (over|in|out)\b", "delivered, submitted, lent"),
)

ALLOWED: dict[str, tuple[str, ...]] = {
    # The former name of a setting, which is still read.
    "docs/getting-started.md": (r"`throw_away` \| \| the former name of `ephemeral`",),
    "server/app/settings.py": (r"throw_away: bool \| None", r'given\.get\("throw_away"\)'),
    "server/cli/terminal/options.py": (r'"--throw-away"\)\]$',),
    "tests/unit/app/test_settings.py": (r"throw_away = true",),
    "tests/integration/schema/test_slots_upgrade.py": (r"throw_away",),
    # What people write on the demo's message board.
    "server/demo/conversation.sql": (r"^ +\('\w+', \d+, '", r"^ +'"),
    # Of people.
    "CODE_OF_CONDUCT.md": (r"hear both sides",),
}
"""Lines by file that may have a retired word: patterns of the whole place."""


def texts() -> Iterator[tuple[str, str]]:
    """Path and text of the files that are searched."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if NOT_SEARCHED.fullmatch(name) or not path.is_file():
            continue
        data = path.read_bytes()
        if b"\0" not in data:
            yield name, data.decode()


@pytest.fixture(scope="module")
def searched() -> list[tuple[str, list[str]]]:
    return [(name, text.splitlines()) for name, text in texts()]


@pytest.mark.parametrize("retired", [*NAMES, *PROSE], ids=str)
def test_a_retired_word_is_used_nowhere(retired: Retired, searched: list[tuple[str, list[str]]]) -> None:
    word = re.compile(retired.pattern)
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, lines in searched
        if re.fullmatch(retired.within, name)
        for number, line in enumerate(lines, 1)
        if word.search(line) and not any(re.search(allowed, line) for allowed in ALLOWED.get(name, ()))
    ]
    assert found == [], f"write instead: {retired.instead}"
