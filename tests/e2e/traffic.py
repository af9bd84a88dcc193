# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic for end-to-end tests: exact frames, and streams whose every byte is compared."""
from __future__ import annotations

import hashlib
import random
import socket
import threading
import time

from longhaul_lab import Host, Node


def stream(nbytes: int, seed: int) -> bytes:
    """Reproducible bytes in which no stretch repeats another."""
    return random.Random(seed).randbytes(nbytes)


def counting(start: int, nbytes: int, modulus: int = 256) -> bytes:
    """Bytes that count up from start."""
    start %= modulus
    return (bytes(range(modulus)) * ((start + nbytes) // modulus + 1))[start:start + nbytes]


def transfer(client: Host, server: Host, nbytes: int, ipv6: bool = False, port: int = 7000,
             seed: int = 1, timeout: float = 60.0) -> None:
    """Send nbytes over one TCP connection and assert that the server got those very bytes."""
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    address = server.ip6 if ipv6 else server.ip
    data = stream(nbytes, seed)
    got = hashlib.sha256()
    count = [0]
    with server.netns():
        listener = socket.create_server((address, port), family=family)
    listener.settimeout(timeout)

    def serve() -> None:
        conn, _ = listener.accept()
        conn.settimeout(timeout)
        with conn:
            while chunk := conn.recv(1 << 16):
                got.update(chunk)
                count[0] += len(chunk)
            conn.sendall(b"done")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with client.netns():
        sock = socket.socket(family, socket.SOCK_STREAM)
    with sock, listener:
        sock.settimeout(timeout)
        sock.connect((address, port))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(16) == b"done"
        thread.join(timeout)
    assert count[0] == nbytes
    assert got.digest() == hashlib.sha256(data).digest()


def mac(text: str) -> bytes:
    """Six bytes of aa:bb:cc:dd:ee:ff."""
    return bytes.fromhex(text.replace(":", ""))


def ethernet(dst: str, src: str, ethertype: int, payload: bytes, vid: int | None = None) -> bytes:
    """An Ethernet frame, tagged where vid is given, not padded."""
    tag = b"" if vid is None else b"\x81\x00" + vid.to_bytes(2, "big")
    return mac(dst) + mac(src) + tag + ethertype.to_bytes(2, "big") + payload


def rarp(source: str) -> bytes:
    """What a hypervisor sends when a virtual machine has moved: a reverse ARP request, padded to 60."""
    body = bytes.fromhex("0001080006040003") + mac(source) + bytes(4) + mac(source) + bytes(4)
    return ethernet("ff:ff:ff:ff:ff:ff", source, 0x8035, body).ljust(60, b"\0")


def receive(sock: socket.socket, wanted: bytes, timeout: float = 5.0) -> int:
    """Wait for a frame that is exactly `wanted`; returns how many others came before."""
    others: list[str] = []
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            frame = sock.recv(70000)
        except TimeoutError:
            break
        if frame == wanted:
            return len(others)
        others.append(frame.hex())
    raise AssertionError(f"no frame {wanted.hex()}; there came: {others}")


def nothing_of(sock: socket.socket, part: bytes, seconds: float = 0.5) -> None:
    """Assert that no frame that holds `part` comes within the time."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            frame = sock.recv(70000)
        except TimeoutError:
            return
        assert part not in frame, f"unexpected frame {frame.hex()}"


def drops(status: dict) -> dict[str, int]:
    """The reasons for which anything was dropped."""
    return {name: count for name, count in status["drops"].items() if count}


def raw245(node: Node) -> socket.socket:
    """A raw socket of protocol 245, as the original program used it."""
    with node.netns():
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, 245)
    sock.settimeout(5)
    return sock
