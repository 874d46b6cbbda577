"""The stages of `errors/`: the error report, and faults planted to see whether its finders find them.

Owns their declarations and inputs. Does not own the page (`errors/page.py`) nor the finders
(`errors/findings/`).
"""

from __future__ import annotations

from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage, needs
from pipeline.settings.load import Settings


def build_error_analysis(job: Job) -> Built:
    """Write the error report."""
    from pipeline.errors import stage_error_analysis

    return stage_error_analysis.build(job)


def compared_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """Digests of the two CSVs, of the answers, and of what is known about each beside it."""
    given = [params[name] for name in ("a", "b", "verdicts") if params.get(name)]
    files = [ask.home / str(path) for path in given]
    beside = [path.with_suffix(".json") for path in files]
    wanted = [path for path in (*files, *beside) if path.is_file()]
    return ask.index.combined(wanted, ask.home) if wanted else ""


def build_faults(job: Job) -> Built:
    """Plant faults."""
    from pipeline.errors import stage_faults

    return stage_faults.build(job)


def faults_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The data and the blend's out-of-fold predictions, as the error report has them."""
    return {name: Need(name, settings) for name in ("data", "images")} | {"of": Need("ensemble", settings)}


def build_finders(job: Job) -> Built:
    """Look for the planted faults."""
    from pipeline.errors import stage_finders

    return stage_finders.build(job)


def finders_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The same, and what was planted."""
    side = {"side": str(params["side"])}
    planted = {
        f"faults{seed}": Need("faults", settings, {"seed": int(seed), **side})
        for seed in str(params["seeds"]).split()
    }
    return faults_inputs(ask, settings, params) | planted


STAGES = (
    Stage("faults", 1, "faults planted on purpose", build_faults, inputs=faults_inputs),
    Stage(
        "finders",
        2,
        "planted faults, found again",
        build_finders,
        reads=("finders", "eda.near_bits", "eda.near_ratio", "eda.near_match", "statistics.seed"),
        inputs=finders_inputs,
    ),
    Stage(
        "error_analysis",
        6,
        "new against best",
        build_error_analysis,
        reads=(
            *("report", "statistics", "competition.metric", "competition.submission", "competition.title"),
            # What advice must not suggest again.
            *("images.size", "images.cache_px", "resample.method", "loss", "augment.policy", "train.seed"),
            *("eda", "finders"),
        ),
        inputs=needs("data", "images", "folds"),
        identity=compared_identity,
        words=("train", "error-analysis", "competition"),
        whole_request=True,
        tracked=True,
    ),
)
