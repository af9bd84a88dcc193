# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP transfers to a host with the window of 2008, each byte of them hashed on both sides."""
from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import socket
import struct
import threading
import time
from typing import Callable, Iterator, NamedTuple

from longhaul_lab import Host, LabError
from longhaul_netns import TCP_WINDOW_CLAMP

WINDOW = 33304                  # the most a vmkernel of 2008 ever advertised: 23 segments of 1448 bytes
CHUNK = 1 << 18
CONNECT_S = 10.0


class Sent(NamedTuple):
    """What the sender's kernel knows at the end of a transfer (struct tcp_info of linux/tcp.h)."""

    sent_bytes: int             # retransmissions included
    retransmitted_bytes: int
    busy_s: float
    window_limited_s: float     # of busy_s, waiting for the receiver's window
    buffer_limited_s: float     # of busy_s, waiting for room in its own send buffer

    @classmethod
    def of(cls, sock: socket.socket) -> "Sent":
        """Ask the kernel."""
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        busy, window, buffer = struct.unpack_from("=3Q", info, 168)     # microseconds
        sent, again = struct.unpack_from("=2Q", info, 200)
        return cls(sent, again, busy / 1e6, window / 1e6, buffer / 1e6)


class Transfer:
    """Bytes from one host to another, whose receiver advertises no more than WINDOW.

    The kernel of the receiver may advertise some segments more in its first few ACKs, until it has seen how much
    room segments take. Neither host scales; with scaling, both offer the scale 0, so that there is an option
    which may be rewritten.

    nbytes          how much is sent; None: without end
    send_buffer     of the sender, as SO_SNDBUF takes it; None: as the kernel sizes it
    receive_buffer  of the receiver, as SO_RCVBUF takes it; just what the window needs, unless given
    """

    def __init__(self, sender: Host, receiver: Host, nbytes: int | None = None, scaling: bool = False,
                 send_buffer: int | None = None, receive_buffer: int = WINDOW, port: int = 5002) -> None:
        self.received = 0                   # bytes
        self.seconds: float | None = None   # from before connect() until the receiver had all and the end
        self.sent: Sent | None = None       # at the end
        self.error: OSError | None = None   # what ended it early
        self._nbytes, self._closed = nbytes, False
        self._sums = hashlib.sha256(), hashlib.sha256()
        self._address = receiver.ip, port
        for host in (sender, receiver):
            host.sysctl({"net.ipv4.tcp_window_scaling": int(scaling)})
        with receiver.netns():
            self._listener = socket.socket()
        with sender.netns():
            self._out = socket.socket()
        self._in: socket.socket | None = None
        for sock in (self._listener, self._out):
            # A buffer of fixed size, which the kernel doubles for what it needs itself. It would raise the clamp of
            # one that it sizes, and offer a scale that suits its largest.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.setsockopt(socket.IPPROTO_TCP, TCP_WINDOW_CLAMP, WINDOW)
            sock.settimeout(CONNECT_S)
        if send_buffer:
            self._out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self._listener.bind(self._address)
        self._listener.listen(1)
        self._begun = 0.0
        self._threads = [threading.Thread(target=self._guarded, args=(work,), daemon=True)
                         for work in (self._send, self._receive)]

    def start(self) -> "Transfer":
        """Connect and begin."""
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            if not self._closed:
                self.error = error

    def _blocks(self) -> Iterator[bytes]:
        if self._nbytes is None:
            yield from itertools.repeat(bytes(CHUNK))
            return
        for at in range(0, self._nbytes, CHUNK):
            yield os.urandom(min(CHUNK, self._nbytes - at))

    def _send(self) -> None:
        self._out.connect(self._address)
        self._out.settimeout(None)
        for block in self._blocks():
            self._sums[0].update(block)
            self._out.sendall(block)
        self._out.shutdown(socket.SHUT_WR)

    def _receive(self) -> None:
        self._in = self._listener.accept()[0]
        buffer = memoryview(bytearray(CHUNK))
        while got := self._in.recv_into(buffer):
            # Kernels that work out the limit anew from the sizes of segments forget it.
            self._in.setsockopt(socket.IPPROTO_TCP, TCP_WINDOW_CLAMP, WINDOW)
            self._sums[1].update(buffer[:got])
            self.received += got
        self.seconds = time.monotonic() - self._begun

    def finished(self) -> bool:
        """Whether the receiver has had the end; LabError if it will not come."""
        if self.error:
            raise LabError(f"the transfer broke off after {self.received} bytes: {self.error}")
        if any(thread.is_alive() for thread in self._threads):
            return False
        self.sent = self.sent or Sent.of(self._out)
        return True

    @property
    def digests(self) -> tuple[str, str]:
        """SHA-256 of what was sent, and of what arrived."""
        return self._sums[0].hexdigest(), self._sums[1].hexdigest()

    def average(self) -> float:
        """Bytes a second since the beginning, up to the end if there was one."""
        return self.received / (self.seconds or time.monotonic() - self._begun)

    def rate(self, seconds: float) -> float:
        """Bytes a second that arrive now, measured for some seconds."""
        before, begun = self.received, time.monotonic()
        time.sleep(seconds)
        return (self.received - before) / (time.monotonic() - begun)

    def close(self) -> None:
        """End it at once."""
        self._closed = True
        ends = [end for end in (self._listener, self._out, self._in) if end]
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            if thread.ident:
                thread.join()
        for end in {self._listener, self._out, self._in} - {None}:
            end.close()

    def __enter__(self) -> "Transfer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
