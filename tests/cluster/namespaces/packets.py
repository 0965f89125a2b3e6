"""IPv4 packets: their addresses, and the reset that answers one of TCP."""

from __future__ import annotations

import struct

__all__ = ["addresses", "reset_for"]

_TCP = 6
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16


def addresses(packet: bytes) -> tuple[bytes, bytes] | None:
    """Source and destination; None if it is no IPv4."""
    if len(packet) < 20 or packet[0] >> 4 != 4:
        return None
    return packet[12:16], packet[16:20]


def reset_for(packet: bytes) -> bytes | None:
    """What its sender takes for the end of the connection; None where nothing is to be answered."""
    begin = (packet[0] & 15) * 4
    if packet[9] != _TCP or len(packet) < begin + 20:
        return None
    source, target, sequence, acknowledged = struct.unpack_from("!HHII", packet, begin)
    length, flags = (packet[begin + 12] >> 4) * 4, packet[begin + 13]
    if flags & _RST:
        return None
    size = len(packet) - begin - length + bool(flags & _SYN) + bool(flags & _FIN)
    follows = (sequence + size) & 0xFFFFFFFF
    numbers = (acknowledged, 0, _RST) if flags & _ACK else (0, follows, _RST | _ACK)
    tcp = struct.pack("!HHIIBBHHH", target, source, numbers[0], numbers[1], 5 << 4, numbers[2], 0, 0, 0)
    pseudo = packet[16:20] + packet[12:16] + struct.pack("!BBH", 0, _TCP, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", _checksum(pseudo + tcp)) + tcp[18:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, _TCP, 0) + packet[16:20] + packet[12:16]
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + tcp


def _checksum(data: bytes) -> int:
    """Of the internet (RFC 1071). ``data`` has an even length."""
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
