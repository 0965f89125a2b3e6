"""``python -m tests.newcomer [--folder FOLDER] [PART ...]``: some of ``PARTS``, or all.

It fetches packages of others from their registries, takes minutes, and needs Chromium; ``containers`` needs root on Debian.
Each part prints its time.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from pathlib import Path

from tests.newcomer.back_ends import django, fastapi, flask
from tests.newcomer.chat import chat
from tests.newcomer.containers import containers
from tests.newcomer.frameworks import next_js, react, svelte, tanstack, vue
from tests.newcomer.workshop import QUICKSTART, Workshop, block, played, started
from tests.support.doc_blocks import blocks
from tests.support.ports import free_port

HERE = Path(__file__).parent
RUNTIMES = {"node@20": "node", "node@22": "node", "node@24": "node", "bun": "bun", "deno": "deno run -A"}
KEY = "the-key-of-the-rest-api-of-a-newcomer"


def quickstart(workshop: Workshop) -> None:
    """The page from its first step to its last, in an empty folder and an empty environment."""
    programs = workshop.python()
    folder = programs.parents[1]
    _, start, tables, run = [each.text for each in blocks("sh", page=QUICKSTART)]
    assert start.strip() == "realtime dev --no-examples"
    server, api = free_port(), free_port()
    activate = "source .venv/bin/activate\n"
    for name in ("todos.sql", "api.py", "index.html"):
        [text] = [each.text for each in blocks(title=name, page=QUICKSTART)]
        (folder / name).write_text(text.replace("http://localhost:8000", f"http://localhost:{server}"))
    command = ["bash", "-c", f"{activate}exec {start.strip()} --port {server}"]
    with started(command, "Ctrl+C stops", folder) as printed:
        [dsn] = re.findall(r"Postgres +(\S+)", printed)
        workshop.bash(activate + tables, folder)
        commands = re.sub(r"(?<=DATABASE_URL=')[^']*", dsn, run).replace("--port 3000", f"--port {api}")
        with started(["bash", "-c", activate + commands.replace("uvicorn", "exec uvicorn")], "running on", folder):

            def order(_: str) -> None:
                (folder / "typed.sql").write_text(block(QUICKSTART, "postgresql").text)
                workshop.bash(f"{activate}realtime psql < typed.sql", folder)

            played(order, "browser/quickstart.mjs", f"http://localhost:{api}")


def runtimes(workshop: Workshop) -> None:
    """The packed SDK in each runtime, by ``import`` and by ``require``, over each transport."""
    folder = workshop.folder / "runtimes"
    folder.mkdir()
    (folder / "package.json").write_text('{"private": true}')
    packages = [str(workshop.tarballs["@bunbase/sdk"])]
    workshop.run("npm", "install", "--no-audit", "--no-fund", *packages, cwd=folder)
    (folder / "runtime.mjs").write_text((HERE / "runtime.mjs").read_text())
    port = free_port()
    demo = [str(workshop.python() / "realtime"), "dev", "--port", str(port)]
    with started(demo, "Ctrl+C stops", folder, REALTIME_REST_KEY=KEY):
        for package, command in RUNTIMES.items():
            own = folder / package
            own.mkdir()
            (own / "package.json").write_text('{"private": true}')
            workshop.run("npm", "install", "--no-audit", "--no-fund", package, cwd=own)
            program, *options = command.split()
            for way in ("import", "require"):
                words = [str(own / "node_modules/.bin" / program), *options, "runtime.mjs", way]
                given = {"REALTIME_URL": f"http://127.0.0.1:{port}", "REST_KEY": KEY}
                print("  ", workshop.run(*words, cwd=folder, **given).strip(), flush=True)


PARTS = {
    "quickstart": quickstart,
    "chat": chat,
    "react": react,
    "vue": vue,
    "svelte": svelte,
    "tanstack": tanstack,
    "next": next_js,
    "fastapi": fastapi,
    "flask": flask,
    "django": django,
    "runtimes": runtimes,
    "containers": containers,
}


def main() -> None:
    """Build the packages, and go through the parts that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.newcomer", description=__doc__)
    parser.add_argument("--folder", type=Path, help="an empty folder, which is kept, or one that was")
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[[], *PARTS])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="newcomer-") as temporary:
        workshop = Workshop(given.folder or Path(temporary))
        steps = {"the packages": lambda _: workshop.build(), **{name: PARTS[name] for name in given.parts or PARTS}}
        for name, step in steps.items():
            began = time.monotonic()
            step(workshop)
            print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
