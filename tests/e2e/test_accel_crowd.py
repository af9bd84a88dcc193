# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP under load: a flood of SYNs is not amplified, and memory has a limit; both cost others nothing."""
import contextlib

from accel import PORT, TIMEOUT, bypassed, connected, connections, flows, listening, start
from longhaul_lab import wait_for
from traffic import stream

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

FORGED_MAC, FORGED_IP = "02:00:00:00:00:99", "10.77.0.99"
FLOOD = 2000


def syns(mac):
    """The flood, ready to send: from one host, each from another port, to one server."""
    whole = bytes(Ether(src=FORGED_MAC, dst=mac) / IP(src=FORGED_IP, dst="10.77.0.2") /
                  TCP(sport=0, dport=PORT, flags="S", options=[("MSS", 1460)]))
    for port in range(10000, 10000 + FLOOD):
        # The port takes its part out of the checksum, so that this stays right.
        check = int.from_bytes(whole[50:52], "big") - port
        check = (check - 1 if check < 0 else check) & 0xffff
        yield whole[:34] + port.to_bytes(2, "big") + whole[36:50] + check.to_bytes(2, "big") + whole[52:]


def decided(tunnel):
    """How many SYNs the far side was asked about, or are bridged."""
    return connections(tunnel).get("opened", 0) + sum(bypassed(tunnel).values())


def test_a_flood_of_syns_opens_few_connections_and_none_stays(make_lab):
    lab = make_lab()
    a, b = start(lab)
    ha, hb = lab.host("hA"), lab.host("hB")
    hb.run(["ip", "neigh", "replace", FORGED_IP, "lladdr", FORGED_MAC, "dev", "eth0"])
    with listening(hb), ha.packet_socket("eth0", TIMEOUT) as raw:
        for frame in syns(hb.mac):
            raw.send(frame)
        wait_for(lambda: decided(a) >= FLOOD, TIMEOUT, "every SYN to be decided about")
        assert connections(a)["opened"] <= FLOOD // 2 and bypassed(a)["crowd"] > 0
        # far_side: that of which site B had not heard before.
        assert set(bypassed(a)) <= {"crowd", "no_stream", "far_side"}
        # Somebody else is served meanwhile.
        with connected(lab, port=PORT + 1) as (one, other):
            one.sendall(b"still here")
            assert other.recv(64) == b"still here"
            states = {flow["local_port"]: flow["state"] for flow in flows(a)}
            assert states[one.getsockname()[1]] == "accelerated"
        # Nobody acknowledged: the server's connections are reset, and nothing is left of them.
        for tunnel in (a, b):
            wait_for(lambda t=tunnel: t.status()["accel"]["flows"] == 0, TIMEOUT, "the flood's connections to end")
        assert connections(b)["reset"] > 0
        wait_for(lambda: FORGED_IP not in hb.run(["ss", "-Htn", "state", "established"]).stdout, TIMEOUT,
                 "the server to be rid of them")
    # The flood's source has its places back.
    with connected(lab, port=PORT + 2) as (one, other):
        one.sendall(b"again")
        assert other.recv(64) == b"again"


def test_beyond_the_memory_connections_are_bridged_and_work_as_well(make_lab):
    lab = make_lab()
    a, b = start(lab, "--accel-memory", "1M")
    with contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(connected(lab, port=PORT + n)) for n in range(50)]
        for number, (one, other) in enumerate(pairs):
            for sender, receiver in ((one, other), (other, one)):
                sender.sendall(stream(50_000, number))
                receiver.settimeout(TIMEOUT)
                got = b""
                while len(got) < 50_000:
                    got += receiver.recv(1 << 16)
                assert got == stream(50_000, number)
        assert sum(bypassed(a).values()) == 50 - a.status()["accel"]["flows"] > 0
        assert set(bypassed(a)) <= {"memory", "stack"}      # stack: the far side has no more
        for tunnel in (a, b):
            memory = tunnel.status()["accel"]["memory"]
            assert 0 < memory["granted_bytes"] <= memory["limit_bytes"] == 1 << 20
    for tunnel in (a, b):
        wait_for(lambda t=tunnel: t.status()["accel"]["memory"]["granted_bytes"] == 0, TIMEOUT, "all to be given back")
