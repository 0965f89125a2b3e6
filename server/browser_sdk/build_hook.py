"""Hatchling's build hook (``pyproject.toml``): a wheel has the SDK's modules, made of the TypeScript beside."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["BrowserSdkHook"]


class BrowserSdkHook(BuildHookInterface):  # type: ignore[type-arg]
    """Makes them before a wheel is written. An editable installation has none: its source tree serves them itself."""

    PLUGIN_NAME = "custom"
    _directory = ""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Hatchling: before the build."""
        if version == "editable":
            return
        sources = Path(self.root, "sdk", "js", "src")
        sys.path.insert(0, self.root)  # an isolated build has only what pyproject.toml names (PEP 517)
        try:
            from server.browser_sdk.modules import erased_modules

            modules = erased_modules(sources)  # which imports more of the tree
        finally:
            sys.path.remove(self.root)
        if not modules:
            raise FileNotFoundError(f"no TypeScript in {sources}: a wheel is built from the whole repository")
        self._directory = tempfile.mkdtemp()
        for path, module in modules.items():
            file = Path(self._directory, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(module, "utf-8")
        build_data["force_include"][self._directory] = "server/browser_sdk/made"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Hatchling: after the build."""
        if self._directory:
            shutil.rmtree(self._directory)
