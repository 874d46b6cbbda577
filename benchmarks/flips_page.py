"""Measures the error report's page with many flips: bytes, and seconds until Chromium shows and filters it.

    python -m benchmarks.flips_page                    5,000 flips
    python -m benchmarks.flips_page --flips 1000 20000

Pictures are crops of photos that packages bundle, mirrored and with changed light, so that no two are equal.
The two submissions differ on every image. As in a report on networks with finished features, the flips with
the smallest confidence gap show their nearest training images, here all different ones; as many images are
wrong out of fold. Seconds run from the start of loading a file:// address to the load event with the first
cards drawn. Then one filter, one sort and one page turn are timed, and showing the 60 flips with the smallest
gap with all their neighbours open.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from benchmarks.eda_speed import sources
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, LabelSpace, Samples, strings
from pipeline.core.seeds import rng
from pipeline.errors.diff import truth
from pipeline.errors.diff.flip_cards import MOST, NEAREST, FlipNeighbours
from pipeline.errors.diff.flips import Submission
from pipeline.errors.page import ReportInputs, analyze, render_html
from pipeline.settings.report import ReportSettings
from pipeline.settings.schema import Config

FACES = LabelSpace.product(
    [
        Attribute("age", ("0–29", "30–59", "60+")),
        Attribute("gender", ("male", "female")),
        Attribute("mask", ("worn", "not worn", "worn wrongly")),
    ]
)
TRIALS = 3


@dataclass(frozen=True)
class Measured:
    """One page: megabytes, seconds to make and to load, to filter, sort, turn a page and open neighbours.

    Args:
        loads: by the clock; other programs on the machine make it longer.
        processor: least seconds of processor that the page's own process took to load it.
    """

    megabytes: float
    made: float
    loads: tuple[float, ...]
    processor: float
    filtered: float
    sorted: float
    turned: float
    opened: float


def picture(photos: list[np.ndarray], number: int) -> np.ndarray:
    """A crop of a photo, 128 px, unlike all others."""
    draw = rng(0, "flips page", number)
    photo = photos[number % len(photos)]
    side = int(draw.integers(90, 280))
    y, x = (int(draw.integers(0, n - side)) for n in photo.shape[:2])
    crop = cv2.resize(photo[y : y + side, x : x + side], (128, 128), interpolation=cv2.INTER_AREA)
    crop = crop[:, :: -1 if draw.integers(0, 2) else 1].astype(np.float32) * draw.uniform(0.6, 1.2)
    return np.clip(crop + draw.normal(0, 4, crop.shape), 0, 255).astype(np.uint8)


def page(flips: int) -> str:
    """A report in which two submissions differ on every image."""
    photos = sources()
    ids = strings([f"images/{k:06d}.jpg" for k in range(flips)])
    draw = rng(0, "answers", flips)
    old = draw.integers(0, FACES.n_classes, flips)
    new = (old + draw.integers(1, FACES.n_classes, flips)) % FACES.n_classes
    sides = [
        Submission(name, ids, said, _sure(ids, said, draw)) for name, said in (("new", new), ("best", old))
    ]
    inputs = ReportInputs(
        title="many flips",
        space=FACES,
        new=sides[0],
        old=sides[1],
        image=lambda split, name: picture(photos, int(Path(name).stem)),
        config=Config(report=ReportSettings(max_flips=flips)),
    )
    train = _train(flips)
    oof = _sure(train.ids_N, draw.integers(0, FACES.n_classes, len(train)), draw)
    inputs = replace(inputs, oof=oof, train=train)
    found = analyze(inputs)
    assert found.flips is not None and found.mistakes is not None
    inputs = replace(inputs, neighbours=_near(found.flips.images, draw))
    of_errors = truth.section(truth.TruthInputs(oof, None, train, found.mistakes, 0, flips))
    return render_html(found, inputs, (of_errors,))


def _train(number: int) -> Samples:
    """As many training images, a photo a person, most of which the run gets wrong."""
    ids = strings([f"train/{number + k:07d}.jpg" for k in range(number)])
    labels = rng(0, "truth", number).integers(0, FACES.n_classes, number)
    return Samples(ids, ids, ids, FACES, labels, "train")


def _near(images: pd.DataFrame, draw: np.random.Generator) -> FlipNeighbours:
    """The most doubtful flips, each with training images that no other one has: the largest page there is."""
    doubtful = images.sort_values("gap", kind="stable").head(MOST)["id"].astype(str).tolist()
    names = [f"train/{2 * len(images) + k:07d}.jpg" for k in range(NEAREST * len(doubtful))]
    labels = draw.integers(0, FACES.n_classes, len(names)).tolist()
    pairs = list(zip(names, labels, strict=True))
    return {name: tuple(pairs[NEAREST * k : NEAREST * (k + 1)]) for k, name in enumerate(doubtful)}


def _sure(ids: np.ndarray, said: np.ndarray, draw: np.random.Generator) -> Probabilities:
    p = draw.dirichlet(np.full(FACES.n_classes, 0.3), len(ids))
    top = p.max(axis=1)
    rows = np.arange(len(ids))
    p[rows, p.argmax(axis=1)] = p[rows, said]
    p[rows, said] = top
    return Probabilities(ids, FACES.classes, p.astype(np.float32))


def measure(browser: Any, flips: int, trials: int = TRIALS) -> Measured:
    """Make the page, and use it in a fresh page of the browser `trials` times.

    Args:
        browser: of playwright.
        flips: images on which the two submissions differ.
        trials: how often it is loaded.
    """
    started = time.perf_counter()
    text = page(flips)
    made = time.perf_counter() - started
    loads, steps, processor = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(text, encoding="utf-8")
        for _ in range(trials):
            shown = browser.new_page(viewport={"width": 1180, "height": 900})
            started = time.perf_counter()
            shown.goto(f"{file.as_uri()}#flips", wait_until="load")
            shown.locator("#later").wait_for()
            loads.append(time.perf_counter() - started)
            processor.append(_processor(shown))
            steps.append([_timed(shown, step) for step in STEPS])
            shown.close()
    filtered, ordered, turned, opened = (statistics.median(column) for column in zip(*steps, strict=True))
    size = len(text.encode()) / 1e6
    return Measured(size, made, tuple(loads), min(processor), filtered, ordered, turned, opened)


def _processor(shown: Any) -> float:
    """Seconds of processor that the page's process has taken so far."""
    session = shown.context.new_cdp_session(shown)
    session.send("Performance.enable")
    found = session.send("Performance.getMetrics")["metrics"]
    return float(next(row["value"] for row in found if row["name"] == "ProcessTime"))


# Each runs in the page and ends when the browser has drawn the result.
STEPS = (
    "const a = document.getElementById('attribute'); a.value = 'age'; a.dispatchEvent(new Event('change'));",
    "const s = document.getElementById('sort'); s.value = 'id'; s.dispatchEvent(new Event('change'));",
    "document.getElementById('later').click();",
    "const u = document.getElementById('sort'); u.value = 'unsure'; u.dispatchEvent(new Event('change'));"
    "document.querySelectorAll('#gallery details.near').forEach((one) => { one.open = true; });",
)


def _timed(shown: Any, step: str) -> float:
    code = (
        f"() => new Promise((done) => {{ const t = performance.now(); {step} "
        "requestAnimationFrame(() => setTimeout(() => done(performance.now() - t))); })"
    )
    return float(shown.evaluate(code)) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flips", type=int, nargs="+", default=[5000])
    asked = parser.parse_args().flips
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for flips in asked:
            found = measure(browser, flips)
            loads = ", ".join(f"{s:.2f}" for s in found.loads)
            print(
                f"{flips:,} flips: {found.megabytes:.1f} MB, made in {found.made:.0f} s, loaded in {loads} s "
                f"({found.processor:.2f} s of processor), filter {found.filtered:.3f} s, "
                f"sort {found.sorted:.3f} s, page {found.turned:.3f} s, neighbours {found.opened:.3f} s "
                f"(load {os.getloadavg()[0]:.1f})",
                flush=True,
            )
        browser.close()


if __name__ == "__main__":
    main()
