"""How a role's process waits, and how it ends."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from openstack_csi.errors import Unavailable
from openstack_csi.ops.health import Progress
from openstack_csi.roles import process
from openstack_csi.roles.process import Stop, Stopped

ROLE = """
import sys, time
from openstack_csi.roles import process

def start(stop):
    stop.then("last", lambda: print("last", flush=True))
    {start}
    print("started", flush=True)

process.run("text", "info", start)
"""


@contextmanager
def role(start: str) -> Iterator[subprocess.Popen[str]]:
    """A process with a role of that one statement, once it says that it has started."""
    with subprocess.Popen(
        [sys.executable, "-c", ROLE.format(start=start)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout
            assert child.stdout.readline() == "started\n"
            yield child
        finally:
            child.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_parts_in_reverse_order_and_the_process_leaves_with_0(number: signal.Signals) -> None:
    with role('stop.then("first", lambda: print("first", flush=True))') as child:
        child.send_signal(number)
        out, err = child.communicate(timeout=10)
    assert (child.returncode, out) == (0, "first\nlast\n")
    assert "stopped seconds=" in err


def test_a_part_that_fails_to_stop_keeps_no_other_from_it() -> None:
    with role('stop.then("first", lambda: 1 / 0)') as child:
        child.terminate()
        out, err = child.communicate(timeout=10)
    assert (child.returncode, out) == (0, "last\n")
    assert "could not stop in order part=first" in err


def test_the_end_takes_less_than_two_seconds_whatever_happens() -> None:
    assert process.DRAIN_SECONDS < process.STOP_SECONDS < 2


def test_a_part_that_hangs_does_not_hold_the_process() -> None:
    with role('process.STOP_SECONDS = 0.2; stop.then("first", lambda: time.sleep(60))') as child:
        began = time.monotonic()
        child.terminate()
        child.communicate(timeout=30)
    assert child.returncode == 0
    assert time.monotonic() - began < 20  # and not 60; the margin is for a busy machine


def test_a_second_signal_does_not_ask() -> None:
    with role('stop.then("first", lambda: (print("stopping", flush=True), time.sleep(60)))') as child:
        child.terminate()
        assert child.stdout
        assert child.stdout.readline() == "stopping\n"
        child.terminate()
        child.communicate(timeout=10)
    assert child.returncode == 128 + signal.SIGTERM


def test_a_role_that_cannot_start_says_why_in_one_line_and_leaves_with_1() -> None:
    code = (
        "from openstack_csi.errors import InvalidArgument\n"
        "from openstack_csi.roles import process\n"
        "def start(stop): raise InvalidArgument('--kubelet-dir: /x is not a directory')\n"
        "process.run('text', 'error', start)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stderr.endswith("cannot start: --kubelet-dir: /x is not a directory\n")
    assert done.stderr.count("\n") == 1


def failing(times: int, *reasons: str) -> Callable[[], str]:
    left = [Unavailable(reason, retry_after=0.0) for reason in reasons for _ in range(times)]

    def attempt() -> str:
        if left:
            raise left.pop(0)
        return "there"

    return attempt


def test_what_is_missing_is_said_once_and_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "RETRY_SECONDS", (0.001, 0.001))
    progress = Progress("starting")
    assert process.until(failing(3, "no file", "no token"), progress, Stop()) == "there"
    assert progress() == ""
    assert [record.getMessage() for record in caplog.records] == ["not ready: no file", "not ready: no token"]


def test_waiting_ends_when_the_process_shall_end() -> None:
    stop, progress = Stop(), Progress("starting")
    stop.ask()
    with pytest.raises(Stopped):
        process.until(failing(1, "no file"), progress, stop)
    assert progress() == "no file"
