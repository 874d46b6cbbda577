"""Augmentation on the device: what each transform does, beside albumentations, and what its draws depend on.

The same tests run on a CPU's tensors and, in the tier `gpu`, on a GPU.
"""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from pipeline.core.samples import TrainRows
from pipeline.core.seeds import py_rng, rng
from pipeline.data.augment import Augmenter
from pipeline.data.device_augment import DeviceAugmenter, engine_of, notes, supported
from pipeline.data.device_policy import READERS
from pipeline.settings.augment import AugmentSettings, known
from pipeline.settings.load import load

SIZE = 32
DRAWS = 2000
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]

POLICIES = yaml.safe_load((Path(__file__).parent / "device_policies.yaml").read_text())
FIXED, RANDOM = POLICIES["fixed"], POLICIES["random"]
# Hue has steps of two degrees in OpenCV; albumentations rounds to 8 bits before contrast is stretched again.
COARSE = {"hue", "saturation", "value", "jitter hue", "auto contrast, stretched"}
# Albumentations interpolates after each change, so its picture is less sharp.
TWICE = {"two turns", "two borders", "crop, then flip and turn"}


@pytest.fixture(scope="module")
def image_HWC():
    from sklearn.datasets import load_sample_image

    return np.ascontiguousarray(
        load_sample_image("flower.jpg")[170 : 170 + 3 * SIZE : 3, 250 : 250 + 3 * SIZE : 3]
    )


@pytest.fixture
def made(tmp_path):
    def make(transforms, size=SIZE):
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump({"transforms": transforms}))
        return Augmenter(str(path), size)

    return make


def shown(augmenters, x_BHWC, device="cpu", rows=None, ids=None, **seeds):
    """What the device makes of these images, 0 to 255, one row each."""
    engine = DeviceAugmenter(augmenters)
    rows = TrainRows.of(np.arange(len(x_BHWC))) if rows is None else rows
    ids = np.array([f"s{n}" for n in range(len(x_BHWC))]) if ids is None else ids
    params_RP = engine.draw(rows, ids, **({"root_seed": 5, "fold": 0, "epoch": 0} | seeds))
    x = torch.from_numpy(np.ascontiguousarray(x_BHWC)).to(device)
    parts = [
        engine(x[a : a + 500], torch.from_numpy(params_RP[a : a + 500]).to(device))
        for a in range(0, len(x), 500)
    ]
    return torch.cat(parts).permute(0, 2, 3, 1).cpu().numpy() * 255


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", FIXED)
def test_a_change_of_known_strength_makes_the_picture_of_albumentations(name, device, made, image_HWC):
    augmenter = made(FIXED[name])
    assert supported(augmenter) == ()
    if name in TWICE:
        image_HWC = cv2.GaussianBlur(image_HWC, (0, 0), 2)
    there_HWC = augmenter(image_HWC, 5, 0, 0, "s0", 0).astype(float)
    here_HWC = shown([augmenter], image_HWC[None], device)[0]
    away = np.abs(here_HWC - there_HWC)
    assert away.mean() < (2.5 if name in COARSE or name in TWICE else 1.0), (
        f"{away.mean():.2f} of 255 away on average"
    )
    assert np.abs(there_HWC - image_HWC).mean() > 3, "the change does nothing, so nothing was compared"


def figures(x_NHWC):
    """Of each picture what tells one change from another: light, place, colour, sharpness, direction."""
    x = x_NHWC.astype(np.float64) / 255
    light = x.mean(axis=3)
    side = np.linspace(-1, 1, light.shape[2])
    mass = light.mean(axis=(1, 2)) + 1e-9
    across, down = np.diff(light, axis=2), np.diff(light, axis=1)
    return np.stack(
        [
            *x.mean(axis=(1, 2)).T,
            light.std(axis=(1, 2)),
            (light * side).mean(axis=(1, 2)) / mass,
            (light * side[:, None]).mean(axis=(1, 2)) / mass,
            np.abs(x.max(axis=3) - x.min(axis=3)).mean(axis=(1, 2)),
            np.sqrt((across**2).mean(axis=(1, 2))),
            np.sqrt((down**2).mean(axis=(1, 2))),
            (across[:, 1:] * down[:, :, 1:]).mean(axis=(1, 2)),
        ],
        axis=1,
    )


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", RANDOM)
def test_changes_have_the_mean_and_spread_of_albumentations(name, device, made, image_HWC):
    augmenter = made(RANDOM[name])
    assert supported(augmenter) == ()
    composed = augmenter._transform
    composed.set_random_state(rng(1, name), py_rng(1, name))
    if name in TWICE:
        image_HWC = cv2.GaussianBlur(image_HWC, (0, 0), 2)
    there = figures(np.stack([composed(image=image_HWC)["image"] for _ in range(DRAWS)]))
    here = figures(shown([augmenter], np.broadcast_to(image_HWC, (DRAWS, *image_HWC.shape)), device))
    spread = np.maximum(there.std(axis=0), here.std(axis=0))
    # Five standard errors, and the share that rounding to 8 bits and interpolating twice may have.
    off = np.abs(here.mean(axis=0) - there.mean(axis=0))
    allowed = 5 * spread * np.sqrt(2 / DRAWS) + 0.006 + 0.02 * np.abs(there.mean(axis=0))
    assert (off < allowed).all(), np.c_[there.mean(axis=0), here.mean(axis=0), allowed]
    wide, narrow = spread, np.minimum(there.std(axis=0), here.std(axis=0))
    assert (wide - narrow < 0.12 * wide + 0.004).all(), np.c_[there.std(axis=0), here.std(axis=0)]
    assert (there.std(axis=0) > 0.005).any(), "nothing varies, so nothing was compared"


def engine_and_rows(made, n=24, policy="heavy"):
    augmenter = Augmenter(policy, SIZE) if isinstance(policy, str) else made(policy)
    engine = DeviceAugmenter([augmenter])
    rows = TrainRows.of(np.r_[np.arange(n), np.arange(0, n, 3)])
    return engine, rows, np.array([f"id{number}" for number in range(n)])


def test_draws_depend_on_the_row_alone_whatever_batch_order_and_company(made):
    engine, rows, ids = engine_and_rows(made)
    whole = engine.draw(rows, ids, 7, 1, 2)
    order = np.random.default_rng(0).permutation(len(rows.index_R))
    mixed = TrainRows(rows.index_R[order], rows.copy_R[order])
    assert np.array_equal(engine.draw(mixed, ids, 7, 1, 2), whole[order])
    for row in (0, 5, len(order) - 1):
        alone = TrainRows(np.zeros(1, np.int64), rows.copy_R[row : row + 1])
        own = engine.draw(alone, ids[rows.index_R[row : row + 1]], 7, 1, 2)
        assert np.array_equal(own[0], whole[row])
    # Of an image that is shown twice each copy has its own draw.
    assert not np.array_equal(whole[0], whole[24]) and rows.index_R[24] == 0


def test_every_part_of_the_seed_changes_the_draws(made):
    engine, rows, ids = engine_and_rows(made)
    base = engine.draw(rows, ids, 7, 0, 0)
    others = [engine.draw(rows, ids, *parts) for parts in ((8, 0, 0), (7, 1, 0), (7, 0, 1))]
    others.append(engine.draw(rows, np.array([f"x{one}" for one in ids]), 7, 0, 0))
    for other in others:
        assert not np.array_equal(base, other) and not (base == other).all(axis=1).any()
    assert np.array_equal(base, engine.draw(rows, ids, 7, 0, 0))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("policy", ["heavy", RANDOM["jitter"]], ids=["heavy", "jitter"])
def test_pixels_do_not_depend_on_the_batch(policy, device, made, image_HWC):
    engine, rows, ids = engine_and_rows(made, policy=policy)
    params = torch.from_numpy(engine.draw(rows, ids, 3, 0, 0)).to(device)
    x = torch.from_numpy(np.stack([np.roll(image_HWC, n, axis=1) for n in range(len(params))])).to(device)
    before, whole = x.clone(), engine(x, params)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).to(device)
    assert torch.equal(engine(x[order], params[order]), whole[order])
    parts = torch.cat([engine(x[a : a + 8], params[a : a + 8]) for a in range(0, len(x), 8)])
    assert torch.equal(parts, whole) and torch.equal(x, before)


def test_offline_copies_are_the_same_in_every_epoch_and_fold(made, image_HWC):
    run, copies = made(RANDOM["hsv"]), Augmenter("heavy", SIZE)
    rows = TrainRows.of(np.arange(6)).with_copies(np.array([0, 0, 3]), "heavy")
    ids = np.array(list("abcdef"))
    engine = DeviceAugmenter([run, copies])
    first, later = engine.draw(rows, ids, 1, 0, 0), engine.draw(rows, ids, 1, 2, 5)
    copy = rows.policy_R == 1
    assert np.array_equal(first[copy], later[copy]) and not np.array_equal(first[~copy], later[~copy])
    assert not np.array_equal(first[copy][0], first[copy][1]), "two copies of an image with equal draws"
    # Rows of the run's own policy are what they are without copies.
    x_BHWC = np.stack([image_HWC] * len(rows.index_R))
    alone = shown([run], x_BHWC[:6], ids=ids, rows=TrainRows.of(np.arange(6)), root_seed=1)
    assert np.allclose(shown([run, copies], x_BHWC, rows=rows, ids=ids, root_seed=1)[~copy], alone, atol=0.01)


def test_grey_pixels_stay_grey_when_saturation_grows(made):
    grey = np.repeat(np.linspace(0, 255, SIZE * SIZE).astype(np.uint8).reshape(SIZE, SIZE, 1), 3, axis=2)
    augmenter = made([{"HueSaturationValue": {"hue_shift_limit": 20, "sat_shift_limit": [60, 60], "p": 1.0}}])
    here, there = shown([augmenter], grey[None])[0], augmenter(grey, 5, 0, 0, "s0", 0).astype(int)
    assert np.ptp(here, axis=2).max() < 1e-3 and np.ptp(there, axis=2).max() == 0


def test_a_balanced_scale_is_as_often_below_one_as_above(made):
    augmenter = made([{"Affine": {"scale": [0.5, 1.2], "balanced_scale": True, "p": 1.0}}])
    ids = np.array([str(n) for n in range(DRAWS)])
    table = DeviceAugmenter([augmenter]).draw(TrainRows.of(np.arange(DRAWS)), ids, 0, 0, 0)
    scale = 1 / table[:, 0]
    assert scale.min() >= 0.5 and scale.max() <= 1.2 and 0.45 < (scale < 1).mean() < 0.55
    assert abs(scale[scale < 1].mean() - 0.75) < 0.02 and abs(scale[scale > 1].mean() - 1.1) < 0.01


@pytest.mark.parametrize("device", DEVICES)
def test_the_result_has_the_asked_type_and_layout_and_no_gradient(device, image_HWC, made):
    engine, rows, ids = engine_and_rows(made, policy="medium")
    params = torch.from_numpy(engine.draw(rows, ids, 3, 0, 0)).to(device)
    x = torch.from_numpy(np.stack([image_HWC] * len(params))).to(device)
    with torch.autocast(device, dtype=torch.bfloat16):
        out, small = engine(x, params), engine(x, params, "contiguous", torch.bfloat16)
    assert out.dtype == torch.float32 and out.is_contiguous(memory_format=torch.channels_last)
    assert small.dtype == torch.bfloat16 and small.is_contiguous() and not out.requires_grad
    assert float(out.min()) >= 0 and float(out.max()) <= 1
    assert float((small.float() - out).abs().max()) < 1 / 255


def test_a_policy_without_changes_only_makes_floats(image_HWC):
    out = shown([Augmenter("none", SIZE)], image_HWC[None])
    assert np.allclose(out[0], image_HWC, atol=1e-4)


def test_rows_without_a_change_stay_as_they_are(made, image_HWC):
    never = [{name: {**arguments, "p": 0.0}} for one in RANDOM.values() for name, arguments in one[0].items()]
    augmenter = made([one for one in never if "transforms" not in next(iter(one.values()))])
    assert np.allclose(shown([augmenter], image_HWC[None])[0], image_HWC, atol=0.05)


def test_geometry_takes_any_number_of_channels_and_colour_needs_three(made):
    turn = made(FIXED["rotate"] + FIXED["brightness"] + FIXED["blur"] + RANDOM["noise"])
    engine = DeviceAugmenter([turn], channels=5)
    params = torch.from_numpy(engine.draw(TrainRows.of(np.arange(4)), np.array(list("abcd")), 0, 0, 0))
    x = torch.randint(0, 256, (4, SIZE, SIZE, 5), dtype=torch.uint8)
    assert engine(x, params).shape == (4, 5, SIZE, SIZE)
    (reason,) = supported(made(RANDOM["hsv"]), channels=5)
    assert "HueSaturationValue" in reason and "5" in reason


def test_images_need_not_be_square(made):
    image = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 3)
    for name in ("affine", "rotate, constant", "far shift", "shift in shares", "flip"):
        augmenter = made(FIXED[name], (24, 40))
        there = augmenter(image, 5, 0, 0, "s0", 0).astype(float)
        assert np.abs(shown([augmenter], image[None])[0] - there).mean() < 1, name
    (reason,) = supported(made([{"D4": {"p": 0.0}}], (24, 40)))
    assert "24 × 40" in reason


def test_policies_and_device_choose_the_engine(made):
    light, elastic = Augmenter("light", SIZE), made([{"ElasticTransform": {}}])
    assert engine_of([light], "cpu") == engine_of([elastic], "cpu") == "albumentations"
    assert engine_of([light], "cuda") == engine_of([light], "cuda:1") == "device"
    assert engine_of([light], "cuda", "albumentations") == "albumentations"
    assert engine_of([light, elastic], "cuda") == "albumentations"


def test_a_gpu_that_cannot_do_a_policy_says_once_which_transforms_it_lacks(tmp_path):
    own = tmp_path / "bent.yaml"
    transforms = [{"ElasticTransform": {}}, {"CLAHE": {}}, {"ElasticTransform": {}}]
    own.write_text(yaml.safe_dump({"transforms": transforms}))
    bent = ["competition=digits", f"augment.policy={own}"]
    config = load(bent).config
    (note,) = notes(config, "cuda")
    assert all(word in note for word in ("bent", "CLAHE", "CPU")) and note.count("ElasticTransform") == 1
    assert notes(config, "cpu") == []
    assert notes(load(["competition=digits", "augment.policy=heavy"]).config, "cuda") == []
    assert notes(load([*bent, "augment.engine=albumentations"]).config, "cuda") == []


@pytest.mark.parametrize("policy", known())
def test_the_device_can_do_every_shipped_policy(policy):
    assert supported(Augmenter(policy, 224)) == ()


def test_every_transform_of_the_device_is_compared_and_documented():
    docs = re.findall(r"\w+", AugmentSettings.__doc__ or "")
    compared = (Path(__file__).parent / "device_policies.yaml").read_text()
    assert [name for name in READERS if name not in docs] == []
    assert [name for name in READERS if f"- {name}:" not in compared] == []


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        ({"ElasticTransform": {}}, "ElasticTransform"),
        ({"Rotate": {"border_mode": "wrap"}}, "border_mode=wrap"),
        ({"Rotate": {"interpolation": 2}}, "interpolation=2"),
        ({"Affine": {"interpolation": 0}}, "interpolation=0"),
        ({"CoarseDropout": {"fill": "random"}}, "fill=random"),
        ({"CoarseDropout": {"num_holes_range": [1, 60]}}, "60 holes"),
        ({"GaussianBlur": {"blur_limit": [3, 61]}}, "30 px"),
        ({"RandomBrightnessContrast": {"brightness_by_max": False}}, "brightness_by_max=false"),
        ({"Equalize": {"by_channels": False}}, "by_channels=false"),
        ({"AutoContrast": {"cutoff": 5}}, "cutoff=5"),
        ({"GaussNoise": {"noise_scale_factor": 0.5}}, "noise_scale_factor=0.5"),
        ({"RandomOrder": {"transforms": [{"HorizontalFlip": {}}]}}, "RandomOrder"),
        ({"OneOf": {"transforms": [{"HorizontalFlip": {}}, {"MotionBlur": {}}]}}, "MotionBlur"),
        ({"SomeOf": {"replace": True, "transforms": [{"HorizontalFlip": {}}]}}, "replace=true"),
    ],
)
def test_what_the_device_cannot_do_is_named(transform, reason, made):
    (found,) = supported(made([transform, {"HorizontalFlip": {}}], 96))
    assert reason in found


def test_a_function_of_ones_own_runs_on_the_cpu(tmp_path, monkeypatch):
    (tmp_path / "devown.py").write_text("def same(image, rng):\n    return image\n")
    monkeypatch.chdir(tmp_path)
    assert "devown:same" in supported(Augmenter("devown:same", SIZE))[0]


def test_equal_alternatives_share_a_pass_and_neighbouring_changes_of_geometry_one_sampling(made):
    names = [c.act.name for c in DeviceAugmenter([Augmenter("heavy", SIZE)])._layout.columns]
    assert names == ["warp", "warp", "linear", "hsv", "blur", "noise", "holes"]
    turns = [{"Rotate": {"limit": n}} for n in (10, 20, 30)]
    engine = DeviceAugmenter([made([{"OneOf": {"transforms": turns}}])])
    assert len(engine._layout.columns) == 1


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("border", ["reflect", "replicate", "constant"])
def test_geometry_is_that_of_kornia(border, device, made, image_HWC):
    from kornia.geometry.transform import warp_affine

    strong = {
        "translate_percent": [-0.3, 0.3],
        "scale": [0.5, 1.5],
        "rotate": [-180, 180],
        "shear": [-20, 20],
    }
    engine = DeviceAugmenter([made([{"Affine": {**strong, "border_mode": border, "p": 1.0}}])])
    table = engine.draw(TrainRows.of(np.arange(40)), np.array([str(n) for n in range(40)]), 0, 0, 0)
    x = torch.from_numpy(np.stack([image_HWC] * 40)).to(device)
    square = np.tile(np.eye(3), (40, 1, 1))
    square[:, :2] = table.reshape(-1, 2, 3)
    onward = torch.from_numpy(np.linalg.inv(square)[:, :2]).float().to(device)
    words = {"reflect": "reflection", "replicate": "border", "constant": "zeros"}
    theirs = warp_affine(
        x.permute(0, 3, 1, 2).float() / 255,
        onward,
        (SIZE, SIZE),
        padding_mode=words[border],
        align_corners=True,
    )
    ours = engine(x, torch.from_numpy(table).to(device))
    assert float((ours - theirs).abs().max()) < 2e-3


@pytest.mark.gpu
@pytest.mark.parametrize("policy", ["heavy", *RANDOM])
def test_a_cuda_graph_captures_a_batch_and_replays_it_with_other_rows(policy, made, image_HWC):
    augmenter = Augmenter("heavy", SIZE) if policy == "heavy" else made(RANDOM[policy])
    engine = DeviceAugmenter([augmenter])
    ids = np.array([f"id{n}" for n in range(64)])
    params = torch.from_numpy(engine.draw(TrainRows.of(np.arange(64)), ids, 3, 0, 0)).cuda()
    x = torch.from_numpy(np.stack([np.roll(image_HWC, n, axis=0) for n in range(64)])).cuda()
    held_x, held_params = x[:32].clone(), params[:32].clone()
    # As torch.cuda.graph asks for: some runs on a side stream first, which make lazy allocations.
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            engine(held_x, held_params)
    torch.cuda.current_stream().wait_stream(side)
    state = torch.cuda.get_rng_state()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = engine(held_x, held_params)
    for half in (slice(0, 32), slice(32, 64)):
        held_x.copy_(x[half])
        held_params.copy_(params[half])
        graph.replay()
        assert torch.equal(out, engine(x[half], params[half]))
    assert torch.equal(state, torch.cuda.get_rng_state()), "augmentation used torch's generator"


@pytest.mark.gpu
def test_the_gpu_makes_the_pictures_of_the_cpu(image_HWC):
    augmenters, x_BHWC = [Augmenter("heavy", SIZE)], np.stack([image_HWC] * 64)
    away = np.abs(shown(augmenters, x_BHWC, "cuda") - shown(augmenters, x_BHWC, "cpu"))
    assert away.mean() < 0.05


@pytest.mark.gpu
@pytest.mark.parametrize("policy", ["heavy", *RANDOM])
def test_every_pass_is_among_the_deterministic_algorithms(policy, made, image_HWC):
    augmenter = Augmenter("heavy", SIZE) if policy == "heavy" else made(RANDOM[policy])
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        first = shown([augmenter], np.stack([image_HWC] * 16), "cuda")
    finally:
        torch.use_deterministic_algorithms(before)
    assert np.array_equal(first, shown([augmenter], np.stack([image_HWC] * 16), "cuda"))
