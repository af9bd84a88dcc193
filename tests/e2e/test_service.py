# SPDX-License-Identifier: GPL-3.0-or-later
"""Running under a service manager, and installing."""
import re
import socket
import subprocess
from pathlib import Path

from longhaul_lab import ROOT

PLAIN = ("--outer", "capsulator")


def test_the_service_manager_is_told_ready_alive_and_stopping(make_lab, tmp_path):
    lab = make_lab()
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(10)
        tunnel = lab.tunnel("A", *PLAIN, env={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"})
        assert manager.recv(1000).startswith(b"READY=1\n")
        assert manager.recv(1000) == b"WATCHDOG=1"
        tunnel.stop()
        while (message := manager.recv(1000)) == b"WATCHDOG=1":
            pass
        assert message == b"STOPPING=1"


def test_the_c_library_is_told_how_to_copy_at_most_once(make_lab):
    """Where copies are slow the program runs itself anew; what the user has set stays, and so does its name."""
    mine, threshold = "glibc.malloc.arena_max=8", "glibc.cpu.x86_rep_movsb_threshold="
    lab = make_lab()
    for given in (mine, f"{mine}:{threshold}4096"):
        tunnel = lab.tunnel("A", *PLAIN, env={"GLIBC_TUNABLES": given})
        # The library puts zeros between them as it reads them.
        has = Path(f"/proc/{tunnel.pid}/environ").read_text(encoding="utf-8").replace("\0", ":") + ":"
        assert f":GLIBC_TUNABLES={given}:" in has
        assert has.count(threshold) <= 1
        assert Path(f"/proc/{tunnel.pid}/comm").read_text(encoding="utf-8") == "longhaul\n"
        tunnel.stop()


def test_install_puts_a_verified_unit_the_pages_and_the_program(tmp_path):
    subprocess.run(["make", "-s", "install", f"DESTDIR={tmp_path}", "PREFIX=/usr"], cwd=ROOT, check=True)
    program = tmp_path / "usr/bin/longhaul"
    assert re.fullmatch(r"longhaul \d+\.\d+\.\d+\n", subprocess.run(
        [program, "--version"], check=True, capture_output=True, text=True).stdout)
    assert {p.name for p in (tmp_path / "usr/share/man").rglob("*.[158]")} >= {
        "longhaul.1", "longhaul-tunnel.1", "longhaul-status.1"}
    unit = tmp_path / "usr/lib/systemd/system/longhaul-tunnel@.service"
    # The program is not installed at its final place here: verify against where it is.
    checked = tmp_path / "longhaul-tunnel@test.service"
    checked.write_text(unit.read_text().replace("/usr/bin/longhaul", str(program)))
    out = subprocess.run(["systemd-analyze", "verify", "--man=no", checked], capture_output=True, text=True,
                         check=False)
    assert out.returncode == 0 and "longhaul" not in out.stderr, out.stderr


def test_the_manual_pages_name_every_option():
    for command in ("tunnel", "status"):
        page = Path(ROOT, "doc/man", f"longhaul-{command}.1").read_text(encoding="utf-8")
        text = subprocess.run([ROOT / "build/longhaul", command, "--help"], check=True, capture_output=True,
                              text=True).stdout
        for option in re.findall(r"--([a-z-]+)", text):
            assert option.replace("-", "") in re.sub(r"[\\-]", "", page), f"--{option} is not in longhaul-{command}.1"
