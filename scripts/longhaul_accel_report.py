# SPDX-License-Identifier: GPL-3.0-or-later
"""What `scripts/bench-accel` publishes: the tables, and the thresholds they are held against."""
from __future__ import annotations

from typing import Any

import longhaul_bench as bench
from longhaul_bench import Document, Values, spread

LINES = ("100mbit", "1gbit")
WAYS = {"direct": "direct", "tunnel": "tunnel", "wscale": "tunnel, -w 7 (hosts offer scale 0)", "accel": "split TCP"}

# What is promised.
SHARE = {"100mbit": 0.95, "1gbit": 0.90}    # of the line, in steady state
TRANSFER_RATIO = 1.05                       # of the far transfer's time to the near one's, at 100 Mbit/s
CONNECT_MS = 10.0                           # more than direct
TURNS = 3.0                                 # times the bridged path's


def values(document: Document, name: str, key: str) -> Values:
    """A figure in each repetition, None where it could not be had."""
    return [repetition.get(name, {}).get(key) for repetition in document["repetitions"]]


def _less(left: Values, right: Values) -> Values:
    return [x - y if x is not None and y is not None else None for x, y in zip(left, right)]


def thresholds(document: Document) -> list[dict[str, Any]]:
    """Each promise with what was measured."""
    found = []
    for line in LINES:
        base = values(document, f"line_{line}", "bps")
        for name, what in ((f"accel_{line}", "33304-byte windows"), (f"sndbuf_accel_{line}", "16 KiB to send from")):
            found.append(bench.threshold(f"{what}, 120 ms, share of the line at {line}",
                                         bench.ratios(values(document, name, "bps"), base), SHARE[line]))
    size = document["effort"]["transfer_mib"]
    found.append(bench.threshold(f"{size} MB at 120 ms ÷ direct at 0 ms, 100mbit",
                                 bench.ratios(values(document, "transfer_far_100mbit", "seconds"),
                                              values(document, "transfer_near_100mbit", "seconds")), TRANSFER_RATIO, True))
    for key, what in (("connect_ms", "connect"), ("first_byte_ms", "first byte")):
        found.append(bench.threshold(f"{what} at 120 ms, ms more than direct",
                                     _less(values(document, "exchange_far_accel", key),
                                           values(document, "exchange_far_direct", key)), CONNECT_MS, True))
    found.append(bench.threshold("request and response at 0 ms ÷ bridged by the tunnel",
                                 bench.ratios(values(document, "exchange_near_accel", "turn_ms"),
                                              values(document, "exchange_near_tunnel", "turn_ms")), TURNS, True))
    return found


def _rates(document: Document) -> list[str]:
    rows = []
    for line in LINES:
        base = values(document, f"line_{line}", "bps")
        rows.append([f"{line}: the line (tuned, 0 ms)", spread([v and v / 1e6 for v in base]), "1", "–"])
        for way, title in WAYS.items():
            rate = values(document, f"{way}_{line}", "bps")
            rows.append([f"{line}: {title}", spread([v and v / 1e6 for v in rate]), spread(bench.ratios(rate, base)),
                         spread(values(document, f"{way}_{line}", "window"))])
        for way in ("direct", "accel"):
            rate = values(document, f"sndbuf_{way}_{line}", "bps")
            rows.append([f"{line}: {WAYS[way]}, 16 KiB to send from", spread([v and v / 1e6 for v in rate]),
                         spread(bench.ratios(rate, base)), "large"])
    return bench.table(["120 ms round trip, one flow hA → hB", "Mbit/s", "share of the line", "largest window advertised, bytes"],
                       rows)


def _times(document: Document) -> list[str]:
    rows = [[line, spread(values(document, f"transfer_near_{line}", "seconds")),
             spread(values(document, f"transfer_far_{line}", "seconds")),
             spread(bench.ratios(values(document, f"transfer_far_{line}", "seconds"),
                                 values(document, f"transfer_near_{line}", "seconds")))] for line in LINES]
    lines = bench.table([f"{document['effort']['transfer_mib']} MB, seconds", "direct, tuned, 0 ms", "split TCP, 33304, 120 ms", "ratio"],
                        rows)
    rows = [[f"{title}, {where}", *(spread(values(document, f"exchange_{key}_{way}", figure))
                                    for figure in ("connect_ms", "first_byte_ms", "turn_ms"))]
            for key, where in (("far", "120 ms"), ("near", "0 ms"))
            for way, title in WAYS.items() if way != "wscale"]
    return lines + bench.table(["milliseconds", "connect", "first byte", "request and response"], rows)


def markdown(document: Document) -> str:
    """The page."""
    errors = sorted({f"- {name}: {text}" for repetition in document["repetitions"]
                     for name, text in repetition["errors"].items()})
    return bench.page([
        "# Split TCP over 120 ms", "", bench.commit_line(document), bench.machine_line(document),
        f"- {bench.disturbances(document)}",
        f"- {bench.repetitions_text(document)}. Steady state: {document['effort']['steady_s']} s after a ramp of "
        f"{document['effort']['ramp_s']} s. Streams were made at most some seconds before (fresh, not warm).",
        "- Hosts: receive buffers of 56,200 bytes, no window scaling, CUBIC; the line is `longhaul shape`, 60 ms each way.",
        *_rates(document), *_times(document), "## Thresholds", *bench.threshold_table(document),
        *(["## Not measured", "", *errors] if errors else [])])
