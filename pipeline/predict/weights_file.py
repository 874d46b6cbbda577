"""`make weights`: pretrained weights as one file, for a machine without a network.

    lite0.safetensors      the whole network, classifier included; `model.weights=file:…` takes it
    lite0.json             model, source, licence, sha256, normalisation, version of the library

Owns both files. Does not own fetching (`nets/backbones.py`) nor loading (`nets/weights.py`).
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.core.errors import ModelError
from pipeline.nets import backbones
from pipeline.nets.weights import PACKAGES, load_weights
from pipeline.predict import texts
from pipeline.predict.packing import save
from pipeline.record import files
from pipeline.settings.model import ModelSettings

HUB, PACKAGE = "hub", "package:"


def write(name: str, source: str, out: Path) -> tuple[Path, dict[str, Any]]:
    """Write the weights of a network and their description; returns the file and the description.

    Args:
        name: of the network, as `model.name`.
        source: hub, or package:NAME.
        out: the folder, which is made if it is missing.

    Raises:
        ModelError: an unknown model or source, no hub, or a network without pretrained weights.
    """
    if source != HUB and not source.startswith(PACKAGE):
        raise ModelError(texts.WEIGHTS_SOURCE.format(source=source), remedy=texts.WEIGHTS_SOURCE_REMEDY)
    bare = backbones.create(ModelSettings(name=name, weights="none"), 1000, None)
    config: dict[str, Any] = dict(getattr(bare, "pretrained_cfg", {}))
    classes = int(config.get("num_classes") or 1000)
    if source == HUB:
        network = backbones.create(ModelSettings(name=name, weights=HUB), classes, None)
        licence = str(config.get("license") or texts.LICENCE_UNKNOWN)
    else:
        network = backbones.create(ModelSettings(name=name, weights="none"), classes, None)
        load_weights(network, name, source)
        licence = PACKAGES[source.removeprefix(PACKAGE)].licence
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}.safetensors"
    save(network.state_dict(), path)
    about = {
        "model": name,
        "source": source,
        "licence": licence,
        "sha256": files.sha256_file(path),
        "bytes": path.stat().st_size,
        "classes": classes,
        "mean": list(config.get("mean") or ()),
        "std": list(config.get("std") or ()),
        "input_size": list(config.get("input_size") or ()),
        "from": config.get("url") or config.get("hf_hub_id"),
        "library": f"timm {version('timm')}, torchvision {version('torchvision')}",
    }
    files.write_atomic(path.with_suffix(".json"), files.json_bytes(about))
    return path, about
