# SPDX-License-Identifier: GPL-3.0-or-later
"""What `scripts/bench-shaper` publishes: what is measured, the tables, and the thresholds they are held against."""
from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

import longhaul_bench as bench
from longhaul_bench import Document, Values, spread

GIGA = 1e9
DELAY_RATE = 20_000                             # frames a second
RATES = (10**6, 10**7, 10**8, 10**9)            # bit/s
PAYLOAD_SHARE = 1448 / 1514                     # of a full frame: without Ethernet, IPv4 and TCP with timestamps
TIMES = ("p50", "p99", "p99_9", "max")

# What is promised.
SPIN_P50_US, SPIN_P99_US, SLEEP_P99_US = 20, 100, 200
LOSS_FRAMES = 10**7
TCP_SHARE = 0.95
TCP_FREE_BPS = 4e9
SMALL_FPS = 500_000


class Flow(NamedTuple):
    """One TCP flow through the line."""

    name: str
    title: str
    options: list[str] | None       # of the line; None: a kernel bridge in its place
    congestion: str
    allowed_bps: float = 0          # goodput that the line's schedule allows; 0: it sets no limit
    long: bool = True               # the way is long, and so is the ramp


_LIMITED = ["--delay", "60ms", "--rate", "1gbit"]
FLOWS = (
    Flow("tcp_limited_bbr", "60 ms each way, 1 Gbit/s, BBR", _LIMITED, "bbr", GIGA * PAYLOAD_SHARE),
    Flow("tcp_limited_cubic", "60 ms each way, 1 Gbit/s, CUBIC", _LIMITED, "cubic", GIGA * PAYLOAD_SHARE),
    Flow("tcp_free_bbr", "60 ms each way, no limit, BBR", ["--delay", "60ms"], "bbr"),
    Flow("tcp_free_cubic", "60 ms each way, no limit, CUBIC", ["--delay", "60ms"], "cubic"),
    Flow("tcp_short", "0 ms, no limit, CUBIC", ["--delay", "0ms"], "cubic", long=False),
    Flow("tcp_bridge", "a kernel bridge in place of the line, CUBIC", None, "cubic", long=False),
)
NAMES = ("delay_spin", "delay_sleep", "delay_bridge", *(f"rate_{bps}" for bps in RATES), *(flow.name for flow in FLOWS),
         "flood", "flood_bridge", "loss")


# ------------------------------------------------------------------ figures

def values(document: Document, measurement: str, take: Callable[[dict[str, Any]], float | None]) -> Values:
    """A figure of a measurement in each repetition, None where it could not be had."""
    found: Values = []
    for repetition in document["repetitions"]:
        try:
            found.append(take(repetition[measurement]))
        except (KeyError, TypeError, ZeroDivisionError):
            found.append(None)
    return found


def there(document: Document, *measurements: str) -> bool:
    """Whether any of these was measured."""
    return any(name in repetition for repetition in document["repetitions"] for name in measurements)


def _cells(document: Document, measurement: str, path: Sequence[str], keys: Sequence[str] = TIMES) -> list[str]:
    """Figures below a path of the measurement."""
    def take(key: str) -> Callable[[dict[str, Any]], float]:
        def look(measured: dict[str, Any]) -> float:
            for step in (*path, key):
                measured = measured[step]
            return float(measured)      # type: ignore[arg-type]
        return look
    return [spread(values(document, measurement, take(key))) for key in keys]


def _beyond_control(measured: dict[str, Any]) -> float:
    return measured["excess_us"]["p99"] - measured["control"]["late_us"]["p99"]


def _unintended(measured: dict[str, Any]) -> float:
    return sum(measured[key] for key in ("lost", "reordered", "duplicated", "corrupted", "early"))


def _by_queue(reason: str) -> bool:
    """Whether the bottleneck's queue dropped for this reason, which is asked for; all others are failings here."""
    return reason.startswith("queue_")


def unasked_drops(measured: dict[str, Any]) -> float:
    """Frames that both directions dropped for other reasons than their queues."""
    return sum(count for direction in measured["line"] for reason, count in direction["drops"].items()
               if not _by_queue(reason))


def queue_drops(measured: dict[str, Any]) -> float:
    """Frames that did not fit into the bottleneck's queue, both directions."""
    return sum(count for direction in measured["line"] for reason, count in direction["drops"].items() if _by_queue(reason))


# ------------------------------------------------------------------ thresholds

def _delay_thresholds(document: Document) -> list[dict[str, Any]]:
    return [
        bench.threshold("60 ms, spin: added − asked, p50, µs",
                        values(document, "delay_spin", lambda m: m["excess_us"]["p50"]), SPIN_P50_US, most=True),
        bench.threshold("60 ms, spin: added − asked, p99 beyond the control thread's p99, µs",
                        values(document, "delay_spin", _beyond_control), SPIN_P99_US, most=True),
        bench.threshold("60 ms, sleep only: added − asked, p99, µs",
                        values(document, "delay_sleep", lambda m: m["excess_us"]["p99"]), SLEEP_P99_US, most=True),
    ]


def _loss_threshold(document: Document) -> dict[str, Any]:
    found = bench.threshold("lost, out of order, doubled, changed or early, frames",
                            [value for value in values(document, "loss", _unintended) if value is not None], 0, most=True)
    sent = bench.median(values(document, "loss", lambda m: m["sent"])) or 0
    found["remark"] = f"of {sent:,.0f}"
    if sent < LOSS_FRAMES and found["met"]:
        found["met"] = None
        found["remark"] += f"; {LOSS_FRAMES:,} are asked for"
    return found


def _rate_thresholds(document: Document) -> list[dict[str, Any]]:
    found = []
    for bps in RATES:
        frame_us = 1514 * 8e6 / bps
        for key, where in (("log", "the line's log"), ("schedule", "outside")):
            found.append(bench.threshold(
                f"{bps // 10**6} Mbit/s, {where}: latest departure after the schedule, µs (a frame takes {frame_us:g})",
                values(document, f"rate_{bps}", lambda m, key=key: m[key]["late_us"]["max"]), round(frame_us, 3), most=True))
    return found


def _tcp_thresholds(document: Document) -> list[dict[str, Any]]:
    found = []
    for flow in FLOWS:
        goodput = values(document, flow.name, lambda m: m["goodput_bps"])
        if flow.allowed_bps:
            found.append(bench.threshold(f"TCP, {flow.title}: goodput ÷ what the schedule allows",
                                         [x and x / flow.allowed_bps for x in goodput], TCP_SHARE))
            found.append(bench.threshold(f"TCP, {flow.title}: frames dropped but by the queue",
                                         values(document, flow.name, unasked_drops), 0, most=True))
        elif flow.options:
            found.append(bench.threshold(f"TCP, {flow.title}: Gbit/s", [x and x / GIGA for x in goodput],
                                         TCP_FREE_BPS / GIGA))
    return found


def thresholds(document: Document) -> list[dict[str, Any]]:
    """Each promise, what was measured, and whether it was kept; decided by the median."""
    return [
        *_delay_thresholds(document), _loss_threshold(document), *_rate_thresholds(document), *_tcp_thresholds(document),
        bench.threshold("64-byte frames one way: highest rate that loses nothing, kframes/s",
                        values(document, "flood", lambda m: m["lossless"]["arrived_fps"] / 1e3), SMALL_FPS / 1e3),
        bench.threshold("64-byte frames one way: what leaves the line in a flood, kframes/s",
                        values(document, "flood", _flooded), SMALL_FPS / 1e3),
    ]


# ------------------------------------------------------------------ the page

def _delay_table(document: Document) -> list[str]:
    if not there(document, "delay_spin", "delay_sleep"):
        return []
    rows = [[title, *_cells(document, name, ["excess_us"]), *_cells(document, name, ["control", "late_us"])]
            for name, title in (("delay_spin", "`--delay 60ms --spin yes`"), ("delay_sleep", "`--delay 60ms --spin no`"),
                                ("delay_bridge", "a kernel bridge, 0 ms"))]
    return [
        "", "## Delay", "",
        f"{DELAY_RATE:,} frames of 64 bytes a second, one way, {document['effort']['delay_s']} s: added minus asked, and "
        "beside it how late the control thread woke,", "in µs.",
        *bench.table(["", "p50", "p99", "p99.9", "max", "control p50", "p99", "p99.9", "max"], rows)]


def _loss_table(document: Document) -> list[str]:
    measured = next((repetition["loss"] for repetition in document["repetitions"] if "loss" in repetition), None)
    if not measured:
        return []
    keys = ("sent", "received", "lost", "reordered", "duplicated", "corrupted", "early")
    effort = document["effort"]
    return [
        "", "## Loss and order", "",
        f"One run of {effort['loss_frames']:,} frames of 64 bytes at {effort['loss_rate']:,} a second through "
        "`--delay 60ms`, each with its number and a hash.",
        *bench.table(["", "sent", "received", "lost", "out of order", "twice", "changed", "early",
                      "the line's own drops", "the receiver's"],
                     [["frames", *(f"{measured[key]:,}" for key in keys), f"{unasked_drops(measured):,}",
                       f"{measured['receiver_overruns']:,}"]])]


def _per_million(part: str) -> Callable[[dict[str, Any]], float]:
    return lambda m: m[part]["beyond_one_frame"] / m[part]["frames"] * 1e6


def _rate_table(document: Document) -> list[str]:
    if not there(document, *(f"rate_{bps}" for bps in RATES)):
        return []
    rows = []
    for bps in RATES:
        name = f"rate_{bps}"
        for key, where in (("log", "log"), ("schedule", "outside")):
            rows.append([f"{bps // 10**6} Mbit/s, {where}", f"{1514 * 8e6 / bps:g}",
                         *_cells(document, name, [key, "late_us"]),
                         spread(values(document, name, _per_million(key))),
                         *_cells(document, name, ["control", "late_us"], ("p99", "max"))])
    starved = sum(value or 0 for bps in RATES for value in values(document, f"rate_{bps}", lambda m: m["schedule"]["starved"]))
    wrong = max((value for bps in RATES for value in
                 values(document, f"rate_{bps}", lambda m: m["log"]["schedule_error_max_ns"]) if value is not None), default=0)
    return [
        "", "## Rate", "",
        f"A backlog of 1514-byte frames for {document['effort']['rate_s']} s, `--spin yes --queue unlimited --overhead none`: "
        "how long after its place in the exact schedule", "each frame left, in µs. *Log*: departure − due of the line's own "
        f"`--log`, whose due times are within {wrong:.1f} ns of the exact", "serialisation all along. *Outside*: the kernel's "
        "receive stamps against the schedule, from the backlog's end on. The last", "columns are the control thread's."
        + (f" {starved:.0f} frames came after their turn, because the sender was held up: there the outside figure is too high."
           if starved else ""),
        *bench.table(["", "a frame, µs", "p50", "p99", "p99.9", "max", "later than a frame, ppm", "control p99", "max"], rows)]


def _tcp_table(document: Document) -> list[str]:
    if not there(document, *(flow.name for flow in FLOWS)):
        return []
    rows = []
    for flow in FLOWS:
        goodput = values(document, flow.name, lambda m: m["goodput_bps"])
        rows.append([flow.title, spread([x and x / GIGA for x in goodput]),
                     spread([x and x / flow.allowed_bps * 100 for x in goodput]) if flow.allowed_bps else "–",
                     spread(values(document, flow.name, lambda m: m["retransmits"])),
                     *(spread(values(document, flow.name, take)) for take in (queue_drops, unasked_drops))])
    effort = document["effort"]
    return [
        "", "## TCP", "",
        f"One flow by iperf3, what the application received: {effort['tcp_s']} s after a ramp of {effort['ramp_s']} s over the "
        f"long way, {effort['short_s']} s after 1 s at 0 ms. The schedule allows", f"1448/1514 = {PAYLOAD_SHARE:.1%} of the "
        f"rate (`--overhead none`): {GIGA * PAYLOAD_SHARE / 1e6:.1f} Mbit/s. Congestion control is set on the socket. Buffers: "
        f"`tcp_rmem` and `tcp_wmem` up", f"to {document['tcp_buffer_bytes'] >> 20} MiB; the bottleneck's queue: 250 ms, tail "
        "drop, the default. Hosts hand super-frames to the line.",
        *bench.table(["", "Gbit/s", "of what is allowed, %", "retransmits", "dropped by the queue", "dropped otherwise"], rows)]


def _flooded(measured: dict[str, Any]) -> float:
    return max(each["arrived_fps"] for each in measured["floods"]) / 1e3


def _flood_table(document: Document) -> list[str]:
    if not there(document, "flood", "flood_bridge"):
        return []
    rows = [[title, *(spread(values(document, name, take)) for take in (
        lambda m: m["lossless"]["arrived_fps"] / 1e3, _flooded,
        lambda m: max(each["sent_fps"] for each in m["floods"]) / 1e3))]
        for name, title in (("flood", "`longhaul shape`, 0 ms"), ("flood_bridge", "a kernel bridge"))]
    return [
        "", "## Small frames", "",
        f"Frames of 64 bytes (60 without FCS) one way, in thousands a second, {document['effort']['flood_s']:g} s each: the "
        "highest rate that loses nothing, and what", "comes out when one or two threads send as many as they can. Sender and "
        "line share the machine's cores.",
        *bench.table(["", "lossless", "out of a flood", "sent in a flood"], rows)]


def _failures(document: Document) -> list[str]:
    lines = [f"- Repetition {number}, {what}: {why}" for number, repetition in enumerate(document["repetitions"], 1)
             for what, why in repetition["errors"].items()]
    return ["", "## What failed", "", *lines] if lines else []


def markdown(document: Document) -> str:
    """The page."""
    document["thresholds"] = thresholds(document)
    versions = document["versions"]
    return bench.page([
        "# The delay line, measured from outside", "",
        bench.machine_line(document), bench.commit_line(document),
        f"- Versions: {versions['longhaul']}; {versions['iperf3']}.",
        f"- {bench.disturbances(document)}", "",
        bench.repetitions_text(document) + ". Sender, line and receiver are in network namespaces of this machine, joined by",
        "veth, and share its cores. Delay is taken from a stamp in the frame, written right before the system call that sends "
        "it, and the", "kernel's stamp at the far interface, so that no wake-up of the measuring program counts; two passes "
        "through the kernel do, a few", "microseconds: see the bridge. The control thread runs in the measuring program at the "
        "same time and rate (at most 20,000 a", "second) and at the line's priority: it sleeps to absolute moments with 1 ns of "
        "timer slack, and tells how late it wakes.",
        *_delay_table(document), *_loss_table(document), *_rate_table(document), *_tcp_table(document), *_flood_table(document),
        "", "## Held against", "", "Medians decide.", *bench.threshold_table(document),
        *_failures(document), "", "Raw figures: [shaper.json](shaper.json).",
    ])
