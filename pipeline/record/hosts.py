"""The identity of a host, and of a process on it.

Owns telling two hosts apart, and a process from a later one of the same number. Does not own what a process
holds (`record/owners.py`).

A name is no identity: two containers may have the same, and their process numbers are equal more often than
not. So a host is its name with its machine id, the id of its boot and its namespace of process numbers.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import socket
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id", "/proc/sys/kernel/random/boot_id")
PID_NAMESPACE = "/proc/self/ns/pid"


@dataclass(frozen=True)
class Host:
    """A host as the owner of processes.

    Args:
        name: that people know it by.
        machine: tells it from every other one, also of the same name.
    """

    name: str
    machine: str

    @property
    def tag(self) -> str:
        """A short form for names of files: 8 hexadecimal digits."""
        return self.machine[:8]

    @staticmethod
    def here() -> Host:
        """The host of this process."""
        return _here()


@functools.cache
def _here() -> Host:
    parts = [socket.gethostname()]
    for path in MACHINE_IDS:
        with contextlib.suppress(OSError):
            parts.append(Path(path).read_text(encoding="ascii", errors="replace").strip())
    with contextlib.suppress(OSError):
        parts.append(str(Path(PID_NAMESPACE).readlink()))
    if len(parts) == 1:  # not Linux
        parts.append(f"{uuid.getnode():x}")
    return Host(parts[0], hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16])


def began(pid: int) -> str:
    """Start time of a process, as the system prints it; empty: there is no such process."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            words = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return ""
        # A zombie has ended, though its parent has not noticed; word 20 is the start in clock ticks.
        boot = Path("/proc/sys/kernel/random/boot_id")
        booted = boot.read_text(encoding="ascii").strip()[:8] if boot.is_file() else ""
        return "" if words[0] in "ZX" else f"{booted} {words[19]}"
    listed = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip()


def is_hidden(pid: int) -> bool:
    """Whether there is such a process, and the system shows it to its own user only (`hidepid` of /proc)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return False
