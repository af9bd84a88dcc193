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
TRANSFER_RATIO = {"100mbit": 1.05, "1gbit": 1.25}   # of the far transfer's time to the near one's, cold
WARM_RATIO = 1.10                           # …at 1 Gbit/s, on a stream that was used just before
OPEN_BPS = {"near": 3e9, "far": 2e9}        # without a limit of the line's
CONNECT_MS = 10.0                           # more than direct
TURNS = 3.0                                 # times the bridged path's
LOSSES = {"0.01%": 0.0001, "0.1%": 0.001, "1%": 0.01}
LOSS_SHARE = 0.85                           # of the line × (1 − loss)
JAIN = 0.95
MANY_SHARE = 0.99
STALLED_SHARE = 0.95
CONNECTIONS = 3000                          # a second
CLIENTS = (8, 32)   # at a time: with few, who waits for whom decides, and processors idle; the last is what is held

STRIPED_LOSSES = ("0%", "0.1%", "1%")
STRIPED = {"cubic_1": "CUBIC, 1", "cubic_4": "CUBIC, 4", "cubic_auto": "CUBIC, auto", "bbr_1": "BBR, 1", "bbr_auto": "BBR, auto"}

PLACES = {"near": "0 ms", "far": "120 ms"}


def values(document: Document, name: str, key: str) -> Values:
    """A figure in each repetition, None where it could not be had."""
    return [repetition.get(name, {}).get(key) for repetition in document["repetitions"]]


def mbit_s(rates: Values) -> str:
    """Rates in bits a second, as they are shown."""
    return spread([bps and bps / 1e6 for bps in rates])


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
    for line in LINES:
        found.append(bench.threshold(f"{size} MB at 120 ms, cold ÷ direct at 0 ms, {line}",
                                     bench.ratios(values(document, f"transfer_far_{line}", "seconds"),
                                                  values(document, f"transfer_near_{line}", "seconds")), TRANSFER_RATIO[line], True))
    largest = document["effort"]["sizes"][-1]
    found.append(bench.threshold(f"{amount(largest)} at 120 ms, warm ÷ direct at 0 ms, 1gbit",
                                 bench.ratios(values(document, "sizes_warm", f"{largest}_s"),
                                              values(document, "sizes_near", f"{largest}_s")), WARM_RATIO, True))
    found.append(bench.threshold("1 MB at 120 ms, untuned hosts, cold ÷ direct",
                                 bench.ratios(values(document, "size_cold_accel_1024", "seconds"),
                                              values(document, "sizes_untuned", "1024_s")), 1.0, True))
    for key, what in (("connect_ms", "connect"), ("first_byte_ms", "first byte")):
        found.append(bench.threshold(f"{what} at 120 ms, ms more than direct",
                                     _less(values(document, "exchange_far_accel", key),
                                           values(document, "exchange_far_direct", key)), CONNECT_MS, True))
    found.append(bench.threshold("request and response at 0 ms ÷ bridged by the tunnel",
                                 bench.ratios(values(document, "exchange_near_accel", "turn_ms"),
                                              values(document, "exchange_near_tunnel", "turn_ms")), TURNS, True))
    for where, needed in OPEN_BPS.items():
        found.append(bench.threshold(f"no limit of the line's, one flow, {PLACES[where]}, Gbit/s",
                                     [v and v / 1e9 for v in values(document, f"open_{where}_accel", "bps")], needed / 1e9))
    base = values(document, "line_100mbit", "bps")
    for loss, share in LOSSES.items():
        found.append(bench.threshold(f"loss {loss}, 120 ms, share of the line at 100mbit × (1 − loss)",
                                     [v and v / (1 - share) for v in bench.ratios(values(document, f"loss_{loss}_accel_window", "bps"), base)],
                                     LOSS_SHARE))
    found.append(bench.threshold("Jain's index of 16 flows, 100mbit, 120 ms", values(document, "fairness", "jain"), JAIN))
    found.append(bench.threshold(f"connections a second, 0 ms, {CLIENTS[-1]} at a time", values(document, f"short_{CLIENTS[-1]}_accel", "per_s"), CONNECTIONS))
    found.append(bench.threshold(f"of {document['effort']['many']} connections at a time accelerated, share of what descriptors allow, 0 ms",
                                 bench.ratios(values(document, "many_near", "accelerated"), values(document, "many_near", "possible")), MANY_SHARE))
    found.append(bench.threshold("four flows' goodput beside connections that do not read ÷ before",
                                 bench.ratios(values(document, "stalled", "beside_bps"), values(document, "stalled", "before_bps")), STALLED_SHARE))
    return found


def _rates(document: Document) -> list[str]:
    rows = []
    for line in LINES:
        base = values(document, f"line_{line}", "bps")
        rows.append([f"{line}: the line (tuned, 0 ms)", mbit_s(base), "1", "–"])
        for way, title in WAYS.items():
            rate = values(document, f"{way}_{line}", "bps")
            rows.append([f"{line}: {title}", mbit_s(rate), spread(bench.ratios(rate, base)),
                         spread(values(document, f"{way}_{line}", "window"))])
        for way in ("direct", "accel"):
            rate = values(document, f"sndbuf_{way}_{line}", "bps")
            rows.append([f"{line}: {WAYS[way]}, 16 KiB to send from", mbit_s(rate),
                         spread(bench.ratios(rate, base)), "large"])
        for way in ("tunnel", "accel"):
            rate = values(document, f"tuned_{way}_{line}", "bps")
            rows.append([f"{line}: {WAYS[way]}, tuned hosts", mbit_s(rate),
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


def amount(kib: int) -> str:
    """So many KiB, in words."""
    return f"{kib} KB" if kib < 1024 else f"{kib >> 10} MB"


def _open(document: Document) -> list[str]:
    rows = [[WAYS[way], *(spread([v and v / 1e9 for v in values(document, f"open_{where}_{way}", "bps")]) for where in PLACES)]
            for way in ("direct", "tunnel", "accel")]
    return bench.table(["one flow, tuned hosts, no limit of the line's, Gbit/s", "0 ms (no line at all)", "120 ms"], rows)


def _cold(document: Document) -> str:
    idle_s = document["effort"].get("idle_s", 0)
    return (f"Cold: after {idle_s} s without a connection." if idle_s else
            "Cold: after a fresh start, some seconds before.")


def _sizes(document: Document) -> list[str]:
    sizes = document["effort"]["sizes"]
    rows = [["direct, tuned, 0 ms", *(spread(values(document, "sizes_near", f"{kib}_s")) for kib in sizes)],
            ["direct, untuned, 120 ms", *(spread(values(document, "sizes_untuned", f"{kib}_s")) for kib in sizes)],
            *([f"split TCP, untuned, 120 ms, cold{how}",
               *(spread(values(document, f"size_cold_{way}_{kib}", "seconds")) for kib in sizes)]
              for way, how in (("accel_kernel", ", without initial-window"), ("accel", ""),
                               ("accel_rated", ", --rate 970mbit"), ("accel_kept", ", --warm"))),
            ["split TCP, untuned, 120 ms, warm", *(spread(values(document, "sizes_warm", f"{kib}_s")) for kib in sizes)]]
    return bench.table(["seconds at 1 Gbit/s, from connect() to the last byte", *map(amount, sizes)], rows)


def _crowds(document: Document) -> list[str]:
    rows = []
    for where, title in PLACES.items():
        def get(key: str, unit: float = 1.0, name: str = f"many_{where}") -> str:
            return spread([v and v / unit for v in values(document, name, key)])

        passed = {}
        for repetition in document["repetitions"]:
            passed.update(repetition.get(f"many_{where}", {}).get("bypassed", {}))
        rows.append([title, get("accelerated"), ", ".join(f"{n} {why}" for why, n in passed.items()) or "–", get("made_s"), f"{get('connect_p50_ms')}, {get('connect_p99_ms')}",
                     get("idle_resident_per_flow", 1024), f"{get('idle_stack_per_flow', 1024)}, {get('idle_streams_per_flow', 1024)}",
                     get("idle_processors"), get("busy_resident_per_flow", 1024), get("busy_kernel_tcp", 1 << 20), get("granted_bytes", 1 << 20)])
    lines = bench.table([f"{document['effort']['many']} connections at a time", "accelerated", "passed through", "made in, s", "connect, ms (p50, p99)",
                         "idle: a site's own, KB a flow", "in sockets to hosts, in streams, KB a flow", "processors",
                         "all busy with 64 KB: a site's own, KB a flow", "all TCP of both sites and hosts, MB", "windows granted, MB"], rows)
    rows = [[title, mbit_s(values(document, "stalled", f"{key}_bps")),
             *(spread(values(document, "stalled", f"{key}_{share}_ms")) for share in (50, 99))]
            for key, title in (("before", "before"), ("beside", "beside them"), ("after", "after"))]
    return lines + bench.table([f"{document['effort']['stalled']} hosts' connections that do not read, 1gbit, 0 ms", "four flows get, Mbit/s",
                                "request and response, ms, p50", "p99"], rows)


def _profile(document: Document) -> list[str]:
    """Where the processors' time goes."""
    parts = ["tunnel A, relay", "tunnel A, rest", "tunnel B, relay", "tunnel B, rest", "line, rest", "machine"]
    rows = []
    for name, title in (("accel_1gbit", "split TCP, 33304, 1gbit, 120 ms"), ("tuned_tunnel_1gbit", "tunnel, tuned, 1gbit, 120 ms"),
                        ("line_1gbit", "direct, tuned, 1gbit, 0 ms"), ("open_near_accel", "split TCP, tuned, no line"),
                        ("open_near_tunnel", "tunnel, tuned, no line"), ("open_far_accel", "split TCP, tuned, 120 ms, no limit")):
        spent = [repetition.get(name, {}).get("cpu_s_per_gb", {}) for repetition in document["repetitions"]]
        rows.append([title, *(spread([each.get(part) for each in spent]) for part in parts)])
    head = ["A: relay", "A: workers", "B: relay", "B: workers", "delay line", "machine in all"]
    lines = bench.table(["processor seconds a gigabyte", *head], rows)
    rows = []
    for way in ("direct", "tunnel", "accel"):
        spent = [repetition.get(f"short_{CLIENTS[-1]}_{way}", {}).get("cpu_us_per_connection", {}) for repetition in document["repetitions"]]
        rows.append([WAYS[way], *(spread([each.get(part) for each in spent]) for part in parts)])
    return lines + bench.table([f"processor microseconds a short connection, {CLIENTS[-1]} at a time", *head], rows)


def _others(document: Document) -> list[str]:
    base = values(document, "line_100mbit", "bps")
    ways = {"accel_window": "split TCP, 33304", "direct_tuned": "direct, BBR", "direct_cubic": "direct, CUBIC", "direct_reno": "direct, Reno"}
    lines = bench.table(["share of the line at 100 Mbit/s, 120 ms, with loss", *LOSSES],
                        [[title, *(spread(bench.ratios(values(document, f"loss_{loss}_{way}", "bps"), base[:1])) for loss in LOSSES)]
                         for way, title in ways.items()])
    lines += bench.table(["connections a second, 0 ms", *(WAYS[way] for way in ("direct", "tunnel", "accel"))],
                         [[f"{clients} at a time", *(spread(values(document, f"short_{clients}_{way}", "per_s"))
                                                     for way in ("direct", "tunnel", "accel"))] for clients in CLIENTS])
    pinged = [("alone", "idle", "tunnel"), ("beside four bridged flows", "busy", "tunnel"),
              ("beside four accelerated flows", "busy", "accel"), ("…bridged, --rate 90mbit", "busy", "tunnel_paced"),
              ("…accelerated, --rate 90mbit", "busy", "accel_paced")]
    return lines + bench.table(["ping through the tunnel at 100 Mbit/s, 120 ms, ms", "p50", "p99", "the flows get, Mbit/s"],
                               [[title, *(spread(values(document, f"latency_{way}", f"{key}_{share}_ms")) for share in (50, 99)),
                                 "–" if key == "idle" else mbit_s(values(document, f"latency_{way}", "bps"))]
                                for title, key, way in pinged])


def _stripes(document: Document) -> list[str]:
    """One flow over several streams."""
    rows = [[title, *(f"{mbit_s(values(document, f'stripes_{loss}_{way}', 'bps')[:1])} ({spread(values(document, f'stripes_{loss}_{way}', 'stripes')[:1])})"
                      for loss in STRIPED_LOSSES)] for way, title in STRIPED.items()]
    return bench.table(["congestion control between the sites, stripes: Mbit/s at 100 Mbit/s, 120 ms (most stripes)",
                        *(f"loss {loss}" for loss in STRIPED_LOSSES)], rows)


def markdown(document: Document) -> str:
    """The page."""
    errors = sorted({f"- {name}: {text}" for repetition in document["repetitions"]
                     for name, text in repetition["errors"].items()})
    return bench.page([
        "# Split TCP over 120 ms", "", bench.commit_line(document), bench.machine_line(document),
        f"- {bench.disturbances(document)}",
        f"- {bench.repetitions_text(document)}. Steady state: {document['effort']['steady_s']} s after a ramp of "
        f"{document['effort']['ramp_s']} s. {_cold(document)}",
        "- Hosts: receive buffers of 56,200 bytes, no window scaling, CUBIC; the line is `longhaul shape`, 60 ms each way.",
        *_rates(document), *_open(document), *_times(document), *_sizes(document), *_others(document), *_stripes(document),
        *_crowds(document),
        "## Where the processors' time goes", *_profile(document),
        "Threads as the kernel accounts them; soft interrupts are in the machine's figure only, and so is other work.", "",
        "## Thresholds", *bench.threshold_table(document),
        *(["## Not measured", "", *errors] if errors else [])])
