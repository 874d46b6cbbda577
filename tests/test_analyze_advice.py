import re
from dataclasses import replace

import numpy as np
from analyze_cases import SPACE, case, probabilities

from pipeline.analyze.advice import advise
from pipeline.analyze.flips import Prediction, find_flips
from pipeline.analyze.mistakes import find_mistakes
from pipeline.core.predictions import Comparison, Probabilities
from pipeline.settings.schema import Config, LossSettings, ResampleSettings

MADE = case()
IDS = MADE.test.ids_N


def rare_case(config=None):
    label = MADE.train.labels
    kept = MADE.train.take(MADE.train.ids_N[(label != 3) | (np.arange(120) < 20)])
    p = np.full((len(kept), 4), 0.1)
    p[np.arange(len(kept)), np.where(kept.labels == 3, 1, kept.labels)] = 0.7
    mistakes = find_mistakes(Probabilities(kept.ids_N, SPACE.classes, p), kept)
    return advise(SPACE, None, mistakes, None, config or Config()), mistakes


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
    new = Prediction("new", IDS, np.zeros(40, np.int64))
    old = replace(
        new, name="old", labels_N=np.r_[np.ones(9, np.int64), np.full(4, 2), np.zeros(27, np.int64)]
    )
    flips = find_flips(SPACE, new, old)
    open_end = Comparison(0.001, -0.01, 0.012, 0.6, 40, "can't tell")
    shown, undecided = advise(SPACE, flips, None, open_end, Config())
    assert shown.sentence.startswith("9 of 13 flips change parity") and shown.direction == 0
    assert "0.0220" in undecided.sentence and undecided.command == 'make train ARGS="train.seed=1"'


def test_every_sentence_has_a_number_and_there_are_at_most_four():
    run = probabilities(MADE.train.ids_N, MADE.train.labels, 5, 0.5)
    advice = advise(SPACE, None, find_mistakes(run, MADE.train), None, Config())
    assert 2 <= len(advice) <= 4 and all(re.search(r"\d", a.sentence) for a in advice)


def test_without_evidence_no_advice():
    assert advise(SPACE, None, None, None, Config()) == ()
