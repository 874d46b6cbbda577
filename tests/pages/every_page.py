"""Every kind of page that a command writes, from small data, by the name of its template.

`compare columns` is the error report on labels that hold together, whose sections are others.
"""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import columns_world
import numpy as np
import pandas as pd
import test_calibration
import test_robustness
import test_slices
import test_why
from analyze_cases import case, compare_inputs, explore_inputs, probabilities
from home_world import need, state, whole
from test_curve import PAGE as CURVE
from test_gallery import page as gallery_page
from test_leaderboard_page import HOSTILE, row
from test_leaderboard_page import page as board
from test_preview import preview_inputs
from test_resampling import COUNTS, OVER
from test_suspects import made_of

from pipeline.core.predictions import Comparison
from pipeline.data import folds as splits
from pipeline.data import load as loading
from pipeline.data import page as fold_page
from pipeline.eda import page as explore
from pipeline.ensemble import page as ensemble_page
from pipeline.ensemble.cost import Point
from pipeline.errors import page as error_page
from pipeline.errors.columns import page as columns
from pipeline.errors.diff import attributes, truth
from pipeline.errors.diff.flips import find_flips
from pipeline.errors.diff.mistakes import find_mistakes
from pipeline.errors.findings import calibration, slices, suspects, why
from pipeline.errors.judging import page as judging_page
from pipeline.errors.judging import sample
from pipeline.home import page as home_page
from pipeline.home.facts import Competition
from pipeline.home.page import Place
from pipeline.infer import robustness
from pipeline.pages.report import ReportSection
from pipeline.plan import page as plan_page
from pipeline.plan.steps import Best, Step
from pipeline.record.study import Plan, Studies, storage_of_home
from pipeline.resample import page as resample_page
from pipeline.resample import preview_page
from pipeline.settings.load import load
from pipeline.settings.schema import Config
from pipeline.submit import page as submit_page
from pipeline.submit.gap.scene import Cause, Diagnosis, Question
from pipeline.train.studies import ablation, learning_curve
from pipeline.tune import page as tuning_page
from pipeline.tune import space, space_check
from pipeline.tune.retest import Contender, RetestVerdict
from pipeline.tune.trials import KINDS, Bench

BETTER = Comparison(0.04, 0.01, 0.07, 0.99, 60, "better")
UNCLEAR = Comparison(-0.01, -0.04, 0.02, 0.3, 60, "can't tell", "few groups")


def pages(folder: Path) -> dict[str, str]:
    """Template → the whole page; `folder` is empty and holds what pages are made from."""
    made = case()
    eda = explore_inputs(made)
    return {
        "explore": explore.render_html(explore.explore(eda), eda),
        "compare": errors(made),
        "compare columns": errors_of_columns(),
        "preview": preview_page.render_html(preview_inputs()),
        "gallery": gallery_page(),
        "home": home(folder / "home"),
        "folds": folds(made),
        "resampling": resample_page.render_html(resample_page.summarize(COUNTS, OVER), "digits", OVER),
        "ensemble": ensemble(),
        "leaderboard": leaderboard(),
        "plan": plan(folder),
        "ablation": ablated(),
        "learning_curve": learning_curve.render_html(CURVE, "Digits", Config()),
        "tuning": tuned(folder),
    }


def home(folder: Path) -> str:
    """Two competitions, a command that failed, and one that runs."""
    now = need("fold/a1", "fold lite0 fold 0", "running", epoch=3, epochs=10)
    state(whole(folder), "train", now, status="running", pid=os.getpid(), eta_seconds=312.0)
    known = [Competition("pets", "Cats and dogs"), Competition("masks", "Masks")]
    return home_page.html(Place(folder, "pets"), known)


def errors(made) -> str:
    """The error report with all its sections, and flips to judge."""
    inputs, train = compare_inputs(made), made.train
    new, old = (probabilities(train.ids_N, train.labels, seed, skill=0.8) for seed in (3, 4))
    inputs = replace(inputs, judging=judged(made, inputs))
    found, mistakes = error_page.analyze(inputs), find_mistakes(new, train)
    known = attributes.AttributeInputs(train.space, found.flips, {}, new, mistakes, train, 100, 0)
    seen, y = test_robustness.seen(test_robustness.SKILLS)
    table = robustness.measure(
        test_robustness.METRIC, y, seen, test_robustness.OF_VIEW, test_robustness.GROUPS, 100, 0
    )
    doubted = made_of(train, probabilities(train.ids_N, train.labels, 3, skill=0.5), train.space)[1]
    maps = test_why.facts("Half of it."), test_why.picture, train, None, "make explain"
    sections = (
        attributes.section(known),
        truth.section(truth.TruthInputs(new, old, train, mistakes, 0, 400)),
        sliced(made),
        calibration.section(test_calibration.world(60, 3.0)),
        robustness.section(robustness.RobustnessInputs(table, "lite0", "macro F1")),
        suspects.section(doubted),
        why.section(*maps),
    )
    return error_page.render_html(found, inputs, sections)


def judged(made, inputs) -> ReportSection:
    flips = find_flips(made.train.space, inputs.new, inputs.old)
    design = sample.plan(made.train.space, flips, "pair", 12)
    asked = judging_page.questions(design, [], frozenset())
    return judging_page.section(asked, design, made.train.space, made.image, Config().report, "make x")


def sliced(made) -> ReportSection:
    """A slice that fails more often, with its pictures."""
    facts, train = made.facts[made.facts["split"] == "train"], made.train
    train = replace(train, groups_N=[f"g{k // 2}" for k in range(len(train))])
    rows = facts.set_index("id").loc[train.ids_N.tolist()]
    dark = (rows["brightness"] <= rows["brightness"].quantile(0.25)).to_numpy()
    predicted = np.where(dark & (train.labels % 2 == 1), train.labels - 1, train.labels)
    return slices.section(test_slices.SliceInputs(train, train.ids_N, predicted, facts, 0))


def errors_of_columns() -> str:
    made = columns_world.world("labels")
    keep, loading.facts = loading.facts, lambda artifact: made.job.facts
    try:
        inputs = error_page.inputs_of(made, made.job.settings.config)
        found = columns.analyze(made, inputs)
        sections = columns.sections(made, found)
    finally:
        loading.facts = keep
    return error_page.render_page(found.page, inputs, sections, columns._tiles(found))


def folds(made) -> str:
    config = Config()
    plan = splits.plan(made.train, config.folds)
    health = fold_page.health(made.train, plan)
    fault = {"severity": "fault", "text": "group g1 is in both parts", "remedy": "choose groups"}
    warning = {**fault, "severity": "warning"}
    table = fold_page.attributes(made.train, plan)
    return fold_page.render_html(
        fold_page.FoldPage(health, table, [fault, warning], ["a note"], [1] * len(made.train)),
        "Digits",
        config,
    )


def ensemble() -> str:
    names, scores, ms = ("lite0", "probe", "blend"), (0.61, 0.58, 0.64), (2.0, 1.0, 3.0)
    table = pd.DataFrame({"member": names, "macro_f1": scores, "ms 1": ms, "adds": (0.02, -0.01, np.nan)})
    kinds = ("member", "member", "blend")
    points = tuple(Point(*four, True) for four in zip(names, ms, scores, kinds, strict=True))
    columns_read = pd.DataFrame({"column": ["age"], "share": [0.5]})
    made = ensemble_page.EnsemblePage(
        "Digits", "macro_f1", table, points, names[:2], np.array([[0.0, 0.2], [0.2, 0.0]]),
        "Submit the blend.", "The blend is better.", ("how to read it",), importance=columns_read,
    )  # fmt: skip
    return ensemble_page.render_html(made, 64)


def leaderboard() -> str:
    causes = (
        Cause("label_shift", True, "Classes moved.", "counted", "Correct with `x=1`.", -0.1),
        Cause("transform", False, "No.", "undid", "Nothing to do."),
    )
    asked = Question(HOSTILE, 0.7, 0.6, 50)
    told = Diagnosis(asked, row("b", 0.7, 0.6).band, 0.001, causes)
    rows = row(HOSTILE, 0.7, 0.6), row("b", 0.6, 0.6), row("c", None, None, None)
    return submit_page.render_html(board(*rows, diagnosis=told), 64)


def plan(folder: Path) -> str:
    def artifact(score):
        found = {"oof_macro_f1": score, "ci_low": score - 0.02, "ci_high": score + 0.02}
        return SimpleNamespace(metrics=found)

    settings = load(["competition=digits"])
    steps = [Step(name, 60.0 * n, 50.0, artifact(s), artifact(s)) for n, (name, s) in enumerate(
        (("", 0.5), ("probe", 0.55), ("lite0", 0.6)))]  # fmt: skip
    steps.append(Step("large", 300.0, 100.0, None, None, "it did not fit into memory"))
    stable = folder / "digits-best.csv"
    best = Best(steps[2].blend, settings, stable, stable, 0.6, 2)
    story = plan_page.Story(
        settings.config, "10m", "make all", tuple(steps), (None, BETTER, UNCLEAR, None), best, "Honest: 0.58."
    )
    return plan_page.render_html(story)


def ablated() -> str:
    table = pd.DataFrame(
        {"loss": ["ce", "focal"], "epochs": 3, "steps": 30, "seconds": 2.0, "macro_f1": [0.5, 0.54]}
    ).assign(**{"sd of seeds": [0.01, 0.02]})
    arms = tuple(ablation.ArmRow("focal", "ce", one) for one in (BETTER, UNCLEAR))
    standing = ablation.Standing(40.0, "macro_f1", 0.5, 0.54)
    made = ablation.AblationPage(
        "losses.yaml",
        "Which loss",
        "macro_f1",
        table,
        ("loss",),
        ("ce",),
        arms,
        2.2,
        3,
        200,
        True,
        transfer=standing,
    )
    return ablation.render_html(made, "Digits", Config())


def tuned(folder: Path) -> str:
    """A search of two objectives with a winner and a trial that failed."""
    file = folder / "space.yaml"
    file.write_text(
        "space:\n"
        "  infer.views: {type: subset, always: [identity], of: ['shift(1,1)']}\n"
        "  infer.merge: {type: categorical, choices: [mean, fitted]}\n"
        "second: ms_per_image\n",
        encoding="utf-8",
    )
    settings, kind = load(["competition=digits"]), KINDS["tta"]
    search = space_check.checked("space.yaml", space.read(file), settings, kind.sections, lambda one: None)
    bench = Bench(None, kind, search, settings)
    queue = tuple(("given", {"infer.merge": merge, "infer.views[shift(1,1)]": shifted})
        for merge in ("mean", "fitted") for shifted in (True, False))  # fmt: skip
    begun = Plan("tta", search.dimensions, (True, False), queue=queue)
    study = Studies(storage_of_home(folder), folder).open(begun, {})
    for n in range(3):
        study.tell(study.ask(4).number, (0.5 + n / 20, 1.0 + n))
    study.fail(study.ask(4).number, "out of memory")
    every = study.trials()
    contenders = tuple(Contender(t, 0.6, 0.58, c) for t, c in zip(every, (BETTER, UNCLEAR), strict=False))
    verdict = RetestVerdict(0.5, 0.51, contenders, "with other seeds")
    made = tuning_page.TuningPage(
        bench, study, verdict, "make tune", folder / "tuned-tta.yaml", ("a note of the search",)
    )
    return tuning_page._render_html(made)
