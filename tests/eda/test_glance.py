import io

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from pipeline.eda.survey import MEAN_SIDE, glance

CHINA = load_sample_images().images[0]


def frame(labels):
    splits = ["test" if label < 0 else "train" for label in labels]
    return pd.DataFrame({"split": splits, "id": [str(k) for k in range(len(labels))], "label": labels})


def look(pictures, labels, n_classes=2):
    return glance(frame(labels), n_classes, lambda split, name: pictures[int(name)])


def test_the_mean_of_a_class_is_the_mean_of_its_training_pictures():
    flats = [np.full((40, 60, 3), value, np.uint8) for value in (10, 30, 200)]
    seen = look(flats, [0, 0, -1], 3)
    assert seen.means_CMM3.shape == (3, MEAN_SIDE, MEAN_SIDE, 3)
    assert (seen.means_CMM3[0] == 20).all(), "the test picture is not counted"
    assert (seen.means_CMM3[1:] == 255).all(), "a class without pictures is white"


def test_looks_tell_colour():
    red, grey = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 90, np.uint8)
    red[:, :, 0] = 200
    looks = look([red, grey], [0, 1]).looks
    assert list(looks["red"]) == [200, 0] and list(looks["saturation"]) == [200, 0]
    assert list(looks["blue"]) == [0, 0]


def test_strong_compression_shows_its_blocks():
    def jpeg(quality):
        buffer = io.BytesIO()
        Image.fromarray(CHINA[:200, :200]).save(buffer, "JPEG", quality=quality)
        return np.asarray(Image.open(buffer))

    plain = cv2.resize(CHINA, (200, 133), interpolation=cv2.INTER_AREA)
    blocks = look([plain, jpeg(70), jpeg(15)], [0, 0, 0]).looks["blocks"]
    assert blocks[0] == pytest.approx(1, abs=0.1) and blocks[2] > blocks[1] > 1 and blocks[2] > 1.3
    assert look([plain[:16, :16]], [0]).looks["blocks"][0] == 1, "too small to tell"
