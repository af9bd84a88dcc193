# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory itself; nothing here needs the longhaul program."""
from __future__ import annotations

import os
import socket
import struct
import time

import pytest

from longhaul_lab import Capture, Lab, LabError, WaitTimeout, iperf3, leftovers, wait_for
from longhaul_netns import residents

LAB = {"hosts": 2}
ETH_P_TEST = 0x88B5     # IEEE 802 local experimental Ethernet type 1
TP_STATUS_VLAN_VALID = 1 << 4
PACKET_AUXDATA = 8
SOL_PACKET = 263


def frame(source: str, destination: str, payload: bytes = b"") -> bytes:
    """An Ethernet frame of the experimental type, padded to 60 bytes."""
    macs = bytes.fromhex((destination + source).replace(":", ""))
    return (macs + struct.pack("!H", ETH_P_TEST) + payload).ljust(60, b"\0")


def sizes(sock: socket.socket) -> list[int]:
    """The lengths of the packets that wait in a socket."""
    sock.setblocking(False)
    found = []
    while True:
        try:
            found.append(len(sock.recv(1 << 17)))
        except BlockingIOError:
            return found


# ------------------------------------------------------------------ addresses and wires

def test_hosts_and_sites_have_their_addresses(module_lab: Lab) -> None:
    host, site = module_lab.host("hB2"), module_lab.site("B")
    shown = host.run("ip -o addr show dev eth0").stdout
    assert host.ip == "10.77.0.12" and f"inet {host.ip}/24" in shown
    assert host.ip6 == "fd77::12" and f"inet6 {host.ip6}/64" in shown
    assert host.mac == "02:00:00:00:0b:02" and host.link("eth0")["address"] == host.mac
    shown = site.run("ip -o addr show dev wan").stdout
    assert site.ip == "192.0.2.2" and f"inet {site.ip}/24" in shown
    assert site.ip6 == "2001:db8:77::2" and f"inet6 {site.ip6}/64" in shown
    assert site.run("ip -o addr show dev border").stdout == ""


def test_hosts_of_one_site_reach_each_other(module_lab: Lab) -> None:
    host, other = module_lab.host("hA"), module_lab.host("hA2")
    host.ping(other.ip)
    host.ping(other.ip6)


def test_sites_reach_each_other_over_the_wan(module_lab: Lab) -> None:
    a, b = module_lab.site("A"), module_lab.site("B")
    for address in (b.ip, b.ip6):
        a.run(["ping", "-c1", "-W5", address])


def test_hosts_of_two_sites_do_not_reach_each_other_without_a_tunnel(module_lab: Lab) -> None:
    host = module_lab.host("hA")
    with pytest.raises(LabError, match="0 received"):
        host.ping(module_lab.host("hB").ip, timeout=0.3)


def test_the_border_port_sees_what_the_host_sends_and_reaches_it(module_lab: Lab) -> None:
    host, site = module_lab.host("hA"), module_lab.site("A")
    sent = frame(host.mac, "02:00:00:00:0b:01", b"to the border")
    back = frame("02:00:00:00:0b:01", host.mac, b"to the host")
    with host.packet_socket("eth0", protocol=ETH_P_TEST) as inside, \
            site.packet_socket("border", protocol=ETH_P_TEST) as border:
        inside.send(sent)
        assert border.recv(2048) == sent
        border.send(back)
        assert inside.recv(2048) == back


def test_a_border_port_answers_nothing_itself(make_lab) -> None:
    lab = make_lab()
    host, site = lab.host("hA"), lab.site("A")
    host.run(["ip", "route", "add", site.ip, "dev", "eth0"])
    with pytest.raises(LabError, match="0 received"):
        host.ping(site.ip, timeout=0.3)


def test_a_new_laboratory_is_silent(make_lab) -> None:
    lab = make_lab(sites=3)
    sockets = {f"{node.name}/{ifname}": node.packet_socket(ifname)
               for node, ifname in ([(host, "eth0") for host in lab.all_hosts] +
                                    [(site, name) for site in lab.all_sites for name in ("border", "wan")])}
    # Longer than any interval in which the kernel repeats reports or solicitations by default.
    time.sleep(1.2)
    assert {name: heard for name, sock in sockets.items() if (heard := sizes(sock))} == {}
    for sock in sockets.values():
        sock.close()


@pytest.mark.lab(sites=3)
def test_three_sites_are_joined_by_a_bridge(lab: Lab) -> None:
    for site in lab.all_sites:
        for other in lab.all_sites:
            site.run(["ping", "-c1", "-W5", other.ip])
            site.run(["ping", "-c1", "-W5", other.ip6])


@pytest.mark.lab(ports=2)
def test_each_border_port_has_its_own_host(lab: Lab) -> None:
    site = lab.site("A")
    assert site.borders == ["border1", "border2"]
    for name, ifname in (("hA", "border1"), ("hA2", "border2")):
        host = lab.host(name)
        with host.packet_socket("eth0") as inside, site.packet_socket(ifname, protocol=ETH_P_TEST) as border:
            inside.send(frame(host.mac, "ff:ff:ff:ff:ff:ff", name.encode()))
            assert border.recv(2048)[14:14 + len(name)] == name.encode()
    assert lab.host("hA2").ip == "10.77.1.11"


@pytest.mark.lab(lan_mtu=9000, wan_mtu=1600)
def test_mtus_are_as_asked(lab: Lab) -> None:
    site = lab.site("A")
    assert lab.host("hA").link("eth0")["mtu"] == 9000 == site.link("border")["mtu"]
    assert site.link("wan")["mtu"] == 1600
    dont_fragment = ["ping", "-c1", "-W5", "-M", "do", lab.site("B").ip, "-s"]
    site.run([*dont_fragment, "1572"])
    assert site.run([*dont_fragment, "1573"], check=False).returncode != 0


@pytest.mark.lab(line=True)
def test_the_line_forwards_nothing_by_itself(lab: Lab) -> None:
    a, b, line = lab.site("A"), lab.site("B"), lab.node("line")
    assert a.run(["ping", "-c1", "-W0.3", b.ip], check=False).returncode != 0
    with a.packet_socket("wan") as wan, line.packet_socket("ab", protocol=ETH_P_TEST) as ab:
        wan.send(frame(a.mac, b.mac))
        assert ab.recv(2048) == frame(a.mac, b.mac)


def test_sites_can_be_bridged_by_the_kernel_and_parted_again(make_lab) -> None:
    lab = make_lab()
    a, b = lab.host("hA"), lab.host("hB")
    with lab.bridged():
        a.ping(b.ip, count=3)
        a.ping(b.ip6)
    lab.site("A").run(["ping", "-c1", "-W5", lab.site("B").ip])
    with pytest.raises(LabError, match="0 received"):
        a.ping(b.ip, timeout=0.3)


# ------------------------------------------------------------------ offloads

def transfer_sizes(lab: Lab) -> list[int]:
    """Bridge hA and hB, send by TCP for a moment, and return the packet lengths seen on hB's border."""
    a, b = lab.host("hA"), lab.host("hB")
    with lab.bridged(), lab.site("B").packet_socket("wan") as wan:
        iperf3(a, b, amount="2M")
        return sizes(wan)


def test_the_default_wire_carries_super_frames(make_lab) -> None:
    assert max(transfer_sizes(make_lab())) > 1514


def test_hosts_without_offloads_send_plain_frames_with_checksums(make_lab) -> None:
    lab = make_lab(no_offloads=True)
    assert max(transfer_sizes(lab)) == 1514
    with lab.bridged(), Capture(lab.site("A"), "border", "udp port 9", direction="in") as capture:
        lab.host("hA").python("import socket, sys; s = socket.socket(type=socket.SOCK_DGRAM);"
                              "s.sendto(b'longhaul', (sys.argv[1], 9))", lab.host("hB").ip)
        udp = capture.wait(1)[0].data[34:50]
    assert udp_checksum(lab.host("hA").ip, lab.host("hB").ip, udp) == 0


def udp_checksum(source: str, destination: str, udp: bytes) -> int:
    """0 when the datagram's checksum is complete and right (RFC 768, RFC 1071)."""
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!BBH", 0, 17, len(udp))
    total = sum(struct.unpack(f"!{(len(pseudo) + len(udp)) // 2}H", pseudo + udp))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def test_the_segmenting_wire_segments_and_its_receivers_merge(make_lab) -> None:
    lab = make_lab(sites=3, segmenting_wire=True)
    a, b, middle = lab.site("A"), lab.site("B"), lab.node("wan")
    # The bridge between the sites shows the packets as they are on the wire.
    with middle.packet_socket("wanA") as wire, b.packet_socket("wan") as received:
        server = b.popen("iperf3 -s -1")
        wait_for(lambda: b.listening(5201), 10, "iperf3 to listen")
        a.run(["iperf3", "-c", b.ip, "-n", "8M"])
        server.wait()
        on_wire, merged = sizes(wire), sizes(received)
    assert max(on_wire) == 1514
    assert sum(size == 1514 for size in on_wire) > 1000
    assert max(merged) > 1514


def test_udp_segmentation_offload_is_undone_by_the_segmenting_wire(make_lab) -> None:
    lab = make_lab(sites=3, segmenting_wire=True)
    a, middle = lab.site("A"), lab.node("wan")
    a.run(["ping", "-c1", lab.site("B").ip])    # the address is resolved before
    with a.netns():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with lab.site("B").netns():
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sink.bind(("", 7245))   # or there would be ICMP errors
    with sender, sink, middle.packet_socket("wanA") as wire:
        sender.setsockopt(17, 103, 1000)        # UDP_SEGMENT
        sender.sendto(bytes(8500), (lab.site("B").ip, 7245))
        wait_for(lambda: a.counter("wan", "tx_packets") >= 9, 5, "nine datagrams")
        assert [size for size in sizes(wire) if size > 500] == 8 * [1042] + [542]


# ------------------------------------------------------------------ tagged hosts

@pytest.fixture(scope="module")
def tagged_lab(make_module_lab) -> Lab:
    """Two hosts in VLAN 10 and one that is untagged."""
    return make_module_lab(hosts=2, vlan={"hA": 10, "hB": 10})


def test_a_tagged_host_sends_tagged_frames_and_understands_them(tagged_lab: Lab) -> None:
    a, b = tagged_lab.host("hA"), tagged_lab.host("hB")
    with tagged_lab.bridged(), Capture(tagged_lab.site("A"), "wan") as capture:
        a.ping(b.ip, count=3)
        a.ping(b.ip6)
        packets = capture.wait(10)
    assert {packet.data[12:16] for packet in packets} == {bytes.fromhex("8100000a")}


def test_the_tag_reaches_a_packet_socket_as_metadata(tagged_lab: Lab) -> None:
    a, site = tagged_lab.host("hA"), tagged_lab.site("A")
    with site.packet_socket("border") as border:
        border.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        with pytest.raises(LabError):
            a.ping("10.77.0.99", timeout=0.1)
        _, ancillary, _, _ = border.recvmsg(2048, 64)
    (_, _, data), = ancillary
    status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", data)
    assert status & TP_STATUS_VLAN_VALID and tci & 0xFFF == 10


def test_tagged_hosts_move_tcp_bytes_both_ways(tagged_lab: Lab) -> None:
    a, b = tagged_lab.host("hA"), tagged_lab.host("hB")
    with tagged_lab.bridged():
        for reverse in (False, True):
            assert iperf3(a, b, reverse=reverse, amount="20M")["sum_sent"]["bytes"] >= 20 << 20


def test_a_tagged_host_does_not_hear_untagged_ones(tagged_lab: Lab) -> None:
    a, untagged = tagged_lab.host("hA"), tagged_lab.host("hA2")
    for one, other in ((a, untagged), (untagged, a)):
        with pytest.raises(LabError, match="0 received"):
            one.ping(other.ip, timeout=0.3)


# ------------------------------------------------------------------ TCP settings

@pytest.mark.lab(congestion={"hA": "reno"})
def test_congestion_control_is_set_per_host(lab: Lab) -> None:
    code = ("import socket; s = socket.create_connection(('{}', {}));"
            "print(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b'\\0').decode())")
    b = lab.host("hB")
    with b.netns():
        listeners = [socket.create_server((b.ip, 9)), socket.create_server((b.ip6, 9), family=socket.AF_INET6)]
    with lab.bridged():
        used = [lab.host("hA").python(code.format(address, 9)).stdout.strip() for address in (b.ip, b.ip6)]
    for listener in listeners:
        listener.close()
    assert used == ["reno", "reno"]


def test_tcp_limits_bound_the_advertised_window(make_lab) -> None:
    lab = make_lab()
    a, b = lab.host("hA"), lab.host("hB")
    b.tcp_limits(rmem=(4096, 16384, 16384))
    with lab.bridged(), Capture(lab.site("B"), "wan", "tcp[tcpflags] & tcp-syn = 0 and src host " + b.ip) as capture:
        iperf3(a, b, amount="256K")
        windows = [struct.unpack_from("!H", packet.data, 48)[0] for packet in capture.packets()]
    assert windows and max(windows) <= 16384


# ------------------------------------------------------------------ commands and processes

def test_a_failing_command_tells_what_it_printed(module_lab: Lab) -> None:
    with pytest.raises(LabError, match=r"hA: bash -c .*exit status 3\n(.|\n)*so it is"):
        module_lab.host("hA").sh("echo so it is >&2; exit 3")


def test_a_command_that_hangs_is_killed_with_its_children(module_lab: Lab) -> None:
    host = module_lab.host("hA")
    with pytest.raises(LabError, match="did not end within 0.3 s"):
        host.sh("sleep 600 & sleep 600", timeout=0.3)
    assert host.run("true").returncode == 0
    wait_for(lambda: not residents({host.namespace.inode}), 5, "the end of the children")


def test_a_process_is_ended_and_its_output_kept(module_lab: Lab) -> None:
    process = module_lab.host("hA").popen(["bash", "-c", "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep .01; done"])
    process.expect("^up$")
    assert process.stop() == 7
    assert process.text() == "up\nbye\n"


def test_waiting_in_vain_says_for_what(module_lab: Lab) -> None:
    with pytest.raises(WaitTimeout, match="waited 0.1 s for a miracle; last: 0"):
        wait_for(lambda: 0, 0.1, "a miracle")
    process = module_lab.host("hA").popen("echo no")
    with pytest.raises(AssertionError, match="ended before it wrote 'yes'"):
        process.expect("yes")


def test_closing_a_laboratory_leaves_nothing() -> None:
    before = leftovers()
    lab = Lab(sites=3, hosts=2)
    host = lab.host("hA")
    # In a session of its own, as a daemon would be.
    host.sh("setsid sleep 600 >/dev/null 2>&1 &")
    lab.host("hB").popen("sleep 600")
    pids = wait_for(lambda: residents({node.namespace.inode for node in lab.nodes.values()}), 5, "two processes")
    lab.close()
    lab.close()
    assert not lab.tmp.exists()
    assert leftovers() == before
    # What was orphaned is a zombie until init has seen it.
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 5, "the end of both")
