"""The dry run of a bundle: its notebook's cells in a fresh environment that reaches no network, timed.

Owns the environment, the guard, running the cells on a copy of a test set, and what the times mean for the
hidden one. Does not own the cells (`predict/notebook.py`).

The environment is new (`python -m venv`); behind it stand the libraries of this one, or the oldest that a
predictor works with, as a host's image has them, and without Podium, which comes from the bundle's wheel. A
guard refuses every connection; where the system allows it, the process also runs in a network namespace that
has no way out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import DataError, StorageError
from pipeline.predict import bundle, texts
from pipeline.predict.oldest import Host

# The hidden set takes this many times as long as the rehearsal says: other machines, larger images.
MARGIN = 1.5
GUARD = '''"""Refuses every connection to a network; files and pipes of this machine stay."""
import socket


def refuse(self, address, *rest):
    raise OSError(f"the rehearsal has no network, and something connects to {address!r}")


def resolve(host, *rest, **more):
    raise OSError(f"the rehearsal has no network, and something looks for {host!r}")


socket.socket.connect = refuse
socket.socket.connect_ex = refuse
socket.getaddrinfo = resolve
'''
# Written by the last cell of the rehearsal.
TOLD = "told.json"
REPORT = """
import json as _json

(OUT.parent / "told.json").write_text(_json.dumps({
    "images": told.images, "seconds": told.seconds, "per_image": told.per_image, "least": told.least,
    "dropped": list(told.dropped),
    "unreadable": len(told.unreadable), "unanswered": told.unanswered, "notes": list(told.notes),
}))
"""


@dataclass(frozen=True)
class Rehearsed:
    """What a dry run measured.

    Args:
        images: that were predicted.
        seconds: of the whole run: installing, loading, predicting.
        per_image: seconds of one image.
        least: seconds of one image with one view of the fastest member.
        dropped: views and members, in words.
        unanswered: images that the time did not reach.
        csv: the written submission.
        isolated: whether a network namespace stood around it, beside the guard.
    """

    images: int
    seconds: float
    per_image: float
    least: float
    dropped: tuple[str, ...]
    unanswered: int
    csv: Path
    isolated: bool

    @property
    def fixed(self) -> float:
        """Seconds that do not depend on the number of images: installing, loading."""
        return max(self.seconds - self.images * self.per_image, 0.0)

    def expected(self, hidden: int) -> float:
        """Seconds for so many images, with the margin."""
        return self.fixed + MARGIN * hidden * self.per_image

    def shortest(self, hidden: int) -> float:
        """The same with one view of the fastest member."""
        return self.fixed + MARGIN * hidden * self.least


def rehearse(where: Path, competition: Path, out: Path, limit: str, host: Host | None = None) -> Rehearsed:
    """Run the notebook's cells on a copy of the host's folder.

    Args:
        where: the bundle.
        competition: the folder that stands for the host's.
        out: the folder that stands for the host's working folder.
        limit: time limit of the notebook, as text.
        host: the Python and the libraries of the host; None: those of this environment.

    Raises:
        StorageError: no environment can be made.
        DataError: the cells fail; the last lines of their output are named.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        python = environment(Path(temporary) / "env", host or ours())
        script = Path(temporary) / "notebook.py"
        script.write_text("\n\n".join([*bundle.cells(where), REPORT]), encoding="utf-8")
        names = {"INPUT": where, "COMPETITION": competition, "OUT": out, "LIMIT": limit}
        env = _without_ours() | {f"PODIUM_{name}": str(value) for name, value in names.items()}
        isolated = _namespace()
        begin = time.monotonic()
        done = subprocess.run(
            [*isolated, str(python), str(script)], cwd=out, env=env, capture_output=True, text=True
        )
        seconds = time.monotonic() - begin
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-12:]
        raise DataError(texts.REHEARSAL_FAILED.format(bundle=where), lines, texts.REHEARSAL_REMEDY)
    told = json.loads((out / TOLD).read_text(encoding="utf-8"))
    return Rehearsed(
        images=int(told["images"]),
        seconds=seconds,
        per_image=float(told["per_image"]),
        least=float(told["least"]),
        dropped=tuple(told["dropped"]),
        unanswered=int(told["unanswered"]),
        csv=out / "submission.csv",
        isolated=bool(isolated),
    )


def _without_ours() -> dict[str, str]:
    """The environment of this process without what would lead to its own Podium."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}


def ours() -> Host:
    """The environment of this process as that of a host."""
    found = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    return Host(sys.executable, tuple(found))


def environment(where: Path, host: Host) -> Path:
    """The Python of a fresh environment with a guard, behind which the libraries of the host stand.

    Raises:
        StorageError: it cannot be made.
    """
    made = subprocess.run([host.python, "-m", "venv", str(where)], capture_output=True, text=True)
    if made.returncode:
        lines = (made.stdout + made.stderr).splitlines()[-3:]
        raise StorageError(texts.NO_ENVIRONMENT, lines, texts.NO_ENVIRONMENT_REMEDY)
    python = where / "bin" / "python"
    found = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    packages = Path(found.stdout.strip())
    (packages / "podium_guard.py").write_text(GUARD, encoding="utf-8")
    (packages / "a_guard.pth").write_text("import podium_guard\n", encoding="utf-8")
    (packages / "host.pth").write_text("".join(f"{path}\n" for path in host.packages), encoding="utf-8")
    return python


def _namespace() -> list[str]:
    """The command that runs another one without a network; empty where the system refuses it."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return []
    command = [unshare, "--net", "--map-root-user"]
    tried = subprocess.run([*command, "true"], capture_output=True)
    return command if tried.returncode == 0 else []
