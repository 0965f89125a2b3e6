"""Where the repository of this project is, for links: the package's metadata name it, and a clone's remote does.

The project has no address of its own in its files: a release (``.ci/release``) writes that of the repository it is made in.
Standard library alone, as scripts of the repository import it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["public_address", "repository_address"]

_SCP: Final = re.compile(r"(?:[\w.-]+@)?(?P<host>[\w.-]+\.[\w-]+):(?!//)(?P<path>[^\s]+)")
_URL: Final = re.compile(
    r"(?:(?P<web>https?)|ssh|git)://(?:[^@/\s]+@)?(?P<host>[\w.-]+\.[\w-]+)(?P<port>:\d+)?/(?P<path>[^\s?#]+)"
)
_SECONDS: Final = 5.0  # git answers in a few milliseconds


def public_address(remote: str) -> str | None:
    """The page of the repository whose remote is ``remote``; None for a path, a bundle or a host without domain.

    Takes what git takes (git-clone(1), "GIT URLS"): ``https://``, ``ssh://`` and ``git://``, and ``user@host:path``.
    Users and passwords are dropped, and ports that are not of the web; what was no address of the web is taken to be
    there by HTTPS as well.
    """
    found = _URL.fullmatch(remote) or _SCP.fullmatch(remote)
    if found is None:
        return None
    parts = found.groupdict()
    path = parts["path"].strip("/").removesuffix(".git")
    web = parts.get("web")
    port = (parts["port"] or "") if web else ""
    return f"{web or 'https'}://{parts['host']}{port}/{path}" if path else None


def repository_address(project_urls: Iterable[str], checkout: Path) -> str | None:
    """The address that ``project_urls`` names (``Project-URL`` of the package's metadata, "Core metadata specifications" of
    Python), or that of the remote ``origin`` of ``checkout``; None if neither has one.
    """
    for each in project_urls:
        name, _, address = each.partition(",")
        if name.strip().lower() == "repository" and address.strip():
            return address.strip()
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "config", "--get", "remote.origin.url"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None  # without git, or where it hangs
    return public_address(done.stdout.strip())
