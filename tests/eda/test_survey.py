from dataclasses import replace

import numpy as np
import pytest
from analyze_cases import case

from pipeline.core.errors import DataError
from pipeline.eda.survey import contact_sheet, survey


def test_counts_match_the_labels():
    made = case()
    found = survey(made.train, made.test, made.facts)
    assert list(found.classes["images"]) == list(np.bincount(made.train.labels, minlength=4))
    assert found.classes["share"].sum() == pytest.approx(1)
    odd = made.train.space.codes_CA[made.train.labels, 1].sum()
    assert found.attributes["parity"].set_index("value")["images"]["홀수"] == odd
    assert found.group_sizes.sum() == len(made.train) and found.grouped
    assert (len(found.split("train")), len(found.split("test"))) == (120, 40)


def test_facts_are_joined_by_split_and_id_whatever_their_order():
    made = case()
    shuffled = made.facts.sample(frac=1, random_state=0)
    images = survey(made.train, made.test, shuffled).images
    expected = made.facts.set_index(["split", "id"])["sha256"]
    assert all(expected[row.split, row.id] == row.sha256 for row in images.itertuples())


def test_an_image_without_facts_is_named():
    made = case()
    with pytest.raises(DataError) as raised:
        survey(made.train, made.test, made.facts.iloc[2:-1])
    assert len(raised.value.faults) == 3 and "train <img src=x onerror=alert(1)>.png" in raised.value.faults


def test_a_missing_column_is_named():
    made = case()
    with pytest.raises(DataError, match="columns are missing") as raised:
        survey(made.train, made.test, made.facts.drop(columns=["sha256", "blur"]))
    assert raised.value.faults == ("sha256", "blur")


def test_duplicates_know_their_kind():
    made = case()
    facts = made.facts.copy()
    train, label, group = made.train.ids_N, made.train.labels, made.train.groups_N
    first = 10
    conflict = next(k for k in range(11, 120) if label[k] != label[first] and group[k] == group[first])
    across = next(k for k in range(11, 120) if label[k] == label[20] and group[k] != group[20] and k > 20)
    at = {(s, i): k for k, (s, i) in enumerate(zip(facts["split"], facts["id"], strict=True))}
    digests = facts["sha256"].to_numpy(dtype=object, copy=True)
    digests[at["train", train[conflict]]] = digests[at["train", train[first]]]
    digests[at["train", train[across]]] = digests[at["train", train[20]]]
    digests[at["test", "0030.png"]] = digests[at["train", train[40]]]
    found = survey(made.train, made.test, facts.assign(sha256=digests)).duplicates
    kinds = {(d.conflict, d.across_groups, d.train_test) for d in found}
    assert kinds == {(True, False, False), (False, True, False), (False, False, True)}
    assert all(len(d.members) == 2 for d in found)


def test_a_competition_without_test_set():
    made = case()
    found = survey(made.train, None, made.facts)
    assert len(found.split("test")) == 0 and list(found.sizes.columns) == ["size", "train", "test"]


def test_contact_sheet_takes_every_group_before_a_second_of_any():
    made = case()
    images = survey(made.train, made.test, made.facts).split("train")
    n_groups = images["group"].nunique()
    assert contact_sheet(images, n_groups)["group"].nunique() == n_groups
    again = contact_sheet(images, 5)
    assert list(again["id"]) == list(contact_sheet(images, 5)["id"]) and len(again) == 5


def test_no_groups_is_noticed():
    made = case()
    alone = replace(made.train, groups_N=made.train.ids_N)
    assert not survey(alone, made.test, made.facts).grouped
