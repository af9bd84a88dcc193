# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory: sites, hosts and the wide area between them, in network namespaces.

    hA ── border|siteA|wan ── wan|siteB|border ── hB

Used by the end-to-end tests, by ``scripts/lab`` and ``scripts/demo``, and by the experiments.

    with Lab() as lab:
        lab.tunnel("A", "--outer", "capsulator")
        lab.tunnel("B", "--outer", "capsulator")
        lab.host("hA").ping(lab.host("hB").ip)

=============  =======================  ========================  =====================  ==================
node           what                     interfaces                IPv4                   IPv6
=============  =======================  ========================  =====================  ==================
hA, hB …       a host of the site       eth0                      10.77.0.1, .2 …        fd77::1, ::2 …
hA2, hA3 …     its further hosts        eth0                      10.77.0.11, .21 …      fd77::11, ::21 …
siteA …        where the tunnel runs    border (or border1 …),    none on border;        2001:db8:77::1 …
                                        wan                       wan 192.0.2.1 …
lanA, lanA2 …  bridge of a port with    br0, up, h1, h2 …
               more than one host
wan            bridge between more      br0, wanA, wanB …
               than two sites
line           where a delay line       ab (to siteA),
               stands (line=True)       ba (to siteB)
=============  =======================  ========================  =====================  ==================

Host number h of a site goes to port (h − 1) mod ports. The hosts of port p live in
10.77.(p−1).0/24 and fd77:0:0:(p−1)::/64. MAC addresses are 02:00:00:KK:SS:NN with KK 00 host,
01 border, 02 wan, 0f and more for bridges and the line; SS 0a for site A, 0b for B …; NN counting
from 1.

The kernel sends nothing by itself in a new laboratory: no duplicate address detection, no router
solicitation, and the multicast reports of new addresses are over before it is handed out.

Make the laboratory in the main thread, or in one that lives as long (see longhaul_netns).
"""
from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import string
import subprocess
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Sequence

from longhaul_capture import Capture
from longhaul_netns import (Command, LabError, Node, OptionError, Process, Reaper, WaitTimeout, residents,
                            tail, wait_for)

__all__ = ["Capture", "Command", "Host", "Lab", "LabError", "Line", "Node", "OptionError", "Process", "Site",
           "Tunnel", "WaitTimeout", "describe", "iperf3", "leftovers", "longhaul", "tail", "wait_for"]

ROOT = Path(__file__).resolve().parent.parent
MAX_SITES = 8
IPV6_MIN_MTU = 1280     # RFC 8200, section 5
# Everything a NIC may do to packets for the host; off, the host sends and receives what a wire carries.
OFFLOADS = ("tso", "gso", "gro", "tx-udp-segmentation", "sg", "tx", "rx")
# The kernel repeats its multicast reports after a random time up to this many milliseconds.
MLD_REPEAT_MS = 10
QUIET = {"accept_dad": 0, "dad_transmits": 0, "router_solicitations": 0, "accept_ra": 0, "autoconf": 0,
         "mldv1_unsolicited_report_interval": MLD_REPEAT_MS,
         "mldv2_unsolicited_report_interval": MLD_REPEAT_MS}

_open: list["Lab"] = []         # laboratories of this process that are not closed
_survivors: list[str] = []      # processes that were still there when theirs was closed


def longhaul() -> str:
    """The program under test: $LONGHAUL, else build/longhaul."""
    return os.environ.get("LONGHAUL") or str(ROOT / "build" / "longhaul")


def leftovers() -> list[str]:
    """What the laboratories of this process have left behind. Empty when all are closed, and well."""
    held = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
            if os.path.islink(f"/proc/self/fd/{fd}")]
    return [*_survivors, *(f"the laboratory in {lab.tmp} is not closed" for lab in _open),
            *(f"the namespace {link} is held" for link in held if link.startswith("net:["))]


def describe(pid: int) -> str:
    """A process by its number and command line."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return f"process {pid}: {words.strip()}"
    return f"process {pid}"


def _mac(kind: int, site: int, number: int) -> str:
    return f"02:00:00:{kind:02x}:{9 + site:02x}:{number:02x}"


@dataclass
class End:
    """One end of a wire, an interface to be made."""

    node: Node
    ifname: str
    mac: str
    ip: str | None = None       # with prefix length
    ip6: str | None = None
    bridge: bool = False        # a port of the node's br0


@dataclass
class Wire:
    """A veth pair to be made."""

    left: End
    right: End
    mtu: int

    @property
    def ends(self) -> tuple[End, End]:
        """Both ends."""
        return self.left, self.right


class Host(Node):
    """An end host: one interface, no knowledge of tunnels."""

    ifname = "eth0"
    ip: str         # addresses without prefix length
    ip6: str
    mac: str
    port: int       # number of the border port it is connected to, from 1
    vlan: int = 0   # the VLAN it is tagged with, 0 for none

    def ping(self, address: str, count: int = 1, size: int = 56, timeout: float = 5.0,
             *options: str) -> float:
        """Ping; returns the average round trip in milliseconds, raises LabError on any loss.

        size is of the payload, the frame is 42 bytes longer (IPv4). timeout is in seconds, for
        each reply. options go to ping(8), e.g. "-M", "do".
        """
        cmd = ["ping", "-n", "-q", "-i", "0.05", "-c", str(count), "-s", str(size), "-W", str(timeout),
               *options, address]
        out = self.run(cmd, timeout=count * 0.05 + timeout + 10, check=False)
        if out.returncode != 0 or f" {count} received" not in out.stdout or "duplicates" in out.stdout:
            raise LabError(f"{self.name}: ping {address}:\n{out.stdout}{out.stderr}")
        return float(out.stdout.rpartition(" = ")[2].split("/")[1])

    def congestion(self, algorithm: str, window: int | None = None) -> None:
        """Set the default TCP congestion control (the sysctl is refused in a namespace).

        window, in bytes, is the largest that the kernel may choose a scale for: 65535 has it offer scale 0. By the
        buffer's limit alone it would offer one for core.rmem_max. Both hold until the next call.
        """
        for family in ("-4", "-6"):
            routes = json.loads(self.run(["ip", "-j", family, "route", "show", "dev", self.ifname]).stdout)
            for route in routes:
                if route.get("protocol") == "kernel" and not route["dst"].startswith("fe80"):
                    # What names the route must be said again, or another one would be made.
                    same = [word for key, name in (("prefsrc", "src"), ("metric", "metric")) if key in route
                            for word in (name, str(route[key]))]
                    self.run(["ip", family, "route", "change", route["dst"], "dev", self.ifname, "proto",
                              "kernel", *same, "congctl", algorithm, *(["window", str(window)] if window else [])])

    def tcp_limits(self, rmem: Sequence[int] | None = None, wmem: Sequence[int] | None = None) -> None:
        """Limit TCP's buffers: (min, default, max) bytes each; half or more of rmem is the window."""
        for name, values in (("rmem", rmem), ("wmem", wmem)):
            if values:
                self.sysctl({f"net.ipv4.tcp_{name}": " ".join(str(value) for value in values)})


class Site(Node):
    """A site's tunnel machine: border ports towards its hosts, wan towards the other sites."""

    letter: str
    wan = "wan"
    borders: list[str]
    ip: str         # of wan
    ip6: str
    mac: str


def ask(node: Node, instance: str, cmd: str, timeout: float) -> dict[str, Any]:
    """An instance's reply on its control socket; LabError if there is none.

    Without a process: what polls would keep a processor busy with starting them.
    """
    reply = b""
    try:
        with node.netns():      # abstract names are the network namespace's
            sock = socket.socket(socket.AF_UNIX)
        with sock:
            sock.settimeout(timeout)
            sock.connect(f"\0longhaul/{instance}")
            sock.sendall(json.dumps({"version": 1, "cmd": cmd}).encode() + b"\n")
            while not reply.endswith(b"\n"):
                part = sock.recv(1 << 20)
                if not part:
                    raise ConnectionError("it hung up")
                reply += part
    except OSError as error:
        raise LabError(f"{node.name}: instance {instance!r} does not answer: {error}") from None
    document = json.loads(reply)
    if "error" in document:
        raise LabError(f"{node.name}: instance {instance!r}: {document['error']}")
    return document


class Tunnel(Process):
    """A running `longhaul tunnel`."""

    node: Site
    instance: str

    def status(self, timeout: float = 5.0) -> dict[str, Any]:
        """What `longhaul status --json` prints; LabError while it does not answer."""
        return ask(self.node, self.instance, "status", timeout)

    def peers_up(self, timeout: float = 30.0) -> "Tunnel":
        """Wait until every peer of a sealed tunnel is up."""
        wait_for(lambda: all(peer["state"] == "up" for peer in self.status()["peers"]), timeout,
                 f"every peer of {self.name} to be up")
        return self

    def ready(self, timeout: float = 10.0) -> "Tunnel":
        """Wait until the control socket answers; fails at once if the program ends."""
        def look() -> bool:
            if not self.running():
                raise AssertionError(f"the tunnel ended early: {self.describe()}")
            return bool(self.status())
        try:
            wait_for(look, timeout, f"{self.name} to answer on its control socket")
        except WaitTimeout as error:
            raise WaitTimeout(f"{error}\n{self.describe()}") from None
        return self


class Lab:
    """A laboratory; a context manager. See the top of the file for what is in it.

    sites            2 to 8; two are joined directly, more by a bridge
    hosts            hosts a site
    ports            border ports a site (at least that many hosts are made)
    lan_mtu          of hosts and border ports; IPv6 only from 1280
    wan_mtu          of the wan
    segmenting_wire  the wan carries packets of real size: senders segment, receivers merge (GRO)
    no_offloads      hosts and their wires without any offload
    vlan             {"hA": 10}: hosts whose frames are tagged, by eBPF
    congestion       {"hA": "cubic"}: default TCP congestion control of hosts
    line             a node "line" between the two sites, with interfaces ab and ba, joined by nothing
    echo             called with each command as text, e.g. print
    """

    def __init__(self, sites: int = 2, hosts: int = 1, ports: int = 1, lan_mtu: int = 1500,
                 wan_mtu: int = 1500, segmenting_wire: bool = False, no_offloads: bool = False,
                 vlan: dict[str, int] | None = None, congestion: dict[str, str] | None = None,
                 line: bool = False, echo: Any = None) -> None:
        if not 2 <= sites <= MAX_SITES:
            raise OptionError(f"sites must be 2 to {MAX_SITES}, not {sites}")
        if not (1 <= hosts <= 20 and 1 <= ports <= 20):
            raise OptionError(f"hosts and ports must be 1 to 20, not {hosts} and {ports}")
        if line and sites != 2:
            raise OptionError("a line stands between two sites, not more")
        self.letters = string.ascii_uppercase[:sites]
        self.ports, self.hosts_per_site = ports, max(hosts, ports)
        self.lan_mtu, self.wan_mtu = lan_mtu, wan_mtu
        self.segmenting_wire, self.no_offloads, self.line = segmenting_wire, no_offloads, line
        self._echo = echo or (lambda text: None)
        self.nodes: dict[str, Node] = {}
        self.started: list[Process] = []    # all processes, ended ones too, in order
        self._wires: list[Wire] = []
        self._identities: dict[str, tuple[Path, str]] = {}
        self.reaper = Reaper()
        self.tmp = Path(tempfile.mkdtemp(prefix="longhaul-lab-"))
        _open.append(self)
        try:
            self.reaper.add_path(self.tmp)
            self._build(vlan or {}, congestion or {})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -------------------------------------------------------------- looking things up

    def node(self, name: str) -> Node:
        """A node by name; a site's letter will do for the site."""
        try:
            return self.nodes.get(name) or self.nodes[f"site{name}"]
        except KeyError:
            raise OptionError(f"no node {name!r}; there are: {', '.join(self.nodes)}") from None

    def host(self, name: str) -> Host:
        """A host by name, e.g. "hA2"."""
        node = self.node(name)
        assert isinstance(node, Host), f"{name} is not a host"
        return node

    def site(self, letter: str) -> Site:
        """A site by its letter."""
        node = self.node(letter)
        assert isinstance(node, Site), f"{letter} is not a site"
        return node

    @property
    def all_hosts(self) -> list[Host]:
        """All hosts."""
        return [node for node in self.nodes.values() if isinstance(node, Host)]

    @property
    def all_sites(self) -> list[Site]:
        """All sites."""
        return [node for node in self.nodes.values() if isinstance(node, Site)]

    # -------------------------------------------------------------- building

    def _build(self, vlan: dict[str, int], congestion: dict[str, str]) -> None:
        for number, letter in enumerate(self.letters, 1):
            self._plan_site(number, letter)
        self._plan_wan()
        self._make_wires()
        for node in self.nodes.values():
            self._configure(node)
        self._set_offloads()
        for name, vid in vlan.items():
            self._tag(self.host(name), vid)
        for name, algorithm in congestion.items():
            self.host(name).congestion(algorithm)
        self._settle()

    def _add(self, kind: type[Node], name: str) -> Any:
        node = kind(name, self.tmp, self.started, self._echo)
        self.nodes[name] = node
        self.reaper.add_namespace(node.namespace)
        self._echo(f"# namespace {name}: {node.path}")
        return node

    def _plan_site(self, number: int, letter: str) -> None:
        hosts = [self._plan_host(number, letter, h) for h in range(1, self.hosts_per_site + 1)]
        site = self._add(Site, f"site{letter}")
        site.letter, site.mac = letter, _mac(2, number, 1)
        site.ip, site.ip6 = f"192.0.2.{number}", f"2001:db8:77::{number}"
        site.borders = ["border"] if self.ports == 1 else [f"border{p}" for p in range(1, self.ports + 1)]
        for port, ifname in enumerate(site.borders, 1):
            border = End(site, ifname, _mac(1, number, port))
            self._plan_lan(number, letter, port, border, [host for host in hosts if host.port == port])

    def _plan_host(self, number: int, letter: str, h: int) -> Host:
        host = self._add(Host, f"h{letter}{h if h > 1 else ''}")
        host.port = (h - 1) % self.ports + 1
        host.mac = _mac(0, number, h)
        tail_number = number + 10 * (h - 1)
        host.ip = f"10.77.{host.port - 1}.{tail_number}"
        host.ip6 = f"fd77:0:0:{host.port - 1:x}::{tail_number}" if host.port > 1 else f"fd77::{tail_number}"
        return host

    def _plan_lan(self, number: int, letter: str, port: int, border: End, hosts: list[Host]) -> None:
        ends = [End(host, host.ifname, host.mac, f"{host.ip}/24", f"{host.ip6}/64") for host in hosts]
        if len(hosts) == 1:
            self._wires.append(Wire(ends[0], border, self.lan_mtu))
            return
        lan = self._add(Node, f"lan{letter}{port if port > 1 else ''}")
        for i, end in enumerate([border, *ends]):
            inside = End(lan, f"h{i}" if i else "uplink", _mac(0x10 + port, number, i), bridge=True)
            self._wires.append(Wire(end, inside, self.lan_mtu))

    def _plan_wan(self) -> None:
        ends = [End(site, "wan", site.mac, f"{site.ip}/24", f"{site.ip6}/64") for site in self.all_sites]
        if self.line:
            line = self._add(Node, "line")
            for i, (end, ifname) in enumerate(zip(ends, ("ab", "ba")), 1):
                self._wires.append(Wire(end, End(line, ifname, _mac(0x0f, i, 1)), self.wan_mtu))
        elif len(ends) == 2:
            self._wires.append(Wire(ends[0], ends[1], self.wan_mtu))
        else:
            wan = self._add(Node, "wan")
            for i, end in enumerate(ends):
                inside = End(wan, f"wan{self.letters[i]}", _mac(0x0f, i + 1, 1), bridge=True)
                self._wires.append(Wire(end, inside, self.wan_mtu))

    def _make_wires(self) -> None:
        """Make all veth pairs with one ip process, each end in its namespace at once."""
        for node in self.nodes.values():
            node.sysctl({f"net.ipv6.conf.default.{key}": value for key, value in QUIET.items()})
        lines = []
        for i, wire in enumerate(self._wires):
            # The two ends' index numbers must differ: the kernel takes a pair with equal ones, which
            # two fresh namespaces would give, for one device and then reports its carrier up to 1 s late.
            left, right = (f"name {end.ifname} index {10 + 2 * i + k} netns {end.node.path} address {end.mac} "
                           f"mtu {wire.mtu}" for k, end in enumerate(wire.ends))
            lines.append(f"link add {left} type veth peer {right}")
        next(iter(self.nodes.values())).ip_batch("\n".join(lines) + "\n")

    def _configure(self, node: Node) -> None:
        lines = ["link set lo up"]
        ends = [(end, wire.mtu) for wire in self._wires for end in wire.ends if end.node is node]
        bridged = [end.ifname for end, _ in ends if end.bridge]
        if bridged:
            node.bridge(*bridged, mtu=ends[0][1])
        for end, mtu in ends:
            if end.ip:
                lines.append(f"addr add {end.ip} dev {end.ifname}")
            if end.ip6 and mtu >= IPV6_MIN_MTU:
                lines.append(f"addr add {end.ip6} dev {end.ifname} nodad")
            if not end.ip:
                # A border port is a hole in the wall: the machine's own stack says nothing there.
                node.sysctl({f"net.ipv6.conf.{end.ifname}.disable_ipv6": 1,
                             f"net.ipv4.conf.{end.ifname}.arp_ignore": 8})
            lines.append(f"link set {end.ifname} up")
        node.ip_batch("\n".join(lines) + "\n")

    def _set_offloads(self) -> None:
        off = [word for offload in OFFLOADS for word in (offload, "off")]
        for wire in self._wires:
            on_wan = any(end.ifname == "wan" for end in wire.ends)
            for end in wire.ends:
                if on_wan and self.segmenting_wire:
                    end.node.run(["ethtool", "-K", end.ifname, "tso", "off", "gso", "off",
                                  "tx-udp-segmentation", "off", "gro", "on" if end.ifname == "wan" else "off"])
                elif self.no_offloads and not on_wan:
                    end.node.run(["ethtool", "-K", end.ifname, *off])

    def _tag(self, host: Host, vid: int) -> None:
        if not 1 <= vid <= 4094:
            raise OptionError(f"{host.name}: VLAN must be 1 to 4094, not {vid}")
        program = _vlan_program(vid)
        host.run(["tc", "qdisc", "add", "dev", host.ifname, "clsact"])
        for way in ("egress", "ingress"):
            host.run(["tc", "filter", "add", "dev", host.ifname, way, "bpf", "direct-action", "object-file",
                      program, "section", way])
        host.vlan = vid

    def _settle(self) -> None:
        """Wait until every interface is up and the kernel's reports of new addresses are over."""
        def down() -> list[str]:
            found = []
            for node in self.nodes.values():
                with node.netns():
                    out = subprocess.run(["ip", "-j", "addr"], stdout=subprocess.PIPE, check=True).stdout
                for link in json.loads(out):
                    tentative = any("tentative" in address for address in link["addr_info"])
                    # A bridge forwards as soon as its ports are up, and says so itself only later.
                    if link["ifname"] not in ("lo", "br0") and (link["operstate"] != "UP" or tentative):
                        found.append(f"{node.name}/{link['ifname']}")
            return found
        wait_for(lambda: not down(), 10, "all interfaces of the laboratory to come up")
        # Nothing tells when the last report is out: two repeats at most, each within MLD_REPEAT_MS.
        time.sleep(5 * MLD_REPEAT_MS / 1000)

    # -------------------------------------------------------------- using

    def tunnel_args(self, letter: str) -> list[str]:
        """The least a site's tunnel must be told: its interface, the other sites, its ports."""
        others = ",".join(site.ip for site in self.all_sites if site.letter != letter)
        ports = [word for i, port in enumerate(self.site(letter).borders, 1) for word in ("-b", f"{port}:{i}")]
        return ["-t", "wan", "-f", others, *ports]

    def identity(self, letter: str) -> tuple[Path, str]:
        """A site's identity, made on first use: its directory and fingerprint."""
        if letter not in self._identities:
            directory = self.tmp / f"identity-{letter}"
            made = self.site(letter).run([longhaul(), "keygen", str(directory)])
            self._identities[letter] = directory, made.stdout.strip()
        return self._identities[letter]

    def sealed_args(self, letter: str) -> list[str]:
        """What the sealed transport must be told besides: this site's identity, the others' fingerprints."""
        others = [self.identity(site.letter)[1] for site in self.all_sites if site.letter != letter]
        return ["--identity", str(self.identity(letter)[0]), "--trust", ",".join(others)]

    def sealed(self, letter: str, *args: str, up: bool = False, **start: Any) -> "Tunnel":
        """Start a sealed tunnel at a site; with up, wait until all its peers are up."""
        tunnel = self.tunnel(letter, *self.sealed_args(letter), *args, **start)
        if up:
            tunnel.peers_up()
        return tunnel

    def tunnel(self, letter: str, *args: str, wait: bool = True, wrap: Sequence[str] = (),
               env: dict[str, str] | None = None) -> Tunnel:
        """Start `longhaul tunnel` at a site and wait until its control socket answers.

        Unless args hold -f or --config, `-t wan -f <the other sites> -b <each port>:<n>` is put
        before them. wrap is put before the program, e.g. ("strace", "-f").
        """
        site = self.site(letter)
        words = list(args)
        if not {"-t", "--interface", "-f", "--far", "--config"} & set(words):
            words = self.tunnel_args(letter) + words
        tunnel = site.popen([*wrap, longhaul(), "tunnel", *words], f"tunnel {letter}", Tunnel, env=env)
        assert isinstance(tunnel, Tunnel)
        tunnel.node = site
        tunnel.instance = words[words.index("--name") + 1] if "--name" in words else "wan"
        return tunnel.ready() if wait else tunnel

    def shape(self, *args: str, wait: bool = True, wrap: Sequence[str] = ()) -> "Line":
        """Start `longhaul shape ab ba` at the node between the sites (line=True) and wait until it is there.

        Direction ab is from site A to site B. wrap is put before the program, e.g. ("strace", "-f").
        """
        node = self.node("line")
        line = node.popen([*wrap, longhaul(), "shape", "ab", "ba", *args], "line", Line)
        assert isinstance(line, Line)
        line.node = node
        line.instance = args[args.index("--name") + 1] if "--name" in args else "ab-ba"
        return line.ready() if wait else line

    @contextlib.contextmanager
    def bridged(self) -> Iterator[None]:
        """Within the body, plain kernel bridges stand in for the tunnels (first port of each site).

        The baseline of measurements, and what the laboratory itself is tested with.
        """
        with contextlib.ExitStack() as bridges:
            for site in self.all_sites:
                bridges.enter_context(site.bridged(site.borders[0], "wan"))
            yield

    def drawing(self) -> str:
        """The topology with its addresses, as text."""
        return draw(self)

    def stop_processes(self) -> None:
        """End all processes, last started first; their logs stay."""
        for process in reversed(self.started):
            process.stop()

    def close(self) -> None:
        """End all processes and take everything down. Twice does no harm."""
        if self not in _open:
            return
        self.stop_processes()
        self.reaper.close()
        inodes = {node.namespace.inode for node in self.nodes.values()}
        _survivors.extend(describe(pid) for pid in residents(inodes) if pid != os.getpid())
        for node in self.nodes.values():
            node.namespace.close()
        _open.remove(self)
        shutil.rmtree(self.tmp, ignore_errors=True)


class Line(Process):
    """A running `longhaul shape` between the sites."""

    node: Node
    instance: str

    def show(self, timeout: float = 5.0) -> dict[str, Any]:
        """What `longhaul shape show --json` prints; LabError while it does not answer."""
        return ask(self.node, self.instance, "status", timeout)

    def set(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Change the line while it runs."""
        return self.node.run([longhaul(), "shape", "set", self.instance, *args], check=check)

    def ready(self, timeout: float = 10.0) -> "Line":
        """Wait until the line is there; fails at once if the program ends."""
        self.expect(r"line between .* is there", timeout)
        return self

    def totals(self) -> dict[str, Any]:
        """End the line; what it printed then. It must have been started with --json."""
        self.stop(number=signal.SIGINT)
        return json.loads(next(line for line in self.text().splitlines() if line.startswith("{")))


def _hosts_of(lab: Lab, site: Site, port: int) -> str:
    return ", ".join(host.name for host in lab.all_hosts
                     if host.name[1] == site.letter and host.port == port)


def _draw_pair(lab: Lab) -> list[str]:
    left, right = lab.all_sites
    width = max(len(_hosts_of(lab, left, port)) for port in range(1, lab.ports + 1))
    joint = "wan ── ab|line|ba ── wan" if lab.line else "wan ── wan"
    lines = []
    for port, (a, b) in enumerate(zip(left.borders, right.borders), 1):
        lines.append(f"  {_hosts_of(lab, left, port):>{width}} ── {a}|{left.name}|{joint}|{right.name}|{b} ── "
                     f"{_hosts_of(lab, right, port)}")
        joint = " " * len(joint)
    return lines


def _draw_star(lab: Lab) -> list[str]:
    rows = [(site, port) for site in lab.all_sites for port in range(1, lab.ports + 1)]
    width = max(len(_hosts_of(lab, *row)) for row in rows)
    lines = []
    for site, port in rows:
        first, last = site is lab.all_sites[0], site is lab.all_sites[-1]
        knot = "┐" if first else "┘" if last else "┤"
        bar = " " if last else "│"
        wan = f"wan ──{knot}" if port == 1 else f"      {bar}"
        bridge = " a bridge" if first and port == 1 else ""
        lines.append(f"  {_hosts_of(lab, site, port):>{width}} ── {site.borders[port - 1]}|{site.name}|{wan}{bridge}".rstrip())
    return lines


def draw(lab: Lab) -> str:
    """Draw a laboratory, a line for each border port, with the addresses below."""
    lines = _draw_pair(lab) if len(lab.letters) == 2 else _draw_star(lab)
    lines += ["", f"  {'node':8}{'interface':10}{'IPv4':14}{'IPv6':22}{'MAC':19}MTU"]
    for node in [*lab.all_hosts, *lab.all_sites]:
        ifname, mtu = (node.ifname, lab.lan_mtu) if isinstance(node, Host) else (node.wan, lab.wan_mtu)
        tag = f", tagged {node.vlan}" if isinstance(node, Host) and node.vlan else ""
        ip6 = node.ip6 if mtu >= IPV6_MIN_MTU else "-"
        lines.append(f"  {node.name:8}{ifname:10}{node.ip:14}{ip6:22}{node.mac:19}{mtu}{tag}")
    return "\n".join(lines)


@functools.lru_cache(maxsize=None)
def _vlan_program(vid: int) -> str:
    """Compile the tagging program for a VLAN, once, into build/lab."""
    source = ROOT / "scripts" / "vlan_tag.bpf.c"
    target = ROOT / "build" / "lab" / f"vlan_tag.{vid}.o"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Under a name of its own first: several laboratories may be built at the same time.
        new = target.with_suffix(f".{os.getpid()}")
        cmd = ["clang", "-O2", "-target", "bpf", f"-DVID={vid}",
               f"-I/usr/include/{sysconfig.get_config_var('MULTIARCH')}", "-c", str(source), "-o", str(new)]
        out = subprocess.run(cmd, capture_output=True, text=True, check=False)
        if out.returncode != 0:
            raise LabError(f"cannot compile {source}:\n{tail(out.stderr)}")
        new.rename(target)
    return str(target)


def iperf3(client: Host, server: Host, seconds: int = 3, reverse: bool = False,
           amount: str | None = None, options: Sequence[str] = (), address: str | None = None,
           port: int = 5201, timeout: float = 60.0) -> dict[str, Any]:
    """Measure with iperf3; returns its JSON report's "end", with "bps" and "bytes" received added.

    reverse lets the server send. amount (e.g. "20M") is sent instead of for some seconds, with
    timeout (seconds) as the limit. options go to the client, e.g. ("-u", "-l", "64", "-b", "0").
    address is what the client connects to: the server's IPv4 address unless given.
    """
    if seconds < 1:
        raise OptionError(f"iperf3 measures whole seconds, from 1, not {seconds}")    # 0 is for ever
    served = server.popen(["iperf3", "-s", "-1", "-p", str(port)], f"{server.name} iperf3 server")
    try:
        wait_for(lambda: server.listening(port), 10, f"iperf3 to listen on {server.name}:{port}")
        cmd = ["iperf3", "-J", "-c", address or server.ip, "-p", str(port),
               *(["-n", amount] if amount else ["-t", str(seconds)]), "--connect-timeout", "5000",
               *(["-R"] if reverse else []), *options]
        out = client.run(cmd, timeout=max(timeout, seconds + 30), check=False)
    finally:
        served.stop()
    report = json.loads(out.stdout or "{}")
    if out.returncode != 0 or "error" in report:
        raise LabError(f"{client.name}: iperf3: {report.get('error') or out.stderr}")
    end = report["end"]
    total = end.get("sum_received") or end["sum"]
    return {**end, "bps": total["bits_per_second"], "bytes": total["bytes"]}
