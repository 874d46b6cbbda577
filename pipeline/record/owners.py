"""Which process does something, so that another one can tell whether it is still there.

Owns naming a process so that a later one with the same number is not taken for it. Does not own what is
done about one that is gone.
"""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Any


def this() -> dict[str, str | int]:
    """The process that asks: host, number, and when it began."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "began": _began(os.getpid())}


def is_alive(owner: Any) -> bool:
    """Whether a process that `this` named may still run; of other hosts nothing is known, so it may."""
    if not isinstance(owner, dict):
        return False
    if owner.get("host") != socket.gethostname():
        return True
    return _began(int(owner.get("pid", 0))) == owner.get("began") != ""


def _began(pid: int) -> str:
    """When a process began, in the system's own words; empty where there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            words = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return ""
        # A zombie is gone, though its parent has not noticed; word 20 counts clock ticks since boot.
        boot = Path("/proc/sys/kernel/random/boot_id")
        booted = boot.read_text(encoding="ascii").strip()[:8] if boot.is_file() else ""
        return "" if words[0] in "ZX" else f"{booted} {words[19]}"
    told = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return told.stdout.strip()
