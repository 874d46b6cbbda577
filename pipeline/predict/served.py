"""A submission as an MLflow model: what it takes, what it answers, and what its environment needs.

Owns the script of the model, its pinned requirements and its tags. Does not own saving and registering
(`record/registry.py`). Input: a column `image` with the bytes of image files (base64 in JSON). Output:
`label`, where there is one answer, and a column for each class, label or value. Columns of metadata that
members read are further columns of the input, where a value may be missing.
"""

from __future__ import annotations

import io
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.core.targets import EXCLUSIVE, LABELS, SHARES
from pipeline.predict import bundle
from pipeline.predict.predictor import Predictor
from pipeline.record.registry import Served

# What the predictor imports where it predicts.
NEEDED = (
    *("torch", "torchvision", "timm", "numpy", "scipy", "opencv-python-headless", "pillow", "pydantic"),
    *("safetensors", "pyyaml", "tqdm", "tifffile", "mlflow", "pandas"),
)
SCRIPT = '''"""The model: everything that a submission is made of predicts the bytes of image files."""

import base64

import mlflow.pyfunc
import pandas as pd


class Ensemble(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        from pipeline.predict.predictor import Predictor

        # One image at a time is what a service gets.
        self.predictor = Predictor.load(context.artifacts["predictor"], batch=1)

    def predict(self, context, model_input: pd.DataFrame, params=None):
        from pipeline.predict.team_files import answered

        images = [v if isinstance(v, bytes) else base64.b64decode(v) for v in model_input["image"]]
        ids = [str(n) for n in range(len(images))]
        wanted = [one.name for one in self.predictor.manifest.metadata]
        empty = [None] * len(images)
        metadata = {name: list(model_input[name]) if name in model_input else empty for name in wanted}
        answers = self.predictor.predict(images, ids=ids, white=True, metadata=metadata)
        broken = {one.id: one.why for one in answers.unreadable}
        if broken:
            faults = [f"image {name} does not decode: {why}" for name, why in broken.items()]
            raise ValueError("; ".join(faults))
        columns = {name: list(p) for name, p in zip(answers.p.classes, answers.p.p_NC.T.astype(float))}
        label = answered(answers.p)
        return pd.DataFrame({**({"label": label} if label is not None else {}), **columns})


mlflow.models.set_model(Ensemble())
'''


def requirements(trees: bool = False) -> list[str]:
    """The versions of this environment, of what is needed and installed; `trees`: of boosted ones, too."""
    found = []
    for name in (*NEEDED, *(bundle.OF_TREES if trees else ())):
        try:
            found.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:
            continue
    return found


def served(predictor: Predictor, draft: Path) -> Served:
    """The model of a predictor; its script is written into `draft`."""
    script = draft / "served_ensemble.py"
    script.write_text(SCRIPT, encoding="utf-8")
    return Served(
        script=script,
        artifacts={"predictor": predictor.home},
        code=[_code(draft)],
        requirements=requirements(predictor.manifest.trees is not None),
        metadata={one.name: one.kind for one in predictor.manifest.metadata},
        columns=predictor.classes,
        has_label=predictor.target.kind in (EXCLUSIVE, SHARES, LABELS) and "label" not in predictor.classes,
        example=example(predictor),
    )


def _code(draft: Path) -> Path:
    """A copy of Podium with its settings files inside, as the wheel has them."""
    import pipeline

    package, code = Path(pipeline.__file__).resolve().parent, draft / "pipeline"
    shutil.copytree(package, code, ignore=shutil.ignore_patterns("__pycache__"))
    if not (code / "configs").is_dir():
        shutil.copytree(package.parent / "configs", code / "configs")
    return code


def example(predictor: Predictor) -> bytes:
    """The bytes of a grey image of the size that the first member sees."""
    height, width = predictor.eyes[0].look.size
    out = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 127, np.uint8)).save(out, format="PNG")
    return out.getvalue()


def tags(predictor: Predictor) -> dict[str, str]:
    """The submission's name, and its score with the interval."""
    manifest = predictor.manifest
    found = {"submission": manifest.name, "competition": manifest.competition}
    return found | {name: str(value) for name, value in manifest.scores.items()}
