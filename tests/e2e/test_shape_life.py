# SPDX-License-Identifier: GPL-3.0-or-later
"""`longhaul shape` from start to end: what it refuses, what comes and goes, what it leaves behind."""
import json
import os
import signal

import pytest
import shaped
from longhaul_lab import longhaul, wait_for
from shaped import Wire, balanced, frame_log

LAB = {"line": True}
lab = shaped.shared_lab


def shape(lab, *words):
    """Run the command to its end, in the node of the line."""
    return lab.node("line").run([longhaul(), "shape", *words], check=False, timeout=15)


FILES = {
    "empty.dist": "# nothing\n",
    "garbled.dist": "1 2 three\n",
    "empty.trace": "",
    "unsorted.trace": "5\n3\n",
    "zero.trace": "0\n0\n",
    "words.trace": "5\nsix\n",
    "bad.list": "1 2 x\n",
    "unknown.conf": "[line]\ninterfaces = ab ba\ndelya = 5ms\n",
    "value.conf": "[line]\ninterfaces = ab ba\n[direction ab]\nloss = 300%\n",
    "direction.conf": "[line]\ninterfaces = ab ba\n[direction cd]\nloss = 3%\n",
}

REFUSED = [
    ("", ["two interfaces"]),
    ("ab", ["second interface", "ab"]),
    ("ab ab", ["ab", "twice"]),
    ("ab nosuch", ["nosuch"]),
    ("ab lo", ["lo", "not an Ethernet"]),
    ("ab ba more", ["more than two"]),
    ("ab ba --delay 61s", ["--delay", "61s", "1m"]),
    ("ab ba --delay 60", ["--delay", "60", "60ms"]),
    ("ab ba --delay -5ms", ["--delay", "-5ms"]),
    ("ab ba --jitter 5", ["--jitter", "5"]),
    ("ab ba --jitter 5ms,120%", ["--jitter", "120%"]),
    ("ab ba --jitter 5ms --distribution gauss", ["--distribution", "gauss", "normal"]),
    ("ab ba --jitter 5ms --distribution {tmp}/nosuch.dist", ["--distribution", "nosuch.dist", "No such file"]),
    ("ab ba --jitter 5ms --distribution {tmp}/empty.dist", ["--distribution", "empty.dist"]),
    ("ab ba --jitter 5ms --distribution {tmp}/garbled.dist", ["--distribution", "garbled.dist", "three"]),
    ("ab ba --distribution normal", ["--distribution", "--jitter"]),
    ("ab ba --reorder-by-jitter yes", ["--reorder-by-jitter", "--jitter"]),
    ("ab ba --reorder 5%", ["--reorder", "--delay"]),
    ("ab ba --delay 5ms --reorder-gap 4", ["--reorder-gap", "--reorder"]),
    ("ab ba --loss 101%", ["--loss", "101%"]),
    ("ab ba --loss bursts:3", ["--loss", "bursts"]),
    ("ab ba --loss gilbert:5%,30%,1,2", ["--loss", "1-K", "2"]),
    ("ab ba --loss markov:60%,10%,10%,10%,60%", ["--loss", "P13", "P14"]),
    ("ab ba --loss list:5-2", ["--loss", "5-2"]),
    ("ab ba --loss list:@{tmp}/bad.list", ["--loss", "bad.list", "x"]),
    ("ab ba --loss list:@{tmp}/fifo", ["--loss", "fifo", "regular file"]),
    ("ab ba --duplicate 1.5", ["--duplicate", "1.5"]),
    ("ab ba --corrupt 5%,0", ["--corrupt", "0"]),
    ("ab ba --corrupt ber:2", ["--corrupt", "2"]),
    ("ab ba --frame-check yes", ["--frame-check", "--corrupt"]),
    ("ab ba --rate 100", ["--rate", "100", "100mbit"]),
    ("ab ba --rate 0mbit", ["--rate", "0mbit"]),
    ("ab ba --rate trace:{tmp}/nosuch", ["--rate", "nosuch", "No such file"]),
    ("ab ba --rate trace:{tmp}/empty.trace", ["--rate", "empty.trace"]),
    ("ab ba --rate trace:{tmp}/unsorted.trace", ["--rate", "unsorted.trace", "3"]),
    ("ab ba --rate trace:{tmp}/zero.trace", ["--rate", "zero.trace"]),
    ("ab ba --rate trace:{tmp}/words.trace", ["--rate", "words.trace", "six"]),
    ("ab ba --queue 64K", ["--queue", "--rate"]),
    ("ab ba --rate 1mbit --queue 64", ["--queue", "64"]),
    ("ab ba --overhead atm", ["--overhead", "--rate"]),
    ("ab ba --rate 1mbit --overhead token-ring", ["--overhead", "token-ring", "atm"]),
    ("ab ba --rate 1mbit --queue-discipline red", ["--queue-discipline", "red", "codel"]),
    ("ab ba --rate 1mbit --codel-target 6ms", ["--codel-target", "codel"]),
    ("ab ba --rate 1mbit --queue-discipline codel --codel-target 200ms", ["--codel-target", "--codel-interval"]),
    ("ab ba --preset moon", ["--preset", "moon"]),
    ("ab ba --ab '--loss 5'", ["direction ab", "--loss", "5"]),
    ("ab ba --ab 'loss=5%'", ["--ab", "loss=5%"]),
    ("ab ba --ab '--losses 5%'", ["--ab", "--losses"]),
    ("ab ba --spin maybe", ["--spin", "maybe", "auto"]),
    ("ab ba --buffer 5X", ["--buffer", "X", "64K"]),
    ("ab ba --seed minus", ["--seed", "minus"]),
    ("ab ba --without magic", ["--without", "magic", "vnet-hdr"]),
    ("ab ba --log {tmp}", ["--log"]),
    ("ab ba --log {tmp}/no/such/place", ["--log", "no/such/place"]),
    ("ab ba --log {tmp}/bad.list", ["--log", "bad.list", "exists"]),
    ("--config {tmp}/nosuch.conf", ["nosuch.conf"]),
    ("--config {tmp}/unknown.conf", ["unknown.conf:3", "line", "delya"]),
    ("--config {tmp}/value.conf", ["loss", "300%"]),
    ("--config {tmp}/direction.conf", ["direction.conf:3", "cd", "ab"]),
    ("ab ba --colour red", ["--colour"]),
    ("show nosuch", ["nosuch"]),
    ("set nosuch --delay 5ms", ["nosuch"]),
    ("set --delay 5ms", ["which line"]),
    ("set ab-ba", ["what is to change"]),
    ("set ab-ba --delay 5", ["--delay", "5"]),
    ("presets all", ["no arguments"]),
]


@pytest.mark.parametrize("words, said", REFUSED, ids=[words or "nothing" for words, _ in REFUSED])
def test_what_cannot_be_is_refused_in_one_line_that_names_it(lab, tmp_path, words, said):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    os.mkfifo(tmp_path / "fifo")
    line = words.format(tmp=tmp_path)
    out = lab.node("line").sh(f"{longhaul()} shape {line}", check=False, timeout=15)
    assert out.returncode in (1, 2), out.stderr
    assert len(out.stderr.splitlines()) == 1, out.stderr
    for word in said:
        assert word in out.stderr, out.stderr
    assert out.stdout == ""


def test_help_teaches(lab):
    for words in (["--help"], ["set", "--help"], ["show", "--help"]):
        out = shape(lab, *words)
        assert out.returncode == 0 and "--" in out.stdout and "longhaul shape" in out.stdout


def promiscuity(node):
    """How often each end of the line was asked to take everything."""
    return [node.link(name)["promiscuity"] for name in ("ab", "ba")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_a_signal_ends_it_with_totals_and_nothing_left(lab, number):
    node = lab.node("line")
    before = promiscuity(node)
    line = lab.shape("--delay", "1ms")
    assert promiscuity(node) == [n + 1 for n in before]
    wire = Wire(lab)
    wire.send(range(10))
    assert wire.numbers(10) == list(range(10))
    assert line.stop(number=number) == 0
    assert "in 10 frames" in line.text() and "--delay 1ms" in line.text()
    assert promiscuity(node) == before


def test_totals_and_show_are_json_if_asked(lab):
    line = lab.shape("--delay", "1ms", "--json", "--seed", "5")
    wire = Wire(lab)
    wire.send(range(10))
    wire.receive(10)
    show = line.show()
    totals = line.totals()
    for doc in (show, totals):
        assert (doc["version"], doc["kind"], doc["name"], doc["seed"]) == (1, "line", "ab-ba", 5)
        assert [end["up"] for end in doc["interfaces"]] == [True, True]
        ab = doc["directions"][0]
        assert (ab["name"], ab["from"], ab["to"], ab["frames_out"]) == ("ab", "ab", "ba", 10)
        assert ab["delay_us"]["p50"] >= 1000 and ab["late_us"]["max"] >= 0 and balanced(ab)


def test_it_ends_by_itself_after_its_duration(lab):
    line = lab.shape("--duration", "300ms", wait=False)
    assert line.wait(10) == 0


def test_two_lines_cannot_share_an_interface_or_a_name(lab):
    lab.shape()
    second = shape(lab, "ab", "ba", "--name", "second")
    assert second.returncode == 2 and "ab" in second.stderr
    assert len(second.stderr.splitlines()) == 1


def test_status_of_a_line_is_shown_by_its_own_command(lab):
    lab.shape("--delay", "3ms")
    node = lab.node("line")
    assert "--delay 3ms" in shape(lab, "show").stdout
    assert json.loads(shape(lab, "show", "ab-ba", "--json").stdout)["kind"] == "line"
    out = node.run([longhaul(), "status", "ab-ba"], check=False)
    assert out.returncode == 2 and "longhaul shape show ab-ba" in out.stderr


def test_an_interface_that_goes_down_and_up_is_used_again(lab):
    line = lab.shape("--delay", "1ms")
    node = lab.node("line")
    wire = Wire(lab)
    node.run(["ip", "link", "set", "ba", "down"])
    wait_for(lambda: not line.show()["interfaces"][1]["up"], 10, "the line to know that ba is down")
    wire.send(range(5))
    wait_for(lambda: line.show()["directions"][0]["drops"]["link_down"] == 5, 10, "the frames to be counted")
    node.run(["ip", "link", "set", "ba", "up"])
    wait_for(lambda: line.show()["interfaces"][1]["up"], 10, "the line to know that ba is up")
    wire.send(range(5, 10))
    assert wire.numbers(5) == list(range(5, 10))
    back = Wire(lab, "ba")
    back.send(range(5))
    assert back.numbers(5) == list(range(5))


def test_an_interface_that_is_deleted_and_made_again_is_used_again(make_lab):
    lab = make_lab(line=True)
    line = lab.shape("--delay", "1ms")
    node, site = lab.node("line"), lab.site("B")
    node.run(["ip", "link", "del", "ba"])
    line.expect("ba is gone")
    node.ip_batch(f"link add ba index 90 type veth peer name wan index 91 netns {site.path} address {site.mac}\n"
                  "link set ba up\n")
    site.ip_batch("link set wan up\n")
    line.expect("ba is up")
    wait_for(lambda: line.show()["interfaces"][1]["up"], 10, "the line to know that ba is back")
    there = Wire(lab)
    there.send(range(5))
    assert there.numbers(5) == list(range(5))
    back = Wire(lab, "ba")
    back.send(range(5))
    assert back.numbers(5) == list(range(5))


def test_large_frames_for_a_small_interface_are_refused_and_counted(make_lab):
    lab = make_lab(line=True)
    node, site = lab.node("line"), lab.site("A")
    for where, name in ((node, "ab"), (site, "wan")):
        where.run(["ip", "link", "set", name, "mtu", "9000"])
    line = lab.shape()
    wire = Wire(lab)
    wire.send([1], size=4000)
    wait_for(lambda: line.show()["directions"][0]["drops"]["refused"] == 1, 10, "the frame to be counted")
    wire.send([2])
    assert wire.numbers(1) == [2]


def test_an_interface_that_is_renamed_is_none_of_ours_until_it_has_its_name_again(make_lab):
    lab = make_lab(line=True)
    line = lab.shape()
    node = lab.node("line")
    wire = Wire(lab)
    node.run(["ip", "link", "set", "ab", "name", "other"])
    wait_for(lambda: not line.show()["interfaces"][0]["up"], 10, "the line to know that ab is gone")
    wait_for(lambda: node.link("other")["promiscuity"] == 0, 10, "the interface to be left alone")
    wire.send(range(5))
    wire.silent()
    node.run(["ip", "link", "set", "other", "name", "ab"])
    wait_for(lambda: line.show()["interfaces"][0]["up"], 10, "the line to know that ab is back")
    wire.send(range(5, 10))
    assert wire.numbers(5) == list(range(5, 10))


def test_a_slow_interface_makes_frames_wait_and_loses_none(make_lab):
    lab = make_lab(line=True)
    # Far more than a socket's buffer holds.
    lab.node("line").run(["tc", "qdisc", "add", "dev", "ba", "root", "tbf", "rate", "100mbit", "burst", "20k",
                          "limit", "1000M"])
    line = lab.shape("--json")
    wire = Wire(lab)
    wire.send(range(20000), size=1000)
    assert wire.numbers(20000, timeout=60) == list(range(20000))
    ab = line.totals()["directions"][0]
    assert (ab["frames_out"], ab["drops"]["refused"], ab["drops"]["out_full"]) == (20000, 0, 0)


def test_a_change_reads_only_what_it_names_from_where_its_author_is(lab, tmp_path):
    (tmp_path / "trace").write_text("1\n2\n")
    line = lab.shape("--rate", f"trace:{tmp_path}/trace")
    (tmp_path / "trace").unlink()
    line.set("--delay", "1ms")
    (tmp_path / "lost").write_text("1-1000\n")
    lab.node("line").sh(f"cd {tmp_path} && {longhaul()} shape set ab-ba --loss list:@lost")
    wire = Wire(lab)
    wire.send(range(5))
    wire.silent()
    assert line.show()["directions"][0]["drops"]["loss"] == 5


def test_a_line_that_does_not_begin_leaves_no_log(lab, tmp_path):
    out = shape(lab, "ab", "ba", "--buffer", "1T", "--log", str(tmp_path / "log"))
    assert out.returncode == 2 and "--buffer" in out.stderr and not (tmp_path / "log").exists()


def test_frames_on_their_way_at_the_end_are_in_the_log(lab, tmp_path):
    line = lab.shape("--delay", "30s", "--log", str(tmp_path / "log"), "--json")
    wire = Wire(lab)
    wire.send(range(7))
    wait_for(lambda: line.show()["directions"][0]["flight"]["frames"] == 7, 10, "the frames to be in flight")
    assert line.totals()["directions"][0]["drops"]["unfinished"] == 7
    assert [r.verdict for r in frame_log(tmp_path / "log", 0)] == [9] * 7
