"""The noise of a public score: checked against public sets that are really drawn."""

import numpy as np

from pipeline.core import metrics, statistics
from pipeline.core.seeds import rng

ACCURACY, LOSS = metrics.get("accuracy"), metrics.get("log_loss")


def world(draw, groups, size=4):
    """Labels, probabilities and groups; a whole group is right or wrong, mostly."""
    skill = draw.beta(2, 1, groups).repeat(size)
    y = draw.integers(0, 3, groups * size)
    right = draw.random(len(y)) < skill
    p = np.full((len(y), 3), 0.1, np.float32)
    p[np.arange(len(y)), np.where(right, y, (y + 1) % 3)] = 0.8
    return y, p, np.arange(groups).repeat(size).astype(str)


def test_the_band_holds_95_of_100_sound_public_scores_whatever_the_metric():
    for metric in (ACCURACY, LOSS):
        inside = 0
        for seed in range(200):
            draw = rng(seed, "band", metric.name)
            y, p, groups = world(draw, 120)
            there = world(draw, 40)
            band = statistics.band_of(statistics.gap_draws(metric, y, p, groups, 40, 200, seed), 40)
            inside += band.holds(metric.score(*there[:2]) - metric.score(y, p))
        assert 180 <= inside <= 198, f"{metric.name}: {inside} of 200"


def test_groups_and_not_images_make_the_band():
    draw = rng(0, "groups")
    y, p, groups = world(draw, 150, size=6)
    wide = statistics.band_of(statistics.gap_draws(ACCURACY, y, p, groups, 50, 400, 0), 50)
    alone = np.arange(len(y)).astype(str)
    narrow = statistics.band_of(statistics.gap_draws(ACCURACY, y, p, alone, 300, 400, 0), 300)
    assert wide.sd > 1.3 * narrow.sd
    larger = statistics.band_of(statistics.gap_draws(ACCURACY, y, p, groups, 500, 400, 0), 500)
    assert larger.sd < 0.8 * wide.sd


def test_the_interval_alone_gives_about_the_same_band():
    draw = rng(1, "interval")
    y, p, groups = world(draw, 200)
    drawn = statistics.band_of(statistics.gap_draws(ACCURACY, y, p, groups, 60, 2000, 0), 60)
    from pipeline.core.statistics import interval

    found = interval(ACCURACY, y, p, groups, 2000, 0)
    told = statistics.band_of_interval(found.low, found.high, 200, 60)
    assert abs(told.sd / drawn.sd - 1) < 0.1


def test_two_submissions_alike_differ_by_less_noise_than_two_strangers():
    draw = rng(2, "spread")
    y, p, groups = world(draw, 100)
    alike = p.copy()
    alike[:8] = alike[:8, ::-1]
    stranger = world(draw, 100)[1]
    sd = statistics.public_spread(ACCURACY, y, (p, alike, stranger), groups, 40, 400, 0)
    assert np.allclose(np.diag(sd), 0) and np.allclose(sd, sd.T)
    assert 0 < sd[0, 1] < 0.5 * sd[0, 2]
