"""The host's format fits the target, and its settings fit each other."""

import pytest

from pipeline.core.errors import ConfigError
from pipeline.settings.load import load

FILE = """\
competition:
  name: own
  root: .
  target: {target}
  attributes: {attributes}
  metric: {metric}
  submission: {submission}
"""
LABELS = "[{name: a, column: a, values: ['0', '1']}, {name: b, column: b, word: rust}]"
VALUES = "[{name: age, column: age}]"
CLASSES = "[{name: a, column: a, values: [u, v, w]}]"


def settings(folder, target, attributes, metric, submission="{}"):
    (folder / "competition").mkdir(exist_ok=True)
    text = FILE.format(target=target, attributes=attributes, metric=metric, submission=submission)
    (folder / "competition" / "own.yaml").write_text(text, encoding="utf-8")
    (folder / "config.yaml").write_text("", encoding="utf-8")
    return load(["competition=own"], folder)


@pytest.mark.parametrize(
    ("target", "attributes", "metric", "form"),
    [
        ("labels", LABELS, "auc", "probabilities"),
        ("values", VALUES, "rmse", "values"),
        ("exclusive", CLASSES, "accuracy", "class_index"),
    ],
)
def test_the_default_format_follows_from_the_target(tmp_path, target, attributes, metric, form):
    made = settings(tmp_path, target, attributes, metric, "{id_column: Image}")
    assert made.config.competition.submission.format == form
    assert settings(tmp_path, target, attributes, metric).config.competition.submission.format == form


@pytest.mark.parametrize(
    ("target", "attributes", "metric", "submission", "said"),
    [
        ("values", VALUES, "rmse", "{format: class_index}", "`class_index` does not fit target=values"),
        ("labels", LABELS, "micro_f1", "{format: words, words: {b: [r, s]}}", "a label has one"),
        ("labels", LABELS, "micro_f1", "{format: words, words: {b: [a]}}", "two labels have the word a"),
        ("labels", LABELS, "micro_f1", "{format: words, words: {b: [r s]}}", "stands inside the word `r s`"),
        ("labels", LABELS, "auc", "{k: 3}", "used only with format=top_k"),
        ("labels", LABELS, "auc", "{long_id: '{id}'}", "must contain {id} and {answer}"),
        ("labels", LABELS, "auc", "{long_id: '{id}_{answer}', long_column: x}", "keep one of the two"),
        ("labels", LABELS, "auc", "{long_column: id}", "is also the column of the ids"),
        ("labels", LABELS, "auc", "{format: words}", "auc needs probabilities"),
        ("exclusive", CLASSES, "log_loss", "{format: top_k}", "submits only the order of the first classes"),
        ("exclusive", CLASSES, "accuracy", "{long_column: part}", "used only with format=probabilities or"),
        ("labels", LABELS, "auc", "{total: 100}", "is for target=shares, and here it is labels"),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other_are_told(tmp_path, target, attributes, metric, submission, said):
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, target, attributes, metric, submission)
    assert said in "\n".join(caught.value.faults)
