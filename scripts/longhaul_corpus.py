# SPDX-License-Identifier: GPL-3.0-or-later
"""A corpus of TCP transfers with labels: what limits them is known, and not from their packets.

    with Lab(line=True) as lab:
        made = record(lab, draw("send_buffer", seed), directory)

Each case is carried out by the kernel's own TCP over `longhaul shape` (longhaul_causes.py). Delays, rates, windows,
buffers and congestion control are drawn from the seed, so that no two runs are alike. The label comes from what a case
is made of, and counts only where the sending kernel's tcp_info, the sending program's log and the line's frame log
agree with it. Thresholds of the rules may be tuned on the seeds "tune"; results are those of the seeds "report", and
none of these has been looked at before anything was tuned: 400001 to 400020, 500001 to 500040 and 600001 to 600040 were
reported once, causes of what was judged wrongly in them have been looked for, and they are spent.
"""
from __future__ import annotations

import dataclasses
import json
import random
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from longhaul_causes import Case, Run, Transfer, perform
from longhaul_lab import Lab

SEEDS = {"tune": 1, "report": 700001}
PLACES = ("sender", "middle", "receiver")
SENT, LOST, QUEUE_FULL = 0, 1, 2
RECORD = struct.Struct("<QQQQQIIBBB13x")
HEADER_BYTES = 64
MIN_DATA = 200      # bytes of a frame that carries data
FREE = ("cubic", "reno", "bbr")
Draw = Callable[[random.Random], Case]


def _spread(rng: random.Random, low: float, high: float) -> float:
    """A number, spread evenly over orders of magnitude."""
    return low * (high / low) ** rng.random()


def _delay(rng: random.Random, most: float = 150) -> tuple[list[str], float]:
    """The line's options for a delay of 0.5 to so many milliseconds one way, and the round trip in seconds."""
    one_way = round(_spread(rng, 0.5, most), 2)
    return ["--delay", f"{one_way}ms"], one_way * 2 / 1000


def _window(rng: random.Random) -> Case:
    line, rtt = _delay(rng)
    return Case("receive_window", line, rng.choice(FREE), clamp=rng.randrange(8000, 60000), seconds=max(4, 30 * rtt))


def _buffer(rng: random.Random) -> Case:
    line, rtt = _delay(rng)
    return Case("send_buffer", line, rng.choice(FREE), send_buffer=rng.randrange(40000, 250000),
                write=rng.choice((4096, 16384, 65536, 100000)), seconds=max(4, 30 * rtt))


def _application(rng: random.Random) -> Case:
    line, rtt = _delay(rng)
    return Case("application", line, rng.choice(FREE), write=rng.randrange(500, 12000), every=rng.uniform(0.005, 0.2),
                nodelay=rng.random() < 0.5, seconds=max(4, 30 * rtt))


def _congestion(rng: random.Random) -> Case:
    # BBR does not slow down for such losses: they are not its limit.
    line, rtt = _delay(rng)
    return Case("congestion", [*line, "--ab", f"--loss {rng.uniform(0.4, 2):.2f}%"], rng.choice(("cubic", "reno")),
                seconds=max(5, 50 * rtt))


def _path(rng: random.Random) -> Case:
    # A queue of a round trip: with less, CUBIC and Reno need minutes to fill a long path again after a loss.
    line, rtt = _delay(rng)
    queue = max(rng.randrange(30, 150), round(rtt * 1000))
    return Case("path", [*line, "--ab", f"--rate {rng.randrange(8, 60)}mbit --queue {queue}ms"], rng.choice(FREE),
                seconds=max(5, 40 * rtt))


def _start(rng: random.Random) -> Case:
    line, _ = _delay(rng)
    amount = rng.randrange(20000, 120000)
    return Case("start", line, rng.choice(FREE), amount=amount, write=amount, send_buffer=1 << 20)


def _nagle(rng: random.Random) -> Case:
    # Of each exchange a round trip and the 40 ms of a delayed ACK are wasted, a round trip is not. Beyond 60 ms the
    # first are hardly more than the second, so that no kind holds most of the time for certain.
    line, rtt = _delay(rng, 30)
    size = rng.randrange(300, 1200)
    return Case("nagle_delayed_ack", line, rng.choice(FREE), answer=2 * size, write=size, seconds=max(4, 30 * rtt))


def _closed(rng: random.Random) -> Case:
    # A pause of many round trips: the first of them goes by before the sender learns of the closed window.
    line, rtt = _delay(rng)
    pause = max(rng.uniform(0.4, 0.8), 8 * rtt)
    return Case("zero_window", line, rng.choice(FREE), receive_buffer=rng.randrange(60000, 200000), read_pause=pause,
                read_every=0.02, seconds=max(4, 5 * pause))


def _hole(rng: random.Random) -> Case:
    line, _ = _delay(rng)
    amount = rng.randrange(10000, 200000)
    return Case("pmtu_black_hole", line, rng.choice(FREE), amount=amount, write=amount, send_buffer=1 << 20,
                patience=8, mtu=rng.randrange(1280, 1480))


def _healthy(rng: random.Random) -> Case:
    """A line with room, and connections that fill it or are over before: nothing to find fault with."""
    line, _ = _delay(rng)
    amounts = [int(_spread(rng, 5000, 1500000)) for _ in range(12)]
    return Case("healthy", [*line, "--rate", f"{rng.randrange(20, 200)}mbit", "--queue", "2s"], rng.choice(FREE),
                amount=amounts[0], amounts=tuple(amounts[1:]), write=rng.choice((4096, 65536)))


_DRAW: dict[str, Draw] = {
    "receive_window": _window, "send_buffer": _buffer, "application": _application, "congestion": _congestion,
    "path": _path, "start": _start, "nagle_delayed_ack": _nagle, "zero_window": _closed, "pmtu_black_hole": _hole,
    "healthy": _healthy}
KINDS = tuple(_DRAW)


def draw(kind: str, seed: int) -> Case:
    """The case that a seed stands for."""
    return dataclasses.replace(_DRAW[kind](random.Random(f"{kind}-{seed}")), seed=seed)


@dataclass
class Made:
    """A run of the corpus with all that is known of it."""

    case: dict
    transfers: list[dict]
    captures: dict[str, str]
    frames: int         # with data, from sender to receiver, that came to the line
    lost: int           # of them by the line's loss
    full: int           # …for want of room in its queue
    other: int          # …for any other reason
    waited: int         # frames that queued
    agreed: bool        # do kernel, program and line say that the case was what it was made to be?

    @property
    def label(self) -> str:
        """What limits it."""
        return str(self.case["name"])

    def share(self, name: str) -> float:
        """What the kernel, or the program, says of the first connection's time."""
        return Transfer(**self.transfers[0]).shares()[name]

    def missing(self) -> int:
        """Segments with data that the sending kernel has sent, and that have not come to the receiving kernel."""
        return Transfer(**self.transfers[0]).lost

    def healthy(self) -> set[int]:
        """The ports of connections of which the kernels, too, say that no host held them, and that were whole at once."""
        transfers = [Transfer(**transfer) for transfer in self.transfers]
        return {t.port for t in transfers if not t.retransmits and not t.out_of_order
                and t.window_limited + t.buffer_limited < t.elapsed / 10}

    def save(self, path: Path) -> None:
        """Write it beside its captures."""
        path.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")

    @staticmethod
    def load(path: Path) -> "Made":
        """What save() has written."""
        return Made(**json.loads(path.read_text(encoding="utf-8")))


def _frames(log: Path) -> list[tuple]:
    """The line's records of data frames, from the sender to the receiver."""
    data = log.read_bytes()
    return [record for at in range(HEADER_BYTES, len(data), RECORD.size)
            if (record := RECORD.unpack_from(data, at))[7] == 0 and record[5] > MIN_DATA]


def _filled(case: Case, sent: int, elapsed: float) -> float:
    """How much of the line's rate a transfer had; 0 where the line has none."""
    rates = re.findall(r"--rate (\d+)mbit", " ".join(case.line))
    return sent * 8 / elapsed / (int(rates[0]) * 1e6) if rates else 0.0


def _agrees(run: Run, lost: int, full: int, waited: float) -> bool:
    """Do the kernel, the program and the line say that the case was what it was made to be?"""
    case, first = run.case, run.transfers[0]
    shares = first.shares()
    window, buffer = shares["receive_window"], shares["send_buffer"]
    filled = _filled(case, first.sent, first.elapsed)
    needed = first.retransmits > first.dsacks   # a probe that a busy machine was too late to prevent is no loss
    if case.name == "receive_window":
        return window > (0.6 if case.congestion != "bbr" else 0.1) and not lost + full and not needed
    if case.name == "send_buffer":
        return window < 0.1 and buffer > 0.6 and first.slow < 0.1 and first.busy > 0.9 * first.elapsed and not needed
    if case.name == "application":
        return shares["application"] > 0.6
    if case.name == "congestion":
        return lost > 5 and not full and window < 0.3
    if case.name == "path":
        return waited > 0.7 and not lost and window < 0.3 and filled > 0.7 and first.slow < 0.1
    if case.name == "zero_window":
        return window > 0.6 and shares["zero_window"] > 0.5
    if case.name == "pmtu_black_hole":
        return first.sent > 0 and first.retransmits > 2
    return not lost + full


def record(lab: Lab, case: Case, where: Path) -> Made:
    """Carry a case out. Its captures are in the directory, and what is known of it beside them."""
    run = perform(lab, case, where)
    records = _frames(run.log)
    run.log.unlink()
    lost, full, sent = (sum(r[8] == verdict for r in records) for verdict in (LOST, QUEUE_FULL, SENT))
    waited = sum(r[6] > 0 for r in records)
    made = Made(dataclasses.asdict(case), [dataclasses.asdict(t) for t in run.transfers],
                {place: str(path.name) for place, path in run.captures.items()}, len(records), lost, full,
                len(records) - lost - full - sent, waited,
                _agrees(run, lost, full, waited / max(len(records), 1)))
    made.save(where / f"{case.name}-{case.seed}.json")
    return made
