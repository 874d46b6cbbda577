"""What the pages tell people to type is accepted, what they name exists; they are short and have pictures."""

import re
import runpy
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.cli import parser
from pipeline.settings.load import CONFIGS, load
from pipeline.train.studies import grid

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md"])
TYPED = re.compile(r"^ {0,4}((?:make|python3?) \S.*)$|`((?:make|python3?) [^`\n]+)`", re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]*?)(?:#([^)\s]+))?\)")
CONFIGURATION = re.compile(r"configs/([\w/-]+\.yaml)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
# The log is to grow.
SHORT = [page for page in PAGES if page.parent.name == "docs" and page.stem != "log"]
MOST_WORDS = 13_000
MOST_BYTES = 150_000
# What readers have and we don't: a competition of theirs, an experiment that a search wrote.
THEIRS = {
    "competition/pets.yaml": """
competition:
  name: pets
  root: pets
  train_table: train.csv
  test_table: test.csv
  attributes: [{name: label, column: label, values: [cat, dog]}]
  extra: [{source: web, licence: CC0, images: more, labelled: false}]
""",
    "competition/mask.yaml": """
competition:
  name: mask
  root: mask
  layout: mask
  test_table: eval/info.csv
  attributes:
    - {name: mask, column: mask, values: [worn, wrong, none]}
    - {name: age, column: age, values: [young, middle, old], bins: [30, 60]}
""",
}
WRITTEN = re.compile(r"experiment=(?:[\w-]+\+)*(tuned-[\w-]+)")


def commands(page):
    """Each command of a page as words, comments and remarks beside it cut off; placeholders (…) left out."""
    text = page.read_text(encoding="utf-8")
    for block, inline in TYPED.findall(text):
        typed = re.sub(r"\s{2,}\S.*| \\$", "", (block or inline).strip())
        typed = re.sub(r"""(ARGS=("[^"]*"|'[^']*')) [^=]*$""", r"\1", typed)
        if "…" not in typed:
            yield typed, shlex.split(typed, comments=True)


def drawn():
    """The pictures that tools/docs_pictures.py can make."""
    return runpy.run_path(str(ROOT / "tools" / "docs_pictures.py"))["PICTURES"]


ALL = [pytest.param(words, id=f"{page.stem}: {typed}") for page in PAGES for typed, words in commands(page)]


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs") / "configs"
    shutil.copytree(CONFIGS, folder)
    for name, text in THEIRS.items():
        (folder / name).write_text(text, encoding="utf-8")
    for page in PAGES:
        for name in WRITTEN.findall(page.read_text(encoding="utf-8")):
            (folder / "experiment" / f"{name}.yaml").write_text("train: {lr: 0.01}\n", encoding="utf-8")
    return folder


def test_the_pages_have_commands():
    assert len(ALL) > 150


@pytest.mark.parametrize("words", ALL)
def test_a_command_of_the_pages_is_accepted(words, configs):
    """Targets and files exist, and settings resolve by every rule; nothing is built."""
    if words[0] == "make":
        _make(words[1:], configs)
    elif words[1:3] == ["-m", "pipeline"]:
        options = parser().parse_args(words[3:])
        load(options.settings, configs)
    elif words[1] == "-m":
        assert (ROOT / f"{words[2].replace('.', '/')}.py").is_file() or words[2] in ("mlflow", "venv")
    else:
        script = (ROOT / words[1]).read_text(encoding="utf-8")
        assert all(f'"{word}"' in script for word in words[2:] if word.startswith("--"))


@pytest.mark.parametrize("word", ["GROUPS=bag", "experiment=lite0", "train.epochs=3"])
def test_a_variable_of_make_that_nothing_reads_is_refused_by_name(word):
    said = subprocess.run(["make", "-n", "now", word], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 2 and word.partition("=")[0] in said.stderr and "ARGS=" in said.stderr


def test_every_variable_that_the_makefile_reads_is_known_to_it():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (known,) = re.findall(r"^VARIABLES = (.*?[^\\])$", makefile, re.MULTILINE | re.DOTALL)
    own = {"PY", "PIPELINE", "PYTEST", "VARIABLES", "UNKNOWN"}
    read = set(re.findall(r"\$\(([A-Z][A-Z0-9_]*)\)", makefile)) - own
    assert read == set(known.replace("\\", " ").split())


def _make(words, configs):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    targets = [word for word in words if "=" not in word]
    assert targets, "a command without a target"
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"no target {target}"
    for name, value in variables.items():
        assert re.search(rf"\$[({{]?(?:if )?\(?{name}\b", makefile), f"the Makefile reads no {name}"
        if name == "GRID" and value.startswith("configs/"):
            grid.read(ROOT / value)
    # As the shell below make splits it.
    load(shlex.split(variables.get("ARGS", "")), configs)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if path.startswith(("http:", "https:", "data:")):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: no {path}"
        if anchor and target.suffix == ".md":
            anchors = {_anchor(title) for title in HEADING.findall(target.read_text(encoding="utf-8"))}
            assert anchor in anchors, f"{page.name}: {path} has no heading #{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_configuration_that_a_page_names_is_there(page):
    """Or a reader is told to write it, and `mine` or `large` is what the page calls it."""
    if page.stem == "log":
        return
    named = set(CONFIGURATION.findall(page.read_text(encoding="utf-8")))
    theirs = {"augment/mine.yaml", "experiment/large.yaml", *THEIRS}
    assert {name for name in named - theirs if not (CONFIGS / name).is_file()} == set()


def _anchor(title):
    """As GitHub makes it: lower case, no punctuation, a hyphen for each space."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_part_of_a_page_stands_twice(page):
    """Two merged branches once left a whole page in it twice, each half with other words."""
    text = page.read_text(encoding="utf-8")
    plain = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = HEADING.findall(plain)
    assert not {title for title in titles if titles.count(title) > 1}
    lines = [line for line in plain.splitlines() if len(line) > 80]
    assert not {line for line in lines if lines.count(line) > 1}


def test_the_pages_are_short_enough_to_be_read():
    words = {page.stem: len(page.read_text(encoding="utf-8").split()) for page in SHORT}
    assert sum(words.values()) <= MOST_WORDS, words


@pytest.mark.parametrize("page", SHORT, ids=lambda page: page.stem)
def test_a_page_opens_with_a_picture_of_what_it_makes(page):
    opening = page.read_text(encoding="utf-8").split("\n## ")[0]
    found = PICTURE.search(opening)
    assert found is not None
    assert len(opening[: found.start()].split()) < 100


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_picture_says_in_words_what_it_shows(page):
    for words, path in PICTURE.findall(page.read_text(encoding="utf-8")):
        assert len(words) > 5, path


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "img").iterdir()), ids=lambda path: path.name)
def test_a_picture_is_small_and_shown_somewhere(path):
    assert path.stat().st_size <= MOST_BYTES
    assert any(f"img/{path.name})" in page.read_text(encoding="utf-8") for page in PAGES)


@pytest.mark.parametrize("picture", drawn(), ids=lambda picture: picture.name)
def test_a_picture_can_be_made_anew(picture, configs):
    assert (ROOT / "docs" / "img" / f"{picture.name}.png").is_file()
    panels = [command for _, panel in picture.panels for command in panel.commands]
    assert picture.commands or panels
    for command in (*picture.commands, *panels):
        # Without what a shell puts in for $(…), and without what follows the first command of a line.
        words = shlex.split(re.sub(r"\$\([^)]*\)", "x", command).partition(";")[0])
        if words[0] == "make" and len(words) > 1:
            _make(words[1:], configs)


def test_what_code_and_configurations_name_of_the_docs_exists():
    named = re.compile(r"docs/([\w-]+\.md)")
    files = [path for kind in ("py", "yaml", "html") for path in ROOT.glob(f"pipeline/**/*.{kind}")]
    missing = {
        (str(path.relative_to(ROOT)), name)
        for path in [*files, *ROOT.glob("configs/**/*.yaml")]
        for name in named.findall(path.read_text(encoding="utf-8"))
        if not (ROOT / "docs" / name).is_file()
    }
    assert not missing
