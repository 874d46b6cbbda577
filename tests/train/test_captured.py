"""A step as a graph: the rules on a CPU, with a recorder that computes again, and the tier gpu."""

import contextlib
import gc
import warnings
import weakref
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from learn_world import all_rows, equal_states, fold_job

from pipeline.core.errors import UserError
from pipeline.nets.forward import Mode
from pipeline.nets.model import Classifier
from pipeline.settings.loss import LossSettings
from pipeline.settings.train import MixSettings, TrainSettings
from pipeline.train import captured, loop, losses, optim, texts
from pipeline.train.captured import WARM_UP, Captured
from pipeline.train.loop import fit
from pipeline.train.optim import load_optimizer, make_optimizer, set_lr
from pipeline.train.state import Training
from pipeline.train.step import Step


class Recorder:
    """Records by remembering the function: nothing is computed until the replay."""

    def __init__(self, waits=False, error=None):
        self.waits, self.error, self.watched, self.recorded, self.replayed = waits, error, 0, 0, 0
        self.leave = lambda: None

    def watch(self, function, inputs):
        self.watched += 1
        return function(*inputs), self.waits

    def record(self, function, inputs):
        self.recorded += 1
        if self.error is not None:
            torch.rand(3)
            self.leave()
            raise self.error
        result = torch.full((2,), float("nan"), dtype=torch.float64)

        def replay():
            self.replayed += 1
            result.copy_(function(*inputs))

        return result, replay


def noisy(x):
    return torch.stack([x.sum(), torch.rand(())]).double()


def expected(seed, x):
    torch.manual_seed(seed)
    return noisy(x)


def test_the_first_calls_run_and_later_ones_are_replayed_with_their_own_inputs_and_seeds():
    recorder = Recorder()
    call = Captured(noisy, pytest.fail, recorder)
    kept = []
    for number in range(WARM_UP + 4):
        x = torch.full((2, 3), float(number))
        kept.append((call(number, x), expected(number, x)))
        assert call.recorded == (number >= WARM_UP)
    assert all(torch.equal(found, right) for found, right in kept), "a later replay changed an earlier result"
    assert (recorder.watched, recorder.recorded, recorder.replayed) == (WARM_UP, 1, 4)


@pytest.mark.parametrize(
    "error", [RuntimeError("operation not permitted\nmore"), torch.OutOfMemoryError("full")]
)
def test_what_cannot_be_recorded_runs_as_it_is_and_the_reason_is_told_once(error):
    told, recorder = [], Recorder(error=error)
    call = Captured(noisy, told.append, recorder)
    for number in range(WARM_UP + 4):
        x = torch.full((2, 3), float(number))
        assert torch.equal(call(number, x), expected(number, x))
    assert told == [str(error).splitlines()[0]] and recorder.recorded == 1 and not call.recorded


def test_the_reason_of_a_failed_recording_is_its_first_error():
    """Torch raises another one while it ends the recording."""
    second = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    second.__context__ = RuntimeError("a lookup table cannot be made while the stream is capturing")
    told, recorder = [], Recorder(error=second)
    call = Captured(noisy, told.append, recorder)
    for number in range(WARM_UP + 1):
        call(number, torch.ones(1))
    assert told == ["a lookup table cannot be made while the stream is capturing"]


class Invalid:
    """`torch.cuda.graph` of a recording that became invalid: the end fails, and the stream stays."""

    def __init__(self, graph, pool, stream):
        self.stream = stream

    def __enter__(self):
        torch.cuda.set_stream(self.stream)

    def __exit__(self, *error):
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture")


def test_a_recording_that_became_invalid_leaves_stream_and_allocator_as_they_were(monkeypatch):
    streams, ended = ["here"], []
    cuda = {
        "Stream": lambda: "side",
        "current_stream": lambda: streams[-1],
        "set_stream": streams.append,
        "current_device": lambda: 0,
        "graph_pool_handle": lambda: (0, 7),
        "CUDAGraph": lambda: SimpleNamespace(replay=None),
        "graph": Invalid,
    }
    for name, value in cuda.items():
        monkeypatch.setattr(torch.cuda, name, value)
    for name in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
        monkeypatch.setattr(torch._C, name, lambda *of, name=name: ended.append((name, *of)), raising=False)
    told = []
    call = Captured(noisy, told.append, captured.Cuda())
    call._calls = WARM_UP
    assert torch.equal(call(3, torch.ones(2)), expected(3, torch.ones(2)))
    assert streams[-1] == "here" and len(told) == 1
    assert ended == [("_cuda_endAllocateToPool", 0, (0, 7)), ("_cuda_releasePool", 0, (0, 7))]


def test_a_step_that_waits_for_the_device_is_not_recorded():
    told, recorder = [], Recorder(waits=True)
    call = Captured(noisy, told.append, recorder)
    for number in range(WARM_UP + 2):
        call(number, torch.ones(1))
    assert told == [texts.STEP_WAITS] and recorder.recorded == 0


@pytest.fixture
def graphs(monkeypatch):
    """Folds on a CPU whose steps are recorded."""

    def install(**how):
        recorder = Recorder(**how)
        monkeypatch.setattr(loop, "Step", partial(Step, device=recorder))
        return recorder

    yield install


def job_of(**more):
    """Seven steps an epoch, the last of them of another size."""
    more = {"epochs": 2, "batch_size": 8, **more}
    return replace(fold_job(n_train=49, **more), rows=all_rows(49))


SETTINGS = [
    {},
    {"ema_decay": 0.9, "clip_norm": 1.0},
    {"weight_noise": 0.1, "input_noise": 0.1},
    {"mix": MixSettings(method="mixup")},
    {"mix": MixSettings(method="cutmix", partner="minority"), "swa_start": 0.3},
    {"optimizer": "sgd", "schedule": "plateau"},
    {"strategy": "gradual", "unfreeze_every": 1},
]


@pytest.mark.slow
@pytest.mark.parametrize("more", SETTINGS, ids=str)
def test_replayed_steps_end_with_the_bits_of_steps_that_run(tmp_path, graphs, more):
    job = job_of(**more)
    _, plain = fit(job, tmp_path / "plain")
    recorder = graphs()
    _, state = fit(job, tmp_path / "graph")
    assert recorder.replayed > 0 and equal_states(state, plain)
    changes = 2 if more.get("strategy") else 1
    assert recorder.recorded == changes, "a graph is kept as long as the step computes the same"


def of_angles(job):
    model = job.model.model_copy(update={"heads": "cosine", "centres": 2})
    return replace(job, model=model, loss=LossSettings(name="arcface", rare_margin=0.2))


def test_replayed_steps_of_cosines_end_with_the_bits_of_steps_that_run(tmp_path, graphs):
    job = of_angles(job_of(ema_decay=0.9))
    _, plain = fit(job, tmp_path / "plain")
    recorder = graphs()
    _, state = fit(job, tmp_path / "graph")
    assert recorder.recorded == 1 and recorder.replayed > 0 and equal_states(state, plain)


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_a_fold_leaves_nothing_behind_that_only_the_garbage_collector_would_free(
    tmp_path, graphs, monkeypatch, fails
):
    """On a GPU that is the memory of the network, the graph and the images."""
    made, original = [], Training.__init__

    def remember(self, *given):
        original(self, *given)
        made.append(weakref.ref(self))

    monkeypatch.setattr(Training, "__init__", remember)

    def on_epoch(fold, epoch, entry):
        if fails:
            raise UserError("stopped")
        return True

    fit(job_of(), tmp_path / "first")  # what is imported on first use leaves tracebacks
    made.clear()
    recorder = graphs()
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(UserError):
            fit(job_of(), tmp_path / "second", on_epoch)
        assert recorder.recorded == 1 and [ref() for ref in made] == [None]
    finally:
        gc.enable()


def test_deferred_class_weights_are_another_step(tmp_path, graphs):
    job = replace(job_of(epochs=4), loss=LossSettings(name="ldam", class_weights="inverse", defer=0.5))
    _, plain = fit(job, tmp_path / "plain")
    recorder = graphs()
    assert equal_states(fit(job, tmp_path / "graph")[1], plain) and recorder.recorded == 2


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 2])
def test_resuming_across_the_border_of_both_kinds_of_steps_changes_no_bit(tmp_path, graphs, after):
    job = job_of(epochs=4, ema_decay=0.9)
    recorder = graphs()
    _, whole = fit(job, tmp_path / "whole")
    assert recorder.recorded == 1
    fit(job, tmp_path / "killed", lambda fold, epoch, entry: epoch + 1 < after)
    assert equal_states(fit(job, tmp_path / "killed")[1], whole)


def test_a_failed_recording_leaves_nothing_in_the_weights(tmp_path, graphs, monkeypatch, caplog):
    job = job_of(ema_decay=0.9)
    _, plain = fit(job, tmp_path / "plain")
    recorder, steps = graphs(error=RuntimeError("not permitted")), []
    original = Step.__init__

    def remember(self, job, training, device=None):
        steps.append(training)
        original(self, job, training, device)

    def leave():
        for p in steps[-1].model.parameters():
            p.grad = torch.ones_like(p)

    monkeypatch.setattr(Step, "__init__", remember)
    recorder.leave = leave
    with caplog.at_level("INFO"):
        _, state = fit(job, tmp_path / "failed")
    told = [r.getMessage() for r in caplog.records if "CUDA graph" in r.getMessage()]
    assert equal_states(state, plain) and len(told) == 1 and "not permitted" in told[0]


def test_a_graph_makes_room_when_memory_runs_out(tmp_path, graphs, monkeypatch, caplog):
    job = job_of(ema_decay=0.9)
    _, plain = fit(job, tmp_path / "plain")
    recorder, forward, seen = graphs(), Classifier.forward, []

    def hungry(self, x_BCHW):
        seen.append(len(x_BCHW))
        if self.training and recorder.recorded and len(x_BCHW) == 9 and seen.count(9) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, x_BCHW)

    monkeypatch.setattr(Classifier, "forward", hungry)
    with caplog.at_level("INFO"):
        _, state = fit(job, tmp_path / "graph")
    assert equal_states(state, plain) and recorder.recorded == 1
    assert texts.STEP_MEMORY in caplog.text


def test_a_graph_makes_room_for_the_evaluation_of_an_epoch(tmp_path, graphs, monkeypatch, caplog):
    job = job_of(ema_decay=0.9)
    _, plain = fit(job, tmp_path / "plain")
    recorder, forward, told = graphs(), Classifier.forward, []

    def hungry(self, x_BCHW):
        if not self.training and recorder.recorded and not told:
            told.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, x_BCHW)

    monkeypatch.setattr(Classifier, "forward", hungry)
    with caplog.at_level("INFO"):
        result, state = fit(job, tmp_path / "graph")
    assert equal_states(state, plain) and recorder.recorded == 1 and len(result.history) == 2
    assert texts.STEP_MEMORY in caplog.text


@pytest.mark.parametrize("more", [{"accumulate": 2}])
def test_accumulation_windows_are_not_recorded_and_it_is_said_once(tmp_path, graphs, caplog, more):
    recorder = graphs()
    with caplog.at_level("INFO"):
        fit(job_of(**more), tmp_path)
    assert recorder.watched == recorder.recorded == 0
    assert sum("CUDA graph" in r.getMessage() for r in caplog.records) == 1


def test_a_learning_rate_in_a_tensor_is_set_in_place():
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(net.parameters(), lr=torch.tensor(0.1))
    rate = optimizer.param_groups[0]["lr"]
    set_lr(optimizer, 0.25)
    assert rate is optimizer.param_groups[0]["lr"] and float(rate) == 0.25


@pytest.mark.parametrize("name", ["adamw", "rmsprop", "nadamw", "sgd"])
def test_a_fold_that_began_on_a_gpu_continues_on_a_cpu_in_the_form_of_a_cpu(name):
    net, settings = torch.nn.Linear(2, 2), TrainSettings(optimizer=name)

    def step(optimizer):
        net(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        return [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]

    one = make_optimizer(net, settings)
    usual = step(one)
    there = one.state_dict()
    for group in there["param_groups"]:
        group |= {"capturable": True, "fused": True, "lr": torch.tensor(settings.lr)}
    other = make_optimizer(net, settings)
    load_optimizer(other, there)
    assert step(other) == [{**group, "lr": pytest.approx(group["lr"])} for group in usual]


def test_weights_that_thaw_later_train_with_the_fused_sgd_of_a_gpu(tmp_path):
    """Torch has it for a CPU, too; its bits are those of one that met all weights at their first step."""
    more = {"strategy": "gradual", "unfreeze_every": 1, "optimizer": "sgd", "epochs": 3}
    _, fused = fit(job_of(**more, optimizer_args={"fused": True}), tmp_path / "fused")
    _, plain = fit(job_of(**more), tmp_path / "plain")
    assert all(torch.allclose(fused[name], plain[name], atol=1e-4) for name in plain)


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_momentum_of_zero_gives_the_bits_of_a_first_step_without_one(nesterov):
    one, other = (torch.nn.Linear(3, 3) for _ in range(2))
    other.load_state_dict(one.state_dict())
    how = {"momentum": 0.9, "weight_decay": 0.1, "nesterov": nesterov, "fused": True}
    usual, even = (torch.optim.SGD(net.parameters(), 0.1, **how) for net in (one, other))
    optim._even(even)
    for _ in range(2):
        for net, optimizer in ((one, usual), (other, even)):
            optimizer.zero_grad()
            net(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
    assert equal_states(one.state_dict(), other.state_dict())


def test_a_cpu_takes_steps_in_one_kernel_and_records_nothing():
    (one, *_) = make_optimizer(torch.nn.Linear(2, 2), TrainSettings()).param_groups
    assert isinstance(one["lr"], float) and not one["capturable"] and one["fused"]
    asked = TrainSettings(optimizer_args={"foreach": False})
    (own, *_) = make_optimizer(torch.nn.Linear(2, 2), asked).param_groups
    assert not own["fused"], "what the user wrote comes first"


# The tier gpu: a graph of CUDA itself.


def on_gpu(**more):
    return replace(job_of(epochs=3, **more), device="cuda")


@pytest.fixture
def never_recorded(monkeypatch):
    """Every step runs as it is."""
    return lambda: monkeypatch.setattr(captured, "WARM_UP", 10**9)


GPU_SETTINGS = [
    {},
    {"ema_decay": 0.9, "clip_norm": 1.0},
    {"weight_noise": 0.1, "input_noise": 0.1},
    {"mix": MixSettings(method="cutmix"), "optimizer": "sgd", "optimizer_args": {"momentum": 0.9}},
    {"layer_decay": 0.8, "optimizer": "nadamw"},
]


@pytest.mark.gpu
@pytest.mark.parametrize("mode", [Mode(), Mode("bf16"), Mode("bf16", "contiguous")], ids=str)
@pytest.mark.parametrize("more", GPU_SETTINGS, ids=str)
def test_a_graph_has_the_bits_of_the_steps_that_it_was_recorded_of(
    tmp_path, mode, more, never_recorded, monkeypatch
):
    job, seen = replace(on_gpu(precision="auto", **more), measured=mode), []
    record = captured.Cuda.record

    def counted(self, function, inputs):
        seen.append(1)
        return record(self, function, inputs)

    monkeypatch.setattr(captured.Cuda, "record", counted)
    result, state = fit(job, tmp_path / "graph")
    assert len(seen) == 1, "the step was not recorded, or more than once"
    never_recorded()
    other, plain = fit(job, tmp_path / "plain")
    assert len(seen) == 1 and equal_states(state, plain)
    assert [e["train_loss"] for e in result.history] == [e["train_loss"] for e in other.history]


@pytest.mark.gpu
@pytest.mark.parametrize("mode", [Mode(), Mode("bf16")], ids=str)
def test_a_graph_of_cosines_has_the_bits_of_the_steps(tmp_path, mode, never_recorded, monkeypatch):
    job, seen = of_angles(replace(on_gpu(precision="auto"), measured=mode)), []
    record = captured.Cuda.record
    monkeypatch.setattr(captured.Cuda, "record", lambda *given: seen.append(1) or record(*given))
    _, state = fit(job, tmp_path / "graph")
    assert len(seen) == 1, "the step was not recorded, or more than once"
    never_recorded()
    assert equal_states(fit(job, tmp_path / "plain")[1], state)


@pytest.mark.gpu
@pytest.mark.parametrize("after", [1, 2])
def test_a_gpu_resumes_across_the_border_of_both_kinds_of_steps(tmp_path, after, never_recorded):
    job = replace(on_gpu(precision="auto", ema_decay=0.9), measured=Mode("bf16"))
    _, whole = fit(job, tmp_path / "whole")
    fit(job, tmp_path / "killed", lambda fold, epoch, entry: epoch + 1 < after)
    never_recorded()
    assert equal_states(fit(job, tmp_path / "killed")[1], whole)


@pytest.mark.gpu
def test_recording_leaves_weights_average_statistics_and_random_state_unchanged(tmp_path, monkeypatch):
    record, found = captured.Cuda.record, []

    def compared(self, function, inputs):
        training = function.training
        tensors = [*training.model.state_dict().values(), *training.average.state().values()]
        tensors += [v for s in training.optimizer.state.values() for v in s.values() if torch.is_tensor(v)]
        before, state = [t.clone() for t in tensors], torch.cuda.get_rng_state()
        made = record(self, function, inputs)
        torch.cuda.synchronize()
        found.append(all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True)))
        found.append(torch.equal(state, torch.cuda.get_rng_state()))
        return made

    monkeypatch.setattr(captured.Cuda, "record", compared)
    fit(on_gpu(ema_decay=0.9), tmp_path)
    assert found == [True, True]


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weights_that_thaw_later_train_on_a_gpu(tmp_path, name):
    more = {"strategy": "gradual", "unfreeze_every": 1, "optimizer": name}
    result, _ = fit(on_gpu(**more), tmp_path)
    assert len(result.history) == 3


@pytest.mark.gpu
def test_a_step_that_waits_for_a_gpu_runs_as_it_is(tmp_path, monkeypatch, caplog):
    def waiting(settings, facts, weight_C):
        plain = losses.rows_of(losses.cross_entropy_terms, settings.label_smoothing, weight_C)
        return lambda logits, target: plain(logits, target) * (1 if float(logits.sum()) < 1e30 else 2)

    monkeypatch.setitem(losses.REGISTRY, "cross_entropy", waiting)
    with caplog.at_level("INFO"):
        result, _ = fit(on_gpu(), tmp_path)
    assert texts.STEP_WAITS in caplog.text and len(result.history) == 3


@pytest.mark.gpu
def test_no_step_of_a_usual_training_waits_for_a_gpu(tmp_path, monkeypatch):
    """Steps after the recording included: loader, augmentation and mixing."""
    call, told = Step.__call__, []

    def strict(self, window, number, lr):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                made = call(self, window, number, lr)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        told.extend(str(w.message) for w in found if captured.WAITS in str(w.message) and number > 20)
        return made

    monkeypatch.setattr(Step, "__call__", strict)
    fit(on_gpu(mix=MixSettings(method="cutmix"), ema_decay=0.9, clip_norm=1.0), tmp_path)
    assert told == []
