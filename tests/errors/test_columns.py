"""The report on labels that hold together, on values and on shares; and on one label as classes."""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import columns_world
import numpy as np
import pandas as pd
import pytest

from pipeline.core import metrics
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.one_label import OneLabel, one_label
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import LabelSpace, Samples
from pipeline.core.targets import Target
from pipeline.data import load
from pipeline.errors import case as cases
from pipeline.errors import page
from pipeline.errors.advice.advisor import COLUMN_RULES, advise
from pipeline.errors.advice.facts import Facts, OtherTraining, TrainingFacts
from pipeline.errors.columns import cards, changes, scores
from pipeline.errors.columns import page as columns
from pipeline.errors.columns.scores import Rules, Scored
from pipeline.errors.diff import truth
from pipeline.errors.diff.flips import Submission, find_flips
from pipeline.errors.findings import slices
from pipeline.errors.judging import answers_file, sample

KINDS = ("labels", "values", "shares")
RULES = Rules(50, 0)


@pytest.fixture(autouse=True)
def facts(monkeypatch):
    monkeypatch.setattr(load, "facts", lambda artifact: columns_world.world("labels").job.facts)


def rendered(case):
    inputs = page.inputs_of(case, case.job.settings.config)
    analysis = columns.analyze(case, inputs)
    html = page.render_page(analysis.page, inputs, columns.sections(case, analysis), columns._tiles(analysis))
    return html, analysis, inputs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("of", [lambda c: c, columns_world.first, columns_world.outside])
def test_every_page_says_what_it_knows(kind, of):
    case = of(columns_world.world(kind))
    html, analysis, inputs = rendered(case)
    assert ">nan<" not in html and "nan" not in html.partition("<main")[2]
    for anchor in ("verdict", "next", "flips", "errors", "slices", "robustness"):
        assert f'id="{anchor}"' in html
    lines = page.lines(inputs, analysis.page)
    if case.old is None:
        assert lines[0].endswith("First submission")
    elif case.new.oof is None:
        assert "needs out-of-fold predictions" in html and analysis.scored is None
    else:
        assert "Better by" in lines[0] and all(np.isfinite(list(analysis.page.metrics.values())))


def test_labels_are_scored_one_at_a_time_worst_first():
    case = columns_world.world("labels")
    scored = Scored.of(case.train, case.new.oof)
    table = scores.label_table(scored)
    assert table["F1"].is_monotonic_increasing and set(table["label"]) == set(case.train.space.classes)
    row = table.set_index("label").loc["loop"]
    k = case.train.space.classes.index("loop")
    y, held = scored.truth_NK[:, k] > 0.5, scored.held_NK[:, k]
    assert row["missed"] == (y & ~held).sum() and row["false alarms"] == (~y & held).sum()
    assert row["F1"] == pytest.approx(2 * (y & held).sum() / (y.sum() + held.sum()))
    auc = metrics.get("auc").score(scored.truth_NK[:, [k]], scored.p_NK[:, [k]])
    assert row["AUC"] == pytest.approx(auc)
    odd = table.set_index("label").loc["odd"]
    assert odd["unknown"] == np.isnan(scored.truth_NK[:, 0]).sum() > 0
    assert odd["images"] == np.nansum(scored.truth_NK[:, 0])


def test_new_against_old_is_told_column_by_column_by_id():
    case = columns_world.world("labels")
    new, old = (Scored.of(case.train, side.oof) for side in (case.new, case.old))
    turned = np.random.default_rng(0).permutation(len(old.ids_N))
    shuffled = Scored.of(case.train, case.old.oof.take(old.ids_N[turned]))
    one, two = (scores.compared(new, side, "macro_f1", RULES) for side in (old, shuffled))
    pd.testing.assert_frame_equal(one, two)
    row = one.set_index("name").loc["loop"]
    k = case.train.space.classes.index("loop")
    assert row["fixed"] == (~new.wrong_NK[:, k] & old.wrong_NK[:, k]).sum() > row["broken"]
    assert row["verdict"] == "better" and row["low"] > 0
    same = scores.compared(new, new, "macro_f1", RULES)
    assert (same["change"] == 0).all() and set(same["verdict"]) == {"can't tell"}


def test_a_value_of_which_nothing_is_known_has_no_spread_and_warns_of_nothing():
    scored = Scored.of(*_values_known_in_one_column())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert scored.spread_K.tolist() == [1.0, 1.0]
        np.testing.assert_allclose(scored.loss_N, [0.5, 0.5])


def _values_known_in_one_column():
    space = LabelSpace.numbers(["a", "b"])
    ids = np.array(["x", "y"])
    truth = np.array([[0, np.nan], [2, np.nan]], np.float32)
    samples = Samples(ids, ids, ids, space, None, "train", y_NK=truth)
    p = np.array([[0.5, 7], [1.5, 7]], np.float32)
    return samples, Probabilities.of(Target.of(space), ids, p, "p")


def test_values_have_their_bias_along_the_range():
    case = columns_world.world("values")
    scored = Scored.of(case.train, case.new.oof)
    parts = scores.bias_along(scored, 0)
    # Ridge on pixels is drawn to the mean: small digits are predicted too large, large ones too small.
    assert parts[0][1].low > 0 > parts[-1][1].high
    table = scores.value_table(scored).set_index("value")
    known = scored.known_NK[:, 0]
    off = scored.p_NK[known, 0] - scored.truth_NK[known, 0]
    assert table.loc["digit", "RMSE"] == pytest.approx(np.sqrt((off**2).mean()), rel=1e-5)
    assert table.loc["digit", "bias"] == pytest.approx(off.mean(), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_worst_answers_come_first_and_no_column_fills_the_section(kind):
    case = columns_world.world(kind)
    scored = Scored.of(case.train, case.new.oof)
    shown = cards.worst(scored, 24)
    assert 0 < len(shown) <= 24 and len({card.column for card in shown}) > 1
    unknown = {("train", str(i)) for i in scored.ids_N[np.isnan(scored.truth_NK).any(axis=1)]}
    first = scored.target.columns[0]
    assert not any(card.column == first and card.key in unknown for card in shown)
    assert all(card.key[0] == "train" and card.label for card in shown)


def test_changed_labels_are_counted_a_label_most_first():
    case = columns_world.world("labels")
    target = Target.of(case.train.space)
    found = changes.find_changes(target, case.new.prediction, case.old.prediction, 12)
    new, old = (side.prediction.answers for side in (case.new, case.old))
    assert found.answers == (new != old).sum() and found.images == (new != old).any(axis=1).sum()
    assert found.table["changed"].is_monotonic_decreasing
    row = found.table.set_index("label").loc["zero"]
    k = case.train.space.classes.index("zero")
    assert (row["now holds"], row["no longer holds"]) == (
        ((new > old)[:, k]).sum(),
        ((new < old)[:, k]).sum(),
    )
    assert len(found.cards) == 12 and len(found.ids) == found.images
    other = replace(case.old.prediction, ids_N=np.array([f"x{i}" for i in range(len(old))]))
    with pytest.raises(DataError, match="do not have the same ids"):
        changes.find_changes(target, case.new.prediction, other, 12)


def test_a_change_of_values_has_no_unit_and_rounding_is_none():
    case = columns_world.world("values")
    target, new = Target.of(case.train.space), case.new.prediction
    nudged = replace(new, name="nudged", answers=new.answers * 1.00001)
    assert changes.find_changes(target, new, nudged, 9).images == 0
    moved = np.array(new.answers)
    moved[3, 1] += 900
    found = changes.find_changes(target, new, replace(new, name="moved", answers=moved), 9)
    assert found.images == found.answers == 1 and found.table["value"][0] == "ink"
    assert found.cards[0].key == ("test", str(new.ids_N[3])) and found.cards[0].lines[1].figure == "−900"


def test_slices_of_labels_and_values_find_what_fails():
    case = columns_world.world("values")
    scored = Scored.of(case.train, case.new.oof)
    loss = scored.loss_N.copy()
    dark = case.job.facts[case.job.facts["split"] == "train"]["brightness"].to_numpy()
    loss[dark <= np.quantile(dark, 0.25)] += 1.0
    inputs = slices.SliceInputs(
        case.train,
        scored.ids_N,
        None,
        case.job.facts[case.job.facts["split"] == "train"],
        0,
        loss_N=loss,
        in_spreads=True,
    )
    found = slices.find(inputs)
    # Little ink is a dark picture.
    assert {"darkest quarter", "lowest quarter of ink"} & set(found.table["slice"])
    assert found.members[0] == tuple(
        sorted(found.members[0], key=lambda i: -loss[list(scored.ids_N).index(i)])
    )
    section = slices.section(inputs)
    assert (
        "SD" in section.values["sheets"][0].summary
        and "expected from its classes" not in section.values["table"]
    )


def test_metadata_cuts_slices_too():
    case = columns_world.world("values")
    scored = Scored.of(case.train, case.new.oof)
    facts_of_train = case.job.facts[case.job.facts["split"] == "train"]
    number = np.arange(len(case.train)) // 4 % 20
    cells = np.array([["" if i % 40 < 4 else str(n), "abc"[n % 3]] for i, n in enumerate(number)])
    loss = np.where(np.isin(number, (16, 17, 18, 19)), 2.0, scored.loss_N * 0.1)
    inputs = slices.SliceInputs(
        replace(case.train, cells_NM=cells),
        scored.ids_N,
        None,
        facts_of_train,
        0,
        loss_N=loss,
        in_spreads=True,
        metadata=(("age", "number"), ("site", "category")),
    )
    found = slices.find(inputs).table["slice"].tolist()
    assert any("highest quarter of age" in name for name in found)
    cut = slices._cut(inputs.train, facts_of_train, 10, inputs.metadata)
    names = {name[0][1] for name in cut if len(name) == 1}
    assert {"age missing", "lowest quarter of age", "site a", "site b", "site c"} <= names
    missing = next(mask for name, mask in cut.items() if name == (("metadata age", "age missing"),))
    assert missing.sum() == (cells[:, 0] == "").sum()


class TestOneLabel:
    def test_values_that_say_nothing_alone_get_the_labels_name(self):
        space = columns_world.LABELS
        assert one_label(space, "odd", "LABEL").space.classes == ("no odd", "odd")
        assert one_label(space, "size", "LABEL").space.classes == columns_world.LEVELS
        with pytest.raises(ConfigError, match=r"there is no label 'od'"):
            one_label(space, "od", "LABEL")
        with pytest.raises(ConfigError, match=r"LABEL needs competition\.target=labels"):
            one_label(columns_world.VALUES, "digit", "LABEL")

    def test_unknown_rows_are_left_out_and_probabilities_sum_to_one(self):
        case = columns_world.world("labels")
        view = one_label(case.train.space, "odd", "LABEL")
        train = view.samples(case.train)
        known = ~np.isnan(case.train.truth[:, 0])
        assert np.array_equal(train.ids_N, case.train.ids_N[known])
        assert np.array_equal(train.labels, case.train.truth[known, 0].astype(int))
        p = view.probabilities(case.new.oof)
        np.testing.assert_allclose(p.p_NC.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_array_equal(p.labels(), (case.new.oof.p_NC[:, 0] > 0.5).astype(int))
        sizes = one_label(case.train.space, "size", "LABEL")
        np.testing.assert_allclose(sizes.p_of(case.new.oof.p_NC), case.new.oof.p_NC[:, 2:5], atol=1e-6)
        assert view.samples(replace(case.train, y_NK=None)).labels_N is None

    def test_corrected_truth_for_training_is_seen_too(self):
        case = columns_world.world("labels")
        patched = np.array(case.train.truth)
        patched[0, 1] = 1 - patched[0, 1]
        view = one_label(case.train.space, "loop", "LABEL")
        train = view.samples(replace(case.train, train_y_NK=patched))
        assert train.for_training().labels[0] != train.labels[0]
        assert np.array_equal(train.for_training().labels[1:], train.labels[1:])

    def test_a_report_on_one_label_is_the_report_on_classes(self):
        whole = columns_world.world("labels")
        view = one_label(whole.train.space, "odd", "LABEL")
        case = cases.viewed(whole, view)
        inputs = page.inputs_of(case, case.job.settings.config)
        analysis = page.analyze(inputs)
        assert inputs.title == "Digits, odd" and case.metric.name == "macro_f1"
        assert analysis.conclusion.word.startswith("Better by")
        was, now = (side.prediction.answers[:, 0] for side in (whole.old, whole.new))
        assert len(analysis.flips.images) == (was != now).sum()
        wrong = Scored.of(whole.train, whole.new.oof).wrong_NK[:, 0]
        assert analysis.mistakes.n_wrong == wrong.sum()
        assert case.new.prediction.score.value == pytest.approx(
            case.metric.score(case.train.labels, case.new.oof.p_NC)
        )
        shown = truth.section(
            truth.TruthInputs(case.new.oof, case.old.oof, case.train, analysis.mistakes, 0, 50)
        )
        html = page.render_html(
            analysis, inputs, (shown, page.on_slices(case, analysis), page.on_why(case, analysis))
        )
        assert "no odd" in html and "make explain" in html and "LABEL=odd" in html

    def test_a_metric_of_labels_alone_is_replaced_for_one_label(self):
        whole = columns_world.world("labels")
        job = SimpleNamespace(**vars(whole.job))
        names = {"lrap": "auc", "micro_f1": "macro_f1", "exact_match": "macro_f1", "auc": "auc"}
        for name, expected in names.items():
            config = whole.job.settings.config
            competition = config.competition.model_copy(update={"metric": name})
            job.settings = SimpleNamespace(config=config.model_copy(update={"competition": competition}))
            case = replace(whole, job=job, view=one_label(whole.train.space, "odd", "LABEL"))
            assert case.metric.name == expected

    def test_each_label_is_judged_by_itself(self, tmp_path):
        whole = columns_world.world("labels")
        settings = whole.job.settings
        paths = {answers_file.path_of(tmp_path, settings, label) for label in ("", "a b", "a_b", "한글")}
        assert len(paths) == 4 and all(p.parent.name == "verdicts" for p in paths)
        keys, plans = [], []
        for name in ("odd", "loop"):
            case = cases.viewed(whole, one_label(whole.train.space, name, "LABEL"))
            new, old = case.new.prediction, case.old.prediction
            keys.append(sample.pair_key(new, old))
            flips = find_flips(case.train.space, new, old)
            plans.append(sample.plan(case.train.space, flips, keys[-1], 10))
            asked = sample.controls(plans[-1], case.train, (case.new.oof, case.old.oof), 5)
            assert len(asked) == 5 and {c.truth for c in asked} <= {0, 1}
        assert keys[0] != keys[1] and plans[0].strata != plans[1].strata

    def test_labels_of_a_test_set_keep_every_row(self):
        space = columns_world.LABELS
        ids = np.array(["a", "b"])
        test = Samples(ids, ids, ids, space, None, "test")
        assert len(OneLabel(space, 0).samples(test)) == 2


class TestAdvice:
    def facts(self, kind, config=None, **more):
        case = columns_world.world(kind)
        config = config or case.job.settings.config
        run = TrainingFacts("probe", config, more.pop("oof", case.new.oof), pd.DataFrame(), 2.0, pixels=False)
        return Facts(
            case.train.space, config, train=case.train, run=run, asked=("competition=digits",), **more
        )

    def test_thresholds_are_advised_where_one_half_is_wrong_and_not_for_auc(self):
        case = columns_world.world("labels")
        timid = replace(case.new.oof, p_NC=case.new.oof.target.normalised(case.new.oof.p_NC**3))
        facts = self.facts("labels", oof=timid)
        found = {a.kind: a for a in advise(facts, COLUMN_RULES)}
        assert found["thresholds"].bound > 0.02
        assert found["thresholds"].settings == ("decision.steps=[thresholds]",)
        config = facts.config
        auc = config.model_copy(
            update={"competition": config.competition.model_copy(update={"metric": "auc"})}
        )
        assert "thresholds" not in {
            a.kind for a in advise(self.facts("labels", auc, oof=timid), COLUMN_RULES)
        }
        steps = config.decision.model_copy(update={"steps": ["thresholds"]})
        already = config.model_copy(update={"decision": steps})
        assert "thresholds" not in {
            a.kind for a in advise(self.facts("labels", already, oof=timid), COLUMN_RULES)
        }
        tried = replace(facts, decided=("thresholds",))
        assert "thresholds" not in {a.kind for a in advise(tried, COLUMN_RULES)}

    def test_a_weak_label_gets_a_page_of_its_own(self):
        case = columns_world.world("labels")
        p = np.array(case.new.oof.p_NC)
        p[:, 1] = np.random.default_rng(0).random(len(p))
        facts = self.facts("labels", oof=replace(case.new.oof, p_NC=p))
        weak = next(a for a in advise(facts, COLUMN_RULES) if a.kind == "weakest label")
        assert "LABEL=loop" in weak.command and weak.bound > 0.05

    def test_cut_points_are_advised_for_grades_under_kappa(self):
        case = columns_world.world("values")
        one = columns_world.VALUES.numbers(["digit"])
        rows = np.flatnonzero(~np.isnan(case.train.truth[:, 0]))
        train = replace(case.train, space=one, y_NK=case.train.truth[:, [0]]).take(case.train.ids_N[rows])
        shrunk = (case.new.oof.p_NC[rows][:, [0]] - 4.5) * 0.6 + 4.5
        oof = replace(case.new.oof, ids_N=train.ids_N, classes=("digit",), p_NC=shrunk)
        config = case.job.settings.config
        qwk = config.model_copy(
            update={"competition": config.competition.model_copy(update={"metric": "qwk"})}
        )
        run = TrainingFacts("probe", qwk, oof, pd.DataFrame(), 2.0, pixels=False)
        found = {a.kind for a in advise(Facts(one, qwk, train=train, run=run), COLUMN_RULES)}
        assert "cut_points" in found and "thresholds" not in found

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_run_that_differs_is_blended_if_the_mean_is_better(self, kind):
        case = columns_world.world(kind)
        noisy = replace(
            case.new.oof,
            p_NC=case.new.oof.target.normalised(
                np.abs(
                    case.new.oof.p_NC + np.random.default_rng(1).normal(size=case.new.oof.p_NC.shape) * 0.3
                )
                if kind != "values"
                else case.new.oof.p_NC
                + np.random.default_rng(1).normal(size=case.new.oof.p_NC.shape) * [3, 60]
            ),
        )
        better = OtherTraining("other", "vit", case.new.oof, "other")
        facts = self.facts(kind, oof=noisy, others=(better,), members=("probe",))
        found = next(a for a in advise(facts, COLUMN_RULES) if a.kind == "blend")
        assert "ensemble.members=[probe,other]" in found.command
        tried = replace(facts, others=(replace(better, blended=True),))
        assert "blend" not in {a.kind for a in advise(tried, COLUMN_RULES)}
        worse = OtherTraining("other", "vit", noisy, "other")
        facts = self.facts(kind, others=(worse,), members=("probe",))
        kinds = {a.kind for a in advise(facts, COLUMN_RULES)}
        assert "blend" not in kinds or kind == "values"


def test_a_submission_of_classes_has_one_answer_an_image():
    ids = np.array(["a", "b"])
    several = Submission("s", ids, np.zeros((2, 3), np.float32))
    with pytest.raises(AssertionError, match="several answers"):
        _ = several.labels_N
