"""The bed itself, for tests and the demo: `Bed().up()` and everything that may be done to what it started.

Starting is idempotent: what runs is left alone, what is built or installed is not built again. Root is needed.
"""

import contextlib
import fcntl
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from . import builds, control_plane, driver_image, machine, network, packages
from .errors import BedError
from .images import Archive, small_images
from .layout import HOME_ADDRESS, NAMESPACE, ZONE, Layout
from .node import Node
from .node_config import NodeSpec
from .openstack import bed as cloud
from .processes import Processes, Running, run, started_at
from .progress import Progress, Say, parallel


class Bed:
    """The one bed of this machine. `progress` says what is done; the default writes to standard output."""

    def __init__(self, layout: Layout | None = None, progress: Progress | None = None):
        self.layout = layout or Layout.of()
        self.progress = progress or Progress(self.layout.durations)
        self.processes = Processes(self.layout.pids, self.layout.logs)

    # -- set-up

    def prepare(self, *, kubernetes: bool = True, openstack: bool = True, image: bool = False) -> None:
        """Install and build what `up` and `build_image` need, side by side; quick when it is there.

        Raises:
            BedError: with the reasons of all parts that failed; the others are done.
        """
        machine.needs_root()
        installs: dict[str, Callable[[], object]] = {}
        if openstack:
            installs["OpenStack"] = self._install_openstack
        if image:
            installs["image"] = lambda: driver_image.build(self.layout, self.progress)
        names = (*packages.KUBERNETES, *packages.PYTHON, *cloud.PACKAGES, *(packages.IMAGE if image else ()))

        def install() -> None:
            self._packages(names)
            parallel(installs)

        tasks: dict[str, Callable[[], object]] = {"installs": install}
        if kubernetes:
            tasks["Kubernetes"] = lambda: builds.kubernetes(self.layout, self.progress)
            tasks["containerd"] = lambda: builds.containerd(self.layout, self.progress)
        parallel(tasks)

    def build_image(self) -> Archive:
        """The driver's image, built when its sources in the checkout changed, and imported into the nodes that run."""
        self._packages(packages.IMAGE)
        archive = driver_image.build(self.layout, self.progress)
        self._give([archive])
        return archive

    # -- up and down

    def up(
        self, nodes: int = 2, kubernetes: bool = True, openstack: bool = True, zones: Sequence[str] = (ZONE,)
    ) -> None:
        """Start what does not run, and wait until it is usable; nodes go round the zones.

        Raises:
            BedError: what did not come up, why, and where its log is.
        """
        with self._locked():
            self.prepare(kubernetes=kubernetes, openstack=openstack)
            self.layout.state.mkdir(parents=True, exist_ok=True)
            if kubernetes and not self.processes.alive("etcd"):
                self._forget_cluster()
            network.home_be_there()
            parts: dict[str, Callable[[], object]] = {}
            if openstack:
                parts["OpenStack"] = self._start_openstack
            if kubernetes:
                parts["control plane"] = self._start_control_plane
            parallel(parts)
            if kubernetes:
                self._start_nodes([(i + 1, zones[i % len(zones)]) for i in range(nodes)], openstack)

    def down(self, purge: bool = False) -> None:
        """Stop all of it. The next `up` starts empty; what there was is left to look at, unless `purge`."""
        machine.needs_root()
        with self._locked():
            with self.progress.step("stop"):
                parallel({node.name: node.cut_power for node in self.nodes})
                for name in control_plane.NAMES:
                    self.processes.stop(name)
                if self.layout.openstack.exists():
                    cloud.down(self.layout.openstack)
                network.be_gone()
                machine.sysctls_be_restored(self._sysctls)
                machine.cgroups_be_gone()
            if purge:
                machine.be_removed(self.layout.state)

    def cache_clean(self) -> None:
        """Remove everything that was built or installed.

        Raises:
            BedError: while the bed runs: it uses the cache.
        """
        with self._locked():
            if self.running():
                raise BedError("the bed runs and uses the cache: `down` first")
            machine.be_removed(self.layout.cache)

    def running(self) -> list[Running]:
        """What runs: Kubernetes' programs, the nodes, and OpenStack's services."""
        there = self.layout.openstack.exists() and network.exists(NAMESPACE)
        services = cloud.status(self.layout.openstack)["services"] if there else {}
        openstack = [
            Running(name, each["pid"], started_at(each["pid"]), Path(each["log"]))
            for name, each in services.items()
            if each["pid"]
        ]
        return self.processes.running() + openstack

    # -- use

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig, self-contained; its server is reached from within (`enter`)."""
        return self.layout.kubeconfig

    @property
    def clouds_yaml(self) -> Path:
        """The clouds of the OpenStack half; they are reached from within (`enter`)."""
        return cloud.clouds_yaml(self.layout.openstack)

    @property
    def environment(self) -> dict[str, str]:
        """What a client's environment must have to find what runs."""
        found = {"KUBECONFIG": str(self.kubeconfig)} if self.kubeconfig.exists() else {}
        if self.layout.openstack.exists():
            found["OS_CLIENT_CONFIG_FILE"] = str(self.clouds_yaml)
        return found

    def enter(self, argv: Sequence[str | Path]) -> list[str]:
        """The command that runs `argv` where Kubernetes and OpenStack are reached."""
        return network.entered(NAMESPACE, argv)

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002  as subprocess.run names it
        """Run kubectl as the admin and return what it printed.

        Raises:
            BedError: when it fails, with its last words.
        """
        return run(control_plane.kubectl(self.layout, *args), stdin=input)

    @property
    def nodes(self) -> list[Node]:
        """The nodes that this bed has, also those that are off."""
        found = [int(path.parent.name.partition("-")[2]) for path in self.layout.state.glob("node-*/plan.json")]
        return [Node(self.layout, self.processes, index) for index in sorted(found)]

    def node(self, name: str) -> Node:
        """The node of that name.

        Raises:
            BedError: when the bed has none.
        """
        nodes = {node.name: node for node in self.nodes}
        if name not in nodes:
            raise BedError(f"no node {name}; there are {', '.join(nodes) or 'none'}")
        return nodes[name]

    def node_pid(self, name: str) -> int | None:
        """The first process of a node, None when the node is off."""
        return self.node(name).pid

    def cut_power(self, name: str) -> None:
        """Switch a node off, hard. Its Nova server, and what is attached to it, stays as it is."""
        self.node(name).cut_power()

    def restart_node(self, name: str) -> None:
        """Switch a node off, hard, unless it is off, and on again as the same server; returns when it is Ready."""
        node = self.node(name)
        with self.progress.step(f"restart of {name}") as say:
            node.cut_power()
            node.start()
            node.be_ready(say)

    def restart_kubelet(self, name: str) -> None:
        """End a node's kubelet and wait until the next one answers."""
        node = self.node(name)
        with self.progress.step(f"restart of the kubelet of {name}") as say:
            node.restart_service("kubelet", say)
            node.be_ready(say)

    def exec_on_node(self, name: str, argv: Sequence[str | Path], input: str | None = None) -> str:  # noqa: A002
        """Run a command in a node's mount, pid and network namespaces and return what it printed.

        Raises:
            BedError: when it fails, with its last words.
        """
        return self.node(name).execute(argv, stdin=input)

    def import_image(self, path: Path) -> None:
        """Import a docker-archive, under the names that it holds, into the nodes that run."""
        self._give([Archive(path.name, path.resolve())])

    # -- parts

    @property
    def _sysctls(self) -> Path:
        return self.layout.state / "sysctl"

    def _packages(self, names: Sequence[str]) -> None:
        if packages.missing(names):
            with self.progress.step("Debian packages") as say:
                packages.be_installed(names, say)

    def _install_openstack(self) -> None:
        with self.progress.step("install of OpenStack") as say:
            cloud.install(say)

    def _start_openstack(self) -> None:
        with self.progress.step("start of OpenStack") as say:
            cloud.up(self.layout.openstack, HOME_ADDRESS, NAMESPACE, say)

    def _forget_cluster(self) -> None:
        """OpenStack starts empty, and objects of an earlier cluster would name volumes that are no more."""
        for node in self.nodes:
            node.cut_power()
        for folder in (self.layout.etcd, self.layout.logs, *self.layout.state.glob("node-[0-9]*/")):
            machine.be_removed(folder)

    def _start_control_plane(self) -> None:
        with self.progress.step("start of the control plane") as say:
            machine.modules_be_loaded()
            machine.sysctls_be_kept(self._sysctls)
            control_plane.certificates_be_made(self.layout)
            control_plane.start_server(self.layout, self.processes)
            control_plane.start_controllers(self.layout, self.processes, say)

    def _start_nodes(self, places: Sequence[tuple[int, str]], openstack: bool) -> None:
        archives = small_images(self.layout)
        latest = driver_image.latest(self.layout)
        if latest:
            archives.append(latest)

        def start(index: int, zone: str, say: Say) -> None:
            node = Node(self.layout, self.processes, index)
            node.be(self._spec(node, zone, openstack))
            node.start()
            node.be_given(archives, say)
            node.be_ready(say)

        with self.progress.step("start of the nodes") as say:
            parallel({f"node-{i}": partial(start, i, zone, say) for i, zone in places})

    def _spec(self, node: Node, zone: str, openstack: bool) -> NodeSpec:
        """What the node is to be: a Nova server, made when it is not there; a mere folder without OpenStack."""
        if not openstack:
            return NodeSpec(node.index, zone, "", self.layout.node(node.name) / "hardware")
        server = cloud.ensure_server(self.layout.openstack, node.name, zone)
        return NodeSpec(node.index, zone, server.id, Path(server.directory))

    def _give(self, archives: Sequence[Archive]) -> None:
        lacking = [node for node in self.nodes if node.pid and not all(node.has(archive) for archive in archives)]
        if lacking:
            with self.progress.step("import of images") as say:
                parallel({node.name: partial(node.be_given, archives, say) for node in lacking})

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One `up`, `down` or `cache-clean` at a time."""
        path = self.layout.state.with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.progress.line(f"waiting for another program that starts or stops the bed ({path})")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
