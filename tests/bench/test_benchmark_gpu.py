import pytest

from benchmarks import gpu_speed
from benchmarks.gpu_speed import Arm, compared, main
from benchmarks.train_speed import write


# timm leaves closing the files to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_arms_run_on_a_cpu_with_tiny_numbers(tmp_path):
    write(tmp_path / "files", 12)
    arm = Arm("test_resnet", 32, 4, "cpu", "fp32", images=8, steps=1, epochs=2)
    text = "\n".join(compared(arm, "light", tmp_path / "files", 0, tmp_path))
    for word in ("test_resnet 32 px batch 4", "eager", "graph", "timm", "Podium / graph", "albumentations"):
        assert word in text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_whole_benchmark_runs_on_any_machine(capsys):
    main(["--tiny", "--precision", "fp32"])
    text = capsys.readouterr().out
    assert "starting Python and importing" in text and "what is left" in text
    assert gpu_speed.heading("cpu", "fp32").split(",")[1] in text
