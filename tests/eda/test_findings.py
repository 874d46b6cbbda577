from dataclasses import replace

import numpy as np
from analyze_cases import case

from pipeline.core.samples import FoldPlan, Split
from pipeline.eda import texts
from pipeline.eda.evidence import ORDER, SHOWN, Finding, gather, severity_of
from pipeline.eda.findings import KINDS, judge
from pipeline.eda.survey import survey
from pipeline.settings.competition import CompetitionSettings
from pipeline.settings.eda import EdaSettings
from pipeline.settings.folds import FoldSettings
from pipeline.settings.images import ImageSettings
from pipeline.settings.resample import ResampleSettings
from pipeline.settings.schema import Config

# Digits look alike; these tests are about other rules.
NO_NEAR = Config(eda=EdaSettings(near_ratio=0))
FOLDERS = CompetitionSettings(layout="folders")


def found(made=None, config=None, plan=None, **changes) -> tuple[Finding, ...]:
    made = made or case()
    made = replace(made, **changes)
    config = config or NO_NEAR
    counted = survey(made.train, made.test, made.facts)
    return judge(gather(counted, config.eda, made.image, plan, None), config)


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
    findings = found()
    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities, key=ORDER.index) and "high" not in severities
    harms = [finding.harm for finding in findings]
    assert harms == sorted(harms, reverse=True)
    assert not [f for f in found() if "identical" in f.headline]


def test_label_conflict_is_high_and_shows_the_pictures():
    made = case()
    label, ids = made.train.labels, made.train.ids_N
    other = next(k for k in range(9, 120) if label[k] != label[8])
    pair = (("train", str(ids[8])), ("train", str(ids[other])))
    finding = one(found(facts=with_digest(made.facts, pair)), "with different labels")
    assert finding.severity == "high" and [set(members) for members in finding.sets] == [set(pair)]


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
    finding = one(
        found(made, train=replace(made.train, groups_N=groups)), "1 group with different values of size"
    )
    assert finding.sets[0][0] == ("train", str(made.train.ids_N[low])), "the odd one comes first"


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
    assert finding.sets == ((("train", str(made.facts["id"][7])),),)


def test_groups_are_explained_and_their_absence_too():
    made = case()
    assert "groups contain 120 training images" in one(found(), "groups contain").headline
    alone = replace(made.train, groups_N=made.train.ids_N)
    test_alone = replace(made.test, groups_N=made.test.ids_N)
    findings = found(train=alone, test=test_alone)
    assert "group_column" in one(findings, "a group of its own").answer
    assert not [f for f in findings if "in both" in f.headline], "shared ids are no shared groups"


def test_a_set_of_copies_is_told_once_under_its_worst_harm():
    made = case()
    label, ids = made.train.labels, made.train.ids_N
    other = next(k for k in range(9, 120) if label[k] != label[8])
    twins = (("train", str(ids[8])), ("train", str(ids[other])), ("test", "0030.png"))
    facts = with_digest(made.facts, twins[:2], (twins[2], twins[0]))
    copies = [f for f in found(facts=facts) if f.kind.startswith("copy")]
    assert [f.kind for f in copies] == ["copy_conflict"] and set(copies[0].sets[0]) == set(twins)


def test_harm_grows_with_the_share_and_severity_follows_the_settings():
    made = case()
    pairs = [(("train", f"{k:04d}.png"), ("test", f"{k:04d}.png")) for k in range(10, 14)]
    few, many = (
        one(found(facts=with_digest(made.facts, *pairs[:n])), "identical images in both train and test")
        for n in (1, 4)
    )
    assert many.harm > 3 * few.harm
    calm = Config(eda=EdaSettings(high=1.0, medium=0.5))
    assert "high" not in {f.severity for f in found(facts=with_digest(made.facts, *pairs), config=calm)}
    assert [severity_of(h, EdaSettings()) for h in (0.5, 0.005, 0.0001, 0)] == list(ORDER)


def test_groups_that_a_given_fold_parts_are_named():
    made = case()
    ids, groups = made.train.ids_N, made.train.groups_N
    apart = FoldPlan((Split(ids[groups != groups[0]], ids[groups == groups[0]]),))
    assert not [f for f in found(plan=apart) if f.kind == "group_in_folds"]
    plan = FoldPlan((Split(ids[1:], ids[:1]),))
    finding = one(found(plan=plan), "1 group on both sides of a fold")
    assert str(groups[0]) in finding.headline and len(finding.sets[0]) == (groups == groups[0]).sum()


def test_a_banner_among_squares_is_an_outlier_of_shape():
    made = case()
    width = made.facts["width"].to_numpy(copy=True)
    width[7] = 240
    finding = one(found(facts=made.facts.assign(width=width)), "aspect ratio far from all others")
    assert finding.sets == ((("train", str(made.facts["id"][7])),),) and finding.severity == "low"
    assert "size 1 high" in finding.meaning and "aspect 1 high" in finding.meaning


def test_a_dimmer_test_set_is_a_shift_and_the_same_one_is_none():
    made = case(600, 200)
    assert one(found(made), "look alike").severity == "info"
    dim = made.facts["brightness"].where(made.facts["split"] == "train", made.facts["brightness"] * 0.6)
    finding = one(found(made, facts=made.facts.assign(brightness=dim)), "looks different")
    assert finding.severity == "high" and "brightness" in finding.meaning
    assert finding.examples and all(split == "test" for split, _ in finding.examples)


def test_pictures_of_a_finding_are_few_and_whole_sets():
    sets = tuple(tuple(("train", f"{k}-{i}") for i in range(3)) for k in range(40))
    shown = Finding("copy_groups", 0.1, "", "", "", sets).shown
    assert sum(map(len, shown)) == SHOWN and all(members in sets for members in shown)
    huge = Finding("copy_groups", 0.1, "", "", "", (tuple(("train", str(i)) for i in range(99)),) * 2).shown
    assert [len(members) for members in huge] == [SHOWN // 2] * 2
    single = Finding("outlier_look", 0.1, "", "", "", tuple((("train", str(i)),) for i in range(99)))
    assert len(single.shown) == 1 and len(single.shown[0]) == SHOWN


def test_images_that_are_nearly_one_colour_are_a_harmful_finding():
    made = case()
    assert not [f for f in found() if "nearly one colour" in f.headline]
    flat = made.facts.assign(contrast=made.facts["contrast"].where(made.facts.index % 3 > 0, 1.5))
    finding = one(found(facts=flat), "nearly one colour")
    assert finding.severity == "high" and "images.range=" in finding.answer and finding.examples


def test_identical_images_come_before_near_duplicates_that_do_the_same_harm_however_many():
    made = case()
    pair = (("train", "0050.png"), ("test", "0030.png"))
    counted = survey(made.train, made.test, with_digest(made.facts, pair))
    (identical,) = [d for d in counted.duplicates if d.train_test]
    alike = tuple(
        replace(identical, members=(("train", str(a)), ("test", str(b))), exact=False)
        for a, b in zip(made.train.ids_N[:20], made.test.ids_N[:20], strict=True)
    )
    evidence = replace(gather(counted, NO_NEAR.eda, made.image, None, None), near=alike)
    found_here = judge(evidence, NO_NEAR)
    kinds = [finding.kind for finding in found_here]
    assert kinds.index("copy_train_test") < kinds.index("near_train_test")
    places = [("high", "medium", "low", "info").index(finding.severity) for finding in found_here]
    assert places == sorted(places), "what stands first is at least as severe"
    harm = {finding.kind: finding.harm for finding in judge(evidence, NO_NEAR)}
    assert harm["near_train_test"] > harm["copy_train_test"], "more of them, and yet less certain"


def test_where_folders_are_the_classes_nothing_is_said_about_a_table():
    made = case()
    label, ids = made.train.labels, made.train.ids_N
    other = next(k for k in range(9, 120) if label[k] != label[8])
    pair = (("train", str(ids[8])), ("train", str(ids[other])))
    facts = with_digest(made.facts, pair).assign(blur=[0.0, *made.facts["blur"][1:]])
    lone = replace(made.train, groups_N=ids)
    in_folders = Config(eda=EdaSettings(near_ratio=0), competition=FOLDERS)
    findings = found(made, in_folders, facts=facts, train=lone)
    assert "folder of their class" in one(findings, "with different labels").answer
    assert "competition.group_pattern" in one(findings, "group of its own").answer
    assert "from the folders" in one(findings, "in brightness, contrast").answer
    assert not [f.answer for f in findings if "table" in f.answer or "row" in f.answer]
    in_table = found(made, facts=facts, train=lone)
    assert "training table" in one(in_table, "with different labels").answer


def test_every_answer_about_a_table_has_one_about_folders():
    """Labels that hold together, and unknown ones, are of tables only."""
    only = {texts.UNKNOWN_ANSWER}
    answers = {v for n, v in vars(texts).items() if n.endswith("_ANSWER")}
    answers |= {kind.answer for kind in KINDS} | {texts.LOOK[2], texts.SHAPE[2]}
    of_table = {a for a in answers if "table" in a or "rows" in a or "group_column" in a}
    assert of_table - only <= texts.IN_FOLDERS.keys()
    assert not [a for a in texts.IN_FOLDERS.values() if "table" in a or "row" in a]
