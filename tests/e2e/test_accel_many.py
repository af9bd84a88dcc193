# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP: thousands of connections at a time, every byte of theirs, and what is left of them: nothing."""
import re
from pathlib import Path

import pytest
from accel import PORT, TIMEOUT, bypassed, connections, start
from longhaul_lab import wait_for
from longhaul_many import Many, descriptors, possible, resident_bytes

BYTES, MORE = 1000, 20_000      # by every connection at once, and by every tenth
PATIENCE = 600


def accel(tunnel):
    """What split TCP tells of itself."""
    return tunnel.status(timeout=60)["accel"]


def is_sanitized(tunnel):
    """Whether a sanitizer allocates its memory, which keeps what was freed."""
    return "san.so" in Path(f"/proc/{tunnel.pid}/maps").read_text()


def open_many(lab, count, waiting=2, port=PORT):
    """So many connections by two accelerating sites, all made; few wait at a time, so that the machine's load is no matter."""
    many = Many(lab.host("hA"), lab.host("hB"), port, count, 1000, waiting)
    many.made_within = PATIENCE
    said = many.made()
    assert (said["connected"], said["lost"], said["waiting"]) == (count, 0, 0)
    return many


def use(many):
    """Every connection carries something, all at a time, and every tenth more; every byte is right."""
    for nbytes, step in ((BYTES, 1), (MORE, 10)):
        said = many.round(nbytes, step, PATIENCE)
        assert (said["wrong"], said["lost"], said["waiting"]) == (0, 0, 0)
    assert said["bytes"] == BYTES * many.count + MORE * len(range(0, many.count, 10))


def end(many, tunnels, before):
    """All end in order, and nothing is left: no flow, no grant, no stream but the spare ones, no descriptor."""
    said = many.close(PATIENCE)
    assert (said["over"], said["wrong"], said["lost"], said["waiting"]) == (many.count, 0, 0, 0)
    for tunnel, had in zip(tunnels, before):
        wait_for(lambda t=tunnel: accel(t)["flows"] == 0, PATIENCE, f"the flows of {tunnel.name} to end")
        left = accel(tunnel)
        assert left["memory"]["granted_bytes"] == left["memory"]["buffers_bytes"] == 0
        assert "reset" not in connections(tunnel)
        # At each site up to 32 idle ones are kept.
        wait_for(lambda t=tunnel: accel(t)["streams"][0]["streams"] <= 64, TIMEOUT, f"streams of {tunnel.name} to be closed")
        wait_for(lambda t=tunnel, n=had: descriptors(t) <= n + 64, TIMEOUT, f"descriptors of {tunnel.name} to be closed")


@pytest.mark.timeout(400)
def test_thousands_of_connections_are_accelerated_at_a_time_and_leave_nothing(make_lab):
    lab = make_lab()
    a, b = tunnels = start(lab)
    before = [descriptors(tunnel) for tunnel in tunnels]
    small = [resident_bytes(tunnel) for tunnel in tunnels]
    many = open_many(lab, 2000)
    for tunnel in tunnels:
        now = accel(tunnel)
        assert now["flows"] == 2000 and now["streams"][0]["busy"] == 2000
        assert 0 < now["memory"]["granted_bytes"] <= now["memory"]["limit_bytes"]
        assert 0 < now["memory"]["buffers_bytes"] <= now["memory"]["limit_bytes"]
    assert not bypassed(a) and not bypassed(b)
    use(many)
    large = [resident_bytes(tunnel) for tunnel in tunnels]
    end(many, tunnels, before)
    for tunnel, one, other in zip(tunnels, small, large):
        if not is_sanitized(tunnel):
            wait_for(lambda t=tunnel, most=(one + other) // 2: resident_bytes(t) < most, TIMEOUT,
                     f"{tunnel.name} to give memory back")
    assert connections(a) == {"opened": 2000, "closed": 2000}
    assert connections(b) == {"accepted": 2000, "closed": 2000}


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("delay", [None, "60ms"])
def test_ten_thousand_connections_are_accelerated_at_a_time_and_leave_nothing(make_lab, delay):
    lab = make_lab(line=delay is not None)
    if delay:
        lab.shape("--delay", delay)
    a, _ = tunnels = start(lab)
    before = [descriptors(tunnel) for tunnel in tunnels]
    # What has no descriptors left passes through and works as well.
    most = min(10_000, possible(a))
    many = open_many(lab, 10_000, waiting=8 if delay else 2)
    assert [accel(tunnel)["flows"] for tunnel in tunnels] == [most, most]
    assert bypassed(a).get("limit", 0) == sum(bypassed(a).values()) == 10_000 - most
    use(many)
    end(many, tunnels, before)
    assert connections(a) == {"opened": most, "closed": most}


def test_beyond_what_descriptors_allow_connections_pass_through_and_work_as_well(make_lab):
    lab = make_lab()
    a, b = tunnels = start(lab, wrap=["prlimit", "--nofile=500:500", "--", "setpriv", "--bounding-set=-sys_resource", "--"])
    most = possible(a)
    assert most == (500 - 192) // 2
    before = [descriptors(tunnel) for tunnel in tunnels]
    many = open_many(lab, 200)
    assert [accel(tunnel)["flows"] for tunnel in tunnels] == [most, most]
    assert bypassed(a) == {"limit": 200 - most} and set(bypassed(b)) <= {"confirmed"}
    use(many)
    end(many, tunnels, before)


@pytest.mark.parametrize("args", [(), ("--without", "port-windows")], ids=["windows", "kernel"])
def test_streams_find_ports_where_most_are_taken_or_just_closed(make_lab, args):
    lab = make_lab()
    for letter in "AB":
        lab.site(letter).run("sysctl -qw net.ipv4.ip_local_port_range='40000 40499'")
    a, b = tunnels = start(lab, *args)
    before = [descriptors(tunnel) for tunnel in tunnels]
    for n in range(2):      # streams of the first crowd, closed, keep their ports for a minute
        many = open_many(lab, 160, port=PORT + n)
        ports = [int(port) for line in lab.site("A").run("ss -Htn state established").stdout.splitlines()
                 for port in re.findall(r":(4\d{4})\b", line)]
        assert len(set(ports)) == len(ports) > 160 and all(40000 <= port < 40500 for port in ports)
        use(many)
        assert bypassed(a) == bypassed(b) == {}
        end(many, tunnels, before)
