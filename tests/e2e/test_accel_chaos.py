# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP when much happens at a time: each host gets exactly what the other has sent, or a reset, and nothing is left behind.

Hosts of both sites open connections to each other, of all sizes, that end in all ways, over an uneven, lossy path, while streams
are cut, processes are killed, or memory is short.
"""
from __future__ import annotations

import collections
import random
import select
import socket
import struct
import threading
import time

import pytest
from accel import PORT, begin, bypassed, connections, flows, ready, reset
from longhaul_lab import wait_for
from longhaul_many import descriptors
from traffic import stream, transfer

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]

SECONDS = 25            # for which connections are opened
CLIENTS = 8             # at a time
PATIENCE = 60           # of a host, for anything
SETTLED = 90
SIZES = [0, 1, 3000, 70_000, 300_000, 900_000, 2_500_000]
PATH = ("--delay", "8ms", "--jitter", "1ms", "--loss", "0.3%", "--rate", "100mbit")
TO_THE_END, SERVER_RESETS, CLIENT_RESETS = range(3)
HEADER = struct.Struct("!IIIB")     # bytes there, bytes back, seed, how it ends


def speaks(sock):
    """Have a host speak at times, and wait with patience: if its site has lost its memory it is reset when it does."""
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, PATIENCE)):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


class Hosts:
    """Clients and servers at both sites, and what has become of their connections."""

    def __init__(self, lab, unreachable):
        self.hosts = lab.host("hA"), lab.host("hB")
        self.unreachable = unreachable      # whether a host may find that it cannot connect
        self.ends = collections.Counter()   # of connections, as their clients saw them
        self.wrong = []                     # what must not be
        self.stop = threading.Event()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.listen, args=(host,), daemon=True) for host in self.hosts]
        self.listening = threading.Barrier(3)
        for thread in self.threads:
            thread.start()
        self.listening.wait(PATIENCE)
        self.clients = [threading.Thread(target=self.connect, args=(number,), daemon=True) for number in range(CLIENTS)]
        self.threads += self.clients
        for thread in self.clients:
            thread.start()

    def end(self):
        """Wait until no connection is there any more."""
        self.stop.set()
        for thread in self.clients:
            thread.join(3 * PATIENCE)
        self.over.set()
        for thread in list(self.threads):
            thread.join(2 * PATIENCE)
        assert not any(thread.is_alive() for thread in self.threads), "a connection has not ended"
        assert not self.wrong, self.wrong[:5]

    def listen(self, host):
        with host.netns():
            listener = socket.create_server((host.ip, PORT), backlog=512)
        self.listening.wait(PATIENCE)
        listener.settimeout(0.2)
        with listener:
            while not self.over.is_set():
                try:
                    sock, _ = listener.accept()
                except TimeoutError:
                    continue
                thread = threading.Thread(target=self.serve, args=(sock,), daemon=True)
                self.threads.append(thread)
                thread.start()

    def carry(self, sock, out, expected, give_up, who):
        """Send one thing and receive the other. Returns how the connection ended, as seen by this host."""
        gone, refused = threading.Event(), threading.Event()

        def say():
            rest, until = memoryview(out), time.monotonic() + PATIENCE
            try:
                while rest and not gone.is_set():
                    if select.select([], [sock], [], 0.2)[1]:
                        rest, until = rest[sock.send(rest[:1 << 16]):], time.monotonic() + PATIENCE
                    elif time.monotonic() > until:
                        self.wrong.append(f"{who}: nothing was taken for {PATIENCE} s")
                        return
                if not rest:
                    sock.shutdown(socket.SHUT_WR)
            except OSError:
                refused.set()       # a socket tells of a reset once: who receives finds an end then

        sender = threading.Thread(target=say, daemon=True)
        sender.start()
        got = 0
        try:
            while part := sock.recv(1 << 18):
                if expected[got:got + len(part)] != part:
                    self.wrong.append(f"{who}: other bytes at {got}")
                got += len(part)
                if give_up and got > len(expected) // 2:
                    break
            how = "gave up" if give_up else "done"
            if not give_up and got != len(expected):
                gone.set()
                sender.join(PATIENCE)
                if not refused.is_set():
                    self.wrong.append(f"{who}: an end after {got} of {len(expected)} bytes")
                how = "reset"
        except TimeoutError:
            self.wrong.append(f"{who}: nothing came for {PATIENCE} s after {got} of {len(expected)} bytes")
            how = "silent"
        except OSError:
            how = "reset"
        if how != "done":
            gone.set()
        sender.join(2 * PATIENCE)
        if how == "done":
            sock.close()
        else:
            reset(sock)
        return how

    def serve(self, sock):
        speaks(sock)
        head = b""
        try:
            while len(head) < HEADER.size:
                part = sock.recv(HEADER.size - len(head))
                if not part:
                    raise ConnectionResetError
                head += part
        except OSError:
            sock.close()
            return
        there, back, seed, how = HEADER.unpack(head)
        self.carry(sock, stream(back, seed + 1), stream(there, seed), how == SERVER_RESETS, f"server of {seed}")

    def connect(self, number):
        rnd = random.Random(number)
        one, other = self.hosts if number % 2 else self.hosts[::-1]
        while not self.stop.is_set():
            there, back = rnd.choice(SIZES), rnd.choice(SIZES)
            how = rnd.choice([TO_THE_END] * 4 + [SERVER_RESETS, CLIENT_RESETS])
            seed = rnd.getrandbits(30)
            with one.netns():
                sock = socket.socket()
            speaks(sock)
            try:
                sock.connect((other.ip, PORT))
                sock.sendall(HEADER.pack(there, back, seed, how))
            except OSError as error:
                sock.close()
                self.ends["unreachable"] += 1
                if not self.unreachable:
                    self.wrong.append(f"client of {seed}: {error}")
                continue
            end = self.carry(sock, stream(there, seed), stream(back, seed + 1), how == CLIENT_RESETS, f"client of {seed}")
            self.ends[end if how == TO_THE_END else f"to be reset: {end}"] += 1


def settled(tunnels, before):
    """Wait until nothing of any connection is left: no flow, no stream in use, no memory, no descriptor."""
    for tunnel, had in zip(tunnels, before):
        def left(t=tunnel, n=had):
            now = t.status()["accel"]
            return {key: value for key, value in {
                "flows": now["flows"], "busy": sum(pool["busy"] for pool in now["streams"]),
                "granted": now["memory"]["granted_bytes"], "buffers": now["memory"]["buffers_bytes"],
                "descriptors": max(0, descriptors(t) - n - 64)}.items() if value}
        try:
            wait_for(lambda l=left: not l(), SETTLED, f"nothing to be left at {tunnel.name}")
        except Exception:
            print(tunnel.name, left(), [flow for flow in flows(tunnel) if "phase" in flow])
            raise
        assert tunnel.status()["accel"]["frames"]["protocol_errors"] == 0


class Chaos:
    """Two sites, their hosts, and what is done to them meanwhile."""

    def __init__(self, make_lab, *args, unreachable=False):
        self.lab = make_lab(line=True)
        self.lab.shape(*PATH)
        self.args = ("--congestion", "cubic", *args)
        self.tunnels = [begin(self.lab, letter, *self.args, up=False) for letter in "AB"]
        ready(self.lab, *self.tunnels)
        self.before = [descriptors(tunnel) for tunnel in self.tunnels]
        self.hosts = Hosts(self.lab, unreachable)
        self.rnd = random.Random(5)
        self.cuts = 0

    def go_on(self, every, act=None):
        """Do something again and again, until the hosts have had enough; then everything must end, and go on working."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(every)
            if act:
                act()
        self.hosts.end()
        for tunnel in self.tunnels:
            tunnel.peers_up()
        settled(self.tunnels, self.before)
        print(dict(self.hosts.ends), [connections(tunnel) for tunnel in self.tunnels], [bypassed(tunnel) for tunnel in self.tunnels])
        ready(self.lab, *self.tunnels)
        transfer(*self.hosts.hosts, 1 << 20)
        return self.hosts.ends

    def cut_a_stream(self):
        """Reset the connection of a stream, at one end."""
        carrying = [(flow, stripe) for flow in flows(self.tunnels[0]) for stripe in flow.get("stripes", [])]
        if not carrying:
            return
        _, stripe = self.rnd.choice(carrying)
        out = self.lab.site("A").run(["ss", "-KHt", f"( sport = :{stripe['local_port']} and dport = :{stripe['remote_port']} )"])
        self.cuts += bool(out.stdout.strip())

    def kill_a_process(self):
        """…and start it again."""
        number = self.rnd.randrange(2)
        letter = "AB"[number]
        self.tunnels[number].kill()
        self.tunnels[number] = begin(self.lab, letter, *self.args, up=False)


def test_streams_are_cut(make_lab):
    """What is on the others, and copies of what was on it, is all there is of a connection's loss."""
    chaos = Chaos(make_lab, "--stripes", "4", "--relay-threads", "4", "--accel-memory", "64M")
    ends = chaos.go_on(0.7, chaos.cut_a_stream)
    assert chaos.cuts > 5
    assert sum(tunnel.status()["accel"]["stripes"]["lost"] for tunnel in chaos.tunnels) > 5
    assert ends["done"] > 20 and ends["unreachable"] == 0


@pytest.mark.parametrize("stripes", ["1", "auto", "4"])
def test_memory_is_short(make_lab, stripes):
    """For windows, copies and sockets together: slowly, or not accelerated, but every byte."""
    chaos = Chaos(make_lab, "--stripes", stripes, "--relay-threads", "2", "--accel-memory", "1M")
    ends = chaos.go_on(1)
    assert ends["done"] > 20 and ends["reset"] == ends["silent"] == ends["unreachable"] == 0


def test_processes_are_killed(make_lab):
    """At either site, again and again; connections of before are reset, those that are begun meanwhile may not come about."""
    chaos = Chaos(make_lab, "--stripes", "2", "--relay-threads", "2", "--outage", "10s", unreachable=True)
    ends = chaos.go_on(4, chaos.kill_a_process)
    assert ends["done"] > 5 and ends["reset"] > 0
