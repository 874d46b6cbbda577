"""Code of the user's own: found in a folder, digested with its helpers, and blamed by file and line."""

import numpy as np
import pytest

from pipeline.core import metrics, plugin
from pipeline.core.errors import ConfigError

FBETA = '''
"""My metrics."""
from sklearn.metrics import fbeta_score
from helpers import BETA


def fbeta(y_N, pred_N):
    """F2, macro."""
    return fbeta_score(y_N, pred_N, beta=BETA, average="macro", zero_division=0)


def brier(y_N, p_NC):
    import numpy as np
    return ((np.eye(p_NC.shape[1])[y_N] - p_NC) ** 2).sum(axis=1).mean()


def bare(y_N, pred_N):
    return 1.0


fbeta.direction, fbeta.needs, fbeta.minimum = "higher", "labels", 0.0
brier.direction, brier.needs, brier.minimum, brier.maximum = "lower", "probabilities", 0, 2
CONSTANT = 3
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mymetrics.py").write_text(FBETA, encoding="utf-8")
    (tmp_path / "helpers.py").write_text("BETA = 2.0\n", encoding="utf-8")
    return tmp_path


def data(n=300, c=4):
    draw = np.random.default_rng(0)
    y = draw.integers(0, c, n)
    x = draw.normal(size=(n, c))
    x[np.arange(n), y] += 1
    p = np.exp(x)
    return y, (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def test_a_label_metric_scores_labels_probabilities_and_resamples(folder):
    from sklearn.metrics import fbeta_score

    metric = metrics.get("mymetrics:fbeta", folder)
    y, p = data()
    wanted = fbeta_score(y, p.argmax(1), beta=2.0, average="macro")
    assert metric.score(y, p) == pytest.approx(wanted)
    assert metric.score_labels(y, p.argmax(1), 4) == pytest.approx(wanted)
    times = np.random.default_rng(1).integers(0, 3, len(y)).astype(float)
    again = np.repeat(np.arange(len(y)), times.astype(int))
    assert metric.resampler(y, p)(times[None])[0] == pytest.approx(metric.score(y[again], p[again]))
    assert (metric.name, metric.sign, metric.minimum) == ("mymetrics.fbeta", 1, 0.0)
    assert metric.description == "F2, macro."


def test_a_probability_metric_where_lower_is_better(folder):
    metric = metrics.get("mymetrics:brier", folder)
    y, p = data()
    assert metric.score(y, p) == pytest.approx(((np.eye(4)[y] - p) ** 2).sum(1).mean(), rel=1e-5)
    assert (metric.sign, metric.maximum, metric.needs) == (-1, 2.0, "probabilities")
    with pytest.raises(ConfigError, match="needs probabilities"):
        metric.score_labels(y, y, 4)


def test_every_missing_declaration_is_named_at_once(folder):
    with pytest.raises(ConfigError, match="lacks valid declarations") as caught:
        metrics.get("mymetrics:bare", folder)
    text = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 3
    assert "bare.direction = 'higher' or 'lower'" in text and "bare.minimum = a number" in text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mymetrics:fbet", "did you mean fbeta"),
        ("mymetric:fbeta", "did you mean mymetrics"),
        ("mymetrics:CONSTANT", "is not a function: 3"),
        ("mymetrics:", "not of the form module:function"),
        ("../mymetrics:fbeta", "not of the form module:function"),
        ("mine.metrics:fbeta", "there is no mine/metrics.py"),
    ],
)
def test_names_that_lead_nowhere(folder, name, expected):
    with pytest.raises(ConfigError) as caught:
        metrics.get(name, folder)
    assert expected in str(caught.value) and "competition.metric" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(:\n  pass\n", "bad.py line 1"),
        ("x = 1\nimport nowhere_to_be_found\n", "at bad.py line 2: ModuleNotFoundError"),
        ("\n\nraise RuntimeError('boom')\n", "at bad.py line 3: RuntimeError: boom"),
    ],
)
def test_code_that_cannot_be_imported_is_blamed_by_line(folder, source, expected):
    (folder / "bad.py").write_text(source, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        plugin.load("bad:f", folder, "competition.metric")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return 1 / 0", "at own.py line 2: ZeroDivisionError"),
        ("return float('nan')", "returned nan"),
        ("return 'good'", "return one number"),
    ],
)
def test_a_function_that_fails_or_gives_no_number(folder, body, expected):
    declared = "f.direction, f.needs, f.minimum = 'higher', 'labels', 0"
    (folder / "own.py").write_text(f"def f(y, p):\n    {body}\n{declared}\n", encoding="utf-8")
    metric = metrics.get("own:f", folder)
    with pytest.raises(ConfigError, match="own:f") as caught:
        metric.score(*data())
    assert expected in str(caught.value)


def test_the_digest_follows_the_module_and_its_helpers_and_a_change_is_loaded(folder):
    def digest():
        return plugin.digest("mymetrics:fbeta", folder, "competition.metric")

    first, y_p = digest(), data()
    score = metrics.get("mymetrics:fbeta", folder).score(*y_p)
    assert digest() == first
    (folder / "unrelated.py").write_text("x = 1", encoding="utf-8")
    assert digest() == first
    (folder / "mymetrics.py").write_text(FBETA.replace("beta=BETA", "beta=0.1"), encoding="utf-8")
    second = digest()
    assert second != first and metrics.get("mymetrics:fbeta", folder).score(*y_p) != score
    (folder / "helpers.py").write_text("BETA = 3.0\n", encoding="utf-8")
    assert digest() not in (first, second)


def test_loading_leaves_the_search_path_alone(folder):
    import sys

    before = list(sys.path)
    plugin.load("mymetrics:fbeta", folder, "competition.metric")
    assert sys.path == before and "mymetrics" not in sys.modules
