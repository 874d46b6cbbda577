"""`make validate FILE=…`: whether the host would take this CSV.

    make validate FILE=submissions/pets-ensemble-3fa29b.csv
    make validate FILE=theirs.csv OUT=mended.csv      the same answers in the sample's form

Owns the command: finding the file, what is told, writing the mended one. Does not own the checks
(`submit/validate.py`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.data import host, load
from pipeline.engine.context import Context
from pipeline.engine.registry import Need
from pipeline.record.digests import write_atomic
from pipeline.submit import submission, validate


def command(ctx: Context, options: argparse.Namespace) -> None:
    """Check a CSV; with `--out`, write it mended.

    Raises:
        DataError: the host would refuse it, or it cannot be mended.
    """
    path = file_of(ctx, options.file, "validate")
    ctx.check(Need("data", ctx.settings), also=submission.READS)
    data = ctx.need("data")
    space = load.samples(data, "test", ctx.home).space
    sample, asked = host.sample(ctx.settings, data, ctx.home), ctx.settings.config.competition.submission
    found = validate.check(path, sample, space, asked)
    for remark in found.remarks:
        ctx.say(f"{path.name} {remark}")
    out = Path(options.out) if options.out else None
    if out is None or found.mended is None:
        found = validate.refuse(path, sample, space, asked)
        ctx.say(f"{path.name}: valid: {described(found.predicted, space.classes)}")
    if out is not None and found.mended is not None:
        _write(out, found.mended)
        for fault in found.faults:
            ctx.say(f"mended: {fault}")
        ctx.say(f"{out}: valid: {described(found.predicted, space.classes)}")


def file_of(ctx: Context, text: str, target: str) -> Path:
    """The CSV that FILE means: a path, or the name of a submission.

    Raises:
        DataError: there is none.
    """
    if not text:
        raise DataError("FILE is missing", remedy=f"make {target} FILE=submissions/NAME.csv")
    kept = ctx.home / "submissions" / f"{Path(text).name.removesuffix('.csv')}.csv"
    for path in (Path(text), kept):
        if path.is_file():
            return path
    raise DataError(
        f"{text}: no such file, and no submission of that name", remedy="give a CSV; `make score` lists names"
    )


def described(predicted: Sequence[int], classes: Sequence[str]) -> str:
    """How many images, and which classes nobody got."""
    none = [name for name, count in zip(classes, predicted, strict=True) if not count]
    told = f"{sum(predicted)} images, {len(classes) - len(none)} of {len(classes)} classes predicted"
    shown = ", ".join(none[:5]) + (" …" if len(none) > 5 else "")
    return f"{told}; none is {shown}" if none else told


def _write(out: Path, data: bytes) -> None:
    if out.exists() and out.read_bytes() != data:
        raise DataError(f"{out}: is there already and holds something else", remedy="give another OUT=…")
    write_atomic(out, data)
