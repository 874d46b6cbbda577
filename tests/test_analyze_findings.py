from dataclasses import replace

import numpy as np
from analyze_cases import case

from pipeline.analyze.findings import ORDER, Finding, judge
from pipeline.analyze.survey import survey
from pipeline.settings.schema import Config, FoldSettings, ImageSettings, ResampleSettings


def found(made=None, config=None, **changes) -> tuple[Finding, ...]:
    made = made or case()
    made = replace(made, **changes)
    return judge(survey(made.train, made.test, made.facts), config or Config())


def one(findings, text) -> Finding:
    matching = [finding for finding in findings if text in finding.headline]
    assert len(matching) == 1, [finding.headline for finding in findings]
    return matching[0]


def with_digest(facts, *pairs):
    keys = list(zip(facts["split"], facts["id"], strict=True))
    digests = facts["sha256"].to_numpy(dtype=object, copy=True)
    for one_key, other in pairs:
        digests[keys.index(one_key)] = digests[keys.index(other)]
    return facts.assign(sha256=digests)


def keep(made, mask):
    return replace(made, train=made.train.take(made.train.ids_N[mask]))


def test_clean_data_reports_no_harm_and_worst_comes_first():
    severities = [finding.severity for finding in found()]
    assert severities == sorted(severities, key=ORDER.index)
    assert not [f for f in found() if "identical" in f.headline]


def test_label_conflict_is_high_and_shows_the_pictures():
    made = case()
    label, ids = made.train.labels, made.train.ids_N
    other = next(k for k in range(9, 120) if label[k] != label[8])
    pair = (("train", str(ids[8])), ("train", str(ids[other])))
    finding = one(found(facts=with_digest(made.facts, pair)), "with different labels")
    assert finding.severity == "high" and set(finding.examples) == set(pair)


def test_train_test_duplicate_is_found():
    made = case()
    pair = (("train", "0050.png"), ("test", "0030.png"))
    assert one(found(facts=with_digest(made.facts, pair)), "in both train and test").severity == "high"


def test_imbalance_names_the_rarest_class_and_the_attribute():
    made = case()
    rare = (made.train.labels != 3) | (np.arange(120) < 30)
    finding = one(found(keep(made, rare)), "imbalanced")
    assert made.train.space.classes[3] in finding.headline
    assert "size" in finding.meaning and "resample.method=over" in finding.answer
    on = Config(resample=ResampleSettings(method="under"))
    assert "`resample.method=under` is on" in one(found(keep(made, rare), on), "imbalanced").answer


def test_classes_with_fewer_groups_than_folds_and_empty_ones():
    made = case()
    few = np.flatnonzero(made.train.labels == 3)[:3]
    mask = made.train.labels != 3
    mask[few] = True
    finding = one(found(keep(made, mask), Config(folds=FoldSettings(n=10))), "fewer groups than the 10 folds")
    assert made.train.space.classes[3] in finding.headline
    gone = one(found(keep(made, made.train.labels != 3)), "without a training image")
    assert gone.severity == "high"


def test_groups_that_disagree_on_a_constant_attribute():
    made = case()
    groups = made.train.groups_N.copy()
    low = np.flatnonzero(made.train.labels < 2)[0]
    high = np.flatnonzero(made.train.labels >= 2)[0]
    groups[low] = groups[high]
    finding = one(found(made, train=replace(made.train, groups_N=groups)), "disagree on size")
    assert finding.severity == "high" and ("train", str(made.train.ids_N[low])) in finding.examples


def test_groups_in_train_and_test():
    made = case()
    groups = made.test.groups_N.astype(object)
    groups[0] = made.train.groups_N[0]
    assert (
        "1 group in both" in one(found(test=replace(made.test, groups_N=groups)), "train and test").headline
    )


def test_mixed_sizes_matter_where_shapes_get_squashed():
    made = case()
    width = made.facts["width"].to_numpy(copy=True)
    width[::5] = 48
    facts = made.facts.assign(width=width)
    squash = one(found(facts=facts), "2 sizes")
    assert squash.severity == "medium" and "letterbox" in squash.answer
    boxed = Config(images=ImageSettings(resize="letterbox"))
    assert one(found(facts=facts, config=boxed), "2 sizes").severity == "low"
    assert one(found(), "All images measure 24 × 24").severity == "info"


def test_a_blank_image_stands_out():
    made = case()
    brightness = made.facts["brightness"].to_numpy(copy=True)
    brightness[7] = 255.0
    finding = one(found(facts=made.facts.assign(brightness=brightness)), "far from all others")
    assert finding.examples == (("train", str(made.facts["id"][7])),)


def test_groups_are_explained_and_their_absence_too():
    made = case()
    assert "groups hold 120 training images" in one(found(), "groups hold").headline
    alone = replace(made.train, groups_N=made.train.ids_N)
    test_alone = replace(made.test, groups_N=made.test.ids_N)
    findings = found(train=alone, test=test_alone)
    assert "group_column" in one(findings, "a group of its own").answer
    assert not [f for f in findings if "in both" in f.headline], "shared ids are no shared groups"
