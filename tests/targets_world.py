"""Small competitions of drawn images whose target is labels, values or shares, as files with their settings.

A picture shows at most three coloured squares: red, green and blue, each at its own place. Labels are which
of them are there (blue has three levels by its size), values are the sides of red and green, and shares are
the shares of the colours' areas.
"""

import numpy as np
from main_world import run
from PIL import Image

SIDE = 24
PLACES = {"red": (1, 1), "green": (13, 1), "blue": (7, 13)}
SMALL = (
    "competition=digits",
    "images.size=24",
    "folds.n=2",
    "statistics.draws=100",
    "runtime.mlflow=false",
    "runtime.threads=1",
    "runtime.device=cpu",
)
OF = {
    "labels": {
        "metric": "macro_f1",
        "attributes": "[{name: red, column: red, values: ['0', '1']}, {name: green, column: green, values: "
        "['0', '1']}, {name: blue, column: blue, values: [none, small, large]}]",
    },
    "values": {"metric": "rmse", "attributes": "[{name: red, column: red}, {name: green, column: green}]"},
    "shares": {
        "metric": "kl",
        "attributes": "[{name: colour, column: colour, values: [red, green, blue], one_hot: true}]",
    },
}


def drawn(n, seed=0):
    """(n, SIDE, SIDE, 3) pictures, and the side of each square by colour; 0: it is not there."""
    draw = np.random.default_rng(seed)
    x = draw.integers(0, 60, (n, SIDE, SIDE, 3), dtype=np.uint8)
    sides = {colour: draw.integers(0, 10, n) * (draw.random(n) < 0.7) for colour in PLACES}
    for channel, (colour, (left, top)) in enumerate(PLACES.items()):
        for image, side in zip(x, sides[colour], strict=True):
            image[top : top + side, left : left + side, channel] = 230
    return x, sides


def cells(kind, sides, i):
    """The label columns of one row."""
    side = {colour: int(of[i]) for colour, of in sides.items()}
    if kind == "labels":
        blue = "none" if side["blue"] == 0 else "small" if side["blue"] < 6 else "large"
        # Some cells are unknown.
        return ["" if i % 9 == 4 else str(int(side["red"] > 0)), str(int(side["green"] > 0)), blue]
    if kind == "values":
        return ["" if i % 11 == 3 else str(100 + 10 * side["red"]), str(side["green"])]
    area = np.array([side[colour] ** 2 + 1 for colour in PLACES])
    return [f"{share:.4f}" for share in area / area.sum()]


def written(folder, kind, n=60):
    """Write the images and the table of a competition; returns `folder`."""
    x, sides = drawn(n)
    (folder / "data" / "images").mkdir(parents=True)
    header = {"labels": ["red", "green", "blue"], "values": ["red", "green"], "shares": list(PLACES)}[kind]
    lines = [",".join(["id", "path", "group", *header])]
    for i, image in enumerate(x):
        Image.fromarray(image).save(folder / "data" / "images" / f"i{i:03}.png")
        lines.append(",".join([f"i{i:03}", f"i{i:03}.png", f"g{i // 2}", *cells(kind, sides, i)]))
    (folder / "data" / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def settings(folder, kind):
    """The words that describe the competition in `folder`."""
    return (
        "competition.demo=null",
        "competition.name=drawn",
        f"competition.root={folder / 'data'}",
        "competition.test_table=null",
        "competition.sample_submission=null",
        "competition.holdout=0.2",
        "competition.group_column=group",
        f"competition.target={kind}",
        *(f"competition.{name}={value}" for name, value in OF[kind].items()),
    )


def command(folder, kind, *words, small=SMALL):
    """One command in the competition of `written`."""
    name, *rest = words
    given = {word.partition("=")[0] for word in rest}
    own = [word for word in settings(folder, kind) if word.partition("=")[0] not in given]
    return run(folder / "home", name, *rest, small=(*small, *own))
