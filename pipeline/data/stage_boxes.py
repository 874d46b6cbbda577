"""`boxes`: where the thing is in each image, from a CSV or from a detector that ships with a package.

Owns the stage only; boxes are read and found by `pipeline/data/boxes.py`.
"""

from __future__ import annotations

from pipeline.data import boxes, load
from pipeline.data.boxes import Key
from pipeline.data.host import boxes_file
from pipeline.data.images import WHITE_IMAGE
from pipeline.engine.stage import Built, Job


def build(job: Job) -> Built:
    """Write boxes.csv: split, id, and left, top, width, height as shares of the upright image.

    Raises:
        ConfigError: no such detector.
        DataError: the CSV's faults, all of them.
    """
    decoded = load.decoded(job.inputs["images"])
    keys: list[Key] = []
    white = {(f.split, f.id) for f in decoded.faulty() if f.fate == WHITE_IMAGE}
    for split in load.splits(job.inputs["data"], job.home):
        every = [(split.split, name) for name in split.ids_N.tolist()]
        keys += [key for key in every if key not in white]
    source = str(job.settings.config.crop.boxes)
    if source.endswith(".csv"):
        found = boxes.read_csv(boxes_file(job.settings), load.upright_sizes(job.inputs["images"], keys))
    else:
        found = boxes.detect(source, load.image_of(job.inputs["images"]), keys)
    found.to_csv(job.draft / "boxes.csv", index=False)
    told = []
    for name in dict.fromkeys(split for split, _ in keys):
        asked, boxed = sum(split == name for split, _ in keys), int((found["split"] == name).sum())
        told.append(f"{boxed} of {asked} {name} images")
    return Built(metrics={"boxes": float(len(found))}, lines=(f"boxes of {source}: {' and '.join(told)}",))
