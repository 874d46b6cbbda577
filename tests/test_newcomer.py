"""A newcomer's way: how many files stand between a command and the moment when its work is done.

CONTRIBUTING.md shows the same call stacks. A file counts once; files of engine/ are the machinery.
"""

import sys
from itertools import takewhile
from pathlib import Path

import pytest
import torch
from main_world import READ_BY_EDA, SMALL, run

import pipeline
from pipeline.core.voting import soft_voting
from pipeline.eda.evidence import Finding
from pipeline.errors.diff import flips

pytestmark = pytest.mark.slow

PACKAGE = Path(pipeline.__file__).parent
MOST_OUTSIDE_ENGINE, MOST = 5, 8
BLEND = "ensemble.members=[tiny_resnet,tiny_cnn]"


def documented(command):
    """The files that CONTRIBUTING.md shows for `make COMMAND`, in order."""
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = text.partition("<!-- call stacks -->")[2].partition("<!-- end of call stacks -->")[0]
    lines = block.partition(f"\nmake {command}\n")[2].splitlines()
    return [line.strip().partition(":")[0] for line in takewhile(lambda x: x.startswith("    "), lines)]


def files_on_the_stack(frame):
    """The files of pipeline/ below this frame, the command line first, each once."""
    found = []
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            found.append(path.relative_to(PACKAGE).as_posix())
        frame = frame.f_back
    return list(dict.fromkeys(reversed(found)))


def stack_at(code, passes, run_it):
    """The files on the call stack when the function with this code first runs below the file `passes`."""
    first = []

    def watch(frame, event, _):
        if event == "call" and frame.f_code is code and not first:
            files = files_on_the_stack(frame)
            first.extend(files if passes in files else ())

    sys.setprofile(watch)
    try:
        done = run_it()
    finally:
        sys.setprofile(None)
    assert done.code == 0, done.out + done.err
    assert first, f"no call came through {passes}"
    return first


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("newcomer")


@pytest.mark.parametrize(
    ("command", "words", "code", "passes"),
    [
        ("train", ["experiment=tiny_resnet"], torch.Tensor.backward.__code__, "train/loop.py"),
        ("train", ["experiment=probe"], torch.Tensor.backward.__code__, "train/batched_heads.py"),
        ("ensemble", [BLEND], soft_voting.summed.__code__, "ensemble/stages.py"),
        ("error-analysis", [BLEND], flips.find_flips.__code__, "errors/stages.py"),
        ("eda", [], Finding.__init__.__code__, "eda/stages.py"),
    ],
    ids=["train", "train a linear probe", "ensemble", "error-analysis", "eda"],
)
def test_the_work_is_few_files_away_from_the_command(home, command, words, code, passes):
    small = READ_BY_EDA if command == "eda" else SMALL
    files = stack_at(code, passes, lambda: run(home, command, *words, small=small))
    outside = [name for name in files if not name.startswith("engine/")]
    assert files[0] == "cli.py"
    assert len(outside) <= MOST_OUTSIDE_ENGINE, files
    assert len(files) <= MOST, files
    if passes != "train/batched_heads.py":
        assert outside == documented(command), "CONTRIBUTING.md, A newcomer's way"
