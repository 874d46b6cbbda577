"""The pictures of docs/img, made anew by the commands whose pages they show.

    python tools/docs_pictures.py                    all of them: 42 minutes for 23 of them, on 2 CPU
                                                     cores that other programs used too
    python tools/docs_pictures.py data folds         some of them
    python tools/docs_pictures.py --at=/tmp/shots    keeps the folder and its results; a second run is quick

Owns the list of pictures. The commands run as a reader types them, in a copy of the tracked files, so nothing
of this checkout changes but docs/img. A picture is a cut-out of a report, or what a command printed; a result
that `--at` kept is printed as "reused". Needs the test dependencies (playwright) and a Chromium, which
PODIUM_CHROMIUM names if it is not on the path.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

CHECKOUT = Path(__file__).resolve().parent.parent
OUT = CHECKOUT / "docs" / "img"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MOST_BYTES = 150_000
# A server of MLflow on a busy machine.
MOST_WAITING_SECONDS = 120
TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body { margin: 0; background: #14181f; }
pre { margin: 0; padding: 18px 20px; color: #d8dee9; font: 14px/1.45 "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
b { color: #a3d18a; font-weight: 600; }
</style><pre>%s</pre>"""
PANELS = """<!doctype html><meta charset="utf-8"><style>
body { margin: 0; padding: 12px; background: #fff; font: 600 17px "DejaVu Sans", sans-serif; color: #1b2130;
  display: grid; grid-template-columns: 540px 540px; gap: 14px; width: 1094px; }
figure { margin: 0; border: 1px solid #d5dae3; border-radius: 10px; overflow: hidden; background: #f6f7f9; }
figcaption { padding: 9px 14px; background: #e8edf6; }
b { color: #2f5bb7; padding-right: 4px; }
img { display: block; width: 538px; }
</style>%s"""

# Where a picture of at most so many px ends, so that it cuts no line of text and no image in two.
ABOVE_WHAT_WOULD_BE_CUT = """most => {
  const boxes = [...document.querySelectorAll("img, svg, [role=img]")].map(e => e.getBoundingClientRect());
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.data.trim()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    boxes.push(...range.getClientRects());
  }
  const seen = boxes.filter(b => b.width > 1 && b.height > 1 && b.height < most / 2);
  let end = most;
  for (let above = 0; above !== end; ) {
    above = end;
    for (const b of seen) if (b.top < end && b.bottom > end) end = Math.floor(b.top) - 1;
  }
  return end > most / 2 ? end : most;
}"""


@dataclass(frozen=True)
class Picture:
    """A picture of a page of docs.

    Args:
        name: `docs/img/<name>.png`.
        commands: run in this order, as a reader types them; what is finished is reused, also among pictures.
        page: the report that is shown, by the word in front of its path in what the last command printed
            (`report`, `home page`), the last one of that word; empty: what it printed.
        at: CSS selector of the element at which the picture begins; empty: the top of the page.
        width, height: px of the picture; a terminal is as high as its text, at most `height`.
        served: the last command is a server: the first address that it prints is shown, then it is ended.
        awaited: CSS selector of what a served page shows once it is complete.
        pressed: CSS selectors of buttons that are pressed first, as a reader closes a panel.
        alone: the commands run in a fresh copy, where nothing that other pictures made is reused.
        panels: pictures with a caption each that this one shows side by side; it has no commands of its own.
    """

    name: str
    commands: tuple[str, ...] = ()
    page: str = ""
    at: str = ""
    width: int = 1100
    height: int = 560
    served: bool = False
    awaited: str = ""
    pressed: tuple[str, ...] = ()
    alone: bool = False
    panels: tuple[tuple[str, Picture], ...] = ()


EDA = ('make eda ARGS="competition=emoji"',)
# Members that share the features of one backbone: all of them take two minutes.
PROBES = tuple(
    f'make infer ARGS="competition=emoji experiment={name}"'
    for name in ("probe", "probe_logistic", "probe_mlp")
)
BLEND = 'make ensemble ARGS="competition=emoji ensemble.members=[lite0,probe_mlp,probe]"'
SCORED = 'make score ARGS="competition=emoji"'
ERRORS = 'make error-analysis ARGS="competition=emoji"'
# The augmentation that docs/plugins.md shows.
OWN = "sed -n '/^# myaug.py/,/^```/p' docs/plugins.md | grep -v '^```' > myaug.py"
PROBE = "$(ls submissions/emoji-probe-*.csv)"
NEW = "mkdir -p new && cp $(ls data/emoji-*/images/*.png | head -4) new/"
# docs/api.md shows this script, and what it prints.
SCRIPT = "sed -n '/^```python/,/^```/p' docs/api.md | grep -v '^```' > blend.py"
# Its side panels, and a remark that lies above the table.
MLFLOW_CLOSES = (
    "mlflow.assistant.chat_panel.close",
    "mlflow_header.toggle_sidebar_button",
    "mlflow.experiment_page.shared_view.dismiss",
)
# The way of README from raw files to a verdict.
STORY = (
    ("A folder of images and a table", Picture("files", EDA, "report", "#sheets h3", 540, 360)),
    (
        "make eda: what is wrong in them",
        Picture("finding", EDA, "report", "#findings article .pill", 540, 360),
    ),
    (
        "make ensemble: is the blend better?",
        Picture("blend", (*PROBES, BLEND), "report", "#answer", 540, 420),
    ),
    (
        "make error-analysis: better or not, and why",
        Picture("verdict", (*PROBES, BLEND, ERRORS), "report", "#verdict", 540, 420),
    ),
)
PICTURES = (
    Picture("story", panels=STORY, width=1120, height=920),
    Picture(
        "home",
        (*PROBES, BLEND, SCORED, ERRORS, 'make home ARGS="competition=emoji"'),
        "home page",
        height=900,
    ),
    Picture(
        "mlflow",
        (*PROBES, BLEND, SCORED, "make ui"),
        width=1200,
        height=600,
        served=True,
        awaited='a[href*="/runs/"]',
        pressed=tuple(f'[data-component-id="{name}"]' for name in MLFLOW_CLOSES),
    ),
    Picture("ensembling", (*PROBES, BLEND), "report", height=620),
    Picture(
        "submission",
        (*PROBES, BLEND, SCORED, 'make leaderboard ARGS="competition=emoji"'),
        "report",
        height=700,
    ),
    Picture("error-analysis", (*PROBES, BLEND, ERRORS), "report", height=576),
    Picture(
        "explain",
        (*PROBES, 'make explain RUN=probe ARGS="competition=emoji"'),
        "report",
        "#telling",
        height=920,
    ),
    Picture("tuning", ('make tune STAGE=ensemble TRIALS=20 ARGS="competition=emoji"',), "report", height=556),
    Picture(
        "predict",
        (*PROBES, NEW, f"make predict FILE={PROBE} IMAGES=new OUT=new.csv; cut -d, -f1-3 new.csv"),
        width=860,
    ),
    Picture(
        "code-competition",
        (*PROBES, f"make bundle FILE={PROBE} LIMIT=9h HIDDEN=20000 WHEELS=none"),
        width=900,
    ),
    Picture(
        "cluster",
        ('make train ARGS="competition=emoji experiment=tiny_cnn runtime.threads=1 runtime.executor=local"',),
        width=860,
        alone=True,
    ),
    Picture("store", ("make du",), width=760, height=680),
    Picture(
        "plugins",
        (OWN, 'make preview ARGS="competition=emoji augment.policy=myaug:stripes"'),
        "report",
        "#rows",
        height=580,
    ),
    Picture("time", ('make ensemble TIME=8m ARGS="competition=emoji"',), "report", height=640, alone=True),
    Picture("data", EDA, "report", height=582),
    Picture(
        "images",
        ('make preview ARGS="competition=emoji augment.policy=heavy"',),
        "report",
        "#rows",
        height=604,
    ),
    Picture("folds", ('make folds ARGS="competition=emoji"',), "report", height=590),
    Picture(
        "targets", ('make eda ARGS="competition=emoji-labels"',), "report", "#balance", width=640, height=520
    ),
    Picture(
        "training",
        ('make train ARGS="competition=emoji experiment=probe"',),
        width=760,
        height=620,
        alone=True,
    ),
    Picture(
        "experiments",
        ('make learning-curve ARGS="competition=emoji experiment=probe"',),
        "report",
        height=680,
    ),
    Picture(
        "speed",
        ('make models NAMES="resnet18 mobilenetv3_small_100 lite0" ARGS="images.size=96"',),
        width=860,
    ),
    Picture(
        "mask",
        ('make preview ARGS="competition=emoji-people train.mix.method=cutmix_half"',),
        "report",
        "#rows",
        height=536,
    ),
    Picture("demo", EDA, "report", "#sheets", height=582),
    Picture("installing", ("make",), width=760),
    Picture(
        "api",
        (
            'make infer ARGS="competition=digits experiment=probe"',
            'make infer ARGS="competition=digits experiment=probe_logistic"',
            SCRIPT,
            "python blend.py && head -5 blend.csv | cut -d, -f1-6",
        ),
        width=760,
    ),
)


def copy_tracked(folder: Path) -> None:
    """What git knows of this checkout, as it lies there; with what is not yet committed of it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        source = CHECKOUT / name
        if source.is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)


def environment() -> dict[str, str]:
    """The environment of this program for a command of a picture: the same interpreter, and English."""
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES")}
    env |= {"PODIUM_ENV": sys.prefix, "PYTHON": sys.executable, "LC_ALL": "C.UTF-8", "UI_LANG": "en"}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    return env


def run(command: str, folder: Path) -> str:
    """What a command prints to its standard output, in `folder` and in the environment of this program."""
    print(f"  {command}", flush=True)
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment(), capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"tools/docs_pictures.py: {command} failed\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


@contextlib.contextmanager
def server(command: str, folder: Path) -> Iterator[str]:
    """The first address that a server prints, once it answers; the server ends with the block."""
    print(f"  {command}", flush=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        env = environment() | {"PORT": str(probe.getsockname()[1])}
    started = subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        found = (re.search(r"http://\S+", line) for line in started.stdout or ())
        address = next((match[0] for match in found if match), None)
        if address is None:
            sys.exit(f"tools/docs_pictures.py: {command} printed no address")
        until = time.monotonic() + MOST_WAITING_SECONDS
        while True:
            try:
                urllib.request.urlopen(address.partition("#")[0], timeout=2).close()
                break
            except OSError as error:
                if time.monotonic() > until:
                    sys.exit(f"tools/docs_pictures.py: {address} does not answer: {error}")
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(started.pid, signal.SIGTERM)
        started.wait()


def source_of(picture: Picture, printed: str, folder: Path) -> str:
    """The page to cut out of: a report, or a page that shows what was printed."""
    if picture.page:
        found = re.findall(rf"^{picture.page}: (\S+\.html)$", printed, re.MULTILINE)
        if not found:
            sys.exit(f"tools/docs_pictures.py: {picture.name}: no `{picture.page}: …` in\n{printed[-2000:]}")
        return (folder / found[-1]).as_uri()
    lines = printed.splitlines()
    text = "\n".join(
        [f"<b>$ {html.escape(picture.commands[-1])}</b>", *(html.escape(line) for line in lines)]
    )
    page = folder / f"terminal-{picture.name}.html"
    page.write_text(TERMINAL % text, encoding="utf-8")
    return page.as_uri()


def cut_out(picture: Picture, address: str, browser: object) -> bytes:
    """The part of a page that a picture shows, as a PNG of few colours."""
    tab = browser.new_page(viewport={"width": picture.width, "height": picture.height}, color_scheme="light")
    tab.goto(address)
    # A bar that stays at the top would lie over the part that is shown.
    tab.add_style_tag(content="nav.toc { position: static !important; }")
    if picture.awaited:
        tab.locator(picture.awaited).first.wait_for(timeout=MOST_WAITING_SECONDS * 1000)
    for button in picture.pressed:
        tab.locator(button).first.click()
        tab.wait_for_timeout(1000)
    if picture.at:
        tab.locator(picture.at).first.evaluate("e => window.scrollTo(0, e.getBoundingClientRect().top - 12)")
    height = picture.height
    if not (picture.page or picture.served):
        whole = tab.locator("pre, body").last.bounding_box()
        height = min(height, int(whole["height"]))
    height = tab.evaluate(ABOVE_WHAT_WOULD_BE_CUT, height)
    png = tab.screenshot(clip={"x": 0, "y": 0, "width": picture.width, "height": height})
    tab.close()
    packed = BytesIO()
    few_colours(Image.open(BytesIO(png)).convert("RGB")).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def few_colours(image: Image.Image) -> Image.Image:
    """The image in 256 colours: some by area, some by the root of the area, some by the range of colours.

    With one of these alone a white page is tinted, a photograph coarse, or a small orange dot grey.
    """
    pixels = np.asarray(image).reshape(-1, 3)
    colours, place, areas = np.unique(pixels, axis=0, return_inverse=True, return_counts=True)
    weighted = Image.fromarray(np.repeat(colours, np.ceil(np.sqrt(areas)).astype(int), axis=0)[None])
    cut = weighted.quantize(128, method=Image.Quantize.MEDIANCUT)
    wide = image.quantize(64, method=Image.Quantize.MAXCOVERAGE)
    others = [np.array(few.getpalette(), np.uint8).reshape(-1, 3) for few in (cut, wide)]
    palette = np.concatenate([colours[np.argsort(-areas)[:64]], *others])[:256]
    # Image.quantize(palette=…) looks colours up coarsely, so that white becomes a light grey.
    nearest = cKDTree(palette).query(colours)[1].astype(np.uint8)
    few = Image.fromarray(nearest[place.ravel()].reshape(image.height, image.width))
    few.putpalette(palette.tobytes())
    return few


def taken(picture: Picture, folder: Path, browser: object) -> bytes:
    """The picture of what its commands make."""
    if picture.alone:
        folder = folder / "alone" / picture.name
        shutil.rmtree(folder, ignore_errors=True)
        copy_tracked(folder)
    *before, last = picture.commands
    for command in before:
        run(command, folder)
    if picture.served:
        with server(last, folder) as address:
            return cut_out(picture, address, browser)
    return cut_out(picture, source_of(picture, run(last, folder), folder), browser)


def story(picture: Picture, folder: Path, browser: object) -> bytes:
    """The panels of a picture with their captions, two a row."""
    figures = [
        f"<figure><figcaption><b>{number}</b> {html.escape(caption)}</figcaption>"
        f'<img src="data:image/png;base64,{b64encode(taken(panel, folder, browser)).decode()}"></figure>'
        for number, (caption, panel) in enumerate(picture.panels, start=1)
    ]
    page = folder / f"story-{picture.name}.html"
    page.write_text(PANELS % "".join(figures), encoding="utf-8")
    return cut_out(picture, page.as_uri(), browser)


def make(pictures: list[Picture], folder: Path) -> None:
    """Run the commands of each picture and write it."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("PODIUM_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        sys.exit("tools/docs_pictures.py: no Chromium: apt-get install chromium, or set PODIUM_CHROMIUM")
    copy_tracked(folder)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for picture in pictures:
            print(picture.name, flush=True)
            began = time.monotonic()
            png = story(picture, folder, browser) if picture.panels else taken(picture, folder, browser)
            if len(png) > MOST_BYTES:
                print(f"  {len(png):,} bytes are more than {MOST_BYTES:,}: make it smaller")
            (OUT / f"{picture.name}.png").write_bytes(png)
            print(f"  {time.monotonic() - began:.0f} seconds, {len(png):,} bytes", flush=True)
        browser.close()


def main(words: list[str]) -> None:
    """Make the pictures that are named, or all."""
    parser = argparse.ArgumentParser(description="make the pictures of docs/img anew")
    parser.add_argument("names", nargs="*", choices=[[], *(picture.name for picture in PICTURES)], default=[])
    parser.add_argument("--at", type=Path, help="folder of the copy and its results; kept")
    options = parser.parse_args(words)
    wanted = [picture for picture in PICTURES if not options.names or picture.name in options.names]
    with tempfile.TemporaryDirectory(prefix="podium-pictures-") as temporary:
        make(wanted, options.at or Path(temporary))


if __name__ == "__main__":
    main(sys.argv[1:])
