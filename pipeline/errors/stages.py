"""The stages of `errors/`: the error report, and faults planted to tune the finders of the report.

    make error-analysis                          the newest submission against the best other one, if any
    make error-analysis ARGS="experiment=…"      the blend of these settings, made first if it is missing
    make error-analysis A=mine.csv B=best.csv    any two CSVs in the host's format
    make error-analysis LABEL=scab               of labels that hold together, one alone
    make error-analysis VERDICTS=verdicts.csv    with a person's answers (errors/judging/answers_file.py)

Owns their declarations, inputs and build functions. Does not own the page (`errors/page.py`), the advice
(`errors/advice/advisor.py`) nor the finders (`errors/findings/`). `faults` plants faults of one seed into one
half of the groups, and `finders` counts how many of them are found: half of the groups are for the search,
the others for the re-test, so no image is in both.
"""

from __future__ import annotations

from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage, needs
from pipeline.settings.load import Settings


def build_error_analysis(job: Job) -> Built:
    """Write error-analysis.html, advice.json and flips.csv.

    What needs probabilities or out-of-fold predictions is left out for a CSV without provenance.

    Raises:
        DataError: a CSV is not in the host's format, or the two answer different ids.
    """
    from dataclasses import replace

    from pipeline.core.one_label import one_label
    from pipeline.core.targets import EXCLUSIVE
    from pipeline.errors import case, page
    from pipeline.errors.advice import advisor
    from pipeline.errors.advice.column_steps import WEAKEST
    from pipeline.errors.columns import page as columns
    from pipeline.errors.judging import answers_file

    read = case.read(job)
    label = str(job.params.get("label", ""))
    if read.train.space.kind != EXCLUSIVE and not label:
        return columns.build(read)
    pair = case.viewed(read, one_label(read.train.space, label, "LABEL")) if label else read
    inputs = page.inputs_of(pair, job.settings.config)
    analysis = page.analyze(inputs)
    recommendation = advisor.recommend(read, None if label else analysis.flips)
    judging, judged = answers_file.judging(pair, analysis.flips)
    inputs = replace(
        inputs,
        config=recommendation.config,
        # A page of one label does not send its reader to such a page.
        advice=tuple(a for a in recommendation.advice if not (label and a.kind == WEAKEST)),
        advised=recommendation.advised,
        followed=recommendation.followed,
        changes=recommendation.changes,
        judging=judging,
        judged=judged,
        neighbours=None if analysis.flips is None else page.neighbours_of(pair, analysis.flips),
    )
    analysis = replace(analysis, conclusion=page.conclude(inputs, analysis.flips))
    html = page.render_html(analysis, inputs, page.sections(pair, analysis))
    (job.draft / page.PAGE).write_text(html, encoding="utf-8")
    if analysis.flips is not None:
        analysis.flips.images.to_csv(job.draft / "flips.csv", index=False)
    page.keep_advice(job, inputs, recommendation.entries)
    return page.summary(inputs, analysis)


def compared_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """Digests of the two CSVs, of the stored answers, and of the JSON file beside each."""
    given = [params[name] for name in ("a", "b", "verdicts") if params.get(name)]
    files = [ask.home / str(path) for path in given]
    beside = [path.with_suffix(".json") for path in files]
    wanted = [path for path in (*files, *beside) if path.is_file()]
    return ask.index.combined(wanted, ask.home) if wanted else ""


def build_faults(job: Job) -> Built:
    """Plant the faults of one seed into one half of the groups, and write faults.npz.

    Raises:
        DataError: there are too few groups.
    """
    from pipeline.data import load
    from pipeline.errors.findings import planting

    samples, oof = planting.half(job.inputs, str(job.params["side"]), job)
    image_facts = planting.of_train(job.inputs["images"])
    image = load.image_of(job.inputs["images"])
    metrics = planting.plant(samples, oof, image_facts, image, int(job.params["seed"]), job.draft)
    return Built(metrics)


def faults_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The data and the out-of-fold predictions of the blend, as the error report has them."""
    return {name: Need(name, settings) for name in ("data", "images")} | {"of": Need("ensemble", settings)}


def build_finders(job: Job) -> Built:
    """Look for the planted faults, and write units.csv: hits, misses and false alarms of each finder."""
    from pipeline.errors.findings import planting

    samples, oof = planting.half(job.inputs, str(job.params["side"]), job)
    planted = [planting.planted(job.inputs[f"faults{seed}"]) for seed in str(job.params["seeds"]).split()]
    image_facts = planting.of_train(job.inputs["images"])
    features = planting.features_of(job)
    units = planting.look_for(samples, oof, image_facts, features, planted, job.settings.config)
    units.to_csv(job.draft / planting.UNITS, index=False)
    metrics, lines = planting.scores(units)
    return Built(metrics, lines)


def finders_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The inputs of `faults`, and what was planted with each seed."""
    side = {"side": str(params["side"])}
    planted = {
        f"faults{seed}": Need("faults", settings, {"seed": int(seed), **side})
        for seed in str(params["seeds"]).split()
    }
    return faults_inputs(ask, settings, params) | planted


STAGES = (
    Stage("faults", 2, "faults planted on purpose", build_faults, inputs=faults_inputs),
    Stage(
        "finders",
        3,
        "planted faults, found again",
        build_finders,
        reads=("finders", "eda.near_bits", "eda.near_ratio", "eda.near_match", "statistics.seed"),
        inputs=finders_inputs,
    ),
    Stage(
        "error_analysis",
        13,
        "new against best",
        build_error_analysis,
        reads=(
            *("report", "statistics", "competition.metric", "competition.submission", "competition.title"),
            # Advice must not suggest what is set already.
            *("images.size", "images.cache_px", "resample.method", "loss", "augment.policy", "train.seed"),
            *("eda", "finders", "decision.steps", "decision.shrink"),
        ),
        inputs=needs("data", "images", "folds"),
        identity=compared_identity,
        words=("train", "error-analysis", "competition"),
        whole_request=True,
        tracked=True,
    ),
)
