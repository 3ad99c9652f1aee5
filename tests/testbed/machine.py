"""What the bed changes of the whole machine, and how it is put back: modules, sysctls, control groups, folders."""

import contextlib
import os
import shutil
from pathlib import Path

from .errors import BedError
from .layout import NAMESPACE
from .processes import run, succeeds, wait_until

SYSCTLS = ("vm.overcommit_memory", "kernel.panic", "kernel.panic_on_oops")
MODULES = ("overlay", "loop", "nf_conntrack", "nf_tables", "veth", "bridge")
CGROUPS = Path("/sys/fs/cgroup")


def needs_root() -> None:
    if os.geteuid() != 0:
        raise BedError("the test bed needs root: it makes namespaces, mounts and loop devices")


def modules_be_loaded() -> None:
    """Load what a stock kernel has as modules; a kernel that has them built in, or none at all, is no error."""
    for module in MODULES:
        succeeds(["modprobe", "--quiet", module])


def sysctls_be_kept(path: Path) -> None:
    """Write down the sysctls that a kubelet sets for the whole machine, unless they are."""
    if not path.exists():
        path.write_text("".join(f"{name}={run(['sysctl', '-n', name])}" for name in SYSCTLS))


def sysctls_be_restored(path: Path) -> None:
    if path.exists():
        run(["sysctl", "-qw", *path.read_text().split()])
        path.unlink()


def cgroups_be_gone() -> None:
    """Remove the nodes' control groups; those of processes that are still ending take a moment."""
    tops = [*CGROUPS.glob(NAMESPACE), *CGROUPS.glob(f"*/{NAMESPACE}")]
    wait_until("the end of the nodes' control groups", lambda: all(_group_is_gone(top) for top in tops), 10)


def _group_is_gone(top: Path) -> bool:
    for folder, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not top.exists()


def be_removed(folder: Path) -> None:
    """Remove a folder of the bed with all that is in it.

    Raises:
        BedError: when something is mounted below it; nothing is removed then.
    """
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [path for path in mounted if Path(path).is_relative_to(folder.resolve())]
    if below:
        raise BedError(f"{folder} is not removed: mounted there is {', '.join(below)}")
    if folder.exists():
        shutil.rmtree(folder)
