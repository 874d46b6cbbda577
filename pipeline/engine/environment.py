"""What a command finds around it: the packages of this Python, and how threads of OpenMP wait.

Owns refusing an environment that cannot run Podium, before anything else is imported. Does not own building
one (`tools/bootstrap.py`).
"""

from __future__ import annotations

import importlib.util
import os
import sys

from pipeline.core.errors import ConfigError
from pipeline.core.language import _

# How threads of OpenMP wait for each other: they spin for some 10 µs and then sleep. Longer spinning is up to
# a tenth faster on an idle machine and several times slower on a busy one; sleeping at once is slower alone
# (benchmarks/busy_machine.py). GNU's library reads the first; Intel's and LLVM's read the second.
WAITING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}


def wait_politely() -> None:
    """Tell OpenMP how to wait, unless the user did; read when torch is loaded; it changes no result."""
    if "OMP_WAIT_POLICY" not in os.environ:
        for name, value in WAITING.items():
            os.environ.setdefault(name, value)


# One package of each part; a wrong environment lacks most of them.
PACKAGES = ("numpy", "pandas", "pydantic", "omegaconf", "yaml", "fsspec", "torch", "mlflow", "optuna", "tqdm")
OLDEST = (3, 11)


def refuse() -> None:
    """Raise a ConfigError where this Python is not one that Podium was installed for."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if sys.version_info[:2] >= OLDEST and not missing:
        return
    faults = [_("{name}: not installed").format(name=name) for name in missing]
    if sys.version_info[:2] < OLDEST:
        faults.append(
            _("Python {version}: {oldest} or newer is needed").format(
                version=sys.version.split()[0], oldest=".".join(map(str, OLDEST))
            )
        )
    given = os.environ.get("PODIUM_ENV")
    remedy = _(
        "run it with `make`, which builds the right environment, or `pip install` Podium into this one"
    )
    if given:
        install = f"{sys.executable} -m pip install ."
        remedy = _("PODIUM_ENV={given} chose it: unset it, or install Podium there ({install})").format(
            given=given, install=install
        )
    raise ConfigError(
        _("{executable}: this environment cannot run Podium").format(executable=sys.executable),
        faults,
        remedy,
    )
