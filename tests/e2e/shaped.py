# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbered frames through a delay line, and the line's frame log, for the tests of `longhaul shape`."""
from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Iterator

import pytest
from longhaul_lab import Lab
from traffic import counting, ethernet

ETHERTYPE = 0x88b5      # IEEE 802 local experimental: no stack answers it
HEADER = struct.Struct("<8sIIQQQ24x")
RECORD = struct.Struct("<QQQQQIIBBB13x")
SENT, LOST, QUEUE_FULL, QUEUE_CODEL, CHECK, LINK_DOWN, REFUSED, NO_MEMORY = range(8)
CORRUPTED, DUPLICATE, REORDERED = 1, 2, 4


@pytest.fixture
def shared_lab(module_lab: Lab) -> Iterator[Lab]:
    """The module's laboratory; what a test starts in it ends with the test."""
    before = len(module_lab.started)
    yield module_lab
    for process in module_lab.started[before:]:
        process.stop()


@dataclass
class Record:
    """One frame of a frame log (doc/frame-log.md)."""

    number: int
    arrival: int
    due: int
    departure: int
    hash: int
    length: int
    backlog: int
    direction: int
    verdict: int
    flags: int


def frame_log(path: Path, direction: int | None = None) -> list[Record]:
    """The records of a log, of one direction or of both, by the frame's number."""
    data = path.read_bytes()
    magic, version, size, *_ = HEADER.unpack_from(data)
    assert (magic, version, size) == (b"LHFRAMES", 1, RECORD.size)
    assert (len(data) - HEADER.size) % RECORD.size == 0
    records = [Record(*RECORD.unpack_from(data, at)) for at in range(HEADER.size, len(data), RECORD.size)]
    return sorted((r for r in records if direction in (None, r.direction)), key=lambda r: r.number)


class Wire:
    """Numbered frames from one site's end of the line to the other's."""

    def __init__(self, lab: Lab, way: str = "ab") -> None:
        letters = way.upper()
        self.source, self.target = lab.site(letters[0]), lab.site(letters[1])
        self.sender = self.source.packet_socket("wan", protocol=0)
        self.receiver = self.target.packet_socket("wan", protocol=ETHERTYPE)

    def frame(self, number: int, size: int = 60) -> bytes:
        """The frame of a number."""
        body = number.to_bytes(4, "big")
        return ethernet(self.target.mac, self.source.mac, ETHERTYPE,
                        body + counting(number * 7, size - 18))

    def send(self, numbers: Iterable[int], size: int = 60, gap: float = 0.0) -> None:
        """Send the frames of these numbers; gap seconds between two."""
        for number in numbers:
            self.sender.send(self.frame(number, size))
            if gap:
                time.sleep(gap)

    def receive(self, count: int, timeout: float = 20.0) -> list[bytes]:
        """Wait for so many frames."""
        frames = []
        deadline = time.monotonic() + timeout
        while len(frames) < count:
            left = deadline - time.monotonic()
            assert left > 0, f"{len(frames)} of {count} frames came: {[number(f) for f in frames][-20:]}"
            self.receiver.settimeout(left)
            try:
                frames.append(self.receiver.recv(70000))
            except TimeoutError:
                continue
        return frames

    def numbers(self, count: int, timeout: float = 20.0) -> list[int]:
        """Wait for so many frames and return their numbers; every byte of them must be right."""
        frames = self.receive(count, timeout)
        for frame in frames:
            assert frame == self.frame(number(frame), len(frame)), frame.hex()
        return [number(frame) for frame in frames]

    def silent(self, seconds: float = 0.3) -> None:
        """Assert that nothing more comes."""
        self.receiver.settimeout(seconds)
        try:
            frame = self.receiver.recv(70000)
        except TimeoutError:
            return
        raise AssertionError(f"one frame too many: {number(frame)}")


def number(frame: bytes) -> int:
    """The number of a frame of Wire.frame()."""
    return int.from_bytes(frame[14:18], "big")


def balanced(direction: dict) -> bool:
    """Does every frame that came have a fate, or is still on its way?"""
    inside = [name for name in direction["drops"] if name not in ("truncated", "short_frame", "overrun")]
    fates = direction["frames_out"] + sum(direction["drops"][name] for name in inside)
    return direction["frames_in"] + direction["duplicated"] == fates + direction["flight"]["frames"]
