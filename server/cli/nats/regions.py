"""The file by which the servers of another region join those of the primary one."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from server.cli.nats.errors import NatsConfigError
from server.cli.nats.plan import Remote, Users, address_in_url

__all__ = ["LEAF_FILE", "leaf_file", "remotes_of"]

LEAF_FILE: Final = "leaf.toml"
"""Its name in the folder."""

_HEAD: Final = "# For `realtime nats-config --region NAME --primary THIS_FILE`. It has passwords.\n"


class _LeafFile(BaseModel):
    """``ca``: as it is on the servers of the region; ``slots``: addresses with passwords, by slot."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    ca: str
    slots: dict[str, tuple[str, ...]]


def leaf_file(users: Iterable[Users], hosts: Iterable[str], port: int, ca: Path) -> bytes:
    """Of the primary region, whose servers ``hosts`` accept leaf nodes at ``port``."""
    addresses = [f"{address_in_url(host)}:{port}" for host in hosts]
    lines = [f"{_HEAD}ca = {json.dumps(str(ca))}\n\n[slots]"]
    for each in users:
        urls = [f"tls://{each.credentials('leaf')}@{at}" for at in addresses]
        lines.append(f"{each.slot} = {json.dumps(urls)}")
    return "\n".join([*lines, ""]).encode()


def remotes_of(path: Path, slots: Iterable[str]) -> tuple[Remote, ...]:
    """How each slot's servers in another region reach those of the primary one. Raises ``NatsConfigError``."""
    try:
        found = _LeafFile.model_validate(tomllib.loads(path.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise NatsConfigError(f"cannot read {path}: {error}") from error
    missing = [slot for slot in slots if slot not in found.slots]
    if missing:
        raise NatsConfigError(f"{path} has no slot {missing[0]}: it has {', '.join(found.slots)}")
    return tuple(Remote(slot, found.slots[slot], found.ca) for slot in slots)
