# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures in the laboratory: tcpdump into a file, and the file's packets as bytes."""
from __future__ import annotations

import itertools
import re
import signal
import struct
from pathlib import Path
from typing import Iterator, NamedTuple

from longhaul_netns import Node, wait_for

_serial = itertools.count()
_COUNTERS = re.compile(r"(\d+) packets? captured, (\d+) packets? received by filter, (\d+) packets? dropped")
# draft-ietf-opsawg-pcap: the magic number tells microseconds or nanoseconds, and the byte order.
_MAGIC = {b"\xd4\xc3\xb2\xa1": ("<", 1e-6), b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
          b"\xa1\xb2\xc3\xd4": (">", 1e-6), b"\xa1\xb2\x3c\x4d": (">", 1e-9)}


class Packet(NamedTuple):
    """One captured packet."""

    time: float     # seconds since the epoch
    length: int     # on the wire
    data: bytes     # what of it was captured, from the destination MAC; a VLAN tag is put back


def read_pcap(path: Path) -> Iterator[Packet]:
    """The packets of a pcap file; one that is still being written may end in the middle of one."""
    raw = path.read_bytes()
    if len(raw) < 24:
        return
    order, tick = _MAGIC[raw[:4]]
    at = 24
    while at + 16 <= len(raw):
        seconds, fraction, captured, length = struct.unpack_from(order + "4I", raw, at)
        at += 16
        if at + captured > len(raw):
            return
        yield Packet(seconds + fraction * tick, length, raw[at:at + captured])
        at += captured


class Capture:
    """tcpdump on an interface of a node: running when made, and packets() at any time.

        with Capture(lab.site("A"), "wan", "ip proto 245") as capture:
            …
        frames = capture.packets()
    """

    def __init__(self, node: Node, ifname: str, expression: str = "", direction: str = "inout",
                 snaplen: int = 0) -> None:
        """direction: in, out or inout; snaplen 0 keeps whole packets."""
        self.path = node.tmp / f"{next(_serial):02d}-{node.name}-{ifname}.pcap"
        # -Z root: after a change of user the parent-death signal would be lost.
        self.process = node.popen(
            ["tcpdump", "-Z", "root", "-n", "-p", "-U", "--immediate-mode", "-B", "16384",
             "-i", ifname, "-Q", direction, "-s", str(snaplen), "-w", str(self.path),
             *([expression] if expression else [])], f"tcpdump {node.name} {ifname}")
        self.process.expect(r"listening on")

    def __enter__(self) -> "Capture":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def packets(self) -> list[Packet]:
        """What has passed the interface up to now."""
        if self.process.running():
            self._drain()
        return list(read_pcap(self.path)) if self.path.exists() else []

    def _drain(self) -> None:
        """Wait until tcpdump has written what the kernel has put into its ring."""
        _, received, dropped = self._counters()
        seen: list[int] = []

        def drained() -> bool:
            written = self._counters()[0]
            seen.append(written)
            # Packets of the unwanted direction count as received and are never written, so
            # standing still has to do as well.
            return written >= received - dropped or seen[-3:] == [written] * 3
        wait_for(drained, 10, f"tcpdump to write {self.path.name}")

    def _counters(self) -> tuple[int, ...]:
        """tcpdump's counters of packets: written, received, dropped."""
        before = len(_COUNTERS.findall(self.process.text()))
        self.process.send(signal.SIGUSR1)
        wait_for(lambda: len(_COUNTERS.findall(self.process.text())) > before, 5, "tcpdump's counters")
        return tuple(int(number) for number in _COUNTERS.findall(self.process.text())[-1])

    def wait(self, count: int = 1, timeout: float = 10.0) -> list[Packet]:
        """Wait until at least count packets were captured; returns them."""
        wait_for(lambda: len(self.packets()) >= count, timeout, f"{count} packets in {self.path.name}")
        return self.packets()

    def stop(self) -> list[Packet]:
        """End the capture; returns its packets."""
        packets = self.packets()
        self.process.stop()
        return packets
