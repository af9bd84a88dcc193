# SPDX-License-Identifier: GPL-3.0-or-later
"""Switching: learning, moving, flooding, and what protects the LANs."""
import signal
import time
from pathlib import Path

import pytest
from longhaul_lab import Capture, wait_for
from traffic import drops, ethernet, nothing_of, rarp, raw245, receive

PLAIN = ("--outer", "capsulator")
VM = "02:00:00:00:99:01"
BROADCAST = "ff:ff:ff:ff:ff:ff"
TYPE = 0x88b5   # IEEE 802 local experimental Ethertype 1


def frame(dst, src, text, vid=None):
    """A small frame whose text tells it from others."""
    return ethernet(dst, src, TYPE, text.encode(), vid).ljust(60, b"\0")


def where(tunnel, mac):
    """("port" or "peer", its name) of a MAC, None if it is not known."""
    for entry in tunnel.status()["macs"]:
        if entry["mac"] == mac:
            return entry["behind"], entry["name"]
    return None


@pytest.fixture
def pair(make_lab):
    lab = make_lab()
    return lab, lab.tunnel("A", *PLAIN), lab.tunnel("B", *PLAIN)


def test_known_unicast_goes_to_its_place_only_and_unknown_is_flooded(make_lab):
    lab = make_lab(sites=3)
    a, _, _ = (lab.tunnel(letter, *PLAIN) for letter in "ABC")
    ha, hb, hc = (lab.host(name).packet_socket("eth0") for name in ("hA", "hB", "hC"))
    ha.send(frame(VM, lab.host("hA").mac, "unknown"))
    receive(hb, frame(VM, lab.host("hA").mac, "unknown"))
    receive(hc, frame(VM, lab.host("hA").mac, "unknown"))
    hb.send(frame(BROADCAST, VM, "here I am"))
    receive(ha, frame(BROADCAST, VM, "here I am"))
    ha.send(frame(VM, lab.host("hA").mac, "known"))
    receive(hb, frame(VM, lab.host("hA").mac, "known"))
    nothing_of(hc, b"known\0")
    assert where(a, VM) == ("peer", lab.site("B").ip)


def test_what_came_from_a_peer_never_goes_to_a_peer(make_lab):
    lab = make_lab(sites=3)
    a = lab.tunnel("A", *PLAIN)
    lab.tunnel("B", *PLAIN)
    with Capture(lab.site("A"), "wan", "ip proto 245", direction="out") as out, \
            lab.host("hA").packet_socket("eth0") as ha, lab.host("hB").packet_socket("eth0") as hb:
        hb.send(frame(BROADCAST, VM, "flooded"))
        receive(ha, frame(BROADCAST, VM, "flooded"))
    assert [p for p in out.packets() if b"flooded" in p.data] == []
    # C's host is "known" behind C now; a frame from B to it is not A's to forward.
    with raw245(lab.site("C")) as c, raw245(lab.site("B")) as b:
        c.sendto(b"\0\0\0\1" + frame(BROADCAST, "02:00:00:00:99:03", "C"), (lab.site("A").ip, 0))
        wait_for(lambda: where(a, "02:00:00:00:99:03"), what="C's host to be learnt")
        b.sendto(b"\0\0\0\1" + frame("02:00:00:00:99:03", VM, "to C"), (lab.site("A").ip, 0))
        wait_for(lambda: drops(a.status()).get("horizon") == 1, what="the horizon's count")


def test_an_announcement_moves_a_mac_at_once_and_late_frames_do_not_move_it_back(pair):
    lab, a, _ = pair
    ha, hb = lab.host("hA").packet_socket("eth0"), lab.host("hB").packet_socket("eth0")
    ha.send(frame(BROADCAST, VM, "born at A"))
    wait_for(lambda: where(a, VM) == ("port", "border"), what="the VM at A")
    hb.send(rarp(VM))
    wait_for(lambda: where(a, VM) == ("peer", lab.site("B").ip), 5, "the VM to have moved to B")
    ha.send(frame(BROADCAST, VM, "late"))
    receive(hb, frame(BROADCAST, VM, "late"))   # delivered all the same
    assert where(a, VM) == ("peer", lab.site("B").ip)
    assert drops(a.status()) == {}


def test_a_quiet_mac_moves_without_an_announcement_and_an_active_one_does_not(pair):
    lab, a, _ = pair
    ha, hb = lab.host("hA").packet_socket("eth0"), lab.host("hB").packet_socket("eth0")
    ha.send(frame(BROADCAST, VM, "at A"))
    wait_for(lambda: where(a, VM) == ("port", "border"), what="the VM at A")
    time.sleep(0.3)     # longer than FDB_ACTIVE_MS: it is quiet now
    hb.send(frame(BROADCAST, VM, "at B"))
    wait_for(lambda: where(a, VM) == ("peer", lab.site("B").ip), what="the VM at B")
    for n in range(20):   # it talks at B without a pause; one frame of it turns up at A
        hb.send(frame(BROADCAST, VM, f"talk {n}"))
        if n == 10:
            ha.send(frame(BROADCAST, "02:00:00:00:99:02", "other"))
        receive(ha, frame(BROADCAST, VM, f"talk {n}"))
    assert where(a, VM) == ("peer", lab.site("B").ip)


def test_frames_that_a_switch_reflects_are_dropped(make_lab):
    """A second port on the LAN's switch plays the promiscuous vSwitch: it sends back what it gets."""
    lab = make_lab()
    a, _ = lab.tunnel("A", *PLAIN), lab.tunnel("B", *PLAIN)
    ha, hb = lab.host("hA").packet_socket("eth0"), lab.host("hB").packet_socket("eth0")
    announcement = rarp(VM)
    hb.send(announcement)
    receive(ha, announcement)
    ha.send(announcement)   # hA's "switch" reflects it
    wait_for(lambda: drops(a.status()).get("reflected") == 1, what="the reflection's count")
    nothing_of(hb, announcement[6:12])
    assert where(a, VM) == ("peer", lab.site("B").ip)


@pytest.mark.parametrize("tags", [(1, 1), (1, 2)], ids=["one-tag", "two-tags"])
def test_two_ports_on_one_lan_make_no_loop(make_lab, tags):
    """The duplicates of 2008: two border ports stood on one subnet."""
    lab = make_lab()
    for site in lab.all_sites:      # a second port on the same LAN: a switch with both
        site.ip_batch("link add p1 up type veth peer name s1\nlink add p2 up type veth peer name s2\n")
        site.bridge("border", "s1", "s2", name="sw")
    far = {"A": "192.0.2.2", "B": "192.0.2.1"}
    tunnels = [lab.tunnel(letter, "-t", "wan", "-f", far[letter], "-b", f"p1:{tags[0]}", "-b", f"p2:{tags[1]}", *PLAIN)
               for letter in "AB"]
    ha, hb = lab.host("hA").packet_socket("eth0"), lab.host("hB").packet_socket("eth0")
    for n in range(20):
        ha.send(frame(BROADCAST, lab.host("hA").mac, f"broadcast {n}"))
        ha.send(frame("01:00:5e:00:00:fb", lab.host("hA").mac, f"multicast {n}"))
        receive(hb, frame("01:00:5e:00:00:fb", lab.host("hA").mac, f"multicast {n}"))
    time.sleep(0.3)     # a loop would go on
    for tunnel in tunnels:
        assert sum(port["in"]["frames"] for port in tunnel.status()["ports"]) < 1000
    lab.host("hA").run(["ping", "-c", "3", "-i", "0.1", lab.host("hB").ip])


def test_vlans_learn_independently(pair):
    lab, a, _ = pair
    ha, hb = lab.host("hA").packet_socket("eth0"), lab.host("hB").packet_socket("eth0")
    ha.send(frame(BROADCAST, VM, "ten", 10))
    hb.send(frame(BROADCAST, VM, "eleven", 11))
    wait_for(lambda: {(e["vlan"], e["behind"]) for e in a.status()["macs"] if e["mac"] == VM} ==
             {(10, "port"), (11, "peer")}, what="one entry a VLAN")


def test_macs_are_forgotten_when_silent(make_lab):
    lab = make_lab()
    a = lab.tunnel("A", *PLAIN, "--mac-age", "1s")
    with lab.host("hA").packet_socket("eth0") as ha:
        ha.send(frame(BROADCAST, VM, "once"))
    wait_for(lambda: where(a, VM), what="the MAC to be learnt")
    wait_for(lambda: not where(a, VM), 30, "the MAC to be forgotten")


def test_no_more_macs_than_allowed_are_learnt_but_all_are_bridged(make_lab):
    lab = make_lab()
    a, _ = lab.tunnel("A", *PLAIN, "--max-macs", "3"), lab.tunnel("B", *PLAIN)
    ha, hb = lab.host("hA").packet_socket("eth0"), lab.host("hB").packet_socket("eth0")
    for n in range(8):
        ha.send(frame(BROADCAST, f"02:00:00:00:98:{n:02x}", f"source {n}"))
        receive(hb, frame(BROADCAST, f"02:00:00:00:98:{n:02x}", f"source {n}"))
    assert a.status()["ports"][0]["macs"] == 3 and a.status()["unlearnt"] == 5


def test_a_storm_is_limited_and_known_unicast_is_not(make_lab):
    lab = make_lab()
    a, _ = lab.tunnel("A", *PLAIN, "--storm-limit", "50"), lab.tunnel("B", *PLAIN)
    ha, hb = lab.host("hA").packet_socket("eth0"), lab.host("hB").packet_socket("eth0")
    hb.send(frame(BROADCAST, VM, "here"))
    receive(ha, frame(BROADCAST, VM, "here"))
    for n in range(500):
        ha.send(frame(BROADCAST, lab.host("hA").mac, f"storm {n}"))
    wait_for(lambda: a.status()["ports"][0]["in"]["frames"] == 500, what="500 frames in")
    assert drops(a.status())["storm"] >= 400
    for n in range(100):
        ha.send(frame(VM, lab.host("hA").mac, f"unicast {n}"))
    receive(hb, frame(VM, lab.host("hA").mac, "unicast 99"))


def test_our_own_outer_packets_are_never_encapsulated(make_lab):
    """The border port sees the tunnel's own packets, as on a switch that carries both networks."""
    lab = make_lab()
    a, _ = lab.tunnel("A", *PLAIN), lab.tunnel("B", *PLAIN)
    ha, hb = lab.host("hA").packet_socket("eth0"), lab.host("hB").packet_socket("eth0")
    inner = frame(BROADCAST, lab.host("hA").mac, "tunnelled")
    with Capture(lab.site("A"), "wan", "ip proto 245", direction="out") as out:
        ha.send(inner)
        receive(hb, inner)
    outer = next(p.data for p in out.packets() if b"tunnelled" in p.data)
    ha.send(outer)
    wait_for(lambda: drops(a.status()).get("own_outer") == 1, what="the count")
    nothing_of(hb, b"tunnelled")


def test_pause_frames_and_impossible_sources_stay_on_their_link(pair):
    lab, a, _ = pair
    with lab.host("hA").packet_socket("eth0") as ha:
        ha.send(ethernet("01:80:c2:00:00:01", VM, 0x8808, b"\0\1\xff\xff").ljust(60, b"\0"))
        ha.send(frame(BROADCAST, "03:00:00:00:00:01", "group source"))
        ha.send(frame(BROADCAST, "00:00:00:00:00:00", "no source"))
        wait_for(lambda: drops(a.status()) == {"mac_control": 1, "bad_source": 2}, what="both counts")


def test_a_frame_for_a_neighbour_is_not_sent_through_the_tunnel(make_lab):
    lab = make_lab(hosts=2)
    a = lab.tunnel("A", *PLAIN)
    lab.tunnel("B", *PLAIN)
    lab.host("hA").ping(lab.host("hA2").ip)
    with Capture(lab.site("A"), "wan", "ip proto 245", direction="out") as out:
        lab.host("hA").packet_socket("eth0").send(frame(lab.host("hA2").mac, lab.host("hA").mac, "private"))
        wait_for(lambda: a.status()["ports"][0]["in"]["frames"] > 0, what="frames in")
    assert [p for p in out.packets() if b"private" in p.data] == []


@pytest.mark.parametrize("what", ["border", "wan"])
def test_an_interface_may_go_away_and_come_back(make_lab, what):
    lab = make_lab()
    site, a = lab.site("A"), lab.tunnel("A", *PLAIN)
    lab.tunnel("B", *PLAIN)
    lab.host("hA").ping(lab.host("hB").ip)
    other = (lab.host("hA"), "eth0") if what == "border" else (lab.site("B"), "wan")
    node, name = other
    site.run(f"ip link del {what}")     # takes its veth peer along
    wait_for(lambda: a.status()["state"] == "degraded", what="the loss to be noticed")
    assert any(what in problem for problem in a.status()["problems"])
    assert site.run(f"{a.argv[0]} status wan --check", check=False).returncode == 3
    address = site.mac if what == "wan" else "02:00:00:01:0a:01"
    site.ip_batch(f"link add name {what} index 90 address {address} type veth peer name {name} index 91 "
                  f"netns {node.path} address {node.mac}\n"
                  f"link set {what} up\n" + (f"addr add {site.ip}/24 dev wan\n" if what == "wan" else ""))
    node.ip_batch(f"addr add {node.ip}/24 dev {name}\nlink set {name} up\n")
    wait_for(lambda: a.status()["state"] == "healthy", what="the return to be noticed")
    if what == "border":
        lab.host("hA").ping(lab.host("hB").ip)


def test_lost_news_of_interfaces_are_made_up_for(make_lab):
    """The kernel drops netlink messages that are not read in time; nothing tells which."""
    lab = make_lab()
    site, a = lab.site("A"), lab.tunnel("A", *PLAIN)
    a.send(signal.SIGSTOP)
    pairs = range(300)
    site.ip_batch("".join(f"link add x{n} type veth peer name y{n}\n" for n in pairs))
    site.run("ip link del border")
    site.ip_batch("".join(f"link set x{n} up\nlink set x{n} down\nlink del x{n}\n" for n in pairs))
    a.send(signal.SIGCONT)
    wait_for(lambda: a.status()["ports"][0]["state"] == "gone", 30, "the port to be found gone")


def test_a_renamed_or_enslaved_port_is_told(make_lab):
    lab = make_lab()
    site, a = lab.site("A"), lab.tunnel("A", *PLAIN)
    site.ip_batch("link add br7 type bridge\nlink set border master br7\n")
    wait_for(lambda: "enslaved" in str(a.status()["problems"]), what="the port to be found enslaved")
    site.ip_batch("link set border nomaster\nlink set border down\nlink set border name other\n")
    wait_for(lambda: a.status()["ports"][0]["state"] == "gone", what="the renamed port to be found gone")
    site.ip_batch("link set other name border\nlink set border up\n")
    wait_for(lambda: a.status()["state"] == "healthy", what="its return")


def test_a_tap_whose_name_was_taken_costs_no_processor_time(make_lab):
    lab = make_lab()
    site = lab.site("A")
    a = lab.tunnel("A", "-t", "wan", "-f", "192.0.2.2", "-vb", "vm0:1", *PLAIN)
    site.ip_batch("link del vm0\nlink add vm0 type veth peer name vm1\n")
    a.expect("vm0")

    def ticks():
        return sum(int(word) for word in Path(f"/proc/{a.pid}/stat").read_text().rpartition(")")[2].split()[11:13])
    wait_for(lambda: a.status()["ports"][0]["state"] != "up" or True, what="the loss")
    before = ticks()
    time.sleep(1)
    assert ticks() - before < 50, "it spins"
    site.run("ip link del vm0")
    wait_for(lambda: a.status()["ports"][0]["state"] == "up", 20, "the TAP to be made again")
