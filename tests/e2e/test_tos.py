# SPDX-License-Identifier: GPL-3.0-or-later
"""Class and congestion marks between inner and outer packets: RFC 6040, with and without offloads."""
import socket

import pytest
from longhaul_lab import Capture, wait_for
from path import Path
from traffic import drops, stream, transfer

EF, ECT1, ECT0, CE = 0xb8, 1, 2, 3
IP_RECVTOS, IPV6_RECVTCLASS, IPV6_TCLASS = 13, 66, 67


def pair(a, b, ipv6=False, port=7200):
    """A bound socket at b that is told each datagram's class, and one at a that is connected to it."""
    family, address = (socket.AF_INET6, b.ip6) if ipv6 else (socket.AF_INET, b.ip)
    with b.netns():
        receiver = socket.socket(family, socket.SOCK_DGRAM)
    receiver.setsockopt(*((socket.IPPROTO_IPV6, IPV6_RECVTCLASS) if ipv6 else (socket.IPPROTO_IP, IP_RECVTOS)), 1)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    receiver.bind((address, port))
    receiver.settimeout(10)
    with a.netns():
        sender = socket.socket(family, socket.SOCK_DGRAM)
    sender.connect((address, port))
    return sender, receiver


def send(sender, data, tos):
    """Send a datagram of this class."""
    level, kind = ((socket.IPPROTO_IPV6, IPV6_TCLASS) if sender.family == socket.AF_INET6 else
                   (socket.IPPROTO_IP, socket.IP_TOS))
    sender.sendmsg([data], [(level, kind, tos.to_bytes(4, "little"))])


def receive(receiver):
    """The next datagram and its class."""
    data, ancillary, _, _ = receiver.recvmsg(1 << 16, 256)
    return data, ancillary[0][2][0]


def mark(line, rule):
    """Have the router do something to the tunnel's datagrams."""
    line.run("nft -f -", input="table inet marking { chain passing { type filter hook forward priority 0; udp dport 7245 "
                               f"{rule}; }}; }}\n")


def outer_classes(capture):
    """The TOS octets of the datagrams in a capture that are longer than probes."""
    found = [(p.data[15] if p.data[12:14] == b"\x08\x00" else (p.data[14] << 4 | p.data[15] >> 4) & 0xff)
             for p in capture.packets() if len(p.data) > 180]
    return found


@pytest.mark.parametrize("outer", ["ipv4", "ipv6"])
def test_the_class_is_copied_outwards_and_stays_inside(make_lab, outer):
    path = Path(make_lab, 1500, ipv6=outer == "ipv6")
    a, b = path.start("-m", "off")
    ha, hb = path.lab.host("hA"), path.lab.host("hB")
    for ipv6 in (False, True):
        sender, receiver = pair(ha, hb, ipv6)
        with sender, receiver, Capture(path.lab.site("A"), "wan", "udp", direction="out") as capture:
            for tos in (0, EF, EF | ECT0, 0x48 | ECT1, 0xff & ~CE):
                for size in (200, 1450):        # whole, and in fragments
                    send(sender, stream(size, tos), tos)
                    assert receive(receiver) == (stream(size, tos), tos)
        assert set(outer_classes(capture)) == {0, EF, EF | ECT0, 0x48 | ECT1, 0xfc}
    assert drops(a.status()) == drops(b.status()) == {}


def test_off_leaves_outer_packets_without_a_class(make_lab):
    path = Path(make_lab, 1500)
    path.start("--tos", "off")
    mark(path.line, "ip ecn set ce")
    sender, receiver = pair(path.lab.host("hA"), path.lab.host("hB"))
    with sender, receiver, Capture(path.lab.site("A"), "wan", "udp", direction="out") as capture:
        send(sender, stream(300, 1), EF | ECT0)
        assert receive(receiver) == (stream(300, 1), EF | ECT0)
    assert set(outer_classes(capture)) == {0}


@pytest.mark.parametrize("args", [(), ("--without", "udp-gro"), ("--without", "udp-gso,merge")], ids=" ".join)
@pytest.mark.parametrize("outer", ["ipv4", "ipv6"])
def test_congestion_on_the_path_reaches_the_receiver(make_lab, outer, args):
    path = Path(make_lab, 1500, ipv6=outer == "ipv6", segmenting_wire=True)
    a, b = path.start("-m", "off", *args)
    ha, hb = path.lab.host("hA"), path.lab.host("hB")
    ha.ping(hb.ip6)     # neighbour discovery knows no marks: it would be lost
    mark(path.line, "ip6 ecn set ce" if outer == "ipv6" else "ip ecn set ce")
    for ipv6 in (False, True):
        sender, receiver = pair(ha, hb, ipv6)
        with sender, receiver:
            for tos in (EF | ECT0, ECT1, EF | CE):
                for size in (10, 1450):
                    send(sender, stream(size, tos), tos)
                    assert receive(receiver) == (stream(size, tos), tos | CE)
            send(sender, b"cannot be marked", EF)
            send(sender, b"can be", ECT0)
            assert receive(receiver) == (b"can be", CE)
    wait_for(lambda: drops(b.status()).get("congestion", 0) >= 2, what="the losses to be counted")
    assert drops(a.status()).keys() <= {"congestion"}


def test_datagrams_that_arrive_together_keep_their_own_marks(make_lab):
    """The kernel joins what arrives together (UDP_GRO): never datagrams of different class."""
    path = Path(make_lab, 1500, segmenting_wire=True)
    a, b = path.start("--workers", "1")
    mark(path.line, "numgen inc mod 2 == 0 ip ecn set ce")
    sender, receiver = pair(path.lab.host("hA"), path.lab.host("hB"))
    marked = {False: 0, True: 0}
    with sender, receiver:
        for number in range(0, 1000, 20):
            for each in range(number, number + 20):
                send(sender, each.to_bytes(4, "big") + stream(1000, each % 5), ECT0 | (EF if each & 8 else 0))
            left = set(range(number, number + 20))      # a sender that moves between processors may overtake itself
            while left:
                data, tos = receive(receiver)
                each = int.from_bytes(data[:4], "big")
                left.remove(each)
                assert data[4:] == stream(1000, each % 5)
                assert tos & ~3 == (EF if each & 8 else 0)
                marked[tos & 3 == CE] += 1
    assert marked[True] + marked[False] == 1000 and min(marked.values()) > 200
    assert drops(b.status()) == {}


def test_tcp_hears_of_congestion(make_lab):
    """ECN is negotiated, segments are merged and split on the way, and the sender reacts to the path's marks."""
    path = Path(make_lab, 1500, segmenting_wire=True)
    path.start()
    mark(path.line, "numgen inc mod 40 == 0 ip ecn 2 ip ecn set ce")
    ha, hb = path.lab.host("hA"), path.lab.host("hB")
    for host in (ha, hb):
        host.sysctl({"net.ipv4.tcp_ecn": 1})
    with Capture(ha, "eth0", "tcp[tcpflags] & 0x40 != 0", direction="in") as echoes:
        transfer(ha, hb, 8 << 20)
    assert len([p for p in echoes.packets() if not p.data[47] & 2]) > 0


def test_the_capsulators_class_stays_the_systems(make_lab):
    lab = make_lab()
    for letter in "AB":
        lab.tunnel(letter, "--outer", "capsulator")
    sender, receiver = pair(lab.host("hA"), lab.host("hB"))
    with sender, receiver, Capture(lab.site("A"), "wan", "ip proto 245", direction="out") as capture:
        send(sender, stream(300, 1), EF | ECT0)
        assert receive(receiver) == (stream(300, 1), EF | ECT0)
    assert {p.data[15] for p in capture.packets()} == {0}
