"""Rectifiers' backward passes, maps that must point at a planted pattern, gradients against differences."""

import numpy as np
import pytest
import torch
from explain_world import CLASSES, PATCH, SIDE, detector, planted, random_net, scene
from torch import nn
from torch.nn import functional

from pipeline.explain import attribution, cam, maps, network, occlusion, panels, sanity
from pipeline.settings.explain import OcclusionSettings


def chain(rectifier):
    """x -> rectifier -> weights +1, -1, +2 -> one logit."""
    last = nn.Linear(3, 1, bias=False)
    last.weight.data = torch.tensor([[1.0, -1.0, 2.0]])
    return lambda x: last(rectifier(x * 1))  # nothing may work in place on a leaf


@pytest.mark.parametrize(
    ("rectifier", "saliency", "guided"),
    [
        (nn.ReLU(), [0, -1, 2], [0, 0, 2]),
        (nn.ReLU(inplace=True), [0, -1, 2], [0, 0, 2]),
        (functional.relu, [0, -1, 2], [0, 0, 2]),
        (torch.Tensor.relu_, [0, -1, 2], [0, 0, 2]),
        (nn.ReLU6(), [0, -1, 0], [0, 0, 0]),
        (nn.Hardtanh(0, 6), [0, -1, 0], [0, 0, 0]),
        (nn.LeakyReLU(0.1), [0.1, -1, 2], [0.1, 0, 2]),
        (nn.PReLU(init=0.1), [0.1, -1, 2], [0.1, 0, 2]),
    ],
)
def test_each_rectifier_passes_gradients_by_each_rule(rectifier, saliency, guided):
    x = torch.tensor([[-1.0, 2.0, 7.0]])
    of = network.of_class([0])
    found = {
        rule: attribution.gradient(chain(rectifier), x, of, rule)[0].tolist() for rule in attribution.RULES
    }
    assert found["saliency"] == pytest.approx(saliency)
    assert found["guided"] == pytest.approx(guided)
    assert found["deconvolution"] == pytest.approx([1, 0, 2])  # positive gradients, wherever the unit stood


@pytest.mark.parametrize("smooth", [nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.ELU(), nn.Tanh(), nn.Identity()])
def test_what_is_no_rectifier_is_told(smooth):
    why = attribution.why_undefined(chain(smooth), torch.zeros(1, 3))
    assert why.startswith("not defined here")
    assert isinstance(smooth, nn.Identity) or type(smooth).__name__.lower() in why.lower()
    assert attribution.why_undefined(chain(nn.ReLU6()), torch.zeros(1, 3)) == ""


def test_guided_differs_from_saliency_on_lite0():
    net = random_net("tf_efficientnet_lite0")
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert attribution.why_undefined(net.module, x) == ""  # ReLU6 throughout
    of = network.of_class([1])
    found = {r: attribution.gradient(net.module, x, of, r).flatten() for r in attribution.RULES}
    for rule in ("guided", "deconvolution"):
        assert torch.corrcoef(torch.stack([found["saliency"], found[rule]]))[0, 1].abs() < 0.9
    # Under the rule the network says the same: only the way back differs.
    with torch.no_grad(), attribution._Ruled("guided"):
        under = net.module(x)
    assert torch.equal(under, net.module(x))


def test_gradients_against_finite_differences():
    net = detector()
    pixels, mask = planted()
    x = net.normalise(pixels[None]).double()
    net.module.double()
    of = network.of_class([1], [2])
    found = attribution.gradient(net.module, x, of)[0]
    rng = np.random.default_rng(0)
    inside, outside = np.argwhere(mask), np.argwhere(~mask)
    for i, j in [*rng.choice(inside, 6), *rng.choice(outside, 2)]:
        step = torch.zeros_like(x)
        step[0, 0, i, j] = 1e-5
        slope = (of(net.module(x + step)) - of(net.module(x - step)))[0] / 2e-5
        assert float(found[0, i, j]) == pytest.approx(float(slope), abs=1e-6)
    assert found.abs().max() > 1e-3


def inside(map_HW, mask):
    share = maps.share_inside(maps.enlarged(map_HW, mask.shape), mask)
    assert share is not None
    return share


@pytest.mark.parametrize("kind", [1, 2])
def test_every_method_points_at_the_planted_pattern(kind):
    net, (pixels, mask) = detector(), planted(kind)
    x = net.normalise(pixels[None])
    case = scene(net, (kind, kind)).cases[0]
    assert net.module(x).argmax() == kind
    case = type(case)(**{**case.__dict__, "pixels_HWC": pixels, "x_CHW": x[0]})
    found = {
        "CAM": cam.cam(net, x, [kind])[0],
        "Grad-CAM": cam.grad_cam(net, x, [kind])[0],
        "Grad-CAM++": cam.grad_cam_plus_plus(net, x, [kind])[0],
        "guided Grad-CAM": attribution.sizes(cam.guided_grad_cam(net, x, [kind])[0]),
        "why A, not B": cam.grad_cam(net, x, [kind], [3 - kind])[0],
        "evidence against B": -cam.grad_cam(net, x, [3 - kind])[0],
        "saliency": attribution.sizes(attribution.by_pixel(net, case, "saliency", kind)),
        "guided backprop": attribution.sizes(attribution.by_pixel(net, case, "guided", kind)),
    }
    for how in ("mean", "blur"):
        settings = OcclusionSettings(window=0.1, baseline=how)
        (hidden,) = occlusion.occlude(net, x[0], [kind], settings)
        found[f"occlusion, {how}"] = hidden.map_HW
        left, top, right, bottom = hidden.square
        assert mask[top:bottom, left:right].mean() > 0.5 and hidden.after < hidden.before
    shares = {name: inside(m, mask) for name, m in found.items()}
    assert min(shares.values()) > 0.6, shares
    # Deconvolution does not know where units stood: here it gives every image the same picture.
    other = net.normalise(planted(kind, top=20, left=2, seed=9)[0][None])
    of = network.of_class([kind])
    blind, too = (attribution.gradient(net.module, image, of, "deconvolution") for image in (x, other))
    assert torch.equal(blind, too) and blind.abs().max() > 0


def test_all_classes_are_watched_in_one_look_of_the_network():
    net = detector()
    x = net.normalise(planted()[0][None])
    settings = OcclusionSettings(window=0.2)
    both = occlusion.occlude(net, x[0], [1, 2], settings)
    for of, found in zip((1, 2), both, strict=True):
        (alone,) = occlusion.occlude(net, x[0], [of], settings)
        assert np.array_equal(found.map_HW, alone.map_HW) and found.square == alone.square
    passes = []
    with torch.no_grad():
        handle = net.module.register_forward_hook(lambda *_: passes.append(1))
        occlusion.occlude(net, x[0], [1], settings)
        once = len(passes)
        occlusion.occlude(net, x[0], [1, 2, 1, 2], settings)
        handle.remove()
    assert len(passes) - once == once + 3, "each further class costs one pass: its strongest square"


def test_the_parts_tell_maps_checks_and_flat_ones():
    shown = scene(detector())
    for name in ("cam", "gradients", "occlusion"):
        part = panels.functions()[name](shown)
        assert [row.case for row in part.rows] == ["train/i0", "train/i1"]
        assert "true plain" in part.rows[1].title and "predicted stripes" in part.rows[1].title
        assert "random weights" in part.tables[0].title
        facts = part.facts["train/i0"]["object"]
        assert facts["from"] == "box" and facts["area"] == pytest.approx(PATCH**2 / SIDE**2)
        best = {
            "cam": "gradcam-predicted",
            "gradients": "guided-predicted",
            "occlusion": "occlusion-predicted",
        }
        assert facts["share"][best[name]] > 0.6
    maps_of = panels.functions()["cam"](shown)
    # The class "plain" has no weights: its map is zero, left out of the page, and named.
    plain = next(p for p in maps_of.rows[1].pictures if p.name == "gradcam-rival")
    assert "nothing found" in plain.caption and not plain.shows
    assert "Not a finding" in maps_of.rows[1].note
    assert "gradcam-rival" in maps_of.facts["train/i1"]["flat"] and maps_of.figures["flat_maps"] >= 1
    assert plain.pixels_HWC.min() > 180  # the image faded, no heat over it


def test_a_network_without_rectifiers_says_so_and_shows_saliency_alone():
    part = panels.functions()["gradients"](scene(detector(nn.GELU()), sanity=False))
    assert any("not defined here" in text and "GELU" in text for text in part.notes)
    assert {p.name for p in part.rows[0].pictures} == {"image", "saliency-predicted", "saliency-rival"}
    assert not part.tables
    assert any(
        "Guided Grad-CAM is not defined" in t
        for t in panels.functions()["cam"](scene(detector(nn.GELU()))).notes
    )


def test_random_weights_leave_the_network_and_change_its_maps():
    net = random_net("test_resnet", side=32)
    x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = {name: w.clone() for name, w in net.module.state_dict().items()}
    other = sanity.randomised(net, x, 0)
    assert all(torch.equal(w, net.module.state_dict()[name]) for name, w in before.items())
    logits = other.module(x)
    assert torch.isfinite(logits).all() and logits.std() > 1e-4
    assert torch.equal(logits, sanity.randomised(net, x, 0).module(x))
    assert not torch.equal(logits, sanity.randomised(net, x, 1).module(x))
    of = network.of_class([1] * 8)
    mine, theirs = (attribution.gradient(n.module, x, of).abs().amax(1).numpy() for n in (net, other))
    alike = [maps.rank_correlation(a, b) for a, b in zip(mine, theirs, strict=True)]
    assert max(alike) < 0.5
    assert "depends on what was learned" in sanity.verdict([0.1, -0.1])
    assert "mostly the structure of the image" in sanity.verdict([0.9, 0.8, None])
    assert "unknown: too few cells" in sanity.verdict([None, None])


def test_what_a_map_says_or_does_not():
    ramp = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert maps.flatness(ramp) == "" and maps.flatness(-ramp - 1) == "empty"
    assert maps.flatness(np.full((4, 4), 3.0, np.float32)) == "flat" and maps.flatness(0 * ramp) == "empty"
    assert maps.flatness(ramp * 0.001, least=0.05) == "empty"
    assert maps.rank_correlation(ramp, ramp**3) == pytest.approx(1)
    assert (
        maps.rank_correlation(ramp, 0 * ramp) is None
        and maps.rank_correlation(ramp[:2, :2], ramp[:2, :2]) is None
    )
    pixels, _ = planted()
    for picture in (maps.overlay(pixels, ramp), maps.for_and_against(pixels, ramp - 8), maps.greys(ramp)):
        assert picture.dtype == np.uint8 and min(picture.shape[:2]) >= maps.SHOWN_PX
    hot = maps.overlay(pixels, ramp).astype(int)
    assert (
        np.ptp(hot[-8:, -8:], axis=2).mean() > np.ptp(hot[:8, :8], axis=2).mean()
    )  # colour where it is large


def test_log_odds_and_unknown_parts():
    logits = torch.tensor([[2.0, 1.0, 0.0]])
    p = logits.softmax(1)[0, 0]
    assert float(network.log_odds(logits, [0])) == pytest.approx(float((p / (1 - p)).log()), abs=1e-6)
    with pytest.raises(Exception, match="2 unknown") as caught:
        panels.check_names(["cam", "oclusion", "nothing"])
    assert "occlusion" in str(caught.value) and ", ".join(panels.NAMES) in str(caught.value)
    assert len(CLASSES) == 3


def test_every_panel_has_a_function():
    assert tuple(panels.functions()) == panels.NAMES
