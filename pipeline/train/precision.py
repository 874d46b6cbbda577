"""`train.precision=auto`: measured once per machine, then looked up.

Owns when to measure, for which settings a measurement holds, and the line that reports the choice. Does not
own the timing (`train/step_timing.py`), the file (`record/machine.py`), or the mode of a resumed fold, which
is in its checkpoint (`train/state.py`).
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.language import _
from pipeline.core.samples import LabelSpace
from pipeline.engine.hardware import processor
from pipeline.record.files import write_atomic
from pipeline.record.machine import Facts, Profile
from pipeline.settings.schema import Config

if TYPE_CHECKING:
    from pipeline.nets.forward import Mode, Pass
    from pipeline.record.store import Artifact
    from pipeline.train.step_timing import Seconds

# Measuring takes about 20 steps; shorter runs are trained in fp32 unless they were measured already.
STEPS_WORTH_MEASURING = 200
# Compiling takes about a minute; only for folds that take this long is it tried.
SECONDS_WORTH_COMPILING = 600

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PrecisionChoice:
    """The mode that `auto` stands for, its reason for the terminal, and its seconds per step if measured."""

    mode: Mode
    line: str
    seconds_per_step: float | None = None


def facts(config: Config, device: str) -> Facts:
    """The facts on which a measurement depends."""
    import torch

    height, width = config.images.hw
    # What was measured before steps were recorded as graphs says nothing of them.
    steps = {"steps": "graph"} if device == "cuda" else {}
    return steps | {
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "deterministic": int(config.runtime.deterministic),
        "torch": torch.__version__,
        "model": config.model.name,
        "strategy": config.train.strategy,
        "freeze_until": str(config.train.freeze_until),
        "size": f"{height}x{width}",
        "batch": config.train.batch_size,
    }


def measure(config: Config, space: LabelSpace, device: str, steps: tuple[int, int], home: Path) -> None:
    """Measure and fill the profile, where the run is long enough to make that worthwhile.

    `steps` are those of the run with all folds, and of one fold.

    Raises:
        ModelError, ConfigError: settings that do not fit the model.
    """
    from pipeline.train import step_timing

    profile, of = Profile(home), facts(config, device)
    timings = profile.find(of) or {}
    if config.train.precision != "auto" or steps[0] < STEPS_WORTH_MEASURING:
        return
    if "plain" not in timings:
        log.info(_("train.precision=auto: timing a few steps in each precision, once on this machine"))
        seconds = step_timing.race(config, space, device, step_timing.modes(device))[0]
        timings = {"plain": _written(seconds)}
        profile.keep(of, timings)
    plain = step_timing.choose(_read(timings["plain"]))
    long = float(np.median(_read(timings["plain"])[plain])) * steps[1] > SECONDS_WORTH_COMPILING
    if "compiled" not in timings and long and step_timing.can_compile(device):
        timings["compiled"] = _compiled(config, space, device, plain)
        profile.keep(of, timings)


def _compiled(config: Config, space: LabelSpace, device: str, plain: Mode) -> dict[str, Any]:
    """The chosen mode against itself compiled; a network that does not compile is noted as such."""
    from pipeline.train import step_timing

    log.info(_("train.precision=auto: timing torch.compile, once on this machine"))
    try:
        seconds, first = step_timing.race(config, space, device, [plain, replace(plain, compiled=True)])
    except Exception as error:  # a compiler can fail in any way, and training works without it
        log.info(
            _("torch.compile: {why}").format(
                why=str(error).splitlines()[0] if str(error) else type(error).__name__
            )
        )
        return {"failed": type(error).__name__}
    return {"seconds_to_compile": round(first, 3), **_written(seconds)}


def _written(seconds: Seconds) -> dict[str, list[float]]:
    return {str(mode): [float(f"{t:.5g}") for t in times] for mode, times in seconds.items()}


def _read(written: dict[str, list[float]]) -> Seconds:
    from pipeline.nets.forward import Mode

    return {Mode.parse(name): tuple(times) for name, times in written.items()}


def choose(config: Config, device: str, steps: int, home: Path) -> PrecisionChoice:
    """How a fold of so many steps trains, from earlier measurements; fp32 where there are none."""
    from pipeline.nets.forward import Mode
    from pipeline.train.step_timing import PLAIN, choose, compile_pays, ratio

    if config.train.precision != "auto":
        return PrecisionChoice(Mode(config.train.precision), "")
    timings = Profile(home).find(facts(config, device)) or {}
    if "plain" not in timings:
        return PrecisionChoice(PLAIN, _("precision auto: fp32 (a short run: not measured)"))
    seconds = _read(timings["plain"])
    mode = choose(seconds)
    per_step = float(np.median(seconds[mode]))
    gain = 1 / ratio(seconds, mode, PLAIN)
    compiled = dict(timings.get("compiled", {}))
    compiling = compiled.pop("seconds_to_compile", None)
    if compiling is not None:
        both = _read(compiled)
        faster = next(m for m in both if m.compiled)
        plain, fast = (float(np.median(both[m])) for m in (mode, faster))
        if compile_pays(plain, fast, compiling, steps):
            mode, per_step, gain = faster, fast, gain / ratio(both, faster, mode)
    return PrecisionChoice(
        mode, _("precision auto: {reason}").format(reason=_reason(mode, gain, seconds)), per_step
    )


def kept(config: Config, device: str, steps: int, home: Path, work: Path) -> Mode:
    """How every member of a fold trains: chosen for the first one, and kept beside its checkpoints.

    Otherwise a resumed fold of several members (bag, chain) could choose another mode for the remaining
    members, since the machine profile may have changed.

    `steps` are those of the first member; `work` is the folder of the fold's unfinished work.
    """
    from pipeline.nets.forward import Mode

    path = work / "mode.txt"
    if path.is_file():
        return Mode.parse(path.read_text(encoding="utf-8"))
    mode = choose(config, device, steps, home).mode
    write_atomic(path, str(mode).encode())
    return mode


def _reason(mode: Mode, gain: float, seconds: Seconds) -> str:
    from pipeline.train.step_timing import PLAIN, ratio

    if mode == PLAIN:
        others = [other for other in seconds if other.precision != PLAIN.precision]
        best = min(others, key=lambda other: ratio(seconds, other, PLAIN), default=None)
        if best is None:
            return _("fp32 (measured)")
        told = _("fp32, {other} is {times:.1f}× as fast (measured)")
        return told.format(other=best.precision, times=1 / ratio(seconds, best, PLAIN))
    extra = f" {mode.layout}" if mode.layout != PLAIN.layout else ""
    extra += ", compiled" if mode.compiled else ""
    return _("{mode}, {gain:.1f}× fp32 (measured)").format(mode=f"{mode.precision}{extra}", gain=gain)


def passing(config: Config, trained: Artifact, device: str) -> Pass:
    """How a trained network predicts: in the precision of the settings, or with `auto` as it was trained.

    The manifest of `trained` holds the mode of its training.
    """
    mode = str(trained.manifest["tags"].get("mode", ""))
    how = predicting(config.infer.precision, mode, device, config.runtime.infer_batch)
    return replace(how, images_share=config.runtime.images_share)


def predicting(asked: str, trained: str, device: str, batch: int) -> Pass:
    """How a trained network predicts, in batches of one size; else as `predicting_mode`."""
    from pipeline.nets.forward import Pass

    mode = predicting_mode(asked, trained, device)
    return Pass(device, batch, mode.precision, mode.layout, padded=True)


def predicting_mode(asked: str, trained: str, device: str) -> Mode:
    """The mode of a trained network's predictions.

    `asked` is `infer.precision`, `trained` the mode of its training as text, and `device` "cpu" or "cuda".
    """
    from pipeline.nets.forward import Mode

    if asked == "device":
        asked = "auto" if device == "cuda" else "fp32"
    if asked != "auto":
        return Mode(asked)
    mode = Mode.parse(trained)
    # Trained on a GPU, predicts without one.
    return Mode() if mode.precision == "fp16" and device == "cpu" else mode
