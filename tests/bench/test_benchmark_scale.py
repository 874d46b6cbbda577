"""The benchmark of growth runs, on few images, and finds what grows too fast."""

import pytest

from benchmarks import scale


def test_what_grows_too_fast_and_reports_that_are_too_large_are_faults(capsys):
    cpu = {"new": 0.9, "infer": 2.0}, {"new": 3.0, "infer": 60.0}
    one, two = ({"new": 9.0, "infer": 3.0}, {"new": 400.0, "infer": 65.0})  # the clock of a busy machine
    small = scale.Measured(1000, one, cpu[0], {"new": 200}, {}, {"eda": 2.0, "folds": 1.0})
    stages, reports = {"eda": 90.0, "folds": 11.0}, {"eda/eda.html": 30e6}
    large = scale.Measured(10_000, two, cpu[1], {"new": 220}, {}, stages, reports)
    found = scale.faults([small, large])
    assert found == [
        "cpu of infer: exponent 1.48, at most 1.3",
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
