"""The parts `activations`, `patches` and `filters`: what single channels of a network answer to.

Owns choosing channels and turning what `activation.py` and `receptive.py` find into pictures and words.
Legend: C channels, h and w of a map, K patches, F filters.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import ConfigError
from pipeline.core.samples import Floats, Ints, Strings
from pipeline.explain import activation, layers, maps
from pipeline.explain.activation import Strongest
from pipeline.explain.layers import ReceptiveField, fields
from pipeline.explain.scene import ExplainedImage, Layer, Net, Scene
from pipeline.pages.gallery import GalleryRow, GalleryTable, Panel, Picture, Pixels

WHAT = (
    "A channel is named here by what excites it, which is a description and no proof: it may answer to "
    "something that these images merely have in common."
)
GATES = (
    " This network has squeeze-and-excitation: besides its field, a unit gets one number a channel from "
    "the whole "
    "image, which is left out here."
)
FRAME = np.array([217, 47, 47], np.uint8)
# Filters narrower than this are too small to look like anything.
READABLE = 5
# Filters shown, those of the largest weights.
FILTERS = 48


@dataclass(frozen=True)
class ChannelResponses:
    """What a network's channels answered over a set of images.

    Args:
        net: whose channels.
        layers: that were watched.
        best: by layer name.
        ids_N: of the set, in the order of `best`'s positions.
        which: the set, in words.
    """

    net: Net
    layers: tuple[Layer, ...]
    best: dict[str, Strongest]
    ids_N: Strings
    which: str


def chosen_layers(scene: Scene, net: Net) -> tuple[Layer, ...]:
    """The layers of the settings, or the network's own choice.

    Raises:
        ConfigError: a name is no layer that can be shown.
    """
    names = scene.config.explain.units.layers
    if not names:
        return net.layers
    return layers.named(net.module, next(scene.unseen(net.fold)).x_BCHW[:1], names)


def is_frozen(scene: Scene) -> bool:
    """Whether the backbone was never trained here, so that no image is one that it saw."""
    return scene.config.train.strategy == "linear_probe"


def fair_ids(scene: Scene, net: Net) -> tuple[Strings, str]:
    """Images that the network never learned from, and who they are in words."""
    if is_frozen(scene):
        ids = scene.plan.covered
        return ids, f"all {len(ids):,} out-of-fold images (the backbone is frozen and learned from none)"
    ids = scene.plan.splits[net.fold].valid_ids
    return ids, f"the {len(ids):,} images of fold {net.fold}, which its network never learned from"


def channel_responses(scene: Scene, net: Net) -> ChannelResponses:
    """Watch the chosen layers of a network over the images that it never learned from."""
    chosen = chosen_layers(scene, net)
    ids, which = fair_ids(scene, net)
    batches = (batch.x_BCHW for batch in scene.batches("train", ids, net.fold))
    best = activation.strongest(net, batches, chosen, scene.config.explain.units.patches)
    return ChannelResponses(net, chosen, best, ids, which)


def activations(scene: Scene) -> Panel:
    """Maps of the channels that answer each of the first images unusually strongly.

    Raises:
        ConfigError: layers or channels of the settings that the network has not.
    """
    settings = scene.config.explain.units
    cases = scene.cases[: settings.images]
    seen: dict[int, ChannelResponses] = {}
    for case in cases:
        # A frozen backbone is the same in every fold.
        same = next(iter(seen.values()), None) if is_frozen(scene) else seen.get(case.fold)
        seen[case.fold] = same or channel_responses(scene, scene.net(case))
    rows = tuple(_activation_row(scene, case, seen[case.fold]) for case in cases)
    tables = tuple(_layer_table(found) for found in list(seen.values())[:1])
    return Panel(
        name="activations",
        title="Layer activations",
        lead="What single channels of a layer answer to an image, place by place. Of each layer the channels "
        "that answer this image most unusually: by how many standard deviations their strongest answer lies "
        "above their mean over images that the network never learned from.",
        rows=rows,
        tables=tables,
        notes=(
            "Each map has its own scale, from its smallest to its largest value: maps compare in shape, not "
            "in strength. Red is above zero, blue below; where a layer ends in a rectifier, nothing is "
            "below.",
            WHAT,
        ),
        warnings=() if cases else ("No image was asked for: name some with ID.",),
    )


def _activation_row(scene: Scene, case: ExplainedImage, seen: ChannelResponses) -> GalleryRow:
    given = activation.maps(seen.net, case.x_CHW[None], seen.layers)
    pictures = [maps.image(case)]
    for number, layer in enumerate(seen.layers):
        best, maps_Chw = seen.best[layer.name], given[layer.name][0]
        top_C = maps_Chw.max(axis=(1, 2))
        z_C = (top_C - best.mean_C) / np.maximum(best.std_C, activation.DEAD)
        z_C = np.where(best.dead_C, -np.inf, z_C)
        unusual = np.argsort(-z_C, kind="stable")[: scene.config.explain.units.shown]
        for channel in _channels(scene, layer, unusual[np.isfinite(z_C[unusual])]):
            z = z_C[channel]
            words = f"{z:+.1f} SD" if np.isfinite(z) else "answers all images alike"
            pictures.append(
                Picture(
                    f"layer{number}-{channel}",
                    f"channel {channel}: {words}",
                    signed(maps_Chw[channel]),
                    f"activation of channel {channel} of {maps.place(layer)} on {case.key}",
                    f"{maps.place(layer)}: {layer.channels} channels of {layer.grid[0]} × {layer.grid[1]}",
                )
            )
    return GalleryRow(case.key, maps.title(scene, case), tuple(pictures), case=case.key)


def _channels(scene: Scene, layer: Layer, by_default: Ints) -> list[int]:
    """The channels of the settings, which every layer must have, or these.

    Raises:
        ConfigError: a channel beyond the layer's.
    """
    wanted = scene.config.explain.units.channels
    return checked_channels("explain.units.channels", layer, wanted) or by_default.tolist()


def checked_channels(setting: str, layer: Layer, wanted: Sequence[int]) -> list[int]:
    """The channels, all of which the layer has.

    Raises:
        ConfigError: some are beyond its last one; names them.
    """
    odd = [str(channel) for channel in wanted if channel >= layer.channels]
    if odd:
        raise ConfigError(
            f"{setting}: {maps.place(layer)} has channels 0 to {layer.channels - 1}",
            [f"there is no channel {channel}" for channel in odd],
            "name a layer too, so that all of them have these channels",
        )
    return list(wanted)


def _layer_table(seen: ChannelResponses) -> GalleryTable:
    rows = []
    for layer in seen.layers:
        dead = int(seen.best[layer.name].dead_C.sum())
        grid = f"{layer.grid[0]} × {layer.grid[1]}"
        rows.append((maps.place(layer), layer.channels, grid, dead, dead / layer.channels))
    return GalleryTable(
        f"Layers of fold {seen.net.fold}",
        ("layer", "channels", "map", "silent channels", "share"),
        tuple(rows),
        f"A silent channel answers every image alike: it takes part in no decision. Over {seen.which}.",
    )


def patches(scene: Scene) -> Panel:
    """The patches that excite channels most, cropped by the receptive field.

    Raises:
        ConfigError: layers or channels of the settings that the network has not.
    """
    nets = list(scene.nets.values()) if scene.config.explain.units.every_fold else [scene.lead]
    rows: list[GalleryRow] = []
    tables, warnings, which = [], [], []
    for net in nets:
        seen = channel_responses(scene, net)
        field = fields(net, seen.layers, seen_size(scene, net))
        for layer in seen.layers:
            rows += _patch_rows(scene, seen, layer, field[layer.name])
        tables.append(_field_table(seen, field))
        which.append(seen.which)
        whole = [maps.place(layer) for layer in seen.layers if field[layer.name].is_whole]
        if whole:
            warnings.append(_not_cropped(net, whole))
    return Panel(
        name="patches",
        title="Patches that excite a channel most",
        lead="Of each layer the channels whose best images stand out most from the rest, and the patch of "
        "the "
        "image that each saw at its strongest place: what a channel's patches have in common is what it "
        "answers to.",
        rows=tuple(rows),
        tables=tuple(tables),
        notes=(
            f"Searched: {'; '.join(which)}. One patch an image. Channels of two folds' networks have nothing "
            "to do with each other, so the search never mixes networks.",
            "The crop is the receptive field, measured on the network itself: every pixel that can reach the "
            "unit, no more. After Zeiler and Fergus 2014 (https://arxiv.org/abs/1311.2901).",
            WHAT + " Channels were picked for standing out, so some will look like a class by luck.",
        ),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def seen_size(scene: Scene, net: Net) -> tuple[int, int]:
    """Height and width of the images as the network sees them, px."""
    height, width = next(scene.unseen(net.fold)).x_BCHW.shape[2:]
    return int(height), int(width)


def _not_cropped(net: Net, whole: list[str]) -> str:
    """Why patches of some layers are whole images."""
    names = ", ".join(whole)
    if any(layer.form == "tokens" for layer in net.layers):
        return (
            f"{names}: not cropped. A receptive field is not defined for a transformer's tokens: attention "
            "lets each of them see the whole image. The frame marks the token's own place."
        )
    return (
        f"{names}: not cropped, as some of their units see the whole image (a deep layer, or one that "
        f"mixes all "
        "places, as attention does). The frame marks the unit's own place."
    )


def _patch_rows(
    scene: Scene, seen: ChannelResponses, layer: Layer, field: ReceptiveField
) -> list[GalleryRow]:
    best = seen.best[layer.name]
    channels = _channels(scene, layer, best.selective(scene.config.explain.units.shown))
    wanted = np.unique(best.image_KC[:, channels])
    pixels = _pixels(scene, seen, wanted)
    labels = dict(zip(scene.samples.ids_N.tolist(), scene.samples.labels.tolist(), strict=True))
    rows = []
    for channel in channels:
        pictures, classes = [], []
        for k in range(len(best.value_KC)):
            at = int(best.image_KC[k, channel])
            name = str(seen.ids_N[at])
            place = int(best.row_KC[k, channel]), int(best.column_KC[k, channel])
            patch = _patch(pixels[at], field, place, layer.grid)
            shown_class = scene.space.classes[labels[name]]
            classes.append(shown_class)
            title = f"train/{name}, {shown_class}: activation {best.value_KC[k, channel]:.3g}"
            pictures.append(Picture(f"patch-{k + 1}", shown_class, patch, title))
        common = ", ".join(f"{n} × {word}" for word, n in Counter(classes).most_common(3))
        dead = " It answers every image alike." if best.dead_C[channel] else ""
        z = float((best.value_KC[:, channel].mean() - best.mean_C[channel]) / max(best.std_C[channel], 1e-12))
        note = f"{common}; on average {z:.1f} standard deviations above the mean image.{dead}"
        title = f"{maps.place(layer)}, channel {channel} (fold {seen.net.fold})"
        folder = f"fold{seen.net.fold}-{maps.place(layer).replace('.', '-')}-{channel}"
        rows.append(GalleryRow(folder, title, tuple(pictures), note))
    return rows


def _pixels(scene: Scene, seen: ChannelResponses, at: Ints) -> dict[int, Pixels]:
    """The images at these positions of the set, as the network sees them."""
    found = [
        image
        for batch in scene.batches("train", seen.ids_N[at], seen.net.fold)
        for image in batch.pixels_BHWC
    ]
    return dict(zip(at.tolist(), found, strict=True))


def _patch(
    pixels_HWC: Pixels, field: ReceptiveField, place: tuple[int, int], grid: tuple[int, int]
) -> Pixels:
    """What the unit saw; where it sees all of the image, the image with a frame about its own place."""
    if not field.is_whole:
        rows, columns = field.window(*place)
        return np.ascontiguousarray(pixels_HWC[rows, columns])
    framed = maps.shown(pixels_HWC)
    ends = [
        (side * at // cells, max(math.ceil(side * (at + 1) / cells), side * at // cells + 1))
        for side, at, cells in zip(framed.shape[:2], place, grid, strict=True)
    ]
    (top, bottom), (left, right) = ends
    for width in range(3):
        framed[min(top + width, bottom - 1), left:right] = FRAME
        framed[max(bottom - 1 - width, top), left:right] = FRAME
        framed[top:bottom, min(left + width, right - 1)] = FRAME
        framed[top:bottom, max(right - 1 - width, left)] = FRAME
    return framed


def _field_table(seen: ChannelResponses, field: dict[str, ReceptiveField]) -> GalleryTable:
    rows = []
    for layer in seen.layers:
        height, width = field[layer.name].size_px
        silent = int(seen.best[layer.name].dead_C.sum())
        sees = "the whole image" if field[layer.name].is_whole else f"{height} × {width} px"
        grid = f"{layer.grid[0]} × {layer.grid[1]}"
        rows.append((maps.place(layer), layer.channels, silent, grid, sees))
    return GalleryTable(
        f"What a unit of each layer sees (fold {seen.net.fold})",
        ("layer", "channels", "silent", "map", "receptive field"),
        tuple(rows),
        "Silent channels answer every image alike. A unit at the border sees less."
        + (GATES if any(one.gated for one in field.values()) else ""),
    )


def filters(scene: Scene) -> Panel:
    """The filters of the first convolution."""
    net = scene.lead
    found = activation.first_filters(net)
    lead = (
        "The weights of the first convolution, as colours of the pixels that they look at: grey is no "
        "weight, a "
        "filter answers most to a patch that looks like itself. Each has its own scale."
    )
    if found is None:
        return Panel(
            "filters", "First-layer filters", lead, warnings=("This network has no such convolution.",)
        )
    number, height, width, _ = found.x_FHW3.shape
    copies = activation.likeness(found)
    weak = int((found.largest_F < 0.01 * found.largest_F.max()).sum())
    table = GalleryTable(
        f"First convolution: {found.name}",
        ("filters", "size", "nearly copies of another", "next to no weight"),
        ((number, f"{height} × {width}", copies, weak),),
        "A copy, up to its sign, or a filter without weight adds nothing.",
    )
    most = np.argsort(-found.largest_F, kind="stable")[:FILTERS]
    pictures = tuple(
        Picture(f"filter-{f}", f"{f}: up to {found.largest_F[f]:.2g}", _filter(found.x_FHW3[f])) for f in most
    )
    small = (
        f"Filters of {height} × {width} are too small to look like anything; larger ones show edges, "
        f"colours and "
        "gratings when trained well, and noise when trained too little.",
    )
    large = (
        "Smooth edges, colours and gratings tell of good training; noise tells of too little, or of too "
        "large a "
        "learning rate.",
    )
    return Panel(
        "filters",
        "First-layer filters",
        lead,
        (GalleryRow("filters", f"{found.name} of fold {net.fold}, largest weight first", pictures),),
        (table,),
        notes=small if max(height, width) < READABLE else large,
        figures={"copies": float(copies), "weak": float(weak)},
    )


def signed(map_hw: Floats) -> Pixels:
    """A map cell by cell: red above zero, blue below, white at zero."""
    share = np.clip(map_hw / max(float(np.abs(map_hw).max()), 1e-12), -1, 1)[..., None]
    red, blue = np.array([178, 24, 43], np.float32), np.array([33, 102, 172], np.float32)
    ends = np.where(share > 0, red, blue)
    colour = 255 + (ends - 255) * np.abs(share)
    return maps.shown(np.asarray(colour.round(), dtype=np.uint8))


def _filter(x_HW3: Floats) -> Pixels:
    return maps.shown(np.asarray((x_HW3 * 255).round(), dtype=np.uint8))
