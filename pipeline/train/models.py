"""`make models`: what networks cost on this machine, before any training.

    make models                                              every file of configs/model/
    make models NAMES="resnet18 tf_efficientnet_lite0"       these; also torchvision:NAME, module:function
    make models ARGS="images.size=96 runtime.threads=1"      at another size, with so many threads

Owns which networks are asked about and the table. Does not own the measurement (`train/network_cost.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from pipeline.core import plugin
from pipeline.core.errors import ModelError, UserError, nearest
from pipeline.settings.load import CONFIGS, Settings, load
from pipeline.settings.schema import Config, ModelSettings

# What the table depends on, so that other overrides are refused.
READS = ("images.size", "train.precision", "train.optimizer", "train.weight_decay", "train.lr", "competition")
HEAD = ("model", "M params", "MB", "GMACs", "ms ×1", "ms ×32", "ms train", "native px")


def table(settings: Settings, names: Sequence[str], device: str) -> Iterator[str]:
    """The lines of the table, each as soon as it is measured.

    Args:
        settings: image size, precision and optimizer.
        names: of configs/model/, or as in `model.name`; none: every file of configs/model/.
        device: "cpu" or "cuda".

    Raises:
        ModelError: unknown names, all of them with the nearest known ones.
    """
    from tqdm import tqdm

    from pipeline.train import network_cost

    config = settings.config
    chosen = _chosen(names)
    wide = max(len(name) for name in [*chosen, HEAD[0]])
    n_classes = _n_classes(config)
    yield _told(settings, device)
    yield f"{HEAD[0]:<{wide}}" + "".join(f"{word:>10}" for word in HEAD[1:])
    for name, model in tqdm(chosen.items(), unit="model", disable=not sys.stderr.isatty(), leave=False):
        try:
            found = network_cost.measure(model, config, n_classes, device)
        except UserError as error:  # one that cannot take the size is a line of the table, not its end
            yield f"{name:<{wide}}  {error.headline}"
            continue
        figures = (
            f"{found.parameters / 1e6:.2f}",
            f"{found.megabytes:.1f}",
            f"{found.gmacs:.3f}",
            *(f"{ms:.2f}" for ms in (found.ms_one, found.ms_batch, found.ms_train)),
            str(found.native_px),
        )
        yield f"{name:<{wide}}" + "".join(f"{figure:>10}" for figure in figures)


def _told(settings: Settings, device: str) -> str:
    import torch

    from pipeline.nets.forward import Mode

    height, width = settings.config.images.hw
    precision = Mode.of(settings.config.train.precision).precision
    where = f"{torch.get_num_threads()} threads of the CPU" if device == "cpu" else "one GPU"
    return (
        f"ms an image of {height} × {width} px on {where}, {precision}: "
        "alone, in a batch of 32, and in a training step of 32; the fastest of several"
    )


def _n_classes(config: Config) -> int:
    n = 1
    for attribute in config.competition.attributes:
        n *= len(attribute.values)
    return n


def _chosen(names: Sequence[str]) -> dict[str, ModelSettings]:
    """Settings by name: a file of configs/model/ counts before timm's model of the same name."""
    from pipeline.nets.backbones import known_names

    files = sorted(path.stem for path in (CONFIGS / "model").glob("*.yaml"))
    known = known_names()
    wanted = list(dict.fromkeys(names)) or files
    # A name with timm's tag of its weights (resnet18.a1_in1k) is the model before the dot.
    odd = [n for n in wanted if n not in files and n.split(".")[0] not in known and not plugin.is_plugin(n)]
    if odd:
        raise ModelError(
            f"models: {len(odd)} unknown",
            [f"`{n}`: {nearest(n, [*files, *known]) or 'nothing like it is known'}" for n in odd],
            "name files of configs/model/, timm's models, torchvision:NAME, or module:function",
        )
    return {n: load([f"model={n}"]).config.model if n in files else ModelSettings(name=n) for n in wanted}
