# SPDX-License-Identifier: GPL-3.0-or-later
"""Real kernel TCP under a known limit, over a delay line, captured at the sender, in the middle, at the receiver.

    with Lab(line=True, lan_mtu=1500) as lab:
        run = perform(lab, Case("window", line=["--delay", "60ms"], clamp=33304, seconds=4))

What is known of a run does not come from its packets: the sending kernel's tcp_info says how long it was busy
and limited by the receive window or by its buffer, the sending program's log when it had something to send,
and the delay line's frame log what became of each frame.
"""
from __future__ import annotations

import contextlib
import dataclasses
import itertools
import mmap
import multiprocessing
import os
import select
import signal
import socket
import struct
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Iterator, NamedTuple

from longhaul_capture import Capture
from longhaul_lab import Lab, LabError
from longhaul_netns import SO_RCVBUFFORCE, TCP_WINDOW_CLAMP

PORT = 9020
TCP_INFO, TCP_CONGESTION, TCP_NODELAY, TCP_MAXSEG = 11, 13, 1, 2
SO_SNDBUFFORCE = 32
SNAPLEN = 128
CLAMPED_BUFFER = 1 << 20
_BUSY = struct.Struct("<3Q")        # tcpi_busy_time, tcpi_rwnd_limited, tcpi_sndbuf_limited: microseconds
_BUSY_AT, _RETRANS_AT, _DSACKS_AT = 168, 100, 216
_STATE_AT = {"mss": 16, "unacked": 24, "rtt": 68, "cwnd": 80, "unsent": 144, "window": 228}
_SEGMENTS_IN_AT, _SEGMENTS_OUT_AT, _OUT_OF_ORDER_AT = 152, 156, 224
_FORK = multiprocessing.get_context("fork")
_SAMPLE_S = 0.002
_WOKEN_S = 0.005    # a program that waits for room is woken so late at times, on a busy machine


@dataclass(frozen=True)
class Case:
    """One transfer and what limits it."""

    name: str
    line: list[str] = field(default_factory=list)   # options of `longhaul shape`
    congestion: str = "cubic"
    seconds: float = 4.0        # how long the sender writes
    amount: int = 0             # bytes; 0: as many as it can in the time
    clamp: int = 0              # of the receiver's window, bytes
    receive_buffer: int = 0
    send_buffer: int = 0
    write: int = 65536          # bytes a write
    every: float = 0.0          # seconds from write to write; 0: as fast as it goes
    nodelay: bool = False
    answer: int = 0             # the receiver answers each message of so many bytes; the sender waits for it
    read_pause: float = 0.0     # the receiver stops to read for so long…
    read_every: float = 0.0     # …each so many seconds
    patience: float = 30.0      # seconds that are waited for the last acknowledgement
    mtu: int = 0                # of the path behind the first hop, which says nothing about it; 0: the LAN's
    amounts: tuple[int, ...] = ()   # bytes of further connections, one after the other
    seed: int = 1


class _Sample(NamedTuple):
    """What the sending kernel was like at a time."""

    at: float       # seconds
    mss: int
    unacked: int    # segments
    rtt: int        # microseconds
    cwnd: int
    unsent: int     # bytes
    window: int     # the receiver's, bytes
    full: bool      # the socket takes no more
    idle: bool      # the program has nothing to write
    turn: int       # of its writes: 2n + 1 in the nth, 2n + 2 after it


@dataclass
class Transfer:
    """What is known of one connection, but for its packets."""

    port: int                       # the sender's
    sent: int                       # bytes
    elapsed: float
    busy: float                     # seconds, as the sending kernel says
    window_limited: float
    buffer_limited: float
    retransmits: int
    dsacks: int
    waited: float                   # seconds in which the program had nothing to write
    starved: float                  # part of the time in which the congestion window had room for all that the
    #                                 kernel had, and its buffer had room for no more
    backlog: float                  # …in which the program had nothing to write, but the kernel had not sent what
    #                                 it had written last
    closed: float                   # …in which no full segment fitted the whole of the receiver's window
    segments_out: int               # with data, that the sending kernel has sent, each time
    segments_in: int                # …that came to the receiving kernel's connection
    out_of_order: int               # of these, that came after a later one
    slow: float                     # part of the time in which nothing held the kernel but that the program, though not
    #                                 asleep, did not write

    @property
    def lost(self) -> int:
        """Segments that have not come to the receiver, wherever they were lost."""
        return self.segments_out - self.segments_in

    def shares(self) -> dict[str, float]:
        """What the kernel says, of the time from first write to last acknowledgement."""
        whole = self.elapsed or 1.0
        return {"receive_window": self.window_limited / whole, "send_buffer": self.starved,
                "application": min(1.0, max(0.0, self.waited / whole - self.backlog + self.slow)),
                "zero_window": self.closed}


@dataclass
class Run:
    """What a case left behind."""

    case: Case
    captures: dict[str, Path]       # "sender", "middle", "receiver"
    log: Path                       # the line's frame log
    transfers: list[Transfer]
    late: float                     # seconds that the line let a frame wait beyond its time, at most

    @property
    def sent(self) -> int:
        """Bytes of the first connection."""
        return self.transfers[0].sent


def _info(sock: socket.socket) -> dict[str, float]:
    raw = sock.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 256)
    busy, window, buffer = _BUSY.unpack_from(raw, _BUSY_AT)
    return {"busy": busy / 1e6, "window": window / 1e6, "buffer": buffer / 1e6,
            "retransmits": struct.unpack_from("<I", raw, _RETRANS_AT)[0],
            "dsacks": struct.unpack_from("<I", raw, _DSACKS_AT)[0],
            "out_of_order": struct.unpack_from("<I", raw, _OUT_OF_ORDER_AT)[0],
            "in": struct.unpack_from("<I", raw, _SEGMENTS_IN_AT)[0],
            "out": struct.unpack_from("<I", raw, _SEGMENTS_OUT_AT)[0]}


def _unsent(sock: socket.socket) -> int:
    """Bytes that the sender's kernel has not got acknowledged (SIOCOUTQ)."""
    import fcntl
    import termios
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0]


def _received(conn: socket.socket) -> bytes:
    try:
        return conn.recv(1 << 18)
    except ConnectionResetError:
        return b""


def _serve(listener: socket.socket, case: Case, tell: Connection) -> None:
    """Take the connections; of each, tell how many segments with data came to it, and how many of them out of order."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)   # a benchmark's own handlers are not this process's
    for _ in range(1 + len(case.amounts)):
        tell.send(_take(listener.accept()[0], case))


def _take(conn: socket.socket, case: Case) -> tuple[int, int]:
    conn.settimeout(60)
    pending, next_pause = 0, time.monotonic() + case.read_every
    with conn:
        conn.setsockopt(socket.IPPROTO_TCP, TCP_NODELAY, 1)
        while chunk := _received(conn):
            if case.clamp:  # it is not inherited, and the kernel forgets it when it tunes itself
                conn.setsockopt(socket.IPPROTO_TCP, TCP_WINDOW_CLAMP, case.clamp)
            pending += len(chunk)
            while case.answer and pending >= case.answer:
                pending -= case.answer
                conn.sendall(b"a")
            if case.read_every and time.monotonic() >= next_pause:
                time.sleep(case.read_pause)
                next_pause = time.monotonic() + case.read_every
        info = _info(conn)
        return int(info["in"]), int(info["out_of_order"])


class _Watch:
    """Asks the sending kernel again and again what holds it, and the program whether it has anything to write.

    tcpi_sndbuf_limited does not tell of the buffer: it begins only where the very last of the data leaves while the
    program is refused space, and ends with the next ACK. So the same is asked of its state: whatever is not sent yet (a
    piece that Nagle's algorithm or segmentation waits for more of), congestion window and receive window would allow it,
    and more, but the socket takes no more, or took none within the last round trip: what may be sent in this one is then
    what that full buffer's ACKs have made room for. (Of a shorter one, within 5 ms: the program is woken late on a busy
    machine.)

    It is a process of its own: a thread would keep the program from writing while it looks.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.shared = memoryview(mmap.mmap(-1, 24)).cast("q")    # idle, turn, over
        self.samples: list[_Sample] = []
        self.told, tell = _FORK.Pipe(False)
        self.process = _FORK.Process(target=self._run, args=(sock, tell, os.getpid()), daemon=True)
        self.process.start()
        tell.close()

    def _run(self, sock: socket.socket, tell: Connection, parent: int) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        full = select.poll()
        full.register(sock, select.POLLOUT)
        while not self.shared[2] and os.getppid() == parent:
            raw = sock.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 256)
            fields = (struct.unpack_from("<I", raw, at)[0] for at in _STATE_AT.values())
            self.samples.append(_Sample(time.monotonic(), *fields, not full.poll(0), bool(self.shared[0]), self.shared[1]))
            time.sleep(_SAMPLE_S)
        tell.send(self.samples)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """The body is a write."""
        self.shared[1] += 1
        yield
        self.shared[1] += 1

    @contextlib.contextmanager
    def idle(self) -> Iterator[None]:
        """Within the body, the program has nothing to write."""
        self.shared[0] = 1
        yield
        self.shared[0] = 0

    def __enter__(self) -> "_Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self.shared[2] = 1
        try:
            self.samples = self.told.recv()
        except EOFError:
            raise LabError("who watches the sender has died") from None
        finally:
            self.process.join(10)

    def parts(self, write: int) -> dict[str, float]:
        """Parts of the time, as Transfer has them."""
        part = dict.fromkeys(("starved", "backlog", "closed", "slow"), 0.0)
        whole, full_at, full_in = 0.0, -1.0, -1
        for s, after in itertools.pairwise(self.samples):
            span, mss = after.at - s.at, s.mss or 1
            whole += span
            if s.full:
                full_at, full_in = s.at, s.turn
            if s.window < mss:
                part["closed"] += span
            elif s.idle and s.unsent > max(write, mss):     # less than a segment Nagle's algorithm holds back
                part["backlog"] += span
            elif s.unacked + s.unsent / mss < s.cwnd and (not s.unsent or (s.unacked + 1) * mss <= s.window):
                late = s.turn % 2 == 1 and s.turn == full_in
                refused = late or s.at - full_at <= max(_WOKEN_S, s.rtt / 1e6)
                part["starved" if refused else "slow"] += 0 if s.idle else span
        return {name: value / (whole or 1) for name, value in part.items()}


def _write(sock: socket.socket, case: Case, watch: _Watch) -> tuple[int, float]:
    """Send as the case says. Returns bytes, and seconds with nothing to write."""
    data, sent, waited = bytes(case.write), 0, 0.0
    begin = time.monotonic()
    while time.monotonic() - begin < case.seconds and (not case.amount or sent < case.amount):
        at = time.monotonic()
        if case.answer:
            for part in range(0, case.answer, case.write):
                with watch.writing():
                    sock.sendall(data[:min(case.write, case.answer - part)])
                sent += min(case.write, case.answer - part)
            sock.recv(1)
        else:
            with watch.writing():
                sock.sendall(data)
            sent += len(data)
        if case.every and (left := at + case.every - time.monotonic()) > 0:
            asleep = time.monotonic()
            with watch.idle():
                time.sleep(left)
            waited += time.monotonic() - asleep
    return sent, waited


def _listen(lab: Lab, case: Case) -> socket.socket:
    server = lab.site("B")
    with server.netns():
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # A buffer of a given size is not tuned by the kernel, which would raise the clamp as well.
    if case.receive_buffer or case.clamp:
        listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, case.receive_buffer or CLAMPED_BUFFER)
    if case.clamp:
        listener.setsockopt(socket.IPPROTO_TCP, TCP_WINDOW_CLAMP, case.clamp)
    listener.bind((server.ip, PORT))
    listener.listen(1)
    listener.settimeout(30)
    return listener


def _connect(lab: Lab, case: Case) -> socket.socket:
    client = lab.site("A")
    with client.netns():
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(60)
    sock.setsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, case.congestion.encode())
    if case.send_buffer:
        sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, case.send_buffer // 2)
    if case.nodelay:
        sock.setsockopt(socket.IPPROTO_TCP, TCP_NODELAY, 1)
    sock.connect((lab.site("B").ip, PORT))
    return sock


def _captures(lab: Lab) -> dict[str, Capture]:
    expression = f"tcp port {PORT} or icmp"
    return {"sender": Capture(lab.site("A"), "wan", expression, snaplen=SNAPLEN),
            "middle": Capture(lab.node("line"), "ab", expression, snaplen=SNAPLEN),
            "receiver": Capture(lab.site("B"), "wan", expression, snaplen=SNAPLEN)}


def _transfer(lab: Lab, case: Case) -> Transfer:
    """One connection, until all of it is acknowledged or patience is at its end."""
    with _connect(lab, case) as sock:
        begin = time.monotonic()
        with _Watch(sock) as watch:
            sent, waited = _write(sock, case, watch)
            end = time.monotonic() + case.patience
            while _unsent(sock) and time.monotonic() < end:
                time.sleep(0.001)
        elapsed = time.monotonic() - begin
        info = _info(sock)
        if _unsent(sock):   # it will never come: do not wait for it at the end either
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return Transfer(port=sock.getsockname()[1], sent=sent, elapsed=elapsed, busy=info["busy"],
                        window_limited=info["window"], buffer_limited=info["buffer"],
                        retransmits=int(info["retransmits"]), dsacks=int(info["dsacks"]), waited=waited,
                        segments_out=int(info["out"]), segments_in=0, out_of_order=0, **watch.parts(case.write))


@contextlib.contextmanager
def _path_mtu(lab: Lab, mtu: int) -> Iterator[None]:
    """Within the body, the line drops what is longer, and nobody says so."""
    if not mtu:
        yield
        return
    # Super-segments are not held against an interface's MTU: the sender cuts them itself.
    line, sender = lab.node("line"), lab.site("A")
    line.run(["ip", "link", "set", "ba", "mtu", str(mtu)])
    sender.run(["ethtool", "-K", "wan", "tso", "off", "gso", "off"])
    try:
        yield
    finally:
        line.run(["ip", "link", "set", "ba", "mtu", "1500"])
        sender.run(["ethtool", "-K", "wan", "tso", "on", "gso", "on"])


def _transfers(lab: Lab, case: Case) -> list[Transfer]:
    """All of them, one after the other. Who receives is a process of its own, so that it does not slow down who sends."""
    told, tell = _FORK.Pipe(False)
    with _listen(lab, case) as listener:
        server = _FORK.Process(target=_serve, args=(listener, case, tell), daemon=True)
        server.start()
        tell.close()
        try:
            done = []
            for amount in (case.amount, *case.amounts):
                done.append(_transfer(lab, dataclasses.replace(case, amount=amount)))
                if not told.poll(30):
                    raise LabError("who receives has not come to an end")
                done[-1].segments_in, done[-1].out_of_order = told.recv()
        except EOFError:
            raise LabError("who receives has died") from None
        finally:
            server.join(1)  # having told of the last connection, it ends by itself
            server.terminate()
            server.join(10)
    return done


def perform(lab: Lab, case: Case, directory: Path | None = None) -> Run:
    """Carry out a case in a laboratory with a line; its captures are in the laboratory's directory, or in this one."""
    where = directory or Path(tempfile.mkdtemp(dir=lab.tmp))
    log = where / f"{case.name}-{case.seed}.frames"
    with _path_mtu(lab, case.mtu):
        line = lab.shape("--seed", str(case.seed), "--log", str(log), *case.line)
        # The first packet also waits for ARP: not what is looked at here.
        lab.site("A").run(["ping", "-n", "-q", "-c", "1", "-W", "10", lab.site("B").ip], timeout=15, check=False)
        captures = _captures(lab)
        try:
            transfers = _transfers(lab, case)
            late = max(way["late_us"]["max"] for way in line.show()["directions"]) / 1e6
        finally:
            for capture in captures.values():
                capture.stop()
            line.stop()
    paths = {}
    for place, capture in captures.items():
        paths[place] = where / f"{case.name}-{case.seed}-{place}.pcap"
        capture.path.rename(paths[place])
    return Run(case, paths, log, transfers, late)
