# SPDX-License-Identifier: GPL-3.0-or-later
"""Real traffic through two and more bridged sites."""
import pytest
from longhaul_lab import Capture, wait_for
from traffic import drops, transfer

PLAIN = ("--outer", "capsulator")
MIB = 1 << 20


def start(lab, *args):
    """A tunnel at every site."""
    return [lab.tunnel(site.letter, *PLAIN, *args) for site in lab.all_sites]


@pytest.mark.parametrize("options", [{}, {"segmenting_wire": True}, {"no_offloads": True}],
                         ids=["offloads", "segmenting-wire", "no-offloads"])
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_every_byte_of_a_tcp_stream_arrives(make_lab, options, ipv6):
    lab = make_lab(**options)
    tunnels = start(lab)
    a, b = lab.host("hA"), lab.host("hB")
    transfer(a, b, 24 * MIB, ipv6)
    transfer(b, a, 24 * MIB, ipv6, seed=2)
    for tunnel in tunnels:
        assert drops(tunnel.status()) == {}


@pytest.mark.parametrize("without", ["merge", "vnet-hdr", "vnet-hdr,merge"])
def test_fallbacks_carry_every_byte(make_lab, without):
    lab = make_lab(no_offloads=True)
    start(lab, "--without", without)
    transfer(lab.host("hA"), lab.host("hB"), 8 * MIB)
    transfer(lab.host("hB"), lab.host("hA"), 8 * MIB, ipv6=True)


def test_checksums_of_offloading_hosts_are_completed_without_vnet_hdr(make_lab):
    """Frames up to the MTU with partial checksums, as veth hosts send them."""
    lab = make_lab()
    for host in lab.all_hosts:
        host.run(["ethtool", "-K", "eth0", "tso", "off", "gso", "off", "gro", "off"])
    for site in lab.all_sites:
        site.run(["ethtool", "-K", "border", "gro", "off"])
    start(lab, "--without", "vnet-hdr")
    transfer(lab.host("hA"), lab.host("hB"), 4 * MIB)


def test_pings_of_every_size_pass_and_large_ones_are_fragmented_by_the_kernel(make_lab):
    lab = make_lab()
    a, b = start(lab)
    for size in (16, 18, 1000, 1400, 1472, 4000, 20000):
        lab.host("hA").ping(lab.host("hB").ip, size=size)
        lab.host("hA").ping(lab.host("hB").ip6, size=size)
    assert a.status()["outer"]["fragmented"] > 0
    assert drops(a.status()) == drops(b.status()) == {}


@pytest.mark.parametrize("vlans", [{"hA": 10, "hB": 10}, {"hA": 4094, "hB": 4094}])
def test_vlan_tags_pass_unharmed_with_offloads(make_lab, vlans):
    lab = make_lab(vlan=vlans, segmenting_wire=True)
    start(lab)
    lab.host("hA").ping(lab.host("hB").ip)
    transfer(lab.host("hA"), lab.host("hB"), 8 * MIB)
    transfer(lab.host("hB"), lab.host("hA"), 8 * MIB, ipv6=True)


def test_other_vlans_do_not_meet(make_lab):
    lab = make_lab(vlan={"hA": 10, "hB": 11})
    start(lab)
    with pytest.raises(Exception, match="hB|10.77"):
        lab.host("hA").ping(lab.host("hB").ip, timeout=1)


def test_each_tag_reaches_only_its_own_ports(make_lab):
    lab = make_lab(ports=3)
    start(lab)
    for suffix in ("", "2", "3"):
        lab.host(f"hA{suffix}").ping(lab.host(f"hB{suffix}").ip)
    with Capture(lab.host("hB2"), "eth0", "arp") as capture:
        lab.host("hA").run("ping -c 1 -W 1 10.77.0.99", check=False)
    assert capture.packets() == []


def test_three_sites_are_one_lan_and_nothing_goes_round(make_lab):
    lab = make_lab(sites=3)
    start(lab)
    for one in lab.all_hosts:
        for other in lab.all_hosts:
            if one is not other:
                one.ping(other.ip, count=3)  # fails on duplicates
    transfer(lab.host("hC"), lab.host("hA"), 8 * MIB)


def test_two_ports_of_one_tag_are_bridged_at_the_site_too(make_lab):
    lab = make_lab(ports=2)
    args = ["-t", "wan", "-f", "192.0.2.2", "-b", "border1:5", "-b", "border2:5"]
    tunnel = lab.tunnel("A", *args, *PLAIN)
    one, two = lab.host("hA"), lab.host("hA2")
    two.run("ip addr add 10.77.0.50/24 dev eth0")
    one.ping("10.77.0.50", count=3)
    assert drops(tunnel.status()) == {}


def test_positional_ports_go_to_their_own_peer_only(make_lab):
    lab = make_lab(sites=3, ports=2)
    a = ["-t", "wan", "-f", "192.0.2.2,192.0.2.3", "-b", "border1#1", "-b", "border2#2"]
    lab.tunnel("A", *a, *PLAIN)
    lab.tunnel("B", "-t", "wan", "-f", "192.0.2.1", "-b", "border1:1", "-b", "border2:2", *PLAIN)
    lab.tunnel("C", "-t", "wan", "-f", "192.0.2.1", "-b", "border1:1", "-b", "border2:2", *PLAIN)
    lab.host("hA").ping(lab.host("hB").ip)
    lab.host("hA2").ping(lab.host("hC2").ip)
    for here, there in (("hA", "hC"), ("hA2", "hB2")):
        with pytest.raises(Exception, match="ping"):
            lab.host(here).ping(lab.host(there).ip, timeout=1)


def test_positional_ports_go_to_all_peers_when_asked(make_lab):
    lab = make_lab(sites=3)
    lab.tunnel("A", "-t", "wan", "-f", "192.0.2.2,192.0.2.3", "-b", "border#1", "-a", *PLAIN)
    for letter in "BC":
        lab.tunnel(letter, "-t", "wan", "-f", "192.0.2.1", "-b", "border:1", *PLAIN)
    lab.host("hA").ping(lab.host("hB").ip)
    lab.host("hA").ping(lab.host("hC").ip)


def test_a_tap_is_a_border_port(make_lab):
    lab = make_lab()
    site, b = lab.site("A"), lab.host("hB")
    lab.tunnel("B", *PLAIN)
    tap = lab.tunnel("A", "-t", "wan", "-f", "192.0.2.2", "-vb", "vm0:1", *PLAIN)
    site.run("ip addr add 10.77.0.77/24 dev vm0")
    b.ping("10.77.0.77", count=3)
    out = b.popen(["iperf3", "-s", "-1"])
    wait_for(lambda: b.listening(5201), what="iperf3 to listen")
    site.run(["iperf3", "-c", b.ip, "-n", "64M"])
    site_b = site.run(["iperf3", "-v"])
    assert site_b.returncode == 0 and out.wait(20) == 0
    assert drops(tap.status()) == {}
    tap.stop()
    assert site.run("ip link show vm0", check=False).returncode != 0, "the TAP outlived its tunnel"


def test_a_tap_that_was_deleted_is_made_again(make_lab):
    lab = make_lab()
    lab.tunnel("B", *PLAIN)
    tunnel = lab.tunnel("A", "-t", "wan", "-f", "192.0.2.2", "-vb", "vm0:1", *PLAIN)
    lab.site("A").run("ip link del vm0")
    wait_for(lambda: tunnel.status()["ports"][0]["state"] == "up" and
             lab.site("A").run("ip link show vm0", check=False).returncode == 0, 20, "vm0 to come back")
    lab.site("A").run("ip addr add 10.77.0.77/24 dev vm0")
    lab.host("hB").ping("10.77.0.77")


def syn_options(packets):
    """(MSS, window scale) of each SYN among captured frames."""
    found = []
    for packet in packets:
        data = packet.data
        options = data[54:34 + (data[46] >> 4) * 4]
        mss = wscale = None
        while options and options[0]:
            if options[0] == 1:
                options = options[1:]
                continue
            if options[0] == 2:
                mss = int.from_bytes(options[2:4], "big")
            if options[0] == 3:
                wscale = options[2]
            options = options[options[1]:]
        found.append((mss, wscale))
    return found


def test_handshakes_are_rewritten_on_decapsulation_only(make_lab):
    lab = make_lab()
    tunnels = start(lab, "-w", "7", "-m", "1400")
    expression = "tcp[tcpflags] & tcp-syn != 0"
    with Capture(lab.host("hA"), "eth0", expression) as at_a, \
            Capture(lab.site("A"), "wan", "ip proto 245") as between, \
            Capture(lab.host("hB"), "eth0", expression) as at_b:
        transfer(lab.host("hA"), lab.host("hB"), MIB)
    sent, answered = syn_options(at_a.packets())
    assert sent[0] == 1460 and answered == (1360, 7)
    arrived, reply = syn_options(at_b.packets())
    assert arrived == (1360, 7) and reply[0] == 1460
    # In between, packets are as the hosts made them: 14 + 20 + 4 bytes before the inner frame.
    inner = [packet._replace(data=packet.data[38:]) for packet in between.packets()]
    inner = [packet for packet in inner if packet.data[12:14] == b"\x08\x00" and packet.data[23] == 6 and
             packet.data[47] & 2]
    assert [mss for mss, _ in syn_options(inner)] == [1460, 1460]
    for tunnel in tunnels:
        frobs = tunnel.status()["tags"][0]["frobs"]
        assert frobs["syns"] == frobs["mss_clamped"] == 1 and frobs["malformed"] == 0


def test_the_mss_is_never_raised_and_off_leaves_it_alone(make_lab):
    lab = make_lab(lan_mtu=1300)
    start(lab, "-m", "1400")
    with Capture(lab.host("hB"), "eth0", "tcp[tcpflags] & tcp-syn != 0") as capture:
        transfer(lab.host("hA"), lab.host("hB"), 1000)
    assert [mss for mss, _ in syn_options(capture.packets())] == [1260, 1260]


def test_auto_mtu_is_what_fits_without_outer_fragments(make_lab):
    lab = make_lab()
    a, _ = start(lab)
    transfer(lab.host("hA"), lab.host("hB"), 4 * MIB)
    status = a.status()
    assert status["tags"][0]["mtu"] == 1500 - 20 - 4 - 14
    assert status["outer"]["fragmented"] == 0


def test_auto_mtu_leaves_room_for_a_vlan_tag(make_lab):
    lab = make_lab(vlan={"hA": 10, "hB": 10})
    a, b = start(lab)
    transfer(lab.host("hA"), lab.host("hB"), 4 * MIB)
    assert a.status()["outer"]["fragmented"] == b.status()["outer"]["fragmented"] == 0


def test_large_receive_offload_is_off_while_a_port_is_bridged(make_lab):
    lab = make_lab()
    site = lab.site("A")
    site.run("ip link add mv0 link border type macvlan mode passthru")
    site.run("ip link set mv0 up")
    if site.run("ethtool -K mv0 lro on", check=False).returncode or \
            "large-receive-offload: on" not in site.run("ethtool -k mv0").stdout:
        pytest.skip("no interface here has large receive offload")
    tunnel = lab.tunnel("A", "-t", "wan", "-f", "192.0.2.2", "-b", "mv0:1", *PLAIN)
    assert "large-receive-offload: off" in site.run("ethtool -k mv0").stdout
    tunnel.stop()
    assert "large-receive-offload: on" in site.run("ethtool -k mv0").stdout


def test_a_port_below_the_lans_mtu_is_warned_of(make_lab):
    lab = make_lab(lan_mtu=1400)
    a, _ = start(lab)
    assert "MTU 1400 is below the LAN's 1500" in a.text()
