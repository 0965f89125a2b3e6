"""The pages about FastAPI, Django and Flask: each in an empty folder, by what the page has, and what its users get."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.newcomer.workshop import Workshop, played, printed_dsn, started
from tests.support.doc_blocks import blocks
from tests.support.ports import free_port

__all__ = ["django", "fastapi", "flask"]

FASTAPI, DJANGO, FLASK = "docs/frameworks/fastapi.md", "docs/frameworks/django.md", "docs/frameworks/flask.md"
ACTIVATE = "source .venv/bin/activate\n"


@dataclass
class _Reader:
    """The reader of a page, in a folder, with a server that runs and what is exported in the second terminal."""

    workshop: Workshop
    page: str
    folder: Path
    server: int
    secret: str
    exported: str = ""

    def write(self, *titles: str) -> None:
        """Files of the page, whose titles begin so; the settings of Django are added to what there is."""
        for title in titles:
            for each in blocks(title=title, page=self.page):
                path = self.folder / each.title
                begun = path.read_text() if each.title == "mysite/settings.py" else ""
                text = each.text.replace(":8000", f":{self.server}").replace('"…"', f'"{self.secret}"')
                path.write_text(begun + text)

    def second_terminal(self, commands: str, dsn: str) -> None:
        """What the page has run there first; its variables stay."""
        lines = commands.replace("…", self.secret).splitlines()
        exports = "\n".join(each for each in lines if each.startswith("export "))
        self.exported = re.sub(r"(?<=DATABASE_URL=')[^']*", dsn, exports) + "\n"
        self.bash("\n".join(each for each in lines if not each.startswith("export ")))

    def bash(self, commands: str, **environment: str) -> str:
        """Run them in the second terminal."""
        return self.workshop.bash(ACTIVATE + self.exported + commands, self.folder, **environment)

    @contextmanager
    def started(self, commands: str, until: str) -> Iterator[str]:
        """The application, on a port of its own; its address. What is exported before it stays."""
        port = free_port()
        *before, last = commands.strip().replace("3000", str(port)).splitlines()
        self.exported += "".join(f"{each}\n" for each in before).replace("…", secrets.token_urlsafe(24))
        text = f"{ACTIVATE}{self.exported}exec {last}"
        with started(["bash", "-c", text], until, self.folder):
            yield f"http://localhost:{port}"

    def play(self, row: str, url: str) -> None:
        """Two windows, and the row by SQL that the page adds."""
        played(lambda _: print(self.bash(row), end=""), "browser/docs/back_end.mjs", Path(self.page).stem, url)


@contextmanager
def _reading(workshop: Workshop, page: str, install: str, dev: str) -> Iterator[tuple[_Reader, str]]:
    """The page up to the server that runs; the reader, and the address of the database."""
    folder = workshop.folder / Path(page).stem
    folder.mkdir()
    workshop.bash(install, folder)
    reader = _Reader(workshop, page, folder, free_port(), secrets.token_urlsafe(48))
    reader.write("realtime.toml", "todos.sql")
    command = ["bash", "-c", f"{ACTIVATE}exec {dev.strip()} --port {reader.server}"]
    with started(command, "Ctrl+C stops", folder) as printed:
        yield reader, printed_dsn(printed)


def _commands(page: str) -> list[str]:
    return [each.text for each in blocks("sh", page=page)]


def fastapi(workshop: Workshop) -> None:
    """FastAPI with SQLAlchemy; the token goes from ``curl`` to ``realtime tail``, as the page has it."""
    install, dev, prepare, run, row, tail, tests = _commands(FASTAPI)
    with _reading(workshop, FASTAPI, install, dev) as (reader, dsn):
        reader.second_terminal(prepare, dsn)
        reader.write("realtime_token.py", "models.py", "auth.py", "fastapi_app.py", "index.html")
        with reader.started(run, "running on") as url:
            reader.play(row, url)
            options = f"--history 1 --count 1 --url http://localhost:{reader.server}"
            shown = reader.bash(f"{tail.strip().replace('http://localhost:3000', url)} {options}")
            assert "all-done" in shown, shown
        reader.write("test_complete.py")
        reader.bash(tests)


def flask(workshop: Workshop) -> None:
    """Flask with SQLAlchemy."""
    install, dev, prepare, run, row, tests = _commands(FLASK)
    with _reading(workshop, FLASK, install, dev) as (reader, dsn):
        reader.second_terminal(prepare, dsn)
        reader.write("realtime_token.py", "models.py", "flask_app.py", "index.html")
        with reader.started(run, "Running on") as url:
            reader.play(row, url)
        reader.write("test_complete.py")
        reader.bash(tests)


def django(workshop: Workshop) -> None:
    """Django with its migrations, its pages for administrators, where the user signs in, and its tests."""
    install, dev, prepare, project, make, migrate, run, row, template, tests = _commands(DJANGO)
    with _reading(workshop, DJANGO, install, dev) as (reader, dsn):
        reader.second_terminal(prepare, dsn)
        reader.write("realtime_token.py")
        reader.bash(project)
        reader.write("mysite/settings.py", "todos/models.py")
        reader.bash(make)
        reader.write("todos/migrations/")
        reader.bash(migrate)
        reader.write("todos/views.py", "mysite/urls.py", "todos/templates/")
        user, serve = run.splitlines()
        reader.bash(f"{user} --noinput", DJANGO_SUPERUSER_PASSWORD="tea")
        with reader.started(f"{serve} --noreload", "Quit the server") as url:
            reader.play(row, url)
        reader.bash(template)
        reader.write("todos/tests.py")
        reader.bash(tests)
