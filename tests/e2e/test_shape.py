# SPDX-License-Identifier: GPL-3.0-or-later
"""`longhaul shape`: every impairment, in both directions, on frames whose fate is known.

No host says a word by itself in this laboratory, so that every frame is a test's; hosts that talk
are in test_shape_hosts.py.
"""
import os

import pytest
import shaped
from longhaul_lab import longhaul, wait_for
from shaped import (CHECK, CORRUPTED, DUPLICATE, LOST, QUEUE_CODEL, QUEUE_FULL, REORDERED, SENT, Wire, balanced,
                    frame_log)
from traffic import ethernet, mac

LAB = {"line": True, "wan_mtu": 9000}
lab = shaped.shared_lab
MS = 1_000_000


def kinds_of_frames(a, b):
    """Frames of every kind that a LAN carries, from a to b."""
    broadcast = "ff:ff:ff:ff:ff:ff"
    tagged = ethernet(b.mac, a.mac, 0x88b5, b"tagged".ljust(60, b"."), vid=42)
    return {
        "plain": ethernet(b.mac, a.mac, 0x88b5, b"plain".ljust(60, b".")),
        "broadcast": ethernet(broadcast, a.mac, 0x88b5, b"broadcast".ljust(60, b".")),
        "unknown unicast": ethernet("02:12:34:56:78:9a", a.mac, 0x88b5, b"unknown".ljust(60, b".")),
        "multicast": ethernet("33:33:00:00:00:99", a.mac, 0x88b5, b"multicast".ljust(60, b".")),
        "VLAN": tagged,
        "QinQ": mac(b.mac) + mac(a.mac) + bytes.fromhex("88a80007") + tagged[12:],
        "ARP": ethernet(broadcast, a.mac, 0x0806, bytes(46)),
        "LLC": mac(b.mac) + mac(a.mac) + b"\x00\x26\x42\x42\x03" + bytes(43),
        "jumbo": ethernet(b.mac, a.mac, 0x88b5, bytes(range(250)) * 36),
        "short": ethernet(b.mac, a.mac, 0x88b5, b""),
    }


def untagged(frame):
    """What a packet socket shows of a frame: the kernel takes one VLAN tag out."""
    return frame[:12] + frame[16:] if frame[12:14] in (b"\x81\x00", b"\x88\xa8") else frame


@pytest.mark.parametrize("options", [["--delay", "5ms"], ["--delay", "5ms", "--rate", "1gbit"],
                                     ["--without", "ring"]], ids=" ".join)
@pytest.mark.parametrize("way", ["AB", "BA"])
def test_every_kind_of_frame_passes_as_it_is(lab, way, options):
    lab.shape(*options)
    a, b = lab.site(way[0]), lab.site(way[1])
    out = a.packet_socket("wan", protocol=0)
    back = b.packet_socket("wan")
    for kind, frame in kinds_of_frames(a, b).items():
        out.send(frame)
        seen = []

        def came(frame=frame, seen=seen):
            seen.append(back.recv(70000))
            return seen[-1] == untagged(frame)
        wait_for(came, 10, f"the {kind} frame to arrive; seen: {seen}")


def test_each_frame_leaves_no_earlier_than_its_delay_and_in_order(lab, tmp_path):
    line = lab.shape("--delay", "15ms", "--ab", "--delay 40ms", "--log", str(tmp_path / "log"))
    wire = Wire(lab)
    wire.send(range(500))
    assert wire.numbers(500) == list(range(500))
    line.stop()
    records = frame_log(tmp_path / "log", direction=0)
    assert [r.number for r in records] == list(range(1, 501))
    for r in records:
        assert r.verdict == SENT and r.due == r.arrival + 40 * MS and r.departure >= r.due, r


def test_exactly_the_listed_frames_are_lost_in_one_direction(lab, tmp_path):
    listed = tmp_path / "list"
    listed.write_text("# the first burst\n3-5, 7\n11\n")
    line = lab.shape("--ab", f"--loss list:@{listed}", "--json")
    there, back = Wire(lab, "ab"), Wire(lab, "ba")
    there.send(range(1, 21))
    back.send(range(1, 21))
    assert there.numbers(15) == [n for n in range(1, 21) if n not in (3, 4, 5, 7, 11)]
    assert back.numbers(20) == list(range(1, 21))
    ab, ba = line.totals()["directions"]
    assert (ab["drops"]["loss"], ba["drops"]["loss"]) == (5, 0)
    assert balanced(ab) and balanced(ba)


RANDOM = ["--loss", "gilbert:5%,30%", "--duplicate", "3%,20%", "--corrupt", "4%,2", "--delay", "5ms",
          "--jitter", "3ms,40%", "--distribution", "paretonormal", "--reorder", "2%"]


def decisions(lab, tmp_path, name, seed, count=600):
    """What a line of all random models decides for numbered frames: all but the times."""
    line = lab.shape(*RANDOM, "--seed", str(seed), "--log", str(tmp_path / name))
    wire = Wire(lab)
    wire.send(range(count))
    wait_for(lambda: line.show()["directions"][0]["frames_in"] == count
             and not line.show()["directions"][0]["flight"]["frames"], 20, "all frames to have a fate")
    line.stop()
    records = frame_log(tmp_path / name, direction=0)
    delays = {r.number: r.hash for r in records}
    return sorted((r.number, r.verdict, r.flags) for r in records), delays


def test_the_same_seed_makes_the_same_decisions_and_another_does_not(lab, tmp_path):
    one, hashes = decisions(lab, tmp_path, "one", 7)
    assert (one, hashes) == decisions(lab, tmp_path, "two", 7)
    assert one != decisions(lab, tmp_path, "three", 8)[0]
    flags = {flag for _, _, flags in one for flag in (CORRUPTED, DUPLICATE, REORDERED) if flags & flag}
    assert flags == {CORRUPTED, DUPLICATE, REORDERED} and {v for _, v, _ in one} == {SENT, LOST}


def test_duplicates_come_twice_and_are_counted(lab):
    line = lab.shape("--duplicate", "100%", "--delay", "1ms", "--json")
    wire = Wire(lab)
    wire.send(range(100))
    assert sorted(wire.numbers(200)) == sorted([*range(100), *range(100)])
    wire.silent()
    ab = line.totals()["directions"][0]
    assert (ab["frames_in"], ab["duplicated"], ab["frames_out"]) == (100, 100, 200)


def test_so_many_bits_are_flipped_as_was_asked(lab):
    lab.shape("--corrupt", "100%,3", "--seed", "1")
    wire = Wire(lab)
    sent = [wire.frame(n, 200) for n in range(50)]
    # Addresses and type are harmed as well: only who asks for everything sees all of them.
    wire.receiver = wire.target.packet_socket("wan")
    wire.send(range(50), 200)
    for want, got in zip(sent, wire.receive(50)):
        differing = sum(bin(x ^ y).count("1") for x, y in zip(want, got))
        assert len(got) == len(want) and differing == 3


def test_a_frame_check_drops_what_is_corrupted(lab, tmp_path):
    line = lab.shape("--corrupt", "50%", "--frame-check", "yes", "--json", "--log", str(tmp_path / "log"))
    wire = Wire(lab)
    wire.send(range(400))
    wait_for(lambda: line.show()["directions"][0]["frames_in"] == 400, 10, "all frames to have come")
    ab = line.totals()["directions"][0]
    dropped = {r.number for r in frame_log(tmp_path / "log", 0) if r.verdict == CHECK}
    assert len(dropped) == ab["drops"]["frame_check"] == ab["corrupted"] > 0
    assert wire.numbers(400 - len(dropped)) == [n for n in range(400) if n + 1 not in dropped]


def test_reordered_frames_skip_the_delay_at_their_gap(lab):
    lab.shape("--delay", "300ms", "--reorder", "100%", "--reorder-gap", "5")
    wire = Wire(lab)
    wire.send(range(1, 21))
    assert wire.numbers(20) == [5, 10, 15, 20] + [n for n in range(1, 21) if n % 5]


def test_jitter_reorders_only_if_it_may(lab):
    line = lab.shape("--delay", "20ms", "--jitter", "15ms", "--seed", "3")
    wire = Wire(lab)
    wire.send(range(300))
    assert wire.numbers(300) == list(range(300))
    line.set("--reorder-by-jitter", "yes")
    wire.send(range(300))
    got = wire.numbers(300)
    assert got != list(range(300)) and sorted(got) == list(range(300))


def test_a_rate_serialises_exactly_and_its_queue_counts_apart(lab, tmp_path):
    line = lab.shape("--rate", "2mbit", "--overhead", "ethernet", "--queue", "50frames", "--delay", "3ms",
                     "--json", "--log", str(tmp_path / "log"))
    wire = Wire(lab)
    wire.send(range(400), size=1000)
    ab = None

    def done():
        nonlocal ab
        ab = line.show()["directions"][0]
        return ab["frames_in"] == 400 and not ab["flight"]["frames"]
    wait_for(done, 30, "the queue to run empty")
    line.stop()
    records = frame_log(tmp_path / "log", 0)
    sent = [r for r in records if r.verdict == SENT]
    full = [r for r in records if r.verdict == QUEUE_FULL]
    assert len(sent) == ab["frames_out"] and len(full) == ab["drops"]["queue_full"] > 0
    assert ab["queue"]["max_bytes"] == 50 * 1000 and ab["drops"]["loss"] == 0
    for r, after in zip(sent, sent[1:]):
        start = max(r.due - 3 * MS, after.arrival)
        assert abs(after.due - 3 * MS - start - (1000 + 24) * 8 * 500) <= 1
    assert {r.backlog for r in full} == {50 * 1000}


@pytest.mark.parametrize("discipline", ["head", "codel"])
def test_other_disciplines_drop_others(lab, tmp_path, discipline):
    line = lab.shape("--rate", "200kbit", "--queue", "40frames", "--queue-discipline", discipline, "--log",
                     str(tmp_path / "log"))
    wire = Wire(lab)
    # Slower than a burst: CoDel wants to see the queue standing for its interval. A frame takes 40 ms to leave, so that
    # the queue fills up on a busy machine too.
    wire.send(range(200), size=1000, gap=0.003)
    wait_for(lambda: line.show()["directions"][0]["frames_in"] == 200
             and not line.show()["directions"][0]["flight"]["frames"], 30, "the queue to run empty")
    line.stop()
    verdicts = {r.number: r.verdict for r in frame_log(tmp_path / "log", 0)}
    assert len(verdicts) == 200 and verdicts[1] == SENT
    if discipline == "head":
        assert QUEUE_FULL in verdicts.values() and all(verdicts[n] == SENT for n in range(161, 201))
    else:
        assert QUEUE_CODEL in verdicts.values()


def test_a_trace_gives_frames_their_opportunities(lab, tmp_path):
    trace = tmp_path / "trace"
    # Far apart, so that on a busy machine too frames are there before their opportunities.
    trace.write_text("".join(f"{ms}\n" for ms in (20, 20, 80, 160)))
    line = lab.shape("--ab", f"--rate trace:{trace} --queue unlimited", "--log", str(tmp_path / "log"))
    wire = Wire(lab)
    wire.send(range(40), size=1504)
    assert wire.numbers(40) == list(range(40))
    line.stop()
    due = [r.due for r in frame_log(tmp_path / "log", 0)]
    steps = [(b - a) // MS for a, b in zip(due, due[1:])]
    # Opportunities at 20, 20, 80 and 160 ms of every 160: the gaps between them, wherever we came in.
    cycle = [0, 60, 80, 20]
    assert any(steps == [cycle[(i + k) % 4] for i in range(39)] for k in range(4)), steps
    assert all((b - a) % MS == 0 for a, b in zip(due, due[1:]))


def test_settings_change_while_it_runs_and_nothing_in_flight_is_lost(lab, tmp_path):
    line = lab.shape("--delay", "1500ms")
    wire = Wire(lab)
    wire.send(range(50))
    wait_for(lambda: line.show()["directions"][0]["flight"]["frames"] == 50, 5, "all frames to be in flight")
    line.set("--delay", "0ms", "--rate", "100mbit", "--ba", "--loss 100%")
    show = line.show()
    ab, ba = (d["settings"] for d in show["directions"])
    assert (ab["delay"], ab["rate"], ab["loss"]) == ("0ms", "100mbit", "none")
    assert (ba["delay"], ba["rate"], ba["loss"]) == ("0ms", "100mbit", "100%")
    assert wire.numbers(50) == list(range(50))
    back = Wire(lab, "ba")
    back.send(range(10))
    back.silent()
    line.set("--ba", "--loss none")
    back.send(range(10, 20))
    assert back.numbers(10) == list(range(10, 20))
    refused = line.set("--loss", "200%", check=False)
    assert refused.returncode == 2 and "200%" in refused.stderr and "--loss" in refused.stderr
    refused = line.set("--codel-target", "1ms", check=False)
    assert refused.returncode == 2 and "--queue-discipline codel" in refused.stderr
    os.mkfifo(tmp_path / "fifo")
    refused = line.set("--loss", f"list:@{tmp_path}/fifo", check=False)
    assert refused.returncode == 2 and "fifo" in refused.stderr and "regular file" in refused.stderr
    assert line.show()["directions"][0]["settings"] == ab


def test_presets_are_listed_with_their_sources_and_each_can_be_used(lab):
    listed = lab.node("line").run([longhaul(), "shape", "presets"]).stdout
    names = [line for line in listed.splitlines() if line and not line.startswith(" ")]
    assert {"wan2008-rtt0", "wan2008-rtt25", "wan2008-rtt50", "wan2008-rtt120"} <= set(names)
    assert listed.count("Source: ") == len(names)
    for name in names:
        line = lab.shape("--preset", name, "--duration", "1ms", "--json", "--buffer", "1M")
        assert line.wait() == 0, name


def test_a_configuration_file_says_the_same_as_options(lab, tmp_path):
    config = tmp_path / "line.conf"
    config.write_text("[line]\nname = filed\ndelay = 5ms\nloss = 10%\n\n[direction ba]\nloss = none\nrate = 1gbit\n")
    line = lab.shape("--config", str(config), "--delay", "7ms", "--name", "filed")
    ab, ba = (d["settings"] for d in line.show()["directions"])
    assert (ab["delay"], ab["loss"], ab["rate"]) == ("7ms", "10%", "none")
    assert (ba["delay"], ba["loss"], ba["rate"]) == ("7ms", "none", "1gbit")

