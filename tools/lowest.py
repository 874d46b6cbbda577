"""The default tests on the oldest libraries that pyproject.toml allows, in an environment of their own.

    make test-lowest TESTS=tests/core

Owns installing the oldest versions in front of our environment. torch and its dependencies (several GB) stay
those of the lock: their range is narrow. Needs the package index, about 0.6 GB in $TMPDIR and a minute, once.
"""

import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.MULTILINE)
# Several GB, with a narrow range.
KEPT = re.compile(r"torch|torchvision|triton|nvidia-.*|cuda-.*")
TIER = "not slow and not browser and not gpu"


def oldest() -> dict[str, str]:
    """Name -> version of every package when each dependency is as old as its range allows."""
    words = ("--quiet", "--resolution", "lowest-direct", "--no-annotate", "--no-header")
    command = [sys.executable, "-m", "uv", "pip", "compile", *words, "--python", sys.executable]
    said = subprocess.run([*command, "pyproject.toml"], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    if said.returncode:
        sys.exit("tools/lowest.py: the lower ends of pyproject.toml do not resolve, see above")
    return dict(PIN.findall(said.stdout))


def main(words: list[str]) -> int:
    """Install what differs from the lock in front of this environment, and run the tests."""
    locked = set(PIN.findall((CHECKOUT / "requirements.lock").read_text(encoding="utf-8")))
    wanted = [f"{n}=={v}" for n, v in oldest().items() if (n, v) not in locked and not KEPT.fullmatch(n)]
    with tempfile.TemporaryDirectory(prefix="podium-lowest-") as folder:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        python = Path(folder) / "bin" / "python"
        (own,) = Path(folder).glob("lib/python*/site-packages")
        (own / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*install, "--python", str(python), *wanted], check=True)
        print("lowest:", *wanted, flush=True)
        test = [str(python), "-m", "pytest", "-p", "no:cacheprovider", "-m", TIER, *words]
        return subprocess.run(test, cwd=CHECKOUT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
