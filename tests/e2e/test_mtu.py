# SPDX-License-Identifier: GPL-3.0-or-later
"""Every frame arrives, whatever the path carries and whether or not its routers say so."""
import socket
import threading
import time

import pytest
from longhaul_lab import Capture, LabError, longhaul, wait_for
from path import Path, found
from traffic import counting, drops, stream, transfer

MIB = 1 << 20
AROUND = 28 + 36 + 14       # of an inner packet, over IPv4
IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO, IP_PMTUDISC_PROBE, IP_MTU = 10, 0, 2, 3, 14
IPV6_MTU_DISCOVER, IPV6_MTU = 23, 24
TCP_MAXSEG = 2


def udp_pair(a, b, ipv6=False, df=None, port=7100):
    """A bound socket at host b, and one at a that is connected to it."""
    family, address = (socket.AF_INET6, b.ip6) if ipv6 else (socket.AF_INET, b.ip)
    with b.netns():
        receiver = socket.socket(family, socket.SOCK_DGRAM)
        receiver.bind((address, port))
    with a.netns():
        sender = socket.socket(family, socket.SOCK_DGRAM)
        if df is not None:
            sender.setsockopt(*((socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER) if ipv6 else
                                (socket.IPPROTO_IP, IP_MTU_DISCOVER)), df)
        sender.connect((address, port))
    receiver.settimeout(10)
    return sender, receiver


def datagrams_arrive(a, b, sizes, ipv6=False, df=IP_PMTUDISC_PROBE):
    """Send a datagram of each size and assert that it arrives as it was."""
    sender, receiver = udp_pair(a, b, ipv6, df)
    with sender, receiver:
        for size in sizes:
            sender.send(stream(size, size))
            assert receiver.recv(1 << 16) == stream(size, size), size


def everything_arrives(lab, mtu, nbytes=2 * MIB):
    """Pings, datagrams and streams of every kind, both ways, up to the hosts' own MTU."""
    a, b = lab.host("hA"), lab.host("hB")
    for size in sorted({56, 1100, 1173, 1294, 1394, 1395, mtu - 29, mtu - 28}):
        a.ping(b.ip, 1, size, 5.0, "-M", "do")
    for size in (1100, mtu - 48, 3 * mtu):
        a.ping(b.ip6, size=size)
    a.ping(b.ip, size=3 * mtu)      # in IP's fragments, each of which is too long
    datagrams_arrive(a, b, (1, 1145, 1200, 1394, mtu - 28), df=IP_PMTUDISC_PROBE)
    datagrams_arrive(b, a, (1, 1394, mtu - 28, 20000), df=IP_PMTUDISC_DONT)
    datagrams_arrive(a, b, (1, 1232, mtu - 48), ipv6=True)
    transfer(a, b, nbytes)
    transfer(b, a, nbytes, ipv6=True, port=7001)


def passes(lab, size, timeout=30):
    """Wait until a ping of that size, with DF, is answered: the first ones find out that the path has changed."""
    def look():
        try:
            lab.host("hA").ping(lab.host("hB").ip, 1, size, 0.3, "-M", "do")
            return True
        except LabError:
            return False
    wait_for(look, timeout, f"pings of {size} bytes to pass")


@pytest.mark.parametrize("mtu", [1280, 1400, 1500, 9000])
@pytest.mark.parametrize("lan", [1500, 9000])
def test_everything_arrives_where_nobody_clamps_and_icmp_is_filtered(make_lab, lan, mtu):
    path = Path(make_lab, mtu, lan_mtu=lan)
    a, b = path.start("-m", "off")
    everything_arrives(path.lab, lan)
    path.known(mtu)
    everything_arrives(path.lab, lan, MIB)
    for tunnel in (a, b):
        assert drops(tunnel.status()) == {}
        assert tunnel.status()["outer"]["reassembled"] > 0 or mtu > lan


@pytest.mark.parametrize("args", [("--without", "udp-gso"), ("--without", "udp-gro"), ("--without", "merge"),
                                  ("--without", "udp-gso,udp-gro,merge,partial,ipsec-mb"), ("--workers", "1"),
                                  ("--ciphers", "chacha20-poly1305")], ids=" ".join)
def test_fallbacks_carry_fragments_too(make_lab, args):
    path = Path(make_lab, 1400, segmenting_wire=True)
    a, b = path.start("-m", "off", *args)
    everything_arrives(path.lab, 1500)
    for tunnel in (a, b):
        assert drops(tunnel.status()) == {}
        assert tunnel.status()["outer"]["fragmented"] > 0


def test_plain_frames_travel_in_fragments_too(make_lab):
    path = Path(make_lab, 1400, no_offloads=True)
    path.start("-m", "off", "--without", "vnet-hdr")
    everything_arrives(path.lab, 1500, MIB // 2)


def test_a_path_over_ipv6_and_vlan_tags(make_lab):
    path = Path(make_lab, 1280, ipv6=True, vlan={"hA": 10, "hB": 10})
    a, b = path.start()
    path.known(1280)
    assert a.status()["peers"][0]["inner_mtu"] == 1280 - 48 - 36 - 14
    everything_arrives(path.lab, 1500)
    assert drops(a.status()) == drops(b.status()) == {}


@pytest.mark.parametrize("icmp", [True, False], ids=["icmp", "filtered"])
def test_the_path_mtu_is_followed_down_and_up(make_lab, icmp):
    path = Path(make_lab, 1500, icmp=icmp)
    a, b = path.start("--mtu-raise", "1s", "-m", "off", "--workers", "1")
    path.known(1500)
    peer = a.status()["peers"][0]
    assert peer["inner_mtu"] == 1500 - AROUND and peer["path_mtu_lowered"] == 0
    path.set(1400)
    passes(path.lab, 1394)
    everything_arrives(path.lab, 1500, MIB // 4)
    path.known(1400)
    a.expect("path MTU is 1400", 60)
    assert a.status()["peers"][0]["path_mtu_lowered"] == 1
    assert "packets of 1500 bytes do not pass any more" in a.text()
    assert f"path MTU is 1400: inner packets of up to {1400 - AROUND} bytes" in a.text()
    assert f"path MTU 1400 (inner {1400 - AROUND})" in path.lab.site("A").run([longhaul(), "status"]).stdout
    path.set(9000)
    path.known(9000)
    assert a.status()["state"] == b.status()["state"] == "healthy"
    everything_arrives(path.lab, 1500, MIB // 4)


def test_each_way_has_its_own_mtu(make_lab):
    path = Path(make_lab, 1500)
    path.set(1400, towards="B")
    a, b = path.start()
    found(a, 1400), found(b, 1500)
    everything_arrives(path.lab, 1500, MIB // 4)


def test_the_tunnel_interfaces_mtu_is_followed(make_lab):
    lab = make_lab()
    a, b = lab.sealed("A", "-m", "off"), lab.sealed("B", "-m", "off")
    a.peers_up(), b.peers_up()
    for mtu in (1500, 1300, 9000, 1280):
        for site in lab.all_sites:
            site.run(f"ip link set wan mtu {mtu}")
        passes(lab, 1394)
        found(a, mtu), found(b, mtu)
        everything_arrives(lab, 1500, MIB // 4)


class Load:
    """TCP, datagrams and pings that go on until they are told to stop."""

    def __init__(self, lab, size):
        self.a, self.b, self.size = lab.host("hA"), lab.host("hB"), size
        self.stop, self.failed, self.sent = threading.Event(), [], 0
        self.got: set[int] = set()
        self.streamed = 0
        self.senders = [udp_pair(self.a, self.b, ipv6, df, port) for ipv6, df, port in
                        ((False, IP_PMTUDISC_PROBE, 7101), (False, IP_PMTUDISC_DONT, 7102),
                         (True, IP_PMTUDISC_PROBE, 7103))]
        self.threads = [threading.Thread(target=self._guard, args=(work,), daemon=True)
                        for work in (self._send, self._receive, self._serve, self._stream)]
        with self.b.netns():
            self.listener = socket.create_server((self.b.ip, 7110))
        self.listener.settimeout(20)
        for thread in self.threads:
            thread.start()

    def _guard(self, work):
        try:
            work()
        except Exception as error:      # noqa: BLE001  what a thread says must reach the test
            self.failed.append(f"{work.__name__}: {error!r}")

    def _send(self):
        while not self.stop.is_set():
            for sender, _ in self.senders:
                sender.send(self.sent.to_bytes(8, "big") + stream(self.size, self.sent % 7))
                self.sent += 1
            time.sleep(0.01)

    def _receive(self):
        for _, receiver in self.senders:
            receiver.settimeout(0.005)
        while not self.stop.is_set():
            for _, receiver in self.senders:
                try:
                    data = receiver.recv(1 << 16)
                except TimeoutError:
                    continue
                number = int.from_bytes(data[:8], "big")
                assert data[8:] == stream(self.size, number % 7)
                self.got.add(number)

    def _serve(self):
        conn, _ = self.listener.accept()
        conn.settimeout(30)
        with conn:
            while chunk := conn.recv(1 << 16):
                assert chunk == counting(self.streamed, len(chunk), 251)
                self.streamed += len(chunk)

    def _stream(self):
        with self.a.netns():
            sock = socket.socket()
        sock.settimeout(30)
        at = 0
        with sock:
            sock.connect((self.b.ip, 7110))
            while not self.stop.is_set():
                sock.sendall(counting(at, 20000, 251))
                at += 20000
                time.sleep(0.02)

    def goes_on(self, timeout=30):
        """Wait until everything that is sent from now on arrives again."""
        bytes_before, sent_before = self.streamed, self.sent

        def look():
            assert not self.failed, self.failed
            newest = range(self.sent - 60, self.sent - 30)
            return (self.streamed > bytes_before + 200000 and self.sent > sent_before + 100 and
                    all(number in self.got for number in newest))
        wait_for(look, timeout, "TCP and UDP to go on")

    def end(self):
        """Stop, and tell what failed."""
        self.stop.set()
        for thread in self.threads:
            thread.join(40)
        for pair in self.senders:
            for sock in pair:
                sock.close()
        self.listener.close()
        assert not self.failed, self.failed


def each_with_each():
    """Every two of host, path and clamp meet in four cases; the other four are for make check-full."""
    for lan, mtus in ((1500, (1500, 1280, 1400, 1500)), (9000, (9000, 1400, 9000, 1500))):
        for icmp in (True, False):
            for clamp in ("auto", "off"):
                marks = () if (lan == 1500) ^ icmp ^ (clamp == "auto") else pytest.mark.full
                yield pytest.param(lan, mtus, icmp, clamp, marks=marks,
                                   id=f"hosts-{lan}-{'icmp' if icmp else 'filtered'}-{clamp}")


@pytest.mark.parametrize("lan, mtus, icmp, clamp", each_with_each())
def test_what_flows_goes_on_when_the_path_changes(make_lab, lan, mtus, icmp, clamp):
    """Datagrams and pings are as long as the first path carries in one piece, so that each of them tells."""
    path = Path(make_lab, mtus[0], icmp=icmp, lan_mtu=lan)
    a, b = path.start("--mtu-raise", "1s", "-m", clamp)
    path.known(mtus[0])
    load = Load(path.lab, mtus[0] - AROUND - 40 - 8 - 8)
    load.goes_on()
    for mtu in mtus[1:]:
        path.set(mtu)
        load.goes_on()
        passes(path.lab, mtus[0] - AROUND - 28)
    load.end()
    assert {*drops(a.status()), *drops(b.status())} <= {"fragment_timeout"}


def syn_mss(capture, host):
    """MSS in the SYNs and SYN/ACKs that a capture saw from a host."""
    found_ = []
    for packet in capture.packets():
        data = packet.data
        if len(data) > 54 and data[23] == 6 and data[26:30] == socket.inet_aton(host.ip) and data[47] & 2:
            options = data[54:34 + (data[46] >> 4) * 4]
            assert options[:2] == b"\x02\x04"
            found_.append(int.from_bytes(options[2:4], "big"))
    return found_


def test_one_appliance_clamps_both_directions(make_lab):
    """B clamps nothing; A does to what goes out of its port and what comes in."""
    path = Path(make_lab, 1400)
    a, b = path.start(a=("-m", "auto"), b=("-m", "off"))
    path.known(1400)
    ha, hb = path.lab.host("hA"), path.lab.host("hB")
    with Capture(ha, "eth0", "tcp", direction="in") as at_a, Capture(hb, "eth0", "tcp", direction="in") as at_b:
        transfer(ha, hb, 100000)
        transfer(hb, ha, 100000, port=7002)
    assert syn_mss(at_b, ha) == [1400 - AROUND - 40] * 2
    assert syn_mss(at_a, hb) == [1400 - AROUND - 40] * 2
    assert a.status()["tags"][0]["frobs"]["mss_clamped_out"] == 2
    assert a.status()["tags"][0]["frobs"]["mss_clamped"] == 2
    assert a.status()["outer"]["fragmented"] == b.status()["outer"]["fragmented"] == 0


def test_a_clamp_follows_what_the_far_end_says_of_its_way(make_lab):
    path = Path(make_lab, 1500)
    path.set(1280, towards="A")
    a, _ = path.start(b=("-m", "off"))
    ha, hb = path.lab.host("hA"), path.lab.host("hB")
    found(a, 1500), found(path.tunnels["B"], 1280)
    time.sleep(0.5)     # one message on the control connection
    with Capture(hb, "eth0", "tcp", direction="in") as capture:
        transfer(ha, hb, 100000)
    assert syn_mss(capture, ha) == [1280 - AROUND - 40]


def test_a_number_acts_on_decapsulation_only(make_lab):
    lab = make_lab()
    a, b = lab.sealed("A", "-m", "1400"), lab.sealed("B", "-m", "off")
    a.peers_up(), b.peers_up()
    transfer(lab.host("hA"), lab.host("hB"), 100000)
    frobs = a.status()["tags"][0]["frobs"]
    assert (frobs["mss_clamped"], frobs["mss_clamped_out"]) == (1, 0)


# ------------------------------------------------------------------ telling senders

def test_a_sender_that_asks_is_told_and_the_frame_is_dropped(make_lab):
    path = Path(make_lab, 1400)
    a, b = path.start("--oversize", "drop", "-m", "off")
    path.known(1400)
    ha, hb = path.lab.host("hA"), path.lab.host("hB")
    fits = 1400 - AROUND
    out = ha.run(["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", "1400", hb.ip], check=False).stdout
    assert f"From {hb.ip} icmp_seq=1 Frag needed and DF set (mtu = {fits})" in out
    out = ha.run(["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", "1400", hb.ip6], check=False).stdout
    assert f"From {hb.ip6} icmp_seq=1 Packet too big: mtu={fits}" in out
    ha.ping(hb.ip, 1, fits - 28, 5.0, "-M", "do")
    sender, receiver = udp_pair(hb, ha, df=IP_PMTUDISC_DO)
    with sender, receiver:
        sender.send(bytes(1400))
        def told():
            return sender.getsockopt(socket.IPPROTO_IP, IP_MTU) == fits
        wait_for(told, 10, "the kernel to have been told")
        with pytest.raises(OSError, match="Message too long"):
            sender.send(bytes(1400))
    transfer(ha, hb, MIB), transfer(hb, ha, MIB, ipv6=True, port=7001)
    for tunnel in (a, b):
        status = tunnel.status()
        assert set(drops(status)) == {"oversize"}
        assert 0 < status["tags"][0]["hints"]["sent"] <= drops(status)["oversize"]
        assert status["outer"]["fragmented"] == 0


def test_what_cannot_be_told_travels_in_fragments(make_lab):
    """No DF; multicast; an ICMP error; a later fragment; IPv6 that need not be shorter."""
    path = Path(make_lab, 1280)
    a, b = path.start("--oversize", "drop", "-m", "off")
    path.known(1280)
    ha, hb = path.lab.host("hA"), path.lab.host("hB")
    datagrams_arrive(ha, hb, (1472, 4000), df=IP_PMTUDISC_DONT)
    ha.ping(hb.ip6, 1, 1280 - 48)
    for _ in range(2):            # both hosts' kernels learn 1280 and cut; those fragments are too long for the path
        ha.run(["ping", "-n", "-c", "1", "-W", "1", "-s", "3000", hb.ip6], check=False)
    ha.ping(hb.ip6, 1, 3000)
    with ha.packet_socket("eth0") as raw, hb.packet_socket("eth0") as wire:
        for frame in untellable(ha, hb):
            raw.send(frame)
            arrives(wire, frame)
    status = a.status()
    assert status["tags"][0]["hints"]["sent"] <= 1 and status["outer"]["fragmented"] >= 8
    assert b.status()["outer"]["reassembled"] == status["outer"]["fragmented"]


def ip4(src, dst, proto, payload, flags=0x4000, mac_dst="ff:ff:ff:ff:ff:ff", mac_src="02:00:00:00:0a:01"):
    """An Ethernet frame with an IPv4 packet."""
    head = bytes.fromhex("4500") + (20 + len(payload)).to_bytes(2, "big") + b"\0\1" + flags.to_bytes(2, "big") + \
        bytes([64, proto, 0, 0]) + socket.inet_aton(src) + socket.inet_aton(dst)
    total = sum(int.from_bytes(head[i:i + 2], "big") for i in range(0, 20, 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    head = head[:10] + (~total & 0xffff).to_bytes(2, "big") + head[12:]
    return bytes.fromhex((mac_dst + mac_src).replace(":", "")) + b"\x08\x00" + head + payload


def untellable(ha, hb):
    """Frames of 1514 bytes whose senders must not be answered."""
    text = stream(1480, 3)
    to = {"mac_dst": hb.mac, "mac_src": ha.mac}
    for kind in (3, 4, 5, 11, 12):
        yield ip4(ha.ip, hb.ip, 1, bytes([kind, 0]) + text[2:], **to)               # ICMP errors
    yield ip4(ha.ip, hb.ip, 17, text, flags=0x4000 | 185, **to)                     # a later fragment
    yield ip4("0.0.0.0", hb.ip, 17, text, **to)
    yield ip4("127.0.0.1", hb.ip, 17, text, **to)
    yield ip4("224.0.0.1", hb.ip, 17, text, **to)
    yield ip4(ha.ip, "239.1.2.3", 17, text, mac_dst="01:00:5e:01:02:03", mac_src=ha.mac)
    yield ip4(ha.ip, "255.255.255.255", 17, text, mac_src=ha.mac)
    yield bytes.fromhex((hb.mac + ha.mac).replace(":", "")) + b"\x88\xb5" + text    # not IP


def arrives(sock, frame, timeout=10):
    """Wait for a frame."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        sock.settimeout(deadline - time.monotonic())
        try:
            if sock.recv(70000) == frame:
                return
        except TimeoutError:
            break
    raise AssertionError(f"no frame {frame[:60].hex()}…")


def test_hint_fragments_and_tells(make_lab):
    path = Path(make_lab, 1400)
    a, _ = path.start("--oversize", "hint", "-m", "off")
    path.known(1400)
    ha, hb = path.lab.host("hA"), path.lab.host("hB")
    sender, receiver = udp_pair(ha, hb, df=IP_PMTUDISC_DO)
    with sender, receiver:
        sender.send(stream(1400, 5))
        assert receiver.recv(4000) == stream(1400, 5)
        wait_for(lambda: sender.getsockopt(socket.IPPROTO_IP, IP_MTU) == 1400 - AROUND, 10, "the kernel to be told")
    status = a.status()
    assert drops(status) == {} and status["tags"][0]["hints"]["sent"] == 1


def test_hints_go_back_into_the_vlan_they_are_about(make_lab):
    path = Path(make_lab, 1400, vlan={"hA": 10, "hB": 10})
    a, _ = path.start("--oversize", "drop", "-m", "off")
    path.known(1400)
    ha, hb = path.lab.host("hA"), path.lab.host("hB")
    with Capture(path.lab.site("A"), "border", "", direction="out") as capture:
        out = ha.run(["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", "1400", hb.ip], check=False).stdout
    assert f"(mtu = {1400 - AROUND - 4})" in out
    hints = [p.data for p in capture.packets() if b"\x08\x00\x45\xc0" in p.data[12:22]]
    assert len(hints) == 1
    assert hints[0][:18] == bytes.fromhex((ha.mac + hb.mac).replace(":", "")) + b"\x81\x00\x00\x0a\x08\x00"[:6]


def test_a_storm_of_long_packets_is_answered_at_a_bounded_rate(make_lab):
    path = Path(make_lab, 1400)
    a, b = path.start("--oversize", "drop", "-m", "off", "--workers", "1")
    path.known(1400)
    ha, hb = path.lab.host("hA"), path.lab.host("hB")
    frame = ip4(ha.ip, hb.ip, 17, b"\x30\x39\x30\x39" + (1480).to_bytes(2, "big") + stream(1474, 1),
                mac_dst=hb.mac, mac_src=ha.mac)
    ha.ping(hb.ip)
    with ha.packet_socket("eth0") as raw:
        for _ in range(2000):
            raw.send(frame)
    wait_for(lambda: sum(a.status()["tags"][0]["hints"].values()) >= 2000, what="all to be counted")
    hints = a.status()["tags"][0]["hints"]
    assert hints["limited"] > 1000 and hints["sent"] == drops(a.status())["oversize"]
    wait_for(lambda: b.status()["outer"]["reassembled"] >= hints["limited"], what="the others to arrive")
    ha.ping(hb.ip)


# ------------------------------------------------------------------ harm

def test_a_storm_of_forged_icmp_lowers_nothing(make_lab):
    lab = make_lab()
    a, b = lab.sealed("A", "-m", "off"), lab.sealed("B", "-m", "off")
    a.peers_up(), b.peers_up()
    found(a, 1500), found(b, 1500)
    site, other = lab.site("A"), lab.site("B")
    udp = b"\x1c\x4d\x1c\x4d" + (1480).to_bytes(2, "big") + bytes(10)
    quoted = ip4(site.ip, other.ip, 17, udp)[14:]
    frames = []
    for code, mtu in ((4, 68), (4, 0), (4, 1280), (4, 65535), (1, 0), (3, 0)):
        body = bytes([3, code, 0, 0, 0, 0]) + mtu.to_bytes(2, "big") + quoted
        total = sum(int.from_bytes(body[i:i + 2], "big") for i in range(0, len(body), 2))
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        body = body[:2] + (~total & 0xffff).to_bytes(2, "big") + body[4:]
        frames.append(ip4("192.0.2.99", site.ip, 1, body, mac_dst=site.mac, mac_src=other.mac))
    with other.packet_socket("wan") as raw:
        for _ in range(1000):
            for frame in frames:
                raw.send(frame)
        everything_arrives(lab, 1500, MIB // 4)
    for tunnel in (a, b):
        assert drops(tunnel.status()) == {}
        assert tunnel.status()["peers"][0]["path_mtu"] == 1500
        assert tunnel.status()["peers"][0]["path_mtu_lowered"] == 0


def test_nothing_sealed_is_fragmented_by_ip(make_lab):
    path = Path(make_lab, 1400)
    a, _ = path.start("-m", "off")
    with Capture(path.lab.site("A"), "wan", "udp or (ip[6:2] & 0x3fff != 0)") as capture:
        everything_arrives(path.lab, 1500, MIB // 8)
    packets = [p.data for p in capture.packets() if p.data[12:14] == b"\x08\x00"]
    assert packets and all(data[20] & 0xff == 0x40 and data[21] == 0 for data in packets)
    assert a.status()["outer"]["fragmented"] > 0


def test_control_connections_do_not_stall_where_icmp_is_filtered(make_lab):
    """A path that carries less than an interface's MTU: handshakes with large keys must pass all the same."""
    path = Path(make_lab, 600, wan_mtu=1500)
    a, b = path.start("-m", "off")
    wait_for(lambda: all(t.status()["peers"][0]["path_mtu_state"] == "error" for t in (a, b)), 60, "the least MTU")
    assert a.status()["peers"][0]["path_mtu"] == 576
    wait_for(lambda: "carries only small packets" in str(a.status()["problems"]), 10, "status to tell it")
    a.expect("path MTU is 576: inner packets of up to 576 bytes go in one piece; that is less than", 30)
    everything_arrives(path.lab, 1500, MIB // 4)
    path.set(1500)
    path.known(1500)


def test_the_path_of_these_tests_drops_what_is_too_long_and_says_nothing(make_lab):
    """The laboratory's own check."""
    path = Path(make_lab, 1400)
    a = path.lab.site("A")
    good = a.run(["ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "1372", path.address("B")], check=False)
    bad = a.run(["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", "1373", path.address("B")], check=False)
    assert good.returncode == 0 and bad.returncode == 1
    assert "Frag" not in bad.stdout
    with pytest.raises(LabError):
        path.lab.host("hA").ping(path.lab.host("hB").ip, timeout=0.5)
