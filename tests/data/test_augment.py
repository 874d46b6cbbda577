import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.data.augment import Augmenter
from pipeline.settings.augment import known, refuse_forbidden
from pipeline.settings.competition import AttributeSettings

SIZE = 32
POLICIES = known()


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


@pytest.mark.parametrize("policy", POLICIES)
def test_rectangles(policy, image_HWC):
    out = Augmenter(policy, (20, 32))(np.ascontiguousarray(image_HWC[:20]), 0, 0, 0, "a", 0)
    assert out.shape == (20, 32, 3)


def test_trivial_changes_one_thing_of_many_kinds(image_HWC):
    augment = Augmenter("trivial", SIZE)
    seen = [augment(image_HWC, 0, 0, 0, f"s{i}", 0) for i in range(120)]
    same = sum(np.array_equal(image, image_HWC) for image in seen)
    assert 0 < same < 40, "doing nothing is one of fourteen"
    # A change of colour alone keeps flat images flat; a change of shape keeps their colour.
    flat = np.full((SIZE, SIZE, 3), (200, 90, 40), np.uint8)
    assert all(
        np.ptp(augment(flat, 0, 0, 0, f"s{i}", 0).reshape(-1, 3), axis=0).max() <= 1 for i in range(60)
    )


def written(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    return str(tmp_path / "mine.yaml")


def test_a_policy_of_ones_own_pads_like_the_image_and_crops_to_the_models_size(tmp_path, image_HWC):
    policy = written(tmp_path, "transforms: [{Pad: {padding: 6}}, RandomCrop]\n")
    seen = [Augmenter(policy, SIZE)(image_HWC, 0, 0, 0, f"s{i}", 0) for i in range(30)]
    assert {image.shape for image in seen} == {(SIZE, SIZE, 3)} and len({i.tobytes() for i in seen}) > 15
    white = np.full((SIZE, SIZE, 3), 255, np.uint8)
    assert min(Augmenter(policy, SIZE)(white, 0, 0, 0, f"s{i}", 0).min() for i in range(30)) == 255
    black = written(tmp_path, "transforms: [{Pad: {padding: 6, border_mode: constant}}, RandomCrop]\n")
    assert min(Augmenter(black, SIZE)(white, 0, 0, 0, f"s{i}", 0).min() for i in range(30)) == 0


FAULTY = """transforms:
  - Affine: {rotat: 8, p: 0.5}
  - HorizontalFlip: {p: 1.5}
  - Rotate: {limit: 30, border_mode: mirror}
  - OneOf:
      transforms:
        - GaussNoise: {std_range: [0.2, 7]}
        - CoarseDropout: {cval: 3}
"""


def test_every_fault_of_the_arguments_is_told_with_its_line(tmp_path):
    with pytest.raises(ConfigError) as caught:
        Augmenter(written(tmp_path, FAULTY), SIZE, "resample.copies.policy")
    told = [fault.rpartition("mine.yaml:")[2] for fault in caught.value.faults]
    assert [line.split(":")[0] for line in told] == ["2", "3", "4", "7", "8"], told
    assert "Affine has no argument `rotat`; did you mean rotate" in told[0]
    assert "HorizontalFlip: p: " in told[1] and "1.5" in told[1]
    assert "border_mode is `mirror`; choose one of reflect," in told[2]
    assert "std_range" in told[3] and "no argument `cval`" in told[4]
    assert str(caught.value).startswith("resample.copies.policy=")


@pytest.mark.parametrize("text", ["[{Resize: {height: 40, width: 32}}]", "[{RandomScale: {p: 0.3}}]"])
def test_a_policy_that_changes_the_shape_is_told_before_training(tmp_path, text):
    with pytest.raises(ConfigError, match="a picture of 32 × 32 px becomes one of"):
        Augmenter(written(tmp_path, f"transforms: {text}\n"), SIZE)


OWN = """
def jitter(image_HWC, rng):
    image_HWC += rng.integers(0, 9, image_HWC.shape, dtype="uint8")
    return image_HWC


def grey(image_HWC, rng):
    return image_HWC.mean(axis=2)


def late(image_HWC, rng):
    return image_HWC if rng.random() < 2 and image_HWC.sum() else 1 / 0


def flips(image_HWC, rng):
    return image_HWC[:, ::-1]


def odd(image_HWC, rng):
    return image_HWC


jitter.does = ("brightness",)
flips.does = ("hflip",)
odd.does = ("shine",)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "myaug.py").write_text(OWN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_a_policy_of_ones_own_draws_from_the_derived_seed_alone_and_survives_pickling(own):
    import pickle

    image = np.full((8, 12, 3), 100, np.uint8)
    augment = Augmenter("myaug:jitter", (8, 12))
    first = augment(image, 1, 0, 0, "a", 0)
    assert (image == 100).all() and not (first == image).all()
    again = pickle.loads(pickle.dumps(augment))
    assert (again(image, 1, 0, 0, "a", 0) == first).all()
    for other in (
        (2, 0, 0, "a", 0),
        (1, 1, 0, "a", 0),
        (1, 0, 1, "a", 0),
        (1, 0, 0, "b", 0),
        (1, 0, 0, "a", 1),
    ):
        assert not (augment(image, *other) == first).all()
    assert not (augment.offline(image, 1, "a", 0) == first).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("grey", r"myaug:grey of .*myaug.py returned a ndarray of shape \(8, 8\) and type float64"),
        ("late", "myaug:late failed at myaug.py line 12: ZeroDivisionError"),
        ("nothing", "has no function `nothing`"),
    ],
)
def test_what_a_policy_of_ones_own_may_not_do(own, name, expected):
    with pytest.raises(ConfigError, match=expected):
        Augmenter(f"myaug:{name}", 8)(np.zeros((8, 8, 3), np.uint8), 0, 0, 0, "a", 0)


def test_what_a_label_forbids_holds_for_ones_own_policy(own):
    label = AttributeSettings(name="side", column="side", values=["left", "right"], forbids=["hflip"])
    refuse_forbidden("myaug:jitter", [label])
    for name, expected in (
        ("flips", "side forbids hflip"),
        ("grey", r"grey.does = "),
        ("odd", r"odd.does is \('shine',\)"),
    ):
        with pytest.raises(ConfigError, match=expected):
            refuse_forbidden(f"myaug:{name}", [label])
    free = AttributeSettings(name="side", column="side", values=["left", "right"])
    refuse_forbidden("myaug:grey", [free])
