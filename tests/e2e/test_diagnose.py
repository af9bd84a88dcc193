# SPDX-License-Identifier: GPL-3.0-or-later
"""`longhaul diagnose`: the cases of 2008 rebuilt over a delay line, broken files, and what it prints."""
import bz2
import csv
import gzip
import io
import json
import lzma
import signal
import socket
import ssl
import struct
import subprocess
import threading

import pytest
from longhaul_causes import Case, perform
from longhaul_lab import Capture, longhaul
from longhaul_netns import SO_RCVBUFFORCE, TCP_WINDOW_CLAMP
from scapy.all import IP, TCP, Ether, Raw, raw

LAB = {"line": True}
GLOBAL_HEADER = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1)


@pytest.fixture
def lab(module_lab):
    """The module's laboratory; what a test starts in it ends with the test."""
    before = len(module_lab.started)
    yield module_lab
    for process in module_lab.started[before:]:
        process.stop()


def diagnose(*args, data=None, check=True):
    """Run the program; returns the finished process."""
    out = subprocess.run([longhaul(), "diagnose", *map(str, args)], input=data, capture_output=True, timeout=60,
                         check=False)
    if check:
        assert out.returncode == 0, out.stderr.decode()
    return out


def flows(*args, **how):
    """The flows of the one document that --json prints."""
    document = json.loads(diagnose("--json", *args, **how).stdout)
    assert document["version"] == 1
    return document["flows"]


def kinds(flow):
    """The findings of a flow by kind."""
    return {found["kind"]: found["text"] for found in flow["findings"]}


def packets(path, frames):
    """Write a pcap file of (seconds, bytes)."""
    body = b"".join(struct.pack("<IIII", int(at), round(at % 1 * 1e6), len(data), len(data)) + data
                    for at, data in frames)
    path.write_bytes(GLOBAL_HEADER + body)
    return path


def segment(flags, seq, ack, size=0, back=False, ident=1, options=(), macs=("02:00:00:00:00:0a", "02:00:00:00:00:0b")):
    """One TCP segment of a connection as an Ethernet frame."""
    ends = [("10.0.0.1", 40000), ("10.0.0.2", 902)]
    (src, sport), (dst, dport) = ends[::-1] if back else ends
    return raw(Ether(src=macs[back], dst=macs[not back]) / IP(src=src, dst=dst, id=ident, flags="DF")
               / TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack, window=33304, options=list(options))
               / Raw(b"x" * size))


def undisturbed(lab, case, cause=None):
    """Carry out a case, again if the machine let the line or the sender wait for so long that something else limited it.

    cause is what the sending kernel, or its program, must say of most of the time.
    """
    for _ in range(6):
        run = perform(lab, case)
        first = run.transfers[0]
        prompt = cause != "send_buffer" or first.busy > 0.9 * first.elapsed     # else the program was not woken in time
        if run.late < 0.02 and prompt and (cause is None or first.shares()[cause] > 0.6):
            return run
    return pytest.fail(f"six times the machine did something else: late {run.late:.3f} s, {run.transfers[0]}")


def test_a_vmkernel_with_windows_of_33304_bytes_is_limited_by_them_wherever_one_looks(lab):
    run = undisturbed(lab, Case("window", line=["--delay", "30ms"], clamp=33304, seconds=3), "receive_window")
    for place in ("sender", "middle", "receiver"):
        (flow,) = flows(run.captures[place])
        assert flow["bytes"] == run.sent
        assert flow["limit"] == "receive_window", place
        # What the kernel announces before the clamp acts has its part in the mean.
        assert "accel = yes" in flow["remedy"] and 33304 <= int(flow["remedy"].split(" B of window")[0]) < 34304


def test_with_windows_forced_up_the_same_host_is_limited_by_its_send_buffer(lab):
    run = undisturbed(lab, Case("buffer", line=["--delay", "30ms"], send_buffer=66608, seconds=2), "send_buffer")
    (flow,) = flows(run.captures["sender"])
    assert flow["limit"] == "send_buffer"
    assert "Larger windows change nothing" in flow["remedy"]


@pytest.mark.parametrize("congestion", ["cubic", "bbr"])
def test_a_send_buffer_is_told_under_each_congestion_control(lab, congestion):
    run = undisturbed(lab, Case(f"buffer-{congestion}", line=["--delay", "20ms"], congestion=congestion, send_buffer=120000,
                                seconds=2), "send_buffer")
    (flow,) = flows(run.captures["sender"])
    assert flow["limit"] == "send_buffer"


def https_download(lab, tmp_path, amount):
    """An HTTPS download from site A to site B, whose receiver announces 7504 with a scale of 3."""
    server, client = lab.site("A"), lab.site("B")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lab", "-keyout",
                    tmp_path / "key.pem", "-out", tmp_path / "cert.pem"], capture_output=True, check=True)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    client_side = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    client_side.check_hostname = False
    with server.netns():
        listener = socket.create_server((server.ip, 443))
    listener.settimeout(30)

    def serve():
        conn = server_side.wrap_socket(listener.accept()[0], server_side=True)
        with conn:
            conn.settimeout(30)
            assert conn.recv(4096).startswith(b"GET")
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % amount + bytes(amount))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with client.netns():
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(30)
    sock.setsockopt(socket.IPPROTO_TCP, TCP_WINDOW_CLAMP, 400000)   # a scale of 3: 2^18 and less than 2^19
    sock.connect((server.ip, 443))
    got = 0
    with client_side.wrap_socket(sock) as conn:
        conn.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        conn.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20)     # so that the kernel does not tune it
        while got < amount and (chunk := conn.recv(1 << 16)):
            got += len(chunk)
            conn.setsockopt(socket.IPPROTO_TCP, TCP_WINDOW_CLAMP, 7504 << 3)
    thread.join(30)
    listener.close()
    return got


def test_the_7504_of_an_https_download_is_told_scaled_or_as_unknown(lab, tmp_path):
    lab.shape("--delay", "20ms")
    with Capture(lab.site("A"), "wan", "tcp port 443", snaplen=128) as capture:
        assert https_download(lab, tmp_path, 4 << 20) >= 4 << 20
    (flow,) = flows(capture.path)
    assert flow["limit"] == "receive_window"
    assert flow["window_scale"]["client"] == {"known": True, "shift": 3}
    assert 60032 <= int(flow["remedy"].split(" B of window")[0]) < 66000
    # Who began to capture in the middle of it had only the field; what is in flight shows what it must mean at least.
    later = tmp_path / "later.pcap"
    later.write_bytes(GLOBAL_HEADER + b"".join(
        struct.pack("<IIII", int(p.time), int(p.time % 1 * 1e6), len(p.data), p.length) + p.data
        for p in capture.packets()[600:]))
    (flow,) = flows(later)
    assert flow["window_scale"]["client"] == {"known": False, "at_least": 3}
    assert "2^3 at least: its 7504 are 60032 B or more" in kinds(flow)["scale_unknown"]


def test_losses_are_counted_as_the_line_s_log_has_them(lab):
    run = undisturbed(lab, Case("loss", line=["--delay", "10ms", "--ab", "--loss 1%"], seconds=2))
    from shaped import LOST, frame_log
    (flow,) = flows(run.captures["sender"])
    lost = sum(1 for record in frame_log(run.log, 0) if record.verdict == LOST and record.length > 200)
    assert flow["limit"] == "congestion"
    assert lost > 0 and flow["client_to_server"]["lost"] == lost


def test_a_path_that_is_full_is_the_limit(lab):
    run = undisturbed(lab, Case("path", line=["--delay", "10ms", "--ab", "--rate 20mbit --queue 100ms"], seconds=3))
    (flow,) = flows(run.captures["sender"])
    assert flow["limit"] == "path"


def test_an_application_that_pauses_is_the_limit(lab):
    run = undisturbed(lab, Case("application", line=["--delay", "5ms"], write=20000, every=0.1, seconds=2), "application")
    (flow,) = flows(run.captures["sender"])
    assert flow["limit"] == "application"


def test_a_path_of_1400_bytes_whose_router_says_nothing_is_a_black_hole(lab):
    run = perform(lab, Case("hole", line=["--delay", "5ms"], amount=20000, write=20000, send_buffer=1 << 20, patience=5,
                            mtu=1400))
    (flow,) = flows(run.captures["sender"])
    assert flow["limit"] == "pmtu_black_hole"
    assert "-m" in flow["remedy"]


SECOND_BRIDGE = """
import socket, sys
ends = []
for name in ("ab", "ba"):
    ends.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0 if ends else socket.htons(3)))
    ends[-1].bind((name, 0 if len(ends) > 1 else 3))
ends[0].setsockopt(263, 23, 1)     # SOL_PACKET, PACKET_IGNORE_OUTGOING
print("bridging", flush=True)
while True:
    ends[1].send(ends[0].recv(65536))
"""


def test_a_second_bridge_between_the_sites_is_told_by_the_frames_that_come_twice(lab):
    # As in 2008 one way only: both ways would be a loop. Super-segments would need more of a bridge than this.
    lab.site("A").run(["ethtool", "-K", "wan", "tso", "off", "gso", "off", "tx", "off"])
    second = lab.node("line").popen(["python3", "-c", SECOND_BRIDGE], "second bridge")
    try:
        second.expect("bridging")
        run = perform(lab, Case("twice", line=["--delay", "5ms"], clamp=33304, seconds=1))
    finally:
        second.kill()
        lab.site("A").run(["ethtool", "-K", "wan", "tso", "on", "gso", "on", "tx", "on"])
    (flow,) = flows(run.captures["receiver"])
    text = kinds(flow)["duplicates"]
    assert "two border ports on one subnet" in text and "ms apart in the mean" in text and lab.site("A").mac in text
    assert flow["client_to_server"]["duplicates"] * 2 > flow["client_to_server"]["packets"]
    assert flow["client_to_server"]["duplicates"] > 10
    assert flow["client_to_server"]["lost"] == 0


def test_the_same_frame_by_another_bridge_is_told_with_both_addresses_and_the_time_between(tmp_path):
    frames = []
    for i in range(20):
        for late, mac in ((0, "02:00:00:00:00:0a"), (0.0005, "02:00:00:00:00:0c")):
            frames.append((1000 + i * 0.01 + late, segment("A", 101 + 1000 * i, 501, 1000, ident=i + 1,
                                                           macs=(mac, "02:00:00:00:00:0b"))))
    (flow,) = flows(packets(tmp_path / "t.pcap", frames))
    text = kinds(flow)["duplicates"]
    assert "02:00:00:00:00:0a" in text and "02:00:00:00:00:0c" in text and "0.5 ms apart" in text
    assert flow["bytes"] == 20000 and flow["client_to_server"]["lost"] + flow["server_to_client"]["lost"] == 0


def test_a_live_capture_is_told_of_when_it_is_interrupted(lab):
    site = lab.site("A")
    looking = site.popen([longhaul(), "diagnose", "-i", "wan", "--json"], "diagnose")
    looking.expect(r"looking at wan")
    run = perform(lab, Case("live", line=["--delay", "5ms"], clamp=33304, seconds=1))
    assert looking.stop(number=signal.SIGINT) == 0
    document = json.loads(next(line for line in looking.text().splitlines() if line.startswith("{")))
    transfer = [flow for flow in document["flows"] if flow["bytes"] == run.sent]
    assert len(transfer) == 1 and transfer[0]["limit"] == "receive_window"


def test_while_it_goes_on_a_live_capture_tells_what_moves_and_what_limits_it(lab):
    looking = lab.site("A").popen([longhaul(), "diagnose", "-i", "wan", "--json", "--every", "200ms"], "diagnose")
    looking.expect(r"looking at wan")
    run = perform(lab, Case("every", line=["--delay", "5ms"], clamp=33304, seconds=2))
    assert looking.running()
    told = [json.loads(line) for line in looking.text().splitlines() if line.startswith("{")]
    moved = [flow for one in told for flow in one["moved"] if flow["to"].endswith(":9020")]
    assert len(told) >= 2 and sum(flow["bytes"] for flow in moved) > 0
    assert [flow["limit"] for flow in moved].count("receive_window") > len(moved) / 2
    assert looking.stop(number=signal.SIGINT) == 0
    told = [json.loads(line) for line in looking.text().splitlines() if line.startswith("{")]
    assert sum(flow["bytes"] for one in told[:-1] for flow in one["moved"] if flow["to"].endswith(":9020")) <= run.sent
    assert run.sent in [flow["bytes"] for flow in told[-1]["flows"]]


def test_people_who_look_live_see_the_flows_that_move(lab):
    looking = lab.site("A").popen([longhaul(), "diagnose", "-i", "wan", "--every", "200ms"], "diagnose")
    looking.expect(r"looking at wan")
    perform(lab, Case("every-text", line=["--delay", "5ms"], clamp=33304, seconds=2))
    looking.expect(r"1 flow moved in .*\n  192\.0\.2\.1:\d+ → 192\.0\.2\.2:9020  .*bit/s  receive_window \d+ %  round trip")
    assert looking.stop(number=signal.SIGINT) == 0
    assert "limited by: receive_window" in looking.text()


def transfer_file(path, scale=None, rounds=20, rtt=0.05, syn=True, burst=22, window_ack=None):
    """A window-limited transfer of 2008, packet by packet."""
    frames, now, seq, ident = [], 1000.0, 101, 1
    if syn:
        frames += [(now, segment("S", 100, 0, options=[("MSS", 1460)])),
                   (now + rtt, segment("SA", 500, 101, back=True, options=[("MSS", 1460)]))]
        now += rtt + 0.001
    for _ in range(rounds):
        for _ in range(burst):
            ident += 1
            frames.append((now, segment("A", seq, 501, 1460, ident=ident)))
            seq += 1460
            now += 0.00001
        now += rtt
        frames.append((now, segment("A", 501, seq, back=True, ident=ident)))
        now += 0.00002
    return packets(path, frames)


def test_people_get_the_verdict_the_numbers_and_the_remedy(tmp_path):
    out = diagnose("-v", transfer_file(tmp_path / "t.pcap")).stdout.decode()
    assert "10.0.0.1:40000 → 10.0.0.2:902" in out
    assert "limited by: receive_window 100 %" in out
    assert "33304 B of window" in out and "Mbit/s" in out
    assert "no_window_scaling" in out


def test_csv_has_a_header_and_a_line_a_flow(tmp_path):
    out = diagnose("--csv", transfer_file(tmp_path / "a, b.pcap")).stdout.decode()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 1 and rows[0]["limit"] == "receive_window"
    assert rows[0]["source"].endswith("a, b.pcap") and float(rows[0]["share_receive_window"]) > 0.9


def test_xplot_draws_each_direction_with_data(tmp_path):
    diagnose("--xplot", tmp_path / "graphs", transfer_file(tmp_path / "t.pcap"))
    graph = (tmp_path / "graphs" / "flow-1-c.xpl").read_text().splitlines()
    assert graph[0] == "timeval unsigned" and graph[-1] == "go"
    assert sum(line.startswith("darrow") for line in graph) == 22 * 20
    assert [path.name for path in (tmp_path / "graphs").iterdir()] == ["flow-1-c.xpl"]


def test_a_filter_chooses_frames_inside_the_capsulator_s_packets(tmp_path):
    inner = [segment("A", 101 + 100 * i, 501, 100, ident=i) for i in range(5)]
    outer = [raw(Ether() / IP(src="192.0.2.1", dst="192.0.2.2", proto=245) / Raw(b"\0\0\0\x01" + frame))
             for frame in inner]
    path = packets(tmp_path / "t.pcap", [(1000 + i, frame) for i, frame in enumerate(outer)])
    (flow,) = flows(path, "--filter", "tcp port 902 and host 10.0.0.1")
    assert flow["encapsulation"] == "capsulator" and flow["bytes"] == 500
    assert not flows(path, "--filter", "tcp port 80")
    assert not flows(path, "--filter", "host 192.0.2.1")


def test_files_that_follow_each_other_are_one_capture_and_others_are_not(tmp_path):
    whole = transfer_file(tmp_path / "whole.pcap").read_bytes()
    at = 24
    for _ in range(200):
        at += 16 + struct.unpack_from("<I", whole, at + 8)[0]
    (tmp_path / "1.pcap").write_bytes(whole[:at])
    (tmp_path / "2.pcap").write_bytes(GLOBAL_HEADER + whole[at:])
    (together,) = flows(tmp_path / "1.pcap", tmp_path / "2.pcap")
    (alone,) = flows(tmp_path / "whole.pcap")
    assert together == alone
    out = diagnose("--json", tmp_path / "whole.pcap", tmp_path / "whole.pcap").stdout.splitlines()
    assert len(out) == 2 and json.loads(out[0])["flows"] == json.loads(out[1])["flows"]


def test_a_capture_may_have_more_files_than_can_be_open_at_a_time(tmp_path):
    whole, at, paths = transfer_file(tmp_path / "whole.pcap").read_bytes(), 24, []
    while at < len(whole):
        end = at + 16 + struct.unpack_from("<I", whole, at + 8)[0]
        paths.append(tmp_path / f"{len(paths):05}.pcap")
        paths[-1].write_bytes(GLOBAL_HEADER + whole[at:end])
        at = end
    out = subprocess.run(["prlimit", "--nofile=32", longhaul(), "diagnose", "--json", *paths], capture_output=True,
                         check=True)
    assert len(paths) > 100 and json.loads(out.stdout)["flows"] == flows(tmp_path / "whole.pcap")


def test_standard_input_is_read_as_a_file_is(tmp_path):
    path = transfer_file(tmp_path / "t.pcap")
    assert flows("-", data=path.read_bytes()) == flows(path)


def test_of_a_broken_file_everything_readable_is_told(tmp_path):
    path = transfer_file(tmp_path / "t.pcap")
    path.write_bytes(path.read_bytes()[:-7])
    out = diagnose(path).stdout.decode()
    assert "the file ends in the middle of a packet" in out and "receive_window" in out
    path.write_bytes(path.read_bytes() + b"\xff" * 100)
    document = json.loads(diagnose("--json", path).stdout)
    assert document["source"]["ended_early"] and document["flows"][0]["limit"] == "receive_window"


def test_later_fragments_of_ip_packets_are_counted_and_said_so(tmp_path):
    whole = IP(src="192.0.2.1", dst="192.0.2.2") / TCP(sport=49152, dport=902, flags="A", seq=1, ack=1) / Raw(bytes(4000))
    path = tmp_path / "fragments.pcap"
    packets = [bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / one) for one in whole.fragment(1480)]
    path.write_bytes(GLOBAL_HEADER + b"".join(struct.pack("<IIII", 1, n, len(p), len(p)) + p for n, p in enumerate(packets)))
    assert f"{len(packets) - 1} packets are later fragments of IP packets" in diagnose(path).stdout.decode()
    counted = json.loads(diagnose("--json", path).stdout)["source"]["packets_by_kind"]
    assert counted["fragments"] == len(packets) - 1 and counted["tcp"] == 1


@pytest.mark.parametrize("content, said", [
    (b"", "has 0 bytes: not a capture file"), (b"#!/bin/sh\n" * 9, "begins with 23 21 2f 62"),
    (GLOBAL_HEADER[:10], "cut within its header"),
    (gzip.compress(GLOBAL_HEADER, mtime=0), "is gzip'd: gunzip -c FILE | longhaul diagnose -"),
    (lzma.compress(GLOBAL_HEADER), "compressed by xz: xz -dc FILE | longhaul diagnose -"),
    (bz2.compress(GLOBAL_HEADER), "compressed by bzip2: bzip2 -dc FILE | longhaul diagnose -"),
    (b"\x28\xb5\x2f\xfd" + bytes(20), "compressed by zstd: zstd -dc FILE | longhaul diagnose -"),
    (struct.pack("<IHHiIII", 0xa1b2c3d4, 9, 1, 0, 0, 65535, 1), "version 9.1")])
def test_a_file_that_is_no_capture_is_named_with_what_it_has(tmp_path, content, said):
    path = tmp_path / "strange"
    path.write_bytes(content)
    out = diagnose(path, check=False)
    assert out.returncode == 1 and str(path) in out.stderr.decode() and said in out.stderr.decode()


def test_one_file_that_cannot_be_read_does_not_hide_the_others(tmp_path):
    out = diagnose("--json", tmp_path / "none", transfer_file(tmp_path / "t.pcap"), check=False)
    assert out.returncode == 1 and "No such file" in out.stderr.decode()
    assert json.loads(out.stdout)["flows"][0]["limit"] == "receive_window"


@pytest.mark.parametrize("args, said", [
    ([], "name a file"), (["--json", "--csv", "x"], "choose one"), (["-i", "eth0", "x"], "choose one"),
    (["--filter", "port", "x"], "is not a filter"), (["--flows", "many", "x"], "--flows"),
    (["--max-flows", "0", "x"], "--max-flows"), (["--duration", "5s", "x"], "--duration"),
    (["--every", "5s", "x"], "--every"), (["--every", "1s", "--csv", "-i", "x"], "--csv"), (["-i", "x", "--every", "5"], "--every"),
    (["--frobnicate"], "unknown option")])
def test_wrong_usage_says_what_is_wrong_and_exits_with_2(args, said):
    out = diagnose(*args, check=False)
    assert out.returncode == 2 and said in out.stderr.decode()


def test_an_interface_that_is_not_there_is_named():
    out = diagnose("-i", "nowhere0", check=False)
    assert out.returncode == 1 and "nowhere0" in out.stderr.decode()


def test_flows_beyond_the_limit_are_still_told_of_in_json(tmp_path):
    frames = []
    for i in range(50):
        data = bytearray(segment("A", 1, 1, 10, ident=i))
        data[34:36] = struct.pack(">H", 2000 + i)
        frames.append((1000 + i, bytes(data)))
    document = json.loads(diagnose("--json", "--max-flows", 10, packets(tmp_path / "t.pcap", frames)).stdout)
    assert document["source"]["flows_evicted"] == 40
    assert len({flow["client"] for flow in document["flows"]} | {flow["server"] for flow in document["flows"]}) == 51


def test_a_capture_that_begins_in_the_middle_bounds_the_scale_by_what_was_in_flight(tmp_path):
    path = transfer_file(tmp_path / "t.pcap", syn=False, burst=41)
    (flow,) = flows(path)
    assert flow["window_scale"]["server"] == {"known": False, "at_least": 1}
    assert "mid_capture" in kinds(flow) and "2^1 at least" in kinds(flow)["scale_unknown"]


def test_a_closed_pipe_is_an_error_and_no_crash(tmp_path):
    path = transfer_file(tmp_path / "t.pcap")
    with open("/dev/full", "wb") as full:
        out = subprocess.run([longhaul(), "diagnose", str(path)], stdout=full, stderr=subprocess.PIPE, check=False)
    assert out.returncode == 1 and b"cannot write" in out.stderr
