"""The adapters for frameworks: their own tests, types and packages, and the applications of their pages in Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.sdk_js.scenario_server import ROOT, SCENARIOS, SDK, npm, play, scenario_server
from tests.support.browsers import need, need_browser

FRAMEWORKS = ["react", "svelte", "vue"]
"""Those whose pages show the same application."""

ADAPTERS = [*FRAMEWORKS, "tanstack-db"]
DECLARED = {
    "svelte": """
declare module "$env/static/public" { export const PUBLIC_REALTIME_URL: string }
""",
    "vue": """
declare function defineNuxtPlugin<T>(plugin: (nuxtApp: { vueApp: import("vue").App }) => T): unknown;
declare function useRuntimeConfig(): { public: { realtimeUrl: string } };
""",
}
"""What the pages use of tools that are not installed for the tests."""


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> Path:
    """The folder of one that is installed."""
    folder = ROOT / "sdk" / str(request.param)
    need((folder / "node_modules").exists(), f"the packages of sdk/{request.param} are not installed")
    return folder


@pytest.mark.long
def test_each_by_itself(adapter: Path) -> None:
    npm("test", adapter)


@pytest.mark.long
def test_their_types_are_right(adapter: Path) -> None:
    npm("typecheck", adapter)


@pytest.mark.long
def test_the_packages_as_npm_installs_them(adapter: Path) -> None:
    npm("build", adapter)
    subprocess.run(
        ["node", "--test", str(Path(__file__).parent / "packages.test.mjs")],
        env={"PATH": str(Path(str(shutil.which("node"))).parent), "ADAPTER": adapter.name, "HOME": str(Path.home())},
        check=True,
        timeout=300,
    )
    text = (adapter / "dist" / "index.js").read_text()
    assert len(text) < 4_000  # of the framework and of the SDK it has nothing


def test_locks_name_no_registry_and_have_hashes(adapter: Path) -> None:
    packages = json.loads((adapter / "package-lock.json").read_text())["packages"]
    installed = {name: each for name, each in packages.items() if name}
    assert installed
    assert [name for name, each in installed.items() if "resolved" in each or "integrity" not in each] == []


@pytest.mark.long
def test_the_modules_of_their_pages_have_right_types(adapter: Path, tmp_path: Path) -> None:
    page = f"docs/sdk/{adapter.name}.md"
    subprocess.run(["node", str(Path(__file__).parent / "framework_pages.mjs"), page, str(tmp_path)], check=True)
    (tmp_path / "declared.d.ts").write_text(DECLARED.get(adapter.name, ""))
    (tmp_path / "collections.ts").write_text("export interface Collections { messages: { id: number } }\n")
    (tmp_path / "node_modules").symlink_to(adapter / "node_modules")
    config = {
        "extends": str(adapter / "tsconfig.json"),
        "compilerOptions": {"rootDir": "/"},
        "include": [str(tmp_path / "**/*.ts"), str(tmp_path / "**/*.tsx")],
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    command = ["node", str(SDK / "node_modules" / "typescript" / "bin" / "tsc"), "-p", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.long
async def test_the_documented_applications_in_chromium(database: str, adapter: Path) -> None:
    need_browser("chromium")
    scenario = SCENARIOS / "adapter.test.mjs" if adapter.name in FRAMEWORKS else SCENARIOS.parent / "tanstack.test.mjs"
    async with scenario_server(database) as one:
        await play(one, str(scenario), ADAPTER=adapter.name)
