"""docs/cookbook.md, session after session, on small data: what the page tells people to type, works."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from bring_world import mask_tree
from main_world import run
from PIL import Image

from pipeline.home import serve
from pipeline.settings import load as settings_load
from pipeline.settings.load import CONFIGS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PAGE = CHECKOUT / "docs" / "cookbook.md"
SESSION = re.compile(r"^## (\d+)\. .*?^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
SMALL = """
folds: {n: 2}
images: {size: 32}
statistics: {draws: 100}
infer: {views: [identity]}
runtime: {mlflow: false, threads: 1}
"""
# Of the emoji.
FEW = "per_concept: 1\n    test_share: 0.85"
# In place of networks that would take minutes here, and of their epochs.
NETWORKS = {"lite0": "test_efficientnet", "lite0_96": "test_vit", "small_cnn": "test_resnet"}
# A budget and a number of trials are limits: a search within smaller ones is the same command.
SHORTER = {"30m": "1m", "--time=30m": "--time=1m", "--trials=30": "--trials=3"}
# Sessions follow one another in one folder; these speak again of the competition of session 1.
BEFORE = {"4": ("make use NAME=pets",)}
COLOURS = {"cat": (200, 120, 60), "dog": (60, 120, 200)}
PEOPLE = tuple(
    (f"{100 + n:06d}", ("male", "female")[n % 2], age)
    for n, age in enumerate((20, 25, 30, 45, 57, 58, 59, 60, 22, 33, 61, 58))
)


def photo(path, colour, rng):
    """A noisy square of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.clip(rng.normal(colour, 70, (40, 40, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def shorter(folder):
    """The settings files of a checkout, with small data, tiny networks and a short grid."""
    configs = folder / "configs"
    shutil.copytree(CONFIGS, configs)
    general = configs / "config.yaml"
    general.write_text(general.read_text(encoding="utf-8") + SMALL, encoding="utf-8")
    for path, old, new in (
        ("competition/emoji.yaml", "source: emoji\n", f"source: emoji\n    {FEW}\n"),
        ("competition/emoji-labels.yaml", "    tail_ratio: 1.0\n", f"    {FEW}\n"),
        ("ablate/resample_quick.yaml", "{train.epochs: 6}", "{train.epochs: 1}"),
        ("ablate/resample_quick.yaml", "    15 epochs: {train.epochs: 15}\n", ""),
        ("ablate/resample_quick.yaml", "    offline:", "    # offline:"),
    ):
        text = (configs / path).read_text(encoding="utf-8")
        assert text.count(old) == 1, (path, old)
        (configs / path).write_text(text.replace(old, new), encoding="utf-8")
    for name, network in NETWORKS.items():
        path = configs / "experiment" / f"{name}.yaml"
        text = re.sub(r"(?m)^  name: (?!logit).*$", f"  name: {network}", path.read_text(encoding="utf-8"))
        text = re.sub(r"(?m)^  weights: .*$", "  weights: none", text)
        path.write_text(re.sub(r"(?m)^  epochs: .*$", "  epochs: 1", text), encoding="utf-8")
    return configs


def started(folder, words):
    """The command, with its settings before its options, as the parser wants them."""
    settings = [word for word in words if re.match(r"[\w.]+=", word)]
    return run(folder, words[0], *settings, small=(), options=[w for w in words[1:] if w not in settings])


def words_of(typed):
    """What `make` would start for this command, without the interpreter."""
    command = ["make", "-n", "--no-print-directory", "PYTHON=true", *shlex.split(typed)[1:]]
    printed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    command = shlex.split(printed.replace("\\\n", " ").splitlines()[-1])
    assert command[1:3] == ["-m", "pipeline"], printed
    return command[3:]


def as_here(word):
    """A word of the page with a name and limits of this test: keys are known only after a run."""
    named = re.fullmatch(r"(submissions/\w+-\w+)-3fa29b\.csv", word)
    if named:
        (found,) = sorted(Path().glob(f"{named[1]}-*.csv"), key=lambda path: path.stat().st_mtime)[-1:]
        return str(found)
    return SHORTER.get(word, word)


def typed_in(session):
    """The commands of a session; those of a bundle without wheels, which need a network."""
    for typed in session.splitlines():
        words = [as_here(word) for word in words_of(typed)]
        yield typed, [*words, "--wheels", "none"] if words[0] == "bundle" else words


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """Session number -> what each of its commands said."""
    folder, rng, told = tmp_path_factory.mktemp("cookbook"), np.random.default_rng(0), {}
    for name, colour in COLOURS.items():
        for n in range(20):
            photo(folder / "photos" / name / f"{name}{n}.png", colour, rng)
            photo(folder / "test_photos" / f"{name[0]}{n}.png", colour, rng)
    mask_tree(folder, PEOPLE, n_test=6)
    configs = shorter(folder)

    def interrupted(self):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings_load, "CONFIGS", configs)
        patch.setattr(settings_load.load, "__defaults__", (configs,))
        patch.setattr(serve.ThreadingHTTPServer, "serve_forever", interrupted)
        patch.chdir(folder)
        for number, session in SESSION.findall(PAGE.read_text(encoding="utf-8")):
            said = told[number] = {}
            for typed, words in typed_in("\n".join([*BEFORE.get(number, ()), session])):
                said[typed] = started(folder, words)
                if "runtime.gpus=[0,1]" in words and torch.cuda.device_count() < 2:
                    assert said[typed].code == 2 and "GPU" in said[typed].err
                    rest = [word for word in words if word != "runtime.gpus=[0,1]"]
                    said[typed] = started(folder, rest)
        yield told, folder


def test_the_page_has_ten_sessions():
    assert [number for number, _ in SESSION.findall(PAGE.read_text(encoding="utf-8"))] == [
        str(n) for n in range(1, 11)
    ]


@pytest.mark.parametrize("number", [str(n) for n in range(1, 11)])
def test_every_command_of_a_session_works(sessions, number):
    failed = {typed: said.err[-2000:] for typed, said in sessions[0][number].items() if said.code}
    assert sessions[0][number] and not failed


@pytest.mark.parametrize(
    ("number", "pattern"),
    [
        ("1", "submissions/pets-probe-*.csv"),
        ("2", "submissions/mask-ensemble-*.csv"),
        ("3", "artifacts/ablate/*/*.csv"),
        ("5", "submissions/emoji-labels-ensemble-*.csv"),
        ("6", "submissions/pets-ensemble-*.csv"),
        ("7", "folds.csv"),
        ("8", "bundles/pets-lite0-*/notebook.ipynb"),
        ("10", "submissions/pets-lite0-refit-*.csv"),
    ],
)
def test_a_session_leaves_what_it_is_for(sessions, number, pattern):
    assert list(sessions[1].glob(pattern)), number
