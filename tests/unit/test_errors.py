"""The exception classes of the engine, the server and the Python SDK form one tree each, and are named *Error*."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import bunbase
import bunbase.protocol.errors
import pytest

import engine
import server
from engine.errors import BunbaseError


def _exceptions_of(*packages: ModuleType) -> Iterator[type[BaseException]]:
    """The exception classes that the modules of ``packages`` define."""
    for package in packages:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    names = tuple(f"{package.__name__}." for package in packages)
    waiting = [Exception]
    while waiting:
        for each in waiting.pop().__subclasses__():
            waiting.append(each)
            if each.__module__.startswith(names):
                yield each


@pytest.mark.parametrize(
    ("packages", "root"),
    [((engine, server), BunbaseError), ((bunbase,), bunbase.protocol.errors.BunbaseError)],
    ids=["server", "sdk"],
)
def test_every_exception_is_in_the_tree_and_is_named_error(
    packages: tuple[ModuleType, ...], root: type[Exception]
) -> None:
    found = set(_exceptions_of(*packages))
    assert len(found) > 3
    assert {each.__name__ for each in found if not issubclass(each, root)} == set()
    assert {each.__name__ for each in found if not each.__name__.endswith("Error")} == set()
