"""The benchmark of growth runs, on few images, and finds what grows too fast."""

import pytest

from benchmarks import scale


def test_what_grows_too_fast_and_reports_that_are_too_large_are_faults(capsys):
    small = scale.Measured(1000, {"new": 1.0}, {"new": 200}, {"eda": 2.0, "folds": 1.0})
    large = scale.Measured(
        10_000, {"new": 4.0}, {"new": 220}, {"eda": 90.0, "folds": 11.0}, {"eda/eda.html": 30e6}
    )
    found = scale.faults([small, large])
    assert found == [
        "stages of eda: exponent 1.65, at most 1.3",
        "eda/eda.html of 10,000 images: 30 MB, at most 25",
    ]
    assert "largest report: eda/eda.html, 30.0 MB" in capsys.readouterr().out


@pytest.mark.slow
def test_every_command_is_measured_on_drawn_images_and_on_a_table_of_links(tmp_path):
    seen = [scale.measure(n, tmp_path / str(n), scale.COMMANDS, False) for n in (200, 400)]
    assert len(seen[1].seconds) == len(scale.COMMANDS) + 1
    assert {"eda", "folds", "features", "ensemble", "error_analysis"} <= seen[1].stages.keys()
    assert all(peak > 50 for peak in seen[1].peak_mb.values())
    table = scale.measure(900, tmp_path / "rows", (("folds",),), True)
    assert table.stages.keys() >= {"train_data", "folds"}
