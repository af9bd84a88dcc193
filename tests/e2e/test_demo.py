# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration: it shows what it promises, and cleans up when interrupted."""
from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import longhaul_bars as bars
from longhaul_lab import ROOT
from traces import Traces

DEMO = [str(ROOT / "scripts" / "demo"), "--seconds", "1", "--megabytes", "4"]
MB = 1 << 20


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    """The environment to run the demonstration in."""
    return Traces(tmp_path)


@pytest.mark.timeout(200)
def test_the_demonstration_keeps_its_promises(program: str, traces: Traces, tmp_path: Path) -> None:
    picture = tmp_path / "far.svg"
    out = subprocess.run([*DEMO, "--far-megabytes", "1", "--whole-megabytes", "4", "--svg", str(picture),
                          "--json", str(tmp_path / "out.json")], env=traces.env, capture_output=True,
                         text=True, timeout=180, check=False)
    assert out.returncode == 0, out.stdout + out.stderr
    assert "02 04 05 b4 = 1460" in out.stdout and "02 04 05 50 = 1360" in out.stdout
    assert "\033" not in out.stdout
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["version"] == 1 and report["ok"] is True
    assert all(row["ok"] for row in report["results"]) and len(report["results"]) >= 10
    assert_all_ways_were_taken(report["far"], out.stdout, picture)
    traces.assert_gone()


def assert_all_ways_were_taken(far: dict[str, Any], printed: str, picture: Path) -> None:
    """The same transfer by each way: whole, to windows of 2008, accelerated where it was to be; in table and pictures."""
    ways = {row["way"]: row for row in far["ways"]}
    assert list(ways) == ["direct", "tunnel", "wscale", "wscale_2008", "accel"]
    assert (far["bytes"], far["later"]["bytes"]) == (MB, 4 * MB)
    for row in [*ways.values(), far["later"]]:
        assert row["sha256_sent"] == row["sha256_received"]
    assert len({row["sha256_sent"] for row in ways.values()}) == len(ways)
    for key, row in ways.items():
        rewritten = key in ("wscale", "wscale_2008")
        # How near to its end a window comes within 1 MB is up to how hB's kernel counts the memory of what arrives.
        assert row["bytes"] == MB and 33304 // 2 < row["advertised_window"] <= 33304
        assert (row["advertised_scale"], row["told_scale"]) == ((0, 7) if rewritten else (None, None))
        assert (row["accelerated"], row["bypassed"]) == ([1, 1] if key == "accel" else [0, 0], 0)
        assert row["line_dropped"] == 0
    drawn = "".join(ElementTree.parse(picture).getroot().itertext())
    for title in [*(row["title"] for row in ways.values()), "split TCP, 4 MB"]:
        assert f"   {title} " in printed and title in drawn


@pytest.mark.timeout(120)
@pytest.mark.parametrize("begin, number", [("2.", signal.SIGINT), ("6.", signal.SIGKILL), ("7.", signal.SIGTERM),
                                           pytest.param("   after", signal.SIGINT, marks=pytest.mark.full)])
def test_an_interrupted_demonstration_leaves_nothing(program: str, traces: Traces, begin: str, number: int) -> None:
    """At the last of these beginnings all ways are taken; to come there takes most of the demonstration."""
    demo = subprocess.Popen([*DEMO, "--far-megabytes", "64"], env=traces.env, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    assert demo.stdout is not None
    assert any(line.startswith(begin) for line in demo.stdout)
    demo.send_signal(number)
    rest, _ = demo.communicate(timeout=30)
    assert demo.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert "Traceback" not in rest
    traces.assert_gone()


def test_bars_are_as_long_as_their_values_say(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [bars.block(share, 4) for share in (0, 0.25, 0.5, 0.53125, 1, 7)] == ["▏", "█", "██", "██▏", "████", "████"]
    monkeypatch.setenv("COLUMNS", "51")
    drawn = bars.draw([bars.Bar("one", 2.0, "2", bars.RED), bars.Bar("other", 4.0, "4", bars.GREEN)], 4.0).splitlines()
    assert [len(line) for line in drawn] == [31, 50] and drawn[0].count(bars.FULL) * 2 == drawn[1].count(bars.FULL)


def test_without_the_program_the_demonstration_says_what_to_do(traces: Traces) -> None:
    traces.env["LONGHAUL"] = "/nonexistent/longhaul"
    out = subprocess.run(DEMO, env=traces.env, capture_output=True, text=True, timeout=30, check=False)
    assert out.returncode == 1 and "run `make` first" in out.stderr
