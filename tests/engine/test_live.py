"""The live line of a command: in a terminal it says how far everything is; in a pipe nothing changes."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from pipeline.core import terminal
from pipeline.engine.live import usual_seconds
from pipeline.engine.progress import Item, Progress, Silent

CHECKOUT = Path(__file__).resolve().parents[2]
CODE = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])")
SCRIPT = """
import sys, time
from pathlib import Path
from tqdm import tqdm
from pipeline.core import terminal
from pipeline.engine.progress import Item, Progress
def say(text):
    with terminal.aside():
        print(terminal.painted(terminal.printable(text), text, sys.stdout), flush=True)
terminal.prepare()
progress = Progress(Path(sys.argv[1]), say)
progress.command = "train"
progress.plan(Item("fold/b", "fold", "fold \\x1b[2J홀수 fold 1 " + "long " * 40, usual=90.0))
with progress.building("fold/a", "fold", "fold lite0 fold 0"):
    for step in tqdm(range(3), "steps", leave=False, disable=not sys.stderr.isatty()):
        say(f"line {step}")
        progress.epoch("fold/a", step + 1, 3)
        progress.show()
        time.sleep(0.05)
progress.scored("lite0", 0.75, lambda a, b: a > b)
with progress.building("fold/b", "fold", "fold \\x1b[2J홀수 fold 1 " + "long " * 40):
    say("result")
    time.sleep(1.3)
progress.close()
say("next: make infer")
"""


def in_terminal(command, columns=100, **env):
    """What a command writes to a terminal of this width."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    given = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
    given |= {"TERM": "xterm", "OMP_NUM_THREADS": "1", **env}
    child = subprocess.Popen(
        command, cwd=CHECKOUT, env=given, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    written = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not part:
            break
        written += part
    os.close(leader)
    assert child.wait(timeout=60) == 0, written.decode(errors="replace")
    return written.decode("utf-8")


def screen(written):
    """The lines that are left in the terminal; of codes only colours and moving up are known."""
    lines, row, column, at = [""], 0, 0, 0
    while at < len(written):
        code = CODE.match(written, at)
        if code:
            assert code[2] in "mA", f"an unknown code {code[0]!r}"
            row -= int(code[1] or 1) if code[2] == "A" else 0
            at = code.end()
            continue
        letter = written[at]
        at += 1
        if letter == "\r":
            column = 0
        elif letter == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        else:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + letter + line[column + 1 :]
            column += 1
    return [line.rstrip() for line in lines if line.strip()]


def frames(written):
    """Each state of the live line."""
    return [part for part in re.split(r"[\r\n]|\x1b\[A", written) if part.startswith("train: ")]


def script(folder):
    return [sys.executable, "-c", SCRIPT, str(folder)]


PRINTED = ["line 0", "line 1", "line 2", "result", "next: make infer"]


def test_one_line_says_how_far_the_command_is_and_goes_without_a_trace(tmp_path):
    written = in_terminal(script(tmp_path))
    assert screen(written) == PRINTED, "neither the line nor a bar is left, and no printed line is damaged"
    shown = frames(written)
    assert shown[0].startswith("train: 0 of 2 done")
    assert any("fold lite0 fold 0: epoch 2 of 3" in one and "about 90 s left" not in one for one in shown)
    assert any("1 of 2 done" in one and "best so far 0.7500 (lite0)" in one for one in shown)
    assert "\x1b[1mnext: make infer\x1b[0m" in written, "the next command stands out"


def test_names_from_data_are_printable_and_no_line_is_wider_than_the_terminal(tmp_path):
    written = in_terminal(script(tmp_path), columns=60)
    assert "\x1b[2J" not in written and r"\x1b[2J" in in_terminal(script(tmp_path), columns=300)
    assert all(len(one) + one.count("홀") + one.count("수") < 60 for one in frames(written))
    assert screen(written) == PRINTED


@pytest.mark.parametrize(
    ("env", "coloured", "live"),
    [({"NO_COLOR": "1"}, False, True), ({"TERM": "dumb"}, False, False), ({"NO_COLOR": ""}, True, True)],
)
def test_no_color_and_a_plain_terminal_are_respected(tmp_path, env, coloured, live):
    written = in_terminal(script(tmp_path), **env)
    assert ("\x1b[1m" in written) == coloured and bool(frames(written)) == live
    assert screen(written)[-1] == "next: make infer"


def test_in_a_pipe_there_are_plain_lines_only(tmp_path):
    done = subprocess.run(script(tmp_path), cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == PRINTED and done.stderr == ""


def test_a_label_is_painted_only_where_there_are_colours(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    error = "error: no: file"
    assert terminal.painted(error, error, Terminal()) == "\x1b[1;31merror:\x1b[0m no: file"
    assert terminal.painted("오류: no: file", error, Terminal()) == "\x1b[1;31m오류:\x1b[0m no: file"
    assert terminal.painted(error, error, io.StringIO()) == error
    for text in ("train  lite0  1.0 s", "next", "nothing: here", ""):
        assert terminal.painted(text, text, Terminal()) == text


def planned(*items):
    progress = Silent()
    progress.command = "all"
    for item in items:
        progress.plan(item)
    return progress


def test_the_time_left_counts_what_is_planned_and_not_what_holds_others():
    one, two = (Item(f"fold/{n}", "fold", f"fold {n}", usual=60.0) for n in "ab")
    whole = Item("train/t", "train", "train lite0", usual=125.0, holds=True)
    progress = planned(one, two, whole)
    assert progress.eta() == pytest.approx(120.0) and "about 2 min left" in progress.live_line()
    progress.plan(Item("views/v", "views", "views lite0"))
    assert "more than 2 min left" in progress.live_line(), "of views nothing is known"
    assert "0 of 4 done" in progress.live_line() and progress.count() == 0, "the file counts what has begun"
    with progress.building("fold/a", "fold", "fold a"):
        pass
    assert progress.eta() < 1.0, "what folds take now says more than what they took before"


def test_the_best_score_is_that_of_its_metric_and_folds_are_told_until_then():
    progress = planned()
    progress.scored_part(0.5)
    progress.scored_part(0.7)
    assert "0.6000 over 2 folds so far" in progress.live_line()
    for title, loss in (("a", 0.4), ("b", 0.3), ("c", 0.9)):
        progress.scored(title, loss, lambda new, old: new < old)
    assert "best so far 0.3000 (b)" in progress.live_line() and "folds" not in progress.live_line()


def test_a_search_and_a_command_with_a_time_say_it_themselves():
    progress = planned(Item("fold/a", "fold", "fold a", usual=600.0))
    progress.until = time.monotonic() + 42.4
    assert "the time is up in 42 s" in progress.live_line()
    progress.headline = "3 of 9 trials done, best 0.5000 (trial 1)"
    assert progress.live_line() == "all: 3 of 9 trials done, best 0.5000 (trial 1)"


def test_of_needs_inside_each_other_the_innermost_is_named_and_of_processes_all():
    progress = planned()
    progress.expect("train/t", "train", "train lite0")
    progress.started("train/t", "this process", 1)
    assert progress.live_line().endswith(" · train lite0")
    for n in "ab":
        progress.expect(f"fold/{n}", "fold", f"fold {n}")
        progress.started(f"fold/{n}", f"gpu {n}", 2)
    progress.epoch("fold/a", 1, 5)
    assert progress.live_line().endswith(" · fold a: epoch 1 of 5 · fold b")


def test_the_usual_time_is_the_median_of_the_same_experiment(tmp_path):
    for n, (experiment, seconds) in enumerate((("a", 1.0), ("a", 3.0), ("a", 2.0), ("b", 99.0))):
        folder = tmp_path / f"k{n}"
        folder.mkdir()
        (folder / "manifest.json").write_text(f'{{"experiment": "{experiment}", "seconds": {seconds}}}')
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "manifest.json").write_text("{")
    assert usual_seconds(tmp_path, "a") == 2.0
    assert usual_seconds(tmp_path, "c") is None and usual_seconds(tmp_path / "none", "a") is None


def test_without_a_terminal_nothing_is_foreseen(tmp_path):
    progress = Progress(tmp_path, print)
    with progress.building("fold/a", "fold", "fold a"):
        assert progress._live._bar is None


@pytest.mark.slow
def test_a_whole_command_leaves_its_plain_lines_in_the_terminal(tmp_path):
    words = "competition=digits competition.demo.limit=300 images.size=16 folds.n=2 train.epochs=1"
    words += f" statistics.draws=100 runtime.threads=1 experiment=tiny_cnn runtime.home={tmp_path}"
    written = in_terminal([sys.executable, "-m", "pipeline", "train", *words.split()], columns=300)
    left = screen(written)
    assert not any("it/s" in line or " done · " in line for line in left), "bars are gone"
    results = [line.split()[:3] for line in left if re.fullmatch(r"fold .* \d+\.\d s  [0-9a-f]{8}", line)]
    assert results == [["fold", "tiny_cnn", "fold"]] * 2
    assert left[-1].startswith("next: make infer NAME=tiny_cnn-")
    shown = frames(written)
    assert re.match(r"train: \d of 9 done · ", shown[-1]), (
        "the data, the folds and the training were foreseen"
    )
    assert any("over 1 fold so far" in one for one in shown)
