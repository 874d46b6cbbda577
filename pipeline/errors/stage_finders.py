"""How much of planted faults the error report's finders find, with these thresholds: a trial of a search.

Owns the stage, which ties `errors/stage_faults.py` to `errors/findings/planting.py`, and what its parameters are. Does not
own the search (`tune/tune.py`) nor the figure (`errors/findings/planting.py`).
"""

from __future__ import annotations

import pandas as pd

from pipeline.core.predictions import Features
from pipeline.engine.stage import Built, Job
from pipeline.errors.findings import planting
from pipeline.errors.findings.slices import SliceInputs
from pipeline.record import files


def build(job: Job) -> Built:
    """Write units.csv: hits, misses and false alarms of each finder, by group or spoilt slice."""
    known, oof = planting.half(job.inputs, str(job.params["side"]), job)
    facts, config = planting.of_train(job.inputs["images"]), job.settings.config
    features = _features(job)
    rows: list[planting.Unit] = []
    for number in (int(text) for text in str(job.params["seeds"]).split()):
        found, spoilt = planting.planted(job.inputs[f"faults{number}"])
        rows += planting.found_labels(oof, known, found["labels"], features, config.finders)
        rows += planting.found_copies(
            found["hashes"], found["thumbs"], found["of"], found["groups"], config.eda
        )
        inputs = SliceInputs(known, known.ids_N, oof.labels(), facts, config.statistics.seed, config.finders)
        rows += planting.found_slices(inputs, spoilt)
    units = pd.DataFrame(rows, columns=[planting.FINDER, planting.UNIT, *planting.COUNTS])
    units.to_csv(job.draft / planting.UNITS, index=False)
    figures = {f"oof_{planting.METRIC.name}": planting.figure(units)}
    told = []
    for name, (score, precision, recall) in planting.by_finder(units).items():
        figures |= {f"f1_{name}": score, f"precision_{name}": precision, f"recall_{name}": recall}
        told.append(f"{name}: F1 {score:.3f}, precision {precision:.3f}, recall {recall:.3f}")
    return Built(figures, tuple(told))


def _features(job: Job) -> Features | None:
    stage, _, key = str(job.params.get(planting.FEATURES, "")).partition("/")
    found = job.store.find(stage, key) if key else None
    return None if found is None else files.read_features(found.folder / "features.npz")
