"""Spaces of settings: their form, and whether the schema takes all that they may propose."""

import pytest

from pipeline.core.errors import ConfigError
from pipeline.settings.load import CONFIGS, load
from pipeline.tune import space, space_check
from pipeline.tune.trials import KINDS


def taken(settings):
    """Nothing is refused beyond the settings' own rules."""


def written(folder, text):
    path = folder / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def checked(folder, text, *words, sections=("train", "infer", "loss", "resample", "images"), refuse=taken):
    form = space.read(written(folder, text))
    return space_check.checked("space.yaml", form, load(["competition=digits", *words]), sections, refuse)


GOOD = """
space:
  train.lr: {type: float, low: 1e-4, high: 1e-2, log: true}
  infer.views: {type: subset, always: [identity], of: ["shift(1,1)", "rotate(5)"]}
  loss.name: {type: categorical, choices: [cross_entropy, focal]}
  loss.gamma: {type: float, low: 0.5, high: 5, when: {loss.name: [focal]}}
  train.ema_decay: {type: categorical, choices: [null, 0.9]}
  train.optimizer_args: {type: categorical, choices: [{}, {momentum: 0}]}
"""


def test_points_become_settings_and_back(tmp_path):
    found = checked(tmp_path, GOOD)
    point = {
        "train.lr": 0.001,
        "infer.views[shift(1,1)]": False,
        "infer.views[rotate(5)]": True,
        "loss.name": "focal",
        "loss.gamma": 2.0,
        "train.ema_decay": None,
        "train.optimizer_args": '{"momentum": 0}',
    }
    values = found.values(point)
    assert values == {
        "train.lr": 0.001,
        "infer.views": ["identity", "rotate(5)"],
        "loss.name": "focal",
        "loss.gamma": 2.0,
        "train.ema_decay": None,
        "train.optimizer_args": {"momentum": 0},
    }
    assert found.point(values) == point
    load(["competition=digits"]).with_values(values)


def test_the_defaults_are_a_point_unless_they_lie_outside(tmp_path):
    found = checked(tmp_path, GOOD)
    point, outside = space_check.defaults(found, load(["competition=digits", "infer.views=[identity]"]))
    assert outside == [] and point["train.lr"] == 0.003 and point["infer.views[rotate(5)]"] is False
    _, outside = space_check.defaults(found, load(["competition=digits", "train.lr=0.5"]))
    assert "train.lr: 0.5 is not within 0.0001 to 0.01" in outside
    assert "infer.views: 'shift(-1,-1)' is not a choice" in outside


BAD = """
sampler: grid
known_good: [{train.lr: 0.5}]
space:
  train.seed: {type: int, low: 0, high: 9}
  train.lr: {type: float, low: 1, high: 0.1, log: true, step: 0.1}
  loss.gamma: {type: float, low: 0, high: 1, when: {loss.name: [focal]}}
  loss.name: {type: categorical, choices: [focal, focal]}
"""


def test_every_fault_of_a_files_form_is_told_at_once(tmp_path):
    with pytest.raises(ConfigError) as error:
        space.read(written(tmp_path, BAD))
    told = str(error.value)
    for what in (
        "train.seed: seeds cannot be tuned",
        "low 1 is not below high 0.1",
        "log and step cannot be combined",
        "`when` names loss.name, which is not an entry above it",
        "loss.name: lists a choice twice",
        "sampler: grid tries every point, so it needs a step for loss.gamma",
    ):
        assert what in told


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("space: {}", "is empty: name at least one setting to vary"),
        ("about: nothing", "space: is empty"),
        ("space: {train.lr: {type: float, low: 1, high: 2, lg: true}}", "did you mean log"),
        ("space: {train.lr: {typ: float}}", "Unable to extract tag"),
        ("trails: 3\nspace: {train.lr: {type: int, low: 1, high: 2}}", "did you mean trials"),
        (
            "pruner: median\nsecond: ms_per_image\nspace: {train.lr: {type: int, low: 1, high: 2}}",
            "trials with a second objective cannot be pruned",
        ),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, what):
    with pytest.raises(ConfigError, match=what):
        space.read(written(tmp_path, text))


BEYOND = """
known_good: [{train.epochs: 900}]
space:
  train.rl: {type: float, low: 0.1, high: 1}
  train.lr: {type: float, low: 0.1, high: 50}
  train.epochs: {type: float, low: 1, high: 6}
  train.schedule: {type: categorical, choices: [cosine, cosinus]}
  decision.shrink: {type: float, low: 0.1, high: 1}
  infer.views: {type: subset, of: [hflip, identity]}
  train.folds: {type: categorical, choices: [[0], [1]]}
"""


def test_every_contradiction_to_the_schema_is_told_at_once(tmp_path):
    with pytest.raises(ConfigError) as error:
        checked(tmp_path, BEYOND)
    told = str(error.value)
    for what in (
        "train.rl: no such setting; did you mean lr",
        "train.lr: Input should be less than or equal to 10; got 50",
        "train.epochs: Input should be a valid integer",
        "train.schedule: Input should be",
        "decision.shrink: does not belong to this stage",
        "infer.views has hflip, which digit forbids",
        "train.folds: changes no result",
    ):
        assert what in told


def test_known_good_points_must_lie_in_the_space(tmp_path):
    with pytest.raises(ConfigError, match=r"known_good\[0\]: train.lr: 0.5 is not within"):
        checked(
            tmp_path, "known_good: [{train.lr: 0.5}]\nspace: {train.lr: {type: float, low: 0.01, high: 0.1}}"
        )


def test_what_a_label_forbids_is_left_out_aloud_where_that_is_wanted(tmp_path):
    text = (
        "space: {infer.views: {type: subset, always: [identity], of: [hflip, rotate(5)], allowed_only: true}}"
    )
    found = checked(tmp_path, text)
    assert [d.name for d in found.dimensions] == ["infer.views[rotate(5)]"]
    assert "hflip, which digit forbids" in found.left_out[0]


@pytest.mark.parametrize("stage", sorted(KINDS))
@pytest.mark.parametrize("competition", ["digits", "emoji"])
def test_the_shipped_spaces_fit_the_demos(stage, competition):
    form = space.read(CONFIGS / "tune" / f"{stage}.yaml")
    settings = load([f"competition={competition}"])
    if form.experiment:
        settings = settings.member(form.experiment)
    settings = settings.with_values(form.settings)
    found = space_check.checked("f", form, settings, KINDS[stage].sections, taken)
    assert len(found.dimensions) >= 2
