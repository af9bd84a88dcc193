# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of results of bench-diagnose."""
from __future__ import annotations

import math
from typing import Iterable

import longhaul_bench as bench
from longhaul_bench import Document
from longhaul_corpus import PLACES
from longhaul_readers import FRAME, LONGER_MOST

HEALTHY = ("path", "application", "start")
# Of what a healthy flow's capture may be like, and its hosts; the others say that something is wrong.
HARMLESS = ("super_segments", "several_places", "time_backwards", "mid_capture")
RIVALS = ("tcptrace", "tshark")
ASKED = {"headers only": (5, 100), "full-size packets": (3, 100)}      # times as fast as tcptrace, tshark
SHARES = {
    "receive_window": ("receive window, with a closed one", "`tcpi_rwnd_limited`", ("receive_window", "zero_window")),
    "send_buffer": ("send buffer", "sampled `tcp_info`", ("send_buffer",)),
    "application": ("application", "the program's log", ("application",)),
}


def percentile(values: Iterable[float], part: float) -> float:
    """The value below which this part of them is."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else math.nan


def seen(result: dict, place: str) -> bool:
    """What is too big for the path never comes to the receiver: there is nothing to be told from."""
    return result["label"] != "healthy" and not (result["label"] == "pmtu_black_hole" and place == "receiver")


def met(right: bool) -> str:
    """Whether a threshold was met."""
    return "met" if right else "**missed**"


def _share(of: Iterable[bool]) -> float:
    """How much of it is true."""
    each = list(of)
    return sum(each) / len(each) if each else math.nan


def matrix(results: list[dict], place: str) -> list[str]:
    """The confusion matrix of a place."""
    results = [result for result in results if seen(result, place)]
    labels = list(dict.fromkeys(result["label"] for result in results))
    named = [*labels, *sorted({result["named"][place] for result in results} - set(labels))]
    right = sum(result["named"][place] == result["label"] for result in results)
    least, rows = 1.0, []
    for label in labels:
        of = [result["named"][place] for result in results if result["label"] == label]
        least = min(least, of.count(label) / len(of))
        rows.append(f"| {label} | {len(of)} | {of.count(label) / len(of):.0%} | "
                    + " | ".join(str(of.count(name) or "") for name in named) + " |")
    share = right / max(len(results), 1)
    return [f"## Captured at the {place}: {right} of {len(results)} right ({share:.1%})", "",
            f"95 % over all: {met(share >= 0.95)}; each kind 90 %: {met(least >= 0.9)}.", "",
            "| label | runs | right | " + " | ".join(named) + " |", "|---" * (len(named) + 3) + "|", *rows, ""]


def healthy_flows(results: list[dict], place: str) -> list[tuple[str, list[str]]]:
    """The verdict and the kinds of findings of each."""
    return [flow for result in results if result["label"] == "healthy" for flow in result["healthy"][place]]


def is_alarm(flow: tuple[str, list[str]]) -> bool:
    """Whether anything is said of a healthy flow that blames somebody."""
    limit, found = flow
    return limit not in HEALTHY or bool(set(found) - set(HARMLESS))


def healthy(results: list[dict]) -> list[str]:
    """False alarms."""
    lines = ["## Healthy flows", "", "Connections over a line with room, which no host held up and of which nothing was sent "
             "again: an alarm is any verdict but " + ", ".join(f"`{name}`" for name in HEALTHY)
             + ", and any finding that blames hosts or path.", "", "| captured at | flows | alarms | |", "|---|---|---|---|"]
    for place in PLACES:
        flows = healthy_flows(results, place)
        alarms = sum(map(is_alarm, flows))
        lines.append(f"| {place} | {len(flows)} | {alarms} | at most 1 %: {met(alarms <= len(flows) / 100)} |")
    return [*lines, ""]


def lossy(results: list[dict]) -> list[dict]:
    """Runs in which the sending kernel has sent more than came to the receiving one, but those whose end never came."""
    return [result for result in results if result["lost"] and result["label"] not in ("healthy", "pmtu_black_hole")]


def losses(results: list[dict]) -> list[str]:
    """How exactly losses are counted."""
    of = lossy(results)
    exact = sum(result["lost"] == result["counted"] for result in of)
    largest = max((abs(result["lost"] - result["counted"]) for result in of), default=0)
    elsewhere = [result for result in of if result["lost"] != result["lost_at_line"]]
    hosts = sum(abs(result["lost"] - result["lost_at_line"]) for result in elsewhere)
    return ["## Losses", "", "How many were lost the kernels say: of data segments, those that the sender's has sent "
            "(`tcpi_data_segs_out`) less those that came to the receiver's (`tcpi_data_segs_in`), wherever they were lost. "
            f"In {len(of) - len(elsewhere)} of {len(of)} runs with losses that is what the line's frame log has"
            + (f"; in the others {hosts} were lost in the hosts, before or behind the line." if hosts else "."), "",
            f"Of {len(of)} runs with losses, captured at the sender, the count of lost segments is the "
            f"kernels' in {exact}: {met(exact == len(of))}. Largest difference {largest}, of "
            f"{sum(result['lost'] for result in of)} in all. Copies found where there are none: "
            f"{sum(result['duplicates'] > 0 for result in results)} runs.", ""]


def share_errors(results: list[dict], name: str, place: str) -> list[float]:
    """Points between what is told and the label."""
    return [100 * abs(result["told"][place][name] - result["known"][name]) for result in results
            if result["label"] in SHARES[name][2] and (name != "receive_window" or result["congestion"] != "bbr")]


def shares(results: list[dict]) -> list[str]:
    """Errors of shares of time."""
    lines = ["## Shares of time", "", "Points of percent between what is told and the label, of runs of that label; 5 in the "
             "median and 10 at p95 are asked for.", "",
             "| time of | held against | captured at | runs | median | p95 | |", "|---|---|---|---|---|---|---|"]
    for name, (words, against, _) in SHARES.items():
        for place in PLACES:
            errors = share_errors(results, name, place)
            middle, high = percentile(errors, 0.5), percentile(errors, 0.95)
            lines.append(f"| {words} | {against} | {place} | {len(errors)} | {middle:.1f} | {high:.1f} | "
                         f"{met(middle <= 5 and high <= 10)} |")
    return [*lines, "", "The kernel's `tcpi_sndbuf_limited` begins only where the very last of the data leaves while the program "
            "is refused space, and ends with the next ACK: a few percent of the time in transfers that nothing else holds. So "
            "the kernel is asked every 2 ms whether the socket takes no more, or took none within the last round trip (5 ms if "
            "that is shorter), while congestion window and receive window have room for all it holds. Runs in which the "
            "program itself was too slow to fill its buffer in a tenth of the time are left out. The application's time is the "
            "program's sleep and what it needs besides, but for time in which the kernel still has more to send than the last "
            "write (and than a segment, which Nagle's algorithm may hold back). `tcpi_rwnd_limited` is "
            "compared for CUBIC and Reno alone: a BBR sender is paced at the window's rate, and the kernel counts only the "
            "moments at its edge.", ""]


def agreement(compared: list[dict]) -> list[str]:
    """Facts that tcptrace and tshark report, too."""
    lines = ["## The facts that tcptrace and tshark report, too", "",
             f"{len(compared)} captures at the sender. Equal means equal numbers; of round trips: within 0.1 ms (tcptrace prints "
             "tenths) or 5 %.", "", "| fact | tcptrace | tshark |", "|---|---|---|"]
    facts = list(dict.fromkeys(fact for one in compared for fact in one["equal"]))
    for fact in facts:
        cells = []
        for program in ("tcptrace", "tshark"):
            told = [one["equal"][fact][program] for one in compared if program in one["equal"][fact]]
            cells.append(f"{sum(told)} of {len(told)} equal" if told else "not reported")
        lines.append(f"| {fact} | {cells[0]} | {cells[1]} |")
    reasons: dict[str, list[str]] = {}
    for one in compared:
        for reason in one["why"]:
            reasons.setdefault(reason, []).append(one["capture"])
    lines += ["", "What differs, and why:", ""]
    lines += [f"- {reason} ({len(where)}: {', '.join(where[:4])}{' …' if len(where) > 4 else ''})"
              for reason, where in reasons.items()] or ["- nothing"]
    return [*lines, ""]


def idle_flow(measured: dict) -> float:
    """Bytes that one more idle connection takes."""
    half, flows = measured["flows"]
    return (flows["memory"] - half["memory"]) / (flows["flows"] - half["flows"])


def speed(measured: dict) -> list[str]:
    """Packets a second, and memory."""
    lines = ["## Speed", "", "Processor time on one core, file in page cache, the same file for all, in turns; medians of "
             f"{measured['repetitions']}. tshark has the first {measured['tshark_packets']:,} packets of the same kind of file. "
             "`longhaul diagnose` and tcptrace are held against each other as they are used without options, which is brief; what "
             "it takes to be told all of every flow, `--json` and `-l -r`, stands beside them. Read alone is what "
             "it takes to copy the file out of the page cache and look at nothing: no program that copies all of it is faster.", "",
             "Headers only and super-segments are of captures at the sender, three of `path` and three of `congestion`, cut behind the "
             "headers and with all bytes; there a host has several segments as one packet. Where segments are lost and SACKed in all "
             "of them (six of `congestion`), there is more to look at, for us more than for tcptrace; until 2026-11-21 that row was the "
             "one that was held (4.3 × tcptrace then), since by the order of kinds all captures were of that one. Full-size packets are "
             "of captures at the receiver behind a line that is the "
             f"bottleneck, with all bytes: those of which at most {LONGER_MOST * 100:.0f} % of the packets are longer than a frame of "
             f"{FRAME} bytes, merged by the receiving host.", "",
             "| capture | packets | longer than a frame | bytes of each in the file | MB | `longhaul diagnose` Mpackets/s | `--json` | "
             "tcptrace | tcptrace -l -r | tshark | read alone | |",
             "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for name, row in measured["files"].items():
        rates = row["rates"]
        ratios = [rates["longhaul"] / rates[other] for other in RIVALS]
        told = [f"{ratio:.{digits}f} × {other} ({f'{asked} asked for: {met(ratio >= asked)}' if asked else 'none asked for'})"
                for ratio, other, asked, digits in zip(ratios, RIVALS, ASKED.get(name, (0, 0)), (1, 0))]
        lines.append(f"| {name} | {row['packets']:,} | {row['longer']:.1%} | {row['bytes'] / row['packets'] - 16:.0f} | "
                     f"{row['bytes'] / 1e6:.0f} | {rates['longhaul']:.2f} | {rates['longhaul --json']:.2f} | {rates['tcptrace']:.2f} | "
                     f"{rates['tcptrace -l -r']:.2f} | {rates['tshark']:.3f} | {rates['read']:.2f} | {', '.join(told)}; "
                     f"reading alone is {rates['read'] / rates['tshark']:.0f} × tshark |")
    half, flows = measured["flows"]
    idle = idle_flow(measured)
    return [*lines, "", "## Many flows", "", f"{flows['flows']:,} connections of {flows['packets']:,} packets, of which none ends: "
            f"{flows['seconds']:.1f} s, {flows['memory'] / 1e6:.0f} MB at most. With {half['flows']:,} of them it takes "
            f"{half['memory'] / 1e6:.0f} MB: {idle:.0f} bytes for each flow that is idle, the table's part in it: at most 1024: "
            f"{met(idle <= 1024)}. The rest is what is kept of those that are busy.", ""]


def figures(document: Document) -> list[dict]:
    """Each promise with what was measured."""
    def threshold(text: str, value: float, needed: float, most: bool = False) -> dict:
        return bench.threshold(text, [None if math.isnan(value) else value], needed, most)

    runs, found = document["runs"], []
    for place in PLACES:
        of = [run for run in runs if seen(run, place)]
        labels = {run["label"] for run in of}
        right = {label: _share(run["named"][place] == label for run in of if run["label"] == label) for label in labels}
        found += [threshold(f"dominant cause right, {place}", _share(run["named"][place] == run["label"] for run in of), 0.95),
                  threshold(f"…of the kind that is told worst, {place}", min(right.values(), default=math.nan), 0.9)]
    for name, (words, _, _) in SHARES.items():
        for place in PLACES:
            errors = share_errors(runs, name, place)
            found += [threshold(f"share of time, {words}, {place}: points, median", percentile(errors, 0.5), 5, True),
                      threshold(f"…p95, {place}", percentile(errors, 0.95), 10, True)]
    found.append(threshold("losses counted exactly, share of runs",
                           _share(run["lost"] == run["counted"] for run in lossy(runs)), 1))
    for place in PLACES:
        flows = healthy_flows(runs, place)
        found.append(threshold(f"false alarms, {place}, share of healthy flows", _share(map(is_alarm, flows)), 0.01, True))
    for name, asked in ASKED.items():
        rates = document["speed"]["files"][name]["rates"]
        found += [threshold(f"speed, {name}, times {other}", rates["longhaul"] / rates[other], least)
                  for other, least in zip(RIVALS, asked)]
    found.append(threshold("memory of an idle flow, bytes", idle_flow(document["speed"]), 1024, True))
    return found


def page(document: Document) -> str:
    """All of it. Adds the thresholds to the document."""
    document["thresholds"] = figures(document)
    runs, effort = document["runs"], document["effort"]
    fresh = effort["seeds"] == "report"
    left_out = ", ".join(f"{name} {count}" for name, count in document["left_out"].items() if count) or "none"
    lines = ["# Diagnosis, held against known limits", "", bench.machine_line(document), bench.commit_line(document),
             f"- {bench.disturbances(document)}", "",
             "Real TCP of this kernel over `longhaul shape`, round trips of 1 to 300 ms (`nagle_delayed_ack`: to 60), CUBIC, Reno and "
             "BBR (`congestion`: CUBIC and Reno, since BBR does not slow down for such losses); delays, rates, windows, buffers and "
             f"congestion control are drawn from seeds, {effort['first_seed']} and on"
             f"{', that no threshold was tuned on' if fresh else ''}. A run counts if the kernels' `tcp_info`, the "
             "sending program's log and the line's frame log agree with its label; left out: "
             f"{left_out}.", "", "## Held against", *bench.threshold_table(document), ""]
    for place in PLACES:
        lines += matrix(runs, place)
    lines += ["A black hole is not looked for at the receiver: what is too big never comes there.", ""]
    return bench.page([*lines, *healthy(runs), *losses(runs), *shares(runs), *agreement(document["compared"]),
                       *speed(document["speed"])])
