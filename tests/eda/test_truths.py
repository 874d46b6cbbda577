"""The data report of labels that hold together, values and shares."""

import numpy as np
import pandas as pd
import pytest

from pipeline.core.samples import Attribute, LabelSpace, Samples, strings
from pipeline.eda import page
from pipeline.eda.survey import survey
from pipeline.settings.load import load

SIDE = 16


def facts_of(ids, split, sha=None):
    rng = np.random.default_rng(len(ids))
    rows = {
        "id": list(ids),
        "split": split,
        "width": SIDE,
        "height": SIDE,
        "sha256": [sha.get(i, f"{split}{i}") if sha else f"{split}{i}" for i in ids],
        "phash": [f"{int(h):016x}" for h in rng.integers(0, 2**63, len(ids))],
        "brightness": rng.normal(120, 10, len(ids)),
        "contrast": rng.normal(50, 3, len(ids)),
        "blur": rng.normal(200, 10, len(ids)),
    }
    return pd.DataFrame(rows)


def samples(space, y_NK, groups=None):
    ids = strings([f"i{n}" for n in range(len(y_NK))])
    paths = strings([f"/i/{name}" for name in ids])
    return Samples(ids, paths, strings(groups) if groups else ids, space, None, "train", y_NK=y_NK)


def pixels(split, name):
    rng = np.random.default_rng(sum(map(ord, split + name)))
    return rng.integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)


def explored(train, sha=None, words=("competition=digits",)):
    config = load(list(words)).config
    test = train.take(train.ids_N[:6]).without_truth("test")
    facts = pd.concat([facts_of(train.ids_N, "train", sha), facts_of(test.ids_N, "test")], ignore_index=True)
    inputs = page.ExploreInputs("t", train, test, facts, pixels, pd.DataFrame(), (), config)
    found = page.explore(inputs)
    return found, page.render_html(found, inputs)


def headlines(found):
    return {f.kind: f.headline for f in found.findings}


LABELS = LabelSpace.independent(
    [Attribute(n, ("no", "yes"), n == "scab") for n in ("scab", "rust", "mould", "leaf")]
)


def labelled(n=60):
    rng = np.random.default_rng(0)
    y_NK = (rng.random((n, 4)) < 0.3).astype(np.float32)
    y_NK[:, 3] = 1
    y_NK[:, 2] = y_NK[:, 1]
    y_NK[:6, 1:3] = 0
    y_NK[:6, 0] = 0
    return y_NK


def test_labels_are_counted_with_what_is_unknown_and_what_holds_together():
    y_NK = labelled()
    y_NK[10:25, 0] = np.nan
    found, html = explored(samples(LABELS, y_NK))
    told = headlines(found)
    assert told["unknown"].replace("\xa0", " ") == "6.2 % of the truth is unknown; of scab 25 %"
    assert told["labels_together"] == "1 pair of labels that nearly always hold together: rust and mould"
    assert told["label_always"] == "1 label that no image lacks: leaf"
    table = found.tables["classes"]
    assert table["class"].tolist() == ["scab", "rust", "mould", "leaf"]
    np.testing.assert_array_equal(table["images"], np.nansum(y_NK, axis=0))
    assert table["unknown"].tolist()[0] == 0.25 and table["share"].tolist()[3] == 1
    assert "How often labels hold together" in html and "Labels of an image" in html
    assert "Contact sheet of every label" in html and "rust, mould, leaf" in html


def test_images_without_a_label_are_told_and_shown():
    y_NK = labelled()[:, :3]
    space = LabelSpace.independent([Attribute(n, ("no", "yes")) for n in ("a", "b", "c")])
    found, html = explored(samples(space, y_NK))
    (each,) = [f for f in found.findings if f.kind == "labels_each"]
    none = int((y_NK.sum(axis=1) == 0).sum())
    assert f"{none} images have none" in each.headline and len(each.examples) == min(none, 12)
    assert "no label" in html


@pytest.mark.parametrize("kind", ["labels", "values", "shares"])
def test_copies_with_another_truth_contradict_each_other(kind):
    rng = np.random.default_rng(1)
    if kind == "labels":
        space, y_NK = LABELS, labelled()
        y_NK[0, 0], y_NK[1, 0], y_NK[2, 0], y_NK[3, 0] = 0, 1, np.nan, 1
        y_NK[:4, 1:] = 0
    elif kind == "values":
        space, y_NK = LabelSpace.numbers(["age"]), rng.normal(50, 10, (60, 1)).astype(np.float32)
        y_NK[:4, 0] = [40, 60, 50, 50.2]
    else:
        space = LabelSpace.product([Attribute("vote", ("a", "b"))])
        space = LabelSpace(space.attributes, space.classes, space.codes_CA, "shares")
        first = rng.random(60).astype(np.float32)
        first[:4] = [0.1, 0.9, 0.5, 0.6]
        y_NK = np.stack([first, 1 - first], axis=1)
    # i0 and i1 are one file and differ; so are i2 and i3, which agree as far as both are known.
    same = {"i0": "x", "i1": "x", "i2": "y", "i3": "y"}
    found, _ = explored(samples(space, y_NK), same)
    (conflict,) = [f for f in found.findings if f.kind == "copy_conflict"]
    assert [{name for _, name in members} for members in conflict.sets] == [{"i0", "i1"}]
    assert found.metrics["duplicates_conflict"] == 1 and found.metrics["duplicate_sets"] == 2


def test_values_far_from_all_others_and_clumps_are_told():
    rng = np.random.default_rng(2)
    age = rng.normal(50, 5, 100).astype(np.float32)
    age[7] = 999
    age[20:45] = 0
    found, html = explored(samples(LabelSpace.numbers(["age"]), age[:, None]))
    told = headlines(found)
    assert told["far_age"].startswith("26 values of age far from all others: 999") or "999" in told["far_age"]
    assert "25 % of the images have age = 0" in told["clump_age"].replace("\xa0", " ")
    assert "age goes from 0 to 999" in told["range_age"]
    assert "Distribution of age" in html and "Contact sheet of every range of values" in html
    assert "age 999" in html


def test_groups_whose_label_differs_are_told_for_labels_too():
    y_NK = labelled()
    y_NK[:4, 0] = [0, 1, 1, 1]
    groups = ["p"] * 4 + [f"g{n}" for n in range(56)]
    found, _ = explored(samples(LABELS, y_NK, groups))
    assert "1 group with different values of scab: p" in headlines(found)["disagree_scab"]
    (disagree,) = [f for f in found.findings if f.kind == "disagree_scab"]
    assert disagree.sets[0][0] == ("train", "i0"), "the rarest value first"


def test_rare_labels_and_imbalance_count_labels():
    y_NK = labelled()
    y_NK[:, 1] = 0
    y_NK[30, 1] = 1
    found, _ = explored(samples(LABELS, y_NK))
    told = headlines(found)
    assert told["thin_class"].startswith("1 label ") and "rust (1)" in told["thin_class"]
    assert told["imbalance"].startswith("Labels are imbalanced")
    assert (
        survey(samples(LABELS, y_NK), None, facts_of([f"i{n}" for n in range(60)], "train")).attributes == {}
    )


def test_a_solved_head_is_advised_no_other_loss():
    age = np.exp(np.random.default_rng(2).normal(0, 2, 100)).astype(np.float32)
    train = samples(LabelSpace.numbers(["age"]), age[:, None])
    by_steps, _ = explored(train)
    solved, _ = explored(train, words=("competition=digits", "experiment=probe_pixels"))
    for found, refused in ((by_steps, False), (solved, True)):
        answers = [f.answer for f in found.findings if "loss.name=huber" in f.answer]
        assert len(answers) == 2, "of values far from all others, and of a long tail"
        assert all(("takes no other loss" in answer) == refused for answer in answers)
