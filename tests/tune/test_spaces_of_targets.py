"""The shipped search spaces of each kind of target: taken by themselves, and accepted by the settings."""

from types import SimpleNamespace

import pytest

from pipeline.core.errors import ConfigError
from pipeline.settings.load import load
from pipeline.settings.read import CONFIGS
from pipeline.tune import search, space, space_check
from pipeline.tune.trials import KINDS

ATTRIBUTES = {
    "labels": "[{name: a, column: a, values: ['0', '1'], constant_in_group: true}, {name: b, column: b, "
    "values: ['0', '1']}]",
    "values": "[{name: a, column: a, constant_in_group: true}]",
    "shares": "[{name: a, column: a, values: [red, blue], one_hot: true}]",
}
METRIC = {"labels": "macro_f1", "values": "qwk", "shares": "kl"}
# What a search of this stage has to vary for this target, of all that only some targets have.
VARIES = {
    ("labels", "decision"): {
        "decision.steps[thresholds]",
        "decision.steps[prior_correction]",
        "decision.steps[group_average]",
    },
    ("values", "decision"): {"decision.steps[cut_points]", "decision.steps[clip]", "decision.steps[round]"},
    ("values", "ensemble"): {"ensemble.method"},
    ("labels", "train"): {"loss.name", "loss.label_smoothing"},
    ("values", "train"): {"loss.name"},
    ("values", "resample"): {"resample.bins"},
}


def of(target, *words, metric=""):
    return load(
        [
            "competition=digits",
            "competition.demo=null",
            "competition.root=.",
            "competition.group_column=g",
            f"competition.target={target}",
            f"competition.metric={metric or METRIC[target]}",
            f"competition.attributes={ATTRIBUTES[target]}",
            *words,
        ]
    )


def checked(target, stage):
    settings = of(target)
    path = search._shipped(settings, stage)
    form = space.read(path)
    if form.experiment:
        settings = settings.member(form.experiment)
    settings = settings.with_values(form.settings)
    return path, space_check.checked("f", form, settings, KINDS[stage].sections, lambda made: None)


@pytest.mark.parametrize("target", ATTRIBUTES)
@pytest.mark.parametrize("stage", sorted(set(KINDS) - {"error-analysis"}))
def test_every_stage_has_a_space_that_the_target_accepts_or_says_why_not(target, stage):
    if (target, stage) == ("shares", "decision"):
        with pytest.raises(ConfigError) as caught:
            checked(target, stage)
        assert len(caught.value.faults) == 1
        return
    path, found = checked(target, stage)
    names = {d.name for d in found.dimensions}
    assert len(names) >= 2 and names >= VARIES.get((target, stage), set())
    if path.stem.endswith(target):
        assert not found.left_out, "a space of its own holds nothing that its target refuses"


def test_a_space_of_a_target_is_taken_only_for_it():
    assert search._shipped(of("values"), "ensemble").name == "ensemble-values.yaml"
    assert search._shipped(of("labels"), "ensemble").name == "ensemble.yaml"
    assert search._shipped(load(["competition=digits"]), "decision").name == "decision.yaml"
    names = {path.stem for path in (CONFIGS / "tune").glob("*.yaml")}
    assert names <= {*KINDS, *(f"{stage}-{target}" for stage in KINDS for target in ATTRIBUTES)}


def test_faults_are_planted_in_classes_only():
    with pytest.raises(ConfigError, match=r"competition\.target=values has none"):
        search._refuse_planted(of("values"))
    search._refuse_planted(SimpleNamespace(config=load(["competition=digits"]).config))


@pytest.mark.parametrize(
    ("target", "word", "message"),
    [
        ("values", "ensemble.method=rank", "rank is not for competition.target=values"),
        ("values", "ensemble.temperature=true", "competition.target=values has none"),
        ("shares", "ensemble.method=hard", "hard is not for competition.target=shares"),
        ("labels", "decision.steps=[class_scales]", "steps for it: thresholds"),
        ("values", "decision.steps=[thresholds]", "thresholds is for competition.target=labels"),
    ],
)
def test_what_a_target_cannot_do_is_refused_with_the_settings(target, word, message):
    with pytest.raises(ConfigError) as caught:
        of(target, word)
    assert any(message in fault for fault in caught.value.faults)


def test_answers_are_not_chosen_for_a_metric_of_probabilities():
    for word, metric in (("thresholds", "auc"), ("cut_points", "rmse")):
        target = "labels" if word == "thresholds" else "values"
        with pytest.raises(ConfigError) as caught:
            of(target, f"decision.steps=[{word}]", metric=metric)
        assert any(word in fault and metric in fault for fault in caught.value.faults)
