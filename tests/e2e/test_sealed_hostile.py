# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile input: counted, dropped, no state changed, memory flat, good traffic goes on."""
import contextlib
import os
import random
import re
import socket
import struct
import subprocess
import threading
import time

import pytest
from longhaul_lab import Capture, longhaul, wait_for
from traffic import drops, ethernet, receive, transfer

MIB = 1 << 20
PORT = 7245
SEALED_OVERHEAD = 20 + 16    # header, authentication tag


def udp_frame(dst_mac, src_mac, src, dst, sport, dport, payload):
    """An Ethernet frame with a UDP datagram over IPv4, its UDP checksum left out."""
    udp = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, socket.inet_aton(src),
                       socket.inet_aton(dst))
    total = sum(struct.unpack("!10H", head))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~total & 0xffff) + head[12:]
    return bytes.fromhex((dst_mac + src_mac).replace(":", "")) + b"\x08\x00" + head + udp


class Forger:
    """Sends datagrams to site A as if they came from site B."""

    def __init__(self, lab):
        self.a, self.b = lab.site("A"), lab.site("B")
        self.sock = self.b.packet_socket("wan")

    def send(self, payload, sport=40000):
        """One datagram to A's listening port."""
        self.sock.send(udp_frame(self.a.mac, self.b.mac, self.b.ip, self.a.ip, sport, PORT, payload))


def datagrams(capture, source):
    """Sealed datagrams (not super-packets) that `source` sent, from a capture."""
    found = []
    for packet in capture.packets():
        data = packet.data
        if data[23] == 17 and data[26:30] == socket.inet_aton(source):
            found.append(data[42:14 + int.from_bytes(data[16:18], "big")])
    return [d for d in found if d and d[0] >> 4 == 1]


@pytest.fixture
def scene(make_lab):
    """Two sites up, and genuine datagrams from B to A."""
    lab = make_lab(no_offloads=True)
    a, b = lab.sealed("A", "--workers", "1"), lab.sealed("B", "--workers", "1", "--without", "udp-gso")
    a.peers_up(), b.peers_up()
    with Capture(lab.site("B"), "wan", f"udp dst port {PORT}", direction="out") as capture:
        lab.host("hB").ping(lab.host("hA").ip, count=20)
    genuine = [d for d in datagrams(capture, lab.site("B").ip) if d[0] & 15 == 0]
    assert len(genuine) >= 20
    return lab, a, Forger(lab), genuine


def expect(tunnel, **counts):
    """Wait until the named reasons have at least these counts."""
    wait_for(lambda: all(drops(tunnel.status()).get(f"sealed_{name}", 0) >= n for name, n in counts.items()),
             what=f"{counts} (are: {drops(tunnel.status())})")


def frames_in(tunnel):
    """Frames that have been taken from the peer."""
    return tunnel.status()["peers"][0]["in"]["frames"]


def test_replayed_datagrams_are_dropped(scene):
    lab, a, forger, genuine = scene
    before = frames_in(a)
    for datagram in genuine * 5:
        forger.send(datagram)
    expect(a, replay=5 * len(genuine))
    assert frames_in(a) == before
    assert a.status()["peers"][0]["endpoint"] == f"{lab.site('B').ip}:{PORT}"


def held_back(lab, size=300):
    """A frame from hB to hA, and the genuine datagram with it, which B has sent and A has not seen."""
    frame = ethernet(lab.host("hA").mac, lab.host("hB").mac, 0x88b5, b"held back".ljust(size - 14, b"."))
    site = lab.site("A")
    site.run("nft -f -", input="table ip held {\nchain back {\ntype filter hook input priority 0\n"
             f"udp dport {PORT} udp length {8 + SEALED_OVERHEAD + size} drop\n}}\n}}\n")
    with Capture(lab.site("B"), "wan", f"udp dst port {PORT}", direction="out") as capture, \
            lab.host("hB").packet_socket("eth0") as sock:
        sock.send(frame)
        wait_for(lambda: found(capture, lab, size), what="the frame's datagram")
    site.run("nft delete table ip held")
    (datagram,) = found(capture, lab, size)
    return frame, datagram


def found(capture, lab, size):
    """Captured datagrams of B with a frame of this size."""
    return [d for d in datagrams(capture, lab.site("B").ip) if len(d) == SEALED_OVERHEAD + size]


# Each field of a datagram by its bits, 0 the most significant of the first byte, and what a flipped one may give.
FIELDS = {
    "version": (0, 4, {"version"}),
    "type": (4, 8, {"type", "auth"}),           # some are types that exist
    "flags": (8, 16, {"flags", "auth"}),        # one is a flag that exists
    "worker": (16, 24, {"worker"}),
    "reserved": (24, 32, {"flags"}),
    "session": (32, 64, {"session"}),
    "tag": (64, 96, {"auth"}),
    "counter": (96, 160, {"auth", "replay"}),   # some were received before
    "payload": (160, -128, {"auth"}),
    "authentication": (-128, None, {"auth"}),
}


def refused_since(tunnel, before):
    """How many datagrams were refused since then, by reason."""
    now = drops(tunnel.status())
    return {name.removeprefix("sealed_"): n - before.get(name, 0) for name, n in now.items() if n != before.get(name)}


def test_every_flipped_bit_of_a_fresh_datagram_is_refused(scene):
    """It was never received, so that nothing but the field itself and the seal can tell."""
    lab, a, forger, _ = scene
    frame, datagram = held_back(lab)
    taken = frames_in(a)
    for field, (first, end, reasons) in FIELDS.items():
        before = drops(a.status())
        bits = range(8 * len(datagram))[first:end]
        for bit in bits:
            damaged = bytearray(datagram)
            damaged[bit // 8] ^= 0x80 >> bit % 8
            forger.send(bytes(damaged))
            if bit % 64 == 0:
                time.sleep(0.001)
        wait_for(lambda b=before, n=len(bits): sum(refused_since(a, b).values()) >= n, what=f"{field}: each bit's count")
        refused = refused_since(a, before)
        assert sum(refused.values()) == len(bits) and set(refused) <= reasons, (field, refused)
    assert frames_in(a) == taken
    with lab.host("hA").packet_socket("eth0") as sock:
        forger.send(datagram)
        receive(sock, frame)
    assert frames_in(a) == taken + 1


def test_truncated_and_lengthened_datagrams_are_refused(scene):
    _, a, forger, genuine = scene
    before = frames_in(a)
    fresh = bytearray(genuine[-1])
    fresh[12:20] = (1 << 40).to_bytes(8, "big")     # a counter not seen: only the seal can tell
    for length in range(1, len(fresh)):
        forger.send(bytes(fresh[:length]))
    forger.send(bytes(fresh) + b"\0")
    expect(a, short=35, auth=len(fresh) - 60)
    assert frames_in(a) == before


def test_a_forged_counter_moves_no_window(scene):
    """A datagram far ahead that fails its seal must not make honest ones old."""
    lab, a, forger, genuine = scene
    for ahead in (1 << 20, 1 << 40, (1 << 64) - 1):
        forged = bytearray(genuine[-1])
        forged[12:20] = ahead.to_bytes(8, "big")
        forger.send(bytes(forged))
    expect(a, auth=3)
    lab.host("hB").ping(lab.host("hA").ip, count=20)
    assert "sealed_replay" not in drops(a.status())


def test_wrong_tag_wrong_worker_and_old_session_are_refused(scene):
    _, a, forger, genuine = scene
    datagram = genuine[-1]
    forger.send(datagram[:8] + b"\0\0\0\x63" + datagram[12:])               # tag: authenticated, so no longer right
    forger.send(datagram[:2] + b"\x07" + datagram[3:])                      # a worker B does not have
    forger.send(datagram[:4] + os.urandom(4) + datagram[8:])                # another session
    expect(a, worker=1, session=1)
    wait_for(lambda: drops(a.status()).get("sealed_auth", 0) + drops(a.status()).get("sealed_replay", 0) >= 1,
             what="the tag's refusal")


def test_fragments_are_replayed_damaged_and_mixed_in_vain(scene):
    """What is not the peer's own, and new, never comes as far as the reassembly."""
    lab, a, forger, _ = scene
    with Capture(lab.site("B"), "wan", f"udp dst port {PORT}", direction="out") as capture:
        lab.host("hB").ping(lab.host("hA").ip, count=10, size=1472)
    fragments = [d for d in datagrams(capture, lab.site("B").ip) if d[0] & 15 == 1]
    assert len(fragments) == 20
    before, reassembled = frames_in(a), a.status()["outer"]["reassembled"]
    for fragment in fragments:
        forger.send(fragment)
    for number, fragment in enumerate(fragments):           # another's counter, another's bytes
        other = fragments[number - 1]
        forger.send(fragment[:12] + (1 << 40 | number).to_bytes(8, "big") + fragment[20:])
        forger.send(other[:20] + fragment[20:])
        forger.send(fragment[:-1])
    for bit in range(0, 8 * 64):
        damaged = bytearray(fragments[0])
        damaged[bit // 8] ^= 1 << bit % 8
        forger.send(bytes(damaged))
        if bit % 64 == 0:
            time.sleep(0.001)
    expect(a, replay=len(fragments), auth=len(fragments))
    wait_for(lambda: sum(drops(a.status()).values()) >= 4 * len(fragments) + 8 * 64, what="all to be counted")
    assert frames_in(a) == before and a.status()["outer"]["reassembled"] == reassembled
    assert not [name for name in drops(a.status()) if name.startswith("fragment_")]
    lab.host("hB").ping(lab.host("hA").ip, count=10, size=1472)


def memory_kib(tunnel):
    """Resident memory of a process."""
    with open(f"/proc/{tunnel.pid}/status", encoding="utf-8") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def test_a_flood_of_garbage_is_survived_with_flat_memory(scene):
    lab, a, forger, genuine = scene
    rng = random.Random(7)
    transfer(lab.host("hA"), lab.host("hB"), 8 * MIB)
    before = memory_kib(a)
    stop = threading.Event()

    def flood():
        while not stop.is_set():
            for _ in range(50):
                head = genuine[0][:rng.choice((0, 1, 8, 12, 20))]
                forger.send(head + rng.randbytes(rng.randrange(1, 1400)), rng.randrange(1024, 65535))

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        transfer(lab.host("hA"), lab.host("hB"), 16 * MIB)
        transfer(lab.host("hB"), lab.host("hA"), 16 * MIB, seed=2)
    finally:
        stop.set()
        thread.join()
    assert sum(drops(a.status()).values()) > 1000
    assert a.status()["peers"][0]["state"] == "up" and a.status()["peers"][0]["rekeys"] == 0
    assert memory_kib(a) - before < 8 * 1024


def dial(site, address, count=1):
    """TCP connections to a tunnel's control port."""
    made = []
    for _ in range(count):
        with site.netns():
            sock = socket.socket()
        sock.settimeout(15)
        sock.connect((address, PORT))
        made.append(sock)
    return made


def closed(sock):
    """Whether the other side has closed, after reading what it said."""
    try:
        while sock.recv(4096):
            pass
        return True
    except ConnectionError:
        return True


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.0\r\n\r\n", b"\0" * 600, b"\x16\x03\x01\xff\xff" + b"A" * 3000,
                                     os.urandom(2000)], ids=["http", "zeros", "record", "random"])
def test_garbage_on_the_control_port_is_closed(make_lab, garbage):
    lab = make_lab()
    a, b = lab.sealed("A"), lab.sealed("B")
    a.peers_up(), b.peers_up()
    lab.site("B").run("ip addr add 192.0.2.66/24 dev wan")
    for _ in range(3):
        (sock,) = dial(lab.site("B"), lab.site("A").ip)
        with contextlib.suppress(OSError):   # it may have closed already
            sock.sendall(garbage)
            sock.shutdown(socket.SHUT_WR)
        assert closed(sock)
    assert a.text().count("refused:") <= 2, "logged once a minute at most"
    lab.host("hA").ping(lab.host("hB").ip)


def test_slow_connections_are_bounded_and_rekeying_goes_on(make_lab):
    """A stranger keeps more half-open connections than are allowed; peers still agree new keys."""
    lab = make_lab()
    a, b = lab.sealed("A", "--rekey-after-time", "2s"), lab.sealed("B", "--rekey-after-time", "2s")
    a.peers_up(), b.peers_up()
    strangers = []
    site = lab.site("B")
    for n in range(40, 60):
        site.run(f"ip addr add 192.0.2.{n}/24 dev wan")
    stop = threading.Event()
    victims = [lab.site("A").ip]

    def loris():
        n = 0
        while not stop.is_set():
            with site.netns():
                sock = socket.socket()
            sock.settimeout(2)
            sock.bind((f"192.0.2.{40 + n % 20}", 0))
            n += 1
            try:
                sock.connect((victims[0], PORT))
                sock.send(b"\x16\x03\x01")      # a TLS record that never goes on
            except OSError:
                sock.close()
                continue
            strangers.append(sock)
            if len(strangers) > 400:
                strangers.pop(0).close()

    thread = threading.Thread(target=loris)
    thread.start()
    try:
        rekeys = a.status()["peers"][0]["rekeys"]
        wait_for(lambda: a.status()["peers"][0]["rekeys"] >= rekeys + 3, 60, "rekeying under the flood")
        lab.host("hA").ping(lab.host("hB").ip)
        fds = len(os.listdir(f"/proc/{a.pid}/fd"))
        assert fds < 200, "half-open connections are not bounded"
    finally:
        stop.set()
        thread.join()
    for sock in strangers:
        sock.close()


def test_a_half_open_connection_is_given_up_in_time(make_lab):
    lab = make_lab()
    lab.sealed("A")
    (sock,) = dial(lab.site("B"), lab.site("A").ip)
    sock.settimeout(20)
    started = time.monotonic()
    assert closed(sock)
    assert time.monotonic() - started < 15


# ---- identities that do not fit ----

def make_identity(directory, not_before, not_after):
    """An identity with given dates (YYYYMMDDHHMMSSZ), by openssl."""
    directory.mkdir(mode=0o700)
    key, cert = directory / "key.pem", directory / "cert.pem"
    run = lambda *args: subprocess.run(["openssl", *args], check=True, capture_output=True)  # noqa: E731
    run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key))
    key.chmod(0o600)
    conf = directory / "ca.conf"
    conf.write_text(f"[ca]\ndefault_ca=c\n[c]\nnew_certs_dir={directory}\ndatabase={directory}/db\nserial={directory}/s\n"
                    "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
    (directory / "db").write_text("")
    (directory / "s").write_text("01\n")
    csr = directory / "csr.pem"
    run("req", "-new", "-key", str(key), "-subj", "/CN=longhaul", "-out", str(csr))
    run("ca", "-batch", "-selfsign", "-config", str(conf), "-keyfile", str(key), "-in", str(csr), "-out", str(cert),
        "-startdate", not_before, "-enddate", not_after, "-notext")
    der = subprocess.run(["openssl", "x509", "-in", str(cert), "-outform", "DER"], check=True,
                         capture_output=True).stdout
    import hashlib
    return hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("dates, here, there", [
    (("20200101000000Z", "20210101000000Z"), "expired on 2021-01-01", "our certificate has expired"),
    (("20900101000000Z", "20990101000000Z"), "becomes valid on 2090-01-01", "not yet valid"),
], ids=["expired", "clock-skew"])
def test_a_certificate_out_of_its_time_is_told_on_both_sides(make_lab, tmp_path, dates, here, there):
    lab = make_lab()
    fp = make_identity(tmp_path / "id", *dates)
    args_a = [*lab.tunnel_args("A"), "--identity", str(lab.identity("A")[0]), "--trust", fp]
    args_b = [*lab.tunnel_args("B"), "--identity", str(tmp_path / "id"), "--trust", lab.identity("A")[1]]
    a, b = lab.tunnel("A", *args_a), lab.tunnel("B", *args_b)
    a.expect(here, 30)
    b.expect(there, 30)
    assert "clock" in a.text() and "clock" in b.text()
    assert a.text().count(here) <= 2 and b.text().count(there) <= 2


def test_an_unknown_fingerprint_is_told_on_both_sides_and_logged_once(make_lab):
    lab = make_lab()
    stranger = "ab" * 32
    a = lab.tunnel("A", *lab.tunnel_args("A"), "--identity", str(lab.identity("A")[0]), "--trust", stranger)
    b = lab.sealed("B")
    wait_for(lambda: "fingerprint" in a.text() and lab.identity("B")[1] in a.text(), 30, "A to name B's fingerprint")
    b.expect("does not trust this site's fingerprint", 30)
    time.sleep(3)
    assert a.text().count("is not trusted here") <= 1


def test_swapped_fingerprints_are_recognised(make_lab):
    lab = make_lab(sites=3)
    args = [*lab.tunnel_args("A"), "--identity", str(lab.identity("A")[0]), "--trust",
            f"{lab.identity('C')[1]},{lab.identity('B')[1]}"]
    for letter in "BC":     # they know A but not its address, so A must call
        lab.tunnel(letter, "-t", "wan", "-b", "border:1", "--identity", str(lab.identity(letter)[0]), "--trust",
                   lab.identity("A")[1])
    a = lab.tunnel("A", *args)
    a.expect("are the two addresses swapped", 30)


def test_an_older_protocol_is_told(make_lab):
    lab = make_lab()
    a = lab.sealed("A")
    d, _ = lab.identity("B")
    lab.site("B").sh(f"echo | timeout 10 openssl s_client -connect {lab.site('A').ip}:{PORT} -tls1_3 -alpn longhaul/0 "
                     f"-cert {d}/cert.pem -key {d}/key.pem", check=False)
    a.expect("another version of the protocol", 20)


def test_a_port_in_use_is_named(make_lab):
    lab = make_lab()
    site = lab.site("A")
    with site.netns():
        taken = socket.create_server(("0.0.0.0", PORT))
    with taken:
        out = site.run([longhaul(), "tunnel", *lab.tunnel_args("A"), *lab.sealed_args("A")], check=False)
    assert out.returncode == 2 and "7245" in out.stderr and "--listen" in out.stderr


def test_a_readable_key_is_refused(make_lab):
    lab = make_lab()
    d, _ = lab.identity("A")
    (d / "key.pem").chmod(0o640)
    out = lab.site("A").run([longhaul(), "tunnel", *lab.tunnel_args("A"), *lab.sealed_args("A")], check=False)
    assert out.returncode == 2 and "key.pem" in out.stderr and "chmod" in out.stderr
