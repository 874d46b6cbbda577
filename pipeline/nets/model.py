"""Networks: a backbone by name, its own normalisation inside, built from a seed.

Owns building, restoring and describing a network, and measuring the input of the first layer: the training
images after normalisation. Does not own the backbones (`nets/backbones.py`), GroupNorm (`nets/norms.py`),
reading weights files (`nets/weights.py`), freezing BatchNorm or training (`train/loop.py`), nor advice about
the input (`errors/advice/faults.py`).

Legend: B images, P pixels, C channels or classes, H height, W width, D features; x_BCHW is float in [0, 1].
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pipeline.core.errors import ModelError
from pipeline.core.language import _
from pipeline.core.samples import LabelSpace, Strings, positions
from pipeline.data.loader import Images
from pipeline.nets import backbones
from pipeline.nets.attributes import AttributeHeads
from pipeline.nets.backbones import RGB, Size
from pipeline.nets.cosine import Angles, Cosine, classifier_layer, to_cosines, wider
from pipeline.nets.intake import PICTURES, Intake
from pipeline.nets.nearest import NearestHead
from pipeline.nets.norms import to_group_norm
from pipeline.nets.several import Pool, of_images
from pipeline.nets.tabular import NAME, Tabular
from pipeline.nets.weights import State, classifier_keys, load_weights
from pipeline.settings.model import ModelSettings

# Where the samples that answer beside the classifier stand in the state dict.
NEAREST = "nearest."
# Images from which the input is measured.
MOST_IMAGES = 256
# The least standard deviation of a channel: a constant channel has none.
SMALLEST_STD = 1e-6


class OutputScale(nn.Module):
    """The last step where values or labels are predicted: from a layer's outputs to logits.

    A network learns numbers about 0 with a deviation of about 1. For values, mean and deviation of the
    training part give them the unit of the table, and in evaluation mode no prediction lies further than one
    deviation beyond the values of the training part: a linear layer follows an odd image to any number, and
    one such answer would decide a squared error. For labels the mean is the log-odds with which each holds in
    the training part, so that a network starts there instead of at one half (Lin et al.,
    https://arxiv.org/abs/1708.02002, section 4.1). The four buffers belong to the state dict.
    """

    mean: torch.Tensor
    spread: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    def __init__(
        self, mean: torch.Tensor, spread: torch.Tensor, low: torch.Tensor, high: torch.Tensor
    ) -> None:
        super().__init__()
        for name, value in (("mean", mean), ("spread", spread), ("low", low), ("high", high)):
            self.register_buffer(name, value)

    def fit(self, mean: torch.Tensor, spread: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> None:
        """Take over the scale of a training part; see `train/targets.py`: `Scale`."""
        for own, value in ((self.mean, mean), (self.spread, spread), (self.low, low), (self.high, high)):
            own.copy_(value)

    @staticmethod
    def none(space: LabelSpace | None) -> "OutputScale | None":
        """A scale that changes nothing yet; None for other targets than values and labels."""
        if space is None or space.kind not in ("values", "labels"):
            return None
        zeros, ones = torch.zeros(space.n_classes), torch.ones(space.n_classes)
        return OutputScale(zeros, ones, zeros - torch.inf, zeros + torch.inf)

    def forward(self, outputs: torch.Tensor) -> torch.Tensor:
        """(…, C) logits, in float32: half precision would round a large mean."""
        wide = outputs if outputs.dtype == torch.float64 else outputs.float()
        logits = wide * self.spread + self.mean
        return logits if self.training else logits.clamp(self.low, self.high)


class Classifier(nn.Module):
    """A network that takes pixels in [0, 1] and normalises them for its backbone.

    Args:
        name: of the backbone, as in the settings.
        backbone: with its classifier; `pretrained_cfg`, `forward_features` and `forward_head` are used if
            it has them, as timm's models do.
        mean: per channel, of pixels in [0, 1].
        std: per channel.
        heads: from the backbone's outputs to classes; None: the outputs are the classes.
        scale: from the backbone's outputs to logits of values or labels; None: the outputs are logits.
        intake: what the network takes in; of several images it pools the outputs (mean) or the features.
        measured: the mean and the deviation are those of training images, see `normalise_by`, and part of the
            state dict.
    """

    mean_C11: torch.Tensor
    std_C11: torch.Tensor

    def __init__(
        self,
        name: str,
        backbone: nn.Module,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        heads: AttributeHeads | None = None,
        scale: OutputScale | None = None,
        measured: bool = False,
        intake: Intake = PICTURES,
    ) -> None:
        super().__init__()
        self.name = name
        self.measured = measured
        self.intake = intake
        # Last stages whose maps are features, too; see `settings/model.py`.
        self.feature_stages = 0
        # Side of the picture whose pixels are features, too; 0: none.
        self.feature_px = 0
        self.backbone: Any = backbone
        self.heads = heads
        self.scale = scale
        # Images that pass the backbone together, where samples have several; None: all of a batch.
        self.block: int | None = None
        # The training samples that answer beside the classifier, once the network is trained; None: none do.
        self.nearest: NearestHead | None = None
        # Parts that train beside the backbone; empty for one image a sample.
        self.beside = nn.ModuleDict()
        self._add_pool()
        # Usually not part of the state dict: they depend on the model's name, not on its training.
        self.register_buffer("mean_C11", torch.tensor(mean).view(-1, 1, 1), persistent=measured)
        self.register_buffer("std_C11", torch.tensor(std).view(-1, 1, 1), persistent=measured)

    def _add_pool(self) -> None:
        """How several images become one row, and for concat the layer that classifies them together."""
        if not self.intake.several:
            return
        kind, width = self.intake.pool, 0
        if kind in ("attention", "concat"):
            layer = self._classifier_layer()
            width = layer.in_features
            if kind == "concat":
                assert self.intake.images is not None, "a rule of the settings asks for a fixed number"
                self.beside["together"] = wider(layer, self.intake.images * width)
        self.beside["pool"] = Pool(kind, width)

    def _classifier_layer(self) -> nn.Linear | Cosine:
        """The layer that makes the outputs of the features.

        Raises:
            ModelError: the network has none that is known.
        """
        layer = classifier_layer(self.backbone)
        if layer is not None:
            return layer
        raise ModelError(
            _("model.pool_images={pool}: {value} has no known linear classifier").format(
                pool=self.intake.pool, value=self.name
            ),
            remedy=_("choose model.pool_images=mean, or a network of timm with a linear classifier"),
        )

    @property
    def by_angles(self) -> bool:
        """Whether the outputs are cosines."""
        return isinstance(classifier_layer(self.backbone), Cosine)

    @property
    def depth(self) -> int:
        """Channels of one image."""
        return len(self.mean_C11)

    def normalise(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Pixels in [0, 1] to the range that the backbone was trained on."""
        return (x_BCHW - self.mean_C11) / self.std_C11

    def normalise_by(self, images: Images, ids: Strings) -> None:
        """Mean and deviation of each channel over training images, where no pretraining gives them."""
        if self.measured:
            x_PC = channel_values(images, ids, len(self.mean_C11))
            mean_C, std_C = x_PC.mean(axis=0), np.maximum(x_PC.std(axis=0), SMALLEST_STD)
            for buffer, values in ((self.mean_C11, mean_C), (self.std_C11, std_C)):
                buffer.copy_(torch.from_numpy(values).to(buffer.dtype).view(-1, 1, 1))

    def features(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, D) pooled features: the input of the last linear layer, before its dropout.

        Of several images a sample, those of all its images, pooled; concat gives I · D.

        Raises:
            ModelError: a network of the user's own that does not define its features.
        """
        if self._is_one_image(x_BCHW):
            return self._features(x_BCHW)
        return self.pooled(*of_images(x_BCHW, self.depth, self._features, self.block))

    def _is_one_image(self, x_BCHW: torch.Tensor) -> bool:
        """Whether each row is one image, which needs no pooling."""
        # In blocks every row takes the same way, however many images the others have.
        return x_BCHW.shape[1] == self.depth and not (self.intake.several and self.block)

    def pooled(self, h_BID: torch.Tensor, there_BI: torch.Tensor) -> torch.Tensor:
        """(B, D) of images that are known by D numbers each, or (B, I · D) for concat."""
        pooled: torch.Tensor = self.beside["pool"](h_BID, there_BI, in_turn=self.block is not None)
        return pooled

    def _features(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        own = self._of_backbone(x_BCHW)
        if not self.feature_px:
            return own
        small_BCHW = nn.functional.adaptive_avg_pool2d(x_BCHW, self.feature_px)
        return torch.cat([small_BCHW.flatten(1), own], dim=1)

    def _of_backbone(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        if self.feature_stages:
            return self._of_stages(self.normalise(x_BCHW))
        if hasattr(self.backbone, "forward_features") and hasattr(self.backbone, "forward_head"):
            maps = self.backbone.forward_features(self.normalise(x_BCHW))
            pooled: torch.Tensor = self.backbone.forward_head(maps, pre_logits=True)
            return pooled
        classifier = getattr(self.backbone, "pretrained_cfg", {}).get("classifier")
        if not isinstance(classifier, str):
            raise ModelError(
                _("model.name: {value} does not define its features").format(value=self.name),
                remedy=_(
                    "give it forward_features(x) and forward_head(maps, pre_logits=True), as timm's models "
                    "have, or choose train.strategy=full"
                ),
            )
        return self._input_of(self.backbone.get_submodule(classifier), x_BCHW)

    def _of_stages(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, D) the last features, and the mean of each map of the last stages, from the lowest one up."""
        try:
            last, maps = self.backbone.forward_intermediates(x_BCHW, indices=self.feature_stages)
        except (AttributeError, AssertionError) as error:
            raise ModelError(
                _(
                    "model.feature_stages: {value} does not give the maps of its last {feature_stages} stages"
                ).format(value=self.name, feature_stages=self.feature_stages),
                [str(error)] if str(error) else [],
                _("choose fewer, leave it out, or choose a network of timm"),
            ) from error
        pooled = self.backbone.forward_head(last, pre_logits=True)
        return torch.cat([*(stage.mean((2, 3)) for stage in maps), pooled], dim=1)

    def _input_of(self, layer: nn.Module, x_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, D) the input of a layer; a classifier that is a convolution gets maps, which are averaged."""
        seen: list[torch.Tensor] = []
        handle = layer.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
        try:
            self(x_BCHW)
        finally:
            handle.remove()
        return seen[0].flatten(2).mean(2) if seen[0].ndim > 2 else seen[0]

    def add_metadata(self, tabular: Tabular) -> None:
        """Metadata beside the image features."""
        self.beside[NAME] = tabular

    @property
    def reads_metadata(self) -> bool:
        """Whether the network takes metadata beside pixels."""
        return NAME in self.beside

    def forward(self, x_BCHW: torch.Tensor, beside_BE: torch.Tensor | None = None) -> torch.Tensor:
        """(B, C) logits of pixels, and of metadata if the network reads any; None: of the pixels alone."""
        h_BD = None if self.nearest is None else self.features(x_BCHW)
        outputs = self._outputs(x_BCHW) if h_BD is None else self._of_features(h_BD)
        if beside_BE is not None:
            outputs = outputs + self.beside[NAME](beside_BE)
        if self.scale is not None:
            outputs = self.scale(outputs)
        logits: torch.Tensor = outputs if self.heads is None else self.heads(outputs)
        return logits if self.nearest is None or h_BD is None else self.nearest.beside(logits, h_BD)

    def _outputs(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, K) the outputs of the backbone, pooled over several images."""
        if self._is_one_image(x_BCHW):
            return self._of_image(x_BCHW)
        return self.after_pooling(*of_images(x_BCHW, self.depth, self.before_pooling, self.block))

    @property
    def _pools_outputs(self) -> bool:
        """Whether outputs are averaged: where the layer is linear, they are those of the mean of features."""
        return self.intake.pool == "mean" and not self.by_angles

    def before_pooling(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, D) what is pooled over the images of a sample: the outputs of each, or its features."""
        return self._of_image(x_BCHW) if self._pools_outputs else self._features(x_BCHW)

    def after_pooling(self, h_BID: torch.Tensor, there_BI: torch.Tensor) -> torch.Tensor:
        """(B, K) the outputs of the backbone for samples of which each image is known by `before_pooling`."""
        h_BD = self.pooled(h_BID, there_BI)
        return h_BD if self._pools_outputs else self._of_features(h_BD)

    def _of_features(self, h_BD: torch.Tensor) -> torch.Tensor:
        """(B, K) the outputs of the backbone for features, pooled over the images of a sample."""
        layer = self.beside["together"] if self.intake.pool == "concat" else self._classifier_layer()
        outputs: torch.Tensor = layer(h_BD)
        return outputs

    def _of_image(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.backbone(self.normalise(x_BCHW))
        return outputs


@dataclass(frozen=True)
class ModelFacts:
    """Facts about a network that matter before training.

    Args:
        parameters: number of weights.
        trainable: number of weights that training changes.
        mean, std: of the normalisation, per channel.
        size_px: side of the images that its pretrained weights come from.
        interpolation: how those images were resized.
    """

    name: str
    parameters: int
    trainable: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size_px: int
    interpolation: str


def describe(model: Classifier) -> ModelFacts:
    """Counts and normalisation of a network."""
    config = _data_config(model.backbone)
    return ModelFacts(
        model.name,
        sum(p.numel() for p in model.parameters()),
        sum(p.numel() for p in model.parameters() if p.requires_grad),
        tuple(model.mean_C11.flatten().tolist()),
        tuple(model.std_C11.flatten().tolist()),
        int(config["input_size"][-1]),
        str(config["interpolation"]),
    )


def build(
    settings: ModelSettings,
    n_classes: int,
    seed: int,
    size: Size | None = None,
    space: LabelSpace | None = None,
    intake: Intake = PICTURES,
) -> Classifier:
    """A new network: equal arguments give equal weights, independent of earlier draws.

    A classifier that is not in the weights source starts at zero.

    Args:
        settings: name, weights source, dropout.
        n_classes: outputs of the new classifier.
        seed: of every other weight that is not loaded; ≥ 0.
        size: height and width of the images, px, for a trial pass; None: its own.
        space: of the classes, for a head per attribute (see `settings.heads`) and for values (`OutputScale`);
            None: one output per class.
        intake: what the network takes in beside the size of the images.

    Raises:
        ModelError: an unknown model, weights that are missing or do not fit, or images too small for it.
        ConfigError: a network of the user's own cannot be made; names file and line.
    """
    heads = AttributeHeads.of(settings, space)
    n_outputs = heads.n_outputs if heads else n_classes
    # Weights are drawn on the CPU, so no GPU generator has to be saved.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = backbones.create(settings, n_outputs, size, intake.channels)
    if settings.weights == "none":
        has_classifier = False
    elif settings.weights == "hub":
        has_classifier = n_outputs == getattr(backbone, "pretrained_cfg", {}).get("num_classes")
    else:
        has_classifier = load_weights(backbone, settings.name, settings.weights)
    angles = Angles.of(settings)
    if angles is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            to_cosines(backbone, settings.name, n_classes, angles)
    elif not has_classifier:
        _zero_classifier(backbone)
    if settings.norm == "group":
        to_group_norm(backbone, settings.name)
    mean, std = _normalisation(settings, backbone, intake.channels)
    measured = settings.mean is None and intake.channels not in (1, RGB)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        scale = OutputScale.none(space)
        made = Classifier(settings.name, backbone, mean, std, heads, scale, measured, intake)
    made.feature_stages = settings.feature_stages or 0
    made.feature_px = settings.feature_px or 0
    return made


def _normalisation(
    settings: ModelSettings, backbone: nn.Module, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel: given, of the pretraining, or a start for those to be measured."""
    usual_mean, usual_std = asked_normalisation(backbone)
    if channels != RGB:
        # One channel is grey: the mean of what the pretraining has for red, green and blue.
        usual_mean, usual_std = ((sum(v) / len(v),) * channels for v in (usual_mean, usual_std))
    return tuple(settings.mean or usual_mean), tuple(settings.std or usual_std)


def frozen(settings: ModelSettings) -> ModelSettings:
    """The same backbone for passes without gradients: dropout and the kind of head are at their defaults."""
    kept = ("name", "weights", "norm", "mean", "std", "pool_images", "feature_stages", "feature_px")
    return ModelSettings(**{name: getattr(settings, name) for name in kept})


def _zero_classifier(backbone: nn.Module) -> None:
    """A new classifier starts at zero: equal probabilities, and no random gradient to pretrained weights.

    Measured with tf_efficientnet_lite0 (whose own start draws from ±1/√C) on digits, three epochs:
    first loss 2.23 instead of 5.87, accuracy .61 instead of .24; no difference for ResNets.
    Source: Big Vision's `head_zeroinit`, https://github.com/google-research/big_vision.
    """
    names = classifier_keys(backbone)
    # SqueezeNet's classifier is a convolution before a ReLU: zeros there would get no gradient.
    layers = {name for name, module in backbone.named_modules() if isinstance(module, nn.Linear)}
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if name in names and name.rpartition(".")[0] in layers:
                parameter.zero_()


def restore(
    settings: ModelSettings,
    n_classes: int,
    state: State,
    size: Size | None = None,
    space: LabelSpace | None = None,
    intake: Intake = PICTURES,
) -> Classifier:
    """The network of a trained state dict; no weights source is read.

    Raises:
        ModelError: an unknown model, or the state of another model.
    """
    bare = settings.model_copy(update={"weights": "none"})
    model = build(bare, n_classes, 0, size, space, intake)
    prefix = f"beside.{NAME}."
    if any(key.startswith(prefix) for key in state):
        model.add_metadata(Tabular.of_state(state, prefix))
    near = {k.removeprefix(NEAREST): value for k, value in state.items() if k.startswith(NEAREST)}
    model.nearest = NearestHead(near) if near else None
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ModelError(
            _("{settings}: the trained weights do not fit the model").format(settings=settings.name),
            str(error).splitlines()[1:],
            _("train again with this version"),
        ) from error
    return model


def asked_normalisation(backbone: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of the backbone's pretraining, or ImageNet's."""
    config = _data_config(backbone)
    return tuple(config["mean"]), tuple(config["std"])


def _data_config(backbone: nn.Module) -> dict[str, Any]:
    """The backbone's input (`pretrained_cfg`); ImageNet's if it has none."""
    from timm.data import resolve_data_config

    config: dict[str, Any] = resolve_data_config({}, model=backbone)
    return config


def to_device(model: Classifier, device: str, layout: str = "channels_last") -> Classifier:
    """The model on its device, in channels-last layout by default.

    That layout is twice as fast as contiguous for some networks on a CPU (tf_efficientnet_lite0 at 64 px:
    5 ms per image instead of 11) and the one for tensor cores; `train/step_timing.py` measures.
    """
    model.to(device=device)
    channels_last = layout == "channels_last"
    return model.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def input_figures(
    model: Classifier, settings: ModelSettings, images: Images, ids: Strings
) -> dict[str, float]:
    """How far the network's input is from mean 0 and standard deviation 1.

    At most 256 of the training images `ids` are used, evenly spaced.

    Returns:
        For the worst channel: `input_mean` and `input_std` of the normalised pixels; `input_off`, the
        difference between this normalisation and that of the pretrained weights: the distance of the means in
        standard deviations, or the logarithm of the ratio of the standard deviations, whichever is larger;
        `input_made_for`: side of the images that those weights come from, px; 0 for those of a file. Both
        are 0 without weights.
    """
    x_PC = channel_values(images, ids, len(model.mean_C11))
    mean_C, std_C = (b.flatten().double().cpu().numpy() for b in (model.mean_C11, model.std_C11))
    at_C = (x_PC.mean(axis=0) - mean_C) / std_C
    spread_C = np.maximum(x_PC.std(axis=0), SMALLEST_STD) / std_C
    off, made_for = 0.0, 0
    if settings.weights != "none" and len(mean_C) == RGB:
        asked_mean_C, asked_std_C = (np.array(v) for v in asked_normalisation(model.backbone))
        off = max(np.abs(mean_C - asked_mean_C).max() / asked_std_C.min(), _log(std_C / asked_std_C).max())
        # Of a file, nobody knows.
        made_for = 0 if settings.weights.startswith("file:") else describe(model).size_px
    return {
        "input_mean": float(at_C[np.abs(at_C).argmax()]),
        "input_std": float(spread_C[_log(spread_C).argmax()]),
        "input_off": float(off) if math.isfinite(off) else 0.0,
        "input_made_for": float(made_for),
    }


def channel_values(images: Images, ids: Strings, channels: int) -> npt.NDArray[np.float64]:
    """(P, C) pixels in [0, 1] of at most 256 of these images, evenly spaced."""
    taken = np.unique(np.linspace(0, len(ids) - 1, min(len(ids), MOST_IMAGES)).astype(int))
    rows = np.sort(positions(ids[taken], images.ids_N, "prepared images"))
    x_NHWE = np.asarray(images.x_NHWC[rows])
    if x_NHWE.shape[3] == channels:
        return x_NHWE.astype(np.float64).reshape(-1, channels) / 255
    # Of several images a sample, those that are there.
    x_NIPC = x_NHWE.reshape(len(rows), -1, x_NHWE.shape[3] // channels, channels).swapaxes(1, 2)
    there_NI = x_NIPC.any(axis=(2, 3))
    return x_NIPC[there_NI].astype(np.float64).reshape(-1, channels) / 255


def _log(ratio_C: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(np.log(ratio_C)))
