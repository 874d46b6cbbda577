import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.data import crop, images
from pipeline.data.decode import Decoding

SIZES = {("train", "007"): (200, 100), ("train", "b"): (200, 100), ("test", "b"): (50, 50)}
# Where the astronaut's face is in the photograph of 512 × 512 px, by eye.
FACE = (170, 60, 280, 190)


def written(folder, text):
    (folder / "boxes.csv").write_text(text, encoding="utf-8")
    return folder / "boxes.csv"


def test_a_csv_becomes_shares_of_each_image(tmp_path):
    path = written(tmp_path, "id,x,y,w,h,split\n007,20,10,40,50,\nb,-10,0,30,25,test\nunknown,0,0,1,1,\n")
    found = crop.read_csv(path, SIZES)
    assert found.values.tolist() == [["train", "007", 0.1, 0.1, 0.2, 0.5], ["test", "b", 0.0, 0.0, 0.4, 0.5]]
    found.to_csv(tmp_path / "again.csv", index=False)
    assert crop.read_table(tmp_path / "again.csv").equals(found), "an id lost its zeros"


def test_boxes_are_read_like_every_table(tmp_path):
    path = written(tmp_path, "id;x;y;w;h\n007;20,5;10;40;50\n")
    assert crop.read_csv(path, SIZES).values.tolist() == [["train", "007", 0.1025, 0.1, 0.2, 0.5]]
    sizes = {("train", "лось"): (200, 100)}
    path.write_bytes("id,x,y,w,h\nлось,20,10,40,50\n".encode("cp1251"))
    assert len(crop.read_csv(path, sizes, encoding="cp1251")) == 1
    with pytest.raises(DataError, match=r"set competition\.encoding"):
        crop.read_csv(path, sizes)


def test_all_faults_at_once(tmp_path):
    path = written(
        tmp_path, "id,x,y,w,h\n007,a,0,5,5\n007,0,0,0,5\n007,300,0,5,5\nb,0,0,5,5\n007,0,0,nan,5\n"
    )
    with pytest.raises(DataError) as caught:
        crop.read_csv(path, SIZES)
    text = str(caught.value)
    for told in ("not a number", "no area", "outside the image of 200 × 100", "in both tables", "not finite"):
        assert told in text
    assert "row 2 (id 007)" in text and len(caught.value.faults) == 5


def test_a_second_box_and_foreign_ids(tmp_path):
    with pytest.raises(DataError, match="already has a box"):
        crop.read_csv(written(tmp_path, "id,x,y,w,h\n007,0,0,5,5\n007,1,1,5,5\n"), SIZES)
    with pytest.raises(DataError, match="none of its 1 id is one of the 3 images"):
        crop.read_csv(written(tmp_path, "id,x,y,w,h\n7,0,0,5,5\n"), SIZES)
    with pytest.raises(DataError, match="columns are missing: w, h"):
        crop.read_csv(written(tmp_path, "id,x,y\n7,0,0\n"), SIZES)
    with pytest.raises(DataError, match="no such file"):
        crop.read_csv(tmp_path / "gone.csv", SIZES)


@pytest.mark.parametrize("name", ["haar:frontalface_default", "lbp:frontalface"])
def test_a_shipped_detector_finds_the_astronauts_face(tmp_path, name):
    from skimage.data import astronaut

    Image.fromarray(astronaut()).save(tmp_path / "0.png")
    Image.new("RGB", (300, 300), "white").save(tmp_path / "1.png")
    ids = np.array(["face", "white"])
    space = LabelSpace.product([Attribute("kind", ("a", "b"))])
    split = Samples(ids, np.array([str(tmp_path / f"{n}.png") for n in (0, 1)]), ids, space, None, "test")
    images.build_decoded([split], tmp_path, Decoding(512))
    decoded = images.DecodedImages(tmp_path)
    found = crop.detect(name, lambda split, one: decoded[one], [("test", "face"), ("test", "white")])
    assert found.id.tolist() == ["face"], "a white square has no face"
    x, y, w, h = (512 * float(found[c].iloc[0]) for c in "xywh")
    shared = (min(x + w, FACE[2]) - max(x, FACE[0])) * (min(y + h, FACE[3]) - max(y, FACE[1]))
    union = w * h + (FACE[2] - FACE[0]) * (FACE[3] - FACE[1]) - shared
    assert shared / union > 0.5, (x, y, w, h)


def test_unknown_cascades_name_the_nearest():
    with pytest.raises(ConfigError, match="did you mean frontalface"):
        crop.cascade_file("haar:frontalface_defalt")
