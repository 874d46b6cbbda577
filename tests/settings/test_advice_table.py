"""settings/advice_table: the format of configs/advice/, its faults, and what counts on other data."""

import pytest

from pipeline.core.errors import ConfigError
from pipeline.settings import advice_table
from pipeline.settings.load import CONFIGS

LINE = "- {remedy: train.epochs, kept: 2, tried: 3, gain: 0.1, target: exclusive, images: 1000, origin: here}"


def table(tmp_path, *lines):
    folder = tmp_path / "configs"
    (folder / "advice").mkdir(parents=True)
    (folder / "config.yaml").write_text("defaults: {}\n", encoding="utf-8")
    (folder / "advice" / "mine.yaml").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_the_shipped_table_has_lines_with_an_origin_for_several_remedies():
    shipped = advice_table.lines(CONFIGS)
    assert len({line.remedy for line in shipped}) >= 4 and all(line.origin for line in shipped)
    assert all(0 <= line.kept <= line.tried and (line.gain > 0) == (line.kept > 0) for line in shipped)


def test_an_outcome_counts_less_the_more_the_data_differ_and_not_for_other_answers(tmp_path):
    lines = advice_table.lines(table(tmp_path, LINE, LINE.replace("train.epochs", "images.size")))
    assert advice_table.counted(lines, "train.epochs", "exclusive", 1000) == (pytest.approx(0.3), 3.0)
    gained, tried = advice_table.counted(lines, "train.epochs", "exclusive", 100)
    assert gained == pytest.approx(0.3 * 0.316, abs=0.001) and tried == pytest.approx(3 * 0.316, abs=0.01)
    assert advice_table.counted(lines, "train.epochs", "exclusive", 10_000)[1] == pytest.approx(tried)
    assert advice_table.counted(lines, "train.epochs", "labels", 1000) == (0.0, 0.0)
    assert advice_table.counted(lines, "train.seed", "exclusive", 1000) == (0.0, 0.0)


def test_every_fault_of_a_table_is_named(tmp_path):
    folder = table(
        tmp_path,
        LINE,
        "- {remedy: images.size, kept: 4, tried: 3, gain: 2, target: exclusive, images: 10, origin: here}",
        "- {remedy: train.seed, kept: x, tried: 3, target: exclusiv, images: 10, orign: here}",
        "- epochs",
    )
    with pytest.raises(ConfigError) as caught:
        advice_table.lines(folder)
    told = "\n".join(caught.value.faults)
    wrong = ("4 is more than tried", "gain: 2 is not", "gain: None is not", "kept: 'x'", "'exclusiv'")
    for part in (*wrong, "origin: is missing", "orign", "entry 4"):
        assert part in told, part
    assert "mine.yaml" in told


def test_no_table_is_no_fault(tmp_path):
    folder = table(tmp_path)
    (folder / "advice" / "mine.yaml").unlink()
    assert not [line for line in advice_table.lines(folder) if line.origin == "here"]
