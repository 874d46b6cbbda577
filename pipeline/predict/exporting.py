"""The order of `make export`: pack, write the format, compare, write the card, register.

Owns this order and the lines. Does not own the formats (`predict/export.py`, `predict/served.py`).
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import tempfile
import uuid
from pathlib import Path

import numpy as np

from pipeline.core.wording import worded
from pipeline.data.decode import Pixels
from pipeline.engine import next_step
from pipeline.engine.session import Session
from pipeline.pages.command_words import shown
from pipeline.predict import bundle, export, finding, quantising, served, texts
from pipeline.predict.card import card
from pipeline.predict.predictor import Predictor
from pipeline.record import paths, registry

Options = argparse.Namespace
EXPORTS, CARD = "exports", "MODEL_CARD.md"
ERROR_REPORT = "error_analysis"


def run(session: Session, options: Options) -> None:
    """See `commands.export`."""
    form = (options.format or "onnx").lower()
    export.refuse(form, options.int8)
    where = finding.folder_of(session, options.file, texts.EXPORT_REMEDY_FILE)
    # Graphs are traced and compared on the CPU, which every machine has.
    predictor = Predictor.load(where, "cpu", session.settings.config.runtime.threads)
    name = predictor.manifest.name
    kind = f"{form}-int8" if options.int8 else form
    out = Path(options.out) if options.out else paths.below(session.home / EXPORTS, f"{name}-{kind}")
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}"
    draft.mkdir()
    lines: list[str] = []
    try:
        if form == "mlflow":
            lines += _mlflow(session, predictor, draft)
        else:
            parity = export.export(predictor, form, draft, pixels_of(predictor))
            line = worded(texts.PARITY, images=parity.images, same=parity.same, most=parity.most)
            lines.append(line)
            if options.int8:
                lines += quantising.run(session, options, predictor, draft)
        text = card(predictor.manifest, weaknesses(session, name), lines)
        (draft / CARD).write_text(text, encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        draft.replace(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    session.say(texts.EXPORTED.format(folder=shown(out), megabytes=bundle.size_of(out) / 1e6))
    for line in lines:
        session.say(line)
    if form != "mlflow":
        next_step.say(session, "bundle FILE=" + shlex.quote(options.file), words=())
    else:
        session.say(texts.SERVE.format(bin=Path(sys.executable).parent, folder=shown(out / "mlflow")))


def _mlflow(session: Session, predictor: Predictor, draft: Path) -> list[str]:
    """Save the model below `draft`, and register it where the record is on."""
    runtime = session.settings.config.runtime
    with tempfile.TemporaryDirectory() as temporary:
        model = served.served(predictor, Path(temporary))
        registry.save(model, draft / "mlflow")
        if not runtime.mlflow:
            return [texts.NOT_REGISTERED]
        manifest = predictor.manifest
        tags = served.tags(predictor)
        where = (session.home, runtime.mlflow_uri, manifest.competition)
        version = registry.register(model, *where, manifest.name, tags)
    return [texts.REGISTERED.format(name=predictor.manifest.name, version=version)]


def pixels_of(predictor: Predictor) -> list[Pixels]:
    """For each look, images that both predict: noise, and smooth ones, from black to white."""
    draw = np.random.default_rng(0)
    made = []
    for eye in predictor.eyes:
        height, width = eye.look.size
        x = draw.integers(0, 256, (export.COMPARED, height, width, eye.channels))
        ramp = np.linspace(0, 255, width)[None, :, None]
        for n in range(0, export.COMPARED, 2):
            x[n] = np.clip(ramp * (n + 1) / export.COMPARED + draw.integers(0, 30, x[n].shape), 0, 255)
        made.append(x.astype(np.uint8))
    return made


def weaknesses(session: Session, name: str) -> list[str]:
    """The lines of the newest error report about a submission; empty if there is none."""
    about = [
        report
        for report in session.store.all(ERROR_REPORT)
        if Path(str(report.manifest["config"].get("a", ""))).stem == name
    ]
    if not about:
        return []
    newest = max(about, key=lambda report: str(report.manifest["created"]))
    return [str(line).strip() for line in newest.manifest.get("lines", [])]
