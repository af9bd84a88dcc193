# SPDX-License-Identifier: GPL-3.0-or-later
"""What tcptrace and tshark say of a capture, beside `longhaul diagnose`; and how fast each of them is.

Facts of the direction that carries the data, of the connection that carries most:

    packets[0], packets[1]   sent by the client, by the server
    bytes                    of data, each once
    again_bytes              of data sent again
    again                    packets with such data
    rtt_min_ms, rtt_ms       to the server and back; least, mean
"""
from __future__ import annotations

import csv
import io
import json
import os
import random
import statistics
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from longhaul_capture import read_pcap
from longhaul_lab import longhaul

# What goes again within a round trip, as SACKs let it, tshark calls out of order; at the sender nothing can be.
FIELDS = ("tcp.srcport", "tcp.len", "tcp.analysis.retransmission", "tcp.analysis.out_of_order", "tcp.analysis.ack_rtt")
FRAME = 1514    # bytes of the longest frame of the corpus's lines, without FCS
LONGER_MOST = 0.02  # share of packets longer than that in what is called full-size
GLOBAL_HEADER = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1)


@dataclass
class Facts:
    """What a program says of a connection."""

    packets: tuple[int, int]
    bytes: int | None
    again_bytes: int | None
    again: int
    rtt_min_ms: float
    rtt_ms: float
    seconds: float = 0.0


def ours(capture: Path) -> tuple[Facts, dict]:
    """What we say, and the whole flow."""
    out = subprocess.run([longhaul(), "diagnose", "--json", str(capture)], capture_output=True, check=True, timeout=120)
    flow = max(json.loads(out.stdout)["flows"], key=lambda f: f["bytes"])
    there, back = flow["client_to_server"], flow["server_to_client"]
    rtt = there["rtt_to_receiver"] or {"min_ms": 0.0, "mean_ms": 0.0}
    retransmissions = there["retransmissions"]
    return Facts((there["packets"], back["packets"]), there["bytes"], there["payload_bytes"] - there["bytes"],
                 sum(retransmissions[kind] for kind in ("fast", "rto", "probe")), rtt["min_ms"], rtt["mean_ms"]), flow


def tcptrace(capture: Path) -> Facts:
    """What tcptrace says."""
    out = subprocess.run(["tcptrace", "-n", "-l", "-r", "--csv", str(capture)], capture_output=True, text=True,
                         check=True, timeout=300).stdout
    lines = [line for line in out.splitlines() if line and not line.startswith("#")]
    rows = list(csv.DictReader(io.StringIO("\n".join(line.replace(" ", "") for line in lines))))
    row = max(rows, key=lambda r: int(r["total_packets_a2b"]))
    # Data of a SYN's sequence number and of probes are told apart by it; unique bytes are ours.
    return Facts((int(row["total_packets_a2b"]), int(row["total_packets_b2a"])), int(row["unique_bytes_sent_a2b"]),
                 int(row["rexmt_data_bytes_a2b"]), int(row["rexmt_data_pkts_a2b"]), float(row["RTT_min_a2b"]),
                 float(row["RTT_avg_a2b"]))


def tshark(capture: Path, client_port: int) -> Facts:
    """What tshark says of a client's connection."""
    out = subprocess.run(["tshark", "-n", "-r", str(capture), "-Y", f"tcp.port == {client_port}", "-T", "fields",
                          *(word for name in FIELDS for word in ("-e", name))], capture_output=True, text=True,
                         check=True, timeout=300).stdout
    packets, again, again_bytes, rtts = [0, 0], 0, 0, []
    for line in out.splitlines():
        port, length, resent, disorder, rtt = line.split("\t")
        server = int(port) != client_port
        packets[server] += 1
        if (resent or disorder) and not server:
            again += 1
            again_bytes += int(length)
        if rtt and server:
            rtts.append(float(rtt) * 1000)
    return Facts((packets[0], packets[1]), None, again_bytes, again, min(rtts, default=0.0),
                 statistics.fmean(rtts) if rtts else 0.0)


# ------------------------------------------------------------------ large files

def longer_than_frames(captures: Sequence[Path]) -> float:
    """The share of packets that are longer than a frame on the wire: several that a host had as one."""
    lengths = [packet.length for capture in captures for packet in read_pcap(capture)]
    return sum(length > FRAME for length in lengths) / max(len(lengths), 1)


def large(captures: Sequence[Path], target: Path, packets: int, whole: bool) -> int:
    """One file of so many packets out of real ones, each copy at times of its own and between hosts of its own.

    With the same addresses, the copies of a connection would be one, which sends all its data again and again.
    whole: what was cut off is filled up with zeros. Returns the number of packets.
    """
    written, base, copy = 0, 0, 0
    with target.open("wb") as out:
        out.write(GLOBAL_HEADER)
        while written < packets:
            for capture in captures:
                data, at, parts = bytearray(capture.read_bytes()), 24, []
                begin = struct.unpack_from("<I", data, at)[0] if len(data) > at else 0
                while at + 16 <= len(data):
                    seconds, fraction, kept, length = struct.unpack_from("<4I", data, at)
                    if data[at + 28:at + 30] == b"\x08\x00":
                        struct.pack_into(">H", data, at + 43, copy)    # the middle of both IPv4 addresses
                        struct.pack_into(">H", data, at + 47, copy)
                    body = data[at + 16:at + 16 + kept]
                    if whole:
                        body, kept = body.ljust(length, b"\0"), length
                    parts.append(struct.pack("<4I", base + seconds - begin, fraction, kept, length) + body)
                    at, written = at + 16 + struct.unpack_from("<I", data, at + 8)[0], written + 1
                out.write(b"".join(parts))
                base, copy = base + 60, copy + 1
    return written


def many_flows(target: Path, flows: int, seconds: int) -> int:
    """A file of so many connections, each with handshake, one request and one answer. Returns its packets."""
    rng = random.Random(1)
    steps = [(0, 0x02, 0, 0), (1, 0x12, 0, 0), (0, 0x10, 1, 0), (0, 0x18, 1, 200), (1, 0x18, 1, 400), (0, 0x10, 201, 0)]
    with target.open("wb") as out:
        out.write(GLOBAL_HEADER)
        for first in range(0, flows, 1000):     # a thousand at a time, their packets mixed
            at_us = int(first / flows * seconds * 1e6)
            for step, (back, flags, seq, size) in enumerate(steps):
                parts = []
                for n in range(first, min(first + 1000, flows)):
                    client, port = 0x0a000000 + n // 60000, 1024 + n % 60000
                    ends = [(client, port), (0xc0000201, 902)]
                    (source, sport), (sink, dport) = ends[::-1] if back else ends
                    now = at_us + step * 100000 + (n - first) * 10
                    parts.append(struct.pack("<4I", 1000000 + now // 1000000, now % 1000000, 54, 54 + size)
                                 + b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0"
                                 + struct.pack(">BBHHHBBHII", 0x45, 0, 40 + size, (step * 7 + n) & 0xffff, 0x4000, 64, 6, 0,
                                               source, sink)
                                 + struct.pack(">HHIIBBHHH", sport, dport, 1000 + seq, 1000 + (flags != 2), 0x50, flags,
                                               65535, rng.getrandbits(16), 0))
                out.write(b"".join(parts))
    return flows * len(steps)


def run_timed(words: Sequence[str]) -> tuple[float, int]:
    """Run a program, its output away. Returns seconds of processor time and its largest memory, bytes.

    A program of one thread that reads from the page cache waits for nothing but the processor; its time is the same
    where others want that, too.
    """
    pid = os.posix_spawnp(words[0], list(words), os.environ,
                          file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                                        (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(words)}: status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def on_one_core(*words: str) -> list[str]:
    """The command, held to one processor."""
    return ["taskset", "-c", str(max(os.sched_getaffinity(0))), *words]
