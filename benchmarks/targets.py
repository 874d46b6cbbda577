"""Two questions about targets on demos whose truth is known, each in one run on shared folds.

    python benchmarks/targets.py labels     emoji-labels: our heads against scikit-learn's one-vs-rest
    python benchmarks/targets.py beside     digits-pairs: metadata in the network, and LightGBM behind that

`labels` trains `experiment=probe_logistic`, and scikit-learn's OneVsRestClassifier of logistic regressions
with the same C on the same features of the same rows, scored out of fold by mean average precision, macro F1
at one half, and log loss. `beside` trains the demo's network without its column of metadata, with it, and
LightGBM on out-of-fold predictions and the column, scored by RMSE. Differences are paired, with 95 %
intervals over groups.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.core import statistics
from pipeline.core.metrics import get
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Samples
from pipeline.data import load as loaded
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.nets.stages import features_need
from pipeline.settings.load import load
from pipeline.stages import open_session

OF_LABELS = ("map", "macro_f1", "log_loss")
DRAWS = 1000


def session_of(home: Path, *words: str) -> Session:
    """A session in a home of its own, without a record."""
    return open_session(load([*words, f"runtime.home={home}", "runtime.mlflow=false", "runtime.threads=1"]))


def truth_of(session: Session) -> Samples:
    return loaded.training(session.need("data"), session.home)


def one_vs_rest(session: Session, samples: Samples) -> Probabilities:
    """scikit-learn's classifiers, out of fold, on the features and rows of our heads."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    settings = session.settings
    views = ["identity", "hflip"]
    inputs = {f"train:{v}": session.get(features_need(settings, "train", v)) for v in views}
    features = loaded.features(inputs, "train", views)
    at = {str(name): row for row, name in enumerate(features.ids_N)}
    parts = []
    for split in loaded.plan(session.need("folds")).splits:
        train, valid = ([at[str(name)] for name in ids] for ids in (split.train_ids, split.valid_ids))
        x_MD = np.concatenate([features.x_NVD[train, v] for v in range(len(views))])
        y_MK = np.tile(samples.take(features.ids_N[train]).truth, (len(views), 1)).astype(int)
        head = OneVsRestClassifier(LogisticRegression(C=settings.config.train.head_c, max_iter=2000))
        fitted = make_pipeline(StandardScaler(), head).fit(x_MD, y_MK)
        p_NK = fitted.predict_proba(np.asarray(features.x_NVD[valid, 0])).astype(np.float32)
        parts.append((features.ids_N[valid], p_NK))
    ids = np.concatenate([ids for ids, _ in parts])
    ours = loaded.oof(session.need("train"), "ours").take(ids)
    return Probabilities.of(ours.target, ids, np.concatenate([p for _, p in parts]), "one-vs-rest")


def table(samples: Samples, arms: Mapping[str, Probabilities], base: str, names: Sequence[str]) -> None:
    """Print the score of each arm, and its paired difference from the base."""
    for name in names:
        metric = get(name)
        for arm, found in arms.items():
            known = samples.take(found.ids_N)
            score = metric.score(known.truth, found.p_NC)
            row = f"{name:<20} {arm:<28} {score:8.4f}"
            if arm != base:
                other = arms[base].take(found.ids_N)
                made = statistics.compare(
                    metric, known.truth, found.p_NC, other.p_NC, known.groups_N, DRAWS, 0
                )
                row += f"   minus {base}: {made}"
            print(row, flush=True)


def labels(home: Path, more: Sequence[str]) -> None:
    """Our heads against scikit-learn's."""
    session = session_of(home, "competition=emoji-labels", "experiment=probe_logistic", *more)
    samples = truth_of(session)
    ours = loaded.oof(session.need("train"), "ours")
    table(samples, {"one-vs-rest": one_vs_rest(session, samples), "ours": ours}, "one-vs-rest", OF_LABELS)
    session.close()


def beside(home: Path, more: Sequence[str]) -> None:
    """A column beside the images: not used, read by the network, read by trees behind it."""
    words = ["competition=digits-pairs", *more]
    arms, samples = {}, None
    for arm, own in (("images alone", ["competition.metadata=[]"]), ("network reads it", [])):
        session = session_of(home, *words, *own)
        arms[arm] = loaded.oof(session.need("infer"), arm)
        session.close()
    trees = ["ensemble.members=[tiny_cnn,gbdt]", "decision.steps=[]"]
    session = session_of(home, *words, *trees)
    samples = truth_of(session)
    arms["LightGBM behind that"] = loaded.oof(session.get(Need("gbdt", session.settings)), "gbdt")
    session.close()
    table(samples, arms, "images alone", ["rmse"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("question", choices=["labels", "beside"])
    parser.add_argument("settings", nargs="*", help="further settings, such as train.epochs=4")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        {"labels": labels, "beside": beside}[options.question](Path(folder), options.settings)


if __name__ == "__main__":
    main()
