"""The time of a training step when other programs use the cores: waiting threads that spin or sleep.

    python benchmarks/busy_machine.py [LOAD]      LOAD busy processes beside it (default: as many as cores)

Each setting runs in a process of its own, in turn, three rounds; the median step is printed.
"""

import multiprocessing
import os
import statistics
import subprocess
import sys

STEP = """
import statistics, sys, time, timm, torch
torch.set_num_threads(int(sys.argv[1]))
m = timm.create_model("tf_efficientnet_lite0", num_classes=18).to(memory_format=torch.channels_last).train()
x = torch.randn(32, 3, 64, 64).to(memory_format=torch.channels_last)
y = torch.randint(0, 18, (32,))
o = torch.optim.AdamW(m.parameters(), 1e-3)
seconds = []
for _ in range(10):
    t = time.perf_counter()
    torch.nn.functional.cross_entropy(m(x), y).backward()
    o.step()
    o.zero_grad()
    seconds.append(time.perf_counter() - t)
print(1000 * statistics.median(seconds[2:]) / 32)
"""


def spin() -> None:
    while True:
        pass


def step_ms(threads: int, policy: str | None) -> float:
    """Milliseconds an image of one training step."""
    environ = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if policy:
        environ["OMP_WAIT_POLICY"] = policy
    command = [sys.executable, "-c", STEP, str(threads)]
    return float(subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    cores = os.cpu_count() or 1
    load = int(sys.argv[1]) if len(sys.argv) > 1 else cores
    busy = [multiprocessing.Process(target=spin, daemon=True) for _ in range(load)]
    for process in busy:
        process.start()
    settings = [(cores, None), (cores, "PASSIVE"), (1, None)]
    rounds = [[step_ms(*setting) for setting in settings] for _ in range(3)]
    for number, (threads, policy) in enumerate(settings):
        times = [r[number] for r in rounds]
        ratio = statistics.median(r[number] / r[1] for r in rounds)
        print(
            f"{threads} threads, {policy or 'default':<8} {statistics.median(times):6.1f} ms an image, "
            f"{ratio:.2f} times the second line"
        )
    for process in busy:
        process.terminate()


if __name__ == "__main__":
    main()
