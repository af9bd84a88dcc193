# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire format of the original program, both ways, with packets written by hand."""
import pytest
from longhaul_lab import Capture, wait_for
from traffic import drops, ethernet, raw245, receive

PLAIN = ("--outer", "capsulator")
FAR = "02:00:00:00:0b:01"   # a MAC behind the far end

# An ARP request as the original program at 192.0.2.2 sends it for tag 7, without its IPv4 header:
# tag, then destination, source, type, ARP body, and zeros up to 60 bytes of frame.
ARP = bytes.fromhex(
    "00000007"
    "ffffffffffff" "020000000b01" "0806"
    "0001" "0800" "06" "04" "0001" "020000000b01" "0a4d0002" "000000000000" "0a4d0001"
    "000000000000000000000000000000000000")


@pytest.fixture
def site_a(make_lab):
    """A tunnel at site A; site B is played by the test."""
    lab = make_lab()
    tunnel = lab.tunnel("A", "-t", "wan", "-f", "192.0.2.2", "-b", "border:7", *PLAIN)
    return lab, tunnel


def test_a_packet_of_the_original_program_is_delivered_as_it_is(site_a):
    lab, tunnel = site_a
    with lab.host("hA").packet_socket("eth0") as host, raw245(lab.site("B")) as far:
        far.sendto(ARP, (lab.site("A").ip, 0))
        receive(host, ARP[4:])
    assert ("peer", FAR) in {(entry["behind"], entry["mac"]) for entry in tunnel.status()["macs"]}
    assert drops(tunnel.status()) == {}


def test_the_answer_has_the_original_programs_bytes(site_a):
    lab, _ = site_a
    with raw245(lab.site("B")) as far:
        far.sendto(ARP, (lab.site("A").ip, 0))
        packet, source = far.recvfrom(2000)
    assert source[0] == lab.site("A").ip
    assert packet[0] == 0x45 and packet[9] == 245
    assert packet[6] & 0x40 == 0, "DF would keep the kernel from fragmenting"
    assert packet[20:] == bytes.fromhex(
        "00000007"
        "020000000b01" "020000000a01" "0806"
        "0001" "0800" "06" "04" "0002" "020000000a01" "0a4d0001" "020000000b01" "0a4d0002"
        "000000000000000000000000000000000000"), "padded to 60 bytes with zeros"


def test_a_packet_with_ip_options_and_one_in_fragments_are_taken(site_a):
    lab, _ = site_a
    import socket
    with lab.host("hA").packet_socket("eth0") as host, raw245(lab.site("B")) as far:
        far.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([1, 1, 1, 1]))
        far.sendto(ARP, (lab.site("A").ip, 0))
        receive(host, ARP[4:])
        far.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"")
        large = ethernet("ff:ff:ff:ff:ff:ff", FAR, 0x88b5, bytes(range(250)) * 6)[:1514]
        far.sendto(b"\0\0\0\7" + large, (lab.site("A").ip, 0))   # 1538 bytes of IP: two fragments
        receive(host, large)


@pytest.mark.parametrize("length", range(0, 18))
def test_truncated_packets_are_counted_and_harm_nothing(site_a, length):
    lab, tunnel = site_a
    with raw245(lab.site("B")) as far:
        far.sendto(ARP[:length], (lab.site("A").ip, 0))
        wait_for(lambda: drops(tunnel.status()).get("outer_short") == 1, what="the short packet's count")
        with lab.host("hA").packet_socket("eth0") as host:
            far.sendto(ARP, (lab.site("A").ip, 0))
            receive(host, ARP[4:])


def test_other_tags_and_other_senders_are_counted_and_dropped(site_a):
    lab, tunnel = site_a
    lab.site("B").run("ip addr add 192.0.2.66/24 dev wan")
    with raw245(lab.site("B")) as far, raw245(lab.site("B")) as stranger:
        far.sendto(b"\0\0\0\x08" + ARP[4:], (lab.site("A").ip, 0))
        stranger.bind(("192.0.2.66", 0))
        stranger.sendto(ARP, (lab.site("A").ip, 0))
        wait_for(lambda: drops(tunnel.status()) == {"outer_tag": 1, "outer_peer": 1}, what="both counts")
    assert tunnel.status()["macs"] == []


@pytest.mark.parametrize("tag", [0, 1, 4294967295])
def test_every_32_bit_tag_is_carried_big_endian(make_lab, tag):
    lab = make_lab()
    lab.tunnel("A", "-t", "wan", "-f", "192.0.2.2", "-b", f"border:{tag}", *PLAIN)
    with raw245(lab.site("B")) as far, lab.host("hA").packet_socket("eth0") as host:
        far.sendto(tag.to_bytes(4, "big") + ARP[4:], (lab.site("A").ip, 0))
        receive(host, ARP[4:])
        assert far.recv(2000)[20:24] == tag.to_bytes(4, "big")


def test_super_frames_leave_as_wire_frames_with_complete_checksums(make_lab):
    """scapy, an independent decoder, recomputes each inner checksum."""
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import Ether
    from traffic import transfer
    lab = make_lab()
    for letter in "AB":
        lab.tunnel(letter, *PLAIN)
    with Capture(lab.site("A"), "wan", "ip proto 245", direction="out") as capture:
        transfer(lab.host("hA"), lab.host("hB"), 300_000)
    sizes = []
    for packet in capture.packets():
        frame = Ether(packet.data[38:])
        if TCP not in frame:
            continue
        ip, tcp = frame[IP], frame[TCP]
        sizes.append(ip.len)
        had = [check % 0xffff for check in (ip.chksum, tcp.chksum)]     # 0 and 0xffff are one number (RFC 1071)
        del ip.chksum, tcp.chksum
        fresh = Ether(bytes(frame))
        assert had == [check % 0xffff for check in (fresh[IP].chksum, fresh[TCP].chksum)]
    assert len(sizes) > 200 and max(sizes) <= 1462
