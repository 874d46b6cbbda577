"""Passes without gradients over prepared images: a network's outputs, probabilities, and pooled features.

Owns reading pixels in batches, views, the modes that a network computes in (precision, memory layout,
compiled or not), and the features of a frozen backbone with the digest that identifies it. Does not own
choosing a mode (`train/step_timing.py`) or using the outputs: validation (`train/loop.py`), heads that train
on features (`train/heads.py`), test-time augmentation (`train/committee.py`).

Legend: N images, B a batch, V views, H height, W width, C channels or classes, D outputs or features of one
image.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from pipeline.core.errors import ConfigError, UserError
from pipeline.core.language import _
from pipeline.core.predictions import Features
from pipeline.core.samples import Floats, Ints, Strings, positions
from pipeline.core.terminal import bar_of
from pipeline.data.detail import hw_of
from pipeline.data.device_images import DeviceImages, is_full, moved, on_device, rows_of
from pipeline.data.loader import Images, beside_of
from pipeline.nets.model import Classifier
from pipeline.nets.several import on_each
from pipeline.nets.views import View
from pipeline.nets.weights import classifier_keys

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LAYOUTS = ("channels_last", "contiguous")
# Features are fetched from the device after so many batches.
PART_BATCHES = 32

T = TypeVar("T")


@dataclass(frozen=True)
class Mode:
    """How a network computes; its text, e.g. `bf16 contiguous compiled`, is what is recorded.

    Args:
        precision: fp32, bf16 or fp16 (on a GPU only); other than fp32, by autocast.
        layout: of images and convolutions in memory, channels_last or contiguous.
        compiled: by torch.compile.
    """

    precision: str = "fp32"
    layout: str = "channels_last"
    compiled: bool = False

    def __str__(self) -> str:
        return f"{self.precision} {self.layout}{' compiled' if self.compiled else ''}"

    @staticmethod
    def of(precision: str) -> "Mode":
        """The mode of a setting; `auto` is fp32 if nothing was measured."""
        return Mode() if precision == "auto" else Mode(precision)

    @staticmethod
    def parse(text: str) -> "Mode":
        """The mode from its text.

        Raises:
            ValueError: the text is not a mode.
        """
        precision, layout, *rest = [*text.split(), "", ""]
        if precision not in DTYPES or layout not in LAYOUTS or "".join(rest) not in ("", "compiled"):
            raise ValueError(f"not a mode of computing: {text!r}")
        return Mode(precision, layout, "compiled" in rest)


@dataclass(frozen=True)
class Pass:
    """How a pass runs; none of it changes the meaning of the result.

    Args:
        device: "cpu" or "cuda".
        batch: images at a time, ≥ 1.
        precision: fp32, bf16 or fp16 (on a GPU only).
        layout: channels_last or contiguous, as of the network.
        images_share: share of a GPU's free memory that a set of images may fill while it passes, 0 to 1.
        padded: whether the last batch is filled up, so that the outputs of an image do not depend on how
            many other images there are: the order of sums in a layer depends on the size of the batch.
            Images of samples of several pass in blocks of that size, too.
    """

    device: str = "cpu"
    batch: int = 128
    precision: str = "fp32"
    layout: str = "channels_last"
    images_share: float = 0.5
    padded: bool = False

    @staticmethod
    def of_features(device: str, batch: int) -> "Pass":
        """How a frozen backbone makes features: always in fp32."""
        return Pass(device, batch, padded=True)


def autocast(device: str, precision: str) -> AbstractContextManager[object]:
    """The context of this precision; without effect for fp32.

    Raises:
        ConfigError: fp16 without a GPU.
    """
    if precision == "fp16" and device == "cpu":
        raise ConfigError(
            _("train.precision, infer.precision: fp16 needs a GPU"), remedy=_("use bf16 or fp32 on a CPU")
        )
    # torch before 2.4 refuses float32 here, even where it changes nothing.
    return contextlib.nullcontext() if precision == "fp32" else torch.autocast(device, DTYPES[precision])


def pixels(x_BHWC: torch.Tensor, device: str, layout: str = "channels_last") -> torch.Tensor:
    """Bytes to floats in [0, 1], as x_BCHW; the permutation alone is the channels-last layout already.

    What was augmented on the device is floats in [0, 1] before.
    """
    x_BCHW = moved(x_BHWC, device).permute(0, 3, 1, 2)
    if layout == "contiguous":
        x_BCHW = x_BCHW.contiguous()
    return x_BCHW if x_BCHW.is_floating_point() else x_BCHW.float() / 255


def with_room(call: Callable[[], T], images: Sequence[Images], how: Pass) -> T:
    """What a pass returns; once more without these images in the GPU's memory if it was full.

    Raises:
        UserError: it is full without them as well.
    """
    while True:
        try:
            return call()
        except RuntimeError as error:
            if not is_full(error):
                raise
            there = [one for one in images if isinstance(one, DeviceImages) and one.resident]
            if not there:
                raise UserError(
                    _("out of memory: runtime.infer_batch={batch}").format(batch=how.batch),
                    [str(error).splitlines()[0]],
                    _("try runtime.infer_batch={batch}; it changes no result").format(
                        batch=max(how.batch // 2, 1)
                    ),
                ) from error
        for one in there:  # only here, beyond the exception, is the memory of the pass free
            one.evict()


def run(network: Callable[..., torch.Tensor], images: Images, ids: Strings, view: View, how: Pass) -> Floats:
    """(N, D) float32 outputs of `network` on one view of these images, in the order of `ids`.

    Views are made on the device, and the outputs are fetched once, after the last batch.

    The network goes from x_BCHW to (B, D), and takes the metadata of the images, too, if it reads any; put
    its module in eval mode first.

    Raises:
        DataError: an id has no image.
    """
    assert len(ids), "a pass over no images"
    return _run(network, images, positions(ids, images.ids_N, "prepared images"), view, how)


def _run(network: Callable[..., torch.Tensor], images: Images, at_N: Ints, view: View, how: Pass) -> Floats:
    parts, beside_NE = [], beside_of(images) if getattr(network, "reads_metadata", False) else None
    change = partial(view.apply, size=hw_of(images))
    blocks = in_blocks(network, how.batch if how.padded else None)
    with torch.inference_mode(), autocast(how.device, how.precision), blocks:
        for start in range(0, len(at_N), how.batch):
            at_B = at_N[start : start + how.batch]
            x_BHWC = rows_of(images, filled(at_B, how.batch) if how.padded else at_B, how.device)
            seen = on_each(pixels(x_BHWC, how.device, how.layout), images.channels, change)
            beside = () if beside_NE is None else (_rows(beside_NE, at_B, how),)
            parts.append(network(seen, *beside).float()[: len(at_B)])
    return np.asarray(torch.cat(parts).cpu().numpy(), dtype=np.float32)


@contextlib.contextmanager
def in_blocks(network: Callable[..., torch.Tensor], size: int | None) -> Iterator[None]:
    """Images of samples of several pass the backbone so many at a time, which changes no meaning.

    The outputs of a sample then do not depend on how many images the other samples of its batch have. None:
    all images of a batch together. `network` is a Classifier or one of its methods.
    """
    owner = getattr(network, "__self__", network)
    if size is None or not isinstance(owner, Classifier):
        yield
        return
    before, owner.block = owner.block, size
    try:
        yield
    finally:
        owner.block = before


def _rows(beside_NE: Floats, at_B: Ints, how: Pass) -> torch.Tensor:
    """(B, E) the metadata of these rows on the device."""
    return torch.from_numpy(beside_NE[filled(at_B, how.batch) if how.padded else at_B]).to(how.device)


def filled(at_B: Ints, size: int) -> Ints:
    """(size,) these positions, the last one repeated where there are fewer."""
    return np.pad(at_B, (0, size - len(at_B)), mode="edge")


def probabilities(logits_BC: torch.Tensor) -> torch.Tensor:
    """(B, C) probabilities of exclusive classes, on the logits' device, in their precision, with gradients.

    What is kept or scored is computed in double precision instead (`core/targets.py`).
    """
    return logits_BC.softmax(dim=1)


def sizes_of(images: Images) -> tuple[int, ...]:
    """Height and width of what a network sees, followed by those of the images if they are larger."""
    seen, stored = hw_of(images), images.x_NHWC.shape[1:3]
    return seen if seen == tuple(stored) else (*seen, *stored)


def backbone_digest(model: Classifier, size: tuple[int, ...], views: Sequence[View]) -> str:
    """sha256 of the backbone's name, weights and normalisation, the image sizes (`sizes_of`) and the views.

    Without the classifier, because features do not pass through it.
    """
    names: list[object] = [view.name for view in views]
    # As it always was for one image a sample.
    pool = (model.intake.pool,) if model.intake.several else ()
    stages = [f"{model.feature_stages} stages"] if model.feature_stages else []
    stages += [f"{model.feature_px} px"] if model.feature_px else []
    digest = hashlib.sha256(repr((model.name, size, names, *pool, *stages)).encode())
    for buffer in (model.mean_C11, model.std_C11):
        digest.update(buffer.cpu().numpy().tobytes())
    head = classifier_keys(model.backbone)
    for key, value in model.backbone.state_dict().items():
        if key not in head:
            digest.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def extract_in_parts(
    model: Classifier, images: Images, ids: Strings, view: View, how: Pass
) -> Iterator[Floats]:
    """The x_NVD of `extract` for one view, in parts of some thousand images: they need not all be kept."""
    assert len(ids), "a pass over no images"
    model.eval()
    images = on_device(images, how.device, how.images_share)
    at_N, rows = positions(ids, images.ids_N, "prepared images"), how.batch * PART_BATCHES
    bar = bar_of(f"features {view.name}", "img", total=len(ids))
    with contextlib.closing(bar):
        for start in range(0, len(at_N), rows):
            part = at_N[start : start + rows]
            x_ND = with_room(partial(_run, model.features, images, part, view, how), [images], how)
            bar.update(len(x_ND))
            yield x_ND[:, None]


def extract(model: Classifier, images: Images, ids: Strings, views: Sequence[View], how: Pass) -> Features:
    """(N, V, D) pooled features of these images, one block per view, in the order of `ids`.

    The model is on `how.device`; this function puts it in eval mode. There is at least one view.

    Raises:
        DataError: an id has no image.
    """
    model.eval()
    images = on_device(images, how.device, how.images_share)
    each = [partial(run, model.features, images, ids, view, how) for view in views]
    blocks = [with_room(call, [images], how) for call in bar_of("features", "view", each)]
    digest = backbone_digest(model, sizes_of(images), views)
    return Features(ids, tuple(view.name for view in views), np.stack(blocks, axis=1), digest)
