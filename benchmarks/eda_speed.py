"""Measures seconds and peak memory of the data report on many images.

    python -m benchmarks.eda_speed                        5,000 and 20,000 JPEGs of 200 px
    python -m benchmarks.eda_speed --images 1000 4000     quicker

Writes JPEGs cut from photos that packages bundle (12 classes, groups of 5, a quarter test images), then runs
`python -m pipeline eda` on them in a process of its own: tables, images, folds and report.
"""

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from pipeline.core.seeds import rng

SIDE_PX = 200
CLASSES, GROUP = 12, 5
STAGE = re.compile(r"^(data|images|folds|eda)\s.*?(\d+\.\d) s", re.MULTILINE)


def sources() -> list[np.ndarray]:
    """Photos that scikit-image and scikit-learn bring along."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    return [*load_sample_images().images, data.astronaut(), data.coffee(), data.stereo_motorcycle()[0]]


def write(folder: Path, images: int) -> None:
    """A competition of so many JPEGs: random crops, mirrored and in other light, so that all differ."""
    (folder / "images").mkdir(parents=True)
    photos = sources()
    tables: dict[str, list[list[str]]] = {"train": [], "test": []}
    for number in range(images):
        draw = rng(0, "speed", number)
        photo = photos[number % len(photos)]
        side = int(draw.integers(80, 300))
        y, x = (int(draw.integers(0, n - side)) for n in photo.shape[:2])
        picture = cv2.resize(photo[y : y + side, x : x + side], (SIDE_PX, SIDE_PX))
        picture = picture[:, :: -1 if draw.integers(0, 2) else 1].astype(np.float32)
        picture = (picture * draw.uniform(0.6, 1.2) + draw.normal(0, 6, picture.shape)).clip(0, 255)
        cv2.imwrite(str(folder / "images" / f"{number}.jpg"), picture[:, :, ::-1].astype(np.uint8))
        group = number // GROUP
        split = "test" if group % 4 == 3 else "train"
        tables[split].append([str(number), f"{number}.jpg", str(group % CLASSES), str(group)])
    for split, rows in tables.items():
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "path", "kind", "group"])
            writer.writerows(rows)


def measure(folder: Path, home: Path) -> tuple[dict[str, float], float, float, int]:
    """Seconds a stage, seconds in all, peak memory in MB and the report's bytes."""
    values = ",".join(f'"{c}"' for c in range(CLASSES))
    command = [
        *(sys.executable, "-m", "pipeline", "eda", "competition=digits", "competition.demo=null"),
        *(f"competition.root={folder}", "competition.name=speed", "competition.group_column=group"),
        f"competition.attributes=[{{name: kind, column: kind, values: [{values}], constant_in_group: true}}]",
        *(f"images.cache_px={SIDE_PX}", "runtime.mlflow=false", f"runtime.home={home}"),
    ]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as told:
        child = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT)
        # wait4 instead of wait, because it gives this child's own peak.
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        told.seek(0)
        text = told.read()
    if child.returncode:
        raise SystemExit(text)
    stages = {name: float(spent) for name, spent in STAGE.findall(text)}
    (report,) = home.glob("artifacts/eda/*/eda.html")
    kilobyte = 1 if sys.platform != "darwin" else 1 / 1024
    return stages, seconds, usage.ru_maxrss * kilobyte / 1024, report.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, nargs="+", default=[5000, 20_000])
    options = parser.parse_args()
    for images in options.images:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "files", images)
            stages, seconds, megabytes, size = measure(Path(folder) / "files", Path(folder) / "home")
        told = "  ".join(f"{name} {spent:.0f}" for name, spent in stages.items())
        print(
            f"{images:,} images: {seconds:.0f} s ({told}), peak {megabytes:.0f} MB, "
            f"report {size / 1e6:.1f} MB"
            f" (load {os.getloadavg()[0]:.1f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
