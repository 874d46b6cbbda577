import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from analyze_cases import SPACE, case, explore_inputs, probabilities

from pipeline.analyze.advice import LARGEST_SIDE, STRONGER, advise, train_with
from pipeline.analyze.explore import explore
from pipeline.analyze.flips import Submission, find_flips
from pipeline.analyze.mistakes import find_mistakes
from pipeline.core.predictions import Comparison, Probabilities
from pipeline.settings.load import load
from pipeline.settings.schema import Config, ImageSettings, LossSettings, ResampleSettings

MADE = case()
IDS = MADE.test.ids_N
ASKED = ("competition=digits", "experiment=small_cnn", "train.epochs=3")


def rare_case(config=None, asked=(), policies=STRONGER):
    label = MADE.train.labels
    kept = MADE.train.take(MADE.train.ids_N[(label != 3) | (np.arange(120) < 20)])
    p = np.full((len(kept), 4), 0.1)
    p[np.arange(len(kept)), np.where(kept.labels == 3, 1, kept.labels)] = 0.7
    mistakes = find_mistakes(Probabilities(kept.ids_N, SPACE.classes, p), kept)
    return advise(SPACE, None, mistakes, None, config or Config(), asked, policies), mistakes


def test_the_confused_pair_and_the_rare_class_come_with_numbers_and_commands():
    advice, mistakes = rare_case()
    assert f"{mistakes.pairs[0].images} times, 100\u00a0%" in advice[0].sentence
    assert "They differ in size." in advice[0].reason
    assert SPACE.classes[3] in advice[1].sentence and "F1 0.00" in advice[1].sentence
    assert advice[1].command == 'make train ARGS="resample.method=over resample.to=balanced"'


def test_nothing_is_advised_that_is_already_on():
    advice, _ = rare_case(Config(resample=ResampleSettings(method="over")))
    assert "loss.name=focal" in advice[1].command
    advice, _ = rare_case(Config(resample=ResampleSettings(method="over"), loss=LossSettings(name="focal")))
    assert "focal" not in advice[1].command and "resample" not in advice[1].command


def test_oversure_runs_are_told_to_smooth():
    y = MADE.train.labels
    p = np.full((len(y), 4), 0.01)
    p[np.arange(len(y)), np.where(np.arange(len(y)) % 3 == 0, (y + 1) % 4, y)] = 0.97
    mistakes = find_mistakes(Probabilities(MADE.train.ids_N, SPACE.classes, p), MADE.train)
    commands = [a.command for a in advise(SPACE, None, mistakes, None, Config())]
    assert 'make train ARGS="loss.label_smoothing=0.1"' in commands
    smooth = Config(loss=LossSettings(label_smoothing=0.1))
    assert not [a for a in advise(SPACE, None, mistakes, None, smooth) if "smoothing=0.1" in a.command]


def test_flips_and_an_open_comparison():
    new = Submission("new", IDS, np.zeros(40, np.int64))
    old = replace(
        new, name="old", labels_N=np.r_[np.ones(9, np.int64), np.full(4, 2), np.zeros(27, np.int64)]
    )
    flips = find_flips(SPACE, new, old)
    open_end = Comparison(0.001, -0.01, 0.012, 0.6, 40, "can't tell")
    shown, undecided = advise(SPACE, flips, None, open_end, Config())
    assert shown.sentence.startswith("9 of 13 flips change parity") and shown.direction == 0
    assert "−0.0100 to +0.0120" in undecided.sentence
    assert undecided.command == 'make train ARGS="train.seed=1"'
    assert "blend" not in undecided.reason
    lone = replace(open_end, low=0.001, high=0.001, n_groups=1)
    assert len(advise(SPACE, flips, None, lone, Config())) == 1, "one group: no seed would tell"


def test_the_commonest_way_is_of_the_attribute_that_is_named():
    # Parity flips most often, six times each way; size less often, but ten times one way.
    was = np.r_[np.zeros(6, np.int64), np.ones(6, np.int64), np.full(10, 2), np.zeros(18, np.int64)]
    now = np.r_[np.ones(6, np.int64), np.zeros(6, np.int64), np.zeros(28, np.int64)]
    flips = find_flips(SPACE, Submission("new", IDS, now), Submission("old", IDS, was))
    (shown,) = advise(SPACE, flips, None, None, Config())
    assert flips.directions["attribute"][0] == "size"
    assert shown.sentence.startswith("12 of 22 flips change parity") and "6 images" in shown.sentence
    pointed = flips.directions.iloc[shown.direction]
    assert (pointed["attribute"], pointed["images"]) == ("parity", 6)
    assert f"{pointed['old']} → {pointed['new']}" in shown.sentence


def test_augmentation_is_advised_only_where_it_is_seen_allowed_and_not_yet_on():
    from pipeline.settings.schema import AugmentSettings, LossSettings, ResampleSettings

    on = Config(loss=LossSettings(name="focal"), resample=ResampleSettings(method="over"))

    def advised(now, **more):
        config = on.model_copy(update={"augment": AugmentSettings(policy=now)})
        return next(a.command for a in rare_case(config, **more)[0] if "weakest class" in a.sentence)

    assert advised("light") == 'make train ARGS="augment.policy=medium"'
    assert advised("medium") == 'make train ARGS="augment.policy=heavy"'
    assert advised("heavy") == "see Confident errors in the report"
    assert advised("light", policies=("heavy",)) == 'make train ARGS="augment.policy=heavy"'
    assert advised("light", policies=()) == "see Confident errors in the report"


def test_commands_repeat_what_was_asked_and_name_the_experiment():
    advice, _ = rare_case(asked=ASKED)
    assert advice[0].command == f'make train ARGS="{" ".join(ASKED)} images.size=96"'
    assert all(a.sentence.endswith("The command changes small_cnn.") for a in advice)
    again = rare_case(asked=(*ASKED, "images.size=64"))[0][0].command
    assert again == advice[0].command, "a path that is given twice is refused"


def test_every_command_loads_on_the_settings_it_was_advised_for():
    advice, _ = rare_case(load(ASKED).config, ASKED)
    words = [
        re.findall(r'^make train ARGS="(.*)"$', a.command)[0].split() for a in advice if "make" in a.command
    ]
    assert words, advice
    for settings in map(load, words):
        assert settings.experiment == "small_cnn" and settings.config.train.epochs == 3
        assert settings.config.competition.name == "digits"


def test_the_data_reports_answers_repeat_what_was_asked_too():
    rare = (MADE.train.labels != 3) | (np.arange(120) < 30)
    train = MADE.train.take(MADE.train.ids_N[rare])
    found = explore(replace(explore_inputs(MADE), train=train, asked=ASKED))
    answers = [f.answer for f in found.findings if f.kind == "imbalance"]
    assert answers == [
        f'Try `make train ARGS="{" ".join(ASKED)} resample.method=over resample.to=balanced"`, '
        "and `under` beside it."
    ]


def test_a_command_survives_both_shells_and_make(tmp_path):
    asked = ('infer.views=["identity","hflip"]', "competition.root=/a b/$HOME's `x`\\", "a.b=가나")
    (tmp_path / "Makefile").write_text("train:\n\t@printf '%s\\n' $(ARGS)\n", encoding="utf-8")
    done = subprocess.run(
        train_with(asked, "images.size=[48,72]"), shell=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [*asked, "images.size=[48,72]"], done.stderr


@pytest.mark.parametrize(
    ("size", "cache_px", "advised"),
    [
        (64, 512, "images.size=96"),
        (400, 512, "images.size=512"),
        (900, 4096, f"images.size={LARGEST_SIDE}"),
        ([40, 80], 90, "'images.size=[45,90]'"),
        (500, 512, None),
        (512, 512, None),
        (LARGEST_SIDE, 4096, None),
    ],
)
def test_larger_images_stay_within_the_cache_and_the_schema(size, cache_px, advised):
    config = Config(images=ImageSettings(size=size, cache_px=cache_px))
    first = rare_case(config)[0][0]
    if advised is None:
        assert "make" not in first.command and f"{min(cache_px, LARGEST_SIDE)} px" in first.reason
    else:
        assert first.command == f'make train ARGS="{advised}"'


def test_every_sentence_has_a_number_and_there_are_at_most_four():
    run = probabilities(MADE.train.ids_N, MADE.train.labels, 5, 0.5)
    advice = advise(SPACE, None, find_mistakes(run, MADE.train), None, Config())
    assert 2 <= len(advice) <= 4 and all(re.search(r"\d", a.sentence) for a in advice)


def test_without_evidence_no_advice():
    assert advise(SPACE, None, None, None, Config()) == ()
