# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP: every byte, what hosts see of one another, and what is not accelerated."""
import contextlib
import errno
import os
import re
import socket
import ssl
import struct
import threading
import time
from pathlib import Path

import pytest
from accel import (PORT, TIMEOUT, Background, begin, bypassed, client, connected, connections, flows, journal, listening, read_all,
                   ready, start, was_reset)
from longhaul_lab import Capture, longhaul, wait_for
from traffic import drops, ethernet, mac, stream, transfer

MIB = 1 << 20


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("options", [{}, {"segmenting_wire": True}, {"no_offloads": True}, {"lan_mtu": 9000},
                                     {"vlan": {"hA": 10, "hB": 10}}],
                         ids=["offloads", "segmenting-wire", "no-offloads", "jumbo", "vlan"])
def test_every_byte_of_an_accelerated_stream_arrives(make_lab, options, ipv6):
    lab = make_lab(**options)
    a, b = start(lab)
    transfer(lab.host("hA"), lab.host("hB"), 24 * MIB, ipv6)
    transfer(lab.host("hB"), lab.host("hA"), 24 * MIB, ipv6, seed=2)
    wait_for(lambda: connections(a) == {"opened": 1, "accepted": 1, "closed": 2} == connections(b), TIMEOUT,
             "both connections to be closed in peace")
    assert bypassed(a) == bypassed(b) == {}
    for tunnel in (a, b):
        assert set(drops(tunnel.status())) <= {"no_session"}
        assert tunnel.status()["accel"]["frames"]["tap_lost"] == 0


@pytest.mark.parametrize("args, steering", [
    ((), "sk_lookup"), (("--without", "sk-lookup"), "TPROXY"), (("--without", "sk-lookup,tproxy"), "listeners")])
def test_each_way_to_steer_carries_every_byte(make_lab, args, steering):
    lab = make_lab()
    a, b = start(lab, *args)
    assert a.status()["accel"]["steering"] == steering
    for ipv6 in (False, True):
        transfer(lab.host("hA"), lab.host("hB"), 4 * MIB, ipv6)
        transfer(lab.host("hB"), lab.host("hA"), 4 * MIB, ipv6, seed=2)
    assert connections(a)["opened"] == connections(b)["opened"] == 2
    # the same server again, and two at once
    with connected(lab), connected(lab, port=PORT + 1):
        pass


@pytest.mark.parametrize("args", [("--workers", "1"), ("--workers", "3")], ids=" ".join)
def test_any_number_of_workers(make_lab, args):
    lab = make_lab()
    a, _ = start(lab, *args)
    transfer(lab.host("hA"), lab.host("hB"), 8 * MIB)
    assert connections(a)["opened"] == 1


def test_without_vnet_headers(make_lab):
    lab = make_lab(no_offloads=True)
    a, _ = start(lab, "--without", "vnet-hdr")
    transfer(lab.host("hA"), lab.host("hB"), 4 * MIB)
    assert connections(a)["opened"] == 1


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_each_host_sees_the_other_and_its_mss(lab, ipv6):
    a, b = lab.host("hA"), lab.host("hB")
    b.run("ip link set eth0 mtu 1300")
    at_a, _ = start(lab)
    with Capture(a, "eth0", "tcp") as here, Capture(b, "eth0", "tcp") as there:
        with connected(lab, ipv6=ipv6) as (one, other):
            assert other.getpeername()[:2] == one.getsockname()[:2]
            assert one.getpeername()[:2] == other.getsockname()[:2]
            one.sendall(b"x" * 100000)
            one.shutdown(socket.SHUT_WR)
            assert len(read_all(other)) == 100000
    assert connections(at_a)["opened"] == 1
    for packets, host, remote in ((here.packets(), a, b), (there.packets(), b, a)):
        macs = {(p.data[:6], p.data[6:12]) for p in packets}
        assert macs == {(mac(host.mac), mac(remote.mac)), (mac(remote.mac), mac(host.mac))}
    headers = 60 if ipv6 else 40
    assert [mss(p.data) for p in here.packets() if is_syn(p.data)] == [1500 - headers, 1300 - headers]
    assert [mss(p.data) for p in there.packets() if is_syn(p.data)] == [1500 - headers, 1300 - headers]


def tcp_header(frame):
    return frame[14 + (40 if frame[12:14] == b"\x86\xdd" else 20):]


def is_syn(frame):
    return tcp_header(frame)[13] & 2


def mss(frame):
    tcp = tcp_header(frame)
    options = tcp[20:(tcp[12] >> 4) * 4]
    while options:
        if options[0] == 2:
            return int.from_bytes(options[2:4], "big")
        options = options[1:] if options[0] == 1 else options[options[1]:]
    raise AssertionError("a SYN without MSS")


def test_a_refused_connection_is_refused(lab):
    a, b = start(lab)
    with client(lab.host("hA")) as one, pytest.raises(ConnectionRefusedError):
        one.connect((lab.host("hB").ip, PORT))
    assert connections(b) == {"accepted": 1}
    assert connections(a) == {"opened": 1}
    transfer(lab.host("hA"), lab.host("hB"), MIB)


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_an_icmp_error_reaches_the_client(lab, ipv6):
    start(lab)
    kind = "icmpv6 type admin-prohibited" if ipv6 else "icmp type host-unreachable"
    lab.host("hB").run("nft -f -", input="table inet t { chain c { type filter hook input priority 0; "
                                         f"tcp dport {PORT} reject with {kind}; }}; }}\n")
    with client(lab.host("hA"), ipv6) as one, pytest.raises(OSError) as error:
        one.connect((lab.host("hB").ip6 if ipv6 else lab.host("hB").ip, PORT))
    assert error.value.errno == (errno.EACCES if ipv6 else errno.EHOSTUNREACH)


def test_silence_stays_silence_and_then_the_syn_is_bridged(lab):
    a, b = start(lab)
    host = lab.host("hB")
    host.run("nft -f -", input=f"table ip t {{ chain c {{ type filter hook input priority 0; tcp dport {PORT} drop; }}; }}\n")
    with Capture(lab.host("hA"), "eth0", "tcp") as capture, listening(host) as listener, client(lab.host("hA")) as one:
        call = Background(lambda: one.connect((host.ip, PORT)))
        wait_for(lambda: bypassed(a) == {"unanswered": 1}, TIMEOUT, "the SYN to be bridged")
        assert all(tcp_header(p.data)[13] == 2 for p in capture.packets()), "an answer to what nobody answered"
        host.run("nft flush ruleset")
        call.get()
        other, _ = listener.accept()
        one.sendall(b"through the bridge")
        one.close()
        assert read_all(other) == b"through the bridge"
        other.close()
    assert flows(a)[0]["reason"] == "unanswered"
    assert connections(b) == {"accepted": 1}


def test_a_client_that_gives_up_is_cancelled(lab):
    a, b = start(lab)
    host = lab.host("hB")
    host.run("nft -f -", input=f"table ip t {{ chain c {{ type filter hook input priority 0; tcp dport {PORT} drop; }}; }}\n")
    lab.host("hA").sysctl({"net.ipv4.tcp_syn_retries": 1, "net.ipv4.tcp_syn_linear_timeouts": 0})
    one = client(lab.host("hA"))
    one.setblocking(False)
    one.connect_ex((host.ip, PORT))
    wait_for(lambda: a.status()["accel"]["flows"] == 1 == b.status()["accel"]["flows"], TIMEOUT, "the far connection")
    one.close()
    wait_for(lambda: b.status()["accel"]["flows"] == 0 == a.status()["accel"]["flows"], 60, "it to be cancelled")
    assert bypassed(a) == {}


def write_conf(lab, letter, tag):
    others = [site for site in lab.all_sites if site.letter != letter]
    lines = ["[tunnel]", "interface = wan", f"state = {lab.tmp}/state-{letter}", f"identity = {lab.identity(letter)[0]}", "[port border]", "tag = 1",
             "[tag 1]", *tag]
    for site in others:
        lines += [f"[peer {site.letter}]", f"address = {site.ip}", f"trust = {lab.identity(site.letter)[1]}"]
    path = lab.tmp / f"{letter}.conf"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_filters_decide(lab):
    tunnels = [lab.tunnel(letter, "--config", write_conf(lab, letter, [
        f"accel = tcp dst portrange {PORT}-{PORT + 9}", f"bypass = tcp dst port {PORT + 1}"])) for letter in "AB"]
    ready(lab, *tunnels)
    a = tunnels[0]
    for port, wanted in ((PORT, {}), (PORT + 1, {"bypass": 1}), (PORT + 20, {"bypass": 1, "filter": 1})):
        transfer(lab.host("hA"), lab.host("hB"), MIB, port=port)
        assert bypassed(a) == wanted
        assert connections(a)["opened"] == 1


def test_a_filter_that_is_none_is_told(lab):
    path = write_conf(lab, "A", ["accel = tcp porridge 7"])
    out = lab.site("A").run([longhaul(), "tunnel", "--config", path], check=False)
    assert out.returncode == 2 and f"{path}:" in out.stderr and "tcp porridge 7" in out.stderr
    out = lab.site("A").run([longhaul(), "tunnel", "-t", "wan", "-f", "192.0.2.2", "-b", "border:1,fast"], check=False)
    assert out.returncode == 2 and "'1,fast'" in out.stderr and ",accel" in out.stderr
    out = lab.site("A").run([longhaul(), "tunnel", "-t", "wan", "-f", "192.0.2.2", "-b", "border:1,accel", "--outer",
                             "capsulator"], check=False)
    assert out.returncode == 2 and "tag 1" in out.stderr and "sealed" in out.stderr


def test_a_peer_that_does_not_accelerate_is_told_and_bridged(lab):
    a = begin(lab, "A", up=False)
    b = lab.sealed("B")
    a.peers_up(), b.peers_up()
    assert "does not accelerate tag 1" in a.text()
    for one, other in (("hA", "hB"), ("hB", "hA")):
        transfer(lab.host(one), lab.host(other), 2 * MIB)
    assert bypassed(a)["not_agreed"] == 1 and connections(a) == {} and b.status()["accel"] is None


def test_without_the_capability_it_bridges_and_says_so(lab):
    a = lab.tunnel("A", "-t", "wan", "-f", "192.0.2.2", "-b", "border:1,accel", *lab.sealed_args("A"),
                   wrap=("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"))
    b = begin(lab, "B", up=False)
    a.peers_up(), b.peers_up()
    assert "accel: network namespace" in a.text() and a.status()["accel"] is None
    assert "accel does not work" in str(a.status()["problems"])
    transfer(lab.host("hA"), lab.host("hB"), 2 * MIB)
    transfer(lab.host("hB"), lab.host("hA"), 2 * MIB)


def test_signed_connections_are_bridged(lab):
    a, b = start(lab)
    key = struct.pack("HBBi", 0, 0, 0, 6) + b"secret".ljust(80, b"\0")

    def sign(sock, host):
        address = struct.pack("!HH4s", 0, 0, socket.inet_aton(host.ip))
        address = struct.pack("=H", socket.AF_INET) + address[2:]
        try:
            sock.setsockopt(socket.IPPROTO_TCP, 14, address.ljust(128, b"\0") + key)
        except OSError:
            pytest.skip("this kernel has no TCP-MD5")

    with listening(lab.host("hB")) as listener, client(lab.host("hA")) as one:
        sign(listener, lab.host("hA"))
        sign(one, lab.host("hB"))
        one.connect((lab.host("hB").ip, PORT))
        other, _ = listener.accept()
        one.sendall(b"signed")
        assert other.recv(6) == b"signed"
        other.close()
    assert bypassed(a) == {"secret": 1} and connections(a) == connections(b) == {}


def test_vlans_of_a_tag_may_use_the_same_addresses(make_lab):
    lab = make_lab(hosts=2, vlan={"hA": 10, "hB": 10, "hA2": 20, "hB2": 20})
    for one, other in (("hA2", "hA"), ("hB2", "hB")):
        host = lab.host(one)
        host.run(["ip", "addr", "flush", "dev", "eth0"])
        host.ip = lab.host(other).ip
        host.run(["ip", "addr", "add", f"{host.ip}/24", "dev", "eth0"])
    tunnels = [begin(lab, letter, up=False) for letter in "AB"]
    for tunnel in tunnels:
        tunnel.peers_up()
        wait_for(lambda t=tunnel: t.status()["accel"]["streams"][0]["spare"] >= 4, TIMEOUT, "streams")
    lab.host("hA").ping(lab.host("hB").ip)
    lab.host("hA2").ping(lab.host("hB2").ip)
    with listening(lab.host("hB")) as at_10, listening(lab.host("hB2")) as at_20, \
            client(lab.host("hA"), source_port=5000) as one, client(lab.host("hA2"), source_port=5000) as two:
        one.connect((lab.host("hB").ip, PORT))
        two.connect((lab.host("hB2").ip, PORT))
        first, second = at_10.accept()[0], at_20.accept()[0]
        one.sendall(b"ten"), two.sendall(b"twenty")
        assert first.recv(16) == b"ten" and second.recv(16) == b"twenty"
        assert sorted(flow["vlan"] for flow in flows(tunnels[0])) == [10, 20]
        assert connections(tunnels[0]) == {"opened": 2} and connections(tunnels[1]) == {"accepted": 2}
        first.close(), second.close()


def test_a_host_that_moves_has_its_connections_reset(lab):
    a, b = start(lab)
    with connected(lab) as (one, other):
        one.sendall(b"here")
        assert other.recv(4) == b"here"
        # the MAC of hA announces itself at site B
        with lab.host("hB").packet_socket("eth0") as sock:
            sock.send(gratuitous_arp(lab.host("hA")))
            assert was_reset(other)
        # it has not really moved; where it is, its next segment is answered
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(TIMEOUT * 10):
                one.send(b"still here")
                time.sleep(0.1)
    assert "has moved to another site" in a.text() + b.text()


def test_three_sites_accelerate_with_one_another(make_lab):
    scapy = pytest.importorskip("scapy.all", reason="python3-scapy is not installed")
    Ether, IP, TCP = scapy.Ether, scapy.IP, scapy.TCP
    lab = make_lab(sites=3)
    a, b, c = start(lab)
    hosts = [lab.host(name) for name in ("hA", "hB", "hC")]
    for one in hosts:
        for other in hosts:
            if one is not other:
                transfer(one, other, 2 * MIB, seed=len(one.name))
    for tunnel in (a, b, c):
        wait_for(lambda t=tunnel: connections(t) == {"opened": 2, "accepted": 2, "closed": 4}, TIMEOUT, "all to be closed")
        assert bypassed(tunnel) == {}
    # a host moves from one far site to the other: those who talk to it, and its own site, reset
    with connected(lab, "hA", "hB") as (one, other), connected(lab, "hA", "hC", PORT + 1) as (stays, far):
        one.sendall(b"x")
        assert other.recv(1) == b"x"
        one_port = one.getsockname()[1]
        with lab.host("hC").packet_socket("eth0") as sock:
            sock.send(gratuitous_arp(lab.host("hB")))
            assert was_reset(one)
            # It is at C now and knows nothing of that: it has brought its connection along, and hears at its next word.
            wait_for(lambda: connections(b).get("reset") == 1, TIMEOUT, "B to be told")
            segment = Ether(src=lab.host("hB").mac, dst=lab.host("hA").mac) / \
                IP(src=lab.host("hB").ip, dst=lab.host("hA").ip) / \
                TCP(sport=PORT, dport=one_port, flags="PA", seq=77, ack=4711) / b"I have moved"
            sock.send(bytes(segment))
            while True:     # the reset that B's stack has sent may come by, too
                heard = Ether(sock.recv(70000))
                if TCP in heard and heard.dst == lab.host("hB").mac and heard[TCP].dport == PORT and heard[TCP].seq == 4711:
                    assert heard[TCP].flags == "R"
                    break
        stays.sendall(b"still there")
        assert far.recv(64) == b"still there"
    # whoever of the two saw it first has told the other
    assert "has moved to another site: 1 accelerated connections of it were reset" in a.text() + b.text()
    assert 1 <= sum(connections(tunnel).get("moved", 0) for tunnel in (a, b)) <= 2 and "moved" not in connections(c)


def gratuitous_arp(host):
    address = socket.inet_aton(host.ip)
    body = bytes.fromhex("0001080006040001") + mac(host.mac) + address + bytes(6) + address
    return ethernet("ff:ff:ff:ff:ff:ff", host.mac, 0x0806, body).ljust(60, b"\0")


def test_traffic_within_a_site_is_left_alone(make_lab):
    lab = make_lab(ports=2)
    args = {}
    for letter in "AB":
        site = lab.site(letter)
        args[letter] = ["-b", f"{site.borders[0]}:1,accel", "-b", f"{site.borders[1]}:1"]
        for host in (h for h in lab.all_hosts if h.name[1] == letter and h.port == 2):
            host.run(["ip", "addr", "add", f"10.77.0.{100 + ord(letter)}/24", "dev", "eth0"])
    other = {"A": "192.0.2.2", "B": "192.0.2.1"}
    tunnels = [lab.tunnel(letter, "-t", "wan", "-f", other[letter], *args[letter], *lab.sealed_args(letter))
               for letter in "AB"]
    for tunnel in tunnels:
        tunnel.peers_up()
    lab.host("hA2").ip = f"10.77.0.{100 + ord('A')}"
    transfer(lab.host("hA"), lab.host("hA2"), 2 * MIB)
    assert connections(tunnels[0]) == {} and bypassed(tunnels[0]) == {}


@pytest.mark.parametrize("n", [1, 2, 5])
def test_connections_are_spread_over_the_relay_threads(make_lab, n):
    lab = make_lab()
    tunnels = start(lab, "--relay-threads", str(n))
    with listening(lab.host("hB")) as listener, contextlib.ExitStack() as socks:
        pairs = []
        for _ in range(20):
            one = socks.enter_context(client(lab.host("hA")))
            one.connect((lab.host("hB").ip, PORT))
            pairs.append((one, socks.enter_context(listener.accept()[0])))
        for i, (one, other) in enumerate(pairs):
            one.sendall(bytes([i]) * 1000)
            other.sendall(bytes([100 + i]) * 500)
        for i, (one, other) in enumerate(pairs):
            assert other.recv(1000, socket.MSG_WAITALL) == bytes([i]) * 1000
            assert one.recv(500, socket.MSG_WAITALL) == bytes([100 + i]) * 500
        for tunnel in tunnels:
            accel = tunnel.status()["accel"]
            threads = accel["relay_threads"]
            assert len(threads) == n and accel["flows"] == 20 == sum(thread["flows"] for thread in threads)
            assert min(thread["flows"] for thread in threads) > 0
            assert accel["received_bytes"] == sum(thread["received_bytes"] for thread in threads)
            assert accel["sent_bytes"] + accel["received_bytes"] == 20 * 1500
            # One may just be on its way from one thread to another.
            wait_for(lambda t=tunnel: sum(thread["streams"] for thread in t.status()["accel"]["relay_threads"])
                     == t.status()["accel"]["streams"][0]["streams"], TIMEOUT, "each stream to be one thread's")
    for tunnel in tunnels:
        wait_for(lambda t=tunnel: t.status()["accel"]["flows"] == 0, TIMEOUT, "no flow to be left")


def test_a_server_that_speaks_first_and_leaves_is_heard(lab):
    """What it says may come together with its SYN/ACK's answer, before anybody has looked; it says nothing more."""
    start(lab, "--relay-threads", "1")
    words, each = b"220 hello\r\n", 200
    heard: list[bytes] = []
    with listening(lab.host("hB")) as listener:
        listener.listen(100)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    conn, _ = listener.accept()
                    with conn:
                        conn.sendall(words)

        def ask() -> None:
            for _ in range(each):
                with client(lab.host("hA")) as sock:
                    sock.connect((lab.host("hB").ip, PORT))
                    heard.append(read_all(sock))

        threading.Thread(target=serve, daemon=True).start()
        clients = [threading.Thread(target=ask, daemon=True) for _ in range(16)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join(2 * TIMEOUT)
        listener.close()
    assert len(heard) == 16 * each and set(heard) == {words}


def test_status_shows_flows_with_both_legs(lab):
    a, b = start(lab)
    best = "bbr" if "bbr" in available_congestion() else Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    with connected(lab) as (one, other):
        sender = Background(lambda: one.sendall(bytes(24 * MIB)))
        got = 0
        while got < 24 * MIB:
            got += len(other.recv(1 << 18))
        sender.get()
        near, far = flows(a), flows(b)
        assert len(near) == len(far) == 1
        assert near[0]["state"] == "accelerated" and near[0]["side"] == "client" and far[0]["side"] == "server"
        assert near[0]["sent_bytes"] == far[0]["received_bytes"] == 24 * MIB
        assert near[0]["local_port"] == one.getsockname()[1] and near[0]["remote_port"] == PORT
        for flow in (near[0], far[0]):
            assert flow["lan"]["congestion"] == "cubic" and flow["wan"]["congestion"] == best
            for leg in (flow["lan"], flow["wan"]):
                assert leg["rtt_ms"] > 0 and leg["mss"] > 500 and leg["window_bytes"] > 0 and leg["peer_window_bytes"] > 0
                assert leg["busy_s"] >= leg["rwnd_limited_s"] + leg["sndbuf_limited_s"] >= 0
        assert far[0]["lan"]["busy_s"] > 0 and near[0]["wan"]["busy_s"] > 0
        out = lab.site("A").run([longhaul(), "status", "--flows"]).stdout
        assert f":{PORT}" in out and "accelerated" in out
        assert re.search(r"LAN: RTT .* ms, window .*B, the other's .*B, 0 retransmits, cubic", out)
        assert re.search(rf"WAN: RTT .* ms, window .*B, the other's .*B, \d+ retransmits, {best}, busy .* s: .* %", out)


def available_congestion():
    return Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()


def test_the_congestion_control_of_streams_is_chosen(lab):
    a, _ = start(lab, "--congestion", "reno")
    with connected(lab):
        assert flows(a)[0]["wan"]["congestion"] == "reno"
        assert flows(a)[0]["lan"]["congestion"] == "cubic"
    out = lab.site("A").run([longhaul(), "tunnel", *lab.tunnel_args("A"), *lab.sealed_args("A"), "--congestion", "vegas9"],
                            check=False)
    assert out.returncode == 2 and "--congestion" in out.stderr and "'vegas9'" in out.stderr and "reno" in out.stderr


@pytest.mark.parametrize("limit, all_of_them", [("64:4096", True), ("400:400", False)])
def test_connections_for_which_there_are_no_descriptors_pass_through(make_lab, limit, all_of_them):
    lab = make_lab()
    tunnels = [begin(lab, letter, up=False, wrap=("prlimit", f"--nofile={limit}")) for letter in "AB"]
    ready(lab, *tunnels)
    with listening(lab.host("hB")) as listener, contextlib.ExitStack() as socks:
        listener.listen(200)
        ones = [socks.enter_context(client(lab.host("hA"))) for _ in range(150)]
        for one in ones:
            one.connect((lab.host("hB").ip, PORT))
        others = [socks.enter_context(listener.accept()[0]) for _ in ones]
        for n, one in enumerate(ones):
            one.sendall(b"%06d" % n)
        assert sorted(other.recv(6) for other in others) == [b"%06d" % n for n in range(150)]
        limited = bypassed(tunnels[0]).get("limit", 0)
        assert limited == (0 if all_of_them else 150 - 104)
        assert connections(tunnels[0])["opened"] == 150 - limited
    for tunnel in tunnels:
        wait_for(lambda t=tunnel: t.status()["accel"]["flows"] == 0, TIMEOUT, "no flow to be left")


def test_a_killed_tunnel_leaves_nothing_but_its_journal(lab):
    site = lab.site("A")
    look = lambda: (site.run("ip -o link").stdout.count("\n"), site.run("nft list ruleset").stdout,      # noqa: E731
                    site.run("ip rule").stdout, site.run("ip route show table all").stdout.replace("linkdown ", ""))
    before = look()
    a, _ = start(lab, "--without", "sk-lookup,initial-window")      # its route is in test_accel_ramp.py
    with connected(lab):
        assert look() == before     # all of it is in a namespace of the process's own
        inode = {link.split("[")[1] for link in namespaces(a.proc.pid)} - {link.split("[")[1] for link in namespaces(os.getpid())}
        a.kill()
    assert look() == before and inode
    assert list((lab.tmp / "state-A").iterdir()) == [journal(lab, "A")]


def namespaces(pid):
    """The network namespaces of a process's threads."""
    return {os.readlink(task / "ns" / "net") for task in Path(f"/proc/{pid}/task").iterdir()}


def test_only_tcp_comes_out_of_the_stack(lab):
    start(lab)
    with Capture(lab.host("hA"), "eth0", "not tcp and not arp and not icmp and not icmp6") as here:
        transfer(lab.host("hA"), lab.host("hB"), MIB)
    assert not here.packets()


@pytest.mark.lab(line=True)
def test_simultaneous_opens_are_bridged(lab):
    """Both hosts connect to one another at once (RFC 9293, 3.5): each side's OPEN meets the other's held SYN."""
    lab.shape("--delay", "100ms")
    a, b = start(lab)
    one, other = client(lab.host("hA"), source_port=PORT), client(lab.host("hB"), source_port=PORT)
    calls = [Background(lambda: one.connect((lab.host("hB").ip, PORT))),
             Background(lambda: other.connect((lab.host("hA").ip, PORT)))]
    for call in calls:
        call.get()
    with one, other:
        one.sendall(b"from A"), other.sendall(b"from B")
        assert one.recv(6) == b"from B" and other.recv(6) == b"from A"
    for tunnel in (a, b):
        assert bypassed(tunnel) == {"crossing": 1}


@pytest.mark.lab(line=True)
def test_a_long_path_with_loss_carries_every_byte(lab):
    lab.shape("--delay", "30ms", "--loss", "0.5%")
    a, b = start(lab)
    transfer(lab.host("hA"), lab.host("hB"), 4 * MIB)
    transfer(lab.host("hB"), lab.host("hA"), 4 * MIB, seed=2)
    assert connections(a)["opened"] == connections(b)["opened"] == 1 and bypassed(a) == bypassed(b) == {}


def instance():
    """What a process bears that begins now."""
    return int(time.time() * 32) & 0xffffffff


def test_a_stranger_and_a_peer_that_talks_nonsense_harm_nobody(lab):
    """Streams need the pinned certificate; a peer that says what it must not loses that stream only."""
    a, b = start(lab)
    identity = lab.identity("B")[0]
    talk = ("import socket,ssl,sys\n"
            "ctx=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n"
            "ctx.check_hostname=False; ctx.verify_mode=ssl.CERT_NONE\n"
            "ctx.set_alpn_protocols(['longhaul-stream/1'])\n"
            "if sys.argv[2]: ctx.load_cert_chain(sys.argv[2]+'/cert.pem', sys.argv[2]+'/key.pem')\n"
            "s=ctx.wrap_socket(socket.create_connection((sys.argv[1], 7245), timeout=10))\n"
            "try:\n"
            "    s.sendall(bytes.fromhex(sys.argv[3]))\n"
            "    while s.recv(4096): pass\n"
            "except (ssl.SSLError, OSError) as e: print('refused', e)\n")
    hello = f"01000000 00000008 00000000 00000000 00010000 {instance():08x}"
    opening = ("02000000 00000040 00000001 00000001 00000001 0000 04 00 020000000b01 020000000a01"
               "00000000000000000000ffff0a4d0002 00000000000000000000ffff0a4d0001 9c40 0050 05b4 0100 00100000").replace(" ", "")
    nonsense = ["ff" * 64, hello + hello, opening, hello + "07000000 0000000d 00000001 00000001 0000000000000000 0102030405",
                hello + opening[:8] + "ffffffff" + opening[16:]]
    with connected(lab) as (one, other):
        out = lab.site("B").python(talk, lab.site("A").ip, "", hello)
        assert "refused" in out.stdout + out.stderr
        for words in nonsense:
            lab.site("B").python(talk, lab.site("A").ip, str(identity), words.replace(" ", ""))
        # a good OPEN of a server that is not here, as any peer may try: refused, and counted
        elsewhere = opening.replace("020000000a01", "020000000a99")
        script = talk.replace("while s.recv(4096): pass", "print(s.recv(4096).hex() and s.recv(4096).hex())")
        lab.site("B").python(script, lab.site("A").ip, str(identity), (hello + elsewhere).replace(" ", ""))
        wait_for(lambda: connections(a).get("unauthorised") == 1, TIMEOUT, "the refusal to be counted")
    # that the other process took B's name ended B's streams, as a restart would; what follows is accelerated
    assert a.status()["accel"]["frames"]["protocol_errors"] >= 3
    ready(lab, a, b)
    transfer(lab.host("hA"), lab.host("hB"), MIB)


def record(kind, payload=b"", flow=0, generation=0):
    """A record of a stream, doc/protocol.md."""
    return struct.pack("!B3xIII", kind, len(payload), flow, generation) + payload


def opening(tag, client_host, server_host, client_mac=None, server_mac=None):
    """An OPEN."""
    address = lambda host: bytes(10) + b"\xff\xff" + socket.inet_aton(host.ip)      # noqa: E731
    return record(2, struct.pack("!IHBB", tag, 0, 4, 0) + mac(client_mac or client_host.mac) +
                  mac(server_mac or server_host.mac) + address(client_host) + address(server_host) +
                  struct.pack("!HHHBxI", 40000, PORT, 1460, 1, 1 << 20), 1, 1)


def answer_to(lab, letter, to, what):
    """What a site is told that says this on a stream of its own: (type of the record, payload).

    The site's own process still makes streams, which ends those of who took its name for a while: then once more.
    """
    while True:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            return one_answer_to(lab, letter, to, what)


def one_answer_to(lab, letter, to, what):
    identity = lab.identity(letter)[0]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["longhaul-stream/1"])
    context.load_cert_chain(identity / "cert.pem", identity / "key.pem")
    with lab.site(letter).netns():
        plain = socket.socket()
    plain.settimeout(TIMEOUT)
    plain.connect((lab.site(to).ip, 7245))
    with context.wrap_socket(plain) as sock:
        sock.sendall(record(1, struct.pack("!HBxI", 1, 0, instance())) + what)
        have = b""
        while True:
            while len(have) >= 16 and len(have) >= 16 + int.from_bytes(have[4:8], "big"):
                length = 16 + int.from_bytes(have[4:8], "big")
                kind, payload, have = have[0], have[16:length], have[length:]
                if kind not in (1, 13, 14):     # HELLO, TUPLES, TUPLES_END
                    return kind, payload
            part = sock.recv(4096)
            if not part:
                raise ConnectionError("the stream was closed")
            have += part


def test_a_peer_may_open_only_what_it_is_granted_between_hosts_that_are_where_it_says(make_lab):
    """Tag 1 is bridged with B, tag 2 with C. B's own process asks for what is not its own."""
    lab = make_lab(sites=3, ports=2)
    a = lab.tunnel("A", "-t", "wan", "-f", f"{lab.site('B').ip},{lab.site('C').ip}", "-b", "border1:1,accel", "-b",
                   "border2:2,accel", "--state", str(lab.tmp / "A"), *lab.sealed_args("A"))
    for letter, port in (("B", "border1:1,accel"), ("C", "border2:2,accel")):
        lab.tunnel(letter, "-t", "wan", "-f", lab.site("A").ip, "-b", port, "--state", str(lab.tmp / letter), "--identity",
                   str(lab.identity(letter)[0]), "--trust", lab.identity("A")[1])
    a.peers_up()
    here, there, other = lab.host("hA"), lab.host("hB"), lab.host("hC2")
    wait_for(lambda: there.run(["ping", "-c1", "-W1", here.ip], check=False).returncode == 0, TIMEOUT, "B to reach A")
    wait_for(lambda: other.run(["ping", "-c1", "-W1", lab.host("hA2").ip], check=False).returncode == 0, TIMEOUT, "C to reach A")
    with listening(here) as listener, listening(lab.host("hA2"), address=lab.host("hA2").ip) as hidden:
        for number, (what, reason) in enumerate([
                (opening(2, other, lab.host("hA2")), 3), (opening(2, there, here), 3), (opening(9, there, here), 3),
                (opening(1, there, here, client_mac="02:00:00:00:0b:99"), 4), (opening(1, here, here), 4),
                (opening(1, there, here, server_mac="02:00:00:00:0a:99"), 5), (opening(1, there, there), 5)], 1):
            kind, payload = answer_to(lab, "B", "A", what)
            assert (kind, payload[0]) == (4, reason)
            assert connections(a)["unauthorised"] >= number
        for sock in (listener, hidden):
            sock.settimeout(0.2)
            with pytest.raises(TimeoutError):
                sock.accept()
        # and what it may
        listener.settimeout(TIMEOUT)
        assert answer_to(lab, "B", "A", opening(1, there, here))[0] == 3
        assert listener.accept()[1] == (there.ip, 40000)
        # nor may it join what it has not opened
        kind, payload = answer_to(lab, "B", "A", record(15, b"", 1, 1))
        assert (kind, payload[0]) == (4, 9)
    assert a.status()["accel"]["frames"]["protocol_errors"] == 0


def test_curl_and_nginx_over_an_accelerated_tag(lab):
    a, b = start(lab)
    root = lab.tmp / "www"
    root.mkdir()
    content = stream(9 * MIB, 11)
    (root / "file").write_bytes(content)
    (lab.tmp / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {lab.tmp}/nginx.pid; error_log stderr;\nevents {{}}\n"
        f"http {{ access_log off; client_body_temp_path {lab.tmp}; proxy_temp_path {lab.tmp}; fastcgi_temp_path {lab.tmp};"
        f" uwsgi_temp_path {lab.tmp}; scgi_temp_path {lab.tmp};"
        f" server {{ listen {lab.host('hB').ip}:80; root {root}; }} }}\n")
    lab.host("hB").popen(["nginx", "-c", str(lab.tmp / "nginx.conf")])
    wait_for(lambda: lab.host("hB").listening(80), TIMEOUT, "nginx")
    url = f"http://{lab.host('hB').ip}/file"
    lab.host("hA").run(["curl", "-sS", "--fail", "-o", str(lab.tmp / "got"), url])
    assert (lab.tmp / "got").read_bytes() == content
    # ranges on one connection that is kept alive, and one that the client gives up in the middle
    out = lab.host("hA").run(["curl", "-sS", "--fail", "-r", "5-9", url, "-o", str(lab.tmp / "one"), "--next", "-sS",
                              "-r", "100-199", url, "-o", str(lab.tmp / "two")])
    assert out.returncode == 0 and (lab.tmp / "two").read_bytes() == content[100:200]
    lab.host("hA").sh(f"curl -sS {url} | head -c 100000 > /dev/null; true")
    wait_for(lambda: a.status()["accel"]["flows"] == 0 == b.status()["accel"]["flows"], TIMEOUT, "all flows to end")
    assert connections(a)["opened"] >= 3 and bypassed(a) == {}
