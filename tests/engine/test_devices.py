"""One token for each process, and what is refused before any work."""

import pytest

from pipeline.core.errors import ConfigError
from pipeline.engine.executors.devices import Machine, gpu_names, tokens, tokens_of_jobs
from pipeline.settings.load import load
from pipeline.settings.runtime import RuntimeSettings

LAB = Machine(("0", "1", "2", "3"), cores=16, threads=16)
LAPTOP = Machine((), cores=8, threads=8)
SMALL = Machine(("0", "1"), cores=64, threads=64, gpu_gb=(15.8, 3.9))


def seen(machine, **runtime):
    return [token.visible for token in tokens(RuntimeSettings(**runtime), machine)]


def test_every_gpu_gets_one_process():
    assert seen(LAB) == ["0", "1", "2", "3"]


def test_several_processes_on_each_gpu_take_turns_over_the_gpus():
    assert seen(LAB, gpus=[1, 3], per_gpu=2) == ["1", "3", "1", "3"]


def test_on_cpus_as_many_processes_as_threads_leave_cores_for():
    assert len(tokens(RuntimeSettings(threads=2), LAPTOP)) == 4
    assert len(tokens(RuntimeSettings(threads=3), LAPTOP)) == 2
    assert len(tokens(RuntimeSettings(), LAPTOP)) == 1, "a result that uses all cores leaves none"
    assert len(tokens(RuntimeSettings(threads=1, processes=3), LAPTOP)) == 3


def test_gpus_are_not_touched_where_the_device_is_a_cpu():
    assert seen(LAB, device="cpu", threads=8) == [None, None]


@pytest.mark.parametrize(
    ("machine", "runtime", "says"),
    [
        (LAB, {"gpus": [0, 4, 5]}, "runtime.gpus=[0,4,5]: GPU 4, 5 is not there; torch sees GPUs 0 to 3"),
        (LAPTOP, {"gpus": [0]}, "GPU 0 is not there; torch sees none"),
        (LAPTOP, {"device": "cuda"}, "torch sees no GPU"),
        (LAPTOP, {"per_gpu": 2}, "runtime.per_gpu=2: torch sees no GPU"),
        (LAB, {"processes": 2}, "runtime.processes=2 is for CPUs"),
        (LAPTOP, {"processes": 4, "threads": 4}, "4 processes with 4 threads each need 16 cores"),
        (LAPTOP, {"processes": 2}, "2 processes with 8 threads each need 16 cores, and there are 8"),
        (SMALL, {"per_gpu": 4}, "runtime.per_gpu=4: each process needs about 1 GB"),
        (SMALL, {"per_gpu": 4}, "GPU 1 has 3.9 GB"),
        (SMALL, {"per_gpu": 16, "gpus": [0]}, "set runtime.per_gpu=15 or less"),
        (LAB, {"per_gpu": 2, "threads": 4}, "8 processes with 4 threads each need 32 cores"),
    ],
)
def test_what_is_not_there_is_refused_in_one_sentence(machine, runtime, says):
    with pytest.raises(ConfigError) as refused:
        tokens(RuntimeSettings(**runtime), machine)
    assert says in str(refused.value) and refused.value.remedy


def test_processes_that_the_memory_of_their_gpus_can_hold_are_allowed():
    assert seen(SMALL, per_gpu=3) == ["0", "1"] * 3
    assert seen(SMALL, per_gpu=15, gpus=[0]) == ["0"] * 15


def test_too_few_cores_name_the_settings_that_fit():
    with pytest.raises(ConfigError) as refused:
        tokens(RuntimeSettings(processes=4, threads=4), LAPTOP)
    assert "runtime.processes=2 or runtime.threads=2" in refused.value.remedy
    with pytest.raises(ConfigError) as refused:
        tokens(RuntimeSettings(per_gpu=2, threads=4), LAB)
    assert "runtime.threads=2" in refused.value.remedy
    assert "runtime.processes" not in refused.value.remedy, "that setting is for CPUs"


@pytest.mark.parametrize(
    ("visible", "names"),
    [(None, ("0", "1")), ("", ("0", "1")), ("2,3", ("2", "3")), ("GPU-a, GPU-b,GPU-c", ("GPU-a", "GPU-b"))],
)
def test_gpus_that_the_user_hides_stay_hidden(visible, names):
    assert gpu_names(2, visible) == names


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["runtime.device=cpu", "runtime.per_gpu=2"], "runtime.per_gpu is for a GPU"),
        (["runtime.executor=here", "runtime.gpus=[1]"], "runtime.gpus is for several processes"),
        (["runtime.executor=here", "runtime.processes=2"], "runtime.processes is for several processes"),
        (["runtime.device=cpu", "runtime.gpus=[0]"], "runtime.gpus names GPUs"),
        (["runtime.device=cuda", "runtime.processes=2"], "runtime.processes is for CPUs"),
        (["runtime.gpus=[1,1]"], "runtime.gpus names a GPU twice"),
        (["runtime.address=auto"], "runtime.address is of a Ray cluster"),
        (["runtime.gpus=[]"], "runtime.gpus"),
        (["runtime.gpus=0"], "runtime.gpus"),
        (["runtime.processes=0"], "runtime.processes"),
        (["runtime.executor=slurm"], "runtime.executor"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_when_they_are_read(words, says):
    with pytest.raises(ConfigError) as refused:
        load(["competition=digits", *words])
    assert says in str(refused.value)


def jobs(n, machine, **runtime):
    return [token.visible for token in tokens_of_jobs(n, RuntimeSettings(**runtime), machine)]


def test_trials_take_turns_over_the_gpus():
    assert jobs(3, Machine(("4", "5"), cores=4, threads=4)) == ["4", "5", "4"]
    assert jobs(2, LAB) == ["0", "1", "2", "3"], "the folds of two trials use all GPUs"
    assert jobs(2, LAB, gpus=[1, 3]) == ["1", "3"]


def test_on_cpus_each_trial_has_its_process():
    assert jobs(2, LAPTOP, threads=2) == [None] * 2
    assert jobs(2, LAPTOP, threads=2, executor="local") == [None] * 4
    assert jobs(2, LAB, device="cpu", threads=2) == [None] * 2


def test_trials_that_need_more_cores_than_there_are_are_refused():
    with pytest.raises(ConfigError) as refused:
        jobs(2, LAPTOP)
    assert "2 processes with 8 threads each need 16 cores" in str(refused.value)
    assert "JOBS=1 or runtime.threads=4" in refused.value.remedy
    with pytest.raises(ConfigError, match="GPU 0 is not there"):
        jobs(2, LAPTOP, threads=1, gpus=[0])
