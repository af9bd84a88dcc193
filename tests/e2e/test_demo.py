# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration: it shows what it promises, and cleans up when interrupted."""
from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from longhaul_lab import ROOT
from traces import Traces

DEMO = [str(ROOT / "scripts" / "demo"), "--seconds", "1", "--megabytes", "4"]


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    """The environment to run the demonstration in."""
    return Traces(tmp_path)


def test_the_demonstration_keeps_its_promises(program: str, traces: Traces, tmp_path: Path) -> None:
    out = subprocess.run([*DEMO, "--json", str(tmp_path / "out.json")], env=traces.env, capture_output=True,
                         text=True, timeout=55, check=False)
    assert out.returncode == 0, out.stdout + out.stderr
    assert "02 04 05 b4 = 1460" in out.stdout and "02 04 05 50 = 1360" in out.stdout
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["version"] == 1 and report["ok"] is True
    assert all(row["ok"] for row in report["results"]) and len(report["results"]) >= 10
    traces.assert_gone()


@pytest.mark.parametrize("act, number", [("2.", signal.SIGINT), ("6.", signal.SIGKILL), ("7.", signal.SIGTERM),
                                         ("10.", signal.SIGINT)])
def test_an_interrupted_demonstration_leaves_nothing(program: str, traces: Traces, act: str, number: int) -> None:
    demo = subprocess.Popen(DEMO, env=traces.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith(act):
            break
    demo.send_signal(number)
    rest, _ = demo.communicate(timeout=30)
    assert demo.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert "Traceback" not in rest
    traces.assert_gone()


def test_without_the_program_the_demonstration_says_what_to_do(traces: Traces) -> None:
    traces.env["LONGHAUL"] = "/nonexistent/longhaul"
    out = subprocess.run(DEMO, env=traces.env, capture_output=True, text=True, timeout=30, check=False)
    assert out.returncode == 1 and "run `make` first" in out.stderr
