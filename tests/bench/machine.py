"""What a process used, from the kernel's own counts, and how busy the machine was."""

from __future__ import annotations

import os
import time
from pathlib import Path

MIB = 1024**2
_CPU_CLOCK = 2  # CPUCLOCK_SCHED: see clock_getcpuclockid(3), which Python does not have


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, to the nanosecond; /proc tells it in hundredths only."""
    return time.clock_gettime((~pid << 3) | _CPU_CLOCK)


def memory_mib(pid: int) -> float:
    """Resident memory of a process, as the kernel shows it in /proc/PID/status (VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / MIB
    raise ProcessLookupError(f"process {pid} has ended")


def load() -> str:
    """How busy the machine is just now, in words."""
    one, five, _ = os.getloadavg()
    before = _busy_and_total()
    time.sleep(1)
    after = _busy_and_total()
    share = (after[0] - before[0]) / max(1, after[1] - before[1])
    return f"load {one:.1f} (1 min), {five:.1f} (5 min); {share:.0%} of {os.cpu_count()} cores busy"


def _busy_and_total() -> tuple[int, int]:
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
