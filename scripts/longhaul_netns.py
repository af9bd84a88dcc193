# SPDX-License-Identifier: GPL-3.0-or-later
"""Anonymous network namespaces, and processes that cannot outlive them.

Theory of operation
-------------------
A namespace is held by nothing but an open file descriptor of the process that made it
(``/proc/PID/fd/N`` names it for nsenter and ip). There is no holder process and no mount below
/run/netns, so when the process ends, however it ends, its namespaces go with it.

What runs *inside* a namespace keeps it alive, though. Three things see to that:

- ``Process.stop()`` ends each process we started, in order, by its process group;
- the parent-death signal kills the direct children when we are killed. It is bound to the
  *thread* that started the child, and lost when the child changes its user;
- the **reaper**, one small process a laboratory, waits for the end of its standard input, which
  comes when the laboratory closes or its process dies. It then kills whatever still runs in the
  namespaces it was told of (found by namespace, never by name) and removes the files it was told of.

A namespace's inode number is only its own while somebody holds it open.
"""
from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence, Union

CLONE_NEWNET = 0x40000000
# Python has no names for them.
SO_RCVBUFFORCE = 33
TCP_WINDOW_CLAMP = 10
PACKET_BUFFER = 64 << 20        # bytes; who reads late on a busy machine still gets every frame
POLL_SHARE, POLL_MAX_S = 0.05, 0.5      # wait_for() is late by at most this share of the time, and this
PYTHON = "/usr/bin/python3"
Command = Union[str, Sequence["str | os.PathLike[str]"]]

_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """Something in the laboratory failed; the message says what, where and what it printed."""


class OptionError(LabError, ValueError):
    """What was asked for makes no sense."""


class WaitTimeout(LabError, AssertionError):
    """What was waited for did not happen in time."""


def wait_for(predicate: Callable[[], Any], timeout: float = 10.0, what: str = "a condition",
             interval: float = 0.02) -> Any:
    """Poll predicate until it returns something true, and return that.

    A LabError or OSError raised by predicate counts as "not yet". After timeout seconds a
    WaitTimeout says what was waited for and what the predicate returned or raised last. What takes
    long is looked at less often than each interval (seconds): many a look starts a process.
    """
    began = time.monotonic()
    deadline = began + timeout
    while True:
        try:
            last: Any = predicate()
            if last:
                return last
        except (LabError, OSError) as error:
            last = error
        now = time.monotonic()
        if now >= deadline:
            raise WaitTimeout(f"waited {timeout:g} s for {what}; last: {last!r}")
        time.sleep(max(interval, min((now - began) * POLL_SHARE, POLL_MAX_S, deadline - now)))


def split(cmd: Command) -> list[str]:
    """A command as a list of words; a string is split as a shell would, but no shell runs it."""
    return shlex.split(cmd) if isinstance(cmd, str) else [os.fspath(word) for word in cmd]


def tail(text: str, lines: int = 25) -> str:
    """The last lines of text, for messages."""
    kept = text.rstrip().splitlines()
    return "\n".join((["[…]"] if len(kept) > lines else []) + kept[-lines:])


# ------------------------------------------------------------------ namespaces

def _setns(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")


class Namespace:
    """One network namespace, alive as long as this object is open or something runs in it."""

    def __init__(self) -> None:
        self.fd = -1
        failure: list[int] = []

        def create() -> None:  # in a thread of its own: nothing has to find its way back
            if _libc.unshare(CLONE_NEWNET) != 0:
                failure.append(ctypes.get_errno())
            else:
                self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

        thread = threading.Thread(target=create)
        thread.start()
        thread.join()
        if self.fd < 0:
            reason = os.strerror(failure[0]) if failure else "no file descriptor"
            raise LabError(f"cannot make a network namespace: {reason} (root is needed)")
        self.inode = os.fstat(self.fd).st_ino

    @property
    def path(self) -> str:
        """A name for nsenter --net= and ip … netns, valid while this process lives."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Run the body, in this thread, inside the namespace. Sockets made there stay there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(self.fd)
            yield
        finally:
            _setns(home)
            os.close(home)

    def close(self) -> None:
        """Let go of the namespace; the kernel takes it down when nothing runs in it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def residents(inodes: set[int]) -> list[int]:
    """Processes that run in one of the network namespaces, given by inode number."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{entry}/ns/net").st_ino in inodes:
                    found.append(int(entry))
    return found


# ------------------------------------------------------------------ reaper

class Reaper:
    """The process that tidies up after us, whatever happens to us. See the top of the file."""

    def __init__(self) -> None:
        self._proc = subprocess.Popen(
            [PYTHON, "-I", "-S", "-B", __file__, "reap", str(os.getpid())], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, start_new_session=True, text=True)
        self.pid = self._proc.pid

    def _tell(self, line: str) -> None:
        assert self._proc.stdin is not None
        self._proc.stdin.write(line + "\n")
        self._proc.stdin.flush()

    def add_namespace(self, namespace: Namespace) -> None:
        """Kill at the end what runs in the namespace."""
        self._tell(f"ns {namespace.path}")

    def add_path(self, path: os.PathLike | str) -> None:
        """Remove the file or directory at the end."""
        self._tell(f"rm {os.fspath(path)}")

    def close(self) -> None:
        """Have it done now, and wait for it."""
        if self._proc.stdin and not self._proc.stdin.closed:
            self._proc.stdin.close()
        self._proc.wait()


def _kill_residents(inodes: set[int], spared: set[int]) -> None:
    """Kill until nothing is left in the namespaces: a dying process may still have forked."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        pids = [pid for pid in residents(inodes) if pid not in spared]
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(OSError):
                pidfd = os.pidfd_open(pid)
                try:
                    # The number may have been given to another process since the look.
                    if os.stat(f"/proc/{pid}/ns/net").st_ino in inodes:
                        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                finally:
                    os.close(pidfd)
        time.sleep(0.01)


def _reap(owner: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    inodes: set[int] = set()
    paths = []
    for line in sys.stdin:
        kind, _, value = line.rstrip("\n").partition(" ")
        if kind == "ns":
            # Held open until we end, lest the number be given to a stranger's namespace.
            with contextlib.suppress(OSError):
                inodes.add(os.fstat(os.open(value, os.O_RDONLY | os.O_CLOEXEC)).st_ino)
        elif kind == "rm":
            paths.append(value)
    _kill_residents(inodes, {owner, os.getpid()})
    for path in reversed(paths):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(path)


# ------------------------------------------------------------------ processes

def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


class Process:
    """A process in a namespace, with its output (both streams) in a log file."""

    def __init__(self, argv: list[str], name: str, log: Path, prefix: Sequence[str],
                 stdin: int | None = subprocess.DEVNULL, env: dict[str, str] | None = None,
                 **popen: Any) -> None:
        self.argv, self.name, self.log = argv, name, log
        with log.open("ab") as out:
            popen.setdefault("stdout", out)
            popen.setdefault("stderr", out)
            self.proc = subprocess.Popen(
                [*prefix, *argv], stdin=stdin, start_new_session=True,
                env={**os.environ, **env} if env else None, **popen)
        self.pid = self.proc.pid

    def __repr__(self) -> str:
        return f"<{self.name} pid {self.pid} returncode {self.proc.poll()}>"

    @property
    def returncode(self) -> int | None:
        """The exit status (negative: killed by that signal), or None while it runs."""
        return self.proc.poll()

    def running(self) -> bool:
        """True while the process has not ended."""
        return self.proc.poll() is None

    def text(self) -> str:
        """What the process has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def expect(self, pattern: str, timeout: float = 10.0) -> re.Match[str]:
        """Wait until the output matches the regular expression; fails at once if the process ends."""
        def look() -> re.Match[str] | None:
            ended = not self.running()
            match = re.search(pattern, self.text(), re.MULTILINE)
            if ended and not match:
                raise AssertionError(f"{self.describe()} ended before it wrote {pattern!r}")
            return match
        return wait_for(look, timeout, f"{self.name} to write {pattern!r}")

    def describe(self) -> str:
        """The command, its state and the end of its log, for messages."""
        state = "running" if self.running() else f"exit status {self.proc.returncode}"
        return f"{self.name} ({shlex.join(self.argv)}; {state}):\n{tail(self.text()) or '[no output]'}"

    def send(self, number: int) -> None:
        """Send a signal to the process itself."""
        self.proc.send_signal(number)

    def wait(self, timeout: float = 10.0) -> int:
        """Wait for the end and return the exit status."""
        try:
            return self.proc.wait(timeout)
        except subprocess.TimeoutExpired:
            raise WaitTimeout(f"waited {timeout:g} s for the end of {self.describe()}") from None

    def stop(self, timeout: float = 5.0, number: int = signal.SIGTERM) -> int:
        """Ask the process to end, kill it if it does not within timeout; returns the exit status.

        What it left of its process group is killed as well.
        """
        if self.proc.returncode is None:
            pidfd = os.pidfd_open(self.pid)
            try:
                os.kill(self.pid, number)
                select.select([pidfd], [], [], timeout)
            finally:
                os.close(pidfd)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL to the whole process group; returns the exit status."""
        # Until its leader is waited for, the group's number cannot belong to a stranger. What an
        # earlier wait() left of the group is the reaper's.
        if self.proc.returncode is None:
            _kill_group(self.pid)
        return self.proc.wait()


class Node:
    """A namespace with a name: the place where commands, sockets and processes of a test live."""

    def __init__(self, name: str, tmp: Path, processes: list[Process],
                 echo: Callable[[str], None]) -> None:
        """tmp receives the logs; processes, shared by all nodes, the order in which to end them."""
        self.name, self.tmp, self.processes, self._echo = name, tmp, processes, echo
        self.namespace = Namespace()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def path(self) -> str:
        """The namespace's path, for nsenter --net=."""
        return self.namespace.path

    def netns(self) -> contextlib.AbstractContextManager[None]:
        """``with node.netns(): socket.socket(…)`` makes the socket in this namespace."""
        return self.namespace.entered()

    def _prefix(self) -> list[str]:
        return ["setpriv", "--pdeathsig", "KILL", "--", "nsenter", f"--net={self.path}", "--"]

    def run(self, cmd: Command, check: bool = True, timeout: float = 30.0, input: str | None = None,
            **popen: Any) -> subprocess.CompletedProcess[str]:
        """Run a command here to its end. A string is split into words; use sh() for a pipeline.

        With check, an exit status other than 0 raises LabError with all it printed; so does
        the timeout (seconds), after which the command's process group is killed.
        """
        argv = split(cmd)
        self._echo(f"{self.name}# {shlex.join(argv)}")
        if input:
            self._echo(input.rstrip())
        proc = subprocess.Popen([*self._prefix(), *argv], text=True, start_new_session=True,
                                stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, errors="replace", **popen)
        timed_out = False
        try:
            out, err = proc.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            _kill_group(proc.pid)
            out, err = proc.communicate()
            timed_out = True
        except BaseException:
            # Not communicate() again: what a signal's exception left half done there fails differently.
            _kill_group(proc.pid)
            for pipe in (proc.stdin, proc.stdout, proc.stderr):
                with contextlib.suppress(OSError):
                    if pipe:
                        pipe.close()
            proc.wait()
            raise
        if timed_out or (check and proc.returncode != 0):
            why = f"did not end within {timeout:g} s" if timed_out else f"exit status {proc.returncode}"
            raise LabError(f"{self.name}: {shlex.join(argv)}: {why}\n{tail(out)}\n{tail(err)}".rstrip())
        return subprocess.CompletedProcess(argv, proc.returncode, out, err)

    def sh(self, script: str, **run: Any) -> subprocess.CompletedProcess[str]:
        """Run a shell script here; otherwise as run()."""
        return self.run(["bash", "-c", script], **run)

    def python(self, code: str, *args: str, **run: Any) -> subprocess.CompletedProcess[str]:
        """Run Python code here in a process of its own, with args in sys.argv[1:]."""
        return self.run([PYTHON, "-c", code, *args], **run)

    def popen(self, cmd: Command, name: str | None = None, kind: type[Process] = Process,
              **popen: Any) -> Process:
        """Start a command here that the laboratory ends when it closes, last started first."""
        argv = split(cmd)
        self._echo(f"{self.name}# {shlex.join(argv)} &")
        name = name or f"{self.name} {os.path.basename(argv[0])}"
        log = f"{len(self.processes):02d}-{re.sub(r'[^A-Za-z0-9.-]+', '-', name)}.log"
        process = kind(argv, name, self.tmp / log, self._prefix(), **popen)
        self.processes.append(process)
        return process

    def ip_batch(self, batch: str) -> None:
        """Run lines of ip(8) commands here, one ip process for all."""
        self.run(["ip", "-batch", "-"], input=batch)

    def sysctl(self, values: dict[str, object]) -> None:
        """Write sysctls below net. here, e.g. sysctl({"net.ipv4.tcp_sack": 0})."""
        words = [f"{key}={value}" for key, value in values.items()]
        self._echo(f"{self.name}# {shlex.join(['sysctl', '-qw', *words])}")
        with self.netns():
            for key, value in values.items():
                Path("/proc/sys", key.replace(".", "/")).write_text(f"{value}\n")

    def bridge(self, *ports: str, name: str = "br0", mtu: int | None = None) -> None:
        """Join interfaces by a kernel bridge that only switches: no address, spanning tree, snooping or packet filter.

        Where br_netfilter is loaded every frame would else go through iptables' hooks, which cost more than the bridge.
        """
        with self.netns():
            filters = sorted(Path("/proc/sys/net/bridge").glob("bridge-nf-call-*tables"))
        self.sysctl({"net.ipv6.conf.default.disable_ipv6": 1, **{f"net.bridge.{path.name}": 0 for path in filters}})
        size = f"mtu {mtu} " if mtu else ""
        self.ip_batch(f"link add name {name} {size}type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n"
                      + "".join(f"link set {port} master {name} up\n" for port in ports) + f"link set {name} up\n")

    @contextlib.contextmanager
    def bridged(self, *ports: str, name: str = "br0") -> Iterator[None]:
        """Within the body, a bridge joins interfaces."""
        self.bridge(*ports, name=name)
        try:
            yield
        finally:
            self.ip_batch(f"link del {name}\n")

    def packet_socket(self, ifname: str, timeout: float = 5.0, protocol: int = 0x0003) -> socket.socket:
        """An AF_PACKET socket bound to one interface: send() whole frames, recv() whole frames.

        protocol is the Ethernet type to receive (0x0003: all). Tags are stripped by the kernel.
        """
        with self.netns():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, PACKET_BUFFER)
            sock.bind((ifname, protocol))
        sock.settimeout(timeout)
        return sock

    def listening(self, port: int, protocol: str = "tcp") -> bool:
        """True if a socket listens (tcp) or is bound (udp) on the port here, either family."""
        state = "0A" if protocol == "tcp" else "07"
        with self.netns():
            for table in (protocol, protocol + "6"):
                for line in Path("/proc/thread-self/net", table).read_text().splitlines()[1:]:
                    fields = line.split()
                    if fields[3] == state and int(fields[1].rpartition(":")[2], 16) == port:
                        return True
        return False

    def counter(self, ifname: str, name: str) -> int:
        """One of an interface's counters, by its name in `ip -s -j link`: e.g. "tx_bytes"."""
        way, _, what = name.partition("_")
        return int(self.link(ifname, "-s")["stats64"][way][what])

    def stack_counters(self, protocol: str) -> dict[str, int]:
        """The counters that the IPv4 stack here keeps of a protocol, by their names in /proc/net/snmp: e.g. "Udp"."""
        with self.netns():
            text = Path("/proc/thread-self/net/snmp").read_text()
        names, values = (line.split()[1:] for line in text.splitlines() if line.startswith(f"{protocol}:"))
        return dict(zip(names, map(int, values)))

    def link(self, ifname: str, *options: str) -> dict[str, Any]:
        """What `ip -j -d link show` says of an interface."""
        return json.loads(self.run(["ip", "-j", "-d", *options, "link", "show", "dev", ifname]).stdout)[0]


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "reap":
        _reap(int(sys.argv[2]))
