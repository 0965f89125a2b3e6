"""The SDK's modules, and under which addresses browsers find them.

``/realtime/sdk.js`` and ``/realtime/sdk/NAME.js`` are the entries of the package. Each imports all its modules at once, so a
browser has them after two round trips however deep they import each other. The modules' own addresses have a digest of all
of them: they may be cached for ever, and modules of two versions never meet.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["ENTRIES", "SOURCES", "SdkModules", "erased_modules", "load_modules"]

SOURCES: Final = Path(__file__).parents[2] / "sdk" / "js" / "src"
"""TypeScript, in a source tree."""

_MADE: Final = Path(__file__).parent / "made"  # in a wheel
_IMPORT: Final = re.compile(r"""^\s*(?:import|export)\b[^;]*?["'](\.[^"']+)["'];""", re.MULTILINE)

ENTRIES: Final[Mapping[str, str]] = {
    "sdk.js": "index.js",
    "sdk/server.js": "server.js",
    "sdk/crypto.js": "crypto.js",
    "sdk/adapters.js": "adapters.js",
}
"""Modules of the package's entries (``package.json``: ``exports``), by their address below ``/realtime/``."""


@dataclass(frozen=True)
class SdkModules:
    """``modules``: JavaScript by path, such as ``client/channel.js``. ``digest``: of all of them."""

    modules: Mapping[str, str]
    digest: str

    def entry(self, address: str) -> str | None:
        """The module at ``/realtime/ADDRESS``, if that is an entry."""
        path = ENTRIES.get(address)
        if path is None:
            return None
        base = f"./{posixpath.relpath('sdk', posixpath.dirname(address) or '.')}/{self.digest}"
        loaded = "".join(f'import "{base}/{each}";\n' for each in sorted(self._graph(path)))
        return f'// Bunbase Realtime\n{loaded}export * from "{base}/{path}";\n'

    def _graph(self, path: str) -> set[str]:
        """What the module imports, and what that imports."""
        found: set[str] = set()
        waiting = [path]
        while waiting:
            each = waiting.pop()
            new = set(_imports(each, self.modules[each])) - found
            found |= new
            waiting += new
        return found


def _imports(path: str, module: str) -> Iterator[str]:
    for imported in _IMPORT.findall(module):
        yield posixpath.normpath(posixpath.join(posixpath.dirname(path), imported))


def erased_modules(sources: Path) -> dict[str, str]:
    """The JavaScript of all TypeScript below ``sources``, by path. Needs tree-sitter, which building a wheel and the
    source tree have.
    """
    from server.browser_sdk.type_erasure import erase_types

    files = sorted(sources.rglob("*.ts"))
    paths = [file.relative_to(sources).with_suffix(".js").as_posix() for file in files]
    return {path: erase_types(file.read_text("utf-8")) for path, file in zip(paths, files, strict=True)}


@cache
def load_modules() -> SdkModules:
    """The modules of this installation: those of the wheel, or of the source tree, made now (a fifth of a second)."""
    if _MADE.is_dir():
        modules = {each.relative_to(_MADE).as_posix(): each.read_text("utf-8") for each in sorted(_MADE.rglob("*.js"))}
    else:
        modules = erased_modules(SOURCES)
    digest = hashlib.sha256("\0".join(part for item in sorted(modules.items()) for part in item).encode())
    return SdkModules(modules, digest.hexdigest()[:16])
