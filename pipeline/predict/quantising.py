"""`make export INT8=1`: the exported model in 8 bits, with its measured loss, or an error if that is large.

Owns where the images come from, the order, and the lines. Does not own quantising (`predict/int8.py`).

    images          the competition's test set, or those of IMAGES; a part calibrates, others measure
    score           with the answers of the test set, where they are known (a demo, held-out images);
                    else out of fold, each fold by its own models
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.core import metrics
from pipeline.core.errors import ConfigError, DataError, UserError
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Floats, Samples, Strings, Truth, strings
from pipeline.core.targets import Target
from pipeline.core.wording import worded
from pipeline.data import host, load
from pipeline.data.decode import Pixels
from pipeline.engine import request
from pipeline.engine.session import Session
from pipeline.predict import finding, int8, pictures, texts
from pipeline.predict.pictures import Picture
from pipeline.predict.predictor import Predictor
from pipeline.record import files
from pipeline.record.store import Artifact
from pipeline.submit import submission

Options = argparse.Namespace


def run(session: Session, options: Options, predictor: Predictor, draft: Path) -> list[str]:
    """Put the model in 8 bits in the place of model.onnx; returns the lines about its loss.

    Raises:
        ConfigError: there are no images to calibrate with.
        DataError: images do not decode, or the loss is large.
    """
    root = _root(session, options)
    given = _given(session, options, predictor, root)
    images = _seen(predictor, given[: int8.CALIBRATING + int8.MEASURED])
    calibrating, measured = int8.halves(len(images[0]))
    whole, small = draft / "model.onnx", draft / "int8.onnx"
    int8.quantise(whole, small, [x[calibrating] for x in images])
    before, after = (int8.predicted(path, [x[measured] for x in images]) for path in (whole, small))
    loss = int8.loss_of(predictor.target, after, before)
    int8.refuse(loss)
    lines = [str(loss), *([texts.INT8_LARGE] if loss.large else [])]
    lines.append(texts.INT8_SIZE.format(before=whole.stat().st_size / 1e6, after=small.stat().st_size / 1e6))
    if root is not None:
        ids = strings([one.id for one in given[: int8.CALIBRATING + int8.MEASURED]])[measured]
        lines.append(_score(session, options, predictor, root, (ids, before, after)))
    small.replace(whole)
    about = files.read_json(draft / "model.json")
    files.write_json(draft / "model.json", {**about, "precision": "int8"})
    return lines


def _root(session: Session, options: Options) -> Artifact | None:
    """The result behind a submission; None for the folder of a predictor."""
    if Path(options.file).is_dir():
        return None
    record = submission.read(finding.csv_of(session, options.file, texts.EXPORT_REMEDY_FILE))
    return session.store.at(record["artifact"])


def _given(session: Session, options: Options, predictor: Predictor, root: Artifact | None) -> list[Picture]:
    """The images of IMAGES, or those of the competition's test set; every other one of many."""
    if options.images:
        if not Path(options.images).exists():
            raise DataError(texts.NO_SUCH_PLACE.format(where=options.images), remedy=texts.IMAGES_REMEDY)
        found = predictor.pictures(options.images)
    elif root is None:
        raise ConfigError(texts.INT8_NO_IMAGES, remedy=texts.INT8_NO_IMAGES_REMEDY)
    else:
        data = submission.input_of(root, "data", session.store)
        found = _pictures(load.samples(data, "test", session.home))
    step = max(len(found) // (int8.CALIBRATING + int8.MEASURED), 1)
    return found[::step]


def _pictures(samples: Samples) -> list[Picture]:
    return pictures.listed(samples.paths_N.tolist(), samples.ids_N.tolist())


def _seen(predictor: Predictor, given: Sequence[Picture]) -> list[Pixels]:
    """The pixels of each look.

    Raises:
        DataError: images do not decode; all of them are named.
    """
    seen = pictures.see(given, predictor.eyes)
    if seen.unreadable:
        faults = [f"{one.id}: {one.why}" for one in seen.unreadable]
        raise DataError(worded(texts.INT8_UNREADABLE, images=len(faults)), faults)
    return seen.x_LNHWC


Both = tuple[Strings, Floats, Floats]


def _score(session: Session, options: Options, predictor: Predictor, root: Artifact, both: Both) -> str:
    """The score of both models, in words; `both`: ids of test images, and their predictions."""
    metric = metrics.get(str(predictor.manifest.scores["metric"]))
    known = None if options.images else _answers(session, options, root)
    where = texts.INT8_TEST
    if known is not None:
        ids_N, truth = known
        target = predictor.target
        before, after = (Probabilities.of(target, both[0], p, "test").take(ids_N) for p in both[1:])
    else:
        found = _out_of_fold(session, predictor, root)
        if found is None:
            return texts.INT8_NO_SCORE
        truth, before, after = found
        where = texts.INT8_OOF
    scores = [metric.score(truth, p.p_NC) for p in (before, after)]
    words = {"metric": metric.name, "before": scores[0], "after": scores[1], "change": scores[1] - scores[0]}
    return worded(texts.INT8_SCORE, images=len(before), where=where, **words)


def _answers(session: Session, options: Options, root: Artifact) -> tuple[Strings, Truth] | None:
    """The measured test images whose answers are known, and these; None: the host has them."""
    record = submission.read(finding.csv_of(session, options.file, texts.EXPORT_REMEDY_FILE))
    try:
        settings = request.repeated(record["request"], session.settings)
    except UserError:
        return None
    if not host.knows_answers(settings.config.competition):
        return None
    data = submission.input_of(root, "data", session.store)
    space = load.samples(data, "test", session.home).space
    ids_N, truth, _ = host.read_answers(host.answers(settings, data), Target.of(space))
    return ids_N, truth


def _out_of_fold(
    session: Session, predictor: Predictor, root: Artifact
) -> tuple[Truth, Probabilities, Probabilities] | None:
    """Truth, and out-of-fold predictions of a part of each fold in 32 and in 8 bits; None: there are none."""
    folds = {len(member.committees) for member in predictor.manifest.members}
    plan = load.plan(submission.input_of(root, "folds", session.store))
    if folds != {len(plan.splits)}:
        return None
    train = load.samples(submission.input_of(root, "data", session.store), "train", session.home)
    ids: list[str] = []
    parts: tuple[list[Floats], list[Floats]] = ([], [])
    each = max(int8.MEASURED // len(plan.splits), 1)
    for k, split in enumerate(plan.splits):
        own = _pictures(train.take(split.train_ids[: int8.CALIBRATING]))
        valid = _pictures(train.take(split.valid_ids[:each]))
        found = int8.out_of_fold(predictor, k, _seen(predictor, own), _seen(predictor, valid))
        ids += [one.id for one in valid]
        for kept, p in zip(parts, found, strict=True):
            kept.append(p)
    ids_N, first = np.unique(strings(ids), return_index=True)
    made = [Probabilities.of(predictor.target, ids_N, np.concatenate(p)[first], "oof") for p in parts]
    return train.take(ids_N).truth, made[0], made[1]
