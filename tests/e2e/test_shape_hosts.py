# SPDX-License-Identifier: GPL-3.0-or-later
"""`longhaul shape` between hosts that talk to each other, with all the offloads of theirs."""
import pytest
import shaped
from longhaul_lab import iperf3
from shaped import LOST, balanced, frame_log
from traffic import transfer

LAB = {"line": True, "wan_mtu": 9000}
lab = shaped.shared_lab
MIB = 1 << 20


def test_hosts_reach_each_other_by_both_families_and_pings_take_both_delays(lab):
    lab.shape("--delay", "20ms", "--ba", "--delay 30ms")
    a, b = lab.site("A"), lab.site("B")
    for address in (b.ip, b.ip6):
        out = a.run(["ping", "-n", "-q", "-c", "3", "-i", "0.2", "-W", "5", address]).stdout
        least = float(out.rpartition(" = ")[2].split("/")[0])
        assert least >= 50


def test_tcp_survives_corruption_because_checksums_are_those_of_the_wire(lab):
    line = lab.shape("--corrupt", "1%,3", "--delay", "1ms", "--json")
    transfer(lab.site("A"), lab.site("B"), 8 * MIB)
    ab = line.totals()["directions"][0]
    assert ab["corrupted"] > 0 and ab["frames_in"] > 5000 / 6


@pytest.mark.parametrize("without", [[], ["--without", "ring"]], ids=["ring", "no ring"])
def test_offloaded_tcp_meets_the_models_wire_frame_by_wire_frame(lab, tmp_path, without):
    line = lab.shape("--loss", "1%", "--seed", "1", "--delay", "2ms", "--json", "--log", str(tmp_path / "log"),
                     *without)
    for way in ("AB", "BA"):
        transfer(lab.site(way[0]), lab.site(way[1]), 8 * MIB)
    transfer(lab.site("A"), lab.site("B"), 4 * MIB, ipv6=True)
    ab, ba = line.totals()["directions"]
    assert ab["drops"]["loss"] > 0 and ba["drops"]["loss"] > 0
    records = frame_log(tmp_path / "log")
    assert max(r.length for r in records) == 9014
    assert sum(r.verdict == LOST for r in records) == ab["drops"]["loss"] + ba["drops"]["loss"]
    assert balanced(ab) and balanced(ba)


def test_super_frames_that_nothing_touches_are_counted_as_the_wire_frames_they_are(lab):
    line = lab.shape("--delay", "1ms", "--json")
    transfer(lab.site("A"), lab.site("B"), 16 * MIB)
    ab = line.totals()["directions"][0]
    # 16 MiB in segments of at most 8948 bytes, and their headers of at least 66.
    assert ab["frames_out"] >= 16 * MIB / 8948
    assert ab["bytes_out"] >= 16 * MIB + 66 * ab["frames_out"] - 66 * 10
    assert balanced(ab)


def test_a_hash_is_the_same_at_both_ends_whatever_the_offloads(lab, tmp_path):
    line = lab.shape("--log", str(tmp_path / "log"))
    transfer(lab.site("A"), lab.site("B"), MIB)
    line.stop()
    with_partial = [r.hash for r in frame_log(tmp_path / "log", 0)]
    assert len(set(with_partial)) > len(with_partial) * 0.9


def test_what_arrives_is_what_was_sent_without_the_kernel_s_offload_headers(make_lab):
    lab = make_lab(line=True, segmenting_wire=True)
    for letter in "AB":
        lab.site(letter).run(["ethtool", "-K", "wan", "tx", "off", "gro", "off"])
    lab.shape("--without", "vnet-hdr", "--loss", "0.1%", "--delay", "1ms")
    for way in ("AB", "BA"):
        transfer(lab.site(way[0]), lab.site(way[1]), 2 * MIB)


@pytest.mark.parametrize("options", [["--delay", "1ms"], ["--delay", "1ms", "--rate", "1gbit"]], ids=" ".join)
def test_super_frames_inside_vxlan_pass(make_lab, options):
    lab = make_lab(line=True)
    line = lab.shape(*options, "--json")
    a, b = lab.site("A"), lab.site("B")
    for near, far, address in ((a, b, "10.9.9.1/24"), (b, a, "10.9.9.2/24")):
        near.ip_batch(f"link add vx type vxlan id 7 remote {far.ip} dstport 4789 dev wan\n"
                      f"addr add {address} dev vx\nlink set vx up\n")
    assert iperf3(a, b, amount="8M", address="10.9.9.2")["bytes"] >= 4 * MIB
    ab = line.totals()["directions"][0]
    assert ab["drops"]["refused"] == 0 and ab["undivided"] == 0 and balanced(ab)
