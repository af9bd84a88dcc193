# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured against what: ways to join two sites' LANs, each started in a laboratory.

A contender is a row of CONTENDERS: how it is called, what it is, and a function that starts it between the
two sites of a laboratory and returns when frames pass. What it writes goes below lab.tmp, what it starts
is the laboratory's to end. Nobody is tuned beyond what its own manual recommends for speed.
"""
from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from longhaul_lab import Lab, LabError, Process, Site, longhaul, wait_for

# The hosts' MTU, the same for all: what the deepest stack of headers, VXLAN in WireGuard, leaves of 1500
# bytes (60 and 50 of them), rounded down. So nobody fragments, and every flow has the same segments.
LAN_MTU = 1380
VXLAN_PORT = 4789
VXLAN_OVERHEAD = 50         # IPv4 20, UDP 8, VXLAN 8, Ethernet 14
WIREGUARD_OVERHEAD = 60     # IPv4 20, UDP 8, header and tag 32
WAN_MTU = 1500


@dataclass
class Running:
    """A contender at work."""

    processes: dict[str, Process] = field(default_factory=dict)     # by site letter; none: in the kernel
    notes: dict[str, object] = field(default_factory=dict)          # what it said of itself


@dataclass(frozen=True)
class Contender:
    """One way to join the sites."""

    name: str                               # on the command line and in the JSON
    title: str                              # in the table
    start: Callable[[Lab], Running]
    encrypted: bool
    userspace: bool
    programs: tuple[tuple[str, ...], ...] = ()  # commands that tell its versions; the first word must be there
    ours: bool = False
    segmenting_wire: bool = True
    single_only: bool = False               # a yardstick: only the single flow is measured

    def lacking(self) -> str:
        """Why it cannot run here, empty if nothing is known against it."""
        missing = [cmd[0] for cmd in self.programs if not shutil.which(cmd[0])]
        if missing:
            return f"{', '.join(missing)} not installed"
        if self.userspace and not self.ours and not os.path.exists("/dev/net/tun"):
            return "no /dev/net/tun"
        return ""

    def versions(self) -> list[str]:
        """The first line of what each of its programs says of its version."""
        told = []
        for cmd in self.programs:
            out = subprocess.run(cmd, capture_output=True, text=True, check=False)
            text = (out.stdout + out.stderr).strip()
            told.append(text.splitlines()[0] if text else cmd[0])
        return told


# ------------------------------------------------------------------ shared parts

def _other(lab: Lab, site: Site) -> Site:
    return next(other for other in lab.all_sites if other is not site)


def _directory(lab: Lab, name: str) -> Path:
    path = lab.tmp / name
    path.mkdir(mode=0o700, parents=True)
    return path


def _secret(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _has_link(site: Site, ifname: str) -> bool:
    return site.run(["ip", "link", "show", "dev", ifname], check=False).returncode == 0


def _bridge(site: Site, ifname: str) -> None:
    """Join an interface and the site's border port by a kernel bridge."""
    site.bridge(site.borders[0], ifname)


def _bridge_tap(site: Site, process: Process, ifname: str) -> None:
    def there() -> bool:
        if not process.running():
            raise AssertionError(f"ended early: {process.describe()}")
        return _has_link(site, ifname)
    wait_for(there, 20, f"{process.name} to make {ifname}")
    _bridge(site, ifname)


def _openssl(lab: Lab, *words: str) -> str:
    return lab.all_sites[0].run(["openssl", *words]).stdout


# ------------------------------------------------------------------ longhaul

def _sealed(engine: str, *args: str) -> Callable[[Lab], Running]:
    def start_sealed(lab: Lab) -> Running:
        tunnels = {letter: lab.sealed(letter, *args) for letter in lab.letters}
        for tunnel in tunnels.values():
            tunnel.peers_up()
        peer = tunnels["A"].status()["peers"][0]
        if peer["engine"] != engine:
            raise LabError(f"{engine} is not to be had: {peer['cipher']} is done by {peer['engine']}")
        return Running(dict(tunnels), {key: peer[key] for key in ("cipher", "engine", "partial_checksums", "udp_gso")})
    return start_sealed


def _capsulator(lab: Lab) -> Running:
    return Running({letter: lab.tunnel(letter, "--outer", "capsulator") for letter in lab.letters})


# ------------------------------------------------------------------ in the kernel

def _add_vxlan(site: Site, local: str, remote: str, dev: str, mtu: int) -> None:
    site.ip_batch(f"link add name vx0 mtu {mtu} type vxlan id 77 local {local} remote {remote} "
                  f"dstport {VXLAN_PORT} dev {dev}\n")
    _bridge(site, "vx0")


def _vxlan(lab: Lab) -> Running:
    for site in lab.all_sites:
        _add_vxlan(site, site.ip, _other(lab, site).ip, site.wan, WAN_MTU - VXLAN_OVERHEAD)
    return Running()


# ------------------------------------------------------------------ OpenVPN

def _openvpn(lab: Lab) -> Running:
    """Point to point with TAP and TLS; each trusts the other's self-signed certificate by fingerprint."""
    prints = {}
    for site in lab.all_sites:
        home = _directory(lab, f"openvpn-{site.letter}")
        _openssl(lab, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-days", "2", "-subj", f"/CN=site{site.letter}", "-keyout", str(home / "key.pem"),
                 "-out", str(home / "cert.pem"))
        told = _openssl(lab, "x509", "-in", str(home / "cert.pem"), "-noout", "-fingerprint", "-sha256")
        prints[site.letter] = told.strip().partition("=")[2]
    processes = {}
    for site in lab.all_sites:
        other, home = _other(lab, site), lab.tmp / f"openvpn-{site.letter}"
        processes[site.letter] = site.popen([
            "openvpn", "--dev", "tap0", "--dev-type", "tap", "--proto", "udp4", "--local", site.ip, "--remote",
            other.ip, "--port", "1194", *(["--tls-server", "--dh", "none"] if site.letter == "A" else ["--tls-client"]),
            "--cert", str(home / "cert.pem"), "--key", str(home / "key.pem"),
            "--peer-fingerprint", prints[other.letter], "--data-ciphers", "AES-256-GCM", "--cipher", "AES-256-GCM",
            # No MSS rewriting and no poll before each write, as its manual advises for speed.
            "--mssfix", "0", "--fast-io", "--verb", "3"], f"openvpn {site.letter}")
    for site in lab.all_sites:
        _bridge_tap(site, processes[site.letter], "tap0")
    for process in processes.values():
        process.expect("Initialization Sequence Completed", 30)
    cipher = processes["A"].expect(r"Data Channel: cipher '([^']+)'", 5)
    return Running(processes, {"cipher": cipher.group(1)})


# ------------------------------------------------------------------ fastd

FASTD = """
log level info;
interface "tap0";
mode tap;
method "aes128-gcm";
mtu {mtu};
bind {ip}:10000;
secret "{secret}";
peer "far" {{ key "{key}"; remote {remote}:10000; }}
"""


def _fastd(lab: Lab) -> Running:
    keys = {}
    for site in lab.all_sites:
        out = site.run(["fastd", "--generate-key"])
        keys[site.letter] = dict(re.findall(r"(Secret|Public): ([0-9a-f]{64})", out.stdout + out.stderr))
    processes = {}
    for site in lab.all_sites:
        other = _other(lab, site)
        conf = _secret(_directory(lab, f"fastd-{site.letter}") / "fastd.conf", FASTD.format(
            mtu=LAN_MTU, ip=site.ip, secret=keys[site.letter]["Secret"], key=keys[other.letter]["Public"],
            remote=other.ip))
        processes[site.letter] = site.popen(["fastd", "--config", str(conf)], f"fastd {site.letter}")
    for site in lab.all_sites:
        _bridge_tap(site, processes[site.letter], "tap0")
    for process in processes.values():
        process.expect("connection with .* established", 30)
    return Running(processes, {"method": "aes128-gcm"})


# ------------------------------------------------------------------ tinc

TINC_CIPHERS = {"427": "AES-256-CBC", "672": "SHA-256"}     # OpenSSL's numbers, which it prints


def _tinc(lab: Lab) -> Running:
    """Switch mode with the cipher and digest of its defaults: AES-256-CBC and SHA-256."""
    for site in lab.all_sites:
        home = _directory(lab, f"tinc-{site.letter}")
        (home / "hosts").mkdir()
        connect = f"ConnectTo = site{_other(lab, site).letter}\n" if site.letter == "B" else ""
        (home / "tinc.conf").write_text(f"Name = site{site.letter}\nMode = switch\nAddressFamily = ipv4\n"
                                        f"DeviceType = tap\nDevice = /dev/net/tun\nInterface = tap0\n{connect}")
        (home / "tinc-up").write_text("#!/bin/sh\n:\n")
        (home / "tinc-up").chmod(0o700)
        (home / "hosts" / f"site{site.letter}").write_text(f"Address = {site.ip}\n")
        site.run(["tincd", "-c", str(home), "-K2048"])      # appends the public key to hosts/siteX
    processes = {}
    for site in lab.all_sites:
        home = lab.tmp / f"tinc-{site.letter}"
        far = f"site{_other(lab, site).letter}"
        shutil.copy(lab.tmp / f"tinc-{far[-1]}" / "hosts" / far, home / "hosts" / far)
        processes[site.letter] = site.popen(
            ["tincd", "-c", str(home), "-D", "-d1", f"--pidfile={home / 'pid'}"], f"tinc {site.letter}")
    for site in lab.all_sites:
        _bridge_tap(site, processes[site.letter], "tap0")
    for process in processes.values():
        process.expect("Connection with site. .* activated", 30)
    # Until it knows the path's MTU it sends frames through TCP. Any frame starts the search.
    lab.host("hA").ping(lab.host("hB").ip)
    cipher = wait_for(lambda: _tinc_settled(processes), 60, "tinc to find the path MTU", 0.5)
    return Running(processes, {"cipher": cipher})


def _tinc_settled(processes: dict[str, Process]) -> str:
    """What cipher is in use, once both ends have found the path's MTU; tinc tells on SIGUSR2."""
    cipher = ""
    for letter, process in processes.items():
        process.send(signal.SIGUSR2)
        far = "A" if letter == "B" else "B"
        told = re.findall(rf"^.* site{far} at .* cipher (\d+) digest (\d+) .* pmtu (\d+) \(min (\d+) max (\d+)\)",
                          process.text(), re.MULTILINE)
        if not told or int(told[-1][3]) < LAN_MTU or told[-1][3] != told[-1][4]:
            return ""
        cipher = (f"{TINC_CIPHERS.get(told[-1][0], told[-1][0])}, {TINC_CIPHERS.get(told[-1][1], told[-1][1])}, "
                  f"path MTU {told[-1][2]}")
    return cipher


# ------------------------------------------------------------------ WireGuard

def _wireguard(lab: Lab) -> Running:
    """wireguard-go, and VXLAN over it."""
    keys: dict[str, tuple[str, str]] = {}
    for site in lab.all_sites:
        private = site.run(["wg", "genkey"]).stdout
        keys[site.letter] = private, site.run(["wg", "pubkey"], input=private).stdout.strip()
    processes = {}
    mtu = WAN_MTU - WIREGUARD_OVERHEAD
    for site in lab.all_sites:
        # Its control socket lies below /run and bears the interface's name: each has a /run of its own.
        processes[site.letter] = site.popen(
            ["unshare", "--mount", "--", "sh", "-c", "mount -t tmpfs none /run && exec wireguard-go -f wg0"],
            f"wireguard-go {site.letter}", env={"WG_PROCESS_FOREGROUND": "1", "LOG_LEVEL": "error"})
    for number, site in enumerate(lab.all_sites, 1):
        other, process = _other(lab, site), processes[site.letter]
        key = _secret(_directory(lab, f"wireguard-{site.letter}") / "private", keys[site.letter][0])
        set_up = ["nsenter", f"--mount=/proc/{process.pid}/ns/mnt", "--", "wg", "set", "wg0", "listen-port", "51820",
                  "private-key", str(key), "peer", keys[other.letter][1], "endpoint", f"{other.ip}:51820",
                  "allowed-ips", f"198.51.100.{3 - number}/32"]

        def settle() -> bool:
            if not process.running():
                raise AssertionError(f"ended early: {process.describe()}")
            return site.run(set_up, check=False).returncode == 0
        wait_for(settle, 20, f"{process.name} to take its settings")
        site.ip_batch(f"addr add 198.51.100.{number} peer 198.51.100.{3 - number} dev wg0\n"
                      f"link set wg0 mtu {mtu} up\n")
        _add_vxlan(site, f"198.51.100.{number}", f"198.51.100.{3 - number}", "wg0", mtu - VXLAN_OVERHEAD)
    return Running(processes, {"cipher": "ChaCha20-Poly1305"})


# ------------------------------------------------------------------ all of them

CONTENDERS = (
    Contender("longhaul-ipsec-mb", "longhaul, sealed, AES-256-GCM by ipsec-mb", _sealed("ipsec-mb"), True, True,
              ours=True),
    Contender("longhaul-openssl", "longhaul, sealed, AES-256-GCM by OpenSSL", _sealed("openssl", "--without", "ipsec-mb"),
              True, True, ours=True),
    Contender("longhaul-capsulator", "longhaul, capsulator (plain text)", _capsulator, False, True, ours=True),
    Contender("vxlan", "kernel VXLAN (plain text)", _vxlan, False, False),
    Contender("openvpn", "OpenVPN, TAP, AES-256-GCM", _openvpn, True, True, (("openvpn", "--version"),)),
    Contender("fastd", "fastd, aes128-gcm", _fastd, True, True, (("fastd", "--version"),)),
    Contender("tinc", "tinc, switch mode, its defaults", _tinc, True, True, (("tincd", "--version"),)),
    Contender("wireguard-go", "wireguard-go + kernel VXLAN", _wireguard, True, True,
              (("wireguard-go", "--version"), ("wg", "--version"))),
    Contender("vxlan-offloaded", "kernel VXLAN, wire that does not segment", _vxlan, False, False,
              segmenting_wire=False, single_only=True),
)


def start(contender: Contender) -> tuple[Lab, Running]:
    """Make a laboratory and start a contender in it; returns when hosts reach each other."""
    lacking = contender.lacking()
    if lacking:
        raise LabError(lacking)
    if contender.ours and not os.access(longhaul(), os.X_OK):
        raise LabError(f"{longhaul()} is not there: run `make` first")
    lab = Lab(segmenting_wire=contender.segmenting_wire, lan_mtu=LAN_MTU)
    try:
        running = contender.start(lab)
        a, b = lab.host("hA"), lab.host("hB")
        wait_for(lambda: a.ping(b.ip, timeout=1), 20, f"hA to reach hB through {contender.name}")
        # The largest frame, too: nobody may fragment or drop it.
        a.ping(b.ip, 1, LAN_MTU - 28, 5, "-M", "do")
    except BaseException:
        lab.close()
        raise
    return lab, running
