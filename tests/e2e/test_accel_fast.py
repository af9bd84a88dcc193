# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP: what its speed rests on, as far as it can be seen without measuring time."""
import contextlib
import re

import pytest
from accel import PORT, TIMEOUT, Background, bypassed, client, connected, connections, journal, listening, ready, start
from longhaul_lab import wait_for
from path import Path
from traffic import stream, transfer

MIB = 1 << 20
TIMESTAMPS = 12     # bytes of TCP's header that an MSS as announced includes, and as used does not


def segments(site):
    """The MSS of each connection between the sites, as it is used."""
    listing = site.run("ss -tinH state established".split()).stdout
    return sorted(int(mss) + TIMESTAMPS for mss in re.findall(r" mss:(\d+)", listing))


def receive(sock, nbytes):
    """So many bytes of a socket."""
    got = bytearray()
    while len(got) < nbytes:
        piece = sock.recv(nbytes - len(got))
        assert piece, "the end, early"
        got += piece
    return bytes(got)


@pytest.mark.parametrize("mtu", [1280, 1500, 9000])
def test_a_streams_segments_fill_the_path_and_the_control_connections_pass_anywhere(make_lab, mtu):
    lab = make_lab(wan_mtu=mtu)
    a, _ = start(lab)
    transfer(lab.host("hA"), lab.host("hB"), 4 * MIB)
    assert connections(a)["opened"] == 1
    for site in lab.all_sites:
        control, *streams = segments(site)
        assert control == 536
        assert len(streams) >= 8 and set(streams) == {mtu - 40}


def test_a_streams_segments_fit_where_icmp_is_filtered(make_lab):
    path = Path(make_lab, 1400)
    a, b = tunnels = [path.lab.tunnel(letter, "-t", "wan", "-f", path.address(other), "-b", "border:1,accel",
                                      "--state", str(journal(path.lab, letter).parent), *path.lab.sealed_args(letter)) for letter, other in ("AB", "BA")]
    ready(path.lab, *tunnels)
    transfer(path.lab.host("hA"), path.lab.host("hB"), 2 * MIB)
    transfer(path.lab.host("hB"), path.lab.host("hA"), 2 * MIB, seed=2)
    assert connections(a)["opened"] == connections(b)["opened"] == 1
    assert all(mss <= 1400 - 40 for site in path.lab.all_sites for mss in segments(site))


def test_an_open_connection_goes_on_when_the_path_becomes_narrower_and_icmp_is_filtered(make_lab):
    path = Path(make_lab, 1500)
    a, b = tunnels = [path.lab.tunnel(letter, "-t", "wan", "-f", path.address(other), "-b", "border:1,accel",
                                      "--state", str(journal(path.lab, letter).parent), *path.lab.sealed_args(letter)) for letter, other in ("AB", "BA")]
    ready(path.lab, *tunnels)
    with connected(path.lab) as (one, other):
        for n, mtu in enumerate((1500, 1300, 1300)):
            path.set(mtu)
            for sender, receiver in ((one, other), (other, one)):
                said = stream(2 * MIB, n)
                writer = Background(lambda s=sender, said=said: s.sendall(said))
                assert receive(receiver, len(said)) == said
                writer.get()
            if not n:
                assert connections(a) == {"opened": 1}
        a.expect(r"path MTU is 1[23]\d\d", TIMEOUT)
    wait_for(lambda: all(1240 - 40 < mss <= 1300 - 40 for site in path.lab.all_sites for mss in segments(site)[1:]), TIMEOUT,
             "streams that fill the path and fit")
    transfer(path.lab.host("hA"), path.lab.host("hB"), 2 * MIB)
    assert connections(a)["opened"] == 2 and "reset" not in connections(a)
    assert connections(b)["closed"] == 2


def test_over_a_long_path_a_crowd_waits_for_streams_that_take_long_to_make(make_lab):
    """Half a second of round trip: a stream is not there within a second, and more are needed than were kept ready."""
    lab = make_lab(line=True)
    lab.shape("--delay", "260ms")
    a, b = start(lab, "--relay-threads", "1")
    count = 12
    with listening(lab.host("hB")) as listener, contextlib.ExitStack() as stack:
        ones = [stack.enter_context(client(lab.host("hA"))) for _ in range(count)]
        waits = [Background(lambda one=one: one.connect((lab.host("hB").ip, PORT))) for one in ones]
        for _ in range(count):
            stack.enter_context(listener.accept()[0])
        for wait in waits:
            wait.get()
        assert bypassed(a) == {} and connections(a)["opened"] == count
