# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP for end-to-end tests: tunnels that accelerate, and hosts whose every end is looked at."""
from __future__ import annotations

import contextlib
import socket
import struct
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

from longhaul_lab import Host, Lab, Tunnel, wait_for

PORT = 7000
TIMEOUT = 30


def begin(lab: Lab, letter: str, *args: str, accel: str = "border:1,accel", up: bool = True, **start: Any) -> Tunnel:
    """Start a tunnel that accelerates tag 1."""
    others = ",".join(site.ip for site in lab.all_sites if site.letter != letter)
    tunnel = lab.tunnel(letter, "-t", "wan", "-f", others, "-b", accel, "--state", str(journal(lab, letter).parent),
                        *lab.sealed_args(letter), *args, **start)
    return tunnel.peers_up() if up else tunnel


def journal(lab: Lab, letter: str) -> Path:
    """The file in which a site's tunnel remembers what it accelerates."""
    return lab.tmp / f"state-{letter}" / "wan.flows"


def spare(tunnel: Tunnel) -> int:
    """How many streams wait for flows."""
    return min(pool["spare"] for pool in tunnel.status()["accel"]["streams"])


def ready(lab: Lab, *tunnels: Tunnel) -> None:
    """Wait for streams, and have every MAC learnt."""
    for tunnel in tunnels:
        tunnel.peers_up()
        wait_for(lambda t=tunnel: spare(t) >= 4, TIMEOUT, f"streams of {tunnel.name}")
    for one, other in zip(lab.all_hosts, reversed(lab.all_hosts)):
        if one is not other:
            wait_for(lambda a=one, b=other: a.run(["ping", "-q", "-c1", "-W1", b.ip], check=False).returncode == 0, TIMEOUT,
                     f"{one.name} to reach {other.name}")    # the path may lose some


def start(lab: Lab, *args: str, **start_: Any) -> list[Tunnel]:
    """Accelerating tunnels at every site, ready."""
    tunnels = [begin(lab, site.letter, *args, up=False, **start_) for site in lab.all_sites]
    ready(lab, *tunnels)
    return tunnels


def connections(tunnel: Tunnel) -> dict[str, int]:
    """What has become of accelerated connections, without what did not happen."""
    return {key: n for key, n in tunnel.status()["accel"]["connections"].items() if n}


def bypassed(tunnel: Tunnel) -> dict[str, int]:
    """Why connections were not accelerated."""
    return {key: n for key, n in tunnel.status()["accel"]["bypassed"].items() if n}


def flows(tunnel: Tunnel) -> list[dict[str, Any]]:
    """The connections that the tunnel knows."""
    out = tunnel.node.run([tunnel.argv[0], "status", tunnel.instance, "--flows", "--json"])
    import json
    return json.loads(out.stdout)["accel"]["list"]


@contextlib.contextmanager
def listening(host: Host, port: int = PORT, ipv6: bool = False, address: str | None = None) -> Iterator[socket.socket]:
    """A listening socket at a host."""
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    with host.netns():
        sock = socket.create_server((address or (host.ip6 if ipv6 else host.ip), port), family=family)
    sock.settimeout(TIMEOUT)
    with sock:
        yield sock


def client(host: Host, ipv6: bool = False, source_port: int = 0) -> socket.socket:
    """A socket of a host that is not connected yet."""
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    with host.netns():
        sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(TIMEOUT)
    if source_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host.ip6 if ipv6 else host.ip, source_port))
    return sock


@contextlib.contextmanager
def connected(lab: Lab, from_: str = "hA", to: str = "hB", port: int = PORT,
              ipv6: bool = False) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection between two hosts: the client's socket and the server's."""
    a, b = lab.host(from_), lab.host(to)
    with listening(b, port, ipv6) as listener, client(a, ipv6) as one:
        one.connect((b.ip6 if ipv6 else b.ip, port))
        other, _ = listener.accept()
        other.settimeout(TIMEOUT)
        with other:
            yield one, other


def read_all(sock: socket.socket) -> bytes:
    """What comes until the end."""
    parts = []
    while part := sock.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def reset(sock: socket.socket) -> None:
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def was_reset(sock: socket.socket, timeout: float = TIMEOUT) -> bool:
    """Whether the connection ends with a reset, and not in another way. What comes before is read."""
    sock.settimeout(timeout)
    try:
        while sock.recv(1 << 16):
            pass
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


def state(sock: socket.socket) -> str:
    """The kernel's name for the state of a connection."""
    names = ["", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
             "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING"]
    return names[sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]]


class Background:
    """A call in a thread, whose result or exception is fetched."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None

        def run() -> None:
            try:
                self.result = call()
            except BaseException as error:      # pylint: disable=broad-except
                self.error = error

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def get(self, timeout: float = 60) -> Any:
        """Wait for the end."""
        self.thread.join(timeout)
        assert not self.thread.is_alive(), "the call has not come back"
        if self.error:
            raise self.error
        return self.result
