import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import DataError
from pipeline.data import crop
from pipeline.data.preprocess import Look
from pipeline.settings.images import CropSettings
from pipeline.settings.load import load


def some_boxes(n=40, seed=0, test=10):
    """Boxes around (.5, .4), a fifth of the image, spread by 2 % of it."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n + test):
        x, y = rng.normal(0.4, 0.02), rng.normal(0.3, 0.02)
        split = "train" if i < n else "test"
        rows.append((split, f"{split[0]}{i}", x, y, 0.2, 0.2))
    return crop.table(rows)


def test_centre_and_fixed():
    plan = crop.plan(CropSettings(method="centre", share=0.5), None, (64, 64))
    assert plan.window(("train", "a"), (100, 200)) == (50, 25, 150, 75)
    plan = crop.plan(CropSettings(method="fixed", window=[0.1, 0.0, 0.5, 1.0]), None, (64, 64))
    assert plan.window(("train", "a"), (100, 200)) == (20, 0, 120, 100)
    image = np.arange(100 * 200 * 3).reshape(100, 200, 3).astype(np.uint8)
    assert np.array_equal(plan.cut(("train", "a"), image), image[:, 20:120])
    assert crop.plan(CropSettings(), None, (64, 64)).cut(("train", "a"), image).shape == image.shape


def test_windows_have_at_least_one_pixel():
    plan = crop.plan(CropSettings(method="fixed", window=[0.99, 0.99, 0.01, 0.01]), None, (64, 64))
    left, top, right, bottom = plan.window(("train", "a"), (3, 3))
    assert right - left == 1 and bottom - top == 1


def test_statistics_is_the_mean_and_k_std_of_training_edges():
    table = some_boxes()
    edges = table[table.split == "train"]
    plan = crop.plan(CropSettings(method="statistics", boxes="b.csv", k_std=2.0), table, (64, 64))
    expected_left = edges.x.mean() - 2 * edges.x.std(ddof=0)
    expected_bottom = (edges.y + edges.h).mean() + 2 * edges.y.std(ddof=0)
    assert plan.shared[0] == pytest.approx(expected_left) and plan.shared[3] == pytest.approx(expected_bottom)
    moved = table.assign(x=np.where(table.split == "test", 0.0, table.x))
    same = crop.plan(CropSettings(method="statistics", boxes="b.csv", k_std=2.0), moved, (64, 64))
    assert same.shared == plan.shared, "test boxes shaped the window"
    wider = crop.plan(CropSettings(method="statistics", boxes="b.csv", k_std=4.0), table, (64, 64))
    assert wider.shared[0] < plan.shared[0] and wider.shared[2] > plan.shared[2]


def test_outliers_neither_shape_the_window_nor_cut_their_image():
    table = some_boxes()
    bad = crop.table([("train", "odd", 0.0, 0.8, 0.9, 0.02)])
    both = pd.concat([table, bad], ignore_index=True)
    settings = CropSettings(method="own_box", boxes="b.csv", margin=0.0)
    clean, with_bad = (crop.plan(settings, t, (64, 64)) for t in (table, both))
    assert with_bad.shared == clean.shared
    assert ("train", "odd") not in with_bad.own and len(with_bad.own) == len(table)
    assert any("1 box is an outlier" in note for note in with_bad.notes)


def test_own_box_has_margin_and_the_shape_of_the_model_and_falls_back():
    table = some_boxes()
    plan = crop.plan(CropSettings(method="own_box", boxes="b.csv", margin=0.5), table, (100, 50))
    row = table.iloc[0]
    left, top, right, bottom = plan.window(("train", row.id), (1000, 1000))
    # 200 px and half of it on each side: 400 px; twice as high as wide for the model.
    assert right - left == pytest.approx(400, abs=2) and bottom - top == pytest.approx(800, abs=2)
    assert left <= row.x * 1000 and right >= (row.x + row.w) * 1000
    assert plan.window(("train", "nobody"), (1000, 1000)) == crop.plan(
        CropSettings(method="statistics", boxes="b.csv"), table, (100, 50)
    ).window(("train", "nobody"), (1000, 1000))


def test_an_own_box_at_the_edge_is_moved_inside_and_a_large_one_is_cut():
    plan = crop.CropPlan(own={("train", "a"): (0.0, 0.0, 0.1, 0.1), ("train", "b"): (0, 0, 1, 1)}, margin=1.0)
    assert plan.window(("train", "a"), (100, 100)) == (0, 0, 30, 30)
    assert plan.window(("train", "b"), (100, 300)) == (0, 0, 300, 100)


def test_no_training_box_is_an_error():
    only_test = some_boxes(n=0)
    with pytest.raises(DataError, match="no training image has a box"):
        crop.plan(CropSettings(method="statistics", boxes="b.csv"), only_test, (64, 64))


def test_coverage_counts_the_share_of_each_box_inside():
    table = crop.table([("train", "in", 0.3, 0.3, 0.2, 0.2), ("train", "half", 0.4, 0.4, 0.2, 0.2)])
    table = pd.concat([table, crop.table([("test", "out", 0.8, 0.8, 0.1, 0.1)])], ignore_index=True)
    plan = crop.plan(CropSettings(method="fixed", window=[0.25, 0.25, 0.25, 0.5]), None, (64, 64))
    sizes = dict.fromkeys(zip(table.split, table.id, strict=True), (1000, 1000))
    found = crop.coverage(plan, table, sizes)
    assert found.id.tolist() == ["out", "half", "in"]
    assert found.inside.tolist() == pytest.approx([0, 0.5, 1])


def test_the_look_is_one_function_for_train_and_test():
    config = load(
        ["competition=digits", "images.size=[20,30]", "crop.method=centre", "preprocess.clahe=2"]
    ).config
    look = Look.of(config, None)
    image = np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8)
    assert look(("train", "a"), image).shape == (20, 30, 3)
    assert np.array_equal(look(("train", "a"), image), look(("test", "b"), image))
    assert not np.array_equal(look(("train", "a"), image), look.plain(("train", "a"), image))
