"""The sections `images`, `crop`, `preprocess` and `preview`: from a file to the pixels that a model sees.

Owns their fields and rules. Does not own augmentation (`settings/augment.py`), which changes training images
only.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Discriminator, Tag, field_validator

from pipeline.core.language import _
from pipeline.core.plugin import is_plugin
from pipeline.core.wording import worded
from pipeline.settings.fields import (
    Broken,
    Rectangle,
    Section,
    Sections,
    Share,
    Side,
    fact,
    fact_if_chosen,
    fact_or_file,
    neutral,
    rule,
)

# Channels of an image, and images of a sample where a setting says no less.
MOST_CHANNELS, MOST_IMAGES = 8, 64
DETECTOR = re.compile(r"(haar:[a-z0-9_]+|lbp:frontalface)")


class TilesSettings(Section):
    """Tiles of large pictures, which are several images of one sample."""

    size: int = fact(
        ..., "side of a tile, px of the decoded picture, whose longest side is images.cache_px", ge=16
    )
    stride: int | None = fact(None, "px from one tile to the next; None: `size`, without overlap", ge=8)
    drop_background: bool = fact(True, "leave out tiles that are nearly all background, or of one colour")
    most: int = fact(16, "tiles of a picture at most: those that vary most", ge=1, le=MOST_IMAGES)


class ImageSettings(Section):
    """From a file to the pixels a model sees."""

    size: Annotated[
        Annotated[Side, Tag("square")] | Annotated[Rectangle, Tag("rectangle")],
        Discriminator(lambda value: "rectangle" if isinstance(value, list) else "square"),
    ] = fact(64, "size of a model's input, px: the side of a square, or [height, width]")
    store_px: int | None = fact_if_chosen(
        None,
        "longest side of prepared images, px, if larger than `size`: random crops, zooms and views at other "
        "scales then see that detail; None: `size`",
        ge=16,
        le=4096,
    )
    cache_px: int = fact(512, "longest side of decoded images on the disk, px", ge=16, le=4096)
    resize: Literal["squash", "letterbox", "cover"] = fact(
        "squash", "squash: both sides to size; letterbox: pad with white; cover: crop the middle"
    )
    truncated: Literal["quarantine", "allow"] = fact(
        "quarantine", "truncated files; allow: the readable part is used, the rest is grey or black"
    )
    max_megapixels: float = fact(
        180.0, "files that declare more are rejected unread, as decompression bombs", gt=0, le=10_000
    )
    range: list[float] | None = fact(
        None,
        "[black, white]: for images with more than 8 bits a channel (16-bit, float, CT), the values that "
        "become black and white; null: measured on the training images",
        min_length=2,
        max_length=2,
    )
    reader: Literal["auto", "pixels", "hdf5", "arrays"] = fact(
        "auto",
        "what reads a file that holds several images, where `train_images` is such a file: pixels of a table "
        "(CSV, JSON, Parquet), HDF5, or NumPy arrays; auto: by its extension",
    )
    columns: list[str] = fact(
        [],
        "columns of a table that hold the pixels, as names or patterns: [pixel*], [band_1, band_2]; "
        "empty: found",
    )
    key: str | None = fact(
        None,
        "column of image names in a table of pixels, or the group or array inside an HDF5 or .npz file; "
        "None: found",
    )
    shape: list[int] | None = fact(
        None,
        "shape of images that are written as plain numbers: [height, width], [height, width, 3] pixel by "
        "pixel, or [3, height, width] band by band; None: one band, and square",
        min_length=2,
        max_length=3,
    )
    bands: list[int] | None = fact(
        None,
        "bands of arrays that become the channels, from 0; with channels=3 one band is grey; None: all",
        min_length=1,
        max_length=MOST_CHANNELS,
    )
    channels: int = fact_if_chosen(
        3,
        "channels of a model's input; 3: red, green and blue; 1: grey; others: as many bands of an array or "
        "a TIFF, pages (`pages`) or files per channel (`competition.channel_files`)",
        ge=1,
        le=MOST_CHANNELS,
    )
    pages: Literal["first", "channels", "images"] = fact_if_chosen(
        "first",
        "TIFFs of several pages and DICOM files of several frames; first: only the first one is used; "
        "channels: each page, in grey, is a channel; images: each page is an image of the sample",
    )
    tiles: TilesSettings | None = fact_if_chosen(
        None, "cut pictures into tiles, which are pooled like several images: {size: 256, stride: 192}"
    )
    window: Literal["set", "file", "image"] = fact(
        "set",
        "black and white of images with more than 8 bits a channel; set: one range for all, measured or "
        "`range`; image: each by its own values, where what matters is small against the differences between "
        "images; file: of DICOM files, by the window that each names",
    )
    # Neutral, because it never changes a decoded image: with `drop` the images are an input of the data.
    quarantine: Literal["error", "drop"] = neutral(
        "error", "images that do not decode; drop: left out of training, and white in the test set"
    )
    cache_gb: float = neutral(
        50.0, "prepared images on the disk; above this size, the least recently used ones are deleted", gt=0
    )

    @field_validator("size")
    @classmethod
    def _square(cls, size: int | list[int]) -> int | list[int]:
        """A square has one spelling, so it has one content key."""
        return size[0] if isinstance(size, list) and size[0] == size[1] else size

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width of a model's input, px."""
        return (self.size[0], self.size[1]) if isinstance(self.size, list) else (self.size, self.size)

    @property
    def stored_hw(self) -> tuple[int, int]:
        """Height and width of prepared images, px: those of a model's input, or larger in the same shape."""
        longest = max(self.hw)
        if self.store_px is None or self.store_px <= longest:
            return self.hw
        height, width = (round(side * self.store_px / longest) for side in self.hw)
        return height, width


class CropSettings(Section):
    """The part of an image that is kept before resizing; see `pipeline/data/crop.py`."""

    method: Literal["none", "centre", "fixed", "statistics", "own_box"] = fact(
        "none",
        "centre: the middle; fixed: `window`; statistics: one window for all, from the training boxes; "
        "own_box: each image's own box, or the statistics window if it has none",
    )
    share: float = fact(0.8, "centre: share of each side that is kept", gt=0, le=1)
    window: list[Share] | None = fact(
        None, "fixed: left, top, width, height as shares of the image", min_length=4, max_length=4
    )
    boxes: str | None = fact_or_file(
        None,
        "boxes.csv (id,x,y,w,h in px of the upright image; relative to competition.root), or a detector: "
        "haar:frontalface_default and other cascades of OpenCV, lbp:frontalface of scikit-image",
    )
    k_std: float = fact(2.0, "statistics: mean box edges ± k standard deviations", ge=0, le=10)
    margin: float = fact(0.2, "own_box: added on each side, as a share of the box's longer side", ge=0, le=5)
    outlier: float = fact(
        3.5, "boxes further than this many robust deviations from the median are dropped", gt=0
    )


class PreprocessSettings(Section):
    """Fixed changes of every image, in training and test; see `pipeline/data/preprocess.py`."""

    white_balance: Literal["none", "grey_world"] = fact("none", "grey_world: equal mean of red, green, blue")
    saturation: float = fact(1.0, "factor of the colour saturation; 0: grey", ge=0, le=5)
    brightness: float = fact(0.0, "added to every pixel, as a share of white", ge=-1, le=1)
    contrast: float = fact(1.0, "factor of the difference from middle grey", ge=0, le=5)
    clahe: float = fact(0.0, "clip limit of local contrast equalisation, 2 is usual; 0: off", ge=0, le=40)
    clahe_tiles: int = fact(4, "tiles of CLAHE along each side", ge=1, le=32)
    sharpen: float = fact(0.0, "amount of unsharp masking, 1 is strong; 0: off", ge=0, le=10)
    function: str | None = fact(
        None, "module:function of your own, on the cropped image before it is resized; docs/plugins.md"
    )


class PreviewSettings(Section):
    """The preview of training images."""

    images: int = fact(
        8, "rows of the preview, an image each; every class once before any twice", ge=1, le=64
    )
    draws: int = fact(6, "augmented draws per row: the first epochs of fold 0", ge=1, le=24)
    pairs: int = fact(12, "images on the before-and-after sheet, half from the test set", ge=2, le=100)


@rule("images")
def size_within_cache(s: Sections) -> Iterator[Broken]:
    """A model's input is not larger than prepared images, nor these than decoded ones."""
    images = s["images"]
    if max(images.hw) > images.cache_px:
        message = _("{size} is larger than images.cache_px={cache_px}: raise images.cache_px too").format(
            size=images.size, cache_px=images.cache_px
        )
        yield "images.size", message
    stored = images.store_px
    if stored is not None and stored < max(images.hw):
        message = _("{stored} is smaller than images.size={size}: raise it, or leave it out").format(
            stored=stored, size=images.size
        )
        yield "images.store_px", message
    if stored is not None and stored > images.cache_px:
        message = _("{stored} is larger than images.cache_px={cache_px}: raise images.cache_px too").format(
            stored=stored, cache_px=images.cache_px
        )
        yield "images.store_px", message


@rule("images")
def shape_of_images(s: Sections) -> Iterator[Broken]:
    """Sides are at least one, and as many bands are chosen as there are channels, counted from 0."""
    images = s["images"]
    if images.shape is not None and min(images.shape) < 1:
        yield "images.shape", _("{shape} has a side below 1").format(shape=images.shape)
    if images.bands is None:
        return
    counts = (1, 3) if images.channels == 3 else (images.channels,)
    if min(images.bands) < 0 or len(images.bands) not in counts:
        words = _("one or three bands") if images.channels == 3 else worded(_("{n:band}"), n=images.channels)
        yield (
            "images.bands",
            _("{bands} are not {words}, counted from 0, and images.channels={channels}").format(
                bands=images.bands, words=words, channels=images.channels
            ),
        )


@rule("images", "preprocess", "crop")
def colours_of_channels(s: Sections) -> Iterator[Broken]:
    """What is about red, green and blue needs three channels."""
    images, preprocess, default = s["images"], s["preprocess"], PreprocessSettings()
    if images.channels == 3:
        return
    for name in ("white_balance", "saturation"):
        if getattr(preprocess, name) != getattr(default, name):
            message = _("is about red, green and blue, and images.channels={channels}: leave it out").format(
                channels=images.channels
            )
            yield f"preprocess.{name}", message


@rule("images")
def range_in_order(s: Sections) -> Iterator[Broken]:
    """Black is below white."""
    ends = s["images"].range
    if ends is not None and s["images"].window == "image":
        yield (
            "images.range",
            _("is one range for all, and images.window=image takes each image's own: keep one"),
        )
    if ends is not None and not ends[0] < ends[1]:
        yield "images.range", _("{ends} is not [black, white] with black below white").format(ends=ends)


@rule("crop")
def crop_method(s: Sections) -> Iterator[Broken]:
    """Each method has the setting that it needs, and the window is inside the image."""
    crop = s["crop"]
    if crop.method in ("statistics", "own_box") and crop.boxes is None:
        message = _("is missing: crop.method={method} needs boxes.csv or haar:frontalface_default").format(
            method=crop.method
        )
        yield "crop.boxes", message
    if crop.boxes is not None and not crop.boxes.endswith(".csv") and not DETECTOR.fullmatch(crop.boxes):
        yield (
            "crop.boxes",
            _("`{boxes}` is not one of: FILE.csv, haar:NAME, lbp:frontalface").format(boxes=crop.boxes),
        )
    if crop.method == "fixed" and crop.window is None:
        yield "crop.window", _("is missing: crop.method=fixed needs [left, top, width, height] as shares")
    if crop.window is not None:
        left, top, width, height = crop.window
        if width <= 0 or height <= 0:
            yield "crop.window", _("has no area: width and height must be above 0")
        if left + width > 1 + 1e-9 or top + height > 1 + 1e-9:
            yield "crop.window", _("leaves the image: left + width and top + height must be at most 1")


@rule("preprocess")
def own_preprocessing(s: Sections) -> Iterator[Broken]:
    """The user's own function is written as module:function."""
    name = s["preprocess"].function
    if name is not None and not is_plugin(name):
        yield (
            "preprocess.function",
            _("`{name}` is not of the form module:function; see docs/plugins.md").format(name=name),
        )


@rule("images")
def tiles_of_pictures(s: Sections) -> Iterator[Broken]:
    """A tile is a part of the decoded picture."""
    images = s["images"]
    if images.tiles is None:
        return
    if images.tiles.size > images.cache_px:
        message = _("{size} is larger than images.cache_px={cache_px}: raise that, too").format(
            size=images.tiles.size, cache_px=images.cache_px
        )
        yield "images.tiles.size", message
