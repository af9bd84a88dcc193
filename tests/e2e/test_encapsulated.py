# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP inside VXLAN: the host's super-frames are those of the inner connection, and are cut as such."""
from types import SimpleNamespace

import pytest
from longhaul_lab import Host, Lab
from traffic import drops, transfer

MIB = 1 << 20


def vxlan(host: Host, number: int, remote: Host, ipv6: bool, *options: str) -> SimpleNamespace:
    """A VXLAN device towards a remote host, over IPv4 or IPv6; returns its inner end, a host to transfer()."""
    local, far = (host.ip6, remote.ip6) if ipv6 else (host.ip, remote.ip)
    host.ip_batch(f"link add vx0 type vxlan id 42 local {local} remote {far} dstport 4789 dev eth0 "
                  f"{' '.join(options)}\n"
                  f"addr add 10.99.0.{number}/24 dev vx0\n"
                  f"addr add fd99::{number}/64 dev vx0\n"
                  "link set vx0 up\n")
    return SimpleNamespace(ip=f"10.99.0.{number}", ip6=f"fd99::{number}", netns=host.netns)


def overlay(lab: Lab, one: str, other: str, *options: str,
            ipv6: bool = False) -> tuple[SimpleNamespace, SimpleNamespace]:
    """Two hosts and the VXLAN between them."""
    a, b = lab.host(one), lab.host(other)
    return vxlan(a, 1, b, ipv6, *options), vxlan(b, 2, a, ipv6, *options)


@pytest.mark.parametrize("options", [("noudpcsum",), ("udpcsum",)], ids=lambda options: options[0])
@pytest.mark.parametrize("ipv6", [False, True], ids=["inner-ipv4", "inner-ipv6"])
@pytest.mark.parametrize("transport", ["capsulator", "sealed"])
def test_every_byte_of_tcp_inside_vxlan_arrives(make_lab, transport, ipv6, options):
    lab = make_lab(segmenting_wire=True)
    if transport == "sealed":
        tunnels = [lab.sealed(letter) for letter in "AB"]
        for tunnel in tunnels:
            tunnel.peers_up()
    else:
        tunnels = [lab.tunnel(letter, "--outer", "capsulator") for letter in "AB"]
    a, b = overlay(lab, "hA", "hB", *options)
    transfer(a, b, 8 * MIB, ipv6)
    transfer(b, a, 8 * MIB, ipv6, seed=2)
    assert tunnels[0].status()["ports"][0]["in"]["super_frames"], "no super-frame was sent: nothing was tested"
    for tunnel in tunnels:
        assert "offload_malformed" not in drops(tunnel.status())
        assert "offload_unsupported" not in drops(tunnel.status())


@pytest.mark.parametrize("options", [("udp6zerocsumtx", "udp6zerocsumrx"), ("noudp6zerocsumtx",)],
                         ids=["no-checksum", "checksum"])
def test_so_it_does_over_ipv6(make_lab, options):
    lab = make_lab()
    tunnels = [lab.tunnel(letter, "--outer", "capsulator") for letter in "AB"]
    a, b = overlay(lab, "hA", "hB", *options, ipv6=True)
    transfer(a, b, 8 * MIB)
    transfer(b, a, 8 * MIB, ipv6=True, seed=2)
    assert tunnels[0].status()["ports"][0]["in"]["super_frames"], "no super-frame was sent: nothing was tested"
    for tunnel in tunnels:
        assert "offload_malformed" not in drops(tunnel.status())
