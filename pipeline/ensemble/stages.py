"""The stages of `ensemble/`: the blend, its cost, decision steps, and one student in place of the blend.

    make ensemble ARGS="ensemble.members=[lite0,probe] ensemble.method=geometric"
    make ensemble ARGS="ensemble.members=[lite0,file:kernel.csv+kernel_oof.csv,labels:mate.csv]"
    make ensemble ARGS="ensemble.max_ms=20"       the best blend within a time budget
    make ensemble ARGS="decision.steps=[class_scales,group_average]"
    make distill ARGS="experiment=probe_mlp ensemble.members=[probe,probe_logistic]"

Owns their declarations and the functions that build them. Does not own voting (`core/voting/`), the members
(`ensemble/members.py`) nor the steps of a decision (`ensemble/decision.py`). Imports no torch, so that
a blend of finished members takes seconds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from pipeline.core import metrics
from pipeline.core.errors import ConfigError
from pipeline.core.language import _
from pipeline.core.predictions import Probabilities, align, compared
from pipeline.core.samples import Ints, Samples, positions
from pipeline.core.targets import EXCLUSIVE, Target
from pipeline.core.voting import fitting, soft_voting
from pipeline.data import load
from pipeline.engine import naming
from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage, of_competition, of_experiment
from pipeline.ensemble import cost, decision, grouping, members, texts
from pipeline.ensemble.blend import (
    blend_facts,
    comparison_text,
    member_lines,
    only_member,
    only_member_text,
    report_members,
)
from pipeline.ensemble.cost import PricedMember
from pipeline.ensemble.decision import ClassScales, GroupAverage, OwnStep, Rows, Step, load_own
from pipeline.ensemble.grouping import Grouping
from pipeline.ensemble.new_class import NewClass
from pipeline.ensemble.page import EnsemblePage, page_lines, recommended, render_html
from pipeline.ensemble.priors import PriorCorrection, class_shares, label_shares
from pipeline.ensemble.thresholds import MOST_GRADES, Clip, CutPoints, Round, Thresholds, not_whole
from pipeline.ensemble.trees import Trees
from pipeline.nets.stages import features_need
from pipeline.pages.command_words import make_with
from pipeline.record import board, files
from pipeline.record.tracking import note
from pipeline.resample.page import shown, shown_rows
from pipeline.settings.decision import ANSWER_STEPS, STEP_KINDS
from pipeline.settings.ensemble import GBDT, word_of
from pipeline.settings.load import Settings
from pipeline.train import scoring
from pipeline.train.teachers import teacher

BLEND = "blend.json"
# What the trees of the member gbdt read most, and how many of its columns a line names.
IMPORTANCE, TOP, SHOWN_COLUMNS = "importance.csv", 6, 30
# Inputs of a decision: the class counts of each member's training rows, `shown:<member>`.
SHOWN = "shown:"


def build_ensemble(job: Job) -> Built:
    """Blend the members: oof.npz (cross-fitted), test.npz and blend.json.

    Raises:
        ConfigError: two members are the same run, or one was trained on other data or folds.
        DataError: members predict other images, or a CSV from elsewhere has faults.
    """
    config, options = job.settings.config, job.settings.config.ensemble
    train, test_samples = (load.samples(job.inputs["data"], split, job.home) for split in ("train", "test"))
    plan = load.plan(job.inputs["folds"])
    predictions = members.load_members(job.settings, job.inputs, train, test_samples, plan.covered)
    oofs, ids_N = predictions.oofs, predictions.oofs[0].ids_N
    inferred = members.by_name(job.inputs, members.MEMBER)
    refits = members.by_name(job.inputs, members.REFIT)
    metric = metrics.get(config.competition.metric)
    scored = train.take(ids_N)
    parts = scoring.crossfit_parts(config, train, plan, ids_N)
    fit = cost.budget(options.max_ms, inferred)
    recipe = fitting.Recipe(
        options.method, options.temperature, predictions.weights, options.stack_c, fit=fit
    )
    blend, oof = fitting.cross_fit(oofs, scored.truth, parts, metric, recipe)
    test = blend.fitted.apply(predictions.tests, "ensemble")
    files.write_probabilities(job.draft / "oof.npz", oof)
    files.write_probabilities(job.draft / "test.npz", predictions.with_test_only(test))

    report = report_members(config, scored, oofs, blend)
    against_best = scoring.compare(config, train, oof, next(o for o in oofs if o.name == report.best))
    by_fold = [oof.take(np.intersect1d(split.valid_ids, ids_N)) for split in plan.splits]
    rival = scoring.best_earlier(job.store, config, job.inputs, job.key, scoring.PREDICTED, oof)
    card = scoring.score_card(config, train, oof, scoring.scores_of(config, train, by_fold), rival)
    alone = only_member(blend, predictions)
    if alone and rival and alone in inferred and rival.artifact.key == inferred[alone].key:
        card = scoring.same_as(card, alone)
    if alone == report.best:
        against_best = scoring.no_difference(against_best, alone)
    facts = blend_facts(options.method, inferred, refits, predictions, blend, report, against_best)
    files.write_json(job.draft / BLEND, facts)
    complete = float(all(a.metrics.get("complete") == 1.0 for a in inferred.values()))
    lines = [
        *predictions.notes,
        *member_lines(report, blend),
        *scoring.lines(card, len(train), compared=not complete),
        *predictions.test_only_lines(test),
        *([texts.REFITS] if refits else []),
        *([texts.NAIVE.format(score=blend.naive)] if recipe.fits(len(oofs)) else []),
        *([only_member_text(alone, blend, report)] if alone else []),
    ]
    if alone != report.best:
        lines.append(texts.AGAINST_BEST.format(member=report.best, verdict=comparison_text(against_best)))
    used = [name for name, weight in zip(blend.members, blend.weights, strict=True) if weight > 0]
    used += [member.p.name for member in predictions.test_only]
    figures = {
        **card.figures,
        "delta_vs_member": against_best.delta,
        "ms_per_image": sum(a.metrics["ms_per_image"] for a in inferred.values()),
        **cost.figures([inferred.get(name) for name in used]),
        f"naive_{metric.name}": blend.naive,
        "complete": complete,
    }
    names = ", ".join(blend.members)
    title = texts.BLEND_RUN.format(method=options.method, blend=naming.blend(blend.members))
    description = note(title, scoring.why(card), "make error-analysis", result="; ".join(lines[-3:]))
    tags = scoring.tags(card, rival, job.resolved, job.request) | {
        "changed": str(texts.BLENDED.format(members=names))
    }
    wanted = {n: a.address for n, a in job.inputs.items() if n.startswith(members.MEMBER)}
    outside = {name: name for name in predictions.files}
    told = scoring.members_changed(rival, wanted | outside, job.resolved)
    return Built(figures, tuple(lines), description, (BLEND,), tags, shown=told)


def ensemble_sections(settings: Settings) -> tuple[str, ...]:
    """Settings that a blend reads: the host's format only where CSVs come from elsewhere."""
    outside = any(word_of(text).path for text in settings.config.ensemble.members)
    host = ("competition.submission",) if outside else ()
    return ("ensemble", "statistics", "competition.metric", *host)


def trained_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The members that are inferences; CSVs from elsewhere enter the blend's identity by their digests."""
    inputs = {"data": Need("data", settings), "folds": Need("folds", settings)}
    for word in map(word_of, settings.config.ensemble.members):
        if word.kind == "experiment":
            member = settings.member(word.name)
            inputs[f"{members.MEMBER}{word.name}"] = Need("infer", member)
            if settings.config.ensemble.refit:
                inputs[f"{members.REFIT}{word.name}"] = Need("refit", member)
        elif word.kind in ("auto", "key"):
            keys = (
                members.finished_members(ask, settings)
                if word.kind == "auto"
                else members.member_by_key(ask, settings, word.name)
            )
            inputs |= {f"{members.MEMBER}{n}": Need("infer", settings, key=key) for n, key in keys.items()}
    return inputs


def ensemble_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The same, and the trees on their predictions if they are a member."""
    inputs = trained_inputs(ask, settings, params)
    if GBDT in settings.config.ensemble.members:
        inputs[f"{members.MEMBER}{GBDT}"] = Need("gbdt", settings)
    return inputs


def build_gbdt(job: Job) -> Built:
    """Boosted trees on the members' predictions and the metadata: oof, test, importance.csv, the trees.

    Each sample is predicted by trees that saw nothing of its part, and parts share no group.

    Raises:
        ConfigError: more columns than trees are made for, or members with other data or folds.
        DataError: LightGBM is not installed.
    """
    from pipeline.ensemble import gbdt

    config, started = job.settings.config, time.perf_counter()
    train, test = (load.samples(job.inputs["data"], split, job.home) for split in ("train", "test"))
    plan, inferred = load.plan(job.inputs["folds"]), members.by_name(job.inputs, members.MEMBER)
    members.refuse_mismatch(inferred, job.inputs)
    oofs = align([load.oof(artifact, name) for name, artifact in inferred.items()])
    tests = align([load.test(artifact, name) for name, artifact in inferred.items()])
    ids_N, target = oofs[0].ids_N, Target.of(train.space)
    scored, asked = train.take(ids_N), test.take(tests[0].ids_N)
    parts = scoring.crossfit_parts(config, train, plan, ids_N)
    at = [positions(part, ids_N, "out-of-fold predictions") for part in parts]
    rows, tested = (gbdt.table(p, s, config.competition) for p, s in ((oofs, scored), (tests, asked)))
    made = gbdt.cross_fitted(rows, scored.truth, at, tested, target, config.ensemble.gbdt)
    oof = Probabilities.of(target, ids_N, made.oof_NK, GBDT)
    files.write_probabilities(job.draft / "oof.npz", oof)
    files.write_probabilities(
        job.draft / "test.npz", Probabilities.of(target, tests[0].ids_N, made.test_NK, GBDT)
    )
    made.importance.to_csv(job.draft / IMPORTANCE, index=False)
    # New images are predicted with them (`predict/predictor.py`).
    Trees(tuple(p.name for p in oofs), made.columns, made.boosted).write(job.draft)
    by_fold = [oof.take(np.intersect1d(split.valid_ids, ids_N)) for split in plan.splits]
    card = scoring.score_card(config, train, oof, scoring.scores_of(config, train, by_fold), None)
    top = ", ".join(
        f"{name} {share:.0%}" for name, share in made.importance.head(TOP).itertuples(index=False, name=None)
    )
    trees = texts.GBDT_TREES.format(rounds=made.rounds, top=top)
    lines = (*scoring.lines(card, len(train), compared=False), trees)
    figures = {
        **card.figures,
        "rounds": made.rounds,
        "complete": float(all(a.metrics.get("complete") == 1.0 for a in inferred.values())),
        "ms_per_image": 1000 * (time.perf_counter() - started) / max(len(ids_N) + len(asked), 1),
    }
    return Built(figures, lines)


def ensemble_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """Digests of the CSVs from elsewhere and, with a budget, of the measured costs of the members."""
    blend = settings.config.ensemble
    costs = ""
    if blend.max_ms is not None:
        inputs = ensemble_inputs(ask, settings, params)
        inferred = {n: need for n, need in inputs.items() if n.startswith(members.MEMBER)}
        costs = cost.digest({n.partition(":")[2]: ask.found(need) for n, need in inferred.items()})
    return members.file_digests(blend.members, ask.index) + costs


def build_cost(job: Job) -> Built:
    """What the blend and its members cost: ensemble.html and cost.csv."""
    config, blend = job.settings.config, job.inputs["ensemble"]
    facts = blend.json(BLEND)
    metric = metrics.get(config.competition.metric)
    timed = {n: a for n, a in members.by_name(job.inputs, members.MEMBER).items() if cost.is_timed(a)}
    not_timed = [name for name in {**facts["weights"], **facts["test_only"]} if name not in timed]
    warning = texts.NOT_TIMED.format(members=", ".join(not_timed))
    if not timed:
        why = texts.NO_MEMBER_TIMED
        return Built({}, (warning,), note(texts.COST_RUN, why, "make error-analysis", result=warning))
    oofs = align([load.oof(artifact, name) for name, artifact in timed.items()])
    y_N = load.samples(job.inputs["data"], "train", job.home).take(oofs[0].ids_N).truth
    priced = [
        PricedMember(
            name,
            cost.price_of(artifact),
            float(facts["weights"][name]),
            float(facts["contributions"].get(name, np.nan)),
            oof,
        )
        for (name, artifact), oof in zip(timed.items(), oofs, strict=True)
    ]
    score = blend.metrics[f"oof_{metric.name}"]
    total = cost.total([member.price for member in priced if member.weight > 0])
    best = str(facts["best_member"])
    ms = {member.name: member.price.alone.ms_64 for member in priced}
    times = total.ms_64 / ms[best] if best in ms else None
    answer = texts.COST_ANSWER.format(
        blend=total.ms_64,
        member=best,
        alone=f"{ms[best]:.2f}" if best in ms else texts.UNKNOWN_TIME,
        comparison=compared(facts["against_best_member"]),
    )
    page = EnsemblePage(
        title=config.competition.title or config.competition.name,
        metric=metric.name,
        table=cost.cost_table(priced, y_N, metric, score),
        points=tuple(cost.cost_points(priced, y_N, metric, score)),
        members=tuple(timed),
        disagreement=soft_voting.disagreement(oofs),
        kind=oofs[0].kind,
        advice=recommended(facts, blend.metrics["delta_vs_member"], times, partial(_blend_of, job)),
        answer=answer,
        importance=_importance(job),
        notes=(*texts.COST_NOTES, *([f"{warning[0].upper()}{warning[1:]}."] if not_timed else [])),
    )
    html = render_html(page, config.report.thumbnail_px)
    (job.draft / "ensemble.html").write_text(html, encoding="utf-8")
    page.table.to_csv(job.draft / "cost.csv", index=False)
    lines = (*page_lines(page), *([warning] if not_timed else []))
    description = note(texts.COST_RUN, texts.COST_WHY, "make distill", "ensemble.html", answer)
    figures = {"parameters": total.parameters, "ms_1": total.ms_1, "ms_64": total.ms_64}
    return Built(figures, lines, description, ("ensemble.html", "cost.csv"))


def _blend_of(job: Job, names: Sequence[str]) -> str:
    """The command that blends these members of the blend only."""
    inferred = members.by_name(job.inputs, members.MEMBER)
    words = members.words_of(job.inputs["ensemble"], inferred, names)
    return make_with("make ensemble", job.words["ensemble"], *words)


def _importance(job: Job) -> pd.DataFrame | None:
    """What the trees of the member gbdt read; None without that member."""
    trees = job.inputs.get(f"{members.MEMBER}{GBDT}")
    return None if trees is None else pd.read_csv(trees.folder / IMPORTANCE).head(SHOWN_COLUMNS)


def cost_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The blend and its members."""
    own = ensemble_inputs(ask, settings, params)
    wanted = {n: need for n, need in own.items() if n in ("data", "folds") or n.startswith(members.MEMBER)}
    return wanted | {"ensemble": Need("ensemble", settings)}


def build_decide(job: Job) -> Built:
    """Apply the decision steps that improve the score: oof.npz (cross-fitted), test.npz and decision.json.

    A refit gets the steps that were fitted and kept on its cross-validation.
    """
    config, of = job.settings.config, job.inputs["of"]
    oof, test = load.oof(of, "oof"), load.test(job.inputs.get("refit", of), "test")
    train = load.samples(job.inputs["data"], "train", job.home)
    images = train.take(oof.ids_N)
    test_images = load.samples(job.inputs["data"], "test", job.home).take(test.ids_N)
    plan = load.plan(job.inputs["folds"])
    parts = scoring.crossfit_parts(config, train, plan, oof.ids_N)
    at = tuple(positions(part, oof.ids_N, "out-of-fold predictions") for part in parts)
    groups = _groups(job, images, test_images, at)
    steps = [_step(job, name, train, groups) for name in config.decision.steps]
    labelled = decision.Labelled(oof, images.truth, Rows(oof.ids_N, images.groups_N, groups.oof_N), at)
    test_rows = Rows(test.ids_N, test_images.groups_N, groups.test_N)
    metric, resamples = metrics.get(config.competition.metric), config.statistics
    criterion = decision.Criterion(metric, resamples.draws, resamples.seed, config.decision.adopt)
    decided = decision.decide(steps, labelled, test, test_rows, criterion)
    effect = decision.compare(decided.oof.p_NC, oof.p_NC, labelled, criterion, max(len(steps), 1))
    files.write_probabilities(job.draft / "oof.npz", decided.oof)
    files.write_probabilities(job.draft / "test.npz", decided.test)
    files.write_json(job.draft / "decision.json", decision.facts(decided, of.address, effect))
    if (of.folder / BLEND).is_file():
        files.write_json(job.draft / BLEND, of.json(BLEND))

    by_part = scoring.scores_of(config, train, [decided.oof.take(part) for part in parts])
    card = scoring.score_card(config, train, decided.oof, by_part, None)
    kept = ", ".join(decided.adopted)
    total = decision.summary(decided, effect)
    lines = [*map(str, decided.tried), total, *(scoring.lines(card, len(train)) if kept else [])]
    figures: dict[str, float] = {
        **card.figures,
        f"naive_{card.metric}": decided.naive,
        "adopted": float(len(decided.adopted)),
        "delta_decision": effect.delta,
        **{name: of.metrics[name] for name in ("complete", "ms_per_image") if name in of.metrics},
    }
    title = texts.DECISION_RUN.format(stage=of.stage, key=of.key[:8], steps=", ".join(config.decision.steps))
    description = note(title, texts.DECISION_WHY, "make error-analysis", result=total)
    caution = {"caution": str(card.interval.note)} if card.interval.note else {}
    tags = {"verdict": effect.verdict, "decision": kept or "none", **caution}
    if "refit" in job.inputs:
        tags["score"] = job.inputs["refit"].manifest["tags"].get("score", "")
        # A refit has no score of its own: the ledger must not take the cross-validation's for one.
        figures = {f"twin_{n}" if n.startswith(("oof_", "ci_")) else n: v for n, v in figures.items()}
    against = {
        board.CHANGED: texts.DECISION_ADDS.format(kept=kept or texts.NO_STEP),
        board.AGAINST: board.against(effect.delta, effect.low, effect.high),
        "compared_with": scoring.title(of),
    }
    name = texts.DECISION_NAME.format(kept=kept or texts.NO_STEP, of=naming.label_of(of))
    return Built(figures, tuple(lines), description, ("decision.json",), tags, name=name, shown=against)


def _groups(job: Job, oof: Samples, test: Samples, parts: Sequence[Ints]) -> Grouping:
    """The groups that `group_average` averages over."""
    settings = job.settings.config.decision
    if "group_average" not in settings.steps:
        return grouping.no_groups(oof, test)
    if settings.groups == "table":
        return grouping.table_groups(oof, test, settings)
    features = [load.features(dict(job.inputs), split, ["identity"]) for split in ("train", "test")]
    return grouping.clustered_groups(oof, test, parts, (features[0], features[1]), settings)


def _step(job: Job, name: str, samples: Samples, groups: Grouping) -> Step:
    config, space, target = job.settings.config, samples.space, Target.of(samples.space)
    metric, shrink = metrics.get(config.competition.metric), config.decision.shrink
    target.require(STEP_KINDS.get(name, (target.kind,)), f"decision.steps: {name}")
    if name == "class_scales":
        return ClassScales(metric, shrink, space.classes)
    if name == "new_class":
        column = job.settings.config.competition.new_class_column
        assert column is not None, "a rule of the settings asks for competition.new_class"
        return NewClass(metric, column, space.classes[column])
    if name == "thresholds":
        return Thresholds(metric, shrink, target)
    if name == "cut_points":
        return CutPoints(metric, shrink, target, off=_not_graded(samples))
    if name == "clip":
        return Clip(target)
    if name == "round":
        return Round(not_whole(np.asarray(samples.truth, np.float32)))
    if name == "prior_correction":
        return _prior_correction(job, samples)
    if name == "group_average":
        return GroupAverage(space, groups.text, off=groups.off)
    return OwnStep(load_own(name), target)


def _not_graded(samples: Samples) -> str:
    """Why there are no grades to cut values into, or empty."""
    if samples.space.kind != EXCLUSIVE:
        return not_whole(np.asarray(samples.truth, np.float32), MOST_GRADES)
    return texts.SEVERAL_ATTRIBUTES if len(samples.space.attributes) > 1 else ""


def _prior_correction(job: Job, samples: Samples) -> PriorCorrection:
    """The correction from what training showed; for a blend the weighted mean of its members."""
    of, target = job.inputs["of"], Target.of(samples.space)
    weights = of.json(BLEND)["weights"] if (of.folder / BLEND).is_file() else {}
    total_C, total, off = np.zeros(target.n_columns), 0.0, ""
    for name, artifact in members.by_name(job.inputs, SHOWN).items():
        weight, counts = float(weights.get(name, 1.0)), shown(artifact, target.columns)
        total += weight
        if target.kind == EXCLUSIVE:
            total_C += weight * class_shares(counts)
            continue
        known = shown_rows(artifact, target.columns)
        if known is None:
            off = texts.ROWS_NOT_COUNTED.format(member=name)
        else:
            total_C += weight * label_shares(counts, known, target)
    shares_C = total_C / (total_C.sum() if target.kind == EXCLUSIVE else total)
    return PriorCorrection(
        np.asarray(shares_C, dtype=np.float64), job.settings.config.decision.prior, target, off=off
    )


def refuse_decide(settings: Settings) -> None:
    """Raise ConfigError for functions that cannot be loaded, and scales for a metric of probabilities."""
    steps, metric = settings.config.decision.steps, metrics.get(settings.config.competition.metric)
    for name in steps:
        if ":" in name:
            load_own(name)
    for name in ANSWER_STEPS:
        if name in steps and metric.needs == "probabilities":
            text = texts.SCALES_NEED_LABELS.format(step=name, metric=metric.name)
            raise ConfigError(text, remedy=_("leave {name} out").format(name=name))


def decide_sections(settings: Settings) -> tuple[str, ...]:
    """Settings that a decision reads."""
    attributes = ("competition.attributes", "competition.new_class")
    new = attributes if "new_class" in settings.config.decision.steps else ()
    return ("decision", "statistics", "competition.metric", *new)


def decide_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The result to post-process (`of`), and what the steps look at."""
    of, decision = str(params.get("of", "ensemble")), settings.config.decision
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    common["of"] = Need("infer" if of == "refit" else of, settings)
    if of == "refit":
        common["refit"] = Need("refit", settings)
    if "prior_correction" in decision.steps:
        common |= _shown_inputs(settings, of)
    if "group_average" in decision.steps and decision.groups == "clusters":
        other = replace(settings, config=settings.config.model_copy(update={"model": decision.features}))
        common |= {f"{s}:identity": features_need(other, s, "identity") for s in ("train", "test")}
    return common


def _shown_inputs(settings: Settings, of: str) -> Inputs:
    """The training rows after resampling: of one experiment, or of each member of the blend."""
    if of != "ensemble":
        return {f"{SHOWN}{settings.experiment}": Need("resample", settings)}
    names = settings.config.ensemble.members
    if any(word_of(text).kind != "experiment" for text in names):
        raise ConfigError(texts.MEMBERS_WITHOUT_NAME, remedy=texts.MEMBERS_BY_NAME)
    return {f"{SHOWN}{name}": Need("resample", settings.member(name)) for name in names}


def decided_label(settings: Settings, params: Params) -> str:
    """The label of a blend is the name of the competition; that of a member or a refit is its experiment."""
    alone = params.get("of", "ensemble") != "ensemble"
    return of_experiment(settings, params) if alone else of_competition(settings, params)


def build_distill(job: Job) -> Built:
    """Compare a student with the blend that taught it: distill.json."""
    config = job.settings.config
    samples = load.samples(job.inputs["data"], "train", job.home)
    metric = metrics.get(config.competition.metric)
    runs = {name: job.inputs[name] for name in ("student", "plain", "blend")}
    oofs = {name: load.oof(run, name) for name, run in runs.items()}
    scores = {name: run.metrics[f"oof_{metric.name}"] for name, run in runs.items()}
    ms = {name: run.metrics["ms_64"] for name, run in runs.items()}
    against_blend = scoring.compare(config, samples, oofs["student"], oofs["blend"])
    against_labels = scoring.compare(config, samples, oofs["student"], oofs["plain"])
    times = ms["blend"] / ms["student"]
    distill = config.train.distill
    assert distill is not None, "the command sets it"
    lines = (
        texts.STUDENT.format(
            student=job.settings.experiment,
            metric=metric.name,
            score=scores["student"],
            ms=ms["student"],
            blend_score=scores["blend"],
            blend_ms=ms["blend"],
        ),
        texts.STUDENT_LOSS.format(comparison=against_blend),
        texts.STUDENT_SPEED.format(times=times),
        texts.STUDENT_GAIN.format(score=scores["plain"], comparison=against_labels),
    )
    files.write_json(
        job.draft / "distill.json",
        {
            "teachers": distill.teachers,
            "inner": distill.inner,
            "runs": {name: run.address for name, run in runs.items()},
            "scores": scores,
            "ms_64": ms,
            "against_blend": str(against_blend),
            "against_labels": str(against_labels),
        },
    )
    figures = {
        f"oof_{metric.name}": scores["student"],
        "delta_vs_blend": against_blend.delta,
        "delta_vs_labels": against_labels.delta,
        "times_as_fast": times,
    }
    title = texts.DISTILL_RUN.format(student=job.settings.experiment, teachers=", ".join(distill.teachers))
    description = note(title, texts.DISTILL_WHY, "make runs", result="; ".join(lines[1:]))
    return Built(figures, lines, description, ("distill.json",), {"verdict": against_blend.verdict})


def distill_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The student, the blend that taught it, and the same training on labels."""
    plain = teacher(ask, settings, settings.experiment)
    return {
        "data": Need("data", settings),
        "folds": Need("folds", settings),
        "student": Need("infer", settings),
        "plain": Need("infer", plain),
        "blend": Need("ensemble", plain),
    }


STAGES = (
    Stage(
        "gbdt",
        2,
        "boosted trees on the predictions of members and the metadata",
        build_gbdt,
        reads=("ensemble.gbdt", "statistics", "competition.metric"),
        inputs=trained_inputs,
        label=of_competition,
    ),
    Stage(
        "ensemble",
        5,
        "the blend of the members",
        build_ensemble,
        reads=ensemble_sections,
        inputs=ensemble_inputs,
        identity=ensemble_identity,
        tracked=True,
        compared=True,
    ),
    Stage(
        "cost",
        4,
        "the cost of an ensemble and its members",
        build_cost,
        reads=("competition.metric", "competition.title", "report.thumbnail_px"),
        inputs=cost_inputs,
        words=("ensemble",),
        tracked=True,
    ),
    Stage(
        "decide",
        2,
        "post-processing steps that improve the score",
        build_decide,
        reads=decide_sections,
        inputs=decide_inputs,
        label=decided_label,
        refuse=refuse_decide,
        tracked=True,
        compared=True,
    ),
    Stage(
        "distill",
        2,
        "one student in place of a blend",
        build_distill,
        reads=("statistics", "competition.metric"),
        inputs=distill_inputs,
        label=of_experiment,
        tracked=True,
    ),
)
