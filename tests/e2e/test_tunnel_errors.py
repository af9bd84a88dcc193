# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input gets one clear error that names the thing and the remedy, and loses nothing."""
import pytest
from longhaul_lab import longhaul

GOOD = "-t wan -f 192.0.2.2 -b border:1 --outer capsulator"


def refused(site, args, *needles, status=2):
    """`longhaul tunnel` must refuse the arguments in one line that holds all the needles."""
    out = site.run([longhaul(), "tunnel", *args.split()], check=False, timeout=10)
    assert out.returncode == status, out
    lines = out.stderr.strip().splitlines()
    assert len(lines) == 1, out.stderr
    for needle in needles:
        assert needle in lines[0]


@pytest.fixture(scope="module")
def site(make_module_lab):
    return make_module_lab().site("A")


@pytest.mark.parametrize("args, needles", [
    ("-t nowhere -f 192.0.2.2 -b border:1 --outer capsulator", ["nowhere", "no such interface", "ip link"]),
    ("-t wan -f 192.0.2.2 -b eth9:1 --outer capsulator", ["eth9", "no such interface", "ip link"]),
    ("-t wan -f 192.0.2.2 -b lo:1 --outer capsulator", ["lo", "not an Ethernet interface"]),
    ("-t wan -f 192.0.2.2 -b border:1 -b border:2 --outer capsulator", ["border", "twice"]),
    ("-t wan -f 192.0.2.2 -b wan:1 --outer capsulator", ["wan", "twice"]),
    (GOOD + " -m 68", ["--mtu", "'68'", "576…9216"]),
    (GOOD + " -m 65535", ["--mtu", "'65535'", "576…9216"]),
    (GOOD + " -w 15", ["--wscale", "'15'", "0…14"]),
    ("-t wan -f 192.0.2.2 -b border:4294967296 --outer capsulator", ["4294967296", "0 to 4294967295"]),
    ("-t wan -f 192.0.2.2 -b border:-1 --outer capsulator", ["-1", "0 to 4294967295"]),
    ("-t wan -f 192.0.2.2 -b border --outer capsulator", ["border", "eth1:1"]),
    ("-t wan -f no-such-host.invalid -b border:1 --outer capsulator", ["no-such-host.invalid", "resolve"]),
    ("-t wan -f 192.0.2.2,192.0.2.2 -b border:1 --outer capsulator", ["192.0.2.2", "same address"]),
    ("-t wan -f 192.0.2.1 -b border:1 --outer capsulator", ["192.0.2.1", "own address"]),
    ("-t wan -f 224.0.0.1 -b border:1 --outer capsulator", ["224.0.0.1"]),
    ("-t wan -f 192.0.2.2 -b border:1", ["--identity DIR", "--outer capsulator"]),
    ("-f 192.0.2.2 -b border:1 --outer capsulator", ["-t IF"]),
    ("-t wan -b border:1 --outer capsulator", ["-f ADDR"]),
    ("-t wan -f 192.0.2.2 --outer capsulator", ["-b IF:TAG"]),
    (GOOD + " --outer gre", ["gre", "sealed, capsulator"]),
    (GOOD + " --without speed", ["speed", "vnet-hdr", "merge"]),
    (GOOD + " --frobnicate", ["--frobnicate", "--help"]),
    (GOOD + " -m", ["-m", "value"]),
    (GOOD + " --mac-age 300", ["--mac-age", "300", "unit"]),
    (GOOD + " extra", ["extra"]),
    (GOOD + " --config /nowhere.conf", ["/nowhere.conf", "No such file"]),
    (GOOD + " --name a/b", ["a/b"]),
])
def test_a_wrong_command_line_is_refused(site, args, needles):
    refused(site, args, *needles)


def test_an_enslaved_port_is_refused_with_the_remedy(make_lab):
    lab = make_lab()
    site = lab.site("A")
    site.ip_batch("link add br7 type bridge\nlink set border master br7\n")
    refused(site, GOOD, "border", "br7", "nomaster")


def test_a_second_instance_is_refused_and_told_of_the_first(make_lab):
    lab = make_lab()
    first = lab.tunnel("A", "--outer", "capsulator")
    refused(lab.site("A"), GOOD, "wan", str(first.pid))
    refused(lab.site("A"), GOOD + " --name other", "wan", str(first.pid))
    refused(lab.site("A"), "-t wan -f 192.0.2.9 -b border:2 --outer capsulator --name third", str(first.pid))
    assert first.running() and first.status()["state"] == "healthy"


@pytest.mark.parametrize("text, needles", [
    ("[tunnel]\ninterface = wan\nspeed = 9\n", ["bad.conf:3", "[tunnel]", "speed = 9", "unknown key", "mtu"]),
    ("[tunnel]\nmtu = 68\n", ["bad.conf:2", "mtu = 68", "576…9216"]),
    ("[tag x]\nmtu = 1400\n", ["bad.conf:1", "[tag x]", "number"]),
    ("[peer]\naddress = 1\n", ["bad.conf:1", "[peer NAME]"]),
    ("[nonsense]\na = b\n", ["bad.conf:1", "nonsense", "[tunnel]", "[port NAME]"]),
    ("[tunnel]\nmtu = 1400\nmtu = 1500\n", ["bad.conf:3", "twice"]),
    ("[tunnel]\njust words\n", ["bad.conf:2"]),
    ("[port border]\nkind = bridge\n", ["bad.conf:2", "kind = bridge", "packet, tap"]),
])
def test_a_wrong_file_is_refused_with_line_section_key_and_value(site, tmp_path, text, needles):
    path = tmp_path / "bad.conf"
    path.write_text(text)
    refused(site, f"--config {path}", *needles)


def test_a_good_file_is_checked_and_run_and_options_beat_it(make_lab, tmp_path):
    lab = make_lab()
    path = tmp_path / "good.conf"
    path.write_text("; a whole one\n[tunnel]\ninterface = wan\nouter = capsulator\nmtu = 1300\nname = tokyo\n"
                    "[peer B]\naddress = 192.0.2.2\n[port border]\ntag = 1\n[tag 1]\nwscale = 3\n")
    site = lab.site("A")
    out = site.run([longhaul(), "tunnel", "--config", str(path), "--check"])
    assert "good" in out.stdout
    tunnel = lab.tunnel("A", "--config", str(path), "-m", "1200", "--name", "osaka")
    status = tunnel.status()
    assert status["name"] == "osaka" and status["peers"][0]["name"] == "B"
    assert status["tags"][0]["mtu"] == 1200 and status["tags"][0]["wscale"] == 3


def test_a_check_finds_what_a_start_would(make_lab):
    lab = make_lab()
    refused(lab.site("A"), GOOD.replace("border", "eth9") + " --check", "eth9")
    out = lab.site("A").run([longhaul(), "tunnel", *GOOD.split(), "--check"])
    assert out.returncode == 0 and lab.site("A").run("ip -j link").stdout.count("PROMISC") == 0


def test_without_the_privilege_the_error_says_which(make_lab):
    lab = make_lab()
    out = lab.site("A").run(["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--reuid", "65534",
                             "--regid", "65534", "--clear-groups", longhaul(), "tunnel", *GOOD.split()],
                            check=False)
    assert out.returncode == 1 and "CAP_NET_RAW" in out.stderr
