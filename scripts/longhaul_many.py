# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of TCP connections between two hosts at a time (tests/tools/many.c), what a site needs for them, and hosts
that do not read."""
from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator

from longhaul_lab import Host, Lab, Process, Tunnel, wait_for

TOOLS = Path(__file__).resolve().parent.parent / "build" / "tools"
PROGRAM = TOOLS / "many"


class Many:
    """So many connections from one host to another, made at a rate; every byte sent is sent back and compared."""

    def __init__(self, client: Host, server: Host, port: int, count: int, rate: int, waiting: int = 4096) -> None:
        """Makes count connections, rate a second and waiting unanswered ones at a time at most; made() waits for them."""
        server.popen([PROGRAM, "serve", server.ip, str(port)], "many server")
        wait_for(lambda: server.listening(port), 30, "the server of many")
        self.count, self.answers = count, 0
        self.process = client.popen([PROGRAM, "open", server.ip, str(port), str(count), str(rate), str(waiting)],
                                    "many client",
                                    stdin=subprocess.PIPE)
        self.made_within = 60 + 40 * count / rate

    def next_answer(self, timeout: float) -> dict[str, Any]:
        """What the client says next: of all its connections, and what the last thing took."""
        wait_for(lambda: self.process.text().count("\n") > self.answers or not self.process.running(), timeout,
                 f"answer {self.answers} of {self.process.name}")
        lines = self.process.text().splitlines()
        assert len(lines) > self.answers, self.process.describe()
        self.answers += 1
        return json.loads(lines[self.answers - 1])

    def tell(self, command: str, timeout: float) -> dict[str, Any]:
        """Have the client do something, and wait for its answer."""
        os.write(self.process.proc.stdin.fileno(), (command + "\n").encode())
        return self.next_answer(timeout)

    def made(self) -> dict[str, Any]:
        """Wait for all connections."""
        return self.next_answer(self.made_within)

    def round(self, nbytes: int, step: int = 1, timeout: float = 300) -> dict[str, Any]:
        """Every step-th connection sends so many bytes, all at a time, and gets them back."""
        return self.tell(f"round {nbytes} {step}", timeout)

    def close(self, timeout: float = 300) -> dict[str, Any]:
        """End every connection, with FIN both ways."""
        return self.tell("close", timeout)


def resident_bytes(process: Process) -> int:
    """What a process holds of the machine's memory, that of others' files not counted."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise ValueError(f"/proc/{process.pid}/status has no RssAnon")


def descriptors(process: Process) -> int:
    """How many file descriptors a process has."""
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def kernel_tcp_bytes() -> int:
    """What all TCP sockets of the machine hold in buffers: the kernel counts it in one place for all namespaces."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            words = line.split()
            return int(words[words.index("mem") + 1]) * os.sysconf("SC_PAGE_SIZE")
    raise ValueError("/proc/net/sockstat has no TCP")


# ------------------------------------------------------------------ measurements

SETTLED_S, IDLE_S, SAMPLE_S = 3, 5, 0.05
BUSY_BYTES = 65536      # of each connection, all at a time


def tunnels_of(lab: Lab) -> list[Tunnel]:
    """The tunnels that run."""
    return [process for process in lab.started if isinstance(process, Tunnel) and process.running()]


def processor_seconds(process: Process) -> float:
    """What a process has used so far."""
    words = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def possible(tunnel: Tunnel, peers: int = 1) -> int:
    """So many connections a tunnel's descriptors allow: two each, besides those of spare streams and all else (doc/accel.md)."""
    limit = re.search(r"^Max open files +(\d+)", Path(f"/proc/{tunnel.pid}/limits").read_text(), re.MULTILINE)
    assert limit
    return min(16384, (int(limit[1]) - 128 - 64 * peers) // 2)


def socket_bytes(namespace: str) -> int:
    """What TCP sockets of a namespace hold: received, to be sent, and set aside."""
    out = subprocess.run(["nsenter", f"--net={namespace}", "ss", "-Htmn"], capture_output=True, text=True, check=True).stdout
    return sum(int(n) for found in re.findall(r"skmem:\(r(\d+),rb\d+,t\d+,tb\d+,f(\d+),w(\d+)", out) for n in found)


def stack_of(tunnel: Tunnel) -> str:
    """The private namespace of a tunnel, where its sockets to hosts are."""
    own = os.readlink(f"/proc/{tunnel.pid}/ns/net")
    for task in Path(f"/proc/{tunnel.pid}/task").iterdir():
        if os.readlink(task / "ns/net") != own:
            return str(task / "ns/net")
    raise ValueError(f"{tunnel.name} has no stack")


def memory(tunnels: list[Tunnel]) -> dict[str, int]:
    """What is held now, bytes: the tunnels' own, the mean of them, and all of TCP's."""
    return {"resident": sum(map(resident_bytes, tunnels)) // len(tunnels), "kernel_tcp": kernel_tcp_bytes()}


@contextlib.contextmanager
def peak(tunnels: list[Tunnel], found: dict[str, int]) -> Iterator[None]:
    """The most that is held while the body runs."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(SAMPLE_S):
            for key, held in memory(tunnels).items():
                found[key] = max(found.get(key, 0), held)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def many_flows(lab: Lab, port: int, count: int, rate: int) -> dict[str, Any]:
    """So many connections, idle and then all busy at a time: how many are accelerated, and what is held for them."""
    tunnels = tunnels_of(lab)
    before = memory(tunnels)
    many = Many(lab.host("hA"), lab.host("hB"), port, count, rate)
    made = many.made()
    time.sleep(SETTLED_S)
    status = tunnels[0].status(timeout=60)["accel"]
    flows = status["flows"]
    idle, used = memory(tunnels), [processor_seconds(tunnel) for tunnel in tunnels]
    time.sleep(IDLE_S)
    idle_cpu = sum(processor_seconds(tunnel) - then for tunnel, then in zip(tunnels, used)) / len(tunnels) / IDLE_S
    sockets = {"stack": socket_bytes(stack_of(tunnels[0])), "streams": socket_bytes(lab.site("A").path)}
    busy: dict[str, int] = {}
    with peak(tunnels, busy):
        said = many.round(BUSY_BYTES)
    closed = many.close()
    wait_for(lambda: all(not tunnel.status(timeout=60)["accel"]["flows"] for tunnel in tunnels), 120, "all to end")
    if said["wrong"] or closed["lost"] or closed["over"] != count:
        raise ValueError(f"not all connections were right: {said}, {closed}")
    per = max(1, flows)
    return {"count": count, "possible": min(count, possible(tunnels[0])), "accelerated": flows, "bypassed": {why: n for why, n in status["bypassed"].items() if n},
            "made_s": made["seconds"], "connect_p50_ms": made["took_ms"][0], "connect_p99_ms": made["took_ms"][1],
            "granted_bytes": status["memory"]["granted_bytes"], "limit_bytes": status["memory"]["limit_bytes"],
            "buffers_bytes": status["memory"]["buffers_bytes"],
            "idle_resident_per_flow": (idle["resident"] - before["resident"]) / per,
            "idle_stack_per_flow": sockets["stack"] / per, "idle_streams_per_flow": sockets["streams"] / per,
            "idle_kernel_tcp": idle["kernel_tcp"], "idle_processors": idle_cpu,
            "busy_resident_per_flow": (busy["resident"] - before["resident"]) / per,
            "busy_kernel_tcp": busy["kernel_tcp"],
            "busy_bps": 2 * 8 * BUSY_BYTES * count / said["seconds"], "left_resident": memory(tunnels)["resident"]}


@contextlib.contextmanager
def stalled(lab: Lab, port: int, count: int) -> Iterator[None]:
    """Within the body so many connections stand still, full, because hB does not read."""
    a, b = lab.host("hA"), lab.host("hB")
    piece = bytes(1 << 16)
    with contextlib.ExitStack() as stack:
        with b.netns():
            listener = stack.enter_context(socket.create_server((b.ip, port), backlog=count))
        senders = []
        for _ in range(count):
            with a.netns():
                sender = stack.enter_context(socket.socket())
            sender.settimeout(30)
            sender.connect((b.ip, port))
            stack.enter_context(listener.accept()[0])
            sender.setblocking(False)
            senders.append(sender)
        last = time.monotonic()
        while time.monotonic() - last < 2:
            for sender in senders:
                with contextlib.suppress(BlockingIOError):
                    while sender.send(piece):
                        last = time.monotonic()
            time.sleep(0.05)
        yield


def turns(lab: Lab, port: int, seconds: float) -> list[float]:
    """Milliseconds that request and response take on one connection, sorted."""
    a, b = lab.host("hA"), lab.host("hB")
    found = []
    with b.netns():
        listener = socket.create_server((b.ip, port))
    with a.netns():
        one = socket.socket()
    with listener, one:
        one.settimeout(30)
        one.connect((b.ip, port))
        other, _ = listener.accept()

        def echo() -> None:
            while request := other.recv(64):
                other.sendall(request)

        with other:
            thread = threading.Thread(target=echo, daemon=True)
            thread.start()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                begun = time.monotonic()
                one.sendall(b"?" * 64)
                got = 0
                while got < 64:
                    got += len(one.recv(64))
                found.append((time.monotonic() - begun) * 1e3)
                time.sleep(0.005)
            one.shutdown(socket.SHUT_WR)
            thread.join(30)
    return sorted(found)


def beside_stalled(lab: Lab, port: int, count: int, seconds: int, load: Callable[[int], float]) -> dict[str, Any]:
    """Others' goodput, and request and response beside them, before, while and after so many connections stand still.

    load: has some flows run for so many seconds, and returns what they got, bit/s
    """
    found: dict[str, Any] = {"count": count}

    def measure(name: str) -> None:
        got: list[float] = []
        flows = threading.Thread(target=lambda: got.append(load(seconds)))
        flows.start()
        time.sleep(1)
        times = turns(lab, port + 1, seconds - 1)
        flows.join()
        found.update({f"{name}_bps": got[0], f"{name}_50_ms": times[len(times) // 2], f"{name}_99_ms": times[len(times) * 99 // 100]})

    measure("before")
    with stalled(lab, port, count):
        found["queued_bytes"] = sum(flow.get("queued_bytes", 0) for flow in listed(tunnels_of(lab)[1]))
        found["granted_bytes"] = tunnels_of(lab)[1].status()["accel"]["memory"]["granted_bytes"]
        measure("beside")
    measure("after")
    return found


def listed(tunnel: Tunnel) -> list[dict[str, Any]]:
    """Every connection that a tunnel knows."""
    out = tunnel.node.run([tunnel.argv[0], "status", tunnel.instance, "--flows", "--json"], timeout=60).stdout
    return json.loads(out)["accel"]["list"]
