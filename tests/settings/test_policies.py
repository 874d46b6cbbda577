from typing import get_args

import pytest

from pipeline.core.errors import ConfigError
from pipeline.settings import augment
from pipeline.settings.competition import AttributeSettings
from pipeline.settings.fields import Change

SHIPPED = ["none", "crops", "heavy", "light", "medium", "rotate30", "trivial", "upright"]


def written(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    return str(tmp_path / "mine.yaml")


def faults_of(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        augment.read(written(tmp_path, text))
    return [fault.rpartition("mine.yaml:")[2] for fault in caught.value.faults]


def test_what_the_shipped_policies_do():
    assert augment.known() == SHIPPED
    does = {name: set(augment.read(name).does) for name in SHIPPED}
    assert does["none"] == set() and does["rotate30"] == {"rotation"}
    assert does["light"] == {"hflip", "rotation", "geometry", "brightness"}
    assert does["crops"] == {"hflip", "geometry", "crop", "brightness"}
    assert does["upright"] == does["light"] - {"hflip"}
    assert does["medium"] == does["light"] | {"colour"}
    assert does["heavy"] == does["medium"] | {"crop", "blur", "erase"}
    assert does["trivial"] == does["upright"] | {"colour", "blur"}


def usable(albumentations, kind):
    """Whether a transform takes one 8-bit picture alone."""
    if not isinstance(kind, type) or not issubclass(kind, albumentations.BasicTransform):
        return False
    abstract = {"BasicTransform", "DualTransform", "ImageOnlyTransform", "Transform3D"}
    volumes = issubclass(kind, albumentations.Transform3D) or kind.__name__ == "CubicSymmetry"
    return kind.__name__ not in abstract and not volumes


# They need boxes, a mask, other pictures or code, give no 8-bit picture, or are meant for spectra.
OTHERS = {
    "AtLeastOneBBoxRandomCrop",
    "BBoxSafeRandomCrop",
    "ConstrainedCoarseDropout",
    "CropNonEmptyMaskIfExists",
    "FDA",
    "FrequencyMasking",
    "FromFloat",
    "HistogramMatching",
    "Lambda",
    "MaskDropout",
    "Mosaic",
    "Normalize",
    "OverlayElements",
    "PixelDistributionAdaptation",
    "RandomCropNearBBox",
    "RandomSizedBBoxSafeCrop",
    "TextImage",
    "TimeMasking",
    "TimeReverse",
    "ToFloat",
    "ToRGB",
    "ToTensor3D",
    "ToTensorV2",
}


def test_every_transform_of_the_library_is_known_with_what_it_does(monkeypatch):
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    found = {name for name in dir(albumentations) if usable(albumentations, getattr(albumentations, name))}
    assert found - OTHERS == set(augment.CHANGES)
    words = set(get_args(Change)) - {"mixup", "cutmix"}  # what a batch does, not a policy
    assert set().union(*augment.CHANGES.values()) == words, "forbids speaks the same words"


@pytest.mark.parametrize(
    ("argument", "turns"), [("{}", False), ("{rotate: 0}", False), ("{rotate: [-3, 3]}", True)]
)
def test_an_affine_map_rotates_only_when_asked(tmp_path, argument, turns):
    policy = augment.read(written(tmp_path, f"transforms: [{{Affine: {argument}}}]\n"))
    assert ("rotation" in policy.does) == turns and "geometry" in policy.does


def test_the_digest_is_of_what_the_file_says(tmp_path):
    first = augment.read(written(tmp_path, "transforms:\n  - Rotate: {limit: 30}\n")).digest
    same = augment.read(written(tmp_path, "# more\ntransforms: [{Rotate: {limit: 30}}]\n")).digest
    other = augment.read(written(tmp_path, "transforms: [{Rotate: {limit: 31}}]\n")).digest
    assert first == same != other


def test_faults_of_the_text_are_told_all_at_once_with_lines(tmp_path):
    text = """transform: []
transforms:
  - Rotat: {limit: 3}
  - Rotate: 30
  - {Rotate: {}, HorizontalFlip: {}}
  - OneOf: {p: 0.5}
  - OneOf:
      transforms:
        - Normalize
        - Mosaic: {}
"""
    told = faults_of(tmp_path, text)
    assert [fault.split(":")[0] for fault in told] == ["1", "3", "4", "5", "6", "8", "10"], told
    assert "`transform` is not a key" in told[0] and "did you mean Rotate" in told[1]
    assert "arguments by name" in told[2] and "expected one `Name" in told[3]
    assert "needs `transforms`" in told[4] and "Normalize" in told[5] and "Mosaic" in told[6]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("transforms: {Rotate: {}}\n", "must be a list"),
        ("- Rotate\n", "expected `key: value` lines"),
        ("", "has no `transforms`"),
        ("transforms: [Rotate\n", "not valid YAML"),
        ("transforms: [{Rotate: {limit: 030}}]\n", "octal"),
        ("transforms: [3]\n", "expected one `Name"),
    ],
)
def test_a_file_that_is_no_policy(tmp_path, text, expected):
    assert any(expected in fault for fault in faults_of(tmp_path, text))


@pytest.mark.parametrize("name", ["heavi", "../model/lite0", "nowhere.yaml", ""])
def test_unknown_names(name):
    with pytest.raises(ConfigError, match=r"resample\.copies\.policy: (no policy|there is no file)"):
        augment.read(name, "resample.copies.policy")


def test_a_forbidden_change_is_refused_by_name(tmp_path):
    mask = AttributeSettings(name="mask", column="m", values=["a", "b"], forbids=["colour", "hflip"])
    age = AttributeSettings(name="age", column="a", values=["a", "b"], forbids=["erase"])
    with pytest.raises(ConfigError) as caught:
        augment.refuse_forbidden("heavy", [mask, age])
    assert caught.value.faults == ("mask forbids colour", "mask forbids hflip", "age forbids erase")
    assert caught.value.remedy == "choose one of none, rotate30, upright"
    augment.refuse_forbidden("upright", [mask, age])
    own = written(tmp_path, "transforms: [{OneOf: {transforms: [ToGray, NoOp]}}]\n")
    with pytest.raises(ConfigError, match="mask forbids colour"):
        augment.refuse_forbidden(own, [mask, age])
