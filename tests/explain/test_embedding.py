import numpy as np
import pytest

from pipeline.explain import embedding


def gauss(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def test_effective_rank_of_known_shapes():
    axes = np.diag([5.0, 5, 5, 5, 0])
    assert embedding.effective_rank(np.vstack([axes, -axes])) == pytest.approx(4)
    line = gauss(50, 1) @ np.ones((1, 8))
    assert embedding.effective_rank(line) == pytest.approx(1, abs=1e-6)
    assert embedding.effective_rank(gauss(4000, 8)) == pytest.approx(8, abs=0.05)


def test_features_that_repeat_each_other_are_told():
    base = gauss(200, 3)
    copies = np.concatenate([base + 0.01 * gauss(200, 3, s) for s in range(1, 11)], axis=1)
    found = embedding.redundancy(np.concatenate([copies, np.ones((200, 2), np.float32)], axis=1))
    assert found.collinear and found.effective_rank == pytest.approx(3, abs=0.1)
    assert found.n_features == 30 and found.n_constant == 2
    assert found.similar == pytest.approx(3 * 45 / 435, abs=1e-6)
    assert found.sentence.startswith("Collinear") and "2 more never vary" in found.sentence
    # Alike ones stand side by side: three dark blocks.
    assert (np.abs(found.correlation_KK) > 0.9).sum() == 300
    assert all(abs(found.correlation_KK[i, i + 1]) > 0.9 for i in range(29) if i % 10 != 9)
    free = embedding.redundancy(gauss(400, 12))
    assert not free.collinear and free.similar == 0 and free.sentence.startswith("Not strongly")


def test_whitening_keeps_the_variance_asked_for_and_evens_it_out():
    x = gauss(500, 4) * np.array([10, 5, 1, 0.01], np.float32)
    white = embedding.whiten(x, kept=0.99)
    assert white.shape == (500, 2)
    assert np.cov(white.T, bias=True) == pytest.approx(np.eye(2), abs=1e-4)
    assert embedding.whiten(x, kept=1.0).shape == (500, 4)
    assert embedding.whiten(x, kept=1.0, most=3).shape == (500, 3)
    assert embedding.whiten(np.repeat(x[:, :1], 6, axis=1), kept=1.0).shape == (500, 1)


def test_maps_of_clusters_are_trusted_and_agree_and_noise_is_not():
    centres = 12 * np.eye(4, dtype=np.float32)
    clusters = np.repeat(centres, 20, axis=0) + gauss(80, 4)
    maps = embedding.fit_maps(clusters, (0, 1, 2), 15)
    assert [m.seed for m in maps] == [0, 1, 2] and all(m.xy_N2.shape == (80, 2) for m in maps)
    assert all(m.xy_N2.min() == 0 and m.xy_N2.max() == 1 for m in maps)
    assert min(m.trust for m in maps) > 0.9
    label = np.repeat(np.arange(4), 20)
    for m in maps:
        near = np.argsort(((m.xy_N2[:, None] - m.xy_N2[None]) ** 2).sum(2), axis=1)[:, 1:6]
        assert (label[near] == label[:, None]).mean() > 0.95
    noise = embedding.fit_maps(gauss(80, 60), (0, 1), 15)
    assert max(m.trust for m in noise) < min(m.trust for m in maps)
    assert embedding.agreement(noise) < embedding.agreement(maps)


def test_equal_seeds_draw_equal_maps_and_equal_maps_agree():
    x = gauss(40, 5)
    one, two = (embedding.fit_maps(x, (3,), 10)[0] for _ in range(2))
    assert np.array_equal(one.xy_N2, two.xy_N2)
    assert embedding.agreement([one, two]) == 1
    other = embedding.fit_maps(x, (4,), 10)[0]
    assert not np.array_equal(one.xy_N2, other.xy_N2)
