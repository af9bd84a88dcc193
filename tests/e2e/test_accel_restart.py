# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP across crashes: what was accelerated is reset, what was bridged goes on."""

import pytest
from accel import PORT, TIMEOUT, begin, connected, journal, ready, start, was_reset
from traffic import transfer

BRIDGED = PORT + 50


def conf(lab, letter):
    """A configuration in which one port is never accelerated."""
    other = "B" if letter == "A" else "A"
    path = lab.tmp / f"{letter}.conf"
    path.write_text("\n".join([
        "[tunnel]", "interface = wan", f"state = {journal(lab, letter).parent}", "outage = 600s",
        f"identity = {lab.identity(letter)[0]}", "[port border]", "tag = 1", "[tag 1]", "accel = yes",
        f"bypass = tcp port {BRIDGED}", f"[peer {other}]", f"address = {lab.site(other).ip}",
        f"trust = {lab.identity(other)[1]}", ""]))
    return str(path)


def run(lab, letter):
    return lab.tunnel(letter, "--config", conf(lab, letter))


def answered_by_reset(sock):
    """Send until the connection is reset."""
    try:
        for _ in range(TIMEOUT * 20):
            sock.send(b"hello?")
            sock.settimeout(0.05)
            try:
                sock.recv(1)
            except TimeoutError:
                pass
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


def goes_on(one, other):
    """Whether a connection still carries bytes, both ways."""
    for here, there in ((one, other), (other, one)):
        here.settimeout(TIMEOUT), there.settimeout(TIMEOUT)
        here.sendall(b"still here")
        assert there.recv(10) == b"still here"


@pytest.mark.parametrize("letter", "AB")
def test_after_a_crash_accelerated_connections_are_reset_and_others_go_on(lab, letter):
    tunnels = dict(zip("AB", (run(lab, "A"), run(lab, "B"))))
    ready(lab, *tunnels.values())
    with connected(lab) as (one, other), connected(lab, port=BRIDGED) as bridged:
        goes_on(one, other), goes_on(*bridged)
        tunnels[letter].kill()
        at_dead, at_alive = (one, other) if letter == "A" else (other, one)
        assert was_reset(at_alive)
        assert journal(lab, letter).exists()
        tunnels[letter] = run(lab, letter)
        ready(lab, *tunnels.values())
        assert "1 connections of before" in tunnels[letter].text()
        goes_on(*bridged)
        assert answered_by_reset(at_dead)
    transfer(lab.host("hA"), lab.host("hB"), 1 << 20)


def test_after_both_have_crashed_too(lab):
    tunnels = [run(lab, "A"), run(lab, "B")]
    ready(lab, *tunnels)
    with connected(lab) as (one, other), connected(lab, port=BRIDGED) as bridged:
        goes_on(one, other), goes_on(*bridged)
        for tunnel in tunnels:
            tunnel.kill()
        tunnels = [run(lab, "A"), run(lab, "B")]
        ready(lab, *tunnels)
        goes_on(*bridged)
        assert answered_by_reset(one) and answered_by_reset(other)


def test_a_peer_remembers_what_was_lost_with_the_journal(lab):
    tunnels = [run(lab, "A"), run(lab, "B")]
    ready(lab, *tunnels)
    # B knows of all that was accelerated: it has come back with its journal
    tunnels[1].kill()
    tunnels[1] = run(lab, "B")
    ready(lab, *tunnels)
    with connected(lab) as (one, other), connected(lab, port=BRIDGED) as bridged:
        goes_on(one, other), goes_on(*bridged)
        tunnels[0].kill()
        journal(lab, "A").unlink()
        tunnels[0] = run(lab, "A")
        ready(lab, *tunnels)
        assert "connections of before" not in tunnels[0].text()
        goes_on(*bridged)
        assert answered_by_reset(one)
        assert was_reset(other)


@pytest.mark.parametrize("content", [b"", b"not a journal at all", bytes(64 + 65536 * 64)], ids=["empty", "text", "zeros"])
def test_without_a_journal_and_a_peer_that_knows_unknown_connections_are_reset(lab, content):
    """Both sites have started anew, and neither can say what was accelerated."""
    tunnels = [run(lab, "A"), run(lab, "B")]
    ready(lab, *tunnels)
    with connected(lab) as (one, other), connected(lab, port=BRIDGED) as bridged:
        goes_on(one, other), goes_on(*bridged)
        for tunnel, letter in zip(tunnels, "AB"):
            tunnel.kill()
            journal(lab, letter).write_bytes(content)
        tunnels = [run(lab, "A"), run(lab, "B")]
        ready(lab, *tunnels)
        for sock in (one, other, *bridged):
            assert answered_by_reset(sock)
    transfer(lab.host("hA"), lab.host("hB"), 1 << 20)


def test_a_clean_end_leaves_no_journal(lab):
    tunnels = start(lab)
    with connected(lab) as (one, _):
        one.sendall(b"x")
        assert journal(lab, "A").exists()
        for tunnel in tunnels:
            assert tunnel.stop() == 0
    assert not journal(lab, "A").exists() and not journal(lab, "B").exists()


def test_a_journal_in_use_is_not_shared(make_lab):
    lab = make_lab()
    a = begin(lab, "A", up=False)
    b = lab.tunnel("B", "-t", "wan", "-f", "192.0.2.1", "-b", "border:1,accel", "--state",
                   str(journal(lab, "A").parent), *lab.sealed_args("B"))
    b.expect("another instance uses it; give this one a --state")
    ready(lab, a, b)
    transfer(lab.host("hA"), lab.host("hB"), 1 << 20)
