"""The TypeScript of pages about browser frameworks: its types are right, its components compile, and React Native's run.

Those of Next.js run in ``tests/newcomer``, in a project as ``create-next-app`` makes it: its build alone takes a minute,
and its packages are in no lock of the tests.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.sdk_js.scenario_server import ROOT, SDK, play, scenario_server
from tests.support.browsers import need, need_browser
from tests.support.doc_blocks import blocks
from tests.support.postgres.sql import run_sql
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, token

PAGES = {
    "docs/frameworks/nextjs.md": 8,
    "docs/frameworks/react-native.md": 2,
    "docs/guides/chat-tutorial.md": 6,
    "docs/guides/frameworks.md": 5,
}
"""How many modules they have at least."""
REACT = ROOT / "sdk" / "react"
VUE = ROOT / "sdk" / "vue"
SVELTE = ROOT / "sdk" / "svelte"
DECLARED = """
declare module "vite" {
  type Target = string | { target: string; ws: boolean };
  export function defineConfig(config: { plugins?: object[]; server: { proxy: Record<string, Target> } }): unknown;
}
declare module "@vitejs/plugin-react" { export default function react(): object }
declare module "*.css" {}
declare module "next/server" { export function connection(): Promise<void> }
declare module "pg" {
  class Client {
    query<Row = unknown>(text: string, values?: unknown[]): Promise<{ rows: Row[] }>;
    release(): void;
  }
  export class Pool {
    constructor(config: { connectionString?: string });
    connect(): Promise<Client>;
    query<Row>(text: string): Promise<{ rows: Row[] }>;
  }
}
declare module "jose" {
  export class SignJWT {
    constructor(claims: Record<string, unknown>);
    setProtectedHeader(header: { alg: string }): this;
    setIssuer(issuer: string): this;
    setAudience(audience: string): this;
    setSubject(subject: string): this;
    setExpirationTime(time: string): this;
    sign(key: Uint8Array): Promise<string>;
  }
}
declare module "react-native" {
  import type { ReactElement, ReactNode } from "react";
  export function Button(props: { title: string; onPress: () => void }): ReactElement;
  export function FlatList<Item>(props: {
    data: readonly Item[];
    keyExtractor: (item: Item) => string;
    renderItem: (row: { item: Item }) => ReactElement;
  }): ReactElement;
  export function SafeAreaView(props: { children: ReactNode }): ReactElement;
  export function Text(props: { accessibilityRole?: "alert"; children: ReactNode }): ReactElement;
  export const AppState: { addEventListener(event: "change", listener: (state: string) => void): unknown };
}
declare module "react-native-get-random-values" {}
declare module "react-native-url-polyfill/auto" {}
"""
"""What the pages use of packages that are not installed for the tests."""


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES)
def test_the_types_of_the_examples_are_right(page: str, tmp_path: Path) -> None:
    for folder in (REACT, VUE, SVELTE):
        need((folder / "node_modules").exists(), f"the packages of {folder.name} are not installed")
    subprocess.run(["node", str(Path(__file__).parent / "framework_pages.mjs"), page, str(tmp_path)], check=True)
    files = [str(path) for path in tmp_path.rglob("*.ts*")]
    assert len(files) >= PAGES[page]
    (tmp_path / "declared.d.ts").write_text(DECLARED)
    types = REACT / "node_modules" / "@types"
    paths = {
        "@bunbase/sdk": [str(SDK / "src" / "index.ts")],
        "@bunbase/sdk/adapters": [str(SDK / "src" / "adapters.ts")],
        "@bunbase/vue": [str(VUE / "src" / "index.ts")],
        "vue": [str(VUE / "node_modules" / "vue")],
        "@bunbase/svelte": [str(SVELTE / "src" / "index.ts")],
        "svelte": [str(SVELTE / "node_modules" / "svelte")],
        "@bunbase/react": [str(REACT / "src" / "index.ts")],
        "react": [str(types / "react")],
        "react/jsx-runtime": [str(types / "react" / "jsx-runtime.d.ts")],
        "react-dom/client": [str(types / "react-dom" / "client.d.ts")],
    }
    options: dict[str, object] = {"paths": paths, "rootDir": "/", "allowImportingTsExtensions": True}
    options |= {"typeRoots": [str(SDK / "node_modules" / "@types")], "types": ["node"]}
    config = {
        "extends": str(REACT / "tsconfig.json"),
        "compilerOptions": options,
        "files": [*files, str(tmp_path / "declared.d.ts")],
        "include": [],
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    command = ["node", str(SDK / "node_modules" / "typescript" / "bin" / "tsc"), "--noEmit", "-p", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout


TODOS = """
create table todos (id text primary key, list_id text not null, title text not null, done boolean not null);
select realtime.expose('todos', camel_case => true)
"""


@pytest.mark.long
async def test_the_application_of_react_native_runs_in_chromium(database: str) -> None:
    """By react-native-web, its components for browsers; with the polyfills that the page has its reader install."""
    need_browser("chromium")
    need((REACT / "node_modules").exists(), "the packages of sdk/react are not installed")
    native = ROOT / "tests" / "browser" / "node_modules" / "react-native-web"
    need(native.exists(), "the packages of tests/browser are not installed")
    run_sql(database, TODOS)
    issuers = [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}]
    async with scenario_server(database, auth_issuers=issuers) as one:
        await play(one, str(Path(__file__).parent / "native.test.mjs"), TOKEN=token(sub="ada"))


def test_the_environment_of_next_js_has_what_its_modules_read() -> None:
    page = (ROOT / "docs/frameworks/nextjs.md").read_text()
    [written] = [block.text for block in blocks("ini", ".env.local", page="docs/frameworks/nextjs.md")]
    names = [line.partition("=")[0] for line in written.splitlines()]
    assert sorted(names) == sorted(set(re.findall(r"process\.env\.([A-Z_]+)", page)))
