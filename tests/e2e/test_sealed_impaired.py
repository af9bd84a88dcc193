# SPDX-License-Identifier: GPL-3.0-or-later
"""The sealed transport on a line that loses, doubles, reorders and corrupts: every byte all the same."""
import hashlib
import random
import socket
import threading

import pytest
from longhaul_lab import wait_for
from traffic import drops, transfer

MIB = 1 << 20
# What is done to which share of the frames. Two bits, because the checksums below UDP find every single one: of two,
# 1 in 32 gets past them, to the seal.
ALL = {"loss": "0.5%", "duplicate": "0.5%", "reorder": "1%", "corrupt": "0.2%,2"}
# Frames that skip the delay overtake all that came within it.
DELAY = "300us"
LAB = {"line": True, "segmenting_wire": True}


def start(make_lab, *args, **harms):
    """A laboratory with a bad line between the sites, a sealed tunnel at each, all peers up."""
    lab = make_lab(**LAB)
    line = lab.shape("--delay", DELAY, "--seed", "7245", "--json",
                     *(word for name, share in harms.items() for word in (f"--{name}", share)))
    tunnels = [lab.sealed(letter, *args) for letter in "AB"]
    for tunnel in tunnels:
        tunnel.peers_up(60)
    return lab, line, tunnels


def done(line):
    """End the line; for each direction, to how many frames what was done."""
    return [{"loss": way["drops"]["loss"], "duplicate": way["duplicated"], "reorder": way["reordered"],
             "corrupt": way["corrupted"]} for way in line.totals()["directions"]]


def bad_checksums(lab):
    """Datagrams that each site's kernel has refused."""
    return [lab.site(letter).stack_counters("Udp")["InCsumErrors"] for letter in "AB"]


def sealed_drops(tunnel):
    """The reasons for which sealed datagrams were refused."""
    return {name for name in drops(tunnel.status()) if name.startswith("sealed_")}


# What flipped bits give that cancel out in a checksum, by where they are.
BY_CORRUPTION = {f"sealed_{name}" for name in ("auth", "version", "type", "flags", "session", "worker", "replay")}


def test_every_byte_arrives_over_a_line_with_every_fault(make_lab):
    lab, line, tunnels = start(make_lab, **ALL)
    transfer(lab.host("hA"), lab.host("hB"), 64 * MIB)
    transfer(lab.host("hB"), lab.host("hA"), 64 * MIB, seed=2, ipv6=True)
    for tunnel in tunnels:
        assert {"sealed_replay"} <= sealed_drops(tunnel) <= BY_CORRUPTION
        assert tunnel.status()["peers"][0]["state"] == "up"
        assert not [m for m in tunnel.status()["macs"] if m["mac"] not in (lab.host("hA").mac, lab.host("hB").mac)]
    assert min(bad_checksums(lab)) > 0
    for way in done(line):
        assert min(way.values()) > 0, way


@pytest.mark.timeout(150)
def test_keys_are_agreed_anew_over_such_a_line_and_none_is_lost(make_lab):
    """Control connections and rekeying survive while traffic goes on; frames come at most once."""
    lab, _, (a, b) = start(make_lab, "--rekey-after-packets", "3000", **ALL)
    for seed in range(200):     # the test's own time-out ends it
        transfer(lab.host("hA"), lab.host("hB"), 8 * MIB, seed=seed)
        if min(t.status()["peers"][0]["rekeys"] for t in (a, b)) >= 3:
            break
    else:
        pytest.fail("no three rekeys in 1600 MiB")
    for tunnel in (a, b):
        assert "key_exhausted" not in drops(tunnel.status())
        wait_for(lambda t=tunnel: t.status()["peers"][0]["control"] == "connected", what="the control connection")


def chunks(nbytes, seed):
    """Reproducible bytes in pieces, too many to hold."""
    rng = random.Random(seed)
    for _ in range(nbytes // MIB):
        yield rng.randbytes(MIB)


def transfer_long(client, server, nbytes, seed, timeout=1800.0, port=7000):
    """As transfer(), of more than fits into memory."""
    sent, got = hashlib.sha256(), hashlib.sha256()
    with server.netns():
        listener = socket.create_server((server.ip, port))
    listener.settimeout(timeout)

    def serve():
        conn, _ = listener.accept()
        conn.settimeout(timeout)
        with conn:
            while piece := conn.recv(MIB):
                got.update(piece)
            conn.sendall(b"done")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with client.netns():
        sock = socket.socket()
    with sock, listener:
        sock.settimeout(timeout)
        sock.connect((server.ip, port))
        for piece in chunks(nbytes, seed):
            sent.update(piece)
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(16) == b"done"
        thread.join(timeout)
    assert got.digest() == sent.digest()


@pytest.mark.full
@pytest.mark.timeout(3700)
@pytest.mark.parametrize("harms", [*({name: chance} for name, chance in ALL.items()), ALL], ids="+".join)
def test_a_gigabyte_each_way_arrives_byte_exact(make_lab, harms):
    lab, line, tunnels = start(make_lab, **harms)
    transfer_long(lab.host("hA"), lab.host("hB"), 1024 * MIB, 1)
    transfer_long(lab.host("hB"), lab.host("hA"), 1024 * MIB, 2)
    for tunnel, refused in zip(tunnels, bad_checksums(lab)):
        assert ("sealed_auth" in sealed_drops(tunnel)) == (refused > 0) == ("corrupt" in harms)
        assert "sealed_replay" in sealed_drops(tunnel) or "duplicate" not in harms
        assert sealed_drops(tunnel) <= BY_CORRUPTION
    for way in done(line):
        for harm, frames in way.items():
            assert (frames > 0) == (harm in harms), way
