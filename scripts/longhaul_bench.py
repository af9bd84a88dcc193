# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks share: the machine's circumstances, medians with their spread, thresholds, publishing."""
from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple, NoReturn, Sequence

from longhaul_lab import ROOT, LabError, longhaul

IDLE_SHARE = 0.05           # a machine that is busier between measurements, on average, is not idle
LOOK_AROUND_S = 0.3         # how long to watch what else the machine does, before each round
TICK_S = 1 / os.sysconf("SC_CLK_TCK")

Document = dict[str, Any]
Values = list["float | None"]       # one for each repetition


# ------------------------------------------------------------------ circumstances

def first_line(*cmd: str) -> str:
    """The first line that a command prints; empty if there is no such command."""
    try:
        out = subprocess.run(cmd, capture_output=True, text=True, check=False, cwd=ROOT).stdout.strip()
    except OSError:
        return ""
    return out.splitlines()[0] if out else ""


def package(name: str) -> str:
    """The version of an installed Debian package."""
    return first_line("dpkg-query", "-W", "-f", "${Version}", name)


def _commit() -> str:
    if "LONGHAUL" in os.environ:
        return f"unknown (the program is {longhaul()})"
    changed = subprocess.run(["git", "status", "--porcelain", "--", "lib", "frob", "shaper", "tunnel", "accel",
                              "capture", "Makefile"],
                             capture_output=True, text=True, check=False, cwd=ROOT).stdout.strip()
    return first_line("git", "rev-parse", "--short=12", "HEAD") + (" with changes" if changed else "")


def circumstances(command: str, effort: dict[str, Any]) -> Document:
    """A document's head: where, when, how and of what."""
    models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    release = re.search(r'^PRETTY_NAME="(.*)"$', Path("/etc/os-release").read_text(), re.MULTILINE)
    return {
        "version": 1, "command": command, "commit": _commit(), "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "effort": effort, "load_average": list(os.getloadavg()),
        "machine": {"processor": models[0] if models else platform.machine(), "cores": os.cpu_count(),
                    "kernel": platform.release(), "system": release.group(1) if release else "",
                    "congestion_control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
                    "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")},
        "versions": {"longhaul": first_line(longhaul(), "--version"), "iperf3": first_line("iperf3", "--version")},
    }


class Machine(NamedTuple):
    """Seconds since the start, of all processors together."""

    busy_s: float
    idle_s: float
    steal_s: float


def machine_time() -> Machine:
    """What all processors have done so far: user, system, interrupts and soft interrupts are busy."""
    user, nice, system, idle_, iowait, irq, softirq, steal = (
        int(word) * TICK_S for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    return Machine(user + nice + system + irq + softirq, idle_ + iowait, steal)


def look_around() -> float:
    """The share of the machine that is busy while nothing is measured."""
    before = machine_time()
    time.sleep(LOOK_AROUND_S)
    after = machine_time()
    busy, idle_ = after.busy_s - before.busy_s, after.idle_s - before.idle_s
    return busy / (busy + idle_) if busy + idle_ else 0.0


def idle(document: Document) -> bool:
    """Whether the machine was idle between measurements."""
    return statistics.fmean(document["foreign_busy_share"]) <= IDLE_SHARE


def disturbances(document: Document) -> str:
    """A sentence about what else the machine did."""
    foreign = document["foreign_busy_share"]
    text = (f"Between measurements the machine was {statistics.fmean(foreign):.0%} busy (at most {max(foreign):.0%}); "
            f"load average at the start {document['load_average'][0]:.2f}.")
    return text if idle(document) else f"{text} **It was not idle: other work shows in these figures.**"


# ------------------------------------------------------------------ figures

def ratios(left: Values, right: Values) -> Values:
    """left ÷ right within each repetition."""
    return [x / y if x is not None and y else None for x, y in zip(left, right)]


def median(found: Values) -> float | None:
    """The median of what there is."""
    there = [value for value in found if value is not None]
    return statistics.median(there) if there else None


def number(value: float) -> str:
    """Three digits, or all in front of the point."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(found: Values) -> str:
    """Median (least–most)."""
    there = [value for value in found if value is not None]
    if not there:
        return "–"
    middle = number(statistics.median(there))
    return f"{middle} ({number(min(there))}–{number(max(there))})" if len(there) > 1 else middle


# ------------------------------------------------------------------ thresholds

def threshold(text: str, found: Values, needed: float, most: bool = False) -> dict[str, Any]:
    """A promise, what was measured, and whether it was kept; decided by the median."""
    middle = median(found)
    kept = None if middle is None else (middle <= needed if most else middle >= needed)
    return {"threshold": text, "needed": needed, "at_most": most, "measured": found, "median": middle, "met": kept,
            "remark": ""}


def met(each: dict[str, Any]) -> str:
    """Whether a promise was kept, as a word."""
    if each["met"] is None:
        return "not measured" if each["median"] is None else "does not apply"
    return "yes" if each["met"] else "**no**"


def threshold_table(document: Document) -> list[str]:
    """The document's thresholds, and a word of caution if the machine was not idle."""
    rows = []
    for each in document["thresholds"]:
        asked = f"{'≤' if each['at_most'] else '≥'} {each['needed']:g}"
        remark = f"; {each['remark']}" if each["remark"] else ""
        rows.append([each["threshold"], asked, spread(each["measured"]), met(each) + remark])
    return [*([] if idle(document) else ["", "**Provisional**: the machine was not idle, and other work does not slow all alike."]),
            *table(["threshold", "asked", "measured", "met"], rows)]


# ------------------------------------------------------------------ the page

def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table's lines; the first column is text, the others figures."""
    align = ["---"] + ["---:"] * (len(head) - 1)
    return ["", *("| " + " | ".join(row) + " |" for row in [head, align, *rows]), ""]


def machine_line(document: Document) -> str:
    """The machine, as an item of the page's head."""
    machine = document["machine"]
    return f"- Machine: {machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}, {machine['system']}."


def commit_line(document: Document) -> str:
    """Commit, date and command, as an item of the page's head."""
    return (f"- Commit {document['commit']}, {document['date']}; command: `{document['command']}` "
            f"({document['duration_s']:.0f} s).")


def repetitions_text(document: Document) -> str:
    """What a figure of the tables is."""
    repetitions = document["effort"]["repetitions"]
    return (f"Median (least–most) of {repetitions} interleaved repetitions" if repetitions > 1
            else "One repetition, so without spread")


def page(lines: Sequence[str]) -> str:
    """Lines as a page, without empty lines in a row."""
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


# ------------------------------------------------------------------ the run

def progress(text: str) -> None:
    """To the terminal, for whoever waits."""
    print(text, file=sys.stderr, flush=True)


def brief(error: BaseException) -> str:
    """An error's first line, and its last where that says more."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines[:1] + lines[-1:])) or type(error).__name__


def _interrupted(signalled: int, _: object) -> NoReturn:
    """End by the way of KeyboardInterrupt, and let nothing disturb the cleaning up."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(signalled)


def add_arguments(parser: argparse.ArgumentParser, name: str, repetitions: int) -> None:
    """The options that all benchmarks have; name is of the files they publish."""
    parser.add_argument("--quick", action="store_true", help="one short repetition, printed and not published")
    parser.add_argument("--repetitions", type=int, metavar="N", help=f"({repetitions}; with --quick 1)")
    parser.add_argument("--output", metavar="DIR", help=f"publish {name}.md and {name}.json there (results)")
    parser.add_argument("--render", metavar="FILE", help=f"measure nothing; print the table of a {name}.json")


def effort(args: argparse.Namespace, parser: argparse.ArgumentParser, full: Any, quick: Any) -> Any:
    """How much is to be measured: one of two named tuples with a field repetitions, as the options say."""
    chosen = quick if args.quick else full
    if args.repetitions is None:
        return chosen
    if args.repetitions < 1:
        parser.error("--repetitions must be at least 1")
    return chosen._replace(repetitions=args.repetitions)


def publish(name: str, args: argparse.Namespace, partial: bool, measure: Callable[[str], Document],
            markdown: Callable[[Document], str], program: str = "") -> int:
    """Measure, print and publish; returns the exit status. partial: not all is measured, so only printed.

    measure is given the command as it is to be cited: the benchmark is called as its files are, or as program says.
    """
    program = f"bench-{program or name}"
    if args.render:
        print(markdown(json.loads(Path(args.render).read_text(encoding="utf-8"))), end="")
        return 0
    output = args.output or (None if partial else str(ROOT / "results"))
    if output:
        Path(output).mkdir(parents=True, exist_ok=True)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _interrupted)
    command = f"make {program}" if len(sys.argv) == 1 else shlex.join([f"scripts/{program}", *sys.argv[1:]])
    begun = time.monotonic()
    try:
        document = measure(command)
    except KeyboardInterrupt as signalled:
        print(f"\n{program}: interrupted; everything is taken down", file=sys.stderr)
        return 128 + (signalled.args[0] if signalled.args else signal.SIGINT)
    except (LabError, AssertionError, OSError) as error:
        print(f"\n{program}: {error}", file=sys.stderr)
        return 1
    document["duration_s"] = round(time.monotonic() - begun, 1)
    text = markdown(document)
    print(text, end="")
    if output:
        Path(output, f"{name}.md").write_text(text, encoding="utf-8")
        Path(output, f"{name}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n",
                                                encoding="utf-8")
        progress(f"published in {output}/{name}.md and {name}.json after {document['duration_s']:.0f} s")
    return 0
