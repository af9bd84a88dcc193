# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP, random: whatever hosts send, and however they end, each end is the same kind for the other.

Each seed is one connection over a path that delays and loses: 0 to 16 MB each way in pieces, then closed by
either side, both, or reset at a random point. What arrives must be what was sent, or the beginning of it
where the connection was reset; an end that was a close must never be seen as a reset, nor the other way round.
"""
import random
import socket

import pytest
from accel import Background, connected, connections, ready, reset, start
from longhaul_lab import wait_for
from traffic import stream

SMALL, FULL = 24, 1000
LARGEST = 16 << 20


@pytest.fixture(scope="module")
def site(make_module_lab):
    lab = make_module_lab(line=True)
    lab.shape("--delay", "3ms", "--loss", "0.2%", "--rate", "1gbit")
    return (lab, *start(lab))


class Plan:
    """What a seed has its two hosts do."""

    def __init__(self, seed):
        dice = random.Random(seed)
        self.seed = seed
        self.client, self.server = dice.sample(["hA", "hB"], 2)
        size = lambda: int(LARGEST ** dice.random()) if dice.random() > 0.1 else 0     # noqa: E731
        self.sizes = size(), size()
        self.end = dice.choice(["close", "close", "close", "reset by client", "reset by server"])
        self.cut = dice.random()
        self.piece = dice.choice([1000, 1 << 14, 1 << 20])
        self.ipv6 = dice.random() < 0.3

    def __repr__(self):
        return f"seed {self.seed}: {vars(self)}"


def say(sock, data, piece, cut):
    """Send in pieces. @cut: how much of it before a reset; None: all, then FIN."""
    end = len(data) if cut is None else int(len(data) * cut)
    try:
        for at in range(0, end, piece):
            sock.sendall(data[at:min(at + piece, end)])
        if cut is None:
            sock.shutdown(socket.SHUT_WR)
    except (ConnectionResetError, BrokenPipeError):
        pass


def hear(sock):
    """What comes, and how it ends."""
    parts = []
    try:
        while part := sock.recv(1 << 18):
            parts.append(part)
        return b"".join(parts), "close"
    except ConnectionResetError:
        return b"".join(parts), "reset"


def play(lab, plan):
    up, down = stream(plan.sizes[0], plan.seed), stream(plan.sizes[1], ~plan.seed & 0xffff)
    with connected(lab, plan.client, plan.server, ipv6=plan.ipv6) as (one, other):
        for sock in (one, other):
            sock.settimeout(120)
        cut = {"reset by client": (plan.cut, None), "reset by server": (None, plan.cut)}.get(plan.end, (None, None))
        ears = Background(lambda: hear(other)), Background(lambda: hear(one))
        mouths = (Background(lambda: say(one, up, plan.piece, cut[0])),
                  Background(lambda: say(other, down, plan.piece, cut[1])))
        if plan.end == "close":
            for mouth in mouths:
                mouth.get(120)
            assert ears[0].get(120) == (up, "close"), plan
            assert ears[1].get(120) == (down, "close"), plan
            return
        by = 0 if plan.end == "reset by client" else 1
        mouths[by].get(120)
        # The thread that reads holds the socket: it is shut in its place.
        sock = (one, other)[by]
        duplicate = socket.socket(fileno=sock.detach())
        reset(duplicate)
        heard, kind = ears[by].get(120)
        sent = (up, down)[by]
        assert kind == "reset" and sent.startswith(heard), plan


def run(site, seeds):
    lab, a, b = site
    for seed in seeds:
        play(lab, Plan(seed))
    for tunnel in (a, b):
        wait_for(lambda t=tunnel: t.status()["accel"]["flows"] == 0, 60, "no flow to be left")
        assert tunnel.status()["accel"]["frames"]["protocol_errors"] == 0
    assert connections(a)["opened"] + connections(b)["opened"] >= len(seeds)


def test_random_connections(site):
    run(site, range(SMALL))


@pytest.mark.full
def test_a_thousand_random_connections(site):
    for first in range(SMALL, SMALL + FULL, 50):
        run(site, range(first, first + 50))


@pytest.mark.full
@pytest.mark.parametrize("seed", range(10))
def test_a_crash_at_a_random_moment_is_never_a_close(make_lab, seed):
    from accel import begin
    lab = make_lab()
    tunnels = dict(zip("AB", start(lab, "--outage", "600s")))
    dice = random.Random(seed)
    data = stream(64 << 20, seed)
    with connected(lab) as (one, other):
        ear = Background(lambda: hear(other))
        Background(lambda: say(one, data, 1 << 16, None))
        wait_for(lambda: tunnels["A"].status()["accel"]["sent_bytes"] > dice.randrange(1 << 24), 60, "some bytes")
        dead = dice.choice("AB")
        tunnels[dead].kill()
        if dead == "B":     # the server is at the dead side: it hears when its own site is back and it speaks
            tunnels["B"] = begin(lab, "B", "--outage", "600s", up=False)
            ready(lab, *tunnels.values())
            Background(lambda: other.sendall(b"x"))
        heard, kind = ear.get(120)
        assert kind == "reset" and data.startswith(heard)
