"""The page about FastAPI, Django and Flask: each in a folder of its own, and what its users get."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.newcomer.workshop import Workshop, block, printed_dsn, started
from tests.support.doc_blocks import blocks
from tests.support.ports import free_port

__all__ = ["django", "fastapi", "flask"]

PAGE = "docs/guides/backends.md"
INSTALL, DEV, PREPARE, FASTAPI, UVICORN, TAIL, COMPLETE, START_PROJECT, MAKE, MIGRATE, RUN_DJANGO, FLASK, RUN_FLASK = (
    each.text for each in blocks("sh", page=PAGE)
)
"""The commands of the page, in its order."""


@dataclass
class _Reader:
    """The reader of the page, in an empty folder, with a server that runs and what is exported in the second terminal."""

    workshop: Workshop
    folder: Path
    server: int
    exported: str

    def write(self, *titles: str) -> None:
        """Files of the page, whose titles begin so; the settings of Django are added to what there is."""
        for title in titles:
            for each in blocks("python", title, page=PAGE):
                path = self.folder / each.title
                begun = path.read_text() if each.title == "mysite/settings.py" else ""
                path.write_text(begun + each.text)

    def bash(self, commands: str, **environment: str) -> str:
        """Run them in the second terminal."""
        text = f"source .venv/bin/activate\n{self.exported}{commands}"
        return self.workshop.bash(text, self.folder, **environment)

    @contextmanager
    def started(self, command: str, until: str) -> Iterator[str]:
        """The application, on a port of its own; its address."""
        port = free_port()
        *before, last = command.strip().replace("3000", str(port)).splitlines()
        text = "\n".join(["source .venv/bin/activate", self.exported, *before, f"exec {last}"])
        with started(["bash", "-c", text.replace("…", secrets.token_urlsafe(24))], until, self.folder):
            yield f"http://localhost:{port}"

    def check(self, token: str, answer: httpx.Response, user: str) -> None:
        """The user of the token gets the message that the request has published."""
        assert answer.json()["position"].startswith("xid:")
        (self.folder / "user.token").write_text(token)
        options = f"--history 1 --count 1 --url http://localhost:{self.server}"
        shown = self.bash(f"realtime tail list:home --token-file user.token {options}")
        assert f'"by":"{user}"' in shown.replace(" ", ""), shown


def _in_a_folder(workshop: Workshop, name: str, work: Callable[[_Reader], None], *, table: bool = True) -> None:
    shared, folder = workshop.folder / "back-ends", workshop.folder / name
    if not shared.exists():  # the chapters share what is set up once
        shared.mkdir()
        workshop.bash(INSTALL, shared)
    folder.mkdir()
    (folder / ".venv").symlink_to(shared / ".venv")
    server, secret = free_port(), secrets.token_urlsafe(48)
    (folder / "realtime.toml").write_text(block(PAGE, "toml").text.replace("…", secret))
    (folder / "todos.sql").write_text(block(PAGE, "sql", "todos.sql").text)
    dev = f"source .venv/bin/activate\nexec {DEV.strip()} --port {server}"
    with started(["bash", "-c", dev], "Ctrl+C stops", folder) as printed:
        psql, exported = PREPARE.split("\n", 1)
        exported = re.sub(r"(?<=DATABASE_URL=')[^']*", printed_dsn(printed), exported).replace("…", secret)
        reader = _Reader(workshop, folder, server, exported)
        if table:
            reader.bash(psql)
        reader.write("realtime_token.py")
        work(reader)


def fastapi(workshop: Workshop) -> None:
    """FastAPI with SQLAlchemy; the token goes from ``curl`` to ``realtime tail``, as the page has it."""

    def work(reader: _Reader) -> None:
        reader.bash(FASTAPI)
        reader.write("models.py", "auth.py", "fastapi_app.py")
        with reader.started(UVICORN, "running on") as url:
            reader.bash(COMPLETE.replace("http://localhost:3000", url))
            options = f"--history 1 --count 1 --url http://localhost:{reader.server}"
            shown = reader.bash(f"{TAIL.strip().replace('http://localhost:3000', url)} {options}")
            assert "all-done" in shown, shown

    _in_a_folder(workshop, "fastapi", work)


def flask(workshop: Workshop) -> None:
    """Flask with SQLAlchemy."""

    def work(reader: _Reader) -> None:
        reader.bash(FLASK)
        reader.write("models.py", "flask_app.py")
        with reader.started(RUN_FLASK, "Running on") as url, httpx.Client(base_url=url) as http:
            assert http.post("/realtime-token").status_code == 401
            http.post("/sign-in", data={"user": "ada"}).raise_for_status()
            reader.check(http.post("/realtime-token").text, http.post("/lists/home/complete"), "ada")

    _in_a_folder(workshop, "flask", work)


def django(workshop: Workshop) -> None:
    """Django with its migrations, and its pages for administrators, where the user signs in."""

    def work(reader: _Reader) -> None:
        reader.bash(START_PROJECT)
        reader.write("mysite/settings.py", "todos/models.py")
        reader.bash(MAKE)
        reader.write("todos/migrations/", "todos/views.py", "mysite/urls.py")
        reader.bash(MIGRATE)
        user, serve = RUN_DJANGO.splitlines()
        reader.bash(f"{user} --noinput", DJANGO_SUPERUSER_PASSWORD="tea")
        with reader.started(f"{serve} --noreload", "Quit the server") as url, httpx.Client(base_url=url) as http:
            http.get("/admin/login/")
            http.post("/admin/login/", data={"username": "ada", "password": "tea", **_csrf(http)})
            headers = {"X-CSRFToken": http.cookies["csrftoken"]}
            token = http.post("/realtime-token", headers=headers)
            assert token.status_code == 200, token.text
            reader.check(token.text, http.post("/lists/home/complete", headers=headers), "1")

    _in_a_folder(workshop, "django", work, table=False)


def _csrf(http: httpx.Client) -> dict[str, str]:
    return {"csrfmiddlewaretoken": http.cookies["csrftoken"]}
