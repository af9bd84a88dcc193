# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP: hosts that stop reading keep what they were granted and no more, others go on, and so do they when they read again."""
import contextlib
import selectors
import time

import pytest
from accel import PORT, TIMEOUT, bypassed, client, connections, flows, listening, start
from longhaul_lab import wait_for
from traffic import stream, transfer

MIB = 1 << 20
STALLED = 100
MORE = 100_000          # bytes of each, after it has stalled
BLOCK = 32 * MIB        # each connection's bytes are another stretch of it
SMALL = (4096, 16384, 65536)


class Flow:
    """A connection whose server does not read until it is told to."""

    def __init__(self, number, source, sink, block):
        self.data = memoryview(block)[number * 9973:]
        self.source, self.sink = source, sink
        self.sent = self.got = 0
        self.total = len(self.data)
        for sock in (source, sink):
            sock.setblocking(False)

    def say(self):
        """Send as much as goes."""
        with contextlib.suppress(BlockingIOError):
            while self.sent < self.total:
                self.sent += self.source.send(self.data[self.sent:min(self.total, self.sent + 65536)])

    def hear(self):
        """Read what is there, and compare it."""
        with contextlib.suppress(BlockingIOError):
            while self.got < self.total:
                piece = self.sink.recv(65536)
                assert piece, "the end, early"
                assert piece == self.data[self.got:self.got + len(piece)]
                self.got += len(piece)


@contextlib.contextmanager
def stalled(lab, count, port=PORT):
    """So many connections from hA to hB, of which hB reads nothing."""
    a, b = lab.host("hA"), lab.host("hB")
    block = stream(BLOCK, 7)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listening(b, port))
        made = []
        for number in range(count):
            one = stack.enter_context(client(a))
            one.connect((b.ip, port))
            made.append(Flow(number, one, stack.enter_context(listener.accept()[0]), block))
        yield made


def of_port(tunnel, port):
    """The connections to a port at hB, by the client's port."""
    found = {}
    for flow in flows(tunnel):
        if port in (flow["local_port"], flow["remote_port"]):
            found[flow["remote_port"] if flow["local_port"] == port else flow["local_port"]] = flow
    return found


def is_full(near, far):
    """Whether all that was granted is used: what the host has taken since is credited back from a sixteenth of it on."""
    return near["credit_bytes"] == 0 and far["queued_bytes"] > far["window_bytes"] - far["window_bytes"] // 16


def fill(made, a, b):
    """Send until every window is full, and every buffer before it."""
    seen = [-1, 0.0]        # bytes sent, and since when there were no more

    def full():
        for flow in made:
            flow.say()
        sent, now = sum(flow.sent for flow in made), time.monotonic()
        if sent != seen[0]:
            seen[:] = sent, now
        near, far = of_port(a, PORT), of_port(b, PORT)
        return (now - seen[1] > 2 and len(near) == len(far) == len(made) and
                all(is_full(near[port], far[port]) for port in near))
    wait_for(full, 4 * TIMEOUT, "every window to be full")


def drain(made, timeout=4 * TIMEOUT):
    """Read everything, while the rest is sent; every byte is compared."""
    with selectors.DefaultSelector() as ready:
        for flow in made:
            flow.total = flow.sent + MORE
            ready.register(flow.sink, selectors.EVENT_READ, flow.hear)
            ready.register(flow.source, selectors.EVENT_WRITE, flow.say)

        def done():
            for key, _ in ready.select(0.1):
                key.data()
            for flow in made:
                if flow.sent == flow.total and flow.source in ready.get_map():
                    ready.unregister(flow.source)
            return all(flow.got == flow.total for flow in made)
        wait_for(done, timeout, "every byte")


@pytest.mark.timeout(400)
def test_a_hundred_hosts_that_do_not_read_keep_their_windows_and_others_go_on(make_lab):
    lab = make_lab()
    a, b = tunnels = start(lab, "--accel-memory", "16M")
    for host in lab.all_hosts:
        host.tcp_limits(SMALL, SMALL)
    with stalled(lab, STALLED) as made:
        fill(made, a, b)
        # Others deliver all their bytes, both ways, while these stand still.
        sent = [flow.sent for flow in made]
        for number in range(5):
            transfer(lab.host("hA"), lab.host("hB"), MIB, port=PORT + 1, seed=number)
            transfer(lab.host("hB"), lab.host("hA"), MIB, port=PORT + 1, seed=number)
        near, far = of_port(a, PORT), of_port(b, PORT)
        for port, flow in far.items():
            assert is_full(near[port], flow) and flow["queued_bytes"] <= flow["window_bytes"]
        for flow in made:
            flow.say()
        assert [flow.sent for flow in made] == sent
        for tunnel in tunnels:
            memory = tunnel.status()["accel"]["memory"]
            assert sum(flow["window_bytes"] for flow in flows(tunnel) if "window_bytes" in flow) <= memory["granted_bytes"]
            assert memory["granted_bytes"] <= memory["limit_bytes"] == 16 * MIB
            assert memory["buffers_bytes"] <= memory["limit_bytes"]
            assert not bypassed(tunnel)
        # They go on where they were.
        drain(made)
    for tunnel in tunnels:
        wait_for(lambda t=tunnel: t.status()["accel"]["flows"] == 0, TIMEOUT, "the connections to end")
        memory = tunnel.status()["accel"]["memory"]
        assert memory["granted_bytes"] == memory["buffers_bytes"] == 0
    assert "reset" not in connections(a)


def test_the_end_of_a_host_that_does_not_read_is_not_stuck_behind_its_data(make_lab):
    lab = make_lab()
    a, b = start(lab, "--accel-memory", "16M")
    for host in lab.all_hosts:
        host.tcp_limits(SMALL, SMALL)
    with stalled(lab, 3) as made:
        fill(made, a, b)
        made[0].sink.close()        # with data unread: the kernel resets
        wait_for(lambda: len(of_port(a, PORT)) == 2, TIMEOUT, "the one that was reset to be gone")
        drain(made[1:])
    assert connections(a)["reset"] == 1
