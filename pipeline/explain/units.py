"""The panels `activations`, `patches` and `filters`: what single channels of a network respond to.

Owns choosing channels and turning what `activation.py` and `layers.py` measure into pictures and tables.

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
from pipeline.data.channels import preview
from pipeline.data.several import shown_name
from pipeline.explain import activation, layers, maps, texts
from pipeline.explain.activation import Strongest
from pipeline.explain.layers import ReceptiveField, fields
from pipeline.explain.scene import ExplainedImage, Layer, Net, Scene
from pipeline.pages.gallery import GalleryRow, GalleryTable, Panel, Picture, Pixels

FRAME = np.array([217, 47, 47], np.uint8)
# Filters narrower than this are too small to look like anything.
READABLE = 5
# Number of filters shown: those with the largest weights.
FILTERS = 48


@dataclass(frozen=True)
class ChannelResponses:
    """The strongest responses of channels over a set of images, by layer; `which` is the set in words."""

    net: Net
    layers: tuple[Layer, ...]
    best: dict[str, Strongest]
    ids_N: Strings
    which: str


def chosen_layers(scene: Scene, net: Net) -> tuple[Layer, ...]:
    """The layers of the settings, or the network's own choice.

    Raises:
        ConfigError: a name is not a layer that can be shown.
    """
    names = scene.config.explain.units.layers
    if not names:
        return net.layers
    return layers.named(net.module, next(scene.unseen(net.fold)).x_BCHW[:1], names)


def is_frozen(scene: Scene) -> bool:
    """Whether the backbone was not trained here, so that it saw none of the images."""
    return scene.config.train.strategy == "linear_probe"


def fair_ids(scene: Scene, net: Net) -> tuple[Strings, str]:
    """Images that the network was not trained on, and a description of them."""
    if is_frozen(scene):
        ids = scene.plan.covered
        return ids, texts.UNITS_ALL.format(n=len(ids))
    ids = scene.plan.splits[net.fold].valid_ids
    return ids, texts.UNITS_OF_FOLD.format(n=len(ids), fold=net.fold)


def channel_responses(scene: Scene, net: Net) -> ChannelResponses:
    """Measure the chosen layers of a network over the images that it was not trained on."""
    chosen = chosen_layers(scene, net)
    ids, which = fair_ids(scene, net)
    batches = (batch.x_BCHW for batch in scene.batches("train", ids, net.fold))
    best = activation.strongest(net, batches, chosen, scene.config.explain.units.patches)
    return ChannelResponses(net, chosen, best, ids, which)


def activations(scene: Scene) -> Panel:
    """Maps of the channels that respond unusually strongly to each of the first images.

    Raises:
        ConfigError: the network lacks layers or channels of the settings.
    """
    settings = scene.config.explain.units
    cases = scene.cases[: settings.images]
    seen: dict[int, ChannelResponses] = {}
    for case in cases:
        # A frozen backbone is the same in every fold.
        same = next(iter(seen.values()), None) if is_frozen(scene) else seen.get(case.fold)
        seen[case.fold] = same or channel_responses(scene, scene.net(case))
    rows = tuple(_activation_row(scene, case, seen[case.fold]) for case in cases)
    coarse = [
        layer for one in list(seen.values())[:1] for layer in one.layers if layer not in _fine(scene, one)
    ]
    left_out = (
        ()
        if not coarse
        else (
            texts.ACTIVATIONS_COARSE.format(
                layers=", ".join(maps.place(layer) for layer in coarse), least=maps.LEAST_CELLS
            ),
        )
    )
    tables = tuple(_layer_table(responses) for responses in list(seen.values())[:1])
    return Panel(
        name="activations",
        title=texts.ACTIVATIONS_TITLE,
        lead=texts.ACTIVATIONS_LEAD,
        rows=rows,
        tables=tables,
        notes=(*left_out, texts.ACTIVATIONS_SCALE, texts.UNITS_CAUTION),
        warnings=() if cases else (texts.NO_IMAGE,),
    )


def _activation_row(scene: Scene, case: ExplainedImage, seen: ChannelResponses) -> GalleryRow:
    given = activation.maps(seen.net, case.x_CHW[None], seen.layers)
    pictures = [maps.image(case)]
    fine = _fine(scene, seen)
    for number, layer in enumerate(seen.layers):
        if layer not in fine:
            continue
        best, maps_Chw = seen.best[layer.name], given[layer.name][0]
        z_C = best.z(maps_Chw.max(axis=(1, 2)))
        unusual = np.argsort(-z_C, kind="stable")[: scene.config.explain.units.shown]
        for channel in _channels(scene, layer, unusual[np.isfinite(z_C[unusual])]):
            z = z_C[channel]
            response = texts.ACTIVATIONS_SD.format(z=z) if np.isfinite(z) else texts.ACTIVATIONS_DEAD
            pictures.append(
                Picture(
                    f"layer{number}-{channel}",
                    texts.ACTIVATIONS_CAPTION.format(channel=channel, response=response),
                    signed(maps_Chw[channel]),
                    texts.ACTIVATIONS_PICTURE.format(channel=channel, layer=maps.place(layer), key=case.key),
                    texts.UNITS_LAYER_GROUP.format(
                        layer=maps.place(layer), channels=layer.channels, h=layer.grid[0], w=layer.grid[1]
                    ),
                )
            )
    return GalleryRow(case.key, maps.title(scene, case), tuple(pictures), case=case.key)


def _fine(scene: Scene, seen: ChannelResponses) -> list[Layer]:
    """The layers whose maps have enough cells to show a place, those of the settings, or the finest one."""
    if scene.config.explain.units.layers:
        return list(seen.layers)
    fine = [layer for layer in seen.layers if min(layer.grid) >= maps.LEAST_CELLS]
    return fine or [max(seen.layers, key=lambda layer: min(layer.grid))]


def _channels(scene: Scene, layer: Layer, by_default: Ints) -> list[int]:
    """The channels of the settings, which every layer must have, or these defaults.

    Raises:
        ConfigError: a channel beyond the layer's.
    """
    wanted = scene.config.explain.units.channels
    return checked_channels("explain.units.channels", layer, wanted) or by_default.tolist()


def checked_channels(setting: str, layer: Layer, wanted: Sequence[int]) -> list[int]:
    """The channels, if the layer has all of them.

    Raises:
        ConfigError: lists those beyond its last one.
    """
    missing = [channel for channel in wanted if channel >= layer.channels]
    if missing:
        raise ConfigError(
            texts.UNITS_CHANNELS.format(setting=setting, layer=maps.place(layer), last=layer.channels - 1),
            [texts.UNITS_NO_CHANNEL.format(channel=channel) for channel in missing],
            texts.UNITS_NAME_LAYERS,
        )
    return list(wanted)


def _layer_table(seen: ChannelResponses) -> GalleryTable:
    rows = []
    for layer in seen.layers:
        dead = int(seen.best[layer.name].dead_C.sum())
        grid = f"{layer.grid[0]} × {layer.grid[1]}"
        rows.append((maps.place(layer), layer.channels, grid, dead, dead / layer.channels))
    return GalleryTable(
        texts.LAYERS_TABLE.format(fold=seen.net.fold),
        texts.LAYERS_COLUMNS,
        tuple(rows),
        texts.LAYERS_NOTE.format(images=seen.which),
    )


def patches(scene: Scene) -> Panel:
    """The patches that excite channels most, cropped by the receptive field.

    Raises:
        ConfigError: the network lacks layers or channels of the settings.
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
        uncropped = [maps.place(layer) for layer in seen.layers if field[layer.name].is_whole]
        if uncropped:
            has_tokens = any(layer.form == "tokens" for layer in net.layers)
            template = texts.PATCHES_TOKENS if has_tokens else texts.PATCHES_WHOLE
            warnings.append(template.format(layers=", ".join(uncropped)))
    return Panel(
        name="patches",
        title=texts.PATCHES_TITLE,
        lead=texts.PATCHES_LEAD,
        rows=tuple(rows),
        tables=tuple(tables),
        notes=(
            texts.PATCHES_SEARCHED.format(images="; ".join(which)),
            texts.PATCHES_CROP,
            texts.UNITS_CAUTION + texts.PATCHES_CHANCE,
        ),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def seen_size(scene: Scene, net: Net) -> tuple[int, int]:
    """Height and width of the images as the network sees them, px."""
    height, width = next(scene.unseen(net.fold)).x_BCHW.shape[2:]
    return int(height), int(width)


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
            label = scene.space.classes[labels[name]]
            classes.append(label)
            value = best.value_KC[k, channel]
            title = texts.PATCHES_PICTURE.format(id=shown_name(name), name=label, value=value)
            pictures.append(Picture(f"patch-{k + 1}", label, patch, title))
        common = ", ".join(f"{n} × {word}" for word, n in Counter(classes).most_common(3))
        dead = texts.PATCHES_DEAD if best.dead_C[channel] else ""
        z = float((best.value_KC[:, channel].mean() - best.mean_C[channel]) / max(best.std_C[channel], 1e-12))
        note = texts.PATCHES_NOTE.format(classes=common, z=z, dead=dead)
        title = texts.PATCHES_ROW.format(layer=maps.place(layer), channel=channel, fold=seen.net.fold)
        folder = f"fold{seen.net.fold}-{maps.place(layer).replace('.', '-')}-{channel}"
        rows.append(GalleryRow(folder, title, tuple(pictures), note))
    return rows


def _pixels(scene: Scene, seen: ChannelResponses, at: Ints) -> dict[int, Pixels]:
    """The images at these positions of the set, as the network sees them."""
    batches = scene.batches("train", seen.ids_N[at], seen.net.fold)
    images = [image for batch in batches for image in batch.pixels_BHWC]
    return dict(zip(at.tolist(), images, strict=True))


def _patch(
    pixels_HWC: Pixels, field: ReceptiveField, place: tuple[int, int], grid: tuple[int, int]
) -> Pixels:
    """What the unit saw; if it sees the whole image, the image with a frame around the unit's own place."""
    if not field.is_whole:
        rows, columns = field.window(*place)
        return np.ascontiguousarray(preview(pixels_HWC)[rows, columns])
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
        dead = int(seen.best[layer.name].dead_C.sum())
        sees = texts.FIELDS_WHOLE if field[layer.name].is_whole else f"{height} × {width} px"
        grid = f"{layer.grid[0]} × {layer.grid[1]}"
        rows.append((maps.place(layer), layer.channels, dead, grid, sees))
    return GalleryTable(
        texts.FIELDS_TABLE.format(fold=seen.net.fold),
        texts.FIELDS_COLUMNS,
        tuple(rows),
        texts.FIELDS_NOTE + (texts.UNITS_GATES if any(one.gated for one in field.values()) else ""),
    )


def filters(scene: Scene) -> Panel:
    """The filters of the first convolution."""
    net = scene.lead
    first = activation.first_filters(net)
    if first is None:
        return Panel("filters", texts.FILTERS_TITLE, texts.FILTERS_LEAD, warnings=(texts.FILTERS_NONE,))
    number, height, width, _ = first.x_FHW3.shape
    copies = activation.likeness(first)
    weak = int((first.largest_F < 0.01 * first.largest_F.max()).sum())
    table = GalleryTable(
        texts.FILTERS_TABLE.format(name=first.name),
        texts.FILTERS_COLUMNS,
        ((number, f"{height} × {width}", copies, weak),),
        texts.FILTERS_NOTE,
    )
    small = texts.FILTERS_SMALL.format(h=height, w=width)
    most = np.argsort(-first.largest_F, kind="stable")[:FILTERS]
    pictures = tuple(
        Picture(
            f"filter-{f}",
            texts.FILTERS_CAPTION.format(number=f, largest=first.largest_F[f]),
            maps.shown(np.asarray((first.x_FHW3[f] * 255).round(), dtype=np.uint8)),
        )
        for f in most
    )
    return Panel(
        "filters",
        texts.FILTERS_TITLE,
        texts.FILTERS_LEAD,
        (GalleryRow("filters", texts.FILTERS_ROW.format(name=first.name, fold=net.fold), pictures),),
        (table,),
        notes=(small if max(height, width) < READABLE else texts.FILTERS_LARGE,),
        figures={"copies": float(copies), "weak": float(weak)},
    )


def signed(map_hw: Floats) -> Pixels:
    """A map cell by cell: red above zero, blue below, white at zero."""
    share = np.clip(map_hw / max(float(np.abs(map_hw).max()), 1e-12), -1, 1)[..., None]
    red, blue = np.array([178, 24, 43], np.float32), np.array([33, 102, 172], np.float32)
    ends = np.where(share > 0, red, blue)
    colour = 255 + (ends - 255) * np.abs(share)
    return maps.shown(np.asarray(colour.round(), dtype=np.uint8))
