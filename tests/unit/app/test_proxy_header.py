"""Headers of the PROXY protocol as proxies write them, in pieces of any size, and what is none."""

from __future__ import annotations

import struct

import pytest

from server.http.proxy_header import InvalidProxyHeaderError, ProxyHeader

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
IPV6 = bytes.fromhex("20010db8000000000000000000000007")


def version_2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + bytes((command, family)) + struct.pack("!H", len(body)) + body


HEADERS = {
    b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n": ("192.0.2.7", 4711),
    b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n": ("2001:db8::7", 4711),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n": None,
    version_2(0x21, 0x11, bytes((192, 0, 2, 7, 198, 51, 100, 1)) + struct.pack("!HH", 4711, 443)): ("192.0.2.7", 4711),
    version_2(0x21, 0x21, IPV6 + IPV6 + struct.pack("!HH", 4711, 443)): ("2001:db8::7", 4711),
    # With an attribute: PP2_TYPE_ALPN.
    version_2(0x21, 0x11, bytes((192, 0, 2, 7, 198, 51, 100, 1, 0, 1, 0, 2)) + b"\x01\x00\x02h2"): ("192.0.2.7", 1),
    version_2(0x20, 0x00, b""): None,  # LOCAL: a health check of the proxy
    version_2(0x21, 0x31, b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")): None,
}


@pytest.mark.parametrize(("header", "client"), HEADERS.items())
def test_a_header_gives_the_client_however_it_is_cut(header: bytes, client: tuple[str, int] | None) -> None:
    for cut in range(len(header) + 1):
        reader = ProxyHeader()
        first = reader.feed(header[:cut])
        assert (first is None) == (cut < len(header))
        rest = reader.feed(header[cut:] + b"GET / HTTP/1.1\r\n") if first is None else first + b"GET / HTTP/1.1\r\n"
        assert (rest, reader.client) == (b"GET / HTTP/1.1\r\n", client)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",  # TLS
        b"PROXY TCP4 nonsense 198.51.100.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 99999 2\r\n",
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n",
        b"PROXY TCP4 \xff 198.51.100.1 1 2\r\n",
        b"PROXY " + b"x" * 200,
        version_2(0x2F, 0x11, bytes(12)),  # no such command
        version_2(0x11, 0x11, bytes(12)),  # no such version
        version_2(0x21, 0x11, bytes(3)),  # shorter than its addresses
        version_2(0x21, 0x11, bytes(12) + b"\x03\x00\xff"),  # an attribute that is cut off
        SIGNATURE + b"\x21\x11\xff\xff",  # longer than is accepted
    ],
)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidProxyHeaderError):
        ProxyHeader().feed(data)
