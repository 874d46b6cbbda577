"""What waiting threads cost, alone and in company: spinning or sleeping, and the whole of `make all`.

    python -m benchmarks.busy_machine            a training step in every way of waiting, about 6 minutes
    python -m benchmarks.busy_machine --tiny     the same with two steps each, to see that it runs
    python -m benchmarks.busy_machine --all "competition=emoji train.folds=[0]"
                                                 `make all` in a new home, alone and beside busy processes

Alone and in company take turns, and every way of waiting runs in a process of its own: OpenMP reads it once,
when torch is loaded. Printed are milliseconds an image and the ratio to the best way of the same half;
`chosen` is what `pipeline/cli.py` sets. Another maker's OpenMP is timed with `--preload PATH/libiomp5.so`.
"""

import argparse
import contextlib
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.engine.environment import WAITING

CHECKOUT = Path(__file__).resolve().parent.parent
# Variables by which OpenMP libraries are told how to wait.
NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
GNU = {
    "as torch starts": {},
    **{f"spin {n}": {"GOMP_SPINCOUNT": str(n)} for n in (300, 3000, 10000, 30000)},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "chosen": WAITING,
}
OTHER = {"as it starts": {}, **{f"block {t}": {"KMP_BLOCKTIME": t} for t in ("10us", "1")}, "chosen": WAITING}
STEP = """
import sys, time, timm, torch
torch.set_num_threads(int(sys.argv[1]))
m = timm.create_model("tf_efficientnet_lite0", num_classes=18).to(memory_format=torch.channels_last).train()
x = torch.randn(32, 3, 64, 64).to(memory_format=torch.channels_last)
y = torch.randint(0, 18, (32,))
o = torch.optim.AdamW(m.parameters(), 1e-3)
n, end = -1, time.perf_counter() + 60
while n < int(sys.argv[3]) and (time.perf_counter() < end or n < 1):
    if n == 0:
        begin, end = time.perf_counter(), time.perf_counter() + float(sys.argv[2])
    torch.nn.functional.cross_entropy(m(x), y).backward()
    o.step()
    o.zero_grad()
    n += 1
print(1000 * (time.perf_counter() - begin) / n / 32)
"""


def spin() -> None:
    while True:
        pass


@contextlib.contextmanager
def company(load: int) -> Iterator[None]:
    """As many busy processes beside what runs in this context."""
    busy = [multiprocessing.Process(target=spin, daemon=True) for _ in range(load)]
    for process in busy:
        process.start()
    try:
        yield
    finally:
        for process in busy:
            process.terminate()


def environment(extra: dict[str, str]) -> dict[str, str]:
    """The environment without any word on waiting but these."""
    return {k: v for k, v in os.environ.items() if k not in NAMES} | extra


def step_ms(extra: dict[str, str], seconds: float, steps: int) -> float:
    """Milliseconds an image of a training step, at least one, for so many seconds or steps."""
    command = [sys.executable, "-c", STEP, str(os.cpu_count()), str(seconds), str(steps)]
    done = subprocess.run(command, env=environment(extra), capture_output=True, text=True, check=True)
    return float(done.stdout)


def steps(options: argparse.Namespace, load: int) -> None:
    """Both halves of every way of waiting, in turns."""
    preload = {"LD_PRELOAD": options.preload} if options.preload else {}
    ways = OTHER if options.preload else GNU
    times: dict[tuple[str, int], list[float]] = {}
    for _ in range(1 if options.tiny else options.rounds):
        for beside in (0, load):
            with company(beside):
                for name, extra in ways.items():
                    ms = step_ms({**preload, **extra}, *((0.1, 2) if options.tiny else (4, 10**6)))
                    times.setdefault((name, beside), []).append(ms)
    medians = {way: statistics.median(values) for way, values in times.items()}
    best = {beside: min(ms for (_, b), ms in medians.items() if b == beside) for beside in (0, load)}
    print(f"{'ms an image (times the best)':<18} {'alone':>14} {f'beside {load}':>24}")
    for name in ways:
        cells = [f"{medians[name, b]:6.1f} ({medians[name, b] / best[b]:.2f})" for b in (0, load)]
        print(f"{name:<28} {cells[0]:>14} {cells[1]:>24}")


def everything(given: str, load: int) -> None:
    """`make all` alone and in company, each in a new home."""
    seconds = []
    for beside in (0, load):
        with company(beside), tempfile.TemporaryDirectory() as home:
            begin = time.perf_counter()
            command = [sys.executable, "-m", "pipeline", "all", *given.split(), f"runtime.home={home}"]
            subprocess.run(command, cwd=CHECKOUT, env=environment({}), check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - begin)
    alone, busy = seconds
    print(f"make all: {alone:.0f} s alone, {busy:.0f} s beside {load}: {busy / alone:.2f} times")


def main() -> None:
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--load", type=int, default=cores, help="busy processes (default: as many as cores)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--preload", help="another OpenMP library")
    parser.add_argument("--all", help="settings of a `make all`")
    options = parser.parse_args()
    if options.all is not None:
        everything(options.all, options.load)
    else:
        steps(options, options.load)


if __name__ == "__main__":
    main()
