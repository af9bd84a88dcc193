# SPDX-License-Identifier: GPL-3.0-or-later
"""`longhaul capture`: what it records of an interface and inside a tunnel, and that no tunnel waits for it."""
import json
import shutil
import signal
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest
from longhaul_lab import longhaul, wait_for
from scapy.all import ICMP, IP, TCP, Ether
from traffic import ethernet, transfer

LAB: dict = {}
ETHERTYPE = 0x88b5
IN, OUT = 1, 2


@pytest.fixture
def lab(module_lab):
    """The module's laboratory; what a test starts in it ends with the test."""
    before = len(module_lab.started)
    yield module_lab
    for process in reversed(module_lab.started[before:]):
        process.stop()


def blocks(path):
    """The blocks of a pcapng file of this machine's byte order: type, body."""
    data, at = path.read_bytes(), 0
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        assert length % 4 == 0 and struct.unpack_from("<I", data, at + length - 4)[0] == length
        yield kind, data[at + 8:at + length - 4]
        at += length
    assert at == len(data)


def options(body, at):
    """The options of a block."""
    found = {}
    while at + 4 <= len(body):
        code, length = struct.unpack_from("<HH", body, at)
        if code == 0:
            break
        found[code] = body[at + 4:at + 4 + length]
        at += 4 + (length + 3 & ~3)
    return found


class File:
    """What a pcapng file holds."""

    def __init__(self, path):
        self.interfaces, self.packets, self.statistics = [], [], {}
        for kind, body in blocks(path):
            if kind == 1:
                self.interfaces.append(options(body, 8)[2].decode())
            elif kind == 6:
                number, _, _, captured, length = struct.unpack_from("<5I", body)
                flags = struct.unpack("<I", options(body, 20 + (captured + 3 & ~3))[2])[0]
                self.packets.append((self.interfaces[number], flags & 3, length, body[20:20 + captured]))
            elif kind == 5:
                self.statistics[self.interfaces[struct.unpack_from("<I", body)[0]]] = options(body, 12)

    def drops(self):
        """Packets that the file says were lost."""
        return sum(struct.unpack("<Q", found[5])[0] for found in self.statistics.values())


def record(node, path, *args):
    """Start the program and wait until it records."""
    process = node.popen([longhaul(), "capture", "-w", str(path), *args], "capture")
    process.expect("recording into")
    return process


def tunnels(lab, *args):
    """Two tunnels of the capsulator."""
    return [lab.tunnel(letter, *lab.tunnel_args(letter), "--outer", "capsulator", *args) for letter in "AB"]


def test_an_interface_s_frames_are_recorded_with_direction_and_true_length(lab, tmp_path):
    host, other = lab.host("hA"), lab.site("A")
    process = record(other, tmp_path / "x.pcapng", "-i", "b1" if "b1" in other.borders else other.borders[0],
                     "--snaplen", "64")
    sender, back = host.packet_socket("eth0"), other.packet_socket(other.borders[0])
    for number in range(20):
        sender.send(ethernet("02:00:00:00:00:99", host.mac, ETHERTYPE, bytes([number]) * 500))
        back.send(ethernet(host.mac, "02:00:00:00:00:99", ETHERTYPE, bytes([number]) * 300))
    assert process.stop(number=signal.SIGINT) == 0
    file = File(tmp_path / "x.pcapng")
    ours = [(way, length, data) for _, way, length, data in file.packets if data[12:14] == b"\x88\xb5"]
    assert file.interfaces == [other.borders[0]]
    assert [data[14] for way, _, data in ours if way == IN] == list(range(20))
    assert [data[14] for way, _, data in ours if way == OUT] == list(range(20))
    assert {(way, length, len(data)) for way, length, data in ours} == {(IN, 514, 64), (OUT, 314, 64)}


def test_inside_a_tunnel_frames_are_shown_plain_at_ports_and_peers_both_ways(lab, tmp_path):
    tunnels(lab)
    site, a, b = lab.site("A"), lab.host("hA"), lab.host("hB")
    process = record(site, tmp_path / "x.pcapng", "--tunnel", "wan", "--filter", "icmp")
    a.ping(b.ip, count=5)
    assert process.stop(number=signal.SIGINT) == 0
    file = File(tmp_path / "x.pcapng")
    peer = lab.site("B").ip
    assert file.interfaces == [site.borders[0], peer]
    seen = [(name, way, Ether(data)[ICMP].type) for name, way, _, data in file.packets]
    for what in ((site.borders[0], IN, 8), (peer, OUT, 8), (peer, IN, 0), (site.borders[0], OUT, 0)):
        assert seen.count(what) == 5
    assert len(seen) == 20 and file.drops() == 0


def test_the_tunnel_s_own_user_captures_inside_it_without_any_capability_and_others_do_not(lab):
    nobody, stranger = "65534", "65533"
    rights = "-all,+net_admin,+net_raw"
    # Where everybody may go: who is neither root nor the tunnel's user must fail for no other reason.
    with tempfile.TemporaryDirectory(prefix="longhaul-", dir="/var/tmp") as where:
        program, path = Path(where, "longhaul"), Path(where, "files")
        shutil.copy2(longhaul(), program)
        path.mkdir()
        Path(where).chmod(0o755)
        path.chmod(0o777)
        lab.tunnel("B", *lab.tunnel_args("B"), "--outer", "capsulator")
        lab.tunnel("A", *lab.tunnel_args("A"), "--outer", "capsulator", "--state", str(path), wrap=(
            "setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups", f"--inh-caps={rights}",
            f"--ambient-caps={rights}"))
        site, a, b = lab.site("A"), lab.host("hA"), lab.host("hB")

        def capture(user, name):
            return site.popen(["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all", program,
                               "capture", "-w", str(path / name), "--tunnel", "wan", "--filter", "icmp"], "capture")

        own = capture(nobody, "own.pcapng")
        own.expect("recording into")
        a.ping(b.ip, count=5)
        assert own.stop(number=signal.SIGINT) == 0
        assert len(File(path / "own.pcapng").packets) == 20
        other = capture(stranger, "other.pcapng")
        assert other.wait(60) == 1
        assert "neither root's nor yours" in other.text()
        assert not (path / "other.pcapng").exists()


def test_one_port_or_one_peer_can_be_chosen(lab, tmp_path):
    tunnels(lab)
    site, a, b = lab.site("A"), lab.host("hA"), lab.host("hB")
    at_port = record(site, tmp_path / "port.pcapng", "--tunnel", "wan", "--port", site.borders[0])
    at_peer = record(site, tmp_path / "peer.pcapng", "--tunnel", "wan", "--peer", lab.site("B").ip)
    a.ping(b.ip, count=3)
    for process in (at_port, at_peer):
        assert process.stop(number=signal.SIGINT) == 0
    assert {name for name, *_ in File(tmp_path / "port.pcapng").packets} == {site.borders[0]}
    assert {name for name, *_ in File(tmp_path / "peer.pcapng").packets} == {lab.site("B").ip}


@pytest.mark.parametrize("when, mss", [("before", 1460), ("after", 1360)])
def test_handshakes_from_a_peer_are_shown_before_or_after_they_are_rewritten(lab, tmp_path, when, mss):
    tunnels(lab, "-m", "1400")
    a, b = lab.host("hA"), lab.host("hB")
    process = record(lab.site("B"), tmp_path / "x.pcapng", "--tunnel", "wan", "--peer", lab.site("A").ip,
                     "--frob", when, "--filter", "tcp[tcpflags] & tcp-syn != 0")
    transfer(a, b, 1000)
    assert process.stop(number=signal.SIGINT) == 0
    (syn,) = [data for _, way, _, data in File(tmp_path / "x.pcapng").packets if way == IN]
    assert dict(Ether(syn)[TCP].options)["MSS"] == mss


def test_a_filter_on_the_wire_looks_inside_protocol_245(lab, tmp_path):
    tunnels(lab)
    process = record(lab.site("A"), tmp_path / "x.pcapng", "-i", "wan", "--filter", "icmp")
    lab.host("hA").ping(lab.host("hB").ip, count=4)
    assert process.stop(number=signal.SIGINT) == 0
    packets = File(tmp_path / "x.pcapng").packets
    assert len(packets) == 8 and {Ether(data)[IP].proto for *_, data in packets} == {245}


def test_a_filter_asks_about_all_packets_of_the_device_any(lab, tmp_path):
    tunnels(lab)
    process = record(lab.site("A"), tmp_path / "x.pcapng", "-i", "any", "--filter", "icmp")
    lab.host("hA").ping(lab.host("hB").ip, count=4)
    assert process.stop(number=signal.SIGINT) == 0
    # Cooked: behind 16 bytes the packet itself, plain at the port and in protocol 245 at the other side.
    protocols = [data[16 + 9] for *_, data in File(tmp_path / "x.pcapng").packets]
    assert sorted(protocols) == [1] * 8 + [245] * 8


def test_a_capture_ends_with_its_tunnel(lab, tmp_path):
    tunnel = tunnels(lab)[0]
    process = record(lab.site("A"), tmp_path / "x.pcapng", "--tunnel", "wan", "--filter", "icmp")
    lab.host("hA").ping(lab.host("hB").ip, count=3)
    tunnel.kill()
    assert process.wait(30) == 1
    assert "tunnel 'wan' has ended" in process.text()
    assert len(File(tmp_path / "x.pcapng").packets) == 12


def test_a_tunnel_does_not_wait_for_a_capture_that_does_not_read(lab, tmp_path):
    tunnels(lab)
    a, b = lab.host("hA"), lab.host("hB")
    process = record(lab.site("A"), tmp_path / "x.pcapng", "--tunnel", "wan", "--snaplen", "65557")
    process.send(signal.SIGSTOP)
    try:
        transfer(a, b, 24 << 20)
    finally:
        process.send(signal.SIGCONT)
    assert process.stop(number=signal.SIGINT) == 0
    file = File(tmp_path / "x.pcapng")
    assert file.drops() > 0 and len(file.packets) > 100
    assert f"{file.drops()} dropped" in process.text()


@pytest.mark.full   # it is given ten seconds before
def test_a_capture_that_was_killed_is_ended_by_the_tunnel(lab, tmp_path):
    tunnel = tunnels(lab)[0]
    process = record(lab.site("A"), tmp_path / "x.pcapng", "--tunnel", "wan")
    process.kill()
    stop = wait_for(lambda: lab.host("hA").ping(lab.host("hB").ip) and "capture 1 ends" in tunnel.text(), 60,
                    "the tunnel to end the capture")
    assert stop
    again = record(lab.site("A"), tmp_path / "y.pcapng", "--tunnel", "wan")
    assert again.stop(number=signal.SIGINT) == 0


def test_files_rotate_and_only_the_newest_are_kept(lab, tmp_path):
    site, host = lab.site("A"), lab.host("hA")
    process = record(site, tmp_path / "day.pcapng", "-i", site.borders[0], "--rotate-size", "8K", "--files", "3",
                     "--filter", "ether proto 0x88b5", "--count", "300")
    sender = host.packet_socket("eth0")
    for number in range(300):
        sender.send(ethernet("02:00:00:00:00:99", host.mac, ETHERTYPE, number.to_bytes(2, "big") * 50))
    assert process.wait(20) == 0
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 3
    assert all(path.stat().st_size < 9000 for path in paths)
    numbers = [int.from_bytes(data[14:16], "big") for path in paths for *_, data in File(path).packets]
    assert numbers == list(range(numbers[0], 300)) and len(numbers) > 60


def test_files_rotate_by_frames(lab, tmp_path):
    site, host = lab.site("A"), lab.host("hA")
    process = record(site, tmp_path / "n.pcapng", "-i", site.borders[0], "--rotate-count", "40",
                     "--filter", "ether proto 0x88b5", "--count", "100")
    sender = host.packet_socket("eth0")
    for number in range(100):
        sender.send(ethernet("02:00:00:00:00:99", host.mac, ETHERTYPE, number.to_bytes(2, "big") * 50))
    assert process.wait(20) == 0
    assert [len(File(path).packets) for path in sorted(tmp_path.iterdir())] == [40, 40, 20]


def test_what_was_recorded_inside_a_tunnel_is_diagnosed(lab, tmp_path):
    tunnels(lab)
    process = record(lab.site("A"), tmp_path / "x.pcapng", "--tunnel", "wan")
    transfer(lab.host("hA"), lab.host("hB"), 1 << 20)
    assert process.stop(number=signal.SIGINT) == 0
    out = subprocess.run([longhaul(), "diagnose", "--json", str(tmp_path / "x.pcapng")], capture_output=True,
                         check=True)
    (flow,) = json.loads(out.stdout)["flows"]
    assert flow["bytes"] == 1 << 20
    assert {interface["name"] for interface in json.loads(out.stdout)["source"]["interfaces"]} == {
        lab.site("A").borders[0], lab.site("B").ip}


def test_a_tunnel_is_diagnosed_while_it_runs(lab):
    tunnels(lab)
    looking = lab.site("A").popen([longhaul(), "diagnose", "--tunnel", "wan", "--json"], "diagnose")
    looking.expect("looking at wan")
    transfer(lab.host("hA"), lab.host("hB"), 1 << 20)
    assert looking.stop(number=signal.SIGINT) == 0
    document = json.loads(next(line for line in looking.text().splitlines() if line.startswith("{")))
    assert [flow["bytes"] for flow in document["flows"]] == [1 << 20]


@pytest.mark.parametrize("args, said", [
    (["-w", "x"], "where from"), (["-i", "eth0"], "where to"), (["-i", "a", "--tunnel", "b", "-w", "x"], "where from"),
    (["-i", "a", "--port", "b", "-w", "x"], "--tunnel"), (["-i", "a", "-w", "-", "--rotate-time", "1h"], "rotate"),
    (["-i", "a", "-w", "x", "--files", "3"], "--rotate"),
    (["-i", "a", "-w", "-", "--rotate-count", "5"], "rotate"), (["-i", "a", "-w", "x", "--snaplen", "9"], "--snaplen"),
    (["-i", "a", "-w", "x", "--filter", "prot"], "is not a filter"), (["-i", "a", "-w", "x", "more"], "more")])
def test_wrong_usage_says_what_is_wrong_and_exits_with_2(args, said):
    out = subprocess.run([longhaul(), "capture", *args], capture_output=True, text=True, check=False)
    assert out.returncode == 2 and said in out.stderr


@pytest.mark.parametrize("args, said", [
    (["-i", "nowhere0"], "nowhere0"), (["--tunnel", "nobody"], "nobody"), (["--tunnel", "wan", "--port", "x"], "no such"),
    (["--tunnel", "wan", "--peer", "x"], "no such"), (["-i", "lo", "-w", "/nowhere/x"], "/nowhere/x")])
def test_what_cannot_be_captured_or_written_is_named(lab, tmp_path, args, said):
    tunnels(lab)
    words = args if "-w" in args else [*args, "-w", str(tmp_path / "x")]
    out = lab.site("A").run([longhaul(), "capture", *words], check=False)
    assert out.returncode == 1 and said in out.stderr
