import numpy as np
import pandas as pd
from analyze_cases import HOSTILE

from pipeline.data import crop
from pipeline.data import crop as boxes
from pipeline.resample import preview, preview_page
from pipeline.resample.preview_page import Boxed, CropSheet, Pair, PreviewInputs, PreviewRow
from pipeline.settings.competition import AttributeSettings, CompetitionSettings
from pipeline.settings.schema import Config


def noise(seed, height=20, width=30):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def preview_inputs(crop=True, steps=("preprocess.clahe=2.0",)):
    attribute = AttributeSettings(name="mask", column="m", values=["a", "b"], forbids=["colour"])
    coverage = pd.DataFrame({"split": ["test", "train"], "id": ["t", "i"], "inside": [0.25, 1.0]})
    sheet = CropSheet(
        preview_page.crop_table(coverage, {"train": 2, "test": 1}),
        (Boxed("test", HOSTILE[1], 0.25, noise(5)),),
        ("a note",),
    )
    rows = [
        PreviewRow(f"i{n} {HOSTILE[0]}", HOSTILE[2], {"original": noise(n), "epoch 1": noise(n + 9)})
        for n in range(2)
    ]
    return PreviewInputs(
        title=f"photos {HOSTILE[0]}",
        config=Config(competition=CompetitionSettings(attributes=[attribute])),
        rows=tuple(rows),
        pairs=(Pair("train", "i0", noise(11), noise(12)),) if steps else (),
        steps=steps,
        does=("hflip", "rotation"),
        crop=sheet if crop else None,
    )


def test_the_page_tells_everything_and_escapes_names():
    page = preview_page.render_html(preview_inputs())
    for told in (
        "mask forbids colour",
        "preprocess.clahe=2.0",
        "25\u00a0% inside",
        "a note",
        "before → after",
    ):
        assert told in page
    assert "light (hflip, rotation)" in page
    assert not any(name in page for name in HOSTILE if "<" in name)
    assert page.count("data:image/webp") == 7


def test_without_boxes_or_steps_the_page_says_which_setting_shows_them():
    page = preview_page.render_html(preview_inputs(crop=False, steps=()))
    assert "crop.boxes=haar:frontalface_default" in page and "preprocess.clahe=2 " in page


def test_crop_table_counts_whole_boxes_train_and_test_apart():
    inside = [1.0, 0.999, 0.5, 0.0]
    coverage = pd.DataFrame({"split": ["train"] * 4, "id": list("abcd"), "inside": inside})
    table = preview_page.crop_table(coverage, {"train": 9, "test": 3})
    assert table.values.tolist() == [["train", 9, 4, "50\u00a0%", "62\u00a0%"], ["test", 3, 0, "–", "–"]]


def test_windows_and_boxes_are_drawn_on_a_copy():
    image = np.full((60, 60, 3), 255, np.uint8)
    out = preview_page.drawn(image, (10, 10, 50, 50), (20, 20, 30, 30))
    assert (image == 255).all() and out.shape == image.shape
    assert tuple(out[10, 30]) == preview_page.WINDOW_COLOUR and tuple(out[20, 25]) == preview_page.BOX_COLOUR
    assert tuple(out[5, 5]) == (255, 255, 255) and tuple(out[49, 30]) == preview_page.WINDOW_COLOUR


def test_the_png_has_a_cell_for_each_picture_in_its_shape():
    rows = preview_inputs().rows
    sheet = np.asarray(preview_page.render_png(rows, 60))
    step = 60 + preview_page.GAP_PX
    assert sheet.shape[1] == preview_page.GAP_PX + 2 * step
    # 30 × 20 px fitted into 60 px: white above and below.
    top = preview_page.HEADER_PX + preview_page.GAP_PX
    assert (sheet[top : top + 9, 6:66] == 255).all() and not (sheet[top + 15 : top + 45, 6:66] == 255).all()


def test_images_without_any_box_give_an_empty_sheet():
    none = preview.boxes_of(boxes.table([]), [("train", "a")])
    assert list(none.columns) == list(boxes.COLUMNS)
    assert crop.coverage(crop.CropPlan(), none, {("train", "a"): (8, 8)}).empty
    two = boxes.table([("train", "a", 0, 0, 0.5, 0.5), ("test", "a", 0, 0, 0.5, 0.5)])
    assert preview.boxes_of(two, [("test", "a")])["split"].tolist() == ["test"]
