"""A PostgreSQL of any version in a container, for developers with a Docker engine: ``pytest --image postgres:17``.

The container takes the place of the embedded server (the fixture ``pg18``). Tests that stop, configure or promote a server
make one of their own from the embedded binaries, as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import docker
import pytest
from docker.errors import DockerException
from testcontainers.community.postgres import PostgresContainer

__all__ = ["ContainerPostgres", "started_container"]

PASSWORD = "postgres"


class ContainerPostgres:
    """What tests use of :class:`server.cli.local_postgres.LocalPostgres`, for a server in a container."""

    def __init__(self, container: PostgresContainer) -> None:
        self._container = container

    @property
    def dsn(self) -> str:
        """The superuser's connection string for the database ``postgres``."""
        return self.dsn_for("postgres")

    def dsn_for(self, database: str) -> str:
        """The superuser's connection string for ``database``."""
        host, port = self._container.get_container_host_ip(), self._container.get_exposed_port(5432)
        return f"postgresql://postgres:{PASSWORD}@{host}:{port}/{database}"


@contextmanager
def started_container(image: str, settings: dict[str, str]) -> Iterator[ContainerPostgres]:
    """``image`` (a PostgreSQL 14 or later with the entry point of Docker's official image), running with ``settings``."""
    try:
        docker.from_env().close()
    except DockerException as error:
        pytest.fail(f"--image {image} needs a Docker engine: {error}", pytrace=False)
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    container = PostgresContainer(image, username="postgres", password=PASSWORD, dbname="postgres", driver=None)
    with container.with_command(["postgres", *options]) as running:
        yield ContainerPostgres(running)
