import pytest
import torch

from pipeline.core.errors import ConfigError, UserError
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.nets.forward import Mode, autocast
from pipeline.nets.model import Classifier
from pipeline.settings.images import ImageSettings
from pipeline.settings.model import ModelSettings
from pipeline.settings.runtime import RuntimeSettings
from pipeline.settings.schema import Config
from pipeline.settings.train import TrainSettings
from pipeline.train import step_timing
from pipeline.train.step_timing import choose, compile_pays, modes, race, ratio

FP32, BF16, FP16 = Mode(), Mode("bf16"), Mode("fp16")
SPACE = LabelSpace.product([Attribute("digit", tuple("012"))])


def config(model="test_resnet", **train):
    return Config(
        model=ModelSettings(name=model, weights="none"),
        images=ImageSettings(size=32),
        train=TrainSettings(**{"batch_size": 8, **train}),
        runtime=RuntimeSettings(threads=1),
    )


@pytest.mark.parametrize("mode", [Mode(), Mode("bf16", "contiguous"), Mode("fp16", compiled=True)])
def test_a_modes_text_names_it(mode):
    assert Mode.parse(str(mode)) == mode


@pytest.mark.parametrize("text", ["", "fp32", "fp8 contiguous", "fp32 contiguous fast", "bf16 compiled"])
def test_other_texts_name_no_mode(text):
    with pytest.raises(ValueError, match="not a mode of computing"):
        Mode.parse(text)


def test_fp32_wins_ties_and_a_faster_mode_wins():
    assert choose({FP32: (1.0, 1.0, 1.0), BF16: (0.97, 0.97, 0.97)}) == FP32
    assert choose({FP32: (1.0, 1.0, 1.0), BF16: (0.5, 0.5, 0.5)}) == BF16
    assert choose({FP32: (1.0, 1.0, 1.0), BF16: (1.7,)}) == FP32


def test_a_less_safe_precision_must_beat_the_safer_one_that_leads():
    assert choose({FP32: (1.0,) * 3, BF16: (0.5,) * 3, FP16: (0.49,) * 3}) == BF16
    assert choose({FP32: (1.0,) * 3, BF16: (0.5,) * 3, FP16: (0.4,) * 3}) == FP16


def test_a_machine_that_slows_down_meanwhile_misleads_nobody():
    """The medians are 3 and 2.4, yet bf16 is slower in every single round."""
    drift = {FP32: (1.0, 2.0, 3.0, 4.0, 5.0), BF16: (1.2, 2.4, 3.6, 4.8, 6.0)}
    assert choose(drift) == FP32 and ratio(drift, BF16, FP32) == pytest.approx(1.2)
    one_hiccup = {FP32: (1.0, 1.0, 1.0, 1.0, 1.0), BF16: (0.6, 9.0, 0.6, 0.6, 0.6)}
    assert choose(one_hiccup) == BF16


def test_a_gpu_that_only_imitates_bf16_does_not_race_it(monkeypatch):
    """As a T4: torch can make bf16 tensors there, and computes with them slowly."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert [mode.precision for mode in modes("cuda")] == ["fp32", "fp32", "fp16", "fp16"]


@pytest.mark.parametrize(
    ("compiled", "steps", "pays"),
    [(0.7, 1000, True), (0.7, 100, False), (0.97, 10**6, False), (1.2, 9, False)],
)
def test_compiling_must_be_won_back_by_the_steps_of_a_fold(compiled, steps, pays):
    assert compile_pays(1.0, compiled, 60.0, steps) == pays


@pytest.mark.slow
def test_real_steps_are_timed_in_turns():
    wanted = modes("cpu")
    assert wanted[0] == FP32 and {m.precision for m in wanted} == {"fp32", "bf16"}
    seconds, first = race(config(), SPACE, "cpu", wanted)
    assert list(seconds) == wanted and len(seconds[FP32]) in (step_timing.STEPS, step_timing.ROUNDS)
    assert first > 0 and all(0 < t < 60 for times in seconds.values() for t in times)
    assert choose(seconds) in wanted


def test_bf16_is_no_candidate_where_a_cpu_computes_it_wrongly():
    small = config().model_copy(update={"images": ImageSettings(size=16)})
    seconds, _ = race(small, SPACE, "cpu", modes("cpu"))
    assert {mode.precision for mode in seconds} == {"fp32"} and len(seconds) == 2


def test_the_callers_generator_and_settings_stay(monkeypatch):
    torch.manual_seed(3)
    expected = torch.backends.cudnn.deterministic, torch.get_num_threads()
    race(config(), SPACE, "cpu", [FP32])
    assert (torch.backends.cudnn.deterministic, torch.get_num_threads()) == expected


def test_a_batch_of_one_row_is_told_by_the_probe_too():
    """It runs before the fold that would say so."""
    with pytest.raises(ConfigError, match=r"train\.batch_size=1: .* batch normalisation of one sample"):
        race(config(batch_size=1), SPACE, "cpu", [FP32])


@pytest.mark.slow
def test_a_step_that_fills_the_memory_is_told_or_timed_in_halves(monkeypatch):
    """It runs before the fold that would halve its batches, so it must not be where a run ends."""
    forward, seen = Classifier.forward, []

    def hungry(self, x_BCHW):
        logits_BC = forward(self, x_BCHW)
        seen.append(len(x_BCHW))
        if len(x_BCHW) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return logits_BC

    monkeypatch.setattr(Classifier, "forward", hungry)
    with pytest.raises(UserError, match=r"out of memory: train\.batch_size=16"):
        race(config(batch_size=16), SPACE, "cpu", [FP32])
    seen.clear()
    seconds, first = race(config(batch_size=16, oom_halving=True), SPACE, "cpu", [FP32])
    assert seen[:3] == [16, 8, 4] and set(seen[2:]) == {4}
    assert first > 0 and len(seconds[FP32]) == step_timing.STEPS
    with pytest.raises(UserError, match=r"out of memory: train\.batch_size=10"):
        monkeypatch.setattr(
            Classifier, "forward", lambda self, x_BCHW: hungry(self, x_BCHW.repeat(9, 1, 1, 1))
        )
        race(config(batch_size=10, oom_halving=True), SPACE, "cpu", [FP32])


def test_settings_that_do_not_fit_are_told_by_the_probe():
    with pytest.raises(ConfigError, match="optimizer"):
        race(config(optimizer="nonsense"), SPACE, "cpu", [FP32])
    with pytest.raises(ConfigError, match="fp16 needs a GPU"), autocast("cpu", "fp16"):
        pass


@pytest.mark.slow
def test_a_compiled_network_trains_and_is_timed():
    if not step_timing.can_compile("cpu"):
        pytest.skip("no C++ compiler on this machine")
    seconds, first = race(config(), SPACE, "cpu", [FP32, Mode(compiled=True)])
    assert first > min(seconds[FP32]), "compiling takes longer than a step"
    assert len(seconds[Mode(compiled=True)]) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("call", [1, 2])
def test_a_mode_without_room_beside_the_others_leaves_the_race_and_the_reference_may_not(monkeypatch, call):
    """Training needs the memory of one mode only."""
    seconds, calls = step_timing._Stopwatch.seconds, []

    def full(self, mode):
        calls.append(mode)
        if mode == hungry and calls.count(mode) == call:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return seconds(self, mode)

    monkeypatch.setattr(step_timing._Stopwatch, "seconds", full)
    hungry = BF16
    timed, _ = race(config(), SPACE, "cpu", [FP32, BF16, Mode("fp32", "contiguous")])
    assert list(timed) == [FP32, Mode("fp32", "contiguous")] and calls.count(BF16) == call
    hungry = FP32
    calls.clear()
    with pytest.raises(UserError, match="out of memory"):
        race(config(), SPACE, "cpu", [FP32, BF16])


@pytest.mark.gpu
def test_auto_chooses_something_on_a_gpu():
    wanted = modes("cuda")
    assert {m.precision for m in wanted} >= {"fp32", "fp16"}
    seconds, _ = race(config("resnet18"), SPACE, "cuda", wanted)
    assert choose(seconds) in wanted and all(t > 0 for times in seconds.values() for t in times)


@pytest.mark.parametrize("more", [{}, {"feature_stages": 2}, {"feature_px": 4}])
def test_a_head_is_timed_on_as_many_numbers_as_its_features_have(more, monkeypatch):
    widths = []
    monkeypatch.setattr(
        step_timing.batched_heads, "fit_heads", lambda jobs: widths.append(jobs[0].features.x_NVD.shape[2])
    )
    own = config("resnet10t").model_copy(
        update={"model": ModelSettings(name="resnet10t", weights="none", **more)}
    )
    step_timing.of_head(own, SPACE)
    network = step_timing.build(own.model, 2, 0, own.images.hw).eval()
    assert set(widths) == {network.features(torch.zeros(1, 3, 32, 32)).shape[1]}
