"""`make tune STAGE=error-analysis` through the real stages: planted, found, re-tested elsewhere."""

import re

import numpy as np
import pytest
import yaml
from main_world import artifacts
from test_tune import configs, points, space_at, tuned  # noqa: F401

from pipeline.core.errors import DataError
from pipeline.errors.findings import planting

WORDS = ("images.size=16", "train.epochs=1", "ensemble.members=[tiny_resnet]", "infer.views=[identity]")
SPACE = """
space: {eda.near_match: {type: categorical, choices: [0.9, 1.0]}}
sampler: grid
trials: 2
retest_seeds: [7, 8]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.mark.slow
def test_thresholds_are_tuned_on_one_half_and_tested_on_the_other(tmp_path, home, configs, monkeypatch):  # noqa: F811
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    blind = configs / "experiment" / "tiny_resnet.yaml"
    # No copy is found: a start that must be beaten.
    blind.write_text(blind.read_text(encoding="utf-8") + "\neda: {near_match: 1.0}\n", encoding="utf-8")
    space = space_at(tmp_path, SPACE)
    said = tuned(home, configs, "--stage", "error-analysis", "--space", space, words=WORDS)
    assert "2 new sets of planted faults in the other half of the groups" in said
    assert re.search(r"adopt it with: make .*experiment=tuned-error-analysis-", said)
    (written,) = configs.glob("experiment/tuned-error-analysis-*.yaml")
    assert yaml.safe_load(written.read_text(encoding="utf-8"))["eda"]["near_match"] == 0.9
    sides = {a.manifest["config"]["side"] for a in artifacts(home, "faults")}
    assert sides == {"search", "confirm"} and len(artifacts(home, "faults")) == 5
    ids = {}
    for one in artifacts(home, "faults"):
        found, _ = planting.planted(one)
        ids.setdefault(one.manifest["config"]["side"], set()).update(found["groups"].tolist())
        assert len(found["hashes"]) == len(found["thumbs"]) == len(found["groups"]) + len(found["of"])
    assert not ids["search"] & ids["confirm"], "no group is in both halves"
    assert len(artifacts(home, "train")) == 1, "nothing is trained for a trial"
    ((first, second),) = points(home)
    assert np.isfinite([first[1][0], second[1][0]]).all() and first[1] != second[1]


def test_too_few_groups_to_plant_anything_are_refused():
    with pytest.raises(DataError, match=r"39 groups .* too few to plant faults"):
        planting.halves(np.array([f"g{n}" for n in range(39)]), planting.SEARCH)
    groups = np.array([f"g{n}" for n in range(41)])
    search, confirm = (
        set(planting.halves(groups, side).tolist()) for side in (planting.SEARCH, planting.CONFIRM)
    )
    assert search | confirm == set(groups.tolist()) and not search & confirm and len(search) == 20
