r"""The project has one word per thing (``docs/glossary.md``); the words that it has given up do not come back.

Searched are all tracked text files except the changelog, migrations (an applied one is never edited), licences
and lock files. A word that is also plain English has a pattern of the use that is given up. ``\b`` sees no end of a
word inside an identifier: a word that is given up everywhere is looked for between the parts of snake_case and
camelCase names too.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import re2

ROOT = Path(__file__).parents[2]
NOT_SEARCHED = re.compile(
    r"CHANGELOG\.md|migrations/.*|tests/fuzz/corpus/.*|(.*/)?LICENSE|.*\.lock|.*package-lock\.json|tests/unit/test_words\.py"
)

CODE = r"(engine|server|tests)/.*"
PYTHON = r"(engine|server|sdk/python)/.*\.py"


@dataclass(frozen=True)
class Retired:
    """``pattern``: what is given up; ``instead``: what is written for it; ``within``: paths that match this pattern."""

    pattern: str
    instead: str
    within: str = r".*"
    in_names: bool = False
    """Search the parts of identifiers as words."""

    def __str__(self) -> str:
        return self.pattern


NAMES = (
    Retired(r"\bTogether\b|_together\b", "write batcher, group commit"),
    Retired(r"(?i)\blinger", "idle_ttl, idle_bytes", r"engine/live/.*"),
    Retired(r"\bTap\b|\badd_tap\b", "stream consumer"),
    Retired(r"\b(Feed|Channels|LiveQueries|Events)Like\b", "ChangeFeed, ChannelService, LiveQueryService, EventBatch"),
    Retired(r"\bmend(s|ed|ing|able)?\b", "reconcile, correct, restore"),
    Retired(r"\bbring_up\b|\b(brings?|brought) up\b", "catch up"),
    Retired(r"(?<![a-z]\.all)\b_?settled\b|\bunsettled\b", "caught up, answered"),
    Retired(r"\bnext_move\b|\bmoved\(\)", "wait_changed, changed"),
    Retired(r"\b_?MOST_|_MOST\b|\bMOST\b|\b_?most_(rows|bytes|milliseconds)\b", "MAX_*, max_*"),
    Retired(r"\b_SLACK\b", "a name of what is tolerated"),
    Retired(r"_GAP\b", "…_INTERVAL"),
    Retired(r"\blisting(_after)?\b|\b_?pairs\b", "delivered, documents", r"engine/live/.*"),
    Retired(
        r"\b_?moved\b *(=|: Callable)|\b_moved\(",
        "changed, rights_changed",
        r"(engine/live|sdk/python)/(?!core/document_).*",
    ),
    Retired(r"\"moved\"", "the event transport", r"sdk/python/.*"),
    Retired(r"\bcore[./]past\b|^.*/past\.py$", "previous_rows"),
    Retired(r"(?i)\bbreath\b|\b(im)?patien(ce|t)\b(?! sort)", "yield interval, timeout", in_names=True),
    Retired(r"\bself\._turn\b|\bclass Turn\b", "a lock named for what it guards"),
    Retired(r"\bhorizon\b|\bslack\b|\bjournal\b", "bound, spare rows, dirty set"),
    Retired(r"\bwindow\.broken\b|\bbroken windows?\b|\bmark_broken\b", "invalidated, invalidate"),
    Retired(r"\bHolders\b|\bListing\b|\bPairs\b", "row index, result set, documents"),
    Retired(r"(?i)\bconjunction\b(?! of those)|\b_?alternatives\b|class Alternative\b", "index terms, disjuncts", CODE),
    Retired(r"EventBlock|(message|presence|deliver|in)_blocks?\b|DeliverBlock", "ChannelBatch, EventBatch, …_batches"),
    Retired(r"(?i)\b_?router\b|ChannelRouter", "dispatcher (live queries), hub (channels)"),
    Retired(r"(?i)\b_?settles?\b|settlement|_settle_", "resolve, apply_settings, catch_up"),
    Retired(r"\b_?slices?\b(?!\(|\]|\))", "batch, yield interval", PYTHON),
    Retired(r"\.turn\(|\bdef turn\(", "lane, lock", r"engine/.*"),
    Retired(r"\b_?gaps\b(?!\W*(\"|,? not by|$))|close_gap", "discontinuity, missed", r"engine/.*"),
    Retired(
        r"\bgone\b *(=|,.*=)|\bgone as \(|\bas gone\b|_gone\b",
        "closed, left, ended",
        r"(engine|server|sdk|sql)/(?!js/test).*",
    ),
    Retired(r"\b_emit(_\w+)?\b|\bdef _?emit\(", "_deliver", r"sdk/.*"),
    Retired(r"\b_receive\b", "_process, _deliver", r"sdk/.*"),
    Retired(r"\b_?command\b(?=: ControlMessage|\.(users|audience|sender)\b)", "control", r"engine/.*"),
    Retired(r"\bdef hold\(self, \w+: bool|\.held\b", "pause_reading, reading_paused", r"server/.*"),
    Retired(r"\brecords\b(?=: Decoded|\.(lsn|changes|messages))", "decoded", r"engine/.*"),
    Retired(r"NotOneTable|NotReproducible", "NotIncrementalError"),
    Retired(r"\bmoments\b|clock word", "special date/time values", r"engine/.*"),
    Retired(r"(?i)\bledgers?\b|class Records\b", "unrecorded messages, decoded transaction"),
    Retired(r"\bclass (Past|Check|Replay)\b", "HistoryPage, ResumeCheck, HistoryReader"),
    Retired(r"(?i)\battendances?\b|\btastes\b", "membership, mute rules"),
    Retired(r"\bIsolated\b|\bleft[ _-]out\b", "fault barrier, skipped"),
    Retired(r"\bclass \w*Command\b", "control message"),
    Retired(r"\bdef (offer|tell|say|hear|emit|_tell|_say|_hear)\(", "deliver, receive, publish"),
    Retired(r"(?i)\bsinks?\b|outbox", "transport, send queue"),
    Retired(r"\b_?congest\b|\b_?reliev(e|es|ed|ing)\b|overflowing", "pause_queries, resume_queries, over_limit"),
    Retired(
        r"\bclass (Open|Join|Cancel|Send|Present)\b",
        "SubscribeQuery, SubscribeChannel, CancelSubscription, …",
        r"server/.*",
    ),
    Retired(
        r"\bGate(keeper)?\b|[Kk]eeper\b|(?<!Connection)Acceptor\b", "ConnectionAcceptor, SessionStore, CatalogWatcher"
    ),
    Retired(r"\bclass (Upgrade|Refused)\b", "HandshakeRequest, HandshakeRejected"),
    Retired(r"(?i)farewell|good-?bye|\bdismiss", "clean_close, disconnect_all"),
    Retired(r"\bdef _?gone\(", "closed, disconnected"),
    Retired(r"\bclass (Place|_?Named)\b|\b_?(Handed|Asked)\b", "StreamPosition, WriteState, StreamRequest"),
    Retired(r"\bcalm\b|\b_?hurry\b", "tune_gc, force_stop, reconnect_now"),
    Retired(r"throw[_-]away", "ephemeral"),
    Retired(r"\bclass (Hub|Connector)\b", "ConnectionManager, SubscriptionManager"),
    Retired(r"\bTalkers?\b|\bStage\b", "TestClient, a fake of tests/support"),
    Retired(r"\bclass (Person|Rooms|Lists|Door|Archive|Stay)\b", "TestClient, a fake of tests/support", r"tests/.*"),
    Retired(r"(?i)\btalkers?\b|\bdoor\b(?! int)", "client, server", r"tests/.*", in_names=True),
)

PROSE = (
    Retired(r"(?i)\bwhoever\b", "the client, the caller, …"),
    Retired(r"(?i)\bnobody\b(?!['\"@/])|_nobody_?", "no client, no subscriber, …"),
    Retired(r"(?i)\bsomebody\b", "a client, another node, …"),
    Retired(
        r"(?i)\b(any|every)body\b", "every client, every role, all", r"(docs|engine|server/(?!demo)|sql)/?.*|.*\.md"
    ),
    Retired(r"(?i)\bso long\b(?! as)", "that time, this many seconds"),
    Retired(r"(?i)\byet to (be|have)\b|\b(has|have|had) yet to\b", "not yet", in_names=True),
    Retired(r"(?i)\b(what|it|he|stream|connection|time) is over\b|\bthey are over\b", "has ended"),
    Retired(r"(?i)\btold\b|\btells?\b|\btelling\b", "send, deliver, name, show", in_names=True),
    Retired(r"(?i)\bsa(y|ys|ying|id)\b", "report, name, return, have", in_names=True),
    Retired(r"(?i)\bhears?\b|\bheard\b", "receive", in_names=True),
    Retired(r"(?i)\bhanded (over|in|out)\b", "delivered, submitted, lent"),
)

ALLOWED: dict[str, tuple[str, ...]] = {
    "docs/guides/writing.md": (r"an \*outbox\*",),  # what other systems call it
    "server/app/http_app.py": (r"app\.router\.redirect_slashes",),  # Starlette's name
    "deploy/proxies/envoy.yml": (r"envoy\.filters\.http\.router|http\.router\.v3\.Router",),  # Envoy's names
    # The former name of a setting, which is still read.
    "docs/getting-started.md": (r"`throw_away` \| \| the former name of `ephemeral`",),
    "server/app/settings.py": (r"throw_away: bool \| None", r'given\.get\("throw_away"\)'),
    "server/cli/terminal/options.py": (r'"--throw-away"\)\]$',),
    "server/cli/reference/settings.py": (r'_FORMER: Final = \("throw_away",\)',),
    "tests/unit/app/test_settings.py": (r"throw_away = true",),
    "tests/integration/schema/test_slots_upgrade.py": (r"throw_away",),
    # What people write on the demo's message board.
    "server/demo/conversation.sql": (r"^ +\('\w+', \d+, '", r"^ +'"),
    # The name that logging.Handler calls.
    "tests/model/machine.py": (r"def emit\(self, record: logging\.LogRecord\)",),
    # The words that comments in a database may not have.
    "tests/integration/schema/test_interface.py": (r"where description ~\*",),
    # Of people.
    ".github/CODE_OF_CONDUCT.md": (r"hear both sides",),
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
def searched() -> list[tuple[str, str, str]]:
    """Of each file its path, that path and the text below it, and the same with its identifiers taken apart."""
    return [(name, lines := f"{name}\n{text}", parts_of_names(lines)) for name, text in texts()]


def anywhere(pattern: str) -> Any:
    """``pattern`` without its conditions on what is around a match, so that it matches more, by RE2: it looks through the
    texts in a tenth of the time of ``re``. Its ``\\b`` is about letters of ASCII, which patterns begin and end with.
    """
    while (start := re.search(r"\(\?<?[=!]", pattern)) is not None:
        end, depth = start.end(), 1
        while depth:
            if pattern[end] == "\\":
                end += 1
            elif pattern[end] in "()":
                depth += 1 if pattern[end] == "(" else -1
            end += 1
        pattern = pattern[: start.start()] + pattern[end:]
    return re2.compile(f"(?m){pattern}")


def parts_of_names(line: str) -> str:
    """``line`` with its identifiers taken apart: ``_tell_failure``, ``tellFailure`` → ``tell failure``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_+", " ", line)


@pytest.mark.parametrize("retired", [*NAMES, *PROSE], ids=str)
def test_a_retired_word_is_used_nowhere(retired: Retired, searched: list[tuple[str, str, str]]) -> None:
    word, perhaps = re.compile(retired.pattern), anywhere(retired.pattern)
    within = [each for each in searched if re.fullmatch(retired.within, each[0])]
    assert within, f"no file is searched: {retired.within}"
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, text, parts in within
        if perhaps.search(text) or (retired.in_names and perhaps.search(parts))  # most files have none in any line
        for number, line in enumerate(text.splitlines())  # 0: its path
        if (word.search(line) or (retired.in_names and word.search(parts_of_names(line))))
        and not any(re.search(allowed, line) for allowed in ALLOWED.get(name, ()))
    ]
    assert found == [], f"write instead: {retired.instead}"


@pytest.mark.parametrize(
    "line", ["self._tell_failure()", "_TELL_AFTER", "_heard = 0", "tellFailure()", "def _say_what(", "says_so"]
)
def test_a_retired_word_is_found_inside_a_name(line: str) -> None:
    retired = [re.compile(each.pattern) for each in PROSE if each.in_names]
    assert any(word.search(parts_of_names(line)) for word in retired)
