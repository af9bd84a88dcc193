# SPDX-License-Identifier: GPL-3.0-or-later
"""Split TCP with the programs that infrastructure runs: copies by ssh, disks by NBD, files by NFS 4.

Each is run as its users run it, over a path of 40 ms; what arrives is compared, and the tunnels are asked
meanwhile whether it was their stack that carried it.
"""
import contextlib
import hashlib
import os
import shutil
import threading

import pytest
from accel import TIMEOUT, bypassed, connections, flows, start
from longhaul_lab import Lab, wait_for
from traffic import stream

MIB = 1 << 20
SSH, NBD, NFS = 2222, 10809, 2049


@pytest.fixture(scope="module")
def site(make_module_lab):
    """A laboratory with accelerating tunnels that the tests of this module share: (lab, A, B)."""
    lab = make_module_lab(line=True)
    lab.shape("--delay", "20ms")
    return (lab, *start(lab))


@contextlib.contextmanager
def accelerated(site, port):
    """While the body runs, a connection to this port must be seen as accelerated at both sites, with all it tells."""
    lab, *tunnels = site
    before = [connections(tunnel) for tunnel in tunnels]
    seen: list[dict] = [{}, {}]
    over = threading.Event()

    def look():
        while not over.wait(0.01):
            for found, tunnel, key in zip(seen, tunnels, ("remote_port", "local_port")):
                for flow in flows(tunnel):
                    if flow[key] == port and flow["state"] == "accelerated":
                        found.update(flow)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(TIMEOUT)
    assert [flow.get("side") for flow in seen] == ["client", "server"], "it was not seen to be accelerated"
    for flow in seen:
        assert flow["wan"]["rtt_ms"] >= 40
    for tunnel in tunnels:
        wait_for(lambda t=tunnel: t.status()["accel"]["flows"] == 0, TIMEOUT, "all flows to end")
        assert bypassed(tunnel) == {}
    assert connections(tunnels[0])["opened"] > before[0].get("opened", 0)
    assert connections(tunnels[1])["accepted"] > before[1].get("accepted", 0)


def served(lab: Lab, port: int, *argv: str, name: str, **popen):
    """Start a server at hB and wait until it listens."""
    server = lab.host("hB").popen(list(argv), name, **popen)
    wait_for(lambda: lab.host("hB").listening(port) or not server.running(), TIMEOUT, f"{name} to listen")
    assert server.running(), server.describe()
    return server


def made(lab: Lab, name: str, size: int, seed: int):
    """A file of the laboratory, in a directory of its own, and its hash."""
    path = lab.tmp / name / "file"
    path.parent.mkdir()
    path.write_bytes(stream(size, seed))
    return path, sha256(path)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_scp_copies_both_ways(site):
    lab = site[0]
    a = lab.host("hA")
    keys = lab.tmp / "ssh"
    keys.mkdir()
    for name in ("host", "user"):
        a.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)])
    (keys / "sshd_config").write_text(
        f"Port {SSH}\nListenAddress {lab.host('hB').ip}\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/user.pub\n"
        f"PidFile {keys}/pid\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n")
    os.makedirs("/run/sshd", mode=0o755, exist_ok=True)     # sshd insists on it
    served(lab, SSH, "/usr/sbin/sshd", "-D", "-e", "-f", f"{keys}/sshd_config", name="sshd")
    scp = ["scp", "-q", "-B", "-i", f"{keys}/user", "-P", str(SSH), "-o", "StrictHostKeyChecking=no", "-o",
           f"UserKnownHostsFile={keys}/known"]
    source, wanted = made(lab, "scp", 3 * MIB, 1)
    there, back = source.with_name("there"), source.with_name("back")
    with accelerated(site, SSH):
        a.run([*scp, str(source), f"root@{lab.host('hB').ip}:{there}"])
        a.run([*scp, f"root@{lab.host('hB').ip}:{there}", str(back)])
    assert sha256(there) == sha256(back) == wanted


def test_a_disk_is_copied_by_nbd_both_ways(site):
    lab = site[0]
    source, wanted = made(lab, "nbd", 8 * MIB, 2)
    disk, back = source.with_name("disk"), source.with_name("back")
    disk.write_bytes(bytes(8 * MIB))
    server = served(lab, NBD, "qemu-nbd", "-t", "-f", "raw", "-x", "disk", "-b", lab.host("hB").ip, "-p", str(NBD),
                    str(disk), name="qemu-nbd")
    url = f"nbd://{lab.host('hB').ip}:{NBD}/disk"
    with accelerated(site, NBD):
        lab.host("hA").run(["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(source), url])
        lab.host("hA").run(["qemu-img", "compare", "-f", "raw", "-F", "raw", str(source), url])
        lab.host("hA").run(["qemu-img", "convert", "-f", "raw", "-O", "raw", url, str(back)])
    server.stop()
    assert sha256(disk) == sha256(back) == wanted


def test_files_go_by_nfs_4_both_ways(site):
    """The client's library reads files of any size, but cannot write more than one short record (libnfs 4.0)."""
    lab = site[0]
    source, wanted = made(lab, "nfs", 2 * MIB, 3)
    short, short_hash = made(lab, "nfs-short", 3000, 4)
    export = lab.tmp / "export"
    (export / "directory").mkdir(parents=True)
    shutil.copy(source, export / "directory" / "one")
    (lab.tmp / "ganesha.conf").write_text(
        "NFS_CORE_PARAM { NFS_Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;"
        f" Bind_addr = {lab.host('hB').ip}; NFS_Port = {NFS}; }}\n"
        "NFSV4 { Grace_Period = 1; Lease_Lifetime = 5; Graceless = true; RecoveryBackend = fs;"
        f" RecoveryRoot = {lab.tmp}/recovery; }}\n"
        f"EXPORT {{ Export_Id = 1; Path = {export}; Pseudo = /export; Access_Type = RW; Squash = No_Root_Squash;"
        " Protocols = 4; Transports = TCP; SecType = sys; FSAL { Name = VFS; } }\n"
        "LOG { Default_Log_Level = EVENT; }\n")
    (lab.tmp / "recovery").mkdir()
    server = served(lab, NFS, "ganesha.nfsd", "-F", "-L", "STDERR", "-f", str(lab.tmp / "ganesha.conf"), "-p",
                    str(lab.tmp / "ganesha.pid"), name="ganesha")
    a, url = lab.host("hA"), f"nfs://{lab.host('hB').ip}/export/directory"
    back, shown = source.with_name("back"), source.with_name("shown")
    with accelerated(site, NFS):
        a.run(["nfs-cp", str(short), f"{url}/two?version=4"])
        assert {line.split()[-1] for line in a.run(["nfs-ls", f"{url}?version=4"]).stdout.splitlines()} >= {"one", "two"}
        a.run(["nfs-cp", f"{url}/one?version=4", str(back)])
        a.sh(f"nfs-cat '{url}/one?version=4' > {shown}")
    server.stop()
    assert sha256(back) == sha256(shown) == wanted
    assert sha256(export / "directory" / "two") == short_hash
