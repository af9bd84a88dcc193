# SPDX-License-Identifier: GPL-3.0-or-later
"""`longhaul status`: what people and programs read, and the control socket behind it."""
import json
import signal
import socket

from longhaul_lab import longhaul, wait_for

PLAIN = ("--outer", "capsulator")


def test_people_see_ports_peers_macs_frobs_and_drops(make_lab):
    lab = make_lab()
    lab.tunnel("A", *PLAIN, "-m", "1400", "-w", "7")
    lab.tunnel("B", *PLAIN)
    lab.host("hA").ping(lab.host("hB").ip)
    text = lab.site("A").run([longhaul(), "status"]).stdout
    for word in ("wan: healthy", "PLAIN TEXT", "border", "192.0.2.2", lab.host("hA").mac, lab.host("hB").mac,
                 "1400", "MSS CLAMPED", "Nothing was dropped"):
        assert word in text


def test_programs_get_one_versioned_object_whose_counts_add_up(make_lab):
    lab = make_lab()
    a, b = lab.tunnel("A", *PLAIN), lab.tunnel("B", *PLAIN)
    lab.host("hA").ping(lab.host("hB").ip, count=10)
    status = json.loads(lab.site("A").run([longhaul(), "status", "--json"]).stdout)
    assert status["version"] == 1 and status["pid"] == a.pid
    port, peer = status["ports"][0], status["peers"][0]
    wait_for(lambda: a.status()["ports"][0]["out"]["frames"] >= 11, what="replies")
    assert port["in"]["frames"] == peer["out"]["frames"]
    assert peer["in"]["frames"] == port["out"]["frames"]
    assert b.status()["peers"][0]["in"]["frames"] == peer["out"]["frames"]
    assert {m["mac"] for m in status["macs"]} == {lab.host("hA").mac, lab.host("hB").mac}


def test_watch_repeats_and_ends_by_ctrl_c(make_lab):
    lab = make_lab()
    lab.tunnel("A", *PLAIN)
    watch = lab.site("A").popen([longhaul(), "status", "--watch", "--interval", "100ms", "--json"])
    wait_for(lambda: watch.text().count("\n") >= 3, what="three lines")
    for line in watch.text().splitlines()[:3]:
        assert json.loads(line)["name"] == "wan"
    watch.send(signal.SIGINT)
    assert watch.wait(5) in (0, -signal.SIGINT)


def test_check_tells_healthy_degraded_and_absent(make_lab):
    lab = make_lab()
    site = lab.site("A")
    check = [longhaul(), "status", "wan", "--check"]
    assert site.run(check, check=False).returncode == 4
    tunnel = lab.tunnel("A", *PLAIN)
    assert site.run(check).stdout == "wan: healthy\n"
    site.run("ip link set border down")
    wait_for(lambda: tunnel.status()["state"] == "degraded", what="degraded")
    out = site.run(check, check=False)
    assert out.returncode == 3 and "port border is down" in out.stdout
    site.run("ip link set border up")
    wait_for(lambda: tunnel.status()["state"] == "healthy", what="healthy")


def test_one_of_several_must_be_named(make_lab):
    lab = make_lab(ports=2)
    site = lab.site("A")
    site.run("ip link add wan2 type veth peer name wan2x")
    lab.tunnel("A", "-t", "wan", "-f", "192.0.2.2", "-b", "border1:1", *PLAIN)
    lab.tunnel("A", "-t", "wan2", "-f", "192.0.2.2", "-b", "border2:1", "--name", "second", *PLAIN)
    out = site.run([longhaul(), "status"], check=False)
    assert out.returncode == 2 and "second" in out.stderr and "wan" in out.stderr
    assert "second" in site.run([longhaul(), "status", "second"]).stdout


def ask(site, lines):
    """Send bytes to the control socket, return all that comes until it closes or 1 s passes."""
    with site.netns():
        sock = socket.socket(socket.AF_UNIX)
    with sock:
        sock.settimeout(1)
        sock.connect("\0longhaul/wan")
        sock.sendall(lines)
        got = b""
        try:
            while chunk := sock.recv(65536):
                got += chunk
        except (TimeoutError, ConnectionResetError):
            pass
        return got


def test_the_control_socket_survives_garbage(make_lab):
    lab = make_lab()
    tunnel = lab.tunnel("A", *PLAIN)
    site = lab.site("A")
    for garbage in (b"\0\xff\xfe\n", b"[]\n", b"{\n", b'{"cmd":1}\n', b'{"cmd":"nothing"}\n'):
        assert "error" in json.loads(ask(site, garbage))
    ask(site, b"x" * 200_000)     # a line without end
    two = ask(site, b'{"cmd":"status"}\n{"cmd":"status"}\n')
    assert [json.loads(line)["name"] for line in two.splitlines()] == ["wan", "wan"]
    assert tunnel.running()


def test_only_root_is_answered(make_lab):
    lab = make_lab()
    lab.tunnel("A", *PLAIN)
    out = lab.site("A").run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                             longhaul(), "status"], check=False)
    assert out.returncode == 1 and "does not answer" in out.stderr


def test_signals_end_it_cleanly_and_nothing_is_left(make_lab):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        lab = make_lab()
        site = lab.site("A")
        tunnel = lab.tunnel("A", "-t", "wan", "-f", "192.0.2.2", "-b", "border:1", "-vb", "vm0:2", *PLAIN)
        assert "PROMISC" in site.run("ip -d link show border").stdout or \
            site.link("border")["promiscuity"] == 1
        tunnel.send(number)
        assert tunnel.wait(10) == 0
        assert site.link("border")["promiscuity"] == 0
        assert [link["ifname"] for link in json.loads(site.run("ip -j link").stdout)] == ["lo", "border", "wan"] \
            or {link["ifname"] for link in json.loads(site.run("ip -j link").stdout)} == {"lo", "border", "wan"}


def test_a_killed_instance_leaves_nothing_and_can_be_started_again(make_lab):
    lab = make_lab()
    tunnel = lab.tunnel("A", "-t", "wan", "-f", "192.0.2.2", "-b", "border:1", "-vb", "vm0:2", *PLAIN)
    tunnel.kill()
    site = lab.site("A")
    assert site.link("border")["promiscuity"] == 0
    assert site.run("ip link show vm0", check=False).returncode != 0
    again = lab.tunnel("A", *PLAIN)
    assert again.status()["state"] == "healthy"


def test_what_another_user_says_under_our_name_is_not_believed(make_lab):
    lab = make_lab()
    site = lab.site("A")
    fake = site.popen(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-c",
                       "import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind('\\0longhaul/wan')\ns.listen()\n"
                       "print('ready', flush=True)\nwhile True:\n c, _ = s.accept()\n c.recv(999)\n"
                       " c.sendall(b'{\"name\":\"wan\",\"state\":\"healthy\"}\\n')\n"])
    fake.expect("ready")
    out = site.run([longhaul(), "status", "wan", "--check"], check=False)
    assert out.returncode == 1 and "not believed" in out.stderr


def test_output_that_cannot_be_written_is_a_failure(make_lab):
    lab = make_lab()
    lab.tunnel("A", *PLAIN)
    out = lab.site("A").sh(f"{longhaul()} status --json > /dev/full", check=False)
    assert out.returncode == 1 and "cannot write" in out.stderr
