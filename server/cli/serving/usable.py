"""Whether settings that were read again can be used, as far as that is seen without a database.

A process of its own looks: what an operator's module does when it is imported is not done to the supervisor, whose workers
import the module anew.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Final

from engine.errors import RealtimeError
from server.analytics.countries import CountryDatabase
from server.app.settings import Settings, SettingsError
from server.app.tls import certificate_of
from server.auth_handler.verifier import handler_of
from server.content.hook import ContentHook
from server.workers.signals import default_signals

__all__ = ["check_usable"]

_TIMEOUT: Final = 60.0  # seconds, for modules of the operator


def check_usable(settings: Settings, timeout: float = _TIMEOUT) -> None:
    """Raises ``SettingsError`` if a server cannot start with the settings: its certificate, its database of countries, or
    functions of the operator cannot be loaded, or not within ``timeout`` seconds.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    with ours:
        looking = context.Process(target=_look, args=(settings, theirs))
        looking.start()
        theirs.close()
        try:
            if not ours.poll(timeout):
                raise SettingsError(
                    f"content_hook or auth_handler cannot be loaded within {timeout:g} s: see what their modules do when "
                    "they are imported"
                )
            reason = ours.recv()
        except EOFError as lost:
            raise SettingsError(
                "the settings cannot be loaded: the process that loaded them has ended; see what the modules of "
                "content_hook and auth_handler do when they are imported"
            ) from lost
        finally:
            looking.kill()
            looking.join()
    if reason:
        raise SettingsError(reason)


def _look(settings: Settings, answer: Connection) -> None:
    """Send what is wrong with the settings, in words; "" if nothing is."""
    default_signals()
    try:
        certificate_of(settings)
        if settings.country_database is not None and settings.analytics:
            CountryDatabase(settings.country_database).close()
        if settings.content_hook is not None:
            ContentHook(settings.content_hook, settings.content_hook_timeout)
        if settings.auth_handler is not None:
            handler_of(settings.auth_handler)
    except RealtimeError as wrong:
        answer.send(str(wrong))
    else:
        answer.send("")
