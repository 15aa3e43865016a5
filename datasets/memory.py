"""How much memory there is to be had."""

import contextlib
import os


def available() -> int | None:
    """Returns the bytes of memory that this process may still take; None where the system does not say it."""
    known = [size for size in (_of_machine(), _of_container()) if size is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _of_container() -> int | None:
    """What is left of a container's limit; caches of files that the kernel can drop do not count as used."""
    folder = "/sys/fs/cgroup"
    with contextlib.suppress(OSError, ValueError):
        limit, used = (_number(os.path.join(folder, name)) for name in ("memory.max", "memory.current"))
        return limit - used + _dropped_first(os.path.join(folder, "memory.stat"))
    return None


def _number(path: str) -> int:
    with open(path, encoding="ascii") as file:
        return int(file.read())  # ValueError for `max`: no limit


def _dropped_first(path: str) -> int:
    with open(path, encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("inactive_file ", "active_file ")))
