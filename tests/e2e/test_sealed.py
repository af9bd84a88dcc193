# SPDX-License-Identifier: GPL-3.0-or-later
"""The sealed transport with real traffic: every byte, every fall-back, every coming and going."""
import signal
import threading
import time
from pathlib import Path

import pytest
from longhaul_lab import Capture, LabError, longhaul, wait_for
from traffic import drops, ethernet, transfer

MIB = 1 << 20
BROADCAST = "ff:ff:ff:ff:ff:ff"


def start(lab, *args):
    """A sealed tunnel at every site, all peers up."""
    tunnels = [lab.sealed(site.letter, *args) for site in lab.all_sites]
    for tunnel in tunnels:
        tunnel.peers_up()
    return tunnels


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("options", [{}, {"segmenting_wire": True}, {"no_offloads": True}],
                         ids=["offloads", "segmenting-wire", "no-offloads"])
def test_every_byte_of_a_tcp_stream_arrives(make_lab, options, ipv6):
    lab = make_lab(**options)
    tunnels = start(lab)
    transfer(lab.host("hA"), lab.host("hB"), 32 * MIB, ipv6)
    transfer(lab.host("hB"), lab.host("hA"), 32 * MIB, ipv6, seed=2)
    for tunnel in tunnels:
        assert set(drops(tunnel.status())) <= {"no_session"}


@pytest.mark.parametrize("args", [
    ("--without", "udp-gso"), ("--without", "udp-gro"), ("--without", "merge"), ("--without", "ipsec-mb"),
    ("--without", "partial"), ("--without", "udp-gso,udp-gro,merge,partial,ipsec-mb"),
    ("--ciphers", "chacha20-poly1305"), ("--workers", "1"), ("--workers", "3")], ids=" ".join)
def test_fallbacks_ciphers_and_workers_carry_every_byte(make_lab, args):
    lab = make_lab(segmenting_wire=True)
    start(lab, *args)
    transfer(lab.host("hA"), lab.host("hB"), 16 * MIB)
    transfer(lab.host("hB"), lab.host("hA"), 16 * MIB, ipv6=True)


def test_sides_that_differ_agree(make_lab):
    lab = make_lab()
    a = lab.sealed("A", "--workers", "1", "--ciphers", "chacha20-poly1305,aes-256-gcm", "--without", "partial")
    b = lab.sealed("B", "--workers", "4", "--ciphers", "aes-256-gcm,chacha20-poly1305")
    a.peers_up(), b.peers_up()
    transfer(lab.host("hA"), lab.host("hB"), 8 * MIB)
    transfer(lab.host("hB"), lab.host("hA"), 8 * MIB)
    one, other = a.status()["peers"][0], b.status()["peers"][0]
    assert one["cipher"] == other["cipher"]
    assert one["partial_checksums"] is other["partial_checksums"] is False
    assert (one["workers"], other["workers"]) == (4, 1)


def test_vlans_pings_of_every_size_and_ipv6_outer(make_lab):
    lab = make_lab(vlan={"hA": 10, "hB": 10})
    tail = [word for word in lab.tunnel_args("A") if word not in ("-t", "wan", "-f", "192.0.2.2")]
    a = lab.tunnel("A", "-t", "wan", "-f", "2001:db8:77::2", *tail, *lab.sealed_args("A"))
    b = lab.tunnel("B", "-t", "wan", "-f", "[2001:db8:77::1]:7245", *tail, *lab.sealed_args("B"))
    a.peers_up(), b.peers_up()
    for size in (16, 1400, 1472, 9000, 20000):
        lab.host("hA").ping(lab.host("hB").ip, size=size)
        lab.host("hA").ping(lab.host("hB").ip6, size=size)
    transfer(lab.host("hA"), lab.host("hB"), 8 * MIB, ipv6=True)
    wait_for(lambda: a.status()["tags"][0]["mtu"] == 1500 - 48 - 36 - 14, what="the path's MTU to be found")
    with Capture(lab.site("A"), "wan", "not udp") as capture:
        lab.host("hA").ping(lab.host("hB").ip)
    assert not [p for p in capture.packets() if lab.host("hB").ip.encode() in p.data]


def test_nothing_inner_is_readable_on_the_wire(make_lab):
    lab = make_lab()
    start(lab)
    with Capture(lab.site("A"), "wan", "udp") as capture, lab.host("hB").packet_socket("eth0") as hb, \
            lab.host("hA").packet_socket("eth0") as ha:
        frame = ethernet(BROADCAST, lab.host("hA").mac, 0x88b5, b"a secret of the LAN" * 3)
        ha.send(frame)
        from traffic import receive
        receive(hb, frame)
    packets = capture.packets()
    assert packets and not any(b"secret" in p.data for p in packets)


def test_three_sites_are_one_lan(make_lab):
    lab = make_lab(sites=3)
    start(lab)
    for one in lab.all_hosts:
        for other in lab.all_hosts:
            if one is not other:
                one.ping(other.ip, count=2)
    transfer(lab.host("hC"), lab.host("hA"), 8 * MIB)


def test_a_missing_edge_of_the_mesh_is_told(make_lab):
    lab = make_lab(sites=3)
    lab.site("B").run("nft -f -", input="table ip cut { chain out { type filter hook output priority 0; "
                                        "ip daddr 192.0.2.3 drop; }; }\n")
    a, b, c = (lab.sealed(letter) for letter in "ABC")
    wait_for(lambda: "not connected with each other" in str(a.status()["problems"]), 60, "the missing edge")
    assert lab.site("A").run([longhaul(), "status", "--check"], check=False).returncode == 3
    assert b.running() and c.running()


def test_status_tells_session_cipher_path_and_offloads(make_lab):
    lab = make_lab()
    a, b = start(lab)
    lab.host("hA").ping(lab.host("hB").ip, count=5)
    wait_for(lambda: (a.status()["peers"][0]["loss_in"]) is not None, what="counts of loss")
    peer = a.status()["peers"][0]
    assert peer["cipher"] == "aes-256-gcm" and peer["engine"] in ("openssl", "ipsec-mb")
    assert peer["fingerprint"] == lab.identity("B")[1]
    assert 0 < peer["rtt_ms"] < 1000 and peer["loss_out"] == 0 and peer["loss_in"] == 0
    assert peer["session_s"] >= 0 and peer["udp_gso"] and peer["partial_checksums"]
    assert "aes-256-gcm" in lab.site("A").run([longhaul(), "status"]).stdout
    assert b.status()["state"] == "healthy"


def numbered(lab, seconds, reached):
    """Send numbered broadcast frames from hA, paced, for a while; returns how many."""
    sent = 0
    with lab.host("hA").packet_socket("eth0") as ha:
        end = time.monotonic() + seconds
        while time.monotonic() < end or not reached():
            ha.send(ethernet(BROADCAST, lab.host("hA").mac, 0x88b5, b"n%09d" % sent).ljust(60, b"\0"))
            sent += 1
            if sent % 8 == 0:
                time.sleep(0.002)
            assert time.monotonic() < end + 60
    return sent


def count_numbered(lab, run):
    """How many numbered frames hB receives while run() sends them; each at most once and in order."""
    got = []
    stop = threading.Event()
    sock = lab.host("hB").packet_socket("eth0")

    def listen():
        sock.settimeout(0.2)
        while not stop.is_set():
            try:
                frame = sock.recv(2000)
            except TimeoutError:
                continue
            if frame[12:15] == b"\x88\xb5n":
                got.append(int(frame[15:24]))

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        sent = run()
        wait_for(lambda: len(got) >= sent or not thread.is_alive(), 10, f"{sent} frames (came: {len(got)})")
    finally:
        stop.set()
        thread.join()
        sock.close()
    return sent, got


def test_rekeying_loses_and_doubles_no_frame(make_lab):
    lab = make_lab()
    a, b = start(lab, "--rekey-after-packets", "1000", "--workers", "1", "--storm-limit", "1000000")
    sent, got = count_numbered(lab, lambda: numbered(lab, 6, lambda: a.status()["peers"][0]["rekeys"] >= 4))
    assert got == list(range(sent))
    assert a.status()["peers"][0]["rekeys"] >= 4
    for tunnel in (a, b):
        assert drops(tunnel.status()) == {}


def test_rekeying_by_time(make_lab):
    lab = make_lab()
    a, b = start(lab, "--rekey-after-time", "1s")
    wait_for(lambda: min(t.status()["peers"][0]["rekeys"] for t in (a, b)) >= 3, 60, "three rekeys by time")
    lab.host("hA").ping(lab.host("hB").ip, count=3)


def test_both_sides_restart_in_any_order_under_load(make_lab):
    lab = make_lab()
    tunnels = dict(zip("AB", start(lab)))
    b = lab.host("hB")
    b.popen(["iperf3", "-s"])
    wait_for(lambda: b.listening(5201), what="iperf3")
    load = lab.host("hA").popen(["iperf3", "-c", b.ip, "-t", "40", "-b", "200M"])
    for order in ("A", "B", "AB", "BA"):
        for letter in order:
            (tunnels[letter].kill if order != "B" else tunnels[letter].stop)()
        for letter in order:
            tunnels[letter] = lab.sealed(letter)
        for tunnel in tunnels.values():
            tunnel.peers_up()
        lab.host("hA").ping(b.ip, timeout=10)
    assert load.running(), load.describe()
    load.stop()


def test_a_silent_peer_is_down_and_comes_back(make_lab):
    lab = make_lab()
    a, b = start(lab, "--dead-after", "1s")
    b.send(signal.SIGSTOP)
    wait_for(lambda: a.status()["peers"][0]["state"] != "up", 20, "B to be found dead")
    assert lab.site("A").run([longhaul(), "status", "--check"], check=False).returncode == 3
    b.send(signal.SIGCONT)
    a.peers_up(60), b.peers_up(60)
    lab.host("hA").ping(lab.host("hB").ip)


def test_a_clean_shutdown_is_told_at_once(make_lab):
    lab = make_lab()
    a, b = start(lab, "--dead-after", "60s")
    b.stop()
    wait_for(lambda: a.status()["peers"][0]["state"] == "down", 10, "A to hear of it")
    assert "it has shut down" in a.text()
    assert not [m for m in a.status()["macs"] if m["behind"] == "peer"]


def test_a_peer_behind_nat_calls_in_and_may_move(make_lab):
    """A has no address for B; B's wan address is translated, then changes."""
    lab = make_lab(line=True)
    line = lab.node("line")
    for i, ifname in ((254, "ab"), (253, "ba")):
        line.run(f"ip addr add 198.51.{i}.1/24 dev {ifname}")
        line.sysctl({f"net.ipv4.conf.{ifname}.arp_ignore": 0})
    line.sysctl({"net.ipv4.ip_forward": 1})
    a, b = lab.site("A"), lab.site("B")
    for site, net in ((a, 254), (b, 253)):
        site.run("ip addr flush dev wan")
        site.run(f"ip addr add 198.51.{net}.2/24 dev wan")
        site.run(f"ip route add default via 198.51.{net}.1")
    line.run("nft -f -", input="table ip nat { chain post { type nat hook postrouting priority 100; "
                               "oifname ab masquerade random; }; }\n")
    at_a = lab.tunnel("A", "-t", "wan", "-b", "border:1", "--identity", str(lab.identity("A")[0]), "--trust",
                      lab.identity("B")[1])
    at_b = lab.tunnel("B", "-t", "wan", "-f", "198.51.254.2", "-b", "border:1", "--identity",
                      str(lab.identity("B")[0]), "--trust", lab.identity("A")[1])
    at_a.peers_up(), at_b.peers_up()
    transfer(lab.host("hA"), lab.host("hB"), 4 * MIB)
    transfer(lab.host("hB"), lab.host("hA"), 4 * MIB)
    assert at_a.status()["peers"][0]["endpoint"].startswith("198.51.254.1:")
    wait_for(lambda: at_a.status()["peers"][0]["path_mtu"] == at_b.status()["peers"][0]["path_mtu"] == 1500,
             what="the path's MTU to be found through the translation")
    line.run("ip addr add 198.51.254.77/24 dev ab")
    line.run("nft -f -", input="flush ruleset\ntable ip nat { chain post { type nat hook postrouting priority 100; "
                               "oifname ab snat to 198.51.254.77; }; }\n")
    line.sh("command -v conntrack >/dev/null && conntrack -F; true")
    b.run("ip addr add 198.51.253.9/24 dev wan")
    b.run("ip route replace default via 198.51.253.1 src 198.51.253.9")
    wait_for(lambda: at_a.status()["peers"][0]["endpoint"].startswith("198.51.254.77:"), 60, "B to have moved")
    lab.host("hA").ping(lab.host("hB").ip, timeout=10)


def test_a_caller_that_comes_back_with_fewer_workers_is_up_again(make_lab):
    lab = make_lab()
    lab.tunnel("A", "-t", "wan", "-b", "border:1", "--identity", str(lab.identity("A")[0]), "--trust",
               lab.identity("B")[1], "--workers", "4")
    b = lab.sealed("B", "--workers", "4", up=True)
    b.stop()
    b = lab.sealed("B", "--workers", "1", up=True)
    lab.host("hA").ping(lab.host("hB").ip, count=8, timeout=10)


def test_a_second_appliance_stays_out_while_the_first_has_sessions(make_lab):
    lab = make_lab(sites=3)
    a, b = lab.sealed("A", "--site", "stanford"), lab.sealed("B", "--site", "tokyo")
    b_seen = lambda: next(p for p in a.status()["peers"] if p["name"] == lab.site("B").ip)  # noqa: E731
    wait_for(lambda: b_seen()["state"] == "up", 30, "B")
    lab.site("B").run("nft -f -", input="table ip cut { chain in { type filter hook input priority 0; ip saddr "
                                        f"{lab.site('A').ip} meta l4proto tcp reject with tcp reset; }}; }}\n")
    c = lab.sealed("C", "--site", "tokyo")
    wait_for(lambda: "same site" in c.text(), 30, "C to be refused")
    wait_for(lambda: b_seen()["control"] != "connected", 60, "the control connection's end")
    time.sleep(2)
    assert b_seen()["state"] == "up"
    assert next(p for p in a.status()["peers"] if p["name"] == lab.site("C").ip)["state"] == "down"
    assert b.running()


def test_an_udp_path_that_is_blocked_is_explained(make_lab):
    lab = make_lab()
    lab.site("B").run("nft -f -", input="table ip cut { chain in { type filter hook input priority 0; udp dport 7245 "
                                        "drop; }; }\n")
    a, b = lab.sealed("A"), lab.sealed("B")
    a.expect("is its UDP port open on the whole path", 30)
    time.sleep(5)
    assert a.text().count("is its UDP port open") <= 2
    assert "UDP port" in str(a.status()["problems"]) and b.running()


def test_privileges_and_core_dumps_are_given_up(make_lab):
    lab = make_lab()
    a, _ = start(lab)
    allowed = 1 << 12 | 1 << 13     # CAP_NET_ADMIN, CAP_NET_RAW
    for task in Path(f"/proc/{a.pid}/task").iterdir():
        fields = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == allowed, task
        assert fields["NoNewPrivs"].strip() == "1"
    assert "Max core file size        0                    0" in open(f"/proc/{a.pid}/limits", encoding="utf-8").read()


def test_keys_are_not_in_the_logs(make_lab):
    lab = make_lab()
    a, b = start(lab, "-v")
    key = (lab.identity("A")[0] / "key.pem").read_text()
    for tunnel in (a, b):
        assert not any(line and line in tunnel.text() for line in key.splitlines())


def test_an_interface_may_go_away_and_come_back(make_lab):
    lab = make_lab()
    site, (a, _) = lab.site("A"), start(lab)
    other, host = lab.site("B"), lab.host("hA")
    site.run("ip link del wan")
    wait_for(lambda: a.status()["state"] == "degraded", what="the loss to be noticed")
    site.ip_batch(f"link add name wan index 90 address {site.mac} type veth peer name wan index 91 netns "
                  f"{other.path} address {other.mac}\nlink set wan up\naddr add {site.ip}/24 dev wan\n")
    other.ip_batch(f"addr add {other.ip}/24 dev wan\nlink set wan up\n")
    a.peers_up(60)
    site.run("ip link del border")
    site.ip_batch(f"link add name border index 92 type veth peer name eth0 index 93 netns {host.path} address "
                  f"{host.mac}\nlink set border up\n")
    host.ip_batch(f"addr add {host.ip}/24 dev eth0\nlink set eth0 up\n")
    wait_for(lambda: a.status()["state"] == "healthy", 30, "everything to be well again")
    host.ping(lab.host("hB").ip, timeout=10)
    transfer(host, lab.host("hB"), 4 * MIB)


def test_no_answer_when_a_site_has_two_appliances(make_lab):
    lab = make_lab(sites=3)
    a = lab.sealed("A", "--site", "stanford")
    b = lab.sealed("B", "--site", "tokyo")
    wait_for(lambda: a.status()["peers"][0]["state"] == "up", 30, "B")
    c = lab.sealed("C", "--site", "tokyo")
    wait_for(lambda: "another appliance of the same site" in a.text(), 30, "A to refuse C")
    wait_for(lambda: "same site" in c.text(), 30, "C to be told")
    assert b.running()
    with pytest.raises(LabError):
        lab.host("hA").ping(lab.host("hC").ip, timeout=1)
