"""The pages about browser frameworks: empty projects, what the pages have their reader install and write, and Chromium."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.newcomer.workshop import QUICKSTART, Workshop, block, played, printed_dsn, started
from tests.support.doc_blocks import blocks
from tests.support.ports import free_port

__all__ = ["next_js", "react", "svelte", "tanstack", "vue"]

FRAMEWORKS = "docs/guides/frameworks.md"
NEXT = "docs/frameworks/nextjs.md"
TANSTACK = "docs/sdk/tanstack-db.md"


def react(workshop: Workshop) -> None:
    """The page about hooks, in an empty project of Vite."""
    _adapter(workshop, "react", {"src/main.tsx": ("tsx", "app.tsx")})


def vue(workshop: Workshop) -> None:
    """The page about composables, in an empty project of Vite."""
    _adapter(workshop, "vue", {"src/main.ts": ("ts", "main.ts"), "src/App.vue": ("vue", "App.vue")})


def svelte(workshop: Workshop) -> None:
    """The page about reactive objects, in an empty project of Vite."""
    _adapter(workshop, "svelte", {"src/main.ts": ("ts", "main.ts"), "src/App.svelte": ("html", "App.svelte")})


def _vite(workshop: Workshop, name: str, template: str) -> Path:
    """An empty project of Vite."""
    create = f"npm create --yes vite@latest {name} -- --template {template} --no-interactive"
    workshop.run(*create.split(), cwd=workshop.folder)
    project = workshop.folder / name
    workshop.run("npm", "install", "--no-audit", "--no-fund", cwd=project)
    return project


@contextmanager
def _pages(project: Path) -> Iterator[str]:
    """``npm run dev``, ready; its address."""
    port = free_port()
    vite = ["npm", "run", "dev", "--", "--port", str(port)]
    with started(vite, f"localhost:{port}", project):
        yield f"http://localhost:{port}"


def _adapter(workshop: Workshop, name: str, files: dict[str, tuple[str, str]]) -> None:
    """What the page of an adapter has; built, and run behind Vite's proxy against the demo."""
    page = f"docs/sdk/{name}.md"
    project = _vite(workshop, name, f"{name}-ts")
    workshop.bash(block(page, "sh").text, project)
    for path, (language, title) in files.items():
        (project / path).write_text(block(page, language, title).text)
    server = free_port()
    proxy = re.search(r"server: .*", block(FRAMEWORKS, "ts", "vite.config.ts").text)
    assert proxy
    config = project / "vite.config.ts"
    config.write_text(config.read_text().replace("plugins:", f"{proxy[0].replace('8000', str(server))}\n  plugins:"))
    workshop.run("npm", "run", "build", cwd=project)
    demo = [str(workshop.python() / "realtime"), "dev", "--port", str(server)]
    with started(demo, "Ctrl+C stops", project), _pages(project) as url:
        played(lambda _: None, "newcomer/look.mjs", url)


def tanstack(workshop: Workshop) -> None:
    """The page about the collection, with its API and the table of the quickstart."""
    project = _vite(workshop, "tanstack", "vanilla-ts")
    install, serve, run = [each.text for each in blocks("sh", page=TANSTACK)]
    assert run == "npm run dev\n"
    workshop.bash(install, project)
    server, api = free_port(), free_port()
    for title in ("todos.ts", "main.ts", "index.html", "api.py", "vite.config.ts"):
        [found] = blocks(title=title, page=TANSTACK)
        folder = project / "src" if title in ("todos.ts", "main.ts") else project
        text = found.text.replace(":8000", f":{server}").replace(":3000", f":{api}")
        (folder / title).write_text(text)
    workshop.run("npm", "run", "build", cwd=project)
    with ExitStack() as running:
        dsn = running.enter_context(_server_of_the_quickstart(workshop, project, server))
        commands = _activated(workshop, re.sub(r"(?<=DATABASE_URL=')[^']*", dsn, serve))
        commands = commands.replace("--port 3000", f"--port {api}").replace("uvicorn", "exec uvicorn")
        running.enter_context(started(["bash", "-c", commands], "running on", project))
        played(lambda _: None, "newcomer/tanstack.mjs", running.enter_context(_pages(project)))


def next_js(workshop: Workshop) -> None:
    """The page about Next.js: the first rows from the server, those that follow, and what a server action writes."""
    create, start, tables, run, row = [each.text for each in blocks("sh", page=NEXT)]
    assert run == "npm run dev\n"
    workshop.bash(create, workshop.folder, NEXT_TELEMETRY_DISABLED="1")
    project = workshop.folder / "my-app"
    server, secret = free_port(), secrets.token_urlsafe(48)
    for each in blocks(page=NEXT):
        if each.title:
            path = project / each.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(each.text.replace("…", secret).replace(":8000", f":{server}"))
    activate = "source .venv/bin/activate\n"
    command = ["bash", "-c", f"{activate}exec {start.strip()} --port {server}"]
    with started(command, "Ctrl+C stops", project) as printed:
        workshop.bash(activate + tables, project)
        local = project / ".env.local"
        local.write_text(re.sub(r"(?m)^DATABASE_URL=.*", f"DATABASE_URL={printed_dsn(printed)}", local.read_text()))
        workshop.run("npm", "run", "build", cwd=project, NEXT_TELEMETRY_DISABLED="1")

        def order(title: str) -> None:
            workshop.bash(activate + row.replace("Water the plants", title), project)

        with _pages(project) as url:
            played(order, "newcomer/next.mjs", url)
            played(lambda _: order("Water the plants"), "browser/docs/back_end.mjs", "nextjs", url)


def _activated(workshop: Workshop, commands: str) -> str:
    return f"source {workshop.python()}/activate\n{commands}"


@contextmanager
def _server_of_the_quickstart(workshop: Workshop, project: Path, port: int) -> Iterator[str]:
    """``realtime dev --no-examples`` in the folder of a project, with the table of the quickstart; the DSN."""
    (project / "todos.sql").write_text(block(QUICKSTART, "sql", "todos.sql").text)
    dev = [str(workshop.python() / "realtime"), "dev", "--no-examples", "--port", str(port)]
    with started(dev, "Ctrl+C stops", project) as printed:
        workshop.bash(_activated(workshop, "realtime psql -f todos.sql"), project)
        yield printed_dsn(printed)
