import numpy as np
import pytest
from analyze_cases import SPACE

from pipeline.core.errors import DataError
from pipeline.core.predictions import Probabilities
from pipeline.errors.diff.flips import Submission, changes, find_flips

IDS = np.array(["a", "b", "c", "d"])


def prediction(labels, ids=IDS, p=None, name="run") -> Submission:
    probabilities = None if p is None else Probabilities(ids, SPACE.classes, np.asarray(p, np.float32))
    return Submission(name, ids, np.asarray(labels), probabilities)


def test_flips_are_joined_by_id():
    old = prediction([3, 2, 1, 0], IDS[::-1])
    assert find_flips(SPACE, prediction([0, 1, 2, 3]), old).images.empty


def test_directions_count_each_attribute():
    flips = find_flips(SPACE, prediction([2, 3, 0, 1]), prediction([0, 1, 3, 1]))
    assert flips.n_images == 4 and list(flips.images["id"]) == ["a", "b", "c"]
    rows = {(r.attribute, r.old, r.new): r.images for r in flips.directions.itertuples()}
    assert rows == {
        ("size", "작은 수", "<b>큰 수</b>"): 2,
        ("size", "<b>큰 수</b>", "작은 수"): 1,
        ("parity", "홀수", "even & round"): 1,
    }
    assert flips.agreement["class"][1, 3] == 1 and flips.agreement["class"].sum() == 4
    assert flips.agreement["size"].tolist() == [[1, 2], [1, 0]]


def test_gap_averages_the_margins_that_exist_and_orders():
    new = [[0.1, 0.6, 0.2, 0.1], [0.05, 0.9, 0.03, 0.02], [0.25, 0.25, 0.4, 0.1], [1, 0, 0, 0]]
    old = [[0.7, 0.1, 0.1, 0.1], [0.6, 0.2, 0.1, 0.1], [0.9, 0.0, 0.1, 0.0], [1, 0, 0, 0]]
    flips = find_flips(SPACE, prediction([1, 1, 2, 0], p=new), prediction([0, 0, 0, 0], p=old))
    gaps = dict(zip(flips.images["id"], flips.images["gap"], strict=True))
    assert gaps["a"] == pytest.approx((0.5 + 0.6) / 2) and list(flips.images["id"]) == ["b", "a", "c"]
    half = find_flips(SPACE, prediction([1, 1, 2, 0], p=new), prediction([0, 0, 0, 0]))
    assert half.images.set_index("id").loc["a", "gap"] == pytest.approx(0.5)
    assert half.images["p_old"].isna().all()
    bare = find_flips(SPACE, prediction([1, 1, 2, 0]), prediction([0, 0, 0, 0]))
    assert bare.images["gap"].isna().all() and list(bare.images["id"]) == ["a", "b", "c"]


def test_other_ids_are_all_named():
    with pytest.raises(DataError) as raised:
        find_flips(SPACE, prediction([0, 0, 0, 0], name="new"), prediction([0, 0], IDS[:2], name="old"))
    assert raised.value.faults == ("only in new: c", "only in new: d")


def test_duplicate_ids_and_labels_outside_are_refused():
    with pytest.raises(DataError, match="more than once"):
        prediction([0, 1], np.array(["a", "a"]))
    with pytest.raises(DataError, match="not one of the 4 classes"):
        find_flips(SPACE, prediction([0, 0, 0, 4]), prediction([0, 0, 0, 0]))


def test_changes_name_what_differs():
    assert changes(SPACE, 0, 1) == (("parity", "even & round", "홀수"),)
    assert changes(SPACE, 2, 2) == ()
