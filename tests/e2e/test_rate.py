# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer's rate: bulk flows wait and take turns, sparse ones pass them, nothing is lost or reordered unseen."""
import socket
import threading
import time

import pytest
from longhaul_lab import wait_for
from traffic import drops, stream, transfer

RATE = ("--rate", "10mbit")


def paced(lab, outer, *more):
    """Tunnels of both sites, with a rate of 10 Mbit/s towards each other."""
    if outer == "capsulator":
        return [lab.tunnel(letter, "--outer", "capsulator", *RATE, *more) for letter in "AB"]
    tunnels = [lab.sealed(letter, *RATE, *more) for letter in "AB"]
    for tunnel in tunnels:
        tunnel.peers_up()
    return tunnels


class Flood:
    """Numbered datagrams from one host to another as fast as they go, until it is left."""

    def __init__(self, a, b, port=7300, size=1200):
        with b.netns():
            self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        self.receiver.bind((b.ip, port))
        self.receiver.settimeout(2)
        with a.netns():
            self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.connect((b.ip, port))
        self.size, self.sent, self.stop = size, 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        """Several times what the rate carries, for two minutes at most."""
        deadline = time.monotonic() + 120
        while not self.stop and time.monotonic() < deadline:
            for _ in range(10):
                self.sender.send(self.sent.to_bytes(4, "big").ljust(self.size, b"f"))
                self.sent += 1
            time.sleep(0.002)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        self.thread.join()

    def received(self):
        """The numbers that came, in the order in which they did."""
        numbers = []
        with self.sender, self.receiver:
            while True:
                try:
                    numbers.append(int.from_bytes(self.receiver.recv(2000)[:4], "big"))
                except TimeoutError:
                    return numbers


@pytest.mark.parametrize("outer", ["sealed", "capsulator"])
def test_beside_a_flood_everybody_else_gets_through(lab, outer):
    a, _ = paced(lab, outer)
    ha, hb = lab.host("hA"), lab.host("hB")
    ha.ping(hb.ip)
    with Flood(ha, hb) as flood:
        wait_for(lambda: a.status()["drops"]["pace_full"] > 100, 20, "the flood to overflow")
        hb.run(f"ip neigh flush dev {hb.ifname}")      # hA's answer to ARP has to pass, too
        ha.ping(hb.ip, count=10, timeout=20)           # fails on any loss
        transfer(ha, hb, 300_000)
        assert a.status()["peers"][0]["pace"]["waiting_bytes"] > 0
    numbers = flood.received()
    assert numbers == sorted(set(numbers)) and 0 < len(numbers) < flood.sent
    status = a.status()
    assert set(drops(status)) == {"pace_full"}
    # What is still missing was dropped, and counted.
    lost = status["drops"]["pace_full"] + sum(port["overruns"] for port in status["ports"])
    assert len(numbers) + lost >= flood.sent
    assert status["peers"][0]["pace"]["waiting_bytes"] == 0


def test_within_the_rate_nothing_is_dropped_and_super_frames_arrive_whole(lab):
    a, b = paced(lab, "sealed")
    transfer(lab.host("hA"), lab.host("hB"), 2_000_000)
    transfer(lab.host("hB"), lab.host("hA"), 2_000_000, ipv6=True)
    for tunnel in (a, b):
        assert set(drops(tunnel.status())) <= {"pace_full"}
        assert tunnel.status()["peers"][0]["pace"]["rate_bps"] == 10_000_000


def test_a_high_rate_keeps_super_frames(lab):
    tunnels = [lab.sealed(letter, "--rate", "2gbit") for letter in "AB"]
    for tunnel in tunnels:
        tunnel.peers_up()
    transfer(lab.host("hA"), lab.host("hB"), 50_000_000)
    out = tunnels[0].status()["peers"][0]["out"]
    assert out["super_frames"] > 0 and set(drops(tunnels[0].status())) <= {"pace_full"}


def test_what_waits_leaves_when_the_tunnel_ends(lab):
    a, _ = paced(lab, "sealed")
    with Flood(lab.host("hA"), lab.host("hB")) as flood:
        wait_for(lambda: a.status()["peers"][0]["pace"]["waiting_bytes"] > 50_000, 20, "frames to wait")
        assert a.stop() == 0
    flood.received()


def test_datagrams_of_one_flow_stay_in_order_whatever_their_size(lab):
    paced(lab, "sealed")
    ha, hb = lab.host("hA"), lab.host("hB")
    ha.ping(hb.ip)      # what waits for ARP in a kernel may be passed by what is sent as the answer comes
    with hb.netns():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind((hb.ip, 7301))
    receiver.settimeout(10)
    with ha.netns():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect((hb.ip, 7301))
    with sender, receiver:
        sent = [stream(1 + i * 613 % 1400, i) for i in range(80)]
        for data in sent:
            sender.send(data)
        assert [receiver.recv(2000) for _ in sent] == sent
