"""What the pages of the SDKs promise about their packages: how to get them, and how large they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("page", ["js", "react", "vue", "svelte", "tanstack-db"])
def test_a_page_that_begins_with_npm_install_names_the_tarballs_until_then(page: str) -> None:
    text = (ROOT / f"docs/sdk/{page}.md").read_text()
    installed = re.findall(r"@bunbase/([\w-]+)", text[text.index("npm install ") :].splitlines()[0])
    after = text[text.index("npm install ") :].split("\n\n")[1]
    assert "`npm pack`" in after
    folders = {"js" if name == "sdk" else name for name in installed}
    assert set(re.findall(r"`sdk/([\w-]+)`", after)) == folders
    assert all((ROOT / "sdk" / folder / "package.json").is_file() for folder in folders)


def test_the_size_that_is_promised_is_the_bound_that_is_tested() -> None:
    bound = re.search(r'"all of @bunbase/sdk".*?, ([\d.]+) \* 1024\]', (ROOT / "sdk/js/scripts/size.mjs").read_text())
    assert bound
    for page in ("sdk/js/README.md", "docs/sdk/js.md"):
        assert f"{bound[1]} KB" in (ROOT / page).read_text(), page


def test_the_sizes_that_the_adapters_promise_are_bounds_that_are_tested() -> None:
    sizes = (ROOT / "sdk/js/scripts/size.mjs").read_text()
    assert re.search(r'"all of @bunbase/sdk/adapters".*?, 1536\]', sizes)
    assert re.search(r'\["react", "vue", "svelte"\].*?"\.\./\$\{name\}/src/index\.ts".*?,\s*1024', sizes, re.DOTALL)
    for page in ("react", "vue", "svelte"):
        text = (ROOT / f"docs/sdk/{page}.md").read_text()
        assert "1 KB compressed at most, beside the SDK and 1.5 KB of it that adapters share" in text, page
