"""Bags and chains on digits: honest failures, votes, and going on at the member that was killed."""

from dataclasses import replace

import numpy as np
import pytest
from learn_world import digit_images, digit_samples, equal_states, fold_job

from pipeline.core.predictions import Features
from pipeline.resample.indices import Part
from pipeline.settings.load import load
from pipeline.settings.members import ChainSettings
from pipeline.settings.resample import ResampleSettings
from pipeline.settings.train import TrainSettings
from pipeline.train import members
from pipeline.train.members import Lesson, Network, Probe

TRAIN, VALID = 120, 60
SPACE = digit_samples(0, 1).space


@pytest.fixture(scope="module")
def probe():
    images = digit_images(TRAIN + VALID, size=8)
    x = images.x_NHWC[..., 0].reshape(len(images.ids_N), 1, -1).astype(np.float32)
    config = load(["competition=digits", "experiment=probe"]).config
    return Probe(config, Features(images.ids_N, ("identity",), x, "digest"))


def lesson(work, labels=None, **train):
    settings = {"epochs": 12, "lr": 0.02, "batch_size": 32, "weight_decay": 0.0, **train}
    samples = digit_samples(0, TRAIN)
    if labels is not None:
        samples = replace(samples, labels_N=labels)
    return Lesson(
        Part(samples, 1),
        digit_samples(TRAIN, TRAIN + VALID),
        TrainSettings(**settings),
        ResampleSettings(),
        work,
    )


def chain(**settings):
    return ChainSettings(**{"members": 3, **settings})


class Recorder:
    """A learner that keeps its lessons, and can be killed before one of them."""

    def __init__(self, learner, dies_at=None):
        self.learner, self.dies_at, self.lessons = learner, dies_at, []

    def fit(self, lesson):
        if len(self.lessons) == self.dies_at:
            raise KeyboardInterrupt
        self.lessons.append(lesson)
        return self.learner.fit(lesson)

    def predict(self, state, ids, space):
        return self.learner.predict(state, ids, space)


def test_one_model_is_what_it_was_before(probe, tmp_path):
    plain = lesson(tmp_path)
    trained = members.train(probe, plain)
    result, state = probe.fit(plain)
    assert equal_states(trained.committee.states[0], state) and trained.committee.shares == (1.0,)
    assert np.array_equal(trained.oof.p_NC, result.oof.p_NC) and trained.lines == ()


def test_a_bag_averages_models_of_different_groups(probe, tmp_path):
    recorder = Recorder(probe)
    trained = members.train(recorder, lesson(tmp_path, bag=3))
    parts = [set(x.part.samples.ids_N.tolist()) for x in recorder.lessons]
    assert len(parts) == 3 and len({frozenset(p) for p in parts}) == 3
    assert all(0.5 * TRAIN < len(p) < 0.75 * TRAIN for p in parts)
    alone = [probe.predict(s, trained.oof.ids_N, SPACE) for s in trained.committee.states]
    np.testing.assert_allclose(trained.oof.p_NC, np.mean(alone, axis=0), atol=1e-6)
    assert {entry["member"] for entry in trained.history} == {0.0, 1.0, 2.0}
    assert len({x.train.seed for x in recorder.lessons}) == 3


def test_weights_rise_on_what_the_last_member_failed_and_votes_come_from_training(probe, tmp_path):
    recorder = Recorder(probe)
    trained = members.train(recorder, lesson(tmp_path, chain=chain()))
    whole = [x for x in recorder.lessons if len(x.part.samples) == TRAIN]
    inner = [x for x in recorder.lessons if len(x.part.samples) < TRAIN]
    assert len(whole) == 3 and len(inner) == 3 * 2
    for judged in inner:
        assert not set(judged.part.samples.groups_N) & set(judged.valid.groups_N)
        assert set(judged.valid.ids_N) <= set(whole[0].part.samples.ids_N), "validation stays unseen"
    first, second = whole[0].weights_N, whole[1].weights_N
    assert (first == 1).all() and len(np.unique(second)) == 2 and second.mean() == pytest.approx(1, rel=1e-5)
    failed = second > second.min()
    share = failed.mean()
    assert (
        0.02 < share < 0.6
        and f"{share:.1%} of the training part wrong (predicted by inner folds" in trained.lines[0]
    )
    assert trained.committee.shares[0] == pytest.approx(
        members.alpha(failed, first, 10) / sum(float(line.split("vote ")[1]) for line in trained.lines),
        rel=0.02,
    )
    alone = [probe.predict(s, trained.oof.ids_N, SPACE) for s in trained.committee.states]
    expected = np.einsum("m,mnc->nc", trained.committee.shares, np.stack(alone))
    np.testing.assert_allclose(trained.oof.p_NC, expected, atol=1e-5)


def test_only_failures_and_some_others_are_learned_next(probe, tmp_path):
    recorder = Recorder(probe)
    members.train(recorder, lesson(tmp_path, chain=chain(mode="failed", inner=0, others=0.1), epochs=2))
    first, second, third = recorder.lessons
    p = probe.predict(probe.fit(replace(first, work=tmp_path))[1], first.part.samples.ids_N, SPACE)
    failed = set(first.part.samples.ids_N[p.argmax(1) != first.part.samples.labels].tolist())
    learned = set(second.part.samples.ids_N.tolist())
    assert failed and failed <= learned and len(learned) < TRAIN
    others = second.part.samples.take(np.array(sorted(learned - failed))).labels
    right = first.part.samples.take(np.array(sorted(set(first.part.samples.ids_N) - failed))).labels
    for c in np.unique(right):
        assert (others == c).sum() == np.ceil((right == c).sum() * 0.1)
    assert second.weights_N is None and len(third.part.samples) < TRAIN


def test_failures_on_rows_that_were_learned_are_not_honest(probe, tmp_path):
    """Random labels: a head that fits them sees no failure, inner folds see nine in ten."""
    fast = {"epochs": 25, "lr": 0.1, "batch_size": 128, "warmup_epochs": 0}
    noise = np.random.default_rng(0).integers(0, 10, TRAIN)
    flat = members.train(probe, lesson(tmp_path / "a", noise, chain=chain(inner=0), **fast))
    honest = members.train(probe, lesson(tmp_path / "b", noise, chain=chain(inner=2), **fast))

    def first_failure(trained):
        return float(trained.lines[0].split(", ")[1].split("%")[0])

    assert first_failure(flat) < 10 and first_failure(honest) > 70


def test_equal_votes_need_no_judgement_of_the_last_member(probe, tmp_path):
    recorder = Recorder(probe)
    trained = members.train(recorder, lesson(tmp_path, chain=chain(combine="mean"), epochs=2))
    assert len(recorder.lessons) == 3 + 2 * 2 and trained.committee.shares == pytest.approx((1 / 3,) * 3)


@pytest.mark.parametrize("dies_at", [1, 4, 7])
def test_a_killed_chain_goes_on_at_its_member_and_ends_alike(probe, tmp_path, dies_at):
    whole = members.train(probe, lesson(tmp_path / "whole", chain=chain(), epochs=3))
    with pytest.raises(KeyboardInterrupt):
        members.train(Recorder(probe, dies_at), lesson(tmp_path / "cut", chain=chain(), epochs=3))
    after = Recorder(probe)
    again = members.train(after, lesson(tmp_path / "cut", chain=chain(), epochs=3))
    assert len(after.lessons) == 9 - dies_at, "finished members are not trained again"
    assert again.committee.shares == whole.committee.shares
    for a, b in zip(again.committee.states, whole.committee.states, strict=True):
        assert equal_states(a, b)
    assert np.array_equal(again.oof.p_NC, whole.oof.p_NC)


def test_networks_bag_and_chain_too(tmp_path):
    job = fold_job(n_train=40, n_valid=12)
    config = load(["competition=digits", "experiment=tiny_resnet", "runtime.threads=1"]).config
    network = Network(config, job.images, tmp_path, tmp_path)
    for asked in ({"bag": 2}, {"chain": chain(combine="mean")}):
        train = TrainSettings(epochs=1, batch_size=16, **asked)
        part, work = Part(job.train_samples, 0), tmp_path / next(iter(asked))
        one = Lesson(part, job.valid_samples, train, ResampleSettings(), work)
        trained = members.train(network, one)
        alone = [network.predict(s, trained.oof.ids_N, SPACE) for s in trained.committee.states]
        np.testing.assert_allclose(trained.oof.p_NC, np.mean(alone, axis=0), atol=1e-5)
        assert np.abs(alone[0] - alone[1]).max() > 1e-4
