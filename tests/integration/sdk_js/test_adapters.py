"""The adapters for frameworks: their own tests, types and packages, and the applications of their pages in Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.sdk_js.scenario_server import ROOT, SCENARIOS, npm, play, scenario_server
from tests.support.browsers import need, need_browser

FRAMEWORKS = ["react", "svelte", "vue"]
"""Those whose pages show the same application."""

ADAPTERS = [*FRAMEWORKS, "tanstack-db"]
DECLARED = {
    "tanstack-db": """
declare module "vite" { export function defineConfig(config: object): unknown }
""",
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
def test_the_packages_as_npm_installs_them(adapter: Path) -> None:
    npm("build", adapter)
    subprocess.run(
        ["node", "--test", str(Path(__file__).parent / "packages.test.mjs")],
        env={"PATH": str(Path(str(shutil.which("node"))).parent), "ADAPTER": adapter.name, "HOME": str(Path.home())},
        check=True,
        timeout=300,
    )
    text = (adapter / "dist" / "index.js").read_text()
    assert len(text) < 4_400  # of the framework and of the SDK it has nothing


def test_locks_name_no_registry_and_have_hashes(adapter: Path) -> None:
    packages = json.loads((adapter / "package-lock.json").read_text())["packages"]
    installed = {name: each for name, each in packages.items() if name}
    assert installed
    assert [name for name, each in installed.items() if "resolved" in each or "integrity" not in each] == []


@pytest.mark.long
def test_the_types_of_the_packages_and_of_the_modules_of_their_pages_are_right(tmp_path: Path) -> None:
    need((ROOT / "examples" / "node_modules").exists(), "the packages of the examples are not installed")
    projects = [ROOT / "examples" / "tsconfig.json"]
    for name in ADAPTERS:
        folder, page = ROOT / "sdk" / name, tmp_path / name
        need((folder / "node_modules").exists(), f"the packages of sdk/{name} are not installed")
        assert json.loads((folder / "package.json").read_text())["scripts"]["typecheck"].endswith("/tsc --noEmit")
        projects += [folder / "tsconfig.json", project_of_page(page, folder)]
    command = ["node", str(Path(__file__).parent / "types.mjs"), *map(str, projects)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def project_of_page(made: Path, adapter: Path) -> Path:
    """The tsconfig.json of the modules of an adapter's page, which are written into the folder ``made``."""
    made.mkdir()
    page = f"docs/sdk/{adapter.name}.md"
    subprocess.run(["node", str(Path(__file__).parent / "framework_pages.mjs"), page, str(made)], check=True)
    (made / "declared.d.ts").write_text(DECLARED.get(adapter.name, ""))
    (made / "collections.ts").write_text("export interface Collections { messages: { id: number } }\n")
    (made / "node_modules").symlink_to(adapter / "node_modules")
    config = {
        "extends": str(adapter / "tsconfig.json"),
        "compilerOptions": {"rootDir": "/"},
        "include": [str(made / "**/*.ts"), str(made / "**/*.tsx")],
    }
    project = made / "tsconfig.json"
    project.write_text(json.dumps(config))
    return project


@pytest.mark.long
async def test_the_documented_applications_in_chromium(database: str, adapter: Path) -> None:
    need_browser("chromium")
    scenario = SCENARIOS / "adapter.test.mjs" if adapter.name in FRAMEWORKS else SCENARIOS.parent / "tanstack.test.mjs"
    async with scenario_server(database) as one:
        await play(one, str(scenario), ADAPTER=adapter.name)
