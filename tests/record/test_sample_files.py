"""Samples as files: everything comes back, labels for training too."""

import numpy as np
import pytest

from pipeline.core.samples import Attribute, LabelSpace, Samples, strings
from pipeline.record import files

SPACE = LabelSpace.product([Attribute("나이", ("<30", "≥30"), True)])


@pytest.mark.parametrize("training", [None, np.array([1, 1])])
def test_samples_come_back(tmp_path, training):
    base = tmp_path.resolve()
    paths = strings([str(base / "가.png"), str(base / "b" / "c.png")])
    made = Samples(
        strings(["007", "7"]), paths, strings(["g", "g"]), SPACE, np.array([0, 1]), "train", training
    )
    files.write_samples(tmp_path / "s.npz", made, base)
    back = files.read_samples(tmp_path / "s.npz", base)
    assert back.ids_N.tolist() == ["007", "7"] and back.paths_N.tolist() == paths.tolist()
    assert back.space.attributes == SPACE.attributes and back.labels.tolist() == [0, 1]
    expected = [0, 1] if training is None else [1, 1]
    assert back.for_training().labels.tolist() == expected
    assert back.for_training().train_labels_N is None
    assert back.take(strings(["7"])).for_training().labels.tolist() == expected[1:]


def test_training_labels_are_checked_like_labels():
    ids = strings(["1", "2"])
    with pytest.raises(Exception, match="outside"):
        Samples(ids, ids, ids, SPACE, np.array([0, 1]), "train", np.array([0, 2]))
    with pytest.raises(AssertionError, match="without labels"):
        Samples(ids, ids, ids, SPACE, None, "test", np.array([0, 1]))
