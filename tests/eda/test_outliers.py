import numpy as np
import pandas as pd
import pytest

from pipeline.core.seeds import rng
from pipeline.eda.outliers import outliers, robust_z


def facts(n=400):
    draw = rng(0, "facts")
    return pd.DataFrame(
        {
            "split": "train",
            "id": [str(k) for k in range(n)],
            "width": 640,
            "height": 480,
            "brightness": draw.normal(120, 25, n).clip(1, 254),
            "contrast": 50 * np.exp(draw.normal(0, 0.3, n)),
            "blur": 400 * np.exp(draw.normal(0, 0.6, n)),
        }
    )


def changed(column, value, at=5):
    table = facts()
    table[column] = table[column].astype(float)
    table.loc[at, column] = value
    return table


@pytest.mark.parametrize(
    ("column", "value", "measure", "sign"),
    [
        ("brightness", 1.0, "brightness", -1),
        ("brightness", 253.0, "brightness", 1),
        ("contrast", 2.0, "contrast", -1),
        ("blur", 1.0, "sharpness", -1),
        ("width", 5000, "aspect", 1),
        ("height", 5000, "aspect", -1),
    ],
)
def test_what_stands_out_is_named_with_its_side(column, value, measure, sign):
    found = outliers(changed(column, value), 4.0)
    assert set(found["id"]) == {"5"}
    row = found.set_index("measure").loc[measure]
    assert np.sign(row["z"]) == sign


def test_ordinary_data_has_none_and_sharper_ones_do_no_harm():
    assert outliers(facts(), 4.0).empty
    assert outliers(changed("blur", 1e6), 4.0).empty


def test_equal_sizes_have_a_spread_of_zero_and_still_no_alarm():
    z = robust_z(facts())
    assert (z[["size", "aspect"]] == 0).all().all() and np.isfinite(z).all().all()
    slight = changed("width", 660)
    assert outliers(slight, 4.0).empty, "three per cent wider is no outlier"


def test_a_dim_picture_is_not_called_blurred():
    table = changed("contrast", 10.0)
    table.loc[5, "blur"] = 16.0  # a fifth of the contrast: a twenty-fifth of the Laplacian's variance
    assert set(outliers(table, 4.0)["measure"]) == {"contrast"}


def test_blank_pictures_are_finite():
    table = facts()
    table.loc[3, ["brightness", "contrast", "blur"]] = [255.0, 0.0, 0.0]
    assert np.isfinite(robust_z(table)).all().all()
    assert "3" in set(outliers(table, 4.0)["id"]) and len(outliers(table.iloc[:0], 4.0)) == 0
