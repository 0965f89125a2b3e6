"""Functions of the operator that settings name: found when the server starts, and called without blocking it."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from engine.errors import BunbaseError, RealtimeError

__all__ = ["FunctionEndedError", "FunctionNameError", "OperatorFunction", "load_function"]

_THREADS: Final = 8


class FunctionNameError(RealtimeError):
    """A setting names no function; the message names the setting."""


class FunctionEndedError(BunbaseError):
    """The function raised what ends programs or tasks, such as ``SystemExit``, and must not end the server's. The text
    names its kind alone.
    """

    def __init__(self, raised: BaseException) -> None:
        super().__init__(f"the function raised {type(raised).__name__}")


class OperatorFunction:
    """The function that ``setting`` names with ``name``. Raises ``FunctionNameError``.

    It may be async. If not, each call has a thread, ``threads`` of them at once. A call that never returns keeps its thread,
    and neither holds up the other calls nor the end of the process. ``at_once``: so many calls; None: any number.
    """

    def __init__(self, setting: str, name: str, threads: int = _THREADS) -> None:
        self._function = load_function(setting, name)
        self._setting = setting
        self._free = asyncio.Semaphore(threads)
        self.at_once: int | None = None if inspect.iscoroutinefunction(self._function) else threads

    async def call(self, argument: object) -> Any:
        """What the function returns, or raises; ``FunctionEndedError`` for what is no ``Exception``. Cancelling the call
        does not end the thread.
        """
        if inspect.iscoroutinefunction(self._function):
            return await self._call_here(argument)
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        thread = threading.Thread(
            target=self._run, args=(loop, answer, argument), name=f"realtime {self._setting}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads
            self._free.release()
            raise
        return await answer

    async def _call_here(self, argument: object) -> Any:
        try:
            return await self._function(argument)
        except Exception:
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # the call was cancelled, and not by the function
            raise FunctionEndedError(error) from None

    def _run(self, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Any], argument: object) -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = self._function(argument)
        except BaseException as error:  # noqa: BLE001 - raised by the call that waits
            failure = error
        with suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(self._finish, answer, result, failure)

    def _finish(self, answer: asyncio.Future[Any], result: object, failure: BaseException | None) -> None:
        self._free.release()
        if answer.done():
            return
        if failure is None:
            answer.set_result(result)
        elif isinstance(failure, Exception) and not isinstance(failure, StopIteration):
            answer.set_exception(failure)
        else:
            answer.set_exception(FunctionEndedError(failure))


def load_function(setting: str, name: str) -> Callable[[Any], Any]:
    """The function that ``module:function`` or ``path/to/file.py:function`` names. Raises ``FunctionNameError``."""
    place, _, function = name.rpartition(":")
    try:
        module = _load_file(Path(place)) if place.endswith(".py") else import_module(place)
        found = getattr(module, function)
    except Exception as wrong:  # the operator's module may raise anything
        raise FunctionNameError(
            f"{setting}: {name!r} cannot be imported ({type(wrong).__name__}: {wrong}); "
            "it is module:function or path/to/file.py:function"
        ) from wrong
    if not callable(found):
        raise FunctionNameError(f"{setting}: {name!r} is no function")
    checked: Callable[[Any], Any] = found
    return checked


def _load_file(path: Path) -> ModuleType:
    """The module in a file, under a name of its own."""
    spec = spec_from_file_location(f"realtime_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up by name
    spec.loader.exec_module(module)
    return module
