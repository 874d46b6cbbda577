"""Labels, values and shares are predicted by a packed submission exactly as they were submitted."""

import csv

import numpy as np
import pytest
import targets_world
from test_predictor import packed, store_of

from pipeline.core.predictions import answers_of
from pipeline.data import load
from pipeline.predict import commands
from pipeline.predict.predictor import Predictor
from pipeline.submit import submission


class Drawn:
    """A home, as the helpers of `test_predictor.py` use it."""

    def __init__(self, home):
        self.home = home


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("labels", ("experiment=tiny_cnn",)),
        ("labels", ("experiment=probe", "decision.steps=[thresholds]")),
        ("values", ("experiment=tiny_cnn", "decision.steps=[clip,round]")),
        ("values", ("experiment=probe",)),
        ("shares", ("experiment=tiny_cnn",)),
    ],
)
def test_other_targets_are_equal_to_the_bit(tmp_path, kind, words):
    targets_world.written(tmp_path, kind)
    steps = ("decision.members=true", "decision.adopt=always") if len(words) > 1 else ()
    said = targets_world.command(tmp_path, kind, "infer", "train.epochs=1", *words, *steps)
    assert said.code == 0, said.err
    line = [line for line in said.out.splitlines() if line.startswith("submission: ")][-1]
    path, drawn = tmp_path / "home" / "submissions" / line.rpartition("/")[2], Drawn(tmp_path / "home")
    where = packed(drawn, path)
    root = store_of(drawn).at(submission.read(path)["artifact"])
    wanted, data = load.test(root, "submitted"), store_of(drawn).at(root.inputs["data"])
    assert len(Predictor.load(where).manifest.steps) == sum(
        step in words[-1] for step in ("thresholds", "clip", "round")
    )
    test = load.samples(data, "test", drawn.home)
    answers = Predictor.load(where).predict(test.paths_N.tolist(), ids=test.ids_N.tolist())
    assert np.array_equal(answers.p.take(wanted.ids_N).p_NC, wanted.p_NC)
    commands.write(tmp_path / "out.csv", answers)
    with (tmp_path / "out.csv").open(encoding="utf-8") as file:
        (first, *_) = csv.DictReader(file)
    held = answers_of(answers.p.target, answers.p.p_NC[:1])
    if kind == "labels":
        names = [c for c, h in zip(answers.p.classes, held[0], strict=True) if h]
        assert first["label"] == "|".join(names)
    assert ("label" in first) == (kind != "values")
