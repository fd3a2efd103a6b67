"""What this process may use of the machine: cores, instruction sets, memory; with the limits of containers.

Owns no policy: how many threads or bytes to take is decided by whoever asks.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from candlewick.core.errors import InvalidRequestError

ISA_VARIABLE = "CANDLEWICK_ISA"
"""Environment variable that forces an instruction set wherever the configuration names none."""

_CGROUP = Path("/sys/fs/cgroup")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def available_cores() -> int:
    """Cores that this process may run on: affinity mask and container quota, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cores()
    return max(1, cores if quota is None else min(cores, int(quota)))


def choose_instruction_set(wanted: str | None) -> str:
    """``wanted``, else what :data:`ISA_VARIABLE` says, else the best that this CPU has.

    Raises:
        InvalidRequestError: the kernels or the CPU don't have it.
    """
    from candlewick import _kernels

    known = _kernels.instruction_sets()
    name, source = (wanted, "isa") if wanted else (os.environ.get(ISA_VARIABLE), ISA_VARIABLE)
    if not name:
        return known[0]
    if name not in known:
        raise InvalidRequestError(f"{source} is {name!r}; this CPU can run {', '.join(known)}", source)
    return name


def available_memory_bytes() -> int | None:
    """Memory that can be taken without pushing others out; ``None`` where the system does not tell."""
    limits = [limit for limit in (_system_memory(), _cgroup_memory()) if limit is not None]
    return min(limits) if limits else None


def largest_cache_bytes() -> int:
    """The largest cache of a core, shared or its own; 0 where the system does not tell."""
    texts = [_read(path) or "" for path in _CACHES.glob("index*/size")]
    sizes = (int(text[:-1]) * _UNITS.get(text[-1], 0) for text in texts if text[:-1].isdigit())
    return max(sizes, default=0)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _cgroup_cores() -> float | None:
    """The quota of control groups, version 2 or 1."""
    limit = _read(_CGROUP / "cpu.max")
    if limit is not None:
        quota, _, period = limit.partition(" ")
        return None if quota == "max" else max(1.0, int(quota) / int(period or 100_000))
    quota_v1, period_v1 = _read(_CGROUP / "cpu/cpu.cfs_quota_us"), _read(_CGROUP / "cpu/cpu.cfs_period_us")
    if quota_v1 is None or period_v1 is None or int(quota_v1) <= 0:
        return None
    return max(1.0, int(quota_v1) / int(period_v1))


def _cgroup_memory() -> int | None:
    for limit_name, used_name in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        limit, used = _read(_CGROUP / limit_name), _read(_CGROUP / used_name)
        if limit is not None and used is not None and limit != "max":
            return max(0, int(limit) - int(used))
    return None


def _system_memory() -> int | None:
    if sys.platform == "linux":
        for line in (_read(Path("/proc/meminfo")) or "").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        # Elsewhere only the size of the machine is known without another dependency.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return None
