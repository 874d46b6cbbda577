import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.data.augment import POLICIES, Augmenter

SIZE = 32


@pytest.fixture(scope="module")
def image_HWC():
    from sklearn.datasets import load_sample_image

    return np.ascontiguousarray(load_sample_image("flower.jpg")[200 : 200 + SIZE, 250 : 250 + SIZE])


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_keep_shape_and_input_and_repeat_by_seed(policy, image_HWC):
    before = image_HWC.copy()
    first = Augmenter(policy, SIZE)(image_HWC, 7, 0, 0, "a", 0)
    again = Augmenter(policy, SIZE)(image_HWC, 7, 0, 0, "a", 0)
    assert first.shape == image_HWC.shape and first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert np.array_equal(before, image_HWC)
    assert np.array_equal(first, before) == (policy == "none")
    first[:] = 0
    assert np.array_equal(before, image_HWC), "the result shares memory with the input"


@pytest.mark.parametrize("policy", [p for p in POLICIES if p != "none"])
def test_every_seed_part_changes_pixels(policy, image_HWC):
    augment = Augmenter(policy, SIZE)

    # One draw may leave an image as it was: eight samples cannot all agree by chance.
    def stack(root=7, fold=0, epoch=0, prefix="s", copy=0):
        return np.stack([augment(image_HWC, root, fold, epoch, f"{prefix}{i}", copy) for i in range(8)])

    base = stack()
    others = [stack(root=8), stack(fold=1), stack(epoch=1), stack(prefix="t"), stack(copy=1)]
    for other in others:
        assert not np.array_equal(base, other)
    assert len({image.tobytes() for image in base}) > 4, "samples share their draws"


def test_calls_before_leave_no_trace(image_HWC):
    augment = Augmenter("heavy", SIZE)
    alone = Augmenter("heavy", SIZE)(image_HWC, 1, 0, 0, "z", 0)
    for i in range(5):
        augment(image_HWC, 1, 0, 0, f"s{i}", 0)
    assert np.array_equal(alone, augment(image_HWC, 1, 0, 0, "z", 0))


def test_children_of_a_policy_are_independent():
    # Left half dark, right half bright: a flip shows in the sides, brightness in their mean.
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[:, : SIZE // 2], image[:, SIZE // 2 :] = 80, 160
    augment = Augmenter("light", SIZE)
    flipped, brighter = [], []
    for i in range(600):
        out = augment(image, 3, 0, 0, f"s{i}", 0).astype(float)
        flipped.append(out[:, :8].mean() > out[:, -8:].mean())
        brighter.append(out.mean() > 120)
    assert 0.4 < np.mean(flipped) < 0.6
    # With one stream for every child (measured with Compose(seed=…)) this is far from 0.
    assert abs(np.corrcoef(flipped, brighter)[0, 1]) < 0.13


def test_rotation_border_is_like_the_image():
    white = np.full((SIZE, SIZE, 3), 255, np.uint8)
    assert Augmenter("rotate30", SIZE)(white, 0, 0, 0, "a", 0).min() == 255


def test_unknown_policy_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean heavy") as caught:
        Augmenter("heavi", SIZE)
    assert "rotate30" in str(caught.value)


def test_renamed_arguments_are_errors(monkeypatch):
    monkeypatch.setitem(POLICIES, "old", lambda a, size: [a.Affine(cval=3)])
    with pytest.raises(UserWarning, match="cval"):
        Augmenter("old", SIZE)
