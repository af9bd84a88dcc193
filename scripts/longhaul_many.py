# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of TCP connections between two hosts at a time (tests/tools/many.c), and what a site needs for them."""
from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from longhaul_lab import Host, Process, wait_for

PROGRAM = Path(__file__).resolve().parent.parent / "build" / "tools" / "many"


class Many:
    """So many connections from one host to another, made at a rate; every byte sent is sent back and compared."""

    def __init__(self, client: Host, server: Host, port: int, count: int, rate: int, waiting: int = 4096) -> None:
        """Makes count connections, rate a second and waiting unanswered ones at a time at most; made() waits for them."""
        server.popen([PROGRAM, "serve", server.ip, str(port)], "many server")
        wait_for(lambda: server.listening(port), 30, "the server of many")
        self.count, self.answers = count, 0
        self.process = client.popen([PROGRAM, "open", server.ip, str(port), str(count), str(rate), str(waiting)],
                                    "many client",
                                    stdin=subprocess.PIPE)
        self.made_within = 60 + 40 * count / rate

    def next_answer(self, timeout: float) -> dict[str, Any]:
        """What the client says next: of all its connections, and what the last thing took."""
        wait_for(lambda: self.process.text().count("\n") > self.answers or not self.process.running(), timeout,
                 f"answer {self.answers} of {self.process.name}")
        lines = self.process.text().splitlines()
        assert len(lines) > self.answers, self.process.describe()
        self.answers += 1
        return json.loads(lines[self.answers - 1])

    def tell(self, command: str, timeout: float) -> dict[str, Any]:
        """Have the client do something, and wait for its answer."""
        os.write(self.process.proc.stdin.fileno(), (command + "\n").encode())
        return self.next_answer(timeout)

    def made(self) -> dict[str, Any]:
        """Wait for all connections."""
        return self.next_answer(self.made_within)

    def round(self, nbytes: int, step: int = 1, timeout: float = 300) -> dict[str, Any]:
        """Every step-th connection sends so many bytes, all at a time, and gets them back."""
        return self.tell(f"round {nbytes} {step}", timeout)

    def close(self, timeout: float = 300) -> dict[str, Any]:
        """End every connection, with FIN both ways."""
        return self.tell("close", timeout)


def resident_bytes(process: Process) -> int:
    """What a process holds of the machine's memory, that of others' files not counted."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise ValueError(f"/proc/{process.pid}/status has no RssAnon")


def descriptors(process: Process) -> int:
    """How many file descriptors a process has."""
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def kernel_tcp_bytes() -> int:
    """What all TCP sockets of the machine hold in buffers: the kernel counts it in one place for all namespaces."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            words = line.split()
            return int(words[words.index("mem") + 1]) * os.sysconf("SC_PAGE_SIZE")
    raise ValueError("/proc/net/sockstat has no TCP")
