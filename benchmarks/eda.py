"""Measures whether the data report finds planted faults, and lists them first.

Plants twelve kinds of fault at three strengths in clean photos and reads the report's findings:

    python -m benchmarks.eda                      crops of photos that packages bundle (about 6 minutes)
    python -m benchmarks.eda --photos DIR         a folder of JPEGs a class
    python -m benchmarks.eda --seeds 1            quicker and coarser

Recall is the share of planted faults (pairs of copies, flipped labels, spoilt images, groups, classes) that
the right finding names. "First" counts how often that finding is the first of the report.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import eda_faults
from benchmarks.eda_faults import Fault, Planted, World
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.core.seeds import rng
from pipeline.data.decode import Decoding
from pipeline.data.images import DecodedImages, build_decoded
from pipeline.eda.page import Exploration, ExploreInputs, explore
from pipeline.settings.schema import Config

PER_CLASS = 112
CACHE_PX = 512


@dataclass(frozen=True)
class Trial:
    """One planted fault and what the report said of it."""

    fault: str
    strength: str
    seed: int
    recall: float
    first: bool
    high: int
    opened_with: str


def report_on(world: World, folder: Path) -> Exploration:
    """Write the files, decode them and explore, as the stages do."""
    (folder / "files").mkdir()
    for item in world:
        (folder / "files" / f"{item.id}.jpg").write_bytes(item.file)
    classes = max(i.label for i in world) + 1
    space = LabelSpace.product([Attribute("kind", tuple(f"kind {c}" for c in range(classes)), True)])
    splits = {}
    for split in ("train", "test"):
        own = [i for i in world if i.split == split]
        splits[split] = Samples(
            [i.id for i in own],
            [str(folder / "files" / f"{i.id}.jpg") for i in own],
            [i.group for i in own],
            space,
            np.array([i.label for i in own]) if split == "train" else None,
            split,
        )
    build_decoded(list(splits.values()), folder, Decoding(CACHE_PX))
    decoded = DecodedImages(folder)
    facts = decoded.facts()
    facts["split"] = np.where(facts["id"].isin(set(splits["test"].ids_N.tolist())), "test", "train")
    return explore(
        ExploreInputs(
            "benchmark",
            splits["train"],
            splits["test"],
            facts,
            lambda split, name: decoded.read(name),
            pd.DataFrame(),
            (),
            Config(),
        )
    )


def recall(found: Exploration, fault: Fault, planted: Planted) -> float:
    """Share of what was planted that the right findings name."""
    own = [f for f in found.findings if f.kind in fault.kinds and f.harm > 0]
    if fault.as_a_whole:
        return float(bool(own))
    if fault.by_class:
        return float(np.mean([any(f"kind {name}" in f.headline for f in own) for (name,) in planted]))
    sets = [{name for _, name in members} for f in own for members in f.sets]
    return float(np.mean([any(set(one) <= members for members in sets) for one in planted]))


def trial(files: list[tuple[int, bytes]], fault: Fault | None, strength: int, seed: int) -> Trial:
    """Plant one fault (or none) and read the report."""
    world = eda_faults.clean(files, seed)
    planted: Planted = []
    if fault is not None:
        world, planted = fault.plant(world, strength, rng(seed, "plant", fault.name, strength))
    with tempfile.TemporaryDirectory() as folder:
        found = report_on(world, Path(folder))
    high = sum(f.severity == "high" for f in found.findings)
    top = found.findings[0]
    opened = f"{top.severity}: {top.headline}"
    if fault is None:
        return Trial("clean copy", "", seed, float("nan"), False, high, opened)
    name = eda_faults.STRENGTHS[strength]
    return Trial(fault.name, name, seed, recall(found, fault, planted), top.kind in fault.kinds, high, opened)


def table(trials: list[Trial]) -> pd.DataFrame:
    """A row a fault: recall at each strength, and how often it came first at the middle one."""
    rows = []
    for fault in eda_faults.FAULTS:
        own = [t for t in trials if t.fault == fault.name]
        row: dict[str, object] = {"fault": fault.name}
        for name in eda_faults.STRENGTHS:
            of = [t.recall for t in own if t.strength == name]
            if of:
                row[f"recall, {name}"] = round(float(np.mean(of)), 3)
        middle = [t for t in own if t.strength == "middle"]
        row["first, middle"] = f"{sum(t.first for t in middle)} of {len(middle)}"
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, help="a folder with a folder of JPEGs a class")
    parser.add_argument("--seeds", type=int, default=3, help="repeats with other photos and faults")
    parser.add_argument("--per-class", type=int, default=PER_CLASS, help="photos a class")
    options = parser.parse_args()
    trials = []
    for seed in range(options.seeds):
        files = eda_faults.photos(options.photos, seed, options.per_class)
        trials.append(trial(files, None, 0, seed))
        print(f"seed {seed}: clean copy of {len(files)} photos opens with {trials[-1].opened_with}")
        for fault in eda_faults.FAULTS:
            for strength in range(len(eda_faults.STRENGTHS)):
                trials.append(trial(files, fault, strength, seed))
                if not trials[-1].first and strength == 1:
                    print(f"  {fault.name}, middle, opened with: {trials[-1].opened_with}", flush=True)
    with pd.option_context("display.width", 160, "display.max_columns", 10):
        print(table(trials).to_string(index=False))
    firsts = [
        np.mean([t.first for t in trials if t.fault == f.name and t.strength == "middle"])
        for f in eda_faults.FAULTS
    ]
    print(f"first in every repeat: {sum(f == 1 for f in firsts)} of {len(firsts)} faults")
    print(f"high findings on the clean copies: {[t.high for t in trials if t.fault == 'clean copy']}")


if __name__ == "__main__":
    main()
