# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts say of themselves in TCP headers: the options of a SYN, and the windows they advertise."""
from __future__ import annotations

import socket
from typing import Iterator, NamedTuple

from longhaul_lab import Capture, wait_for

SYN, ACK = 0x02, 0x10
END, NOP, MSS, SCALE, TIMESTAMPS = 0, 1, 2, 3, 8


class Segment(NamedTuple):
    """The TCP header of a segment."""

    raw: bytes                          # header with options
    options: list[tuple[int, bytes]]    # kind, all bytes of the option

    @property
    def flags(self) -> int:
        """SYN, ACK and others."""
        return self.raw[13]

    @property
    def window(self) -> int:
        """The window as it stands in the header, not scaled."""
        return int.from_bytes(self.raw[14:16], "big")

    def value(self, kind: int) -> int | None:
        """The number an option holds, None without it."""
        for each, data in self.options:
            if each == kind:
                return int.from_bytes(data[2:], "big")
        return None


def parse(frame: bytes, source: str) -> Segment | None:
    """The TCP header of an Ethernet frame, if it is whole, and IPv4 TCP from source."""
    if len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_TCP:
        return None
    tcp = frame[14 + 4 * (frame[14] & 0x0F):]
    if frame[26:30] != socket.inet_aton(source):
        return None
    raw = tcp[:4 * (tcp[12] >> 4)]
    options, at = [], 20
    while at < len(raw) and raw[at] != END:
        length = 1 if raw[at] == NOP else raw[at + 1]
        options.append((raw[at], raw[at:at + length]))
        at += length
    return Segment(raw, options)


def segments(capture: Capture, source: str) -> Iterator[Segment]:
    """The segments of a host that were captured."""
    return filter(None, (parse(packet.data, source) for packet in capture.packets()))


def find_syn(capture: Capture, source: str, flags: int) -> Segment:
    """Wait until the SYN (or SYN/ACK) of a host was captured."""
    def look() -> Segment | None:
        return next((each for each in segments(capture, source) if each.flags & (SYN | ACK) == flags), None)
    return wait_for(look, 5, f"the {'SYN/ACK' if flags & ACK else 'SYN'} of {source}")


def windows(capture: Capture, source: str) -> list[int]:
    """The windows that a host's segments show after its SYN, as they stand in the header; at least one."""
    def look() -> list[int]:
        return [each.window for each in segments(capture, source) if not each.flags & SYN]
    return wait_for(look, 5, f"segments of {source}")
