"""The socket that a server listens on: opened before any slow step; an error explains why it cannot be."""

from __future__ import annotations

import errno
import os
import socket
from importlib import import_module
from importlib.util import find_spec

from engine.errors import RealtimeError

__all__ = ["ServeError", "SharedPort", "holder_of", "listen", "listen_near", "url_of"]

BACKLOG = 2048
"""Connections that the kernel has made and that wait to be accepted."""

_NEARBY = 20  # ports after the wanted one that are tried


class ServeError(RealtimeError):
    """The server cannot listen; the message names the address and the cause."""


def listen(host: str, port: int, user_timeout: float) -> socket.socket:
    """A listening socket. ``user_timeout``: seconds for which sent data may stay unacknowledged by a client.

    Raises ``ServeError``, which names the process that holds the port where the system shows it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ServeError(_explained(host, port, error)) from error
    _limit_silence(listener, user_timeout)
    return listener


def _limit_silence(listener: socket.socket, user_timeout: float) -> None:
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; accepted sockets inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(user_timeout * 1000))


class SharedPort:
    """A port on which several processes listen, each on a socket of its own (SO_REUSEPORT): the kernel gives each of them
    as many connections as the others (on Linux; socket(7)).

    Takes the port of ``listener``, which was opened alone, so that a port of another server is not shared with it. ``url``:
    as of ``url_of``, without its scheme. Raises ``ServeError``.
    """

    def __init__(self, listener: socket.socket, user_timeout: float) -> None:
        self._family = listener.family
        self._host, self._port = host, port = listener.getsockname()[:2]
        self._user_timeout = user_timeout
        listener.close()
        self._reserved = socket.socket(self._family, socket.SOCK_STREAM)  # it never listens, so it gets no connections
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if self._family == socket.AF_INET6:
            self._reserved.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            self._reserved.bind((host, port))
        except OSError as error:
            self._reserved.close()
            raise ServeError(_explained(host, port, error)) from error

    def url(self, scheme: str) -> str:
        """The address for a browser on this machine."""
        return url_of(self._reserved, scheme)

    def open(self) -> socket.socket:
        """A listening socket for this process. Raises ``ServeError``."""
        host, port = self._host, self._port
        try:
            listener = socket.create_server((host, port), family=self._family, backlog=BACKLOG, reuse_port=True)
        except OSError as error:
            raise ServeError(_explained(host, port, error)) from error
        _limit_silence(listener, self._user_timeout)
        return listener

    def close(self) -> None:
        """Give the port back, for this process."""
        self._reserved.close()


def listen_near(host: str, port: int, user_timeout: float) -> socket.socket:
    """As :func:`listen`, on the first free port from ``port`` on. Raises ``ServeError`` if twenty are taken."""
    for candidate in range(port, min(port + _NEARBY, 65535)):
        try:
            return listen(host, candidate, user_timeout)
        except ServeError as taken:
            if not isinstance(taken.__cause__, OSError) or taken.__cause__.errno != errno.EADDRINUSE:
                raise
    return listen(host, port, user_timeout)


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """The address for a browser on this machine."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::", "127.0.0.1", "::1"):
        host = "localhost"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _explained(host: str, port: int, error: OSError) -> str:
    # create_server() repeats the address in strerror.
    reason = os.strerror(error.errno) if isinstance(error.errno, int) and error.errno > 0 else str(error)
    text = f"cannot listen on {host} port {port}: {reason}"
    if error.errno == errno.EADDRINUSE:
        holder = holder_of(port)
        return f"{text}{f' by {holder}' if holder else ''}. Stop it, or choose another port with --port"
    if error.errno == errno.EACCES:
        return f"{text}. Ports below 1024 need a privilege; choose another one with --port"
    return text


def holder_of(port: int) -> str | None:
    """The process that listens on ``port``, if the system shows it to this user (and psutil is installed)."""
    if find_spec("psutil") is None:  # it comes with the embedded PostgreSQL
        return None
    psutil = import_module("psutil")
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        return None
    return None
