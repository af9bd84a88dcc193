# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the end-to-end tests: laboratories that come and go with a test or a module.

    @pytest.mark.lab(sites=3)
    def test_something(lab): …              # one laboratory for this test

    LAB = {"vlan": {"hA": 10}}              # options of this module's shared laboratory
    def test_something_else(module_lab): …  # built once for the module

    def test_two(make_lab):                 # as many as it takes
        first, second = make_lab(), make_lab(line=True)

Tests run on several workers at the same time (pytest-xdist, `make check-e2e`): what a test makes is its
laboratory's, or bears a name that nothing else has. Those with one xdist_group mark run on one worker.

When a test fails, the logs of all processes of its laboratories are in the report, and in
$LONGHAUL_ARTIFACTS, if that is set, with the captures. A test also fails, at its end, if a process
of its laboratories wrote a sanitizer's report.
"""
from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import uuid
from pathlib import Path
from typing import Callable, Iterator

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from longhaul_lab import Lab, WaitTimeout, describe, leftovers, longhaul, tail, wait_for  # noqa: E402
from traces import marked  # noqa: E402

SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:")
LOG_LINES = 60
SESSION_MARK = "LONGHAUL_TEST_SESSION"
WORKERS_MAX = 12

# A shell starts what it puts into the background with SIGINT ignored, and that is inherited by every program tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_labs: list[Lab] = []   # those open now, in the order in which they were built


def pytest_configure(config: pytest.Config) -> None:
    """What comes of this session and its workers is known by its environment."""
    if not hasattr(config, "workerinput"):
        os.environ[SESSION_MARK] = uuid.uuid4().hex


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """-n auto: tests wait more than they work."""
    return min(2 * len(os.sched_getaffinity(0)), WORKERS_MAX)


def pytest_sessionstart(session: pytest.Session) -> None:
    """The laboratories need root; without it no test can say anything."""
    if os.geteuid() != 0:
        pytest.exit("the end-to-end tests need root (network namespaces)", returncode=2)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """When all workers have ended, a crashed one too, nothing that they started may run on."""
    if hasattr(session.config, "workerinput"):
        return
    with contextlib.suppress(WaitTimeout):
        wait_for(lambda: not marked(SESSION_MARK, os.environ[SESSION_MARK]), 10)
        return
    text = "\n".join(["processes left behind:", *map(describe, marked(SESSION_MARK, os.environ[SESSION_MARK]))])
    session.config.hook.pytest_runtest_logreport(report=pytest.TestReport(
        "the session", ("the session", None, ""), {}, "failed", text, "teardown"))
    session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def _nothing_left() -> Iterator[None]:
    """After a worker's last test nothing of its laboratories may be there."""
    yield
    if leftovers():
        pytest.fail("laboratories left behind:\n" + "\n".join(leftovers()), pytrace=False)


def _sanitizer_reports(lab: Lab) -> str:
    return "\n".join(process.describe() for process in lab.started if SANITIZER.search(process.text()))


def _factory() -> Iterator[Callable[..., Lab]]:
    """Make laboratories until the scope ends, then close them, last made first."""
    mine: list[Lab] = []

    def make(**options: object) -> Lab:
        lab = Lab(**options)  # type: ignore[arg-type]
        mine.append(lab)
        _labs.append(lab)
        return lab

    yield make
    reports = []
    for lab in reversed(mine):
        lab.stop_processes()    # the reports of leaks and races come at the end
        reports.append(_sanitizer_reports(lab))
        lab.close()
        _labs.remove(lab)
    text = "\n".join(filter(None, reports))
    if text:
        pytest.fail(f"a sanitizer reported:\n{text}", pytrace=False)


@pytest.fixture
def make_lab() -> Iterator[Callable[..., Lab]]:
    """make_lab(**options) builds a laboratory that is closed after the test."""
    yield from _factory()


@pytest.fixture(scope="module")
def make_module_lab() -> Iterator[Callable[..., Lab]]:
    """make_module_lab(**options) builds a laboratory that is closed after the module's last test."""
    yield from _factory()


@pytest.fixture
def lab(request: pytest.FixtureRequest, make_lab: Callable[..., Lab]) -> Lab:
    """The test's own laboratory, with the options of its `lab` mark."""
    mark = request.node.get_closest_marker("lab")
    return make_lab(**(mark.kwargs if mark else {}))


@pytest.fixture(scope="module")
def module_lab(request: pytest.FixtureRequest, make_module_lab: Callable[..., Lab]) -> Lab:
    """The module's shared laboratory, with the options of the module's LAB."""
    return make_module_lab(**getattr(request.module, "LAB", {}))


@pytest.fixture(scope="session")
def program() -> str:
    """The program under test; tests that need it are skipped while it has not been built."""
    path = longhaul()
    if not os.access(path, os.X_OK):
        pytest.skip(f"{path} has not been built")
    return path


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """Put the logs of the laboratories' processes into the report of a failure."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for lab in _labs:
        for process in lab.started:
            if process.argv[0] == "tcpdump":    # it says nothing but counters
                continue
            report.sections.append((f"log of {process.name}", tail(process.text(), LOG_LINES)))
        if os.environ.get("LONGHAUL_ARTIFACTS"):
            name = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{item.nodeid}-{report.when}")
            shutil.copytree(lab.tmp, Path(os.environ["LONGHAUL_ARTIFACTS"], name), dirs_exist_ok=True)
