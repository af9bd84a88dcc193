# SPDX-License-Identifier: GPL-3.0-or-later
"""The measuring programs, on lines whose doings are known: what they publish must be what happened."""
from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from longhaul_lab import ROOT, Lab, LabError

pytestmark = pytest.mark.lab(line=True)
FRAMES = 500
SOUND = {"lost": 0, "reordered": 0, "duplicated": 0, "corrupted": 0, "early": 0}


def measure(lab: Lab, program: str, *options: str) -> dict[str, Any]:
    """Run a measuring program from site A's end of the line to site B's."""
    ends = [f"{site.path}:{site.wan}" for site in lab.all_sites]
    return json.loads(lab.site("A").run([str(ROOT / "build/tools" / program), *ends, *options]).stdout)


def beat(lab: Lab, *options: str) -> dict[str, Any]:
    """Frames at a rate that leaves any machine time."""
    return measure(lab, "beat", "--frames", str(FRAMES), "--rate", "2000", *options)


def differs(found: dict[str, Any]) -> dict[str, int]:
    """What was not as it should be."""
    return {key: found[key] for key in SOUND if found[key]}


def test_a_line_that_does_nothing_is_told_to_do_nothing(lab: Lab) -> None:
    lab.shape("--delay", "5ms")
    found = beat(lab, "--delay", "5ms")
    assert (found["sent"], found["received"], differs(found)) == (FRAMES, FRAMES, {})
    assert found["control"]["beats"] > 0


@pytest.mark.parametrize("options, told", [
    (["--loss", "list:5,100-102"], {"lost": 4}),
    (["--duplicate", "100%"], {"duplicated": FRAMES}),
    (["--delay", "20ms", "--reorder", "100%", "--reorder-gap", str(FRAMES)], {"reordered": 0}),
])
def test_what_a_line_does_to_frames_is_told(lab: Lab, options: list[str], told: dict[str, int]) -> None:
    line = lab.shape("--json", "--seed", "1", *options)
    found = beat(lab, "--delay", "0")
    if "reordered" in told:
        assert found["lost"] == 0 and found["reordered"] > 0 and line.totals()["directions"][0]["reordered"] == 1
    else:
        assert differs(found) == told


def test_changed_frames_are_told_from_lost_ones_and_from_sound_ones(lab: Lab) -> None:
    line = lab.shape("--json", "--seed", "1", "--corrupt", "20%")
    found = beat(lab)
    changed = line.totals()["directions"][0]["corrupted"]
    # A bit of the Ethertype or of the run's number makes it a stranger's.
    assert found["corrupted"] + found["foreign"] == found["lost"] == changed > FRAMES / 10
    assert found["corrupted"] > found["foreign"]


def test_frames_that_come_before_their_time_are_told(lab: Lab) -> None:
    lab.shape("--delay", "1ms")
    assert beat(lab, "--delay", "10s", "--settle", "500ms")["early"] == FRAMES


def test_a_line_that_is_slower_than_its_schedule_is_told(lab: Lab) -> None:
    lab.shape("--rate", "10mbit", "--queue", "unlimited")
    options = ["--rate", "20000", "--size", "1000", "--ahead", str(FRAMES - 100)]
    exact = beat(lab, *options, "--line-rate", "10mbit")["schedule"]
    assert exact["frames"] == 100 and exact["starved"] == 0 and exact["frame_us"] == 800
    slower = beat(lab, *options, "--line-rate", "20mbit")["schedule"]
    # Each frame takes 0.4 ms more than that, whatever the machine does.
    assert slower["late_us"]["max"] > 0.9 * 99 * 400 and slower["beyond_one_frame"] > 90


def test_a_flood_counts_what_arrives(lab: Lab) -> None:
    line = lab.shape("--json", "--loss", "list:1-100")
    found = measure(lab, "flood", "--rate", "10000", "--duration", "200ms")
    totals = line.totals()["directions"][0]
    assert found["sent"] == totals["frames_in"] and found["arrived"] == totals["frames_out"]
    assert found["lost"] == 100


@pytest.mark.parametrize("program", ["beat", "flood"])
@pytest.mark.parametrize("ends, text", [
    (["nowhere", "nowhere"], "'nowhere' is no NAMESPACE:INTERFACE"), (["/proc/self/ns/net:lacking0"] * 2, "lacking0: no such"),
    (["/nonexistent:eth0"] * 2, "/nonexistent: No such file"), ([], "usage:"),
    (["/proc/self/ns/net:lo", "/proc/self/ns/net:lo", "--rate", "x"], "--rate: 'x'")])
def test_nonsense_is_refused_in_one_line(program: str, ends: list[str], text: str) -> None:
    out = subprocess.run([str(ROOT / "build/tools" / program), *ends], capture_output=True, text=True, check=False)
    assert out.returncode == 1 and text in out.stderr and out.stderr.count("\n") == 1 and not out.stdout


def test_a_program_that_fails_fails_the_measurement(lab: Lab) -> None:
    with pytest.raises(LabError, match="frames: '0' is outside"):
        measure(lab, "beat", "--frames", "0")
