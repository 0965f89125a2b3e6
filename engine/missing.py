"""Tables of ours that were dropped: nothing can go on without them, and no restart brings them back."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["tables_missing"]


def tables_missing(names: Sequence[str]) -> str | None:
    """What to do if ``names`` (rows of the query ``missing_tables``) is not empty, in words."""
    if not names:
        return None
    what = f"table realtime.{names[0]} is" if len(names) == 1 else f"tables realtime.{', realtime.'.join(names)} are"
    return (
        f"{what} missing: stop the server and restore the schema realtime from a backup; or, if channels, messages and the "
        "list of exposed tables may go, `drop schema realtime cascade; drop publication if exists bunbase_realtime;`, then "
        "`realtime migrate` and `realtime expose` (with `realtime dev` or `make demo`: delete its data folder, `make clean`)"
    )
