# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command leaves behind: its processes, known by their environment, and its files."""
from __future__ import annotations

import os
import uuid
from pathlib import Path

from longhaul_lab import wait_for

MARK = "LONGHAUL_TEST_MARK"


def marked(name: str, value: str) -> list[int]:
    """All processes that were started with this in their environment."""
    mark, found = f"{name}={value}\0".encode(), []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and mark in Path(f"/proc/{entry}/environ").read_bytes():
                found.append(int(entry))
        except OSError:     # it has just ended, or is a zombie
            pass
    return found


class Traces:
    """Run commands with env, and everything that comes of them is found again."""

    def __init__(self, tmp: Path) -> None:
        """tmp is where their temporary files go."""
        self.name = f"test-{uuid.uuid4().hex[:12]}"
        self.tmp = tmp
        self.env = {**os.environ, MARK: self.name, "TMPDIR": str(tmp)}

    def pids(self) -> list[int]:
        """All processes that came of it, children of children too."""
        return marked(MARK, self.name)

    def left(self) -> list[str]:
        """What is there of it still."""
        files = [*self.tmp.glob("longhaul-*"), *Path("/run/longhaul-lab").glob(f"*{self.name}*")]
        return [f"process {pid}" for pid in self.pids()] + [str(path) for path in files]

    def assert_gone(self) -> None:
        """Nothing is left, or soon will be."""
        wait_for(lambda: not self.left(), 10, f"the end of {self.left()}")
