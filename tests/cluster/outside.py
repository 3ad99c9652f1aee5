"""Both roles started from a shell, outside of the cluster, as a driver of another name."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.cluster.cluster import STORAGE, until
from tests.cluster.space import Space
from tests.demo.site import CHECKOUT, one_cloud
from tests.testbed.layout import NAMESPACE
from tests.testbed.node_config import CONFIG_DRIVE
from tests.testbed.openstack.namespace import inside

NODE = "node-1"
STOP_SECONDS = 10.0
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Answer(NamedTuple):
    """What a page of the controller says."""

    status: int
    text: str


class Outside:
    """A controller and the node service of one node, for as long as `stop` is not called.

    They have the names, the Lease and the volumes of the test's space to themselves. The clouds.yaml is the test's to
    write, at any time.
    """

    def __init__(self, space: Space, log: Path) -> None:
        self._bed = space.cluster.bed
        self._space = space
        self._folder = Path(tempfile.mkdtemp(prefix="csi-"))  # short: a socket's path has 107 bytes
        self._port = _free_port()
        self._processes: list[subprocess.Popen[bytes]] = []
        self.name = f"{space.name}.example.org"
        self._log = log
        log.unlink(missing_ok=True)

    # -- what it is told

    def be_given_clouds(self, text: str) -> None:
        """Let that be the clouds.yaml, whole at every moment."""
        new = self._folder / "clouds.new"
        new.write_text(text)
        new.replace(self._folder / "clouds.yaml")

    def good_clouds(self) -> str:
        return one_cloud(self._bed.clouds_yaml, "demo")

    # -- what runs

    def start_controller(self) -> None:
        arguments = [
            f"--driver-name={self.name}",
            f"--endpoint={self._folder}/csi.sock",
            f"--http-endpoint=127.0.0.1:{self._port}",
            f"--cluster-id={self._space.name}",
            f"--leader-election-namespace={self._space.name}",
        ]
        environment = {"KUBECONFIG": str(self._bed.kubeconfig), "OS_CLIENT_CONFIG_FILE": f"{self._folder}/clouds.yaml"}
        self._start(self._bed.enter([sys.executable, "-m", "openstack_csi", "controller", *arguments]), environment)

    def start_node(self) -> None:
        """Start the node service in the namespaces of a node, and wait until its kubelet knows it."""
        arguments = [f"--driver-name={self.name}", f"--config-drive={CONFIG_DRIVE}"]
        command = [sys.executable, "-m", "openstack_csi", "node", *arguments]
        self._start(self._bed.node(NODE).entered(command), {})
        until(f"{self.name} is registered on {NODE}", self._is_registered)

    def stop(self) -> None:
        """Ask both to end, and see that they did without complaint."""
        for process in self._processes:
            os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes:
            process.wait(STOP_SECONDS)
        shutil.rmtree(self._folder)

    @property
    def runs(self) -> bool:
        return all(process.poll() is None for process in self._processes)

    def _start(self, command: Sequence[str], environment: dict[str, str]) -> None:
        with self._log.open("ab") as log:
            # a session of its own: nsenter leaves its child alone when it is asked to end
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment, "PYTHONPATH": str(CHECKOUT)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)

    def _is_registered(self) -> bool:
        node = self._space.cluster.get(f"{STORAGE}/csinodes/{NODE}") or {"spec": {}}
        return self.name in {each["name"] for each in node["spec"].get("drivers") or []}

    # -- what it says

    def said(self) -> str:
        """The logs of both so far."""
        return self._log.read_text()

    def page(self, path: str) -> Answer | None:
        """A page of the controller; None while nobody answers."""
        url = f"http://127.0.0.1:{self._port}{path}"
        with inside(NAMESPACE):
            try:
                with _opener.open(url, timeout=5) as answer:
                    return Answer(answer.status, answer.read().decode())
            except urllib.error.HTTPError as error:
                with error:
                    return Answer(error.code, error.read().decode())
            except OSError:
                return None

    def until_ready(self) -> None:
        until("the controller is ready", lambda: (self.page("/readyz") or Answer(0, "")).status == 200)

    def until_unready(self, *words: str) -> str:
        """What /readyz says, once it is not ready and names these words."""

        def look() -> str | None:
            answer = self.page("/readyz")
            told = answer is not None and answer.status == 503 and all(word in answer.text for word in words)
            return answer.text if answer and told else None

        return until(f"/readyz says why not, with {', '.join(words)}", look)


def _free_port() -> int:
    with inside(NAMESPACE), socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
