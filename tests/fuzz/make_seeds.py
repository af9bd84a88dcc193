#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""make_seeds.py - write the seed corpora of the fuzz targets, tests/fuzz/corpus/NAME/

    tests/fuzz/make_seeds.py [DIR]

The seeds are committed; run this again after changing it. Their names say
what they are. They are built by scapy, not by our own code, and come out the
same on every run.
"""

import json
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


def capsule(outer, kind, offload, inner):
    """A fuzz_gso split of an encapsulated super-frame; offload: gso_type, csum_offset, inner header length."""
    gso, offset, hdr_len = offload
    frame = bytes_of(*outer, *kind, Raw(inner))
    start = len(frame) - len(inner) + hdr_len
    return b"\0" + vnet(1, gso, 0, 150, start, offset) + frame


def capsules():
    """Name -> input: each kind of tunnel."""
    data = Raw(bytes(i * 7 % 251 for i in range(700)))
    tcp4, tcp6 = raw(V4 / tcp("PA") / data), raw(V6 / tcp("PA") / data)
    udp4 = raw(V4 / UDP(sport=5000, dport=6000) / data)
    inner = raw(ETHER / Raw(b""))[:12] + b"\x08\0"
    vxlan = Raw(b"\x08\0\0\0\0\0\x2a\0" + inner)
    geneve = Raw(b"\x01\0\x65\x58\0\0\x2a\0" + bytes(4) + inner[:12] + b"\x86\xdd")
    checked, bare = UDP(sport=50000, dport=4789), UDP(sport=50000, dport=4789, chksum=0)

    def over(proto):
        return (IP(src="10.0.0.1", dst="10.0.0.2", proto=proto),)
    return {
        "split-vxlan": capsule((V4,), (bare, vxlan), (1, 16, 20), tcp4),
        "split-vxlan-checked": capsule((QINQ, V6), (checked, vxlan), (1, 16, 20), tcp4),
        "split-vxlan-udp": capsule((V4,), (checked, vxlan), (5, 6, 20), udp4),
        "split-geneve": capsule((V4,), (checked, geneve), (4, 16, 40), tcp6),
        "split-gre": capsule(over(47), (Raw(b"\xa0\0\x08\0" + bytes(8)),), (1, 16, 20), tcp4),
        "split-gre-sequence": capsule(over(47), (Raw(b"\x10\0\x08\0" + bytes(4)),), (1, 16, 20), tcp4),
        "split-ipip": capsule(over(4), (), (1, 16, 20), tcp4),
        "split-ip6-in-ip": capsule(over(41), (), (4, 16, 40), tcp6),
    }


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


def sealed_seeds():
    """fuzz_sealed: messages (see there), sealed by the harness where bit 0 says so."""
    def datagram(kind, payload, flags=0, worker=0, session=0x01020304, tag=1, counter=0):
        return struct.pack("!BBBBIIQ", 0x10 | kind, flags, worker, 0, session, tag, counter) + payload

    def message(content, how=1, size=None):
        joined = b"" if size is None else struct.pack("!H", size)
        return struct.pack("!B", how | (0 if size is None else 16)) + joined + struct.pack("!H", len(content)) + content

    syn, arp = bytes_of(V4, tcp("S", OPTIONS)), frames()["arp"]
    probe = struct.pack("!QQQ", 64, 0, 0)
    one, two = datagram(0, arp), datagram(0, arp, counter=1)

    def cut(offset, total=42):
        return struct.pack("!IHH", 9, offset, total)

    return {
        "frame": message(one),
        "frame-partial": message(datagram(0, syn, flags=1)),
        "frame-partial-arp": message(datagram(0, arp, flags=1)),
        "frame-14": message(datagram(0, arp[:14])),
        "frame-13": message(datagram(0, arp[:13])),
        "fragment": message(datagram(1, b"\0" * 9)),
        "fragments": message(datagram(1, cut(0) + arp[:21])) + message(datagram(1, cut(21) + arp[21:], counter=1)),
        "fragments-joined": message(datagram(1, cut(0) + arp[:21]) + datagram(1, cut(21) + arp[21:], counter=1), 1, 49),
        "fragments-partial": message(datagram(1, cut(0, len(syn)) + syn[:50], flags=1)) +
        message(datagram(1, cut(50, len(syn)) + syn[50:], flags=1, counter=1)),
        "fragments-wrong": message(datagram(1, cut(0) + arp)) + message(datagram(1, cut(5) + arp, counter=1)) +
        message(datagram(1, cut(0, 0) + arp, counter=2)) + message(datagram(1, cut(0) + arp[:9], flags=1, counter=3)) +
        message(datagram(1, cut(0) + arp[:9], counter=4)) + message(datagram(1, cut(0) + arp[:9], counter=5)) +
        message(datagram(1, cut(3) + arp[:9], counter=6)),
        "probe": message(datagram(2, probe, tag=0)) + message(datagram(2, probe + b"\0" * 100, tag=0, counter=1)),
        "reply": message(datagram(3, probe, tag=0)) + message(datagram(3, b"\xff" * 24, tag=0, counter=1)),
        "replay": message(one) + message(two) + message(one) + message(datagram(0, arp, worker=1)),
        "jump": b"".join(message(datagram(0, arp, counter=n)) for n in (1 << 20, 5, (1 << 64) - 1, 1 << 20)),
        "tag": message(datagram(0, arp, tag=2)) + message(datagram(2, probe, tag=77, counter=1)),
        "bad": message(datagram(0, arp, flags=2)) + message(datagram(2, probe, flags=1)) + message(datagram(7, arp)),
        "joined": message(b"".join(datagram(0, arp, counter=n) for n in range(20)) + one[:40], 1, len(one)),
        "joined-cut": message(one * 3, 33, len(one)),
        "places": message(one, 3) + message(two, 5) + message(datagram(0, arp, counter=2, worker=1), 7),
        "raw": message(datagram(0, arp + bytes(16)), 0) + message(datagram(0, arp + bytes(16), session=9), 0),
        "raw-short": b"".join(message(one[:n], 0) for n in (0, 1, 19, 20, 35)),
        "raw-worker": message(datagram(0, arp + bytes(16), worker=2), 0) + message(b"\x20" + bytes(60), 0),
    }


def fragment_seeds():
    """fuzz_fragment: steps (see there)."""
    def piece(frame, offset, length, total=1514, ecn=0):
        return struct.pack("!BBHHH", ecn, frame, offset, total, length)

    def wait(periods):
        return bytes([0xf0 + periods])

    halves = piece(1, 0, 757) + piece(1, 757, 757)
    release = b"\xff"
    many = [piece(2, at, 501, 65535) for at in range(0, 65535, 501)]
    return {
        "halves": halves + release,
        "halves-reversed": piece(1, 757, 757) + piece(1, 0, 757) + release,
        "one": piece(3, 0, 14, 14),
        "padded": piece(4, 0, 501, 1001) + piece(4, 501, 501, 1001),
        "padded-too-far": piece(4, 0, 501, 1001) + piece(4, 501, 900, 1001),
        "largest": b"".join(many) + release,
        "largest-shuffled": b"".join(many[0::4] + many[2::4] + many[1::4] + many[3::4]),
        "largest-backwards": b"".join(reversed(many)),
        "total-0": piece(5, 0, 100, 0),
        "total-13": piece(5, 0, 13, 13),
        "offset-beyond": piece(5, 1514, 1) + piece(5, 65535, 1) + piece(5, 65535, 65535, 65535),
        "length-0": piece(5, 0, 0) + piece(5, 65534, 1, 65535) + piece(5, 0, 65535, 65535),
        "duplicate": piece(6, 0, 757) * 3 + piece(6, 100, 10) + piece(6, 757, 757) + piece(6, 757, 757),
        "overlap-left": piece(6, 500, 500) + piece(6, 0, 501),
        "overlap-right": piece(6, 500, 500) + piece(6, 999, 100),
        "overlap-around": piece(6, 500, 500) + piece(6, 0, 1514),
        "overlap-second": piece(6, 0, 100) + piece(6, 500, 500) + piece(6, 100, 500),
        "inconsistent-total": piece(7, 0, 757) + piece(7, 757, 757, 1515) + halves,
        "inconsistent-tag": piece(7, 0, 757) + piece(7 + 64, 757, 757),
        "inconsistent-flag": piece(7, 0, 757) + piece(7 + 128, 757, 757),
        "sessions-and-workers": piece(8, 0, 757) + piece(8 + 16, 0, 757) + piece(8 + 32, 0, 757) + piece(8, 757, 757) +
        piece(8 + 32, 757, 757) + piece(8 + 16, 757, 757),
        "congested": piece(9, 0, 757, ecn=2) + piece(9, 757, 757, ecn=3) + piece(9, 0, 757, ecn=3) + piece(9, 757, 757),
        "holes": b"".join(piece(10, 2 * at, 1) for at in range(33)),
        "holes-filled": b"".join(piece(10, 2 * at, 1, 63) for at in range(32)) +
        b"".join(piece(10, 2 * at + 1, 1, 63) for at in range(31)),
        "timed-out": piece(11, 0, 757) + wait(6) + piece(12, 0, 757) + wait(2) + piece(11, 757, 757) + wait(14) +
        piece(11, 0, 757),
        "expired-on-arrival": piece(11, 0, 757) + wait(1) * 7 + piece(11, 0, 757) + piece(11, 757, 757),
        "never-completed": b"".join(piece(frame, 65534, 1, 65535) for frame in range(64)),
        "released-late": halves * 20 + release + halves,
    }


def control_seeds():
    """fuzz_control: what has been before, then messages of JSON (see there)."""
    hello = {"type": "hello", "version": 1, "program": "0.1", "site": "far", "session": 77, "workers": 4,
             "tags": [1, 70000, 5], "ciphers": ["chacha20-poly1305", "aes-256-gcm"], "mtu": 1400, "partial": True,
             "peers": ["ab" * 32]}
    ready, rekey = {"type": "ready"}, {"type": "rekey"}

    def said(before, *messages):
        texts = [m if isinstance(m, bytes) else json.dumps(m).encode() for m in messages]
        return bytes([before]) + b"".join(struct.pack("!H", len(text)) + text for text in texts)

    def wrong(**fields):
        return said(0, {**hello, **fields})

    return {
        "whole-life": said(0, hello, ready, {"type": "peers", "peers": ["cd" * 32]}, rekey,
                           {"type": "bye", "reason": "shutdown"}),
        "whole-life-called": said(4, hello, ready, rekey, {"type": "bye", "reason": "replaced"}),
        "second-connection": said(8, hello, ready, rekey, {"type": "bye", "reason": "shutdown"}),
        "collision": said(12, hello, ready, rekey),
        "other-site": said(16, {**hello, "site": "there"}),
        "same-site": wrong(site="here"),
        "long-names": wrong(site="\u00e9" * 100, program="\u20ac" * 40),
        "control-characters": wrong(site="a\nb\u001b[2J"),
        "error": said(0, {"type": "error", "text": "\u20ac" * 200}),
        "error-late": said(2, {"type": "error", "text": "no\nmore"}),
        "session-0": wrong(session=0),
        "session-large": wrong(session=1 << 32),
        "workers-0": wrong(workers=0),
        "workers-64": said(0, {**hello, "workers": 64}, ready),
        "workers-65": wrong(workers=65),
        "version-2": wrong(version=2),
        "no-cipher": wrong(ciphers=["rot13", 5, None]),
        "mtu-negative": said(0, {**hello, "mtu": -1}, ready),
        "mtu-small": said(0, {**hello, "mtu": 1}, ready),
        "wrong-kinds": wrong(tags={"1": 1}, peers="ab", partial=1, site=5),
        "numbers-wild": wrong(tags=[-1, 1 << 32, 1.5, 1 << 62], workers=1 << 40),
        "hello-twice": said(1, hello),
        "ready-first": said(0, ready),
        "ready-twice": said(2, ready),
        "peers-early": said(1, {"type": "peers", "peers": []}),
        "peers-many": said(2, {"type": "peers", "peers": ["%064x" % n for n in range(70)]}),
        "mtu": said(2, {"type": "mtu", "mtu": 1322}, {"type": "mtu", "mtu": 575}, {"type": "mtu", "mtu": 65536},
                    {"type": "mtu"}, {"type": "mtu", "mtu": "1400"}, {"type": "mtu", "mtu": 576}),
        "unknown": said(2, {"type": "later"}, {"typ": "hello"}, rekey),
        "no-json": said(2, b"[1]", b"{", b"\xff\xfe"),
    }


def stream_seeds():
    """Records of streams between sites (doc/protocol.md), by hand, and slots of the journal."""
    def record(kind, payload=b"", flow=1, generation=1):
        return bytes([kind, 0, 0, 0]) + struct.pack("!III", len(payload), flow, generation) + payload

    v4 = [b"\0" * 10 + b"\xff\xff" + bytes([10, 77, 0, n]) for n in (1, 2)]
    v6 = [b"\xfd\x77" + b"\0" * 13 + bytes([n]) for n in (1, 2)]
    ports = struct.pack("!HH", 40000, 443)

    def opened(version, hosts):
        return (struct.pack("!IHBB", 1, 0, version, 0) + b"\2\0\0\0\x0a\1" + b"\2\0\0\0\x0b\1" +
                b"".join(hosts) + ports + struct.pack("!HBBI", 1460, 4, 0, 1 << 20))

    def data(what, offset=0):
        return record(7, struct.pack("!Q", offset) + what)

    hello = record(1, struct.pack("!HBBI", 1, 0, 0, 7), 0, 0)
    tuples = [struct.pack("!IHBB", 1, 5, version, 0) + b"".join(hosts) + ports for version, hosts in ((4, v4), (6, v6))]
    life = (data(b"hello world") + record(11, struct.pack("!QI", 11, 65536)) + record(8, struct.pack("!Q", 11)) + record(9) +
            record(12))
    return {
        "hello": hello,
        "whole-life": hello + record(2, opened(4, v4)) + record(3, struct.pack("!HBBI", 1460, 1, 0, 1 << 20)) + life,
        "open-ipv6": record(2, opened(6, v6)),
        "refused": record(4, struct.pack("!BBBBI", 1, 3, 1, 0, 0) + v4[1]),
        "cancelled": record(5) + record(6),
        "reset": record(10, b"\0" * 4),
        "tuples": record(13, b"".join(tuples), 0, 0) + record(14, b"\1\0\0\0", 0, 0),
        "data-long": data(bytes(65512)),
        "data-too-long": data(bytes(65513)),
        "stripes": (record(18, b"\4\0\0\0") + record(15, generation=2) + record(16, generation=2) + data(b"late", 1 << 40) +
                     record(17, generation=2)),
        "padding": hello + record(19, bytes(100), 0, 0) + data(b"hello world"),
        "padding-of-a-flow": hello + record(19, bytes(100)),
        "slot": b"\1\1" + b"\0" * 14 + tuples[0] + b"\0" * 4,
        "journal": b"LHFLOWS\n" + struct.pack("!III", 1, 64, 65536) + b"\0" * 44,
    }


def stripe_seeds():
    """What happens to a flow with stripes, four bytes each: an action and a stripe, a length (2), and which kind of it."""
    def steps(*what):
        return bytes(range(8)) + b"".join(struct.pack("!BHB", action | stripe << 4, length, kind) for action, stripe, length, kind in what)

    send, receive, lose, other = 0, 3, 6, 7
    spread = [(send, stripe % 4, 1000 + 77 * stripe, 0) for stripe in range(40)]
    fetch = [(receive, stripe % 4, 0, 0) for stripe in range(44)]
    return {
        "in-order": steps(*((action, 1, 30000, 0) for _ in range(20) for action in (send, receive))),
        "spread": steps(*spread, *fetch, (other, 0, 0, 2)),
        "lost": steps(*spread, *fetch[:9], (lose, 1, 0, 0), *((send, 2, 500, 0) for _ in range(30)), *fetch, *fetch),
        "twice": steps(*spread, (receive, 1, 0, 0), (receive, 1, 0, 0), (lose, 0, 0, 0), (lose, 1, 0, 0), *spread, *fetch),
        "long": steps(*((send, n % 8, 65535, 1) for n in range(40)), *fetch, (other, 0, 0, 2), *fetch),
        "nonsense": steps((send, 0, 9, 0), *((other, 0, 9 + n, 16 * n + 4) for n in range(16)), (receive, 0, 0, 0)),
    }


def pcap(order, magic, *packets):
    """A pcap file."""
    return struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, 1) + b"".join(
        struct.pack(order + "4I", 1700000000 + i, 1000 * i, len(data), len(data) + more) + data
        for i, (data, more) in enumerate(packets))


def pcapng(order, *packets):
    """A pcapng file with two interfaces, statistics, and blocks of other kinds."""
    def block(kind, body):
        body += b"\0" * (-len(body) % 4)
        return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)

    def option(code, value):
        return struct.pack(order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)

    out = block(0x0a0d0d0a, struct.pack(order + "IHHq", 0x1a2b3c4d, 1, 0, -1))
    for name, resolution in (b"eth1", 9), (b"wan", 0x94):
        out += block(1, struct.pack(order + "HHI", 1, 0, 96) + option(2, name) + option(9, bytes([resolution]))
                     + option(14, struct.pack(order + "q", 1)) + option(0, b""))
    for i, (data, more) in enumerate(packets):
        out += block(6, struct.pack(order + "5I", i & 1, 1, i, len(data), len(data) + more) + data
                     + b"\0" * (-len(data) % 4) + option(2, struct.pack(order + "I", 1 + i % 2)) + option(0, b""))
    out += block(2, struct.pack(order + "HHIIII", 0, 0, 1, 2, 4, 4) + b"abcd")
    out += block(3, struct.pack(order + "I", 4) + b"abcd")
    return out + block(5, struct.pack(order + "III", 1, 0, 1) + option(5, bytes(8)) + option(0, b""))


def capfile_seeds():
    """Capture files of both formats, byte orders and precisions, whole and cut."""
    packets = [(frame[:70], len(frame) - len(frame[:70])) for frame in frames().values()][:6]
    whole = {
        "us": pcap("<", 0xa1b2c3d4, *packets), "us-big": pcap(">", 0xa1b2c3d4, *packets),
        "ns": pcap("<", 0xa1b23c4d, *packets), "ns-big": pcap(">", 0xa1b23c4d, *packets),
        "ng": pcapng("<", *packets), "ng-big": pcapng(">", *packets),
        "ng-two": pcapng("<", *packets[:2]) + pcapng(">", *packets[2:4]),
    }
    return {**whole, "us-cut": whole["us"][:-9], "ng-cut": whole["ng"][:-21]}


def decap_seeds():
    """Packets in each wrapping and link layer; two bytes before them choose the link and what is missing."""
    inner = ETHER / V4 / tcp("SA", OPTIONS) / Raw(b"x" * 20)
    outer = ETHER / IP(src="192.0.2.1", dst="192.0.2.2")
    vxlan = struct.pack("!II", 0x08000000, 7 << 8) + raw(inner)
    wrapped = {
        "plain": raw(inner), "qinq": raw(ETHER / QINQ / V6 / tcp("A") / Raw(b"y" * 9)),
        "vxlan": raw(outer / UDP(sport=1, dport=4789) / Raw(vxlan)),
    }
    proto = {"capsulator": 245, "gre": 47, "gre-key": 47}
    bodies = {"capsulator": b"\0\0\0\1" + raw(inner), "gre": b"\0\0\x65\x58" + raw(inner),
              "gre-key": b"\x20\0\x08\0" + b"\0\0\0\7" + raw(inner)[14:]}
    for name, body in bodies.items():
        wrapped[name] = raw(ETHER / IP(src="192.0.2.1", dst="192.0.2.2", proto=proto[name]) / Raw(body))
    wrapped["too-big"] = raw(ETHER / V4 / ICMP(type=3, code=4, nexthopmtu=1400) / Raw(raw(inner)[14:62]))
    seeds = {name: b"\0\0" + data for name, data in wrapped.items()}
    seeds["snapped"] = b"\0\x50" + raw(inner)[:66]
    seeds["sll"] = b"\1\0" + b"\0\4\0\1\0\6" + b"\2\0\0\0\0\1\0\0\x08\0" + raw(inner)[14:]
    seeds["sll2"] = b"\2\0" + b"\x08\0" + bytes(18) + raw(inner)[14:]
    seeds["raw"] = b"\4\0" + raw(inner)[14:]
    return seeds


def flow_seeds():
    """Segments as fuzz_flow makes them, 16 bytes each: a handshake, bursts, ACKs, losses."""
    def one(way, flags, seq, ack, length, window=1000, gap=10, opt=0, mode=2, shift=0):
        return struct.pack("!BBBHHBHBBBBBB", way | mode, flags | opt, window >> 8, seq, ack, length, 0, window & 255,
                           0, shift, gap, 0, 0)

    def rounds(burst, count, lose=0):
        out = one(0, 2, 0, 0, 128) + one(1, 0x12, 0, 0, 128)
        for at in range(count):
            for i in range(burst):
                out += one(0, 0x10 | 8 * (i + 1 == burst), 1 + at * burst + i, 1, 14)
            if lose and at % lose == 0:
                out += one(1, 0x10, 1, 1 + at * burst, 128, gap=200) * 4
                out += one(0, 0x10, 1 + at * burst, 1, 14)
            out += one(1, 0x10, 1, 1 + (at + 1) * burst, 128, gap=255)
        return out

    return {"window": rounds(5, 20), "loss": rounds(9, 12, 3), "zero": rounds(3, 4) + one(1, 0x10, 1, 13, 128, 0),
            "close": rounds(2, 3) + one(0, 0x11, 7, 1, 128) + one(1, 0x14, 1, 8, 128)}


CORPORA = {
    "capfile": capfile_seeds,
    "decap": decap_seeds,
    "flow": flow_seeds,
    "stream": stream_seeds,
    "stripes": stripe_seeds,
    "sealed": sealed_seeds,
    "fragment": fragment_seeds,
    "control": control_seeds,
    "gso": lambda: {**splits(), **capsules(), **merges()},
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
