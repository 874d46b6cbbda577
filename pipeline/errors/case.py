"""What the error report is about: the new submission, the old one, and the results that belong to each.

Owns reading both submissions with their predictions, following a submission's provenance back to its
training, and finding optional results: features of the images, robustness, and explanations of its models.
Does not own writing provenance (`submit/submission.py`), nor what the report says (`errors/page.py`).

The optional results are parameters of the report and not inputs: asking for the report builds none of them.
Their keys are part of the report's key, so a new one gives a new report.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core import metrics, statistics
from pipeline.core.errors import ConfigError
from pipeline.core.metrics import Metric
from pipeline.core.one_label import OneLabel
from pipeline.core.plugin import is_plugin
from pipeline.core.predictions import Comparison, Features, Interval, Probabilities
from pipeline.core.samples import LabelSpace, Samples, Strings
from pipeline.core.targets import EXCLUSIVE
from pipeline.data import host, host_format, load
from pipeline.engine import request
from pipeline.engine.stage import Job
from pipeline.ensemble.stages import BLEND
from pipeline.errors.diff.flips import Submission
from pipeline.pages.report import ImageOf
from pipeline.record import files
from pipeline.record.files import read_json
from pipeline.record.store import Artifact, Store
from pipeline.settings.load import Settings
from pipeline.submit import submission
from pipeline.submit.submission import is_untouched
from pipeline.train import scoring

if TYPE_CHECKING:
    from pipeline.engine.session import Session


@dataclass(frozen=True)
class Side:
    """One submission and the results that belong to it.

    Args:
        prediction: its answers on the test set, with probabilities where there are any.
        oof: out-of-fold probabilities of what made it; None for an outside CSV.
        artifact: the result it was written from; None if it was not made here on the same data, or if that
            result was deleted.
    """

    prediction: Submission
    oof: Probabilities | None
    artifact: Artifact | None


@dataclass(frozen=True)
class ReportCase:
    """Everything that the sections of the report are made from.

    Args:
        job: the job of the stage: settings, inputs (`data`, `images`, `folds`), params, draft folder, store.
        new: the submission that the report is about.
        old: the submission that it is compared with; None for a first submission.
        comparison: new minus old on out-of-fold predictions; None unless both have such predictions.
        image: pixels by split ("train", "test") and id.
        view: the one label that everything above is about; None: the whole target.
    """

    job: Job
    train: Samples
    new: Side
    old: Side | None
    comparison: Comparison | None
    image: ImageOf
    view: OneLabel | None = None

    @property
    def metric(self) -> Metric:
        """The competition's, or what takes its place for one label as two or more classes."""
        whole = metrics.get(self.job.settings.config.competition.metric)
        own = is_plugin(self.job.settings.config.competition.metric)
        if self.view is None or (EXCLUSIVE in whole.kinds and not own):
            return whole
        return metrics.get("auc" if whole.needs == "probabilities" else "macro_f1")


def read(job: Job) -> ReportCase:
    """Read both submissions and compare their out-of-fold predictions.

    Raises:
        DataError: a CSV is not in the host's format.
    """
    train = load.samples(job.inputs["data"], "train", job.home)
    new = _side(job, "a", train.space)
    old = _side(job, "b", train.space) if job.params["b"] else None
    comparison = None
    if old is not None and new.oof is not None and old.oof is not None:
        comparison = scoring.compare(job.settings.config, train, new.oof, old.oof)
    return ReportCase(job, train, new, old, comparison, load.image_of(job.inputs["images"]))


def viewed(case: ReportCase, view: OneLabel) -> ReportCase:
    """The same for one label: its images, answers, scores, and their comparison."""
    seen = replace(case, view=view, train=view.samples(case.train))
    new = _side_viewed(seen, case.new, view)
    old = None if case.old is None else _side_viewed(seen, case.old, view)
    comparison = None
    if old is not None and new.oof is not None and old.oof is not None:
        both = np.intersect1d(new.oof.ids_N, old.oof.ids_N)
        known, rules = seen.train.take(both), case.job.settings.config.statistics
        a_NC, b_NC = new.oof.take(both).p_NC, old.oof.take(both).p_NC
        comparison = statistics.compare(
            seen.metric, known.labels, a_NC, b_NC, known.groups_N, rules.draws, rules.seed
        )
    return replace(seen, new=new, old=old, comparison=comparison)


def _side_viewed(case: ReportCase, side: Side, view: OneLabel) -> Side:
    whole, oof, score = side.prediction, None, None
    if side.oof is not None:
        oof = view.probabilities(side.oof.take(np.intersect1d(side.oof.ids_N, case.train.ids_N)))
        known, rules = case.train.take(oof.ids_N), case.job.settings.config.statistics
        score = statistics.interval(
            case.metric, known.labels, oof.p_NC, known.groups_N, rules.draws, rules.seed
        )
    p = whole.probabilities
    answers = view.classes_of(whole.answers)
    probabilities = None if p is None else view.probabilities(p)
    prediction = replace(whole, answers=answers, probabilities=probabilities, score=score, public=None)
    return replace(side, prediction=prediction, oof=oof)


def _side(job: Job, name: str, space: LabelSpace) -> Side:
    """One submission; `name` is the parameter with its path, "a" (new) or "b" (old)."""
    config = job.settings.config.competition
    path = job.home / str(job.params[name])
    sample = host.sample(job.settings, job.inputs["data"], job.home)
    answers = host_format.read(path, space, config.submission, sample, config.encoding)
    public = str(job.params.get(f"{name}_public", ""))
    artifact = made_of(job.store, job.inputs["data"], path)
    score, oof, probabilities = None, None, answers.probabilities
    if artifact is not None:
        m = artifact.metrics
        scored = submission.scored(artifact, job.store)
        oof = None if scored is None else load.oof(scored, path.stem)
        probabilities = load.test(artifact, path.stem)
        metric = f"oof_{metrics.get(config.metric).name}"
        score = Interval(m[metric], m["ci_low"], m["ci_high"], 0) if metric in m else None
    known = (probabilities, score, float(public) if public else None)
    return Side(Submission(path.stem, answers.ids_N, answers.answers, *known), oof, artifact)


def made_of(store: Store, data: Artifact, path: Path) -> Artifact | None:
    """The result that a submission was made from; None if it was not made here, or was deleted."""
    artifact = recorded(store, path)
    return artifact if artifact and _is_of(artifact, data.key) else None


def recorded(store: Store, path: Path) -> Artifact | None:
    """The same, whatever data it was made from."""
    provenance = path.with_suffix(".json")
    if not provenance.is_file() or not is_untouched(path):
        return None
    try:
        address = str(read_json(provenance)["artifact"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return store.at(address)


def asked(store: Store, settings: Settings, artifact: Artifact | None) -> Settings:
    """The settings of the training behind a submission; `settings` if they cannot be read again."""
    address = training_behind(store, artifact)
    training = store.at(address) if address else None
    return again(training, settings) or settings


def again(artifact: Artifact | None, like: Settings | None) -> Settings | None:
    """The settings that asked for a result, on this machine; None if they cannot be read again.

    `like` are those of the present command.
    """
    record = None if artifact is None else artifact.manifest.get("request")
    if not record or like is None:
        return None
    try:
        return request.repeated(record, like)
    except ConfigError:
        return None  # its file was changed or deleted


def training_behind(store: Store, artifact: Artifact | None) -> str:
    """`train/key` of the training of a submission, or of the best member of a blend; empty if not known."""
    if artifact is None:
        return ""
    if "train" in artifact.inputs:
        return artifact.inputs["train"]
    below = artifact.inputs.get("of", "")
    if artifact.has(BLEND):
        below = artifact.inputs.get(f"member:{artifact.json(BLEND)['best_member']}", below)
    return training_behind(store, store.at(below))


def optional(session: Session, data: Artifact, new: Path) -> dict[str, str]:
    """Parameter -> `stage/key` of the optional results that exist for the submission `new`."""
    store = session.store
    artifact = made_of(session.store, data, new) if new.is_file() else None
    training = training_behind(session.store, artifact)
    explained = [a for a in store.all("explain") if _is_of(a, data.key)]
    tested = [a for a in store.all("robustness") if training and a.inputs.get("train") == training]
    return {
        **_pair([a for a in store.all("features") if _shows(a, data)]),
        **_newest("robustness", tested),
        **_newest("explain", _explained(explained, training)),
    }


def features(made: list[Artifact], data: str) -> str | None:
    """`stage/key` of the newest features of the unchanged training images; None: there are none.

    `data` is the key of the data without the test set.
    """
    mine = [a for a in made if a.inputs.get("data") == f"train_data/{data}"]
    plain = [a for a in mine if _config(a, "view") == "identity" and _config(a, "split") == "train"]
    return _newest("features", plain).get("features")


def _explained(made: list[Artifact], training: str) -> list[Artifact]:
    """Explanations of these models: of the worst errors if there are any, otherwise of named images."""
    own = [a for a in made if training and training in a.inputs.values()]
    return [a for a in own if _config(a, "ids") in ("", "[]")] or own


def _pair(features: list[Artifact]) -> dict[str, str]:
    """Features of the unchanged training images, and of the test images by the same network, if any."""
    plain = [a for a in features if _config(a, "view") == "identity"]
    of_train = [a for a in plain if _config(a, "split") == "train"]
    of_test = {_network(a): a for a in plain if _config(a, "split") == "test"}
    both = [a for a in of_train if _network(a) in of_test]
    chosen = _newest("features", both or of_train)
    if not both:
        return chosen
    partner = next(of_test[_network(a)] for a in both if chosen["features"] == a.address)
    return chosen | {"features_test": partner.address}


def _network(features: Artifact) -> str:
    """What made the features; equal for both splits of one network."""
    config = {k: v for k, v in features.manifest["config"].items() if k != "split"}
    # Features of the test set name the prepared training images beside their own.
    prepared = features.inputs.get("train", features.inputs["prepared"])
    return repr((sorted(config.items()), prepared))


def _shows(features: Artifact, data: Artifact) -> bool:
    """Whether these are features of these data, or of their part without the test set."""
    return features.inputs.get("data") in (data.address, data.inputs["train"])


def _is_of(artifact: Artifact, data: str) -> bool:
    return artifact.inputs.get("data") == f"data/{data}"


def _config(artifact: Artifact, name: str) -> str:
    return str(artifact.manifest.get("config", {}).get(name, ""))


def _newest(name: str, artifacts: list[Artifact]) -> dict[str, str]:
    """The newest of them as a parameter."""
    if not artifacts:
        return {}
    newest = max(artifacts, key=lambda a: (str(a.manifest["created"]), a.key))
    return {name: newest.address}


def given_result(job: Job, name: str) -> Artifact | None:
    """A result that the command found and put into the parameters of the report."""
    return job.store.at(str(job.params.get(name, "")))


def read_features(job: Job, name: str, ids: Strings) -> Features | None:
    """Features that the command found; None if they lack one of these images."""
    artifact = given_result(job, name)
    if artifact is None:
        return None
    read = files.read_features(artifact.folder / "features.npz")
    return read if set(ids.tolist()) <= set(read.ids_N.tolist()) else None
