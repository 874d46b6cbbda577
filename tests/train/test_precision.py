import json

import main_world
import numpy as np
import pytest
from main_world import named

from pipeline.core.samples import Attribute, LabelSpace
from pipeline.nets.forward import Mode
from pipeline.record import files
from pipeline.record.machine import Profile
from pipeline.settings.images import ImageSettings
from pipeline.settings.model import ModelSettings
from pipeline.settings.schema import Config
from pipeline.settings.train import TrainSettings
from pipeline.train import precision
from pipeline.train.precision import choose, facts, measure

SPACE = LabelSpace.product([Attribute("digit", tuple("0123456789"))])
LONG = (precision.STEPS_WORTH_MEASURING, 40)
# At 16 px a map of test_resnet is so narrow that bf16 is refused on a CPU.
SMALL = (*(word for word in main_world.SMALL if not word.startswith("images.size")), "images.size=32")
FP32 = {"fp32 channels_last": [1.0, 1.0]}


def config(**train):
    return Config(
        model=ModelSettings(name="test_resnet", weights="none"),
        images=ImageSettings(size=32),
        train=TrainSettings(batch_size=4, **train),
    )


def planted(home, plain, **more):
    """A home whose profile says so of `config()`."""
    Profile(home).keep(facts(config(), "cpu"), {"plain": {**FP32, **plain}, **more})
    return home


def test_measured_once_and_never_again(tmp_path):
    measure(config(), SPACE, "cpu", LONG, tmp_path)
    before = (tmp_path / "machine.json").read_text()
    assert len(json.loads(before)["entries"][0]["measured"]["plain"]) >= 2
    measure(config(lr=0.5, epochs=9), SPACE, "cpu", LONG, tmp_path)
    assert (tmp_path / "machine.json").read_text() == before
    measure(config(optimizer="sgd"), SPACE, "cpu", LONG, tmp_path)
    choice = choose(config(), "cpu", 40, tmp_path)
    assert choice.line.startswith("precision auto: ") and "(measured)" in choice.line
    assert choice.seconds_per_step and choice.seconds_per_step > 0


def test_short_runs_and_written_precisions_are_not_measured(tmp_path):
    measure(config(), SPACE, "cpu", (LONG[0] - 1, 40), tmp_path)
    measure(config(precision="bf16"), SPACE, "cpu", LONG, tmp_path)
    assert not list(tmp_path.iterdir())
    assert choose(config(), "cpu", 40, tmp_path).mode == Mode()
    assert "not measured" in choose(config(), "cpu", 40, tmp_path).line
    written = choose(config(precision="bf16"), "cpu", 40, tmp_path)
    assert written.mode == Mode("bf16") and not written.line


def test_a_fold_keeps_its_mode_for_members_still_to_come(tmp_path):
    home, work = planted(tmp_path / "home", {"bf16 contiguous": [0.5, 0.5]}), tmp_path / "work"
    first = precision.kept(config(), "cpu", 40, home, work)
    assert first == Mode.parse("bf16 contiguous")
    planted(home, {"bf16 contiguous": [9.0, 9.0]})
    assert choose(config(), "cpu", 40, home).mode.precision == "fp32"
    assert precision.kept(config(), "cpu", 40, home, work) == first
    assert precision.kept(config(), "cpu", 40, home, tmp_path / "another").precision == "fp32"


def test_the_line_tells_what_and_how_much(tmp_path):
    quick = choose(config(), "cpu", 40, planted(tmp_path, {"bf16 contiguous": [0.5, 0.5]}))
    assert quick.mode == Mode("bf16", "contiguous") and quick.seconds_per_step == 0.5
    assert quick.line == "precision auto: bf16 contiguous, 2.0× fp32 (measured)"
    slow = choose(config(), "cpu", 40, planted(tmp_path, {"bf16 channels_last": [2.0]}))
    assert slow.mode == Mode() and slow.line == "precision auto: fp32, bf16 is 0.5× as fast (measured)"


def test_compiling_is_chosen_for_folds_that_win_it_back(tmp_path):
    both = {"seconds_to_compile": 30.0, **FP32, "fp32 channels_last compiled": [0.5, 0.5]}
    home = planted(tmp_path, {}, compiled=both)
    assert choose(config(), "cpu", 1000, home).mode == Mode(compiled=True)
    assert "compiled, 2.0× fp32" in choose(config(), "cpu", 1000, home).line
    assert choose(config(), "cpu", 100, home).mode == Mode()
    failed = planted(tmp_path, {}, compiled={"failed": "BackendCompilerFailed"})
    assert choose(config(), "cpu", 1000, failed).mode == Mode()


def test_another_machine_size_or_batch_knows_nothing(tmp_path):
    home = planted(tmp_path, {"bf16 contiguous": [0.5, 0.5]})
    for other in (
        config().model_copy(update={"images": ImageSettings(size=48)}),
        config().model_copy(update={"model": ModelSettings(name="test_efficientnet")}),
        config().model_copy(update={"train": TrainSettings(batch_size=5)}),
    ):
        assert choose(other, "cpu", 40, home).mode == Mode()


def run(home, *words):
    return main_world.run(home, *words, small=SMALL)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A home that knows bf16 to be faster, and one fold trained there."""
    home = tmp_path_factory.mktemp("home")
    from pipeline.settings.load import load

    words = [*SMALL, "experiment=tiny_resnet", f"runtime.home={home}"]
    settings = load(words).config
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    of = facts(settings, "cpu")
    torch.set_num_threads(threads)
    Profile(home).keep(of, {"plain": {**FP32, "bf16 contiguous": [0.4, 0.4]}})
    return home, run(home, "train", "experiment=tiny_resnet", "train.folds=[0]")


def test_make_train_tells_the_choice_and_records_it(trained):
    home, said = trained
    assert said.code == 0, said.err
    assert "precision auto: bf16 contiguous, 2.5× fp32 (measured)" in said.out
    (fold,) = named(home, "fold")
    assert fold.manifest["tags"]["mode"] == "bf16 contiguous"
    assert fold.manifest["settings"]["train"]["precision"] == "auto"


def test_infer_in_the_precision_of_training_is_near_fp32(trained):
    home, _ = trained
    words = ("experiment=tiny_resnet", "train.folds=[0]")
    assert run(home, "infer", *words).code == 0
    said = run(home, "infer", *words, "infer.precision=auto")
    assert said.code == 0, said.err
    full, half = (files.read_views(a.folder / "test.npz", "").p_VNC for a in named(home, "views"))
    assert 0 < np.abs(full - half).max() < 1e-2


def test_another_measurement_makes_no_finished_fold_stale(trained):
    home, _ = trained
    (home / "machine.json").unlink()
    assert run(home, "train", "experiment=tiny_resnet", "train.folds=[0]").code == 0
    assert len(named(home, "fold")) == 1
