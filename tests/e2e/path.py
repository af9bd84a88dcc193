# SPDX-License-Identifier: GPL-3.0-or-later
"""A routed path between two sites, whose MTU can be changed, and whose router may be silent about it.

    hA ── border|siteA|wan ── ab|line|ba ── wan|siteB|border ── hB

The router enforces the MTU by its routes, each way for itself. What it says of packets that are too
long is filtered unless `icmp` is true.
"""
from __future__ import annotations

from typing import Any, Callable

from longhaul_lab import Lab, Tunnel, wait_for

NETS = {"A": (254, "ab"), "B": (253, "ba")}
SILENCE = ("table inet silence { chain out { type filter hook output priority 0; icmp type destination-unreachable "
           "drop; icmpv6 type packet-too-big drop; }; }\n")


class Path:
    """Two sites joined by a router."""

    def __init__(self, make_lab: Callable[..., Lab], mtu: int = 1500, icmp: bool = False, ipv6: bool = False,
                 **options: Any) -> None:
        options.setdefault("wan_mtu", 9000)
        self.lab = make_lab(line=True, **options)
        self.line, self.ipv6 = self.lab.node("line"), ipv6
        self.tunnels: dict[str, Tunnel] = {}
        self.line.sysctl({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1})
        for letter, (net, ifname) in NETS.items():
            self.line.sysctl({f"net.ipv6.conf.{ifname}.disable_ipv6": 0})
            self.line.ip_batch(f"addr add 198.51.{net}.1/24 dev {ifname}\n"
                               f"addr add 2001:db8:{net}::1/64 dev {ifname} nodad\n")
            self.line.sysctl({f"net.ipv4.conf.{ifname}.arp_ignore": 0})
            self.lab.site(letter).ip_batch(
                f"addr flush dev wan\naddr add 198.51.{net}.2/24 dev wan\naddr add 2001:db8:{net}::2/64 dev wan nodad\n"
                f"route add default via 198.51.{net}.1\nroute add default via 2001:db8:{net}::1\n")
        if not icmp:
            self.line.run("nft -f -", input=SILENCE)
        self.set(mtu)

    def set(self, mtu: int, towards: str = "AB") -> None:
        """What the path carries from now on, towards both sites or one."""
        for letter in towards:
            net, ifname = NETS[letter]
            self.line.ip_batch(f"route replace 198.51.{net}.0/24 dev {ifname} mtu lock {mtu}\n")
            self.line.run(f"ip -6 route replace 2001:db8:{net}::/64 dev {ifname} metric 256 mtu lock {max(mtu, 1280)}")

    def address(self, letter: str) -> str:
        """Where a site is."""
        net = NETS[letter][0]
        return f"2001:db8:{net}::2" if self.ipv6 else f"198.51.{net}.2"

    def start(self, *args: str, a: tuple[str, ...] = (), b: tuple[str, ...] = ()) -> tuple[Tunnel, Tunnel]:
        """A sealed tunnel at each site, both up; a and b are further options of one."""
        for letter, other, more in (("A", "B", a), ("B", "A", b)):
            self.tunnels[letter] = self.lab.tunnel(
                letter, "-t", "wan", "-f", self.address(other),
                *(word for i, port in enumerate(self.lab.site(letter).borders, 1) for word in ("-b", f"{port}:{i}")),
                *self.lab.sealed_args(letter), *args, *more)
        for tunnel in self.tunnels.values():
            tunnel.peers_up()
        return self.tunnels["A"], self.tunnels["B"]

    def known(self, mtu: int, timeout: float = 60) -> None:
        """Wait until both sites know that the path carries this, and so do those who clamp and tell."""
        for tunnel in self.tunnels.values():
            found(tunnel, mtu, timeout)


def found(tunnel: Tunnel, mtu: int, timeout: float = 60) -> None:
    """Wait until a site has found that its path carries this; it may go on looking for more."""
    def look() -> bool:
        peer = tunnel.status()["peers"][0]
        around = (48 if ":" in peer["name"] else 28) + 36 + 14
        return peer["path_mtu"] == mtu and peer["inner_mtu"] == max(mtu - around, 576)
    wait_for(look, timeout, f"{tunnel.name} to find {mtu}")
