#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""make_seeds.py - write the seed corpora of the fuzz targets, tests/fuzz/corpus/NAME/

    tests/fuzz/make_seeds.py [DIR]

The seeds are committed; run this again after changing it. Their names say
what they are. They are built by scapy, not by our own code, and come out the
same on every run.
"""

import struct
import sys
from pathlib import Path

from scapy.all import (AH, ARP, Dot1AD, Dot1Q, Ether, ICMP, IP, IPOption_NOP, IPv6,
                       IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                       IPv6ExtHdrRouting, Raw, TCP, UDP, raw)
from scapy.all import PadN, RouterAlert

ETHER = Ether(dst="02:00:00:00:00:0b", src="02:00:00:00:00:0a")
V4 = IP(src="10.0.0.1", dst="10.0.0.2", id=0x1234, flags="DF")
V6 = IPv6(src="fd00::1", dst="fd00::2")
QINQ = Dot1AD(vlan=100, type=0x8100) / Dot1Q(vlan=42)
HOP = IPv6ExtHdrHopByHop(options=[RouterAlert()])
DEST = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])
ROUTE = IPv6ExtHdrRouting(addresses=["fd00::3"], segleft=0)
AUTH = AH(nh=6, payloadlen=4, spi=1, seq=1, icv=b"\0" * 12)

OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (0x01020304, 0)), ("NOP", None),
           ("WScale", 7)]
ODD = [("NOP", None), ("MSS", 8960), ("WScale", 14), ("SAckOK", b""), ("NOP", None), ("EOL", None)]


def tcp(flags, options=(), **fields):
    return TCP(sport=49152, dport=902, seq=0x01020304, flags=flags, window=33304,
               options=list(options), **fields)


def bytes_of(*layers):
    frame = ETHER.copy()
    for layer in layers:
        frame = frame / layer.copy()
    return raw(frame)


def tcp_with(option_bytes):
    """A SYN whose options are these very bytes, for those that scapy would not write."""
    option_bytes += b"\0" * (-len(option_bytes) % 4)
    frame = bytes_of(V4, tcp("S", dataofs=5 + len(option_bytes) // 4), Raw(option_bytes))
    return frame


def frames():
    """Name -> frame: one for each way through the parser."""
    udp = UDP(sport=5000, dport=6000)
    data = Raw(bytes(range(1, 60)))
    seeds = {
        "arp": bytes_of(ARP(psrc="10.0.0.1", pdst="10.0.0.2")),
        "llc": bytes_of(Raw(b"\xaa\xaa\x03"))[:12] + b"\x00\x26\x42\x42\x03" + b"\0" * 43,
        "icmp": bytes_of(V4, ICMP(), data),
        "tcp4": bytes_of(V4, tcp("PA", [("NOP", None), ("NOP", None), ("Timestamp", (1, 2))]), data),
        "tcp6": bytes_of(V6, tcp("A"), data),
        "udp4": bytes_of(V4, udp, data),
        "udp6": bytes_of(V6, udp, data),
        "udp4-padded": bytes_of(V4, udp).ljust(60, b"\0"),
        "ip-options": bytes_of(IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption_NOP()] * 4),
                               udp, data),
        "vlan": bytes_of(Dot1Q(vlan=7), V4, tcp("A"), data),
        "qinq": bytes_of(QINQ, V6, udp, data),
        "three-tags": bytes_of(QINQ, Dot1Q(vlan=9), V4, tcp("S", OPTIONS)),
        "fragment4-first": bytes_of(IP(src="10.0.0.1", dst="10.0.0.2", flags="MF"), tcp("S", OPTIONS)),
        "fragment4-later": bytes_of(IP(src="10.0.0.1", dst="10.0.0.2", frag=10, proto=6), data),
        "fragment6-first": bytes_of(V6, IPv6ExtHdrFragment(id=1, m=1), udp, data),
        "fragment6-later": bytes_of(V6, IPv6ExtHdrFragment(id=1, offset=9, nh=17), data),
        "fragment6-atomic": bytes_of(V6, IPv6ExtHdrFragment(id=1), tcp("S", OPTIONS)),
        "extensions": bytes_of(V6, HOP, DEST, ROUTE, DEST, tcp("S", OPTIONS)),
        "ah": bytes_of(V6, AUTH, tcp("S", OPTIONS)),
        "no-next-header": bytes_of(V6.copy(), Raw(b"rest")),
        "super-frame": bytes_of(V4, tcp("A"), Raw(b"\x5a" * 3000)),
    }
    for name in ("tcp4", "extensions"):
        seeds[name + "-cut"] = seeds[name][:-3]
    zero = bytearray(seeds["tcp4"])
    zero[16:18] = b"\0\0"
    seeds["total-length-0"] = bytes(zero)
    return seeds


def syns():
    """Name -> frame: handshakes for the frobber."""
    return {
        "syn4": bytes_of(V4, tcp("S", OPTIONS)),
        "syn6": bytes_of(V6, tcp("S", OPTIONS)),
        "syn-ack": bytes_of(V4, tcp("SA", OPTIONS, ack=1)),
        "syn-odd": bytes_of(V4, tcp("S", ODD)),
        "syn-data": bytes_of(V6, tcp("S", ODD), Raw(b"fast open")),
        "syn-qinq": bytes_of(QINQ, V4, tcp("S", OPTIONS)),
        "syn-extensions": bytes_of(V6, HOP, DEST, tcp("S", ODD)),
        "syn-ah": bytes_of(V6, AUTH, tcp("S", OPTIONS)),
        "syn-bare": bytes_of(V4, tcp("S")),
        "syn-rst": bytes_of(V4, tcp("SR", OPTIONS)),
        "syn-padded": bytes_of(V4, tcp("S", [("MSS", 1460)])).ljust(80, b"\xff"),
        "syn-two-mss": tcp_with(b"\2\4\5\xb4\2\4\x23\0"),
        "syn-mss-3": tcp_with(b"\2\3\xff\3\3\0"),
        "syn-length-0": tcp_with(b"\2\4\5\xb4\3\0\0\0"),
        "syn-beyond": tcp_with(b"\2\4\5\xb4\3\x0a\0\0"),
        "syn-ao": tcp_with(b"\2\4\5\xb4\x1d\4\1\1"),
        "syn-fragment": frames()["fragment4-first"],
        "ack": bytes_of(V4, tcp("A"), Raw(b"data")),
    }


def frob_seeds():
    """fuzz_frob reads MTU, shift count + 1 and flags (bit 0: partial) in front of the frame."""
    rules = {"": (1422, 6, 0), "-partial": (1422, 6, 1), "-mtu": (576, 0, 0), "-wscale": (0, 3, 0)}
    return {name + suffix: struct.pack("!HBB", *rule) + frame
            for name, frame in syns().items() for suffix, rule in rules.items()
            if suffix == "" or name in ("syn4", "syn-odd", "syn-data")}


def vnet(flags=0, gso=0, hdr_len=0, size=0, start=0, offset=0):
    """struct virtio_net_hdr of a little-endian machine."""
    return struct.pack("<BBHHHH", flags, gso, hdr_len, size, start, offset)


def splits():
    """fuzz_gso, octet 0 without bit 1: an offload header and a frame."""
    data = Raw(bytes(i * 7 % 251 for i in range(700)))
    udp = UDP(sport=5000, dport=6000)
    return {
        "split-tcp4": b"\0" + vnet(1, 1, 54, 100, 34, 16) + bytes_of(V4, tcp("FPAC"), data),
        "split-tcp4-ecn": b"\0" + vnet(0, 0x81, 0, 333) + bytes_of(V4, tcp("PAC"), data),
        "split-tcp6-kept": b"\1" + vnet(1, 4, 86, 128, 62, 16) + bytes_of(QINQ, V6, tcp("A"), data),
        "split-tcp6-extensions": b"\0" + vnet(0, 4, 0, 200) + bytes_of(V6, HOP, DEST, tcp("A"), data),
        "split-udp4": b"\0" + vnet(1, 5, 42, 99, 34, 6) + bytes_of(V4, udp, data),
        "split-udp6": b"\1" + vnet(0, 5, 0, 1) + bytes_of(V6, udp, data),
        "split-padded": b"\0" + vnet(0, 1, 0, 300) + bytes_of(V4, tcp("A"), data) + b"\0" * 9,
        "split-complete": b"\0" + vnet() + bytes_of(V4, tcp("S", OPTIONS)),
        "split-partial": b"\0" + vnet(1, 0, 0, 0, 34, 16) + bytes_of(V4, tcp("A"), data),
        "split-partial-kept": b"\1" + vnet(1, 0, 0, 0, 34, 6) + bytes_of(V4, udp, data),
        "split-ufo": b"\0" + vnet(0, 3, 0, 300) + bytes_of(V4, udp, data),
    }


def merges():
    """fuzz_gso, octet 0 with bit 1: records (see there)."""
    def frame(how, *layers):
        content = bytes_of(*layers)
        return struct.pack("!BH", how, len(content)) + content

    def heir(how, back, length, place=0, change=0):
        return struct.pack("!BBHBB", how | 4, back - 1, length, place, change)

    data, udp = Raw(bytes(100)), UDP(sport=5000, dport=6000)
    tcp4, tcp6, udp6 = ((V4, tcp("A"), data), (QINQ, V6, tcp("A"), data), (V6, udp, data))
    return {
        "merge-tcp4": b"\2" + frame(1, *tcp4) + heir(1, 1, 100) * 3 + heir(1, 1, 7),
        "merge-tcp4-psh": b"\2" + frame(1, *tcp4) + heir(1, 1, 100, 47, 8) + heir(1, 1, 100, 47, 8),
        "merge-tcp6-partial": b"\2" + frame(2, *tcp6) + heir(2, 1, 100) * 5,
        "merge-udp6": b"\2" + frame(1, *udp6) + heir(1, 1, 100) * 70,
        "merge-interleaved": b"\2" + frame(1, *tcp4) + frame(1, *udp6) + heir(1, 2, 100) * 6,
        "merge-gap": b"\2" + frame(1, *tcp4) + heir(1, 1, 100, 41, 1) + heir(1, 1, 100),
        "merge-key": b"\2" + frame(1, *tcp4) + heir(9, 1, 100) + heir(1, 1, 100),
        "merge-super": b"\2" + frame(1, *tcp4) + heir(18, 1, 300) + heir(1, 1, 300),
        "merge-limit": b"\2" + frame(1, V4, tcp("A"), Raw(bytes(2000))) + heir(1, 1, 2000) * 36,
        "merge-damage": b"\2" + frame(1, *tcp4) + heir(0, 1, 100) + heir(3, 1, 100),
    }


CORPORA = {
    "gso": lambda: {**splits(), **merges()},
    "packet": lambda: {**frames(), **syns()},
    "frob": frob_seeds,
}


def main():
    corpus = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "corpus")
    for name, make in CORPORA.items():
        (corpus / name).mkdir(parents=True, exist_ok=True)
        for seed, content in make().items():
            (corpus / name / seed).write_bytes(content)


if __name__ == "__main__":
    main()
