"""The programs that a benchmark starts: the fake cloud, and the driver's roles as they run outside a cluster.

Each is a process of its own, so that its CPU time and memory are its own, and ends with the benchmark.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self
from urllib.request import ProxyHandler, Request, build_opener

CHECKOUT = Path(__file__).resolve().parents[2]
LOGS = CHECKOUT / "build" / "bench-logs"
START_SECONDS = 30.0
STOP_SECONDS = 10.0

_METRIC = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class NotInTime(Exception):
    """Something that should have happened did not."""


class Ended(Exception):
    """A program ended that should run."""


def until(what: str, look: Callable[[], object], seconds: float = START_SECONDS) -> None:
    """Look until there is something that counts as true.

    Raises:
        NotInTime: there was nothing in that time.
    """
    end = time.monotonic() + seconds
    while not look():
        if time.monotonic() > end:
            raise NotInTime(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)


def http(method: str, url: str) -> str:
    """One request past all proxies; the answer's text. Raises OSError."""
    with build_opener(ProxyHandler({})).open(Request(url, method=method), timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def free_port() -> int:
    """A port of the loopback that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Program:
    """A Python module that runs as a process, and logs into build/bench-logs.

    Args:
        name: of the log.
        argv: the module and its arguments.
        environment: variables beside our own.
        before: a command that replaces itself by the one that follows it.
    """

    SPEAKS = False
    """Its standard output is read here, instead of logged."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        LOGS.mkdir(parents=True, exist_ok=True)
        self.log = LOGS / f"{name}.log"
        self._name = name
        self._argv = [*before, sys.executable, "-m", *argv]
        self._environment = {**os.environ, "no_proxy": "*", **(environment or {})}
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it; its output is in `log`."""
        with self.log.open("w") as log:
            output = subprocess.PIPE if self.SPEAKS else log
            self._process = subprocess.Popen(
                self._argv, cwd=CHECKOUT, env=self._environment, stdout=output, stderr=log, text=True
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running.pid

    @property
    def output(self) -> IO[str]:
        """Its standard output, where it speaks."""
        stream = self._running.stdout
        assert stream is not None
        return stream

    def check(self) -> None:
        """Raise Ended when it has ended."""
        if self._running.poll() is not None:
            raise Ended(f"{self._name} ended with {self._running.returncode}; see {self.log}")

    def stop(self) -> None:
        """End it, hard when it does not go in time."""
        self._running.send_signal(signal.SIGTERM)
        try:
            self._running.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()

    @property
    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class CloudProgram(Program):
    """The fake cloud: 50 ms a call, 2 s to create, 3 s to attach and to detach, 1 s to delete."""

    SPEAKS = True
    TIMINGS = ("--latency=0.05", "--create=2", "--attach=3", "--detach=3", "--delete=1")

    def __init__(self, folder: Path, servers: int, timings: Sequence[str] = TIMINGS) -> None:
        self.clouds_yaml = folder / "clouds.yaml"
        argv = [*timings, f"--servers={servers}", "--max-disks=-1", f"--clouds-yaml={self.clouds_yaml}"]
        super().__init__("fakecloud", ["tests.fakecloud", *argv])
        self._url = ""

    def start(self) -> None:
        """Start it; returns when it serves."""
        super().start()
        self._url = self.output.readline().strip()
        self.check()

    def calls(self) -> Counter[str]:
        """Calls by kind since the last `forget_calls`."""
        return Counter(json.loads(http("GET", f"{self._url}/fake/calls"))["calls"])

    def forget_calls(self) -> None:
        """Count from zero."""
        http("POST", f"{self._url}/fake/reset-counts")

    def state(self) -> dict[str, Any]:
        """Volumes and servers."""
        found: dict[str, Any] = json.loads(http("GET", f"{self._url}/fake/state"))
        return found


class Controller(Program):
    """The controller role with the flags as shipped, but for its name, socket and port.

    Args:
        driver: the driver's name: another driver may run in the same cluster.
        folder: for its socket.
        environment: KUBECONFIG, OS_CLIENT_CONFIG_FILE, OS_CLOUD.
    """

    def __init__(self, driver: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._address = f"127.0.0.1:{free_port()}"
        argv = [
            "openstack_csi", "controller", f"--driver-name={driver}",
            f"--endpoint={folder}/csi.sock", f"--http-endpoint={self._address}",
        ]  # fmt: skip
        super().__init__("controller", argv, environment)

    def start(self) -> None:
        """Start it; returns when its watchers run."""
        super().start()
        until(f"the controller leads, see {self.log}", self._leads)

    def kube_requests(self) -> Counter[str]:
        """Requests to the API server so far, by verb, resource and status; without watches, and without the lease."""
        found: Counter[str] = Counter()
        for name, labels, value in self._metrics():
            told = dict(_LABEL.findall(labels))
            is_ours = name == "openstack_csi_kubernetes_requests_total" and told["verb"] not in ("watch", "list")
            if is_ours and told["resource"] != "leases":
                found[f"{told['verb']} {told['resource']} {told['status']}"] += int(float(value))
        return found

    def _metrics(self) -> list[tuple[str, str, str]]:
        return _METRIC.findall(http("GET", f"http://{self._address}/metrics"))

    def _leads(self) -> bool:
        self.check()
        try:
            ready = http("GET", f"http://{self._address}/readyz")
            leads = [value for name, _, value in self._metrics() if name == "leader_election_master_status"]
        except OSError:
            return False
        return bool(ready) and leads == ["1.0"]
