# SPDX-License-Identifier: GPL-3.0-or-later
"""What `scripts/bench-tunnel` publishes: circumstances of the run, tables, and the thresholds it is held against."""
from __future__ import annotations

import re
from typing import Any, Callable, Sequence

import longhaul_bench as bench
from longhaul_bench import Document, Values, median, ratios, spread
from longhaul_rivals import LAN_MTU

GIGA = 1e9

# What is promised of the sealed tunnel.
TIMES_BEST_PEER = 4.0
LEAST_BPS = 4e9
YARDSTICK_BPS = 14e9        # of kernel VXLAN on a wire that does not segment, where LEAST_BPS is asked for
SEALED = ("longhaul-ipsec-mb", "longhaul-openssl")
NO_WORSE_THAN = ("openvpn", "fastd")


# ------------------------------------------------------------------ circumstances

def circumstances(command: str, effort: dict[str, Any]) -> Document:
    """The document's head: where, when, how and of what."""
    document = bench.circumstances(command, effort)
    document["lan_mtu"] = LAN_MTU
    document["versions"].update({"openssl": bench.package("libssl3"),
                                 "ipsec-mb": bench.package("libipsec-mb-dev")})
    return document


# ------------------------------------------------------------------ figures

def _cpu_per_gb(flow: dict[str, Any]) -> float:
    return flow["machine_cpu_s"] / flow["bytes"] * GIGA


# What is taken from a repetition: its measurement, and the figure of it.
FIGURES: dict[str, tuple[str, Callable[[dict[str, Any]], float]]] = {
    "single_gbps": ("single", lambda m: m["rate_bps"] / GIGA),
    "four_gbps": ("four", lambda m: m["rate_bps"] / GIGA),
    "udp_kpps": ("udp", lambda m: m["received_pps"] / 1e3),
    "udp_arrived_kpps": ("udp", lambda m: m["arrived_pps"] / 1e3),
    "p50_us": ("ping", lambda m: m["p50_us"]),
    "p99_us": ("ping", lambda m: m["p99_us"]),
    "cpu_s_per_gb": ("single", _cpu_per_gb),
    "cpu_a_s_per_gb": ("single", lambda m: m["process_cpu_s"]["A"] / m["bytes"] * GIGA),
    "cpu_b_s_per_gb": ("single", lambda m: m["process_cpu_s"]["B"] / m["bytes"] * GIGA),
    "rss_a_mib": ("memory", lambda m: m["A"]["rss_bytes"] / 2**20),
    "rss_b_mib": ("memory", lambda m: m["B"]["rss_bytes"] / 2**20),
}


def values(entry: dict[str, Any], figure: str) -> Values:
    """A figure in each repetition, None where it could not be had."""
    measurement, take = FIGURES[figure]
    found: Values = []
    for repetition in entry["repetitions"]:
        try:
            found.append(take(repetition[measurement]))
        except (KeyError, ZeroDivisionError):
            found.append(None)
    return found


# ------------------------------------------------------------------ thresholds

def _least(text: str, single: Values, yardstick: Values) -> dict[str, Any]:
    """The threshold in Gbit/s, which is asked only of a machine that is fast enough."""
    found = bench.threshold(text, single, LEAST_BPS / GIGA)
    reached = median(yardstick)
    if not found["met"] and (reached is None or reached * GIGA < YARDSTICK_BPS):
        found["met"] = None
    found["remark"] = (f"asked where kernel VXLAN reaches {YARDSTICK_BPS / GIGA:g} Gbit/s; here it "
                       + (f"reached {bench.number(reached)}" if reached is not None else "was not measured"))
    return found


def thresholds(document: Document) -> list[dict[str, Any]]:
    """Each promise, what was measured, and whether it was kept; decided by the median, within repetitions."""
    entries = {entry["name"]: entry for entry in document["contenders"]}
    nothing: dict[str, Any] = {"repetitions": [], "title": ""}
    peers = [entry for entry in entries.values() if entry["encrypted"] and entry["userspace"] and not entry["ours"]
             and median(values(entry, "single_gbps"))]
    best = max(peers, key=lambda entry: median(values(entry, "single_gbps")) or 0, default=nothing)
    yardstick = values(entries.get("vxlan-offloaded", nothing), "single_gbps")
    found = []
    for name in SEALED:
        if not entries.get(name, nothing)["repetitions"]:
            continue
        ours, who = entries[name], name.replace("longhaul-", "sealed, ")
        single = values(ours, "single_gbps")
        found.append(bench.threshold(
            f"{who}: single flow ÷ the best encrypted user-space peer ({best['title'] or 'none'})",
            ratios(single, values(best, "single_gbps")), TIMES_BEST_PEER))
        found.append(_least(f"{who}: single flow, Gbit/s", single, yardstick))
        found.append(bench.threshold(
            f"{who}: the same as a ratio, single flow ÷ kernel VXLAN on a wire that does not segment",
            ratios(single, yardstick), round(LEAST_BPS / YARDSTICK_BPS, 3)))
        for rival in NO_WORSE_THAN:
            other = entries.get(rival, nothing)
            for figure, what, most in (("udp_kpps", "64-byte UDP", False), ("p50_us", "ping p50", True),
                                       ("p99_us", "ping p99", True)):
                found.append(bench.threshold(f"{who}: {what} ÷ {other['title'] or rival}",
                                             ratios(values(ours, figure), values(other, figure)), 1.0, most))
    return found


# ------------------------------------------------------------------ the page

def _title(entry: dict[str, Any]) -> str:
    return f"**{entry['title']}**" if entry["ours"] else entry["title"]


def _figures(document: Document, head: Sequence[str], figures: Sequence[str]) -> list[str]:
    rows = []
    for entry in document["contenders"]:
        cells = [spread(values(entry, figure)) for figure in figures]
        if entry["error"]:
            cells[0] = "could not run, see below"
        rows.append([_title(entry), *cells])
    return bench.table(["", *head], rows)


def _ratio_table(document: Document) -> list[str]:
    """The first sealed contender beside each other one."""
    entries = [entry for entry in document["contenders"] if entry["repetitions"]]
    ours = next((entry for name in SEALED for entry in entries if entry["name"] == name), None)
    if not ours or len(entries) < 2:
        return []
    figures = ("single_gbps", "four_gbps", "udp_kpps", "udp_arrived_kpps", "p50_us", "p99_us", "cpu_s_per_gb")
    rows = [[_title(entry), *(spread(ratios(values(ours, figure), values(entry, figure))) for figure in figures)]
            for entry in entries if entry is not ours]
    return ["", f"## Ratios: {ours['title']} ÷ …", "",
            "Within repetitions. Above 1 is better in the first four columns, below 1 in the last three.",
            *bench.table(["", "1 flow", "4 flows", "UDP received", "UDP arrived", "ping p50", "ping p99", "CPU s/GB"], rows)]


def _threshold_table(document: Document) -> list[str]:
    return ["", "## Held against", "",
            "Single flow ≥ 4× the best encrypted user-space peer, and ≥ 4 Gbit/s where kernel VXLAN reaches 14; 64-byte",
            "UDP and latency no worse than OpenVPN's and fastd's. Medians decide.",
            *bench.threshold_table(document)]


def _failures(document: Document) -> list[str]:
    lines = []
    for entry in document["contenders"]:
        if entry["error"]:
            lines.append(f"- {entry['title']} could not run: {entry['error']}")
        for number, repetition in enumerate(entry["repetitions"], 1):
            lines += [f"- {entry['title']}, repetition {number}, {what}: {why}"
                      for what, why in repetition["errors"].items()]
    return ["", "## What failed", "", *lines] if lines else []


def _head(document: Document) -> list[str]:
    versions = document["versions"]
    rivals = dict.fromkeys(re.sub(r" \[.*| - https:.*", "", version) for entry in document["contenders"]
                           for version in entry["versions"])
    return [
        "# The tunnel beside its peers", "",
        bench.machine_line(document), bench.commit_line(document),
        f"- Versions: {versions['longhaul']}; OpenSSL {versions['openssl']}, ipsec-mb {versions['ipsec-mb']}; "
        f"{', '.join(rivals)}; {versions['iperf3']}.",
        f"- {bench.disturbances(document)}", "",
        bench.repetitions_text(document) + ". Two sites and their hosts in network namespaces, all on this machine, so",
        "hosts, both tunnel ends and the wire share its cores. The wire carries packets of real size: senders segment,",
        f"receivers merge. Hosts have an MTU of {document['lan_mtu']}, so that nobody fragments, and "
        f"{document['machine']['congestion_control']} as congestion control.",
    ]


def _explained(document: Document) -> list[str]:
    effort = document["effort"]
    return [
        f"- 1 flow, 4 flows: TCP goodput hA → hB by iperf3, {effort['single_s']} and {effort['four_s']} s after "
        f"{effort['omit_s']} s omitted.",
        f"- 64-byte UDP: `iperf3 -u -b 0 -l 18` for {effort['udp_s']} s. 18 bytes of payload make 60-byte frames, 64 with "
        "the FCS that a wire would add. Received: by",
        "  the application at hB, in thousands a second. Arrived: at hB's interface; the rest overran the application's",
        "  socket buffer, which the kernel's default size bounds. The thresholds are held against what was received.",
        f"- ping: {effort['pings']} round trips at 5 ms between idle hosts, each repetition.",
    ]


def markdown(document: Document) -> str:
    """The page."""
    document["thresholds"] = thresholds(document)
    lines = [
        *_head(document), "", "## Throughput and latency", *_figures(
            document, ["1 flow, Gbit/s", "4 flows, Gbit/s", "64-byte UDP received, kpps", "…arrived, kpps",
                       "ping p50, µs", "ping p99, µs"],
            ["single_gbps", "four_gbps", "udp_kpps", "udp_arrived_kpps", "p50_us", "p99_us"]),
        *_explained(document), *_ratio_table(document), *_threshold_table(document),
        "", "## Processor time and memory", *_figures(
            document, ["whole machine, s/GB", "process at A, s/GB", "process at B, s/GB", "memory A, MiB",
                       "memory B, MiB"],
            ["cpu_s_per_gb", "cpu_a_s_per_gb", "cpu_b_s_per_gb", "rss_a_mib", "rss_b_mib"]),
        "- Seconds of one core per 10⁹ bytes of payload during the single flow. *Whole machine* is the comparable one: all",
        "  cores, kernel and user, with iperf3 at both ends. *Process* is user and system time of the tunnel's own process",
        "  at the sending (A) and receiving (B) site; what the kernel does for it in soft interrupts is in neither.",
        "- Memory: resident, after the repetitions' load.",
        *_failures(document), "", "Raw figures: [tunnel.json](tunnel.json).",
    ]
    return bench.page(lines)
