"""A row that the page of suspects makes is one that the pipeline takes."""

import csv

from main_world import artifacts, run

from pipeline.data import load
from pipeline.errors.findings.suspects import COLUMNS, Suspect, patch_row

SMALL = ("competition=digits", "competition.demo.limit=200", "folds.n=2", "runtime.mlflow=false")


def test_a_clicked_patch_changes_the_training_label_and_only_that(tmp_path):
    assert run(tmp_path, "folds", small=SMALL).code == 0
    (data,) = artifacts(tmp_path, "train_data")
    train = load.samples(data, "train", tmp_path)
    (attribute,) = train.space.attributes
    given, name = int(train.labels[0]), str(train.ids_N[0])
    proposed = (given + 1) % len(attribute.values)
    suspect = Suspect(("train", name), attribute.name, given, proposed, 1, 0.5, ("model",), ("why, so",))
    raw = {attribute.name: [str(value) for value in range(10)]}
    path = tmp_path / "label_patches.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, patch_row(suspect, train.space, raw)])
    said = run(tmp_path, "folds", f"competition.label_patches={path}", small=SMALL)
    assert said.code == 0, said.err
    (patched,) = [a for a in artifacts(tmp_path, "train_data") if a.key != data.key]
    after = load.samples(patched, "train", tmp_path)
    assert (after.labels == train.labels).all()
    assert after.for_training().labels[0] == proposed
    assert (after.for_training().labels[1:] == train.labels[1:]).all()
