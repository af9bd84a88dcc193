# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP: the window that streams begin with, and what that puts into the kernel."""
import json
import re
import socket
import time

import pytest
from accel import TIMEOUT, begin, bypassed, connected, connections, flows, journal, ready, start
from longhaul_lab import wait_for
from traffic import ethernet, transfer

MIB = 1 << 20
PROTOCOL = "145"
KERNELS = 10        # segments
LIMIT = 64 * MIB    # of padding, in an hour
RATE, WINDOW = "100mbit", 100e6 / 8 * 0.04 / 1448       # over a round trip of 40 ms


def rules(site, ipv6=False):
    """The rules of ours at a site."""
    found = json.loads(site.run(["ip", "-json", *(["-6"] if ipv6 else []), "rule"]).stdout)
    return [rule for rule in found if rule.get("protocol") == PROTOCOL]


def routes(site, ipv6=False):
    """The routes of ours at a site."""
    found = site.run(["ip", "-json", *(["-6"] if ipv6 else []), "route", "show", "table", "all", "proto", PROTOCOL]).stdout
    return json.loads(found or "[]")


def metric(route, name):
    """A metric of a route."""
    return next((metrics[name] for metrics in route["metrics"] if name in metrics), None)


def windows(site):
    """The congestion windows, in segments, of the streams at a site; control connections have segments of 536 bytes."""
    listing = site.run("ss -tinH state established".split()).stdout
    return [int(window) for mss, window in re.findall(r" mss:(\d+) .*? cwnd:(\d+)", listing) if int(mss) > 536]


def asked(tunnel):
    """What streams are to begin with."""
    return tunnel.status()["peers"][0]["stream_segments"]


def nothing_left(site):
    """Whether there is no rule or route of ours."""
    return not any(look(site, ipv6) for look in (rules, routes) for ipv6 in (False, True))


def tunnels_over_40_ms(make_lab, *args):
    """A laboratory and its tunnels."""
    lab = make_lab(line=True)
    lab.shape("--delay", "20ms")
    return lab, *start(lab, *args)


def test_streams_begin_with_what_the_rate_holds_and_nothing_else_does(make_lab):
    lab, a, b = tunnels_over_40_ms(make_lab, "--rate", RATE)
    for site, tunnel in zip(lab.all_sites, (a, b)):
        assert WINDOW * 0.8 < asked(tunnel)
        assert len(windows(site)) >= 8 and min(windows(site)) > WINDOW * 0.8
        rule, = rules(site)
        route, = routes(site)
        assert (rule["iif"], rule["ipproto"], rule["dst"]) == ("lo", "tcp", route["dst"])
        assert {rule.get("sport"), rule.get("dport")} == {None, 7245}
        assert rule["table"] == route["table"] and metric(route, "initcwnd") == asked(tunnel)
    # another connection of the same hosts
    site_a, site_b = lab.all_sites
    with site_b.netns():
        listener = socket.create_server((site_b.ip, 7246))
    with listener, site_a.netns(), socket.create_connection((site_b.ip, 7246), TIMEOUT):
        assert f"cwnd:{KERNELS} " in site_a.run("ss -tinH state established dport = :7246".split()).stdout
    transfer(lab.host("hA"), lab.host("hB"), 2 * MIB)
    assert connections(a)["opened"] == 1


def test_streams_over_ipv6_begin_with_it_too(make_lab):
    lab = make_lab(line=True)
    lab.shape("--delay", "20ms")
    a, b = tunnels = [lab.tunnel(site.letter, "-t", "wan", "-f", f"[{other.ip6}]", "-b", "border:1,accel", "--state",
                                 str(journal(lab, site.letter).parent), *lab.sealed_args(site.letter), "--rate", RATE)
                      for site, other in zip(lab.all_sites, reversed(lab.all_sites))]
    ready(lab, *tunnels)
    for site, tunnel in zip(lab.all_sites, tunnels):
        assert len(rules(site, True)) == len(routes(site, True)) == 1 and not rules(site)
        assert min(windows(site)) > WINDOW * 0.8
        assert WINDOW * 0.8 < asked(tunnel)
    a.stop()
    b.stop()
    assert all(nothing_left(site) for site in lab.all_sites)


def test_a_window_that_the_kernel_chooses_can_be_had(make_lab):
    lab, a, b = tunnels_over_40_ms(make_lab, "--rate", RATE, "--without", "initial-window")
    assert asked(a) is asked(b) is None
    for site in lab.all_sites:
        assert nothing_left(site)
        assert max(windows(site)) < 5 * KERNELS
    transfer(lab.host("hA"), lab.host("hB"), 2 * MIB)
    assert connections(a)["opened"] == 1


def test_nothing_is_left_at_the_end_and_what_a_killed_one_left_is_replaced(make_lab):
    lab = make_lab()
    a, b = start(lab)
    site = lab.site("A")
    others = "ip rule add pref 725 to 198.51.100.1 lookup 4000000000 protocol 145 && " \
             "ip route add 198.51.100.1/32 dev wan table 4000000000 proto 145"     # of another instance
    site.sh(others)
    site.sh(f"ip route add 203.0.113.1/32 dev wan table {rules(site)[0]['table']} proto {PROTOCOL}")    # of another peer, once
    assert len(rules(site)) == 2 and len(routes(site)) == 3
    a.kill()
    assert len(rules(site)) == 2 and len(routes(site)) == 3
    a = begin(lab, "A", up=False)
    ready(lab, a, b)
    assert len(rules(site)) == len(routes(site)) == 2
    a.stop()
    b.stop()
    assert [rule["table"] for rule in rules(site)] == ["4000000000"] == [route["table"] for route in routes(site)]
    assert nothing_left(lab.site("B"))


@pytest.mark.parametrize("stop_first", ["A", "B"])
def test_routes_stay_with_the_side_that_goes_on(make_lab, stop_first):
    lab = make_lab()
    tunnels = dict(zip("AB", start(lab)))
    tunnels.pop(stop_first).stop()
    (letter, _), = tunnels.items()
    assert nothing_left(lab.site(stop_first))
    assert len(rules(lab.site(letter))) == len(routes(lab.site(letter))) == 1
    again = begin(lab, stop_first, up=False)
    ready(lab, again, tunnels[letter])
    for site in lab.all_sites:
        assert len(rules(site)) == len(routes(site)) == 1


def test_a_route_follows_the_one_that_it_was_copied_from(make_lab):
    lab = make_lab()
    a, b = start(lab)
    site, other = lab.all_sites
    before, = routes(site)
    site.sh(f"ip route add {other.ip}/32 dev wan mtu 1400 congctl reno")
    wait_for(lambda: metric(routes(site)[0], "mtu") == 1400, TIMEOUT, "the copy to have the MTU")
    assert metric(routes(site)[0], "initcwnd") == metric(before, "initcwnd")
    site.sh(f"ip route del {other.ip}/32 dev wan")
    wait_for(lambda: metric(routes(site)[0], "mtu") is None, TIMEOUT, "the copy to be as before")
    site.sh(f"ip addr del {site.ip}/24 dev wan; ip addr add {site.ip}/24 dev wan")      # takes all routes with it
    wait_for(lambda: routes(site) == [before] and len(rules(site)) == 1, TIMEOUT, "the copy to be back")
    ready(lab, a, b)
    transfer(lab.host("hA"), lab.host("hB"), 2 * MIB)


def pool(tunnel):
    """What the tunnel says of its streams."""
    return tunnel.status()["accel"]["streams"][0]


def rested(*tunnels):
    """What they have been padded with, once that does not grow any more."""
    seen = []

    def same():
        seen.append([pool(tunnel)["padded_bytes"] for tunnel in tunnels])
        return len(seen) > 20 and seen[-1] == seen[-20]
    wait_for(same, 2 * TIMEOUT, "an end of the padding")
    return seen[-1]


@pytest.mark.parametrize("congestion", ["bbr", "cubic"])
def test_a_stream_that_is_kept_warm_has_a_grown_window_and_hosts_see_nothing_of_it(make_lab, congestion):
    lab = make_lab(line=True)
    lab.shape("--delay", "20ms", "--rate", "100mbit")
    a = begin(lab, "A", "--warm", "--congestion", congestion, "--relay-threads", "1", up=False)
    b = begin(lab, "B", up=False)
    ready(lab, a, b)
    tunnels, begun = (a, b), 20e6 / 8 * 0.04    # bytes that a stream begins with here
    wait_for(lambda: pool(a)["padded_bytes"] and pool(a)["next_window_bytes"] > 1.5 * begun, TIMEOUT, "a grown window")
    padded = rested(a, b)
    assert 0 < padded[0] <= LIMIT and padded[1] == 0
    # the first flow gets that stream, and its bytes alone arrive
    with connected(lab) as (one, other):
        one.sendall(b"x" * 100)
        assert other.recv(1000) == b"x" * 100
        flow, = [flow for flow in flows(a) if flow["state"] == "accelerated"]
        if congestion == "bbr":     # others forget, the longer the pause the more
            assert flow["wan"]["window_bytes"] > 1.5 * begun
    transfer(lab.host("hA"), lab.host("hB"), 4 * MIB)
    transfer(lab.host("hB"), lab.host("hA"), 4 * MIB, seed=2)
    assert connections(a)["opened"] == 2 and connections(b)["opened"] == 1
    assert [tunnel.status()["accel"]["frames"]["protocol_errors"] for tunnel in tunnels] == [0, 0]
    assert rested(a, b) == padded       # once for a stream


def test_no_stream_is_padded_beside_a_flow_or_where_that_is_not_asked_for(make_lab):
    lab = make_lab(line=True)
    lab.shape("--delay", "250ms", "--rate", "50mbit")       # so far that growing takes longer than to connect
    a = begin(lab, "A", up=False)
    b = begin(lab, "B", "--warm", up=False)
    ready(lab, a, b)
    with connected(lab):
        before = pool(b)["padded_bytes"]
        time.sleep(2)
        assert pool(b)["padded_bytes"] == before
    wait_for(lambda: pool(b)["padded_bytes"], TIMEOUT, "padding, when there is no flow")
    assert pool(a)["padded_bytes"] == 0


def test_a_window_that_holds_the_rate_already_is_not_padded(make_lab):
    lab, a, b = tunnels_over_40_ms(make_lab, "--rate", RATE, "--warm")
    assert rested(a, b) == [0, 0]
    assert pool(a)["next_window_bytes"] > WINDOW * 1448 * 0.75


def known(tunnel):
    """The MACs that the tunnel knows."""
    return {entry["mac"] for entry in tunnel.status()["macs"]}


def test_a_connection_after_a_long_pause_is_accelerated_though_its_hosts_were_silent(make_lab):
    lab = make_lab()
    a, b = start(lab, "--mac-age", "5s")
    for host, other in zip(lab.all_hosts, reversed(lab.all_hosts)):
        host.run(["ip", "neigh", "replace", other.ip, "lladdr", other.mac, "dev", host.ifname, "nud", "permanent"])
    lab.host("hA").ping(lab.host("hB").ip)
    transfer(lab.host("hA"), lab.host("hB"), MIB)
    wait_for(lambda: connections(a).get("opened") == 1, TIMEOUT, "the first connection")
    stranger = "02:00:00:00:00:77"
    with lab.host("hA").packet_socket("eth0") as raw:
        raw.send(ethernet(lab.host("hB").mac, stranger, 0x88b5, b"0" * 46))
    wait_for(lambda: stranger in known(a) & known(b), TIMEOUT, "a stranger to be learnt")
    wait_for(lambda: stranger not in known(a) | known(b), 2 * TIMEOUT, "…and forgotten")
    transfer(lab.host("hA"), lab.host("hB"), MIB)
    assert connections(a)["opened"] == connections(b)["accepted"] == 2
    assert bypassed(a) == bypassed(b) == {}
