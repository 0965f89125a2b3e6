"""The images: ``Dockerfile`` of the repository, and that of the page about deployment, built and run by buildah as root.

Base images come from Debian's archive by debootstrap and not from a registry: Debian 12 has the Python of
``python:3.11-slim-bookworm``. The image of PostgreSQL is not built: its base has a package archive of its own.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.conftest import postgres_18
from tests.conftest import started as postgres_started
from tests.newcomer.workshop import ROOT, Workshop, block, started
from tests.support.ports import free_port

__all__ = ["containers"]

DEPLOYMENT = "docs/operations/deployment.md"
PYTHON = "docker.io/library/python:3.11-slim-bookworm"
PROGRAMS = ("buildah", "debootstrap")
_START = 60  # seconds


class _Builder:
    """Images in a folder of their own."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.folder = workshop.folder / "containers"
        self.folder.mkdir()
        store = ("--root", str(self.folder / "store"), "--runroot", str(self.folder / "run"))
        self.command = ("buildah", *store, "--storage-driver", "overlay")

    def buildah(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run buildah without namespaces; what it has written, without the line's end."""
        return self.workshop.run(*self.command, *arguments, cwd=cwd or self.folder, BUILDAH_ISOLATION="chroot").strip()

    def base(self) -> None:
        """The image that both begin with."""
        root = self.folder / "debian"
        packages = "--include=python3,python3-venv,python3-pip,ca-certificates"
        self.workshop.run("debootstrap", "--variant=minbase", packages, "bookworm", str(root), cwd=self.folder)
        for mark in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):  # the image's Python has none
            mark.unlink()
        (root / "usr/bin/python").symlink_to("python3")
        container = self.buildah("from", "scratch")
        self.buildah("add", container, str(root), "/")
        self.buildah("commit", container, PYTHON)
        self.buildah("rm", container)
        shutil.rmtree(root)

    def build(self, image: str, context: Path, *arguments: str) -> None:
        """Build ``image`` of a folder with a Dockerfile; pip has the configuration that it has here."""
        given = [word for path in self._pip() for word in ("--volume", path)]
        self.buildah(
            "build", "--pull-never", "--format", "docker", "--tag", image, *given, *arguments, ".", cwd=context
        )

    def _pip(self) -> list[str]:
        """The volumes with pip's configuration, what it names on this machine, and the wheels of the tree."""
        listed = subprocess.run(["pip", "config", "list"], capture_output=True, text=True, check=True).stdout
        settings = [line.partition("=")[::2] for line in listed.splitlines()]
        values = {name.rpartition(".")[2]: str(ast.literal_eval(value)) for name, value in settings}
        values["find-links"] = f"{values.get('find-links', '')} {self.workshop.wheels}".strip()
        file = self.folder / "pip.conf"
        file.write_text(
            "[global]\n" + "".join(f"{name} = {' '.join(value.split())}\n" for name, value in values.items())
        )
        words = [each for value in values.values() for each in value.split()]
        # The files of an index are beside its pages.
        local = {Path(each.removeprefix("file://")).parent if "://" in each else Path(each) for each in words}
        paths = sorted(str(each) for each in local if each.is_absolute() and each.exists() and each != Path("/"))
        return [f"{file}:/etc/pip.conf:ro", *(f"{path}:{path}:ro" for path in paths)]

    @contextmanager
    def running(self, image: str, arguments: str, environment: Mapping[str, str]) -> Iterator[None]:
        """A container of ``image``: its entry point with ``arguments``, as the user that the image names."""
        container = self.buildah("from", "--pull-never", image)
        described = self.buildah(
            "inspect", "--format", "{{.Docker.Config.Entrypoint}} {{.Docker.Config.User}}", container
        )
        assert described == "[realtime] realtime", described
        variables = [word for item in environment.items() for word in ("--env", "=".join(item))]
        run = [*self.command, "run", *variables, container, "--", "sh", "-c", f"id -un; exec realtime {arguments}"]
        with started(run, '"event":"serving"', self.folder, BUILDAH_ISOLATION="chroot") as printed:
            assert printed.startswith("realtime\n"), "the user of the image"
            yield
        self.buildah("rm", container)


def _read(address: str) -> bytes:
    deadline = time.monotonic() + _START
    while True:
        try:
            with urlopen(address, timeout=10) as response:
                return bytes(response.read())
        except URLError:
            assert time.monotonic() < deadline, f"{address} does not answer"
            time.sleep(0.5)


def containers(workshop: Workshop) -> None:
    """Both images are built; each serves a database, the first after it has migrated it."""
    if missing := [each for each in PROGRAMS if not shutil.which(each)]:
        subprocess.run([ROOT / ".ci" / "system-packages", *missing], check=True)
    builder = _Builder(workshop)
    try:
        _try(builder, workshop)
    finally:
        subprocess.run(["umount", str(builder.folder / "store" / "overlay")], capture_output=True, check=False)


def _try(builder: _Builder, workshop: Workshop) -> None:
    builder.base()
    builder.build("realtime", workshop.tree, "--target", "server")
    own = builder.folder / "own"
    own.mkdir()
    (own / "Dockerfile").write_text(block(DEPLOYMENT, "dockerfile").text)
    builder.build("own", own)
    with postgres_started(postgres_18(builder.folder / "postgres")) as server:
        for image, command in (("realtime", "serve --migrate"), ("own", "serve")):
            port = free_port()
            environment = {"REALTIME_DSN": server.dsn, "REALTIME_PORT": str(port)}
            with builder.running(image, command, environment):
                assert b'"status":"ok"' in _read(f"http://127.0.0.1:{port}/health")
                modules = re.findall(rb'import "\./([^"]+)"', _read(f"http://127.0.0.1:{port}/realtime/sdk.js"))
                assert modules
                assert b"export" in _read(f"http://127.0.0.1:{port}/realtime/{modules[0].decode()}")
