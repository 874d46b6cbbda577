"""`make validate` of labels, values and long form: what is predicted, and repairs of the form alone."""

import numpy as np

from pipeline.core.samples import Attribute, LabelSpace
from pipeline.settings.submission import SubmissionSettings
from pipeline.submit import validate

LABELS = LabelSpace.independent([Attribute(n, ("no", "yes")) for n in ("scab", "rust")])
LONG = SubmissionSettings(
    format="probabilities", id_column="ID", label_column="Label", long_id="{id}_{answer}"
)


def checked(folder, space, settings, sample, text):
    for name, content in (("sample.csv", sample), ("mine.csv", text)):
        (folder / name).write_text(content, encoding="utf-8")
    return validate.check(folder / "mine.csv", folder / "sample.csv", space, settings)


def test_rows_of_long_form_are_put_into_the_samples_order(tmp_path):
    sample = "ID,Label\n7_rust,0.5\n7_scab,0.5\n8_rust,0.5\n8_scab,0.5\n"
    mine = "Label;ID\n0,9;8_scab\n0,25;7_rust\n0,1;7_scab\n0,75;8_rust\n"
    found = checked(tmp_path, LABELS, LONG, sample, mine)
    assert any("order: row 1 is '8_scab'" in fault for fault in found.faults)
    assert found.repaired == b"ID,Label\n7_rust,0.25\n7_scab,0.1\n8_rust,0.75\n8_scab,0.9\n"
    assert found.predicted == "2 images, 2 of 2 labels predicted at least once"
    short = checked(tmp_path, LABELS, LONG, sample, mine.replace("0,75;8_rust\n", ""))
    assert any("1 id missing: '8_rust'" in fault for fault in short.faults) and short.repaired is None


def test_labels_that_nobody_has_and_the_range_of_values_are_told(tmp_path):
    words = SubmissionSettings(format="words", label_column="labels")
    sample = "id,labels\n7,scab\n8,scab\n"
    found = checked(tmp_path, LABELS, words, sample, "id,labels\n7,rust\n8,rust\n")
    assert found.faults == () and found.predicted.endswith(
        "1 of 2 labels predicted at least once; not predicted: scab"
    )
    values = SubmissionSettings(format="values", label_column="age")
    sample = "id,age\n7,0\n8,0\n"
    found = checked(tmp_path, LabelSpace.numbers(["age"]), values, sample, "id,age\n7,-1.5\n8,40\n")
    assert found.predicted == "2 images, age from -1.5 to 40"
    assert validate.described(np.zeros((0, 1), np.float32), LabelSpace.numbers(["age"])).startswith(
        "0 images"
    )
