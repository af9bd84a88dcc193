# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP, stripes: one connection over several streams is one connection, whatever becomes of its streams."""
import socket
import threading
import time

import pytest
from accel import Background, begin, connected, connections, flows, read_all, ready, reset, was_reset
from longhaul_lab import wait_for
from traffic import stream

TIMEOUT = 60
LOSSY = ("--delay", "15ms", "--jitter", "3ms", "--loss", "0.5%", "--rate", "100mbit")
CUBIC = ("--congestion", "cubic")


def sites(lab, a=(), b=(), both=("--stripes", "4", *CUBIC)):
    """A tunnel at each site, ready."""
    tunnels = [begin(lab, "A", *both, *a, up=False), begin(lab, "B", *both, *b, up=False)]
    ready(lab, *tunnels)
    return tunnels


@pytest.fixture(scope="module")
def site(make_module_lab):
    """Two sites whose connections have four stripes, over a path that delays unevenly and loses."""
    lab = make_module_lab(line=True)
    lab.shape(*LOSSY)
    return lab, *sites(lab)


def own(tunnel, sock):
    """What a tunnel says of a client's connection."""
    return next(f for f in flows(tunnel) if f["local_port"] == sock.getsockname()[1])


def used(tunnel, sock):
    """The stripes of a client's connection that are used."""
    return [s for s in own(tunnel, sock)["stripes"] if s["state"] == "used"]


def busy(tunnel):
    """Streams that are in use."""
    return sum(pool["busy"] for pool in tunnel.status()["accel"]["streams"])


def sent(sock, data):
    """Send it all in a thread of its own."""
    def send():
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    return Background(send)


def exactly(sock, n):
    """The next n bytes."""
    parts = []
    while n:
        part = sock.recv(min(n, 1 << 18))
        assert part, f"{n} bytes are missing"
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def given_back(*tunnels):
    """Wait until no stream is in use any more."""
    for tunnel in tunnels:
        wait_for(lambda t=tunnel: busy(t) == 0, TIMEOUT, f"streams of {tunnel.name} to be free")


def mishaps(*tunnels):
    """Things that no peer may do, and stripes that broke for whatever reason."""
    return [t.status()["accel"]["frames"]["protocol_errors"] + t.status()["accel"]["stripes"]["lost"] for t in tunnels]


def test_bytes_are_the_same_over_four_stripes_both_ways(site):
    lab, a, b = site
    there, back = stream(12 << 20, 1), stream(12 << 20, 2)
    with connected(lab) as (one, other):
        threads = [sent(one, there), sent(other, back)]
        got = Background(lambda: read_all(other))
        wait_for(lambda: len(used(a, one)) == 4, TIMEOUT, "four stripes")
        wait_for(lambda: all(s["sent_bytes"] and s["received_bytes"] for s in used(a, one)), TIMEOUT, "bytes on each of them")
        shown = a.node.run([a.argv[0], "status", a.instance, "--flows"]).stdout
        assert all(f"stripe {s['stripe']} (port {s['local_port']} to {s['remote_port']}) used" in shown for s in used(a, one))
        assert read_all(one) == back and got.get() == there
        for thread in threads:
            thread.get()
    given_back(a, b)
    assert mishaps(a, b) == [0, 0]


def test_streams_serve_one_connection_after_another(site):
    """A stripe of the one before is the next one's first stream, or its stripe; what comes late meets neither."""
    lab, a, b = site
    before = connections(a).get("closed", 0), connections(a).get("reset", 0)
    for number in range(12):
        data = stream(1 << 20, 10 + number)
        with connected(lab, *(("hA", "hB") if number % 2 else ("hB", "hA"))) as (one, other):
            thread = sent(one, data)
            assert read_all(other) == data
            other.close()
            thread.get()
            assert one.recv(1) == b""
    wait_for(lambda: connections(a).get("closed", 0) == before[0] + 12, TIMEOUT, "all to be closed")
    assert connections(a).get("reset", 0) == before[1]
    given_back(a, b)
    assert mishaps(a, b) == [0, 0]


@pytest.mark.parametrize("way", ["hA", "hB"])
def test_half_a_close_is_half_a_close(site, way):
    """Of the client, and of the server: then the far side, which adds no stripes itself, has the more to send."""
    lab, a, b = site
    data = stream(6 << 20, 3)
    with connected(lab) as ends:
        one, other = ends if way == "hA" else ends[::-1]
        thread = sent(one, data)
        assert read_all(other) == data
        thread.get()
        thread = sent(other, data[::-1])
        assert read_all(one) == data[::-1]
        thread.get()
    given_back(a, b)


def test_a_reset_in_the_middle_is_a_reset(site):
    lab, a, b = site
    for number in range(2):
        with connected(lab) as ends:
            one, other = ends if number else ends[::-1]
            thread = Background(lambda s=one: s.sendall(stream(64 << 20, 4)))
            exactly(other, 2 << 20)
            wait_for(lambda: len(used(a, ends[0])) == 4, TIMEOUT, "four stripes")
            reset(other)
            with pytest.raises(ConnectionResetError):
                thread.get()
    given_back(a, b)
    assert mishaps(a, b) == [0, 0]


def test_a_connection_that_moves_little_stays_on_one_stream(site):
    lab, a, b = site
    with connected(lab) as (one, other):
        for _ in range(50):
            one.sendall(bytes(1000))
            exactly(other, 1000)
        time.sleep(0.5)
        assert own(a, one)["stripes"] == [] and busy(a) == 1
    given_back(a, b)


def test_the_far_side_has_stripes_added_for_what_it_sends(site):
    """It cannot add them itself, the pool is the near side's."""
    lab, a, b = site
    data = stream(10 << 20, 5)
    with connected(lab) as (one, other):
        thread = sent(other, data)
        assert exactly(one, 1 << 20) == data[:1 << 20]
        wait_for(lambda: len(used(a, one)) == 4, TIMEOUT, "four stripes")
        assert read_all(one) == data[1 << 20:]
        thread.get()
    given_back(a, b)


class Cut:
    """Streams whose connections are reset, or whose packets are lost, both ways: by a firewall at site A."""

    def __init__(self, lab, how, *stripes):
        self.site = lab.site("A")
        verdict = {"reset": "tcp flags & rst == 0 reject with tcp reset", "silence": "drop"}[how]
        rules = {"input": "", "output": ""}
        for stripe in stripes:
            local, remote = stripe["local_port"], stripe["remote_port"]
            rules["input"] += f"tcp dport {local} tcp sport {remote} {verdict}; "
            if how == "silence":
                rules["output"] += f"tcp sport {local} tcp dport {remote} {verdict}; "
        self.site.run("nft -f -", input="table inet cut { " + " ".join(
            f"chain {hook} {{ type filter hook {hook} priority 0; {text} }}" + "\n" for hook, text in rules.items()) + "}\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.site.run("nft delete table inet cut")


@pytest.mark.parametrize("which", [0, 2])
@pytest.mark.parametrize("how", ["reset", "silence"])
def test_a_connection_survives_the_loss_of_a_stripe(site, how, which):
    """Its connection is reset, or stands still while the path does not. It may be the connection's first stream, as soon as
    there is another, whatever was sent on it before and has not been taken."""
    lab, a, b = site
    there, back = stream(48 << 20, 6), stream(48 << 20, 7)
    lost = [t.status()["accel"]["stripes"]["lost"] for t in (a, b)]
    with connected(lab) as (one, other):
        threads = [sent(one, there), sent(other, back)]
        wait_for(lambda: len(used(a, one)) == 4, TIMEOUT, "four stripes")
        victim = used(a, one)[which]
        with Cut(lab, how, victim):
            got = Background(lambda: read_all(other))
            assert read_all(one) == back and got.get() == there
            for thread in threads:
                thread.get()
        wait_for(lambda: all(t.status()["accel"]["stripes"]["lost"] > n for t, n in zip((a, b), lost)), TIMEOUT,
                 "both sides to have noticed")
    given_back(a, b)
    assert [t.status()["accel"]["frames"]["protocol_errors"] for t in (a, b)] == [0, 0]


def test_a_connection_ends_with_its_last_stripe(site):
    lab, a, b = site
    with connected(lab) as (one, other):
        thread = Background(lambda: one.sendall(stream(64 << 20, 8)))
        exactly(other, 2 << 20)
        wait_for(lambda: len(used(a, one)) == 4, TIMEOUT, "four stripes")
        with Cut(lab, "reset", *used(a, one)):
            assert was_reset(other)
            with pytest.raises(ConnectionResetError):
                thread.get()
    given_back(a, b)
    ready(lab, a, b)


def test_a_far_side_that_is_short_of_memory_refuses_stripes(make_lab):
    """Its copies would not fit. The connection goes on with the stream that it has."""
    lab = make_lab(line=True)
    lab.shape("--delay", "5ms", "--rate", "100mbit")
    a, b = sites(lab, b=("--accel-memory", "1M"))
    there, back = stream(6 << 20, 9), stream(6 << 20, 10)
    with connected(lab) as (one, other):
        threads = [sent(one, there), sent(other, back)]
        got = Background(lambda: read_all(other))
        head = exactly(one, 3 << 20)
        wait_for(lambda: busy(a) == 1, TIMEOUT, "the streams that were refused to be free again")
        assert head + read_all(one) == back and got.get() == there
        for thread in threads:
            thread.get()
    given_back(a, b)
    assert [t.status()["accel"]["stripes"] for t in (a, b)] == [{"joined": 0, "lost": 0}] * 2
    assert mishaps(a, b) == [0, 0]


def test_the_lower_number_of_both_sites_counts(make_lab):
    lab = make_lab(line=True)
    lab.shape("--delay", "5ms", "--rate", "100mbit")
    a, b = sites(lab, both=CUBIC, a=("--stripes", "4"), b=("--stripes", "2"))
    data = stream(8 << 20, 11)
    for way in (("hA", "hB"), ("hB", "hA")):
        most = 0
        with connected(lab, *way) as (one, other):
            thread = sent(one, data)
            got = b""
            while len(got) < len(data):
                got += exactly(other, 1 << 20)
                most = max(most, busy(a))
            assert got == data and other.recv(1) == b""
            thread.get()
        assert most == 2
        given_back(a, b)


def most_stripes(lab, a, one, other, seconds):
    """Let a connection carry what the path takes. Returns how many stripes it had, look by look."""
    seen = []
    stop = threading.Event()

    def say():
        while not stop.is_set():
            one.send(bytes(1 << 16))
        one.shutdown(socket.SHUT_WR)

    reader = Background(lambda: len(read_all(other)))
    writer = Background(say)
    end = time.monotonic() + seconds
    while time.monotonic() < end and seen[-1:] != [8]:
        time.sleep(0.2)
        seen.append(max(1, len(used(a, one))))
    stop.set()
    writer.get()
    assert reader.get() > 1 << 20
    return seen


def test_auto_adds_stripes_where_they_bring_something(make_lab):
    """CUBIC on a path that loses one packet in a hundred: each stripe brings as much as the first."""
    lab = make_lab(line=True)
    lab.shape("--delay", "15ms", "--loss", "1%", "--rate", "200mbit", "--seed", "1")
    a, b = sites(lab, both=("--stripes", "auto", *CUBIC))
    with connected(lab) as (one, other):
        assert max(most_stripes(lab, a, one, other, 90)) >= 4
    given_back(a, b)
    assert mishaps(a, b) == [0, 0]


def test_auto_leaves_a_rated_path_that_is_full_alone(make_lab):
    """BBR fills it with one stream."""
    lab = make_lab(line=True)
    lab.shape("--delay", "10ms", "--rate", "20mbit")
    a, b = sites(lab, both=("--stripes", "auto", "--rate", "18mbit", "--congestion", "bbr"))
    with connected(lab) as (one, other):
        assert max(most_stripes(lab, a, one, other, 12)) <= 2
    given_back(a, b)
    assert mishaps(a, b) == [0, 0]
