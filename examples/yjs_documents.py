"""Documents of the example ``notes``: what its updates, the messages of a document's channel, make together.

A page that opens a document loads the merged state and the messages since its position. Before that, the state is brought
up to date if there are many of those. No page's word is taken for a state: it is made here, of the updates alone.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg import Connection
from pycrdt import Doc, get_update

__all__ = ["BEFORE"]

MAX_MESSAGES: Final = 50
"""As many a page loads one by one; more are merged first."""
_PAGE: Final = 200
_LOCKED: Final = "select state, position from notes.states where document = %s for update skip locked"
_LOCK: Final = "select state, position from notes.states where document = %s for update"
_HISTORY: Final = """
    select position, event, payload ->> 'update', notes.is_after(position, %s)
    from realtime.history('notes:' || %s, before => %s, "limit" => %s)
"""
_MESSAGES: Final = """
    select payload ->> 'update' from realtime.messages where channel = 'notes:' || %s and event = 'update' order by seq
"""
_SAVE: Final = "update notes.states set state = %s, position = %s, epoch = realtime.epoch() where document = %s"
# A page that loaded the state before still asks for the messages since; a day later none does.
_FORGET: Final = """
    delete from realtime.messages m using realtime.history('notes:' || %s, before => %s, "limit" => 10000) h
    where m.channel = 'notes:' || %s and m.seq = h.seq and m.inserted_at = h.inserted_at
      and m.inserted_at < now() - interval '1 day'
"""


def merge_messages(connection: Connection[Any], document: object) -> None:
    """Merge the messages since the state into it, if there are many, and no other connection is about to."""
    row = connection.execute(_LOCKED, [document]).fetchone()
    if row is None:
        return
    state, position = row
    since = list(_since(connection, document, position))
    if len(since) < MAX_MESSAGES:
        return
    merged = _document(state, [update for _, update in reversed(since)])
    newest = since[0][0]
    connection.execute(_SAVE, [merged.get_update(), newest, document])
    connection.execute(_FORGET, [document, newest, document])


def merge_update(connection: Connection[Any], document: object, update: object) -> None:
    """Merge an update that is too large for a message, base64, into the state, with all messages: it builds on those.

    Raises ``psycopg.DataError`` if it is none, or builds on what is not here (yet): a state keeps nothing that waits.
    """
    row = connection.execute(_LOCK, [document]).fetchone()
    if row is None:
        return
    merged = _document(row[0], [given for (given,) in connection.execute(_MESSAGES, [document])])
    try:
        content = base64.b64decode(str(update), validate=True)
        merged.apply_update(content)
        lacking = get_update(content, merged.get_state())
    except ValueError:
        raise psycopg.DataError("That is no change of a document.") from None
    if lacking[0]:  # of how many clients it has something that is not in the document
        raise psycopg.DataError("The change builds on text that the server does not have.")
    connection.execute("update notes.states set state = %s where document = %s", [merged.get_update(), document])


BEFORE: Final[Mapping[tuple[str, str], Callable[[Connection[Any], Mapping[str, Any]], None]]] = {
    ("notes", "open"): lambda connection, given: merge_messages(connection, given.get("document")),
    ("notes", "merge"): lambda connection, given: merge_update(connection, given.get("document"), given.get("update")),
}
"""What the back end does before it runs a SQL function, in the same transaction, given the arguments of the call."""


def _since(connection: Connection[Any], document: object, position: str) -> Iterator[tuple[str, str]]:
    """Position and update of the messages after ``position``, the newest first."""
    before: str | None = None
    while True:
        page = connection.execute(_HISTORY, [position, document, before, _PAGE]).fetchall()
        for place, event, update, is_after in reversed(page):
            if not is_after:
                return
            yield place, update if event == "update" else ""
        if len(page) < _PAGE:
            return
        before = page[0][0]


def _document(state: bytes | None, updates: Sequence[Any]) -> Doc[Any]:
    document: Doc[Any] = Doc()
    if state:
        document.apply_update(state)
    for update in updates:
        try:
            document.apply_update(base64.b64decode(update, validate=True))
        except (ValueError, TypeError):
            continue  # of a client that is none of ours: pages skip it as well
    return document
