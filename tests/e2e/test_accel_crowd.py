# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP under load: a flood of SYNs is not amplified, and memory has a limit; both cost others nothing."""
import contextlib
import time

import pytest
from accel import PORT, TIMEOUT, bypassed, connected, connections, flows, listening, start
from longhaul_lab import Capture, wait_for
from traffic import stream

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

FORGED_MAC, FORGED_IP = "02:00:00:00:00:99", "10.77.0.99"
FLOOD = 2000
PROBE = 0x88b5      # an EtherType for experiments (IEEE 802)


def syns(mac):
    """The flood, ready to send: from one host, each from another port, to one server."""
    whole = bytes(Ether(src=FORGED_MAC, dst=mac) / IP(src=FORGED_IP, dst="10.77.0.2") /
                  TCP(sport=0, dport=PORT, flags="S", options=[("MSS", 1460)]))
    for port in range(10000, 10000 + FLOOD):
        # The port takes its part out of the checksum, so that this stays right.
        check = int.from_bytes(whole[50:52], "big") - port
        check = (check - 1 if check < 0 else check) & 0xffff
        yield whole[:34] + port.to_bytes(2, "big") + whole[36:50] + check.to_bytes(2, "big") + whole[52:]


def frames(hb, sources, each):
    """A flood of several sources, each a MAC and an address, ready to send; each from other ports."""
    for number, (mac, address) in enumerate(sources):
        for port in range(10000 + number * each, 10000 + (number + 1) * each):
            yield bytes(Ether(src=mac, dst=hb.mac) / IP(src=address, dst=hb.ip) /
                        TCP(sport=port, dport=PORT, flags="S", options=[("MSS", 1460)]))


def announce(raw, hb, macs):
    """Have both sites learn where hosts are that do not exist."""
    with Capture(hb, "eth0", f"ether proto {PROBE:#x}") as capture:
        for mac in macs:
            raw.send(bytes(Ether(src=mac, dst=hb.mac, type=PROBE)) + bytes(46))
        wait_for(lambda: {p.data[6:12] for p in capture.packets()} >= {bytes.fromhex(mac.replace(":", "")) for mac in macs}, TIMEOUT,
                 "every source to be heard")


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


# Of one host, known by its MAC or by its address, so many may be opened or be without their client's ACK (doc/accel.md).
SOURCES = {"address": ([(f"02:00:00:00:01:{n:02x}", FORGED_IP) for n in range(40)], (1024 + 128) // 2),
           "mac": ([(FORGED_MAC, f"10.77.0.{100 + n}") for n in range(40)], 1024 + 128)}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("same", SOURCES)
def test_a_flood_that_forges_either_of_its_names_is_limited_by_the_other_and_its_servers_are_reset(make_lab, same):
    sources, most = SOURCES[same]
    lab = make_lab()
    a, b = start(lab)
    ha, hb = lab.host("hA"), lab.host("hB")
    for mac, address in sources:
        hb.run(["ip", "neigh", "replace", address, "lladdr", mac, "dev", "eth0"])
    flood, seen = list(frames(hb, sources, 100)), 0
    with listening(hb), ha.packet_socket("eth0", TIMEOUT) as raw, \
            Capture(hb, "eth0", f"tcp dst port {PORT} and tcp[tcpflags] & tcp-rst != 0") as resets:
        announce(raw, hb, {mac for mac, _ in sources})
        for number, frame in enumerate(flood):
            raw.send(frame)
            if not number % 200:
                seen = max(seen, a.status()["accel"]["flows"])
        wait_for(lambda: decided(a) >= len(flood), 2 * TIMEOUT, "every SYN to be decided about")
        seen = max(seen, a.status()["accel"]["flows"])
        assert 64 < seen <= most
        assert bypassed(a)["crowd"] > 0 and set(bypassed(a)) <= {"crowd", "no_stream", "far_side"}
        # What the server has accepted and nobody acknowledged is reset, each connection.
        for tunnel in (a, b):
            wait_for(lambda t=tunnel: t.status()["accel"]["flows"] == 0, 2 * TIMEOUT, "the flood's connections to end")
        wait_for(lambda: connections(a).get("opened", 0) == connections(b).get("accepted", 0) + connections(b).get("refused", 0), TIMEOUT,
                 "both sites to agree")
        # To one address the server answers by one MAC, and the others' connections are never made.
        done = connections(b).get("reset", 0)
        assert done > 0 or same == "address"
        wait_for(lambda: len({(p.data[26:30], p.data[34:36]) for p in resets.packets()}) >= done, TIMEOUT,
                 "the server to be told of each")
        wait_for(lambda: not hb.run(["ss", "-Htn", "state", "established", f"( sport = :{PORT} )"]).stdout, TIMEOUT,
                 "the server to be rid of them")


@pytest.mark.timeout(200)
def test_a_server_is_reset_three_seconds_after_its_answer_and_not_before(make_lab):
    lab = make_lab()
    a, b = start(lab)
    ha, hb = lab.host("hA"), lab.host("hB")
    hb.run(["ip", "neigh", "replace", FORGED_IP, "lladdr", FORGED_MAC, "dev", "eth0"])
    with listening(hb), ha.packet_socket("eth0", TIMEOUT) as raw, Capture(hb, "eth0", f"tcp port {PORT}") as capture:
        announce(raw, hb, {FORGED_MAC})
        raw.send(next(frames(hb, [(FORGED_MAC, FORGED_IP)], 1)))
        wait_for(lambda: connections(b).get("reset"), TIMEOUT, "its connection to be reset")
        time.sleep(0.2)
        answered = [p for p in capture.packets() if p.data[47] & 0x12 == 0x12]
        reset = [p for p in capture.packets() if p.data[47] & 4]
    assert len(answered) >= 1 and len(reset) >= 1
    assert reset[0].time - answered[0].time >= 3


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
