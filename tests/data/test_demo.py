import importlib.metadata
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from pipeline.core.errors import DataError, StorageError
from pipeline.core.targets import Target
from pipeline.data import competition, host
from pipeline.data.demo import competitions, emoji, long_tail
from pipeline.data.demo.long_tail import DemoPicture
from pipeline.settings.competition import CompetitionSettings, DigitsDemo, EmojiDemo

CONFIGS = Path(__file__).parents[2] / "configs" / "competition"
PEOPLE = EmojiDemo(task="people", per_concept=None, tail_ratio=1.0)


def _installed() -> bool:
    try:
        return bool([importlib.metadata.version(name) for name in emoji.PACKAGES])
    except importlib.metadata.PackageNotFoundError:
        return False


needs_emoji = pytest.mark.skipif(not _installed(), reason="the extra `demo` is not installed")


def _table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _settings(name: str) -> CompetitionSettings:
    section = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))["competition"]
    return CompetitionSettings.model_validate_json(json.dumps(section))


@pytest.fixture(scope="module")
def emoji_root(tmp_path_factory):
    return competitions.materialise(EmojiDemo(), tmp_path_factory.mktemp("home"), "emoji")


@pytest.fixture(scope="module")
def shift_root(tmp_path_factory):
    return competitions.materialise(
        EmojiDemo(test_priors="uniform"), tmp_path_factory.mktemp("home"), "shift"
    )


@needs_emoji
def test_concepts_and_drawings_are_the_documented_numbers():
    found = emoji.pictures(EmojiDemo())
    assert (len(found), len({p.group for p in found})) == (3896, 1646)
    assert {p.values[0] for p in found} == set(emoji.CATEGORIES)
    assert max(Counter((p.group, p.values[1]) for p in found).values()) == 3
    people = emoji.pictures(PEOPLE)
    assert (len(people), len({p.group for p in people})) == (2922, 97)
    assert {p.values for p in people} == {(k, g) for k in emoji.KINDS for g in emoji.GENDERS}
    kinds = {}
    for p in people:
        assert kinds.setdefault(p.group, p.values[0]) == p.values[0], "a concept of two kinds"


def test_concept_ignores_tone_and_gender():
    farmers = ["1F468-200D-1F33E", "1F469-1F3FD-200D-1F33E", "1F9D1-1F3FF-200D-1F33E"]
    assert {emoji.concept(c) for c in farmers} == {"1F9D1-1F33E"}
    assert {emoji.concept(c) for c in ("1F3C3-1F3FB-200D-2640-FE0F", "1F3C3")} == {"1F3C3"}
    assert emoji.concept("1F934") == emoji.concept("1F478-1F3FB")
    assert emoji.concept("1F436") != emoji.concept("1F431")
    assert [emoji.gender(c) for c in ("1F468-200D-1F33E", "1F3C3-200D-2640-FE0F", "1F9D1")] == [
        "man",
        "woman",
        "person",
    ]


@needs_emoji
def test_train_and_test_share_no_concept_and_no_id(emoji_root):
    train, answers = _table(emoji_root / "train.csv"), _table(emoji_root / "answers.csv")
    assert not set(train["concept"]) & set(answers["concept"])
    assert not set(train["id"]) & set(answers["id"])
    assert list(_table(emoji_root / "test.csv").columns) == ["id", "path"]
    assert list(_table(emoji_root / "test.csv")["id"]) == list(answers["id"])
    assert list(_table(emoji_root / "sample_submission.csv")["id"]) == list(answers["id"])
    images = {p.name for p in (emoji_root / "images").iterdir()}
    assert images == {f"{i}.png" for i in (*train["id"], *answers["id"])}
    # A file's name must not tell the label.
    assert not any("Goog" in name or "U+" in name for name in images)


@needs_emoji
def test_public_and_private_halves_share_no_concept(emoji_root):
    answers = _table(emoji_root / "answers.csv")
    halves = {usage: set(part["concept"]) for usage, part in answers.groupby("usage")}
    assert set(halves) == {"public", "private"} and not halves["public"] & halves["private"]
    assert abs(len(halves["public"]) - len(halves["private"])) <= 1
    assert answers.groupby("label")["usage"].nunique().eq(2).all(), "a class in one half only"


@needs_emoji
def test_long_tail_is_geometric_and_shared_by_train_and_test(emoji_root):
    train, answers = _table(emoji_root / "train.csv"), _table(emoji_root / "answers.csv")
    answers["category"] = [emoji.CATEGORIES[int(label) // 2] for label in answers["label"]]
    sizes = (train["category"].value_counts() + answers["category"].value_counts()).sort_values()
    assert 9 <= sizes.iloc[-1] / sizes.iloc[0] <= 11
    targets = np.minimum(sizes.iloc[-1] * 10 ** (-np.arange(9)[::-1] / 8), 540)
    assert np.all(np.abs(sizes.to_numpy()[:-1] / targets[:-1] - 1) < 0.08)
    concepts = pd.concat([train, answers]).groupby("category")["concept"].nunique()
    assert concepts.min() >= 20
    share = answers["category"].value_counts() / sizes
    assert share.between(0.2, 0.31).all()
    per_group = answers["concept"].nunique() / (answers["concept"].nunique() + train["concept"].nunique())
    assert per_group == pytest.approx(0.25, abs=0.005)


@needs_emoji
def test_uniform_priors_balance_the_test_set_only(shift_root):
    train, answers = _table(shift_root / "train.csv"), _table(shift_root / "answers.csv")
    per_category = Counter(int(label) // 2 for label in answers["label"])
    assert max(per_category.values()) - min(per_category.values()) <= 6
    sizes = train["category"].value_counts()
    assert 9 <= sizes.max() / sizes.min() <= 11
    assert not set(train["concept"]) & set(answers["concept"])


@needs_emoji
def test_images_are_rgb_on_white(emoji_root):
    for path in sorted((emoji_root / "images").iterdir())[:200]:
        with Image.open(path) as image:
            assert image.mode == "RGB" and image.width in (72, 73)
    corners = []
    for path in sorted((emoji_root / "images").iterdir())[:200]:
        with Image.open(path) as image:
            corners.append(image.getpixel((0, 0)))
    assert Counter(corners).most_common(1)[0][0] == (255, 255, 255)


@needs_emoji
def test_answers_count_classes_as_the_settings_do(emoji_root):
    settings = _settings("emoji")
    space = competition.label_space(settings)
    data = competition.load(settings, emoji_root)
    assert data.train.space.classes == space.classes and space.n_classes == 18
    drawing = {p.id: p for p in emoji.pictures(EmojiDemo())}
    values = [a.values for a in settings.attributes]
    for _, row in _table(emoji_root / "answers.csv").iterrows():
        codes = space.codes_CA[int(row["label"])]
        assert tuple(v[c] for v, c in zip(values, codes, strict=True)) == drawing[row["id"]].values


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_competition_files_name_the_values_that_the_demo_writes(path):
    settings = _settings(path.stem)
    assert settings.name == path.stem
    written = {a.column: tuple(a.values) for a in settings.attributes}
    if settings.target == "labels":
        assert tuple(a.word for a in settings.attributes) == emoji.WORDS
    elif settings.target == "values":
        columns = ("total",) if settings.demo.task == "pairs" else competitions.PAIR
        assert tuple(a.column for a in settings.attributes) == columns
    elif isinstance(settings.demo, EmojiDemo):
        assert written == dict(emoji.attributes(settings.demo))
    else:
        assert written == {"digit": tuple("0123456789")}


def test_there_are_seven_competition_files():
    assert len(list(CONFIGS.glob("*.yaml"))) == 7


def test_digits_come_whole_and_twice_the_same(tmp_path):
    settings = DigitsDemo(limit=300)
    root = competitions.materialise(settings, tmp_path / "a", "digits")
    assert root == competitions.root_of(settings, tmp_path / "a", "digits")
    assert [p.name for p in root.parent.iterdir()] == [root.name], "a draft is left"
    data = competition.load(_settings("digits"), root)
    assert len(data.train) + len(data.test) == 300
    assert set(data.train.labels) == set(range(10))
    with Image.open(data.train.paths_N[0]) as image:
        assert image.size == (32, 32) and image.mode == "RGB" and image.getpixel((0, 0)) == (255, 255, 255)
    before = (root / "train.csv").stat().st_mtime_ns
    competitions.materialise(settings, tmp_path / "a", "digits")
    assert (root / "train.csv").stat().st_mtime_ns == before, "made again although it was there"
    again = competitions.materialise(settings, tmp_path / "b", "digits")
    for name in ("train.csv", "answers.csv"):
        assert (root / name).read_bytes() == (again / name).read_bytes()


def test_other_settings_get_another_folder(tmp_path):
    roots = {
        competitions.root_of(s, tmp_path, "digits")
        for s in (DigitsDemo(), DigitsDemo(seed=1), DigitsDemo(limit=200))
    }
    assert len(roots) == 3 and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_make_the_same_demo_at_once(tmp_path):
    code = (
        "from pathlib import Path; from pipeline.data.demo import competitions; "
        "from pipeline.settings.competition import DigitsDemo; "
        f"print(competitions.materialise(DigitsDemo(limit=200), Path({str(tmp_path)!r}), 'digits'))"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=CONFIGS.parents[1], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    printed = {p.communicate(timeout=120)[0].strip() for p in running}
    assert [p.returncode for p in running] == [0, 0] and len(printed) == 1
    assert len(list((Path(printed.pop()) / "images").iterdir())) == 200
    assert len(list((tmp_path / "data").iterdir())) == 1


def test_missing_packages_are_all_named(monkeypatch, tmp_path):
    monkeypatch.setattr(emoji, "PACKAGES", ("podium-no-such-package", "pytest", "podium-none-either"))
    with pytest.raises(DataError) as caught:
        competitions.root_of(EmojiDemo(), tmp_path, "emoji")
    assert caught.value.faults == ("podium-no-such-package", "podium-none-either")
    assert "make install" in str(caught.value) and "demo" in str(caught.value)


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(StorageError, match="cannot be written"):
        competitions.materialise(DigitsDemo(limit=100), tmp_path, "digits")


def _pictures(sizes: dict[str, int], per_group: int = 2) -> list[DemoPicture]:
    return [
        DemoPicture(f"{s}{g}-{i}", f"{s}{g}", (s, str(i % 2)), lambda: Image.new("RGB", (4, 4)))
        for s, n in sizes.items()
        for g in range(n)
        for i in range(per_group)
    ]


def test_long_tail_keeps_the_least_groups_and_whole_groups():
    found = _pictures({"a": 200, "b": 200, "c": 60})
    kept = long_tail.long_tail(found, 20, 30, seed=1)
    groups = Counter(p.stratum for p in kept)
    assert groups["a"] == 400 and groups["c"] == 60, "c keeps 30 groups although 20:1 asks for 10"
    assert groups["b"] == pytest.approx(400 / 20**0.5, abs=2)
    assert all(n == 2 for n in Counter(p.group for p in kept).values())
    assert kept == long_tail.long_tail(list(found), 20, 30, seed=1)
    assert kept != long_tail.long_tail(found, 20, 30, seed=2)
    assert long_tail.long_tail(found, 1, 30, seed=1) == tuple(found)


def test_even_hold_out_takes_at_most_half_of_the_smallest():
    found = _pictures({"a": 100, "b": 100, "c": 10})
    held = long_tail.hold_out_evenly(found, 0.25, seed=1)
    assert Counter(name[0] for name in held) == {"a": 5, "b": 5, "c": 5}


@pytest.mark.slow
@needs_emoji
def test_labels_of_emoji_hold_together_and_are_told_by_words(tmp_path):
    settings = _settings("emoji-labels")
    root = competitions.materialise(settings.demo, tmp_path, "labels")
    data = competition.load(settings, root)
    y = np.asarray(data.train.truth)
    names = data.train.space.classes
    assert data.train.space.kind == "labels" and names == emoji.WORDS
    assert (len(data.train), len(data.test)) == (2916, 980)
    np.testing.assert_array_equal(y[:, : len(emoji.CATEGORIES)].sum(axis=1), 1)
    people, toned = names.index("people"), names.index("skin-tone")
    assert (y[y[:, toned] == 1, people] == 1).all(), "only people have a skin tone"
    held = y.mean(axis=0)
    assert held.min() > 0.03 and held.max() < 0.6, "every label is worth learning"
    ids, truth, usage = host.read_answers(root / "answers.csv", Target.of(data.train.space))
    assert truth.shape == (980, len(names)) and set(usage) == {"public", "private"}
    assert sorted(ids) == sorted(data.test.ids_N)
    shared = set(data.train.groups_N) & set(_table(root / "answers.csv")["concept"])
    assert not shared


def test_colours_are_those_of_the_drawing_and_not_of_the_paper():
    paper = np.full((60, 60, 3), 255, np.uint8)
    paper[10:50, 10:30], paper[10:50, 30:50] = (220, 20, 20), (30, 60, 220)
    assert emoji.colours(Image.fromarray(paper)) == ("red", "blue")
    paper[10:50, 10:50] = 20
    assert emoji.colours(Image.fromarray(paper)) == (), "black is no colour"


def test_two_digits_are_two_values_and_no_digit_is_in_two_pictures(tmp_path):
    settings = _settings("digits-values")
    root = competitions.materialise(settings.demo, tmp_path, "values")
    data = competition.load(settings, root)
    assert (len(data.train), len(data.test)) == (674, 224)
    assert data.train.space.classes == ("left", "right") and data.train.space.kind == "values"
    y = np.asarray(data.train.truth)
    assert set(np.unique(y)) == set(range(10)) and abs(np.corrcoef(y.T)[0, 1]) < 0.15
    with Image.open(root / "images" / f"{data.train.ids_N[0]}.png") as image:
        assert image.size == (64, 32)
    _, truth, _ = host.read_answers(root / "answers.csv", Target.of(data.train.space))
    assert truth.shape == (224, 2)
    assert competitions.root_of(DigitsDemo(), tmp_path, "d") != competitions.root_of(
        settings.demo, tmp_path, "d"
    )


@pytest.mark.slow
def test_two_pictures_a_sample_and_a_bonus_sum_to_the_answer(tmp_path):
    settings = _settings("digits-pairs")
    root = competitions.materialise(settings.demo, tmp_path, "pairs")
    data = competition.load(settings, root)
    assert (len(data.train), len(data.test)) == (675, 223)
    assert {len(list(root.glob(f"images/{name}*.png"))) for name in data.train.ids_N} == {2}
    table, test = _table(root / "train.csv"), _table(root / "test.csv")
    assert set(test.columns) == {"id", "path", "second", "bonus"}, "the answer is not in the test table"
    bonus, total = table["bonus"].astype(int), table["total"].astype(int)
    assert ((total - bonus >= 0) & (total - bonus <= 18)).all()
    # Three digits of equal spread: the bonus explains a third of the variance, and nothing else does.
    assert 0.2 < np.corrcoef(bonus, total)[0, 1] ** 2 < 0.45
