# SPDX-License-Identifier: GPL-3.0-or-later
"""One transfer, four ways over a long line at the same time: direct, tunnelled, with -w 7, and by split TCP.

Each way has a laboratory of its own, with a line of its own, so that none takes from another's. A fifth shows what
held -w 7 back in 2008.
"""
from __future__ import annotations

import contextlib
import sys
import time
from typing import Any, Iterator, NamedTuple, Sequence

import longhaul_bars as bars
from longhaul_bars import Bar
from longhaul_lab import Capture, Lab, LabError, Tunnel, wait_for
from longhaul_syn import ACK, SCALE, SYN, find_syn, windows
from longhaul_window import WINDOW, Transfer

RTT_MS = 120
LINE_BPS = 100_000_000
LINE = ["--delay", f"{RTT_MS / 2:g}ms", "--rate", f"{LINE_BPS // 1_000_000}mbit"]
WSCALE = 7
MODEL_BPS = WINDOW * 8 / RTT_MS * 1e3       # what the window allows
PATIENCE = 4                # times what the window allows may be taken
POLL_S = 0.2
SETUP_S = 30.0
LATER_PORT = 5003


class Way(NamedTuple):
    """How the sites are joined, and what is special of the hosts."""

    key: str
    title: str
    colour: str
    tunnel: Sequence[str] | None    # options of the tunnel; None: both LANs are joined by the kernel's bridge
    accel: bool = False
    scaling: bool = False           # the hosts offer a window scale, 0
    small_buffer: bool = False      # hA has no more to send from than hB has to receive


WAYS = (
    Way("direct", "direct", bars.RED, None),
    Way("tunnel", "tunnel", bars.RED, []),
    Way("wscale", f"tunnel, -w {WSCALE}", bars.YELLOW, ["-w", str(WSCALE)], scaling=True),
    Way("wscale_2008", f"-w {WSCALE}, small send buffer", bars.RED, ["-w", str(WSCALE)], scaling=True, small_buffer=True),
    Way("accel", "split TCP", bars.GREEN, [], accel=True),
)


@contextlib.contextmanager
def logs_shown(lab: Lab) -> Iterator[None]:
    """Print the tunnels' logs where the body fails."""
    try:
        yield
    except (LabError, AssertionError):
        for process in lab.started:
            if isinstance(process, Tunnel):
                print(f"\n{process.describe()}", file=sys.stderr)
        raise


class Lane:
    """One way: its laboratory, the transfer, and what came of it."""

    def __init__(self, way: Way, nbytes: int, stack: contextlib.ExitStack) -> None:
        self.way, self.nbytes, self._stack = way, nbytes, stack
        self.later: Transfer | None = None      # a second transfer, when the first is over
        # Reno, as hosts had it then; BBR would not be stopped by what -w 7 loses.
        self.lab = stack.enter_context(Lab(line=True, congestion={"hA": "reno"}))
        stack.enter_context(logs_shown(self.lab))
        self.a, self.b = self.lab.host("hA"), self.lab.host("hB")
        self.line = self.lab.shape(*LINE)
        self.tunnels: list[Tunnel] = []
        if way.tunnel is None:
            stack.enter_context(self.lab.bridged())
        else:
            self.tunnels = [self._tunnel(letter) for letter in self.lab.letters]

    def _tunnel(self, letter: str) -> Tunnel:
        lab, others = self.lab, [site.ip for site in self.lab.all_sites if site.letter != letter]
        border = f"{lab.site(letter).borders[0]}:1{',accel' if self.way.accel else ''}"
        return lab.tunnel(letter, "-t", "wan", "-f", ",".join(others), "-b", border, "--state",
                          str(lab.tmp / f"state-{letter}"), *lab.sealed_args(letter), *(self.way.tunnel or []))

    def ready(self) -> None:
        """Wait until the hosts reach each other, and prepare the transfer."""
        for tunnel in self.tunnels:
            tunnel.peers_up(SETUP_S)
            if self.way.accel:
                wait_for(lambda t=tunnel: all(pool["spare"] for pool in t.status()["accel"]["streams"]), SETUP_S,
                         f"streams of {tunnel.name}")
        if self.way.small_buffer:
            # Else Linux would put a super-frame of 64 KiB behind a full buffer.
            self.a.run(["ip", "link", "set", self.a.ifname, "gso_max_segs", "1"])
        self.a.ping(self.b.ip)
        self._heard = [Capture(host, host.ifname, f"tcp and src host {self.b.ip}", snaplen=128)
                       for host in (self.b, self.a)]
        self.transfer = self._stack.enter_context(
            Transfer(self.a, self.b, self.nbytes, self.way.scaling, WINDOW if self.way.small_buffer else None))

    def again(self, nbytes: int) -> None:
        """Begin a second transfer, for its time alone."""
        self.later = self._stack.enter_context(Transfer(self.a, self.b, nbytes, port=LATER_PORT)).start()

    def look(self) -> dict[str, Any]:
        """What the finished transfer was like; for programs."""
        found: dict[str, Any] = {"way": self.way.key, "title": self.way.title, "bytes": self.transfer.received,
                                 "seconds": self.transfer.seconds, "rate_bps": self.transfer.average() * 8}
        for name, capture in zip(("advertised", "told"), self._heard):
            seen = windows(capture, self.b.ip)
            # The first ACKs are of before the clamp acts.
            found[f"{name}_window"] = max(seen[len(seen) // 4:])
            found[f"{name}_scale"] = find_syn(capture, self.b.ip, SYN | ACK).value(SCALE)
            capture.stop()
        assert self.transfer.sent
        found.update(self.transfer.sent._asdict())
        found["line_dropped"] = sum(sum(way["drops"].values()) for way in self.line.show()["directions"])
        found["sha256_sent"], found["sha256_received"] = self.transfer.digests
        accel = [tunnel.status()["accel"] for tunnel in self.tunnels] if self.way.accel else []
        # From hA's site it was opened, at hB's accepted.
        found["accelerated"] = [accel[0]["connections"]["opened"], accel[1]["connections"]["accepted"]] if accel else [0, 0]
        found["bypassed"] = sum(sum(each["bypassed"].values()) for each in accel)
        return found


def _bar(lane: Lane, transfer: Transfer, title: str, nbytes: int) -> Bar:
    return Bar(title, transfer.received / nbytes, f"{transfer.received / nbytes:4.0%} "
               f"{transfer.average() * 8 / 1e6:5.1f} Mbit/s", lane.way.colour)


def _wait(lanes: Sequence[Lane], later: int) -> Iterator[dict[str, Any]]:
    """The lanes' results, as they come in; split TCP goes on with later bytes, which is waited for, too."""
    running, patience = list(lanes), PATIENCE * max(lane.nbytes for lane in lanes) * 8 / MODEL_BPS + SETUP_S
    deadline = time.monotonic() + patience
    with bars.Progress() as progress:
        while running or any(lane.later and not lane.later.finished() for lane in lanes):
            for lane in [lane for lane in running if lane.transfer.finished()]:
                running.remove(lane)
                yield lane.look()
                if lane.way.accel and later:
                    lane.again(later)
            if time.monotonic() > deadline:
                late = ", ".join(lane.way.title for lane in running) or "the last of split TCP"
                raise LabError(f"not through after {patience:.0f} s: {late}")
            progress.show([_bar(lane, lane.transfer, lane.way.title, lane.nbytes) for lane in lanes] +
                          [_bar(lane, lane.later, f"{lane.way.title}, {later >> 20} MB", later)
                           for lane in lanes if lane.later])
            time.sleep(POLL_S)


def run(nbytes: int, later: int) -> dict[str, Any]:
    """All ways side by side; returns what came of them, for programs."""
    with contextlib.ExitStack() as stack:
        lanes = [Lane(way, nbytes, stack) for way in WAYS]
        for lane in lanes:
            lane.ready()
        for lane in lanes:
            lane.transfer.start()
        found = {result["way"]: result for result in _wait(lanes, later)}
        whole = next((lane.later for lane in lanes if lane.later), None)
        document: dict[str, Any] = {"bytes": nbytes, "rtt_ms": RTT_MS, "line_bps": LINE_BPS, "window_bytes": WINDOW,
                                    "ways": [found[way.key] for way in WAYS], "later": None}
        if whole:
            sent, received = whole.digests
            document["later"] = {"bytes": whole.received, "seconds": whole.seconds, "rate_bps": whole.average() * 8,
                                 "sha256_sent": sent, "sha256_received": received}
    return document
