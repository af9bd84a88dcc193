# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP, segment by segment: what a hand-made host says, and exactly what it is answered.

The host speaks by hA's interface with an address of its own, so no kernel answers in its place.
"""
import signal
import time

import pytest
from accel import PORT, TIMEOUT, bypassed, client, connected, connections, flows, listening, reset, start
from longhaul_lab import Capture, wait_for

scapy = pytest.importorskip("scapy.all", reason="python3-scapy is not installed")
from scapy.layers.inet import ICMP, IP, TCP, IPOption_NOP     # noqa: E402
from scapy.layers.l2 import Ether               # noqa: E402

DROP = f"table ip t {{ chain c {{ type filter hook input priority 0; tcp dport {PORT} drop; }}; }}\n"


class Hand:
    """A TCP client made by hand."""

    ip = "10.77.0.99"

    def __init__(self, lab, port, to_mac=None):
        self.lab, self.port = lab, port
        self.other = lab.host("hB")
        self.ether = Ether(src=lab.host("hA").mac, dst=to_mac or self.other.mac)
        self.other.run(["ip", "neigh", "replace", self.ip, "lladdr", lab.host("hA").mac, "dev", "eth0"])
        self.sock = lab.host("hA").packet_socket("eth0", TIMEOUT)
        self.seq, self.ack = 100000, 0

    def close(self):
        self.sock.close()

    def send(self, flags, payload=b"", seq=None, **fields):
        """Say a segment; what is said anew moves on."""
        segment = TCP(sport=self.port, dport=PORT, flags=flags, seq=self.seq if seq is None else seq, ack=self.ack,
                      window=8192, **fields)
        self.sock.send(bytes(self.ether / IP(src=self.ip, dst=self.other.ip) / segment / payload))
        if seq is None:
            self.seq += len(payload) + ("S" in flags) + ("F" in flags)

    def hear(self, what="the answer"):
        """The next segment for us."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            packet = Ether(self.sock.recv(70000))
            if TCP in packet and packet[IP].dst == self.ip and packet[TCP].dport == self.port:
                return packet[TCP]
        raise AssertionError(f"{what} has not come")

    def expect(self, flags, seq=None, ack=None, payload=None):
        """The next segment with these flags, and what else is said of it."""
        while True:
            got = self.hear(f"a segment {flags}")
            if got.flags == flags and (payload is None or bytes(got.payload)):
                break
        assert seq is None or got.seq == seq, got
        assert ack is None or got.ack == ack, got
        assert payload is None or bytes(got.payload) == payload, got
        return got

    def connect(self):
        """The handshake. The server's socket, of a listener."""
        with listening(self.other) as listener:
            self.send("S", options=[("MSS", 1460)])
            self.ack = self.expect("SA", ack=self.seq).seq + 1
            self.send("A")
            conn, address = listener.accept()
            assert address == (self.ip, self.port)
            conn.settimeout(TIMEOUT)
            return conn


@pytest.fixture(scope="module")
def site(make_module_lab):
    """A laboratory with accelerating tunnels that the tests of this module share: (lab, A, B)."""
    lab = make_module_lab()
    return (lab, *start(lab))


@pytest.fixture
def hand(site, request):
    """A hand-made client, each test's with a port of its own."""
    one = Hand(site[0], 3000 + request.node.session.items.index(request.node))
    yield one
    one.close()


def test_the_newest_held_syn_is_the_one_that_is_answered(site, hand):
    lab, a, _ = site
    hand.other.run("nft -f -", input=DROP)
    before = connections(a).get("opened", 0)
    with listening(hand.other) as listener:
        hand.send("S", seq=5)
        wait_for(lambda: connections(a).get("opened", 0) == before + 1, TIMEOUT, "the far side to be asked")
        hand.seq = 770000
        hand.send("S")
        hand.other.run("nft flush ruleset")
        hand.ack = hand.expect("SA", ack=770001).seq + 1
        hand.send("PA", b"the second")
        conn, _ = listener.accept()
        conn.settimeout(TIMEOUT)
        with conn:
            assert conn.recv(64) == b"the second"
            hand.send("R")
            with pytest.raises(ConnectionResetError):
                conn.recv(64)


def test_a_syn_again_is_answered_as_the_stack_answers_it(site, hand):
    with listening(hand.other) as listener:
        hand.send("S")
        first = hand.expect("SA", ack=hand.seq)
        hand.send("S", seq=hand.seq - 1)
        assert hand.expect("SA", ack=hand.seq).seq == first.seq
        hand.ack = first.seq + 1
        hand.send("A")
        conn, _ = listener.accept()
        with conn:
            # of a host that has started anew: a challenge (RFC 5961, 4)
            hand.send("S", seq=hand.seq + 100000)
            hand.expect("A", ack=hand.seq)
            hand.send("R")


@pytest.mark.parametrize("kind", ["damaged", "beyond the window", "old"])
def test_a_fin_that_cannot_be_believed_is_not_believed(site, hand, kind):
    """A host's TCP drops such segments: nothing of them may be taken for the end, or the real one would be lost."""
    with hand.connect() as conn:
        hand.send("PA", b"before")
        assert conn.recv(64) == b"before"
        hand.send("FA", **{"damaged": {"seq": hand.seq, "chksum": 0x1234},
                           "beyond the window": {"seq": hand.seq + (200 << 20)}, "old": {"seq": hand.seq - 5000}}[kind])
        hand.send("PA", b"after")
        assert conn.recv(64) == b"after"
        conn.settimeout(0.3)
        with pytest.raises(TimeoutError):
            conn.recv(64)
        conn.settimeout(TIMEOUT)
        hand.send("FA", b"the end")
        assert conn.recv(64) == b"the end" and conn.recv(64) == b""
        conn.sendall(b"still here")
        hand.expect("PA", payload=b"still here")
        hand.send("R", seq=hand.seq)


def test_a_fin_before_its_data_ends_behind_them(site, hand):
    with hand.connect() as conn:
        hand.send("FA", b"second", seq=hand.seq + 5)
        conn.settimeout(0.3)
        with pytest.raises(TimeoutError):
            conn.recv(64)
        conn.settimeout(TIMEOUT)
        hand.send("PA", b"first")
        got = b""
        while part := conn.recv(64):
            got += part
        assert got == b"firstsecond"
        hand.send("R", seq=hand.seq + 7)


def test_damaged_syns_are_nobodys(site, hand):
    """The server drops one, so it must not be asked on its behalf; held ones and resets are not touched by them."""
    _, a, _ = site
    before = connections(a).get("opened", 0), bypassed(a)
    with Capture(hand.other, "eth0", f"tcp dst port {PORT} and src port {hand.port}") as there:
        hand.send("S", chksum=0x1234)
        assert Ether(there.wait()[0].data)[TCP].chksum == 0x1234
    assert (connections(a).get("opened", 0), bypassed(a)) == before
    hand.seq = 100000
    with hand.connect() as conn:
        hand.send("R", seq=hand.seq)
        with pytest.raises(ConnectionResetError):
            conn.recv(64)


def test_ip_options_and_fragments_do_not_go_to_the_stack(site, hand):
    _, a, _ = site
    before = bypassed(a).get("unusual", 0), connections(a).get("opened", 0), a.status()["accel"]["frames"]["stray"]
    with Capture(hand.other, "eth0", f"tcp dst port {PORT} and src port {hand.port}") as there:
        hand.sock.send(bytes(hand.ether / IP(src=hand.ip, dst=hand.other.ip, options=[IPOption_NOP()] * 4) /
                             TCP(sport=hand.port, dport=PORT, flags="S", seq=1)))
        there.wait()
    assert (bypassed(a)["unusual"], connections(a).get("opened", 0)) == (before[0] + 1, before[1])
    hand.port += 1000
    with hand.connect() as conn:
        whole = IP(src=hand.ip, dst=hand.other.ip, id=7) / TCP(sport=hand.port, dport=PORT, flags="PA", seq=hand.seq,
                                                              ack=hand.ack) / bytes(400)
        for part in scapy.fragment(whole, 200):
            hand.sock.send(bytes(hand.ether / part))
        wait_for(lambda: a.status()["accel"]["frames"]["stray"] == before[2] + 1, TIMEOUT, "the stray to be counted")
        hand.send("PA", b"whole")
        assert conn.recv(64) == b"whole"
        hand.send("R", seq=hand.seq)


def test_what_comes_late_after_a_close_is_acknowledged(site, hand):
    _, a, _ = site
    closed = connections(a).get("closed", 0)
    conn = hand.connect()
    start_seq = hand.seq
    hand.send("PA", b"all of it")
    assert conn.recv(64) == b"all of it"
    hand.send("FA")
    assert conn.recv(64) == b""
    conn.close()
    fin = hand.expect("FA")
    assert fin.ack in (hand.seq - 1, hand.seq)
    hand.ack = fin.seq + 1
    hand.send("A")
    wait_for(lambda: connections(a).get("closed", 0) == closed + 1, TIMEOUT, "the close")
    answers = a.status()["accel"]["frames"]["acks_sent"]
    hand.send("PA", b"all of it", seq=start_seq)
    hand.send("FA", seq=hand.seq - 1)
    for ack in (start_seq + 9, hand.seq):
        got = hand.expect("A", seq=hand.ack, ack=ack)
        assert not bytes(got.payload)
    # a pure acknowledgement and a reset are not answered, nothing takes sequence space
    hand.send("A")
    hand.send("R")
    wait_for(lambda: a.status()["accel"]["frames"]["acks_sent"] == answers + 2, TIMEOUT, "two answers")


def test_a_fin_that_is_repeated_before_the_far_side_is_done_is_not_reset(site, hand):
    """The stack has closed, and keeps no TIME_WAIT; that both sites are done is not known here yet."""
    _, a, b = site
    conn = hand.connect()
    hand.send("FA")
    assert conn.recv(64) == b""
    hand.expect("A", ack=hand.seq)      # released: the server has acknowledged it
    conn.close()
    fin = hand.expect("FA")
    b.send(signal.SIGSTOP)
    try:
        hand.ack = fin.seq + 1
        hand.send("A")
        wait_for(lambda: own_phase(a, hand) == "open", TIMEOUT, "the connection to be half done")
        time.sleep(0.3)     # the stack takes the acknowledgement, unseen
        hand.send("FA", seq=hand.seq - 1)
        hand.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while "R" not in str(hand.hear().flags):
                pass
    finally:
        b.send(signal.SIGCONT)
    hand.sock.settimeout(TIMEOUT)
    wait_for(lambda: own_phase(a, hand) is None, TIMEOUT, "both sides to be done")
    hand.send("FA", seq=hand.seq - 1)
    hand.expect("A", seq=hand.ack, ack=hand.seq)


def own_phase(tunnel, hand):
    """The phase of a hand-made connection."""
    return next((f.get("phase") for f in flows(tunnel) if f["local"] == hand.ip and f["local_port"] == hand.port), None)


def test_what_comes_late_after_a_reset_is_reset_believably(site, hand):
    _, a, _ = site
    conn = hand.connect()
    reset(conn)
    wait_for(lambda: not any(f["local"] == hand.ip and f["local_port"] == hand.port for f in flows(a)), TIMEOUT, "the reset")
    first = hand.hear("the reset")
    while "R" not in str(first.flags):
        first = hand.hear("the reset")
    hand.send("PA", b"has not heard it", seq=hand.seq)
    hand.expect("R", seq=hand.ack)


@pytest.mark.parametrize("option", [(19, bytes(16)), (29, bytes(14))], ids=["MD5", "AO"])
def test_signed_syns_are_bridged_untouched(site, hand, option):
    _, a, _ = site
    before = bypassed(a).get("secret", 0), connections(a).get("opened", 0)
    with Capture(hand.other, "eth0", f"tcp dst port {PORT} and src port {hand.port}") as there:
        hand.send("S", options=[("MSS", 1200), option])
        packet = Ether(there.wait()[0].data)
    assert packet[TCP].seq == 100000 and (option[0], option[1]) in [(k, v) for k, v in raw_options(packet[TCP])]
    assert (bypassed(a)["secret"], connections(a).get("opened", 0)) == (before[0] + 1, before[1])


def raw_options(tcp):
    """Options as numbers and bytes, whatever scapy calls them."""
    rest = bytes(tcp)[20:tcp.dataofs * 4]
    while rest and rest[0]:
        if rest[0] == 1:
            rest = rest[1:]
            continue
        yield rest[0], rest[2:rest[1]]
        rest = rest[rest[1]:]


def test_a_decision_to_bridge_holds_for_its_connection(site, hand):
    """Made while the server's MAC was unknown; when that is learnt, a repeated SYN must not make two connections."""
    lab, a, _ = site
    unknown = "02:00:00:00:0b:77"
    hand.ether.dst = unknown
    before = bypassed(a).get("no_peer", 0), connections(a).get("opened", 0)
    with Capture(hand.other, "eth0", f"tcp dst port {PORT} and ether dst {unknown}") as there:
        hand.send("S")
        there.wait()
        assert bypassed(a)["no_peer"] == before[0] + 1
        with hand.other.packet_socket("eth0") as sock:
            sock.send(bytes(Ether(src=unknown, dst="ff:ff:ff:ff:ff:ff", type=0x88B5) / bytes(46)))
        wait_for(lambda: unknown in str(a.node.run([a.argv[0], "status", a.instance, "--macs", "--json"]).stdout), TIMEOUT,
                 "the MAC to be learnt")
        hand.send("S", seq=100000)
        there.wait(2)
        assert connections(a).get("opened", 0) == before[1]
        hand.port += 1000
        hand.send("S", seq=100000)
        wait_for(lambda: connections(a).get("opened", 0) == before[1] + 1, TIMEOUT, "another connection to be accelerated")


def test_an_icmp_error_about_what_the_stack_sent_goes_to_the_stack(site):
    """A router of the LAN says that it cannot carry so much: the stack has sent the segment, so it must hear it."""
    lab, a, _ = site
    here, there = lab.host("hA"), lab.host("hB")
    with connected(lab) as (one, other):
        with Capture(here, "eth0", f"tcp src port {PORT}") as capture:
            other.sendall(b"x")
            assert one.recv(1) == b"x"
            sent = Ether(next(p for p in capture.wait() if Ether(p.data)[TCP].payload).data)
        sent[TCP].remove_payload()
        sent[TCP].seq += 1
        error = ICMP(type=3, code=4, nexthopmtu=1000)
        frame = Ether(src=here.mac, dst=there.mac) / IP(src="10.77.0.98", dst=there.ip) / error / bytes(sent[IP])[:28]
        assert own(a, one)["lan"]["mss"] > 1400
        with Capture(there, "eth0", "icmp") as silent, here.packet_socket("eth0") as sock:
            sock.send(bytes(frame))
            wait_for(lambda: own(a, one)["lan"]["mss"] <= 1000 - 40, TIMEOUT, "the stack to send less at a time")
            other.sendall(bytes(100000))
            got = 0
            while got < 100000:
                got += len(one.recv(1 << 16))
            # about a connection that is not ours it goes to whom it is addressed
            sent[TCP].dport += 1
            sock.send(bytes(Ether(src=here.mac, dst=there.mac) / IP(src="10.77.0.98", dst=there.ip) / error /
                            bytes(sent[IP])[:28]))
            assert [Ether(p.data)[ICMP].nexthopmtu for p in silent.wait()] == [1000]
        assert len(silent.packets()) == 1


def own(tunnel, sock):
    """What a tunnel says of a host's connection."""
    return next(f for f in flows(tunnel) if f["local_port"] == sock.getsockname()[1])


def test_a_segment_that_goes_past_the_stack_never_reaches_the_host(site):
    """It has the connection's ports and addresses, but another MAC: bridged here, and a stray at the far side."""
    lab, _, b = site
    here, there = lab.host("hA"), lab.host("hB")
    stray = b.status()["accel"]["frames"]["stray"]
    with connected(lab) as (one, other):
        with here.packet_socket("eth0") as sock:
            sock.send(bytes(Ether(src=here.mac, dst="02:00:00:00:0b:78") / IP(src=here.ip, dst=there.ip) /
                            TCP(sport=one.getsockname()[1], dport=PORT, flags="R", seq=0)))
        wait_for(lambda: b.status()["accel"]["frames"]["stray"] == stray + 1, TIMEOUT, "the stray to be counted")
        one.sendall(b"still there")
        assert other.recv(64) == b"still there"


def test_a_client_on_a_reserved_port_keeps_it(site):
    """As NFS clients have it."""
    lab, a, b = site
    before = connections(b).get("accepted", 0)
    with listening(lab.host("hB")) as listener, client(lab.host("hA"), source_port=700) as one:
        one.connect((lab.host("hB").ip, PORT))
        conn, address = listener.accept()
        conn.close()
    assert address[1] == 700 and connections(b)["accepted"] == before + 1
