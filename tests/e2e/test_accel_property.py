# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP, random: whatever hosts send, and however they end, each end is the same kind for the other.

Each seed is one connection: 0 to 16 MB each way in pieces, to readers that are quick, slow or pause; ended by
either side with a close, half a close, a reset, or by leaving with a part unsaid. Many run at the same time,
over a path that delays and loses and through LANs that lose. In some rounds a site's tunnel is killed at a
random moment and started anew. What must hold, always:

- what a host hears is what the other has sent, or the beginning of it;
- a host that hears a close has heard everything that the other's kernel took; a reset is never a close;
- a host whose FIN was acknowledged has a partner that has everything;
- without a kill, a connection that both close ends so, and one that is reset ends so: nothing else happens.
"""
import errno
import random
import select
import socket
import struct
import time

import pytest
from accel import Background, begin, client, connections, listening, ready, start, state
from longhaul_lab import wait_for
from traffic import stream

LARGEST = 16 << 20
ROUND = 25              # connections at a time
SMALL, FULL = 1, 40     # rounds
KILLED = 16             # rounds in which a tunnel is killed
PATIENCE = 120

# One packet in 150 is lost between host and tunnel, both ways; but not a host's own reset: nobody repeats it.
LOSE = ("table inet lossy {{ chain i {{ type filter hook input priority 0; meta l4proto tcp numgen random mod {n} < 1 drop; }};"
        " chain o {{ type filter hook output priority 0; meta l4proto tcp tcp flags & rst != rst numgen random mod {n} < 1 drop; }}; }}\n")


@pytest.fixture(scope="module", params=[("--relay-threads", "1"), ("--relay-threads", "3"), ("--stripes", "4", "--congestion", "cubic")],
                ids=["one-relay-thread", "three-relay-threads", "stripes"])
def site(request, make_module_lab):
    lab = make_module_lab(line=True)
    lab.shape("--delay", "3ms", "--loss", "0.2%", "--rate", "1gbit")
    tunnels = dict(zip("AB", start(lab, *request.param)))
    for host, other in zip(lab.all_hosts, reversed(lab.all_hosts)):
        host.run("nft -f -", input=LOSE.format(n=150))
        for address in (other.ip, other.ip6):   # no connection fails because ARP was lost three times
            host.run(["ip", "neigh", "replace", address, "lladdr", other.mac, "dev", "eth0"])
    return lab, tunnels, request.param


class Part:
    """What one of the two hosts does."""

    def __init__(self, dice, how="close"):
        self.size = int(LARGEST ** dice.random()) if dice.random() > 0.1 else 0
        self.how = how                  # "close", "reset", "leave": close without having read, or said, everything
        self.cut = 1.0 if how == "close" else dice.random()
        self.after = False              # says nothing before the other has ended
        self.piece = dice.choice([1000, 1 << 14, 1 << 20])
        self.receive_buffer = dice.choice([0, 0, 8192, 33304])
        self.pauses = dice.choice([0, 0, 0, dice.randrange(1, 5)])      # in its reading, 100 ms each


class Plan:
    """What a seed has its two hosts do."""

    def __init__(self, seed):
        dice = random.Random(seed)
        self.seed = seed
        self.client, self.server = dice.sample(["hA", "hB"], 2)
        self.end = dice.choice(["close", "close", "close", "half", "reset", "leave"])
        self.parts = [Part(dice), Part(dice)]
        self.first = dice.randrange(2)  # who ends first, where that is to be said
        if self.end == "half":
            self.parts[1 - self.first].after = True
        elif self.end != "close":
            self.parts[self.first] = Part(dice, self.end)
        self.ipv6 = dice.random() < 0.3
        self.data = [stream(part.size, 2 * seed + i) for i, part in enumerate(self.parts)]

    def __repr__(self):
        return f"seed {self.seed}: {self.client} to {self.server}, {self.end}, first {self.first}, {[vars(p) for p in self.parts]}"


class End:
    """A host at one end of a connection, while it lives and afterwards: what it has said and heard."""

    def __init__(self, sock, part, data):
        self.sock, self.part, self.data = sock, part, data[:int(len(data) * part.cut)]
        self.said = 0           # bytes that the kernel took
        self.heard = bytearray()
        self.eof = False        # heard a close
        self.error = 0          # errno with which the connection ended for it
        self.acked = False      # everything it said and its FIN were acknowledged
        self.eof_when_left = False
        self.shut = False
        self.pauses = part.pauses

    def live(self):
        """Say, hear and end as planned. One thread has the socket: it sees each error, and who comes first."""
        deadline = time.monotonic() + PATIENCE
        self.sock.setblocking(False)
        while not self.error and not (self.eof and self.shut):
            assert time.monotonic() < deadline, f"neither end nor error: {self}, {state(self.sock)}"
            speaks = not self.shut and (self.eof or not self.part.after)
            poll = select.poll()
            poll.register(self.sock, (0 if self.eof else select.POLLIN) | (select.POLLOUT if speaks else 0))
            poll.poll(1000)
            if not self.eof:
                self.hear()
            if speaks and not self.error and self.say():
                return
        while not self.error and not self.acked:
            assert time.monotonic() < deadline, f"the FIN is not acknowledged: {self}, {state(self.sock)}"
            self.error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self.acked = not self.error and state(self.sock) in ("FIN_WAIT2", "TIME_WAIT", "CLOSE")
            time.sleep(0.01)

    def hear(self):
        if self.pauses and len(self.heard) > 10000:
            self.pauses -= 1
            time.sleep(0.1)
        try:
            while part := self.sock.recv(1 << 18):
                self.heard += part
                if self.pauses or self.part.receive_buffer:
                    return
            self.eof = True
        except BlockingIOError:
            pass
        except OSError as error:
            self.error = error.errno

    def say(self):
        """Say a piece; after the last one, end. Returns whether the socket is gone."""
        try:
            if self.said < len(self.data):
                self.said += self.sock.send(self.data[self.said:self.said + self.part.piece])
        except BlockingIOError:
            return False
        except OSError as error:
            self.said_no_more(error.errno)
            return False
        if self.said < len(self.data):
            return False
        if self.part.how == "close":
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError as error:    # it has ended meanwhile
                self.said_no_more(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or error.errno)
            self.shut = True
            return False
        if self.part.how == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.eof_when_left = self.eof
        self.sock.close()
        return True

    def said_no_more(self, number):
        """Sending has failed. The kernel says EPIPE if the other's FIN came before its reset: then all is still to be read."""
        self.error = number
        try:
            while part := self.sock.recv(1 << 18):
                self.heard += part
            self.eof = self.eof or number == errno.EPIPE
        except OSError:
            pass

    def __repr__(self):
        return (f"said {self.said} of {len(self.data)}, heard {len(self.heard)}, "
                f"eof {self.eof}, shut {self.shut}, acked {self.acked}, {errno.errorcode.get(self.error, 'no error')}")


def connect(lab, plan, port):
    """A connection, between sockets that will learn of a partner that has forgotten it."""
    one, other = lab.host(plan.client), lab.host(plan.server)
    with listening(other, port, plan.ipv6) as listener:
        near = client(one, plan.ipv6)
        for sock, part in ((near, plan.parts[0]), (listener, plan.parts[1])):
            if part.receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, part.receive_buffer)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 60)
        near.connect((other.ip6 if plan.ipv6 else other.ip, port))
        far, _ = listener.accept()
        return [End(sock, part, data) for sock, part, data in zip((near, far), plan.parts, plan.data)]


def always(plan, ends):
    """What must hold whatever happens between the hosts."""
    for me, you in (ends, ends[::-1]):
        about = f"{plan}\n  this end: {me}\n  other end: {you}"
        left = me.sock.fileno() < 0
        assert you.data.startswith(me.heard), f"other bytes than were said: {about}"
        assert left or me.eof or me.error, about
        if me.eof:
            assert you.part.how != "reset", f"a close where there was a reset: {about}"
            assert len(me.heard) == you.said == len(you.data), f"a close before everything was heard: {about}"
        if me.acked and you.part.how == "close":
            assert you.eof and len(you.heard) == me.said, f"an acknowledged FIN of what was not delivered: {about}"


def undisturbed(plan, ends):
    """What must hold besides where no tunnel was killed."""
    for me, you in (ends, ends[::-1]):
        about = f"{plan}\n  this end: {me}\n  other end: {you}"
        if plan.end in ("close", "half"):
            assert me.eof and me.acked and not me.error, about
        elif me.part.how == "close":
            assert me.error in (0, errno.ECONNRESET, errno.EPIPE), about
            if you.part.how == "reset":
                assert me.error == errno.ECONNRESET and not me.eof, about
            elif you.eof_when_left:
                assert me.eof and me.acked and not me.error, f"a reset where there was a close: {about}"


def play(lab, seeds, kill=None):
    """One round of connections. @kill: called when they have begun. Returns how each end ended."""
    plans = [Plan(seed) for seed in seeds]
    calls = [Background(lambda p=plan, n=n: connect(lab, p, 20000 + n)) for n, plan in enumerate(plans)]
    pairs = [call.get(PATIENCE) for call in calls]
    try:
        lives = [Background(end.live) for ends in pairs for end in ends]
        if kill:
            kill()
        for life in lives:
            life.get(PATIENCE + 10)
    finally:
        for end in (end for ends in pairs for end in ends):
            end.sock.close()
    for plan, ends in zip(plans, pairs):
        always(plan, ends)
        if not kill:
            undisturbed(plan, ends)
    return pairs


def idle(tunnels):
    """Everything has come to an end at the tunnels, too, and neither has said what makes no sense."""
    for tunnel in tunnels.values():
        wait_for(lambda t=tunnel: t.status()["accel"]["flows"] == 0, 90, "no flow to be left")
        assert tunnel.status()["accel"]["frames"]["protocol_errors"] == 0


def rounds(site, first, count):
    lab, tunnels, options = site
    before = sum(connections(tunnel).get("opened", 0) for tunnel in tunnels.values())
    for number in range(first, first + count):
        play(lab, range(number * ROUND, (number + 1) * ROUND))
        idle(tunnels)
    opened = sum(connections(tunnel).get("opened", 0) for tunnel in tunnels.values()) - before
    assert opened >= count * ROUND * 0.95, "hardly anything was accelerated"
    stripes = tunnels["A"].status()["accel"]["stripes"]
    assert stripes["lost"] == 0 and (stripes["joined"] > count) == ("--stripes" in options)


def killed_rounds(site, first, count):
    lab, tunnels, options = site
    reset = 0
    for number in range(first, first + count):
        dice = random.Random(~number)
        letter = dice.choice("AB")

        def kill():
            time.sleep(dice.random() ** 2 * 2)      # most are under way early
            tunnels[letter].kill()
            time.sleep(dice.random())
            tunnels[letter] = begin(lab, letter, *options, up=False)

        pairs = play(lab, range(number * ROUND, (number + 1) * ROUND), kill)
        ready(lab, *tunnels.values())
        idle(tunnels)
        reset += sum(bool(end.error) for ends in pairs for end in ends)
    assert reset >= 2 * count, "the kills have met hardly anything"


def test_random_connections(site):
    rounds(site, 0, SMALL)


def test_random_connections_while_a_tunnel_is_killed(site):
    killed_rounds(site, 1000, SMALL)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_thousand_random_connections(site):
    rounds(site, SMALL, FULL)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_random_connections_while_tunnels_are_killed_again_and_again(site):
    killed_rounds(site, 1000 + SMALL, KILLED)
