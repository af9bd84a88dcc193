# SPDX-License-Identifier: GPL-3.0-or-later
"""The command scripts/lab, and that nothing of a laboratory outlives it, whatever ends it."""
from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest

from longhaul_lab import ROOT, wait_for
from traces import Traces

PROGRAM = [str(ROOT / "scripts" / "lab")]
STATE = Path("/run/longhaul-lab")


class Command(Traces):
    """scripts/lab, for a laboratory of the test's own name."""

    def argv(self, name: str, *words: str) -> list[str]:
        """The words of a command about this laboratory."""
        return [*PROGRAM, name, "--name", self.name, *words]

    def run(self, name: str, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(self.argv(name, *words), env=self.env, capture_output=True, text=True,
                              timeout=30, check=False, **options)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start `lab up` in the foreground."""
        return subprocess.Popen(self.argv("up", *words), env=self.env, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """A command with a name of its own; nothing may be left of it after the test."""
    command = Command(tmp_path)
    yield command
    if command.left():
        command.run("down")
    command.assert_gone()


def test_up_exec_shell_list_down(command: Command) -> None:
    up = command.run("up", "--background", "--sites", "3")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "hC ── border|siteC|wan" in up.stdout and "192.0.2.3" in up.stdout

    listed = command.run("list")    # has no --name
    assert listed.returncode == 2
    listed = subprocess.run([*PROGRAM, "list", "--json"], capture_output=True, text=True, check=True)
    labs = {lab["name"]: lab for lab in json.loads(listed.stdout)["labs"]}
    assert labs[command.name]["sites"] == 3
    assert labs[command.name]["nodes"]["hB"]["ip"] == "10.77.0.2"
    assert command.name in subprocess.run([*PROGRAM, "list"], capture_output=True, text=True, check=True).stdout

    assert "10.77.0.1/24" in command.run("exec", "hA", "--", "ip", "addr").stdout
    assert command.run("exec", "A", "--", "ping", "-c1", "192.0.2.3").returncode == 0
    assert command.run("exec", "hA", "--", "sh", "-c", "exit 7").returncode == 7
    assert "2001:db8:77::2/64" in command.run("shell", "siteB", input="ip addr show dev wan\n").stdout

    again = command.run("up")
    assert again.returncode == 1 and "runs already" in again.stderr
    assert command.run("down").returncode == 0
    command.assert_gone()
    assert command.run("down").returncode == 1
    assert command.run("exec", "hA", "--", "true").returncode == 1


@pytest.mark.parametrize("words, message", [
    (("up", "--sites", "9"), "sites must be 2 to 8"),
    (("up", "--vlan", "hA:4095"), "VLAN must be 1 to 4094"),
    (("up", "--vlan", "hA"), "should look like"),
    (("up", "--congestion", "hZ:cubic"), "no node 'hZ'"),
])
def test_what_makes_no_sense_exits_with_2(command: Command, words: tuple[str, ...], message: str) -> None:
    out = command.run(*words)
    assert out.returncode == 2 and message in out.stderr


def test_help_shows_examples(command: Command) -> None:
    for words in ([], ["up"], ["exec"]):
        out = subprocess.run([*PROGRAM, *words, "--help"], capture_output=True, text=True, check=True)
        assert "scripts/lab exec siteA -- tcpdump" in out.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("lines", [1, 5, 12, 30, 45])
def test_nothing_is_left_when_interrupted_while_building(command: Command, number: int, lines: int) -> None:
    up = command.start("-v", "--sites", "3", "--hosts", "2")
    assert up.stdout is not None
    for _ in range(lines):
        assert up.stdout.readline()
    up.send_signal(number)
    rest, _ = up.communicate(timeout=20)
    assert up.returncode == (0 if number != signal.SIGKILL else -signal.SIGKILL), rest
    assert "Traceback" not in rest
    command.assert_gone()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_when_a_running_laboratory_ends(command: Command, number: int) -> None:
    up = command.start()
    wait_for(lambda: (STATE / f"{command.name}.json").exists(), 20, "the laboratory")
    # Someone at work in it from another terminal, with a child that has cut all ties.
    inside = subprocess.Popen(command.argv("exec", "hA", "--", "bash", "-c", "setsid -f sleep 600; sleep 600; true"),
                              env=command.env)
    # The laboratory, its reaper, the shell and both its children.
    wait_for(lambda: len(command.pids()) == 5, 10, "five processes")
    up.send_signal(number)
    up.communicate(timeout=20)
    assert inside.wait(10) == -signal.SIGKILL
    command.assert_gone()


def test_a_stale_state_file_is_swept(command: Command) -> None:
    STATE.mkdir(exist_ok=True)
    path = STATE / f"{command.name}.json"
    # This very process, but said to have started at another time: the number was reused.
    path.write_text(json.dumps({"version": 1, "name": command.name, "pid": os.getpid(), "start_ticks": 1}))
    out = command.run("down")
    assert out.returncode == 1 and "no laboratory" in out.stderr
    assert not path.exists()
    path.write_text("{")
    assert command.run("down").returncode == 1
    assert not path.exists()
