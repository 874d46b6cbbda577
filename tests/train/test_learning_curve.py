"""`make learning-curve`: ordinary cached trainings on growing shares of groups, and one table."""

import pandas as pd
import pytest
from main_world import artifacts, run

SMALL = (
    *("competition=digits", "competition.demo.limit=200", "experiment=probe", "folds.n=2", "images.size=32"),
    *(
        "train.epochs=3",
        "train.batch_size=16",
        "statistics.draws=100",
        "runtime.mlflow=false",
        "runtime.threads=1",
    ),
)


@pytest.mark.slow
def test_points_are_cached_trainings_and_the_page_says_what_follows(tmp_path):
    said = run(tmp_path, "learning-curve", "learning_curve.shares=[0.3,1.0]", small=SMALL)
    assert said.code == 0, said.err
    (made,) = artifacts(tmp_path, "learning_curve")
    table = pd.read_csv(made.folder / "learning_curve.csv")
    assert table["share"].tolist() == [0.3, 1.0] and table["groups"].tolist() == [30, 75]
    assert (table["low"] < table["score"]).all() and (table["score"] < table["high"]).all()
    assert (table["train score"] > table["score"]).all() and (table["sd of seeds"] > 0).all()
    trains = artifacts(tmp_path, "train")
    by_share = {0.3: [], 1.0: []}
    for train in trains:
        by_share[train.manifest["settings"]["train"]["group_share"]].append(train.metrics["oof_macro_f1"])
    assert {share: len(scores) for share, scores in by_share.items()} == {0.3: 3, 1.0: 3}
    for share, score in zip(table["share"], table["score"], strict=True):
        assert abs(sum(by_share[share]) / 3 - score) < 1e-9
    page = (made.folder / "learning_curve.html").read_text(encoding="utf-8")
    assert "data would" in page and page.count("<svg") == 2
    plain = run(tmp_path, "train", small=SMALL)
    assert plain.code == 0 and "reused" in plain.out, "the whole share with seed 0 is the plain training"
    refused = run(tmp_path, "learning-curve", "train.group_share=0.5", small=SMALL)
    assert refused.code == 2 and "train.group_share" in refused.err
    refused = run(tmp_path, "learning-curve", "learning_curve.shares=[1.0,0.3]", small=SMALL)
    assert refused.code == 2 and "not ascending" in refused.err
