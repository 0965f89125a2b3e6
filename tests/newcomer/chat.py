"""The chat tutorial, from its first step to its last, in an empty folder, and three users of its chat."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.newcomer.workshop import Workshop, played, printed_dsn, started
from tests.support.doc_blocks import blocks
from tests.support.ports import free_port

__all__ = ["chat"]

PAGE = "docs/guides/chat-tutorial.md"
ACTIVATE = "source .venv/bin/activate\n"


def chat(workshop: Workshop) -> None:
    """What the page has its reader install, write and start; its chat in three tabs, and in a terminal."""
    install, start, tables, run, page, tail = [each.text for each in blocks("sh", page=PAGE)]
    around = workshop.folder / "tutorial"
    around.mkdir()
    workshop.bash(install, around)
    folder = around / "chat"
    server, api, web = free_port(), free_port(), free_port()
    _write(folder, {":8000": f":{server}", ":3000": f":{api}"})
    workshop.run("npm", "run", "build", cwd=folder / "web")
    dev = f"exec {start.strip()} --port {server}"
    with ExitStack() as running, ExitStack() as realtime:
        dsn = printed_dsn(realtime.enter_context(_started(dev, "Ctrl+C stops", folder)))
        workshop.bash(ACTIVATE + tables, folder)
        commands = re.sub(r"(?<=DATABASE_URL=')[^']*", dsn, run).replace("--port 3000", f"--port {api}")
        running.enter_context(_started(commands.replace("uvicorn", "exec uvicorn"), "running on", folder))
        vite = f"exec {page.strip()} -- --port {web} --strictPort"
        running.enter_context(_started(vite, "Local:", folder))
        broadcast, joined = [each.text for each in blocks("postgresql", page=PAGE)]
        statements = {"broadcast": broadcast, "joined": joined, "removed": joined.replace(', "eve"', "")}

        def order(name: str) -> None:
            if name == "stop":
                realtime.close()
            elif name == "start":
                assert printed_dsn(realtime.enter_context(_started(dev, "Ctrl+C stops", folder))) == dsn
            else:
                (folder / "typed.sql").write_text(statements[name])
                workshop.bash(f"{ACTIVATE}realtime psql < typed.sql", folder)

        played(order, "browser/chat_tutorial.mjs", f"http://localhost:{web}", str(folder), RESTARTS="1")
        shown = workshop.bash(f"{ACTIVATE}{tail.strip()} --count 20 --url http://localhost:{server}", folder)
        assert "Back again." in shown.splitlines()[-1]


def _write(folder: Path, replaced: dict[str, str]) -> None:
    for block in blocks(page=PAGE):
        if block.title and block.language != "postgresql":
            text = block.text.replace('"…"', f'"{secrets.token_urlsafe(48)}"')
            for written, instead in replaced.items():
                text = text.replace(f"localhost{written}", f"localhost{instead}")
            (folder / block.title).write_text(text)


@contextmanager
def _started(command: str, until: str, folder: Path) -> Iterator[str]:
    with started(["bash", "-c", ACTIVATE + command], until, folder) as printed:
        yield printed
