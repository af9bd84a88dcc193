# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP: every way in which a connection can end is seen by the other host as the same kind."""
import contextlib
import signal
import socket
import struct
import time

import pytest
from accel import (PORT, TIMEOUT, Background, begin, client, connected, connections, flows, listening, read_all, reset, start,
                   state, was_reset)
from longhaul_lab import wait_for
from traffic import stream, transfer

MIB = 1 << 20


@pytest.fixture(scope="module")
def site(make_module_lab):
    """A laboratory with accelerating tunnels that the tests of this module share: (lab, A, B)."""
    lab = make_module_lab()
    return (lab, *start(lab))


def idle(*tunnels):
    """Wait until no connection is relayed."""
    for tunnel in tunnels:
        wait_for(lambda t=tunnel: t.status()["accel"]["flows"] == 0, TIMEOUT, f"{tunnel.name} to have no flows")


@pytest.mark.parametrize("first", ["client", "server"])
def test_half_a_connection_goes_on(site, first):
    lab, a, b = site
    data = stream(3 * MIB, 5)
    with connected(lab) as pair:
        early, late = pair if first == "client" else pair[::-1]
        early.sendall(b"all I have to say")
        early.shutdown(socket.SHUT_WR)
        assert read_all(late) == b"all I have to say"
        wait_for(lambda: state(early) == "FIN_WAIT2", TIMEOUT, "the FIN to be acknowledged")
        assert state(late) == "CLOSE_WAIT"
        sender = Background(lambda: (late.sendall(data), late.shutdown(socket.SHUT_WR)))
        assert read_all(early) == data
        sender.get()
        wait_for(lambda: state(late) == "CLOSE", TIMEOUT, "the last FIN to be acknowledged")
    idle(a, b)


def test_both_ends_close_at_once(site):
    lab, a, b = site
    before = connections(a).get("closed", 0)
    for n in range(20):
        with connected(lab) as (one, other):
            one.sendall(b"x"), other.sendall(b"y")
            one.shutdown(socket.SHUT_WR), other.shutdown(socket.SHUT_WR)
            assert read_all(one) == b"y" and read_all(other) == b"x"
    idle(a, b)
    assert connections(a)["closed"] == before + 20


@pytest.mark.parametrize("first", ["client", "server"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_reset_is_a_reset(site, first, busy):
    lab, a, b = site
    with connected(lab) as pair:
        early, late = pair if first == "client" else pair[::-1]
        if busy:
            early.settimeout(0.5)
            with pytest.raises(TimeoutError):
                while True:
                    early.sendall(bytes(1 << 16))
        reset(early)
        assert was_reset(late)
    idle(a, b)


def test_a_reset_in_place_of_a_close_with_unread_data(site):
    """A host that closes with something unread sends RST (RFC 2525, 2.17)."""
    lab, a, b = site
    with connected(lab) as (one, other):
        other.sendall(b"never read")
        wait_for(lambda: one.recv(1, socket.MSG_PEEK), TIMEOUT, "data")
        one.close()
        assert was_reset(other)
    idle(a, b)


def test_the_acknowledgement_of_a_fin_is_end_to_end(site):
    """While the far side cannot deliver, a host's FIN is not acknowledged: its close has not succeeded."""
    lab, a, b = site
    with connected(lab) as (one, other):
        one.sendall(b"before")
        assert other.recv(6) == b"before"
        b.send(signal.SIGSTOP)
        try:
            one.sendall(stream(200_000, 3))
            one.shutdown(socket.SHUT_WR)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))
            time.sleep(1)
            assert state(one) == "FIN_WAIT1"
        finally:
            b.send(signal.SIGCONT)
        assert read_all(other) == stream(200_000, 3)
        wait_for(lambda: state(one) == "FIN_WAIT2", TIMEOUT, "the FIN to be acknowledged")
    idle(a, b)


def test_a_host_that_does_not_read_stops_its_sender_alone(site):
    lab, a, b = site
    data = stream(20 * MIB, 7)
    with connected(lab, port=PORT + 1) as (one, other):
        sender = Background(lambda: (one.sendall(data), one.shutdown(socket.SHUT_WR)))
        wait_for(lambda: any(flow["queued_bytes"] for flow in flows_of(b)), TIMEOUT, "something to be queued")
        transfer(lab.host("hA"), lab.host("hB"), 4 * MIB)
        transfer(lab.host("hB"), lab.host("hA"), 4 * MIB)
        for flow in flows_of(b):
            assert flow["queued_bytes"] <= flow["window_bytes"]
        assert sender.thread.is_alive()
        assert read_all(other) == data
        sender.get()
    idle(a, b)


def flows_of(tunnel):
    return [flow for flow in flows(tunnel) if flow["state"] == "accelerated"]


def test_a_reset_overtakes_data_that_a_stalled_host_has_not_taken(site):
    lab, a, b = site
    with connected(lab) as (one, other):
        one.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:
                one.sendall(bytes(1 << 16))
        reset(one)
        idle(a, b)
        assert was_reset(other)


def test_urgent_data_arrives_in_line(site):
    lab, a, b = site
    with connected(lab) as (one, other):
        one.sendall(b"ab")
        one.send(b"!", socket.MSG_OOB)
        one.sendall(b"cd")
        one.shutdown(socket.SHUT_WR)
        assert read_all(other) == b"ab!cd"
    idle(a, b)


@pytest.mark.parametrize("first", ["client", "server"])
def test_a_4_tuple_may_be_used_again_at_once(site, first):
    lab, a, b = site
    host = lab.host("hB")
    before = connections(b).get("accepted", 0)
    lab.host("hA").sysctl({"net.ipv4.tcp_tw_reuse": 1})
    with listening(host) as listener:
        for n in range(30):
            deadline = time.monotonic() + TIMEOUT
            while True:
                one = client(lab.host("hA"), source_port=6000 if first == "client" else 6001)
                try:
                    one.connect((host.ip, PORT))
                    break
                except OSError:     # the client's own LAST_ACK or, with time stamps for a second, TIME_WAIT
                    one.close()
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
            other, _ = listener.accept()
            text = b"time %d" % n
            one.sendall(text)
            early, late = (one, other) if first == "client" else (other, one)
            if first == "server":
                assert other.recv(64) == text
            early.shutdown(socket.SHUT_WR)
            assert read_all(late) == (text if first == "client" else b"")
            late.close()
            assert read_all(early) == b""
            early.close()
            if first == "client" and n == 4:
                break
    idle(a, b)
    assert connections(b)["accepted"] == before + (5 if first == "client" else 30)


def test_many_short_connections(site):
    lab, a, b = site
    before = connections(a).get("opened", 0)
    host = lab.host("hB")
    with listening(host) as listener:
        listener.listen(512)

        def serve():
            for _ in range(300):
                conn, _ = listener.accept()
                with conn:
                    conn.sendall(read_all(conn)[::-1])

        server = Background(serve)
        for n in range(300):
            with client(lab.host("hA")) as one:
                one.connect((host.ip, PORT))
                one.sendall(b"%d" % n)
                one.shutdown(socket.SHUT_WR)
                assert read_all(one) == (b"%d" % n)[::-1]
        server.get()
    idle(a, b)
    assert connections(a)["opened"] == before + 300
    # one stream has served them all, one after the other
    assert all(pool["streams"] <= 40 for tunnel in (a, b) for pool in tunnel.status()["accel"]["streams"])


def test_a_killed_far_side_is_known_at_once(make_lab):
    lab = make_lab()
    a, b = start(lab, "--outage", "600s")
    with connected(lab) as (one, other):
        one.sendall(b"x")
        assert other.recv(1) == b"x"
        b.kill()
        assert was_reset(one)
        # the host at the dead side hears nothing until something answers it again
        begin(lab, "B", "--outage", "600s", up=False)


def test_silence_is_waited_out_and_then_reset(make_lab):
    lab = make_lab()
    start(lab, "--outage", "3s")
    with connected(lab) as (one, other):
        one.sendall(b"x")
        assert other.recv(1) == b"x"
        for letter in "AB":
            lab.site(letter).run("nft -f -", input="table inet t { chain c { type filter hook input priority 0; "
                                                   "tcp sport 7245 drop; tcp dport 7245 drop; }; }\n")
        assert was_reset(one) and was_reset(other)


@pytest.mark.parametrize("outage, pause", [
    ("60s", 2), ("6s", 4), pytest.param("12s", 9, marks=pytest.mark.full), pytest.param("30s", 27, marks=pytest.mark.full)])
def test_a_pause_within_the_outage_loses_nothing(make_lab, outage, pause):
    lab = make_lab()
    start(lab, "--outage", outage)
    data = stream(4 * MIB, 9)
    with connected(lab) as (one, other):
        for site in lab.all_sites:
            site.run("nft -f -", input="table inet hush { chain c { type filter hook input priority 0; iifname wan drop; }; }\n")
        sender = Background(lambda: (one.sendall(data), one.shutdown(socket.SHUT_WR)))
        time.sleep(pause)
        assert state(one) in ("ESTABLISHED", "FIN_WAIT1")
        for site in lab.all_sites:
            site.run("nft delete table inet hush")
        assert read_all(other) == data
        sender.get()
        wait_for(lambda: state(one) == "FIN_WAIT2", 60, "the FIN to be acknowledged")


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("dead", ["hA", "hB"])
def test_a_dead_host_is_found_and_the_other_reset(make_lab, dead, busy):
    lab = make_lab()
    start(lab, "--outage", "2s")
    with connected(lab) as pair:
        alive = pair[1] if dead == "hA" else pair[0]
        lab.host(dead).run("nft -f -", input="table inet t { chain c { type filter hook input priority 0; drop; }; }\n")
        if busy:
            alive.sendall(b"nobody takes this")
        assert was_reset(alive)


def test_a_clean_end_of_the_tunnel_resets_all_hosts(make_lab):
    """None of them speaks any more, so each hears of it by the resets that leave before the process does."""
    lab = make_lab()
    a, b = start(lab)
    with listening(lab.host("hB")) as listener, contextlib.ExitStack() as socks:
        ones = [socks.enter_context(client(lab.host("hA"))) for _ in range(200)]
        others = []
        for n, one in enumerate(ones):
            one.connect((lab.host("hB").ip, PORT))
            others.append(socks.enter_context(listener.accept()[0]))
            one.sendall(b"%04d" % n)
            assert others[-1].recv(4) == b"%04d" % n
        assert a.status()["accel"]["flows"] >= 100      # those for which no stream came in time are bridged
        accelerated = {flow["local_port"] for flow in flows(a) if flow["state"] == "accelerated"}
        assert a.stop() == 0
        for one, other in zip(ones, others):
            if one.getsockname()[1] in accelerated:
                assert was_reset(one) and was_reset(other)
