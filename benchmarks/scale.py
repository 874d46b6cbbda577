"""How time and memory grow with the data: commands on up to 100,000 images, and on tables of 1,000,000 rows.

    python -m benchmarks.scale                    about an hour and 5 GB of disk on two cores
    python -m benchmarks.scale --sizes 300 900    small sizes, to see that it runs
    python -m benchmarks.scale --rows 1000000     a table of so many rows as well (hard links to a few images)

Images of 64 px are drawn with a seed: 18 unequal classes that a network can tell apart, three photos of a
person. Every command runs in a process of its own; printed are its seconds, its processor seconds, its peak
memory without and with mapped files, the seconds of every stage, and the growth between the two largest
sizes as an exponent: n log n is 1.1 there. Pages of mapped files are given back by the system when something
else needs memory. Seconds of stages are those of the clock, so others on the machine count; of commands those
of the processor are judged. Faults at the end: an exponent above `LIMIT`, a report beyond 25 MB.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

CHECKOUT = Path(__file__).resolve().parent.parent
CLASSES, PX, A_FOLDER, A_PERSON = 18, 64, 1000, 3
# n log n from 30,000 to 100,000 images has the exponent 1.1; the rest is the noise of a busy machine.
LIMIT = 1.3
LOOK_SECONDS = 0.05
# Seconds below which the start of a command hides its growth.
WORTH_FITTING = 3.0
LARGEST_REPORT = 25e6
MEMBERS = ("probe+debug", "probe_logistic+debug")
COMMANDS = (
    ("eda",),
    ("folds", "experiment=debug"),
    ("infer", f"experiment={MEMBERS[0]}"),
    ("infer", f"experiment={MEMBERS[1]}"),
    ("ensemble", "experiment=debug", f"ensemble.members=[{','.join(MEMBERS)}]"),
    ("error-analysis", "experiment=debug", f"ensemble.members=[{','.join(MEMBERS)}]"),
)


@dataclass(frozen=True)
class Measured:
    """What one size took: name of a command or stage -> figures."""

    n: int
    seconds: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)
    mapped_mb: dict[str, float] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    reports: dict[str, float] = field(default_factory=dict)


def drawn(label: int, rng: np.random.Generator) -> np.ndarray:
    """A noisy image of a class: its colour, and stripes of its width."""
    hue = np.uint8(label * 180 // CLASSES)
    colour = cv2.cvtColor(np.array([[[hue, 160, 200]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
    image = rng.integers(0, 90, (PX, PX, 3), np.uint8)
    image[:: 2 + label % 5] //= 2
    return cv2.add(image, (colour // 2)[None, None].astype(np.uint8).repeat(PX, 0).repeat(PX, 1))


def make(folder: Path, n: int, linked: bool, seed: int = 1) -> None:
    """The host's files: `train.csv`, `test.csv`, `sample.csv` and `images/`; a tenth is to be answered."""
    rng, originals = np.random.default_rng(seed), folder / "originals"
    shares = 1 / np.arange(1, CLASSES + 1)
    labels = rng.choice(CLASSES, n, p=shares / shares.sum())
    originals.mkdir(parents=True)
    rows = {"train": ["path,kind,person"], "test": ["path,person"], "sample": ["path,kind"]}
    for number, label in enumerate(labels):
        name = f"{number // A_FOLDER:04d}/{number:07d}.jpg"
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        person = f"p{number // A_PERSON:07d}"
        if linked:
            # A file system allows 65,000 links to a file.
            source = originals / f"{label}_{number // 30000}.jpg"
            if not source.exists():
                cv2.imwrite(str(source), drawn(int(label), rng))
            os.link(source, path)
        else:
            cv2.imwrite(str(path), drawn(int(label), rng))
        if number % 10 < 9:
            rows["train"].append(f"{name},kind{label:02d},{person}")
        else:
            rows["test"].append(f"{name},{person}")
            rows["sample"].append(f"{name},kind00")
    for table, lines in rows.items():
        (folder / f"{table}.csv").write_text("\n".join(lines) + "\n", encoding="ascii")


def timed(words: list[str], env: dict[str, str], cwd: Path) -> tuple[float, float, float, float]:
    """Seconds, processor seconds, and peak memory in MB without and with mapped files of one command.

    Raises:
        RuntimeError: the command failed; with the end of what it printed.
    """
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", *words], env=env, cwd=cwd, stdout=output, stderr=output
        )
        pid, peak = 0, 0.0
        while not pid:
            peak = max(peak, anonymous_mb(process.pid))
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            time.sleep(LOOK_SECONDS)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(words)}: {output.read()[-3000:].decode(errors='replace')}")
    seconds, most = time.perf_counter() - begin, usage.ru_maxrss / 1024
    return seconds, usage.ru_utime + usage.ru_stime, peak or most, most


def anonymous_mb(pid: int) -> float:
    """Memory of a process that is in no file; 0 where the system does not say it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:")), 0.0)


def measure(n: int, place: Path, commands: tuple[tuple[str, ...], ...], linked: bool) -> Measured:
    """Make the data, and run the commands on it in a copy of the settings and an empty home."""
    data, home = place / "data", place / "home"
    make(data, n, linked)
    shutil.copytree(CHECKOUT / "configs", home / "configs")
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "MLFLOW_DISABLE_TELEMETRY": "true"}
    found = Measured(n)
    given = [f"--{name}={data / f'{name}.csv'}" for name in ("train", "test", "sample")]
    new = ["new", "--name=scale", f"--images={data / 'images'}", *given]
    for words in (new, *([*c, "runtime.mlflow=false"] for c in commands)):
        name = " ".join(w for w in words if not w.startswith(("--", "runtime", "images.")))[:40]
        seconds, cpu, peak, mapped = timed(words, env, home)
        found.seconds[name], found.cpu[name] = seconds, cpu
        found.peak_mb[name], found.mapped_mb[name] = peak, mapped
        line = f"{seconds:8.1f} s {cpu:8.1f} s of a processor {peak:8.0f} MB {mapped:8.0f} MB with files"
        print(f"{n:>9,}  {name:<42} {line}", flush=True)
    for path in home.glob("artifacts/*/*/manifest.json"):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        stage = manifest["stage"]
        found.stages[stage] = found.stages.get(stage, 0.0) + manifest["seconds"]
        for report in path.parent.glob("*.html"):
            found.reports[f"{stage}/{report.name}"] = report.stat().st_size
    return found


def exponent(small: float, large: float, ratio: float) -> float:
    """The power of n with which something grew while n grew `ratio` times."""
    return math.log(large / small) / math.log(ratio) if small > 0 and large > 0 else 0.0


def faults(measured: list[Measured]) -> list[str]:
    """Print the table of growth; what grows too fast, and reports that are too large."""
    small, large = measured[-2:]
    ratio, found = large.n / small.n, []
    print(f"\n{'':<44} {small.n:>9,} {large.n:>9,}  exponent")
    for unit in ("seconds", "cpu", "stages", "peak_mb", "mapped_mb"):
        for name, last in getattr(large, unit).items():
            first = getattr(small, unit).get(name, 0.0)
            power = exponent(first, last, ratio)
            print(f"{unit:<8} {name:<35} {first:9.1f} {last:9.1f} {power:9.2f}")
            is_judged = unit == "peak_mb" or (unit in ("cpu", "stages") and last > WORTH_FITTING)
            if power > LIMIT and is_judged:
                found.append(f"{unit} of {name}: exponent {power:.2f}, at most {LIMIT}")
    for one in measured:
        for name, size in one.reports.items():
            if size > LARGEST_REPORT:
                found.append(
                    f"{name} of {one.n:,} images: {size / 1e6:.0f} MB, at most {LARGEST_REPORT / 1e6:.0f}"
                )
    largest = max(large.reports.items(), key=lambda item: item[1], default=("none", 0))
    print(f"largest report: {largest[0]}, {largest[1] / 1e6:.1f} MB")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 30_000, 100_000])
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--place", type=Path, help="a folder on a large disk; default: a temporary one")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(dir=options.place) as place:
        if len(options.sizes) > 1:
            measured = [measure(n, Path(place) / str(n), COMMANDS, False) for n in options.sizes]
            found += faults(measured)
        if options.rows:
            sizes = (options.rows // 10, options.rows)
            tables = [measure(n, Path(place) / f"rows{n}", (("folds",),), True) for n in sizes]
            found += faults(tables)
    print("\n".join(["", *found] if found else ["", "nothing grows too fast"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
