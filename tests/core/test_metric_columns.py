"""A metric of the user's own reads other columns of samples, in scores, intervals and comparisons."""

import numpy as np
import pytest

from pipeline.core import metrics, statistics, truths
from pipeline.core.errors import ConfigError
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.core.targets import Target
from pipeline.record import files
from pipeline.settings.load import load as settings_of
from pipeline.train.stages import refuse_train

# Of the kind of RSNA's spine challenge: severe findings count four times, and every scan by its weight.
SPINE = """
import numpy as np
def weighted(y_NK, p_NK, columns, names):
    losses = []
    for label in dict.fromkeys(name.partition(" · ")[0] for name in names):
        own = [k for k, name in enumerate(names) if name.partition(" · ")[0] == label]
        known_N = ~np.isnan(y_NK[:, own]).any(axis=1)
        y, p = y_NK[known_N][:, own], p_NK[known_N][:, own].clip(1e-7)
        counts_K = np.array([4.0 if names[k].endswith("Severe") else 1.0 for k in own])
        weight_N = columns["weight"][known_N] * (y @ counts_K)
        log_N = (y * np.log(p / p.sum(axis=1, keepdims=True))).sum(axis=1)
        losses += [-(weight_N @ log_N) / weight_N.sum()] if known_N.any() else []
    return np.mean(losses) if losses else 0.0
weighted.direction, weighted.needs, weighted.minimum, weighted.maximum = "lower", "probabilities", 0.0, 17.0
"""
LEVELS = ("Mild", "Moderate", "Severe")
LABELS = LabelSpace.independent([Attribute("canal", LEVELS), Attribute("left", LEVELS)])
N = 60


@pytest.fixture
def spine(tmp_path):
    (tmp_path / "own.py").write_text(SPINE, encoding="utf-8")
    return metrics.get("own:weighted", tmp_path)


def scans(n=N, weights=None):
    """Samples of two labels with three levels, some unknown, with weights; and predictions of them."""
    draw = np.random.default_rng(0)
    y = np.concatenate([np.eye(3, dtype=np.float32)[draw.integers(0, 3, n)] for _ in range(2)], axis=1)
    y[draw.random(n) < 0.2, 3:] = np.nan
    p = draw.dirichlet(np.ones(3), (2, n)).transpose(1, 0, 2).reshape(n, 6).astype(np.float32)
    weight = draw.integers(1, 5, n) if weights is None else weights
    ids = [f"i{k}" for k in range(n)]
    cells = np.array([[str(w), "a" if w > 2 else "b"] for w in weight])
    groups = [f"g{k // 3}" for k in range(n)]
    samples = Samples(ids, ids, groups, LABELS, None, "train", y_NK=y)
    return (
        Samples(
            ids, ids, groups, LABELS, None, "train", y_NK=y, beside_NM=cells, beside_names=("weight", "site")
        ),
        p,
        samples,
    )


def by_hand(y, p, weight):
    """The weighted log loss as the registry computes it with rows repeated by their weight."""
    at = np.repeat(np.arange(len(y)), weight)
    truth = truths.known(y[at], LabelSpace.independent(LABELS.attributes).cells, None)
    cells = truths.Cells((3, 3), (1.0, 1.0), (1.0, 1.0, 4.0) * 2)
    truth.cells = cells
    return metrics.get("log_loss").score(truth, p[at])


def test_a_weighted_log_loss_of_levels_reads_weights_and_names(spine):
    samples, p, _ = scans()
    weight = samples.beside.columns["weight"].astype(int)
    assert spine.score(samples.truth, p) == pytest.approx(by_hand(samples.y_NK, p, weight), abs=1e-6)
    rows = np.array([5, 3, 9, 9])
    assert spine.score(samples.truth[rows], p[rows]) == pytest.approx(
        by_hand(samples.y_NK[rows], p[rows], weight[rows]), abs=1e-6
    )
    part = samples.take(samples.ids_N[::-1][:10])
    assert spine.score(part.truth, p[::-1][:10]) == pytest.approx(
        by_hand(samples.y_NK[::-1][:10], p[::-1][:10], weight[::-1][:10]), abs=1e-6
    )


def test_intervals_resample_rows_with_their_columns(spine):
    samples, p, _ = scans()
    found = statistics.interval(spine, samples.truth, p, samples.groups_N, 40, 3)
    weight = samples.beside.columns["weight"].astype(int)
    scores = []

    class ByHand:
        on_margins = None

        def resampler(self, y, p_NC):
            def scored(w_BN):
                lists = [np.repeat(np.arange(len(y)), w.astype(int)) for w in w_BN]
                made = np.array([by_hand(samples.y_NK[at], p_NC[at], weight[at]) for at in lists])
                scores.extend(made)
                return made

            return scored

    statistics.rescored(
        ByHand(), samples.y_NK, (p,), samples.groups_N, 40, statistics.rng(3, "group bootstrap")
    )
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(scores, (0.025, 0.975))), abs=1e-6)
    better = np.nan_to_num(samples.y_NK) * 0.9 + 0.05
    change = statistics.compare(spine, samples.truth, better.astype(np.float32), p, samples.groups_N, 40, 0)
    assert change.verdict == "better"


def test_columns_are_numbers_or_text_and_go_through_files(tmp_path):
    samples, _, _ = scans()
    files.write_samples(tmp_path / "train.npz", samples, tmp_path)
    again = files.read_samples(tmp_path / "train.npz", tmp_path)
    beside = again.beside
    assert beside.columns["weight"].dtype == np.float64 and set(beside.columns["site"]) == {"a", "b"}
    assert beside.columns["group"][4] == "g1" and beside.columns["id"][4] == "i4"
    assert beside.names == LABELS.classes
    assert np.isnan(truths.Beside.of(("x",), {"w": np.array(["1", "", "3"])}).columns["w"][1])
    joined = samples.joined(Samples(["x"], ["x"], ["x"], LABELS, None, "extra", y_NK=samples.y_NK[:1]))
    assert joined.beside_NM.shape == (N + 1, 2)


def test_rows_that_are_no_longer_known_are_never_scored_with_the_columns_of_others(spine):
    samples, p, bare = scans()
    with pytest.raises(ConfigError, match=r"competition\.metric_columns"):
        spine.score(bare.truth, p)
    with pytest.raises(AssertionError, match="not known"):
        spine.score(np.flip(samples.truth, axis=0) + 0, p)


def test_a_metric_of_classes_reads_groups(tmp_path):
    code = (
        "import numpy as np\ndef f(y, pred, columns):\n"
        "    return float((y == pred)[columns['group'] == 'g0'].mean())\n"
        "f.direction, f.needs, f.minimum = 'higher', 'labels', 0.0\n"
    )
    (tmp_path / "own.py").write_text(code, encoding="utf-8")
    metric = metrics.get("own:f", tmp_path)
    space = LabelSpace.product([Attribute("what", ("a", "b"))])
    samples = Samples(
        ["1", "2", "3"], ["1", "2", "3"], ["g0", "g0", "g1"], space, np.array([0, 1, 1]), "train",
        beside_NM=np.zeros((3, 0), "<U1"),
    )  # fmt: skip
    p = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert metric.score(samples.truth, p) == 0.5
    with pytest.raises(ConfigError, match="reads other columns"):
        metric.score_labels(samples.labels, np.array([0, 0, 1]), 2)


HITS = """
def hits(y, answers):
    return float((y == answers).mean())
hits.direction, hits.needs, hits.minimum = "higher", "labels", 0.0
"""


def test_a_metric_of_ones_own_gets_the_levels_that_a_submission_writes_and_no_values(tmp_path):
    (tmp_path / "own.py").write_text(HITS, encoding="utf-8")
    hits = metrics.get("own:hits", tmp_path)
    space = LabelSpace.independent([Attribute("canal", LEVELS)])
    p = np.array([[0.4, 0.35, 0.25], [0.3, 0.3, 0.4]], np.float32)
    samples = Samples(["a", "b"], ["a", "b"], ["a", "b"], space, None, "train", y_NK=np.eye(3)[[0, 2]])
    assert hits.score(samples.truth, p) == 1
    with pytest.raises(ConfigError, match="values"):
        hits.refuse(Target.of(LabelSpace.numbers(["area"])))


def test_a_metric_that_does_not_fit_the_target_is_refused_before_training(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(HITS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    values = ["competition.target=values", "competition.attributes=[{name: w, column: w}]"]
    own = settings_of(["competition=digits", "competition.metric=own:hits", "experiment=probe"])
    refuse_train(own)
    own = settings_of(["competition=digits", "competition.metric=own:hits", "experiment=probe", *values])
    with pytest.raises(ConfigError, match=r"competition\.metric=own.hits needs exclusive classes"):
        refuse_train(own)
