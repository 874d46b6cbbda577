"""Backbones by name: timm's, `torchvision:NAME`, `pixels` and the user's own `module:function`.

Owns making a bare network with its classifier, described in timm's terms (`pretrained_cfg`: mean, std, input
size, interpolation, the classifier's name), the check that it takes images of the requested size, and whether
the hub of its pretrained weights can be reached. Does not own normalising pixels (`nets/model.py`), weights
from files (`nets/weights.py`) or downloads: timm and torchvision do those, into their own caches.

Legend: B images, C classes.
"""

import contextlib
import inspect
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.core import plugin
from pipeline.core.errors import ConfigError, ModelError, UserError, nearest
from pipeline.core.language import _
from pipeline.nets import pixels
from pipeline.nets.weights import first_line, fit_state, weight_of_channels
from pipeline.settings.model import PIXELS, ModelSettings

Size = tuple[int, int]
TORCHVISION = "torchvision:"
RGB = 3
# Our names of the rates, and those of torchvision's constructors.
_RATES = {"drop_rate": "dropout", "drop_path_rate": "stochastic_depth_prob"}
# Arguments of torchvision's networks that are built for one size.
_SIZES = ("image_size", "input_size")
# A hub that has not answered by then counts as unreachable; its own retries take most of a minute.
PATIENCE_SECONDS = 3.0
REMEDY = (
    "without a network use weights from package:NAME or file:PATH, or none; weights that were downloaded "
    "before are still available"
)


def create(settings: ModelSettings, n_classes: int, size: Size | None, channels: int = RGB) -> nn.Module:
    """A network of `n_classes` outputs, with the hub's weights if the settings name them.

    Args:
        settings: its name, rates and weights source; only the hub is read here.
        n_classes: outputs of its classifier.
        size: height and width of the images, px; None: its own, and no trial pass.
        channels: of the images; the first convolution is made for them.

    Raises:
        ModelError: an unknown model, a rate that it does not accept, weights that the hub does not have, or
            images too small for it.
        ConfigError: the user's own function cannot be loaded or failed; names file and line.
    """
    name = settings.name
    if name.startswith(TORCHVISION):
        backbone = _torchvision(settings, n_classes, size, channels)
    elif name == PIXELS:
        _rates(settings, set(), name)
        backbone = pixels.Pixels(n_classes, channels)
    elif plugin.is_plugin(name):
        backbone = _own(settings, n_classes, size, channels)
    else:
        backbone = _timm(settings, n_classes, size, channels)
    if size is not None:
        _try_out(backbone, name, n_classes, (channels, *size))
    return backbone


def known_names() -> list[str]:
    """All names, except those of the user's own functions."""
    import timm
    from torchvision import models

    return [PIXELS, *timm.list_models(), *(TORCHVISION + n for n in models.list_models(module=models))]


def _unknown(name: str, whose: str, known: list[str], all_of: str) -> ModelError:
    theirs = TORCHVISION + name.lower()
    hint = _("did you mean {theirs}?").format(theirs=theirs) if theirs in known else nearest(name, known)
    return ModelError(
        _("model.name: {whose} has no model called {name!r}").format(whose=whose, name=name),
        [hint] if hint else [],
        _("any name of {all_of}").format(all_of=all_of),
    )


def _refused(settings: ModelSettings, name: str, why: object) -> ModelError:
    return ModelError(
        _("model: {name} does not accept {why}").format(name=name, why=why),
        remedy=_("set model.drop_rate=0 model.drop_path_rate=0, or choose another model"),
    )


def _rates(settings: ModelSettings, taken: set[str], name: str) -> dict[str, float]:
    """The rates that are set and that a network accepts.

    Dropout at its default may be left out, because it means the network's own behaviour; another value may
    not.
    """
    default = ModelSettings().drop_rate
    asked = {"drop_rate": settings.drop_rate, "drop_path_rate": settings.drop_path_rate}
    for rate, value in asked.items():
        if value and rate not in taken and (rate, value) != ("drop_rate", default):
            raise _refused(settings, name, f"model.{rate}={value}")
    return {k: v for k, v in asked.items() if k in taken and (v or k == "drop_rate")}


def _timm(settings: ModelSettings, n_classes: int, size: Size | None, channels: int) -> nn.Module:
    """A timm model; its errors name the user's settings."""
    import timm

    name = settings.name
    if not timm.is_model(name):
        raise _unknown(name, "timm", known_names(), _("timm.list_models(), or torchvision:NAME"))
    wanted: dict[str, Any] = {"num_classes": n_classes, "drop_rate": settings.drop_rate}
    if settings.drop_path_rate:
        wanted["drop_path_rate"] = settings.drop_path_rate
    if channels != RGB:
        wanted["in_chans"] = channels
    if size is not None and _is_built_for_one_size(name):
        wanted["img_size"] = size
    pretrained = settings.weights == "hub"
    with or_its_cache(name) if pretrained else contextlib.nullcontext():
        try:
            backbone: nn.Module = timm.create_model(name, pretrained=pretrained, **wanted)
        except TypeError as error:
            if "drop_rate" not in str(error) or settings.drop_rate != ModelSettings().drop_rate:
                raise _refused(
                    settings,
                    name,
                    _("one of {wanted}: {error}").format(wanted=", ".join(wanted), error=error),
                ) from error
            del wanted["drop_rate"]
            backbone = timm.create_model(name, pretrained=pretrained, **wanted)
    return backbone


def _is_built_for_one_size(name: str) -> bool:
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name, allow_unregistered=True)
    return bool(config and config.fixed_input_size)


def _torchvision(settings: ModelSettings, n_classes: int, size: Size | None, channels: int) -> nn.Module:
    """A classification model of torchvision, with the attributes of timm's models.

    Auxiliary heads (GoogLeNet, Inception v3) are not built: they are not used in a prediction, and with batch
    normalisation these networks can be trained without them
    (Szegedy et al. 2016, section 4, https://arxiv.org/abs/1512.00567).
    """
    from torchvision import models

    name = settings.name.removeprefix(TORCHVISION)
    known = models.list_models(module=models)
    if name not in known:
        raise _unknown(name, "torchvision", known, "torchvision.models.list_models()")
    builder = models.get_model_builder(name)
    parameters = inspect.signature(inspect.signature(builder).return_annotation.__init__).parameters
    taken = {ours for ours, theirs in _RATES.items() if theirs in parameters}
    wanted: dict[str, Any] = {"num_classes": n_classes}
    wanted |= {_RATES[k]: v for k, v in _rates(settings, taken, settings.name).items()}
    wanted |= _particulars(parameters, channels)
    if size is not None:
        wanted |= {k: size[0] if k == "image_size" else size for k in _SIZES if k in parameters}
    try:
        backbone: nn.Module = builder(weights=None, **wanted)
    except ValueError as error:
        raise _too_small(settings.name, size or (0, 0), error) from error
    offered = models.get_model_weights(name).DEFAULT
    backbone.pretrained_cfg = _in_timms_words(backbone, offered.transforms())  # type: ignore[assignment]
    if settings.weights == "hub":
        with or_its_cache(settings.name, offered.url):
            donor = builder(weights=offered, progress=False, **_particulars(parameters, channels))
        fit_state(backbone, donor.state_dict(), "hub")
    return backbone if channels == RGB else _with_channels(backbone, channels)


def _with_channels(backbone: nn.Module, channels: int) -> nn.Module:
    """The network with its first convolution made for this number of channels, in place."""
    for name, layer in backbone.named_modules():
        if isinstance(layer, nn.Conv2d) and layer.in_channels == RGB:
            made = nn.Conv2d(
                channels,
                layer.out_channels,
                layer.kernel_size,  # type: ignore[arg-type]
                layer.stride,  # type: ignore[arg-type]
                layer.padding,  # type: ignore[arg-type]
                layer.dilation,  # type: ignore[arg-type]
                bias=layer.bias is not None,
            )
            with torch.no_grad():
                made.weight.copy_(weight_of_channels(layer.weight, channels))
                if layer.bias is not None and made.bias is not None:
                    made.bias.copy_(layer.bias)
            parent, _, child = name.rpartition(".")
            setattr(backbone.get_submodule(parent), child, made)
            break
    return backbone


def _particulars(parameters: Any, channels: int = RGB) -> dict[str, bool]:
    """Arguments that only some networks have: no auxiliary heads, and the input that their weights need.

    `transform_input` is set for any weights, because a trained fold is restored without their source.
    """
    fixed = {"aux_logits": False, "init_weights": True, "transform_input": channels == RGB}
    # VGG's builder sets `init_weights` already and rejects it as an argument.
    return {k: v for k, v in fixed.items() if k in parameters and "aux_logits" in parameters}


def _in_timms_words(backbone: nn.Module, transforms: Any) -> dict[str, Any]:
    layers = [n for n, m in backbone.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return {
        "num_classes": 1000,
        "input_size": (3, transforms.crop_size[0], transforms.crop_size[0]),
        "mean": tuple(transforms.mean),
        "std": tuple(transforms.std),
        "interpolation": transforms.interpolation.value,
        "classifier": layers[-1],
    }


def _own(settings: ModelSettings, n_classes: int, size: Size | None, channels: int) -> nn.Module:
    """The network that the user's own function returns."""
    name = settings.name
    if settings.weights == "hub":
        raise ModelError(
            _("model.weights: the hub has no weights of {name}").format(name=name),
            remedy=_(
                "set model.weights=none and load weights in the function, or set model.weights=file:PATH"
            ),
        )
    own = plugin.Own(name, Path.cwd(), "model.name")
    taken = {rate for rate in _RATES if own.takes(rate)}
    wanted: dict[str, Any] = _rates(settings, taken, name)
    if own.takes("size"):
        wanted["size"] = size
    if own.takes("channels"):
        wanted["channels"] = channels
    elif channels != RGB:
        raise ConfigError(
            _("model.name: {name} does not take `channels`, and images.channels={channels}").format(
                name=name, channels=channels
            ),
            remedy=_("give the function an argument `channels`, the number of channels of its input"),
        )
    backbone = own(n_classes=n_classes, **wanted)
    if not isinstance(backbone, nn.Module):
        raise own.wrong(plugin.described(backbone), _("a torch.nn.Module that gives (B, n_classes) logits"))
    return backbone


def _try_out(backbone: nn.Module, name: str, n_classes: int, shape: tuple[int, int, int]) -> None:
    """Pass two black images through the network: a clear error now, instead of a deep trace later."""
    channels, *sides = shape
    size = (sides[0], sides[1])
    patches = getattr(backbone, "patch_embed", None)
    patch = getattr(patches, "patch_size", None)
    padded = getattr(patches, "dynamic_img_pad", False)
    if patch and not padded and any(side % p for side, p in zip(size, patch, strict=True)):
        raise _too_small(name, size, ValueError(f"patches of {patch[0]} px would ignore the border"))
    was = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            logits = backbone(torch.zeros(2, channels, *size))
    # Networks raise anything for images that are too small: errors of shape, assertions, divisions.
    except Exception as error:
        if plugin.is_plugin(name):
            own = plugin.Own(name, Path.cwd(), "model.name")
            raise own.failed(
                error, _(" on images of {size} px").format(size=f"{size[0]} × {size[1]}")
            ) from error
        raise _too_small(name, size, error) from error
    finally:
        backbone.train(was)
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != (2, n_classes):
        raise ConfigError(
            _("model.name: {name} gives {described} for 2 images and {n_classes} classes").format(
                name=name, described=plugin.described(logits), n_classes=n_classes
            ),
            remedy=_("its forward must give logits of shape (2, {n_classes})").format(n_classes=n_classes),
        )


def _too_small(name: str, size: Size, error: Exception) -> ModelError:
    return ModelError(
        _("images.size: {name} cannot take images of {size} px: {why}").format(
            name=name, size=f"{size[0]} × {size[1]}", why=first_line(error)
        ),
        remedy=_("change images.size (a vision transformer needs multiples of its patch) or the model"),
    )


@contextlib.contextmanager
def or_its_cache(model: str, url: str | None = None) -> Iterator[None]:
    """Inside, pretrained weights come from the hub, or from its cache if the hub does not answer.

    Args:
        model: its name, for messages.
        url: of torchvision's file; None: timm's weights, from the Hugging Face hub.

    Raises:
        ModelError: no hub, and nothing in the cache; or the hub has no weights of this model.
    """
    try:
        if url is not None:
            _refuse_silent(url)
        with _offline_where_silent() if url is None else contextlib.nullcontext():
            yield
    except UserError:
        raise
    except Exception as error:
        if _is_of_the_network(error):
            problem = _("no hub reachable for {model}").format(model=model)
        elif isinstance(error, RuntimeError):
            problem = _("the hub gave no weights of {model}").format(model=model)
        else:
            raise
        raise ModelError(
            _("model.weights: {problem}: {first_line}").format(problem=problem, first_line=first_line(error)),
            remedy=REMEDY,
        ) from error


def _is_of_the_network(error: Exception) -> bool:
    """The client's errors are recognised by name, because its releases use different HTTP libraries."""
    return isinstance(error, OSError) or type(error).__module__.startswith("httpx")


@contextlib.contextmanager
def _offline_where_silent() -> Iterator[None]:
    """The Hugging Face client in its offline mode, unless the hub answers."""
    from huggingface_hub import constants, get_session

    was = constants.HF_HUB_OFFLINE
    if not was:
        try:
            # Any answer is enough, and the client's own session uses the user's proxies.
            get_session().head(constants.ENDPOINT, timeout=PATIENCE_SECONDS)
        except Exception as error:
            if not _is_of_the_network(error):
                raise
            constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was


def _refuse_silent(url: str) -> None:
    """Raise OSError unless the file is in torch's cache or its host answers."""
    from torch import hub

    if (Path(hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]).is_file():
        return
    request = urllib.request.Request(url, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=PATIENCE_SECONDS).close()
    except urllib.error.HTTPError:
        return  # the host answers; the download reports the status of the file itself
