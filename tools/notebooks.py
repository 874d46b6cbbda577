"""Opens the notebooks, and stores them with the outputs of a run.

    make notebook                              JupyterLab on notebooks/, in this environment
    python tools/notebooks.py store [HOME]     after `make all` and `make explain`: run them on these results

Owns running a notebook and leaving out of its outputs what changes from run to run: paths of this machine,
addresses in memory, the ids of styled tables, times. Does not own what they show (`notebooks/*.ipynb`).
The environment has the kernel (`ipykernel`, extra test); JupyterLab is the extra `notebook` and is installed
when it is first asked for, with all packages that are there kept at their versions.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
NOTEBOOKS = CHECKOUT / "notebooks"
MOST_SECONDS = 300
# The output of a cell that is nothing but noise: progress bars and warnings of libraries.
NOISE = "stderr"
ADDRESS, STYLED = re.compile(r" at 0x[0-9a-f]+"), re.compile(r"T_[0-9a-f]{5}")
FLAT = ("text/html", "text/plain", "text/markdown", "image/svg+xml")
PICTURES = ("image/png", "image/jpeg")


def ran(path: Path, home: Path) -> Any:
    """The notebook with its outputs, run from the checkout on the results in `home`.

    Raises:
        CellExecutionError: of nbclient: a cell failed.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    before = dict(os.environ)
    os.environ["PODIUM_HOME"] = str(home)
    os.environ.pop("MPLBACKEND", None)  # else no picture is drawn into the notebook
    try:
        NotebookClient(
            notebook,
            timeout=MOST_SECONDS,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(CHECKOUT)}},
        ).execute()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return notebook


def tidied(notebook: Any, home: Path) -> Any:
    """The same notebook without what differs on the next run or on another machine; changed in place."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.metadata = {}
        cell.outputs = [out for out in cell.outputs if out.get("name") != NOISE]
        for number, out in enumerate(cell.outputs):
            if "text" in out:
                out["text"] = _flat(out["text"], home, number)
            data = out.get("data", {})
            kept = min((kind for kind in PICTURES if kind in data), key=lambda k: len(data[k]), default="")
            for kind in [kind for kind in PICTURES if kind in data and kind != kept]:
                del data[kind]
            data.update({kind: _flat(data[kind], home, number) for kind in FLAT if kind in data})
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def _flat(text: str, home: Path, number: int) -> str:
    """One output without addresses, random ids and folders of this machine."""
    for folder in (home.resolve(), CHECKOUT, Path.home()):
        text = text.replace(f"{folder}{os.sep}", "")
    return STYLED.sub(f"T_{number:05d}", ADDRESS.sub("", text))


def store(home: Path) -> int:
    """Run all notebooks and write them with their outputs; nothing is written if one fails."""
    import nbformat

    done = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        print(f"{path.relative_to(CHECKOUT)} …", flush=True)
        done[path] = nbformat.writes(tidied(ran(path, home), home)) + "\n"
    for path, text in done.items():
        path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(CHECKOUT)}: {len(text.encode()) / 1000:.0f} kB")
    return 0


def wanted() -> list[str]:
    """What the extra `notebook` asks for."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["optional-dependencies"]["notebook"])


def lab(words: list[str]) -> int:
    """JupyterLab on the notebooks until Ctrl-C; installs it first if it is missing."""
    if importlib.util.find_spec("jupyterlab") is None:
        print(f"JupyterLab is missing; installing it once into {sys.prefix} (about 100 MB)", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        lock = CHECKOUT / "requirements.lock"
        if subprocess.run([*pip, "-c", str(lock), *wanted()]).returncode:
            print(
                "notebook: JupyterLab could not be installed, see above\n"
                f"  → install it yourself: {sys.executable} -m pip install jupyterlab; or open notebooks/ in "
                f"an editor such as VS Code, with {sys.executable} as the kernel",
                file=sys.stderr,
            )
            return 2
    command = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", *words, str(NOTEBOOKS)]
    try:
        return subprocess.run(command, cwd=CHECKOUT).returncode
    except KeyboardInterrupt:
        return 130


def main(words: list[str]) -> int:
    """Choose by the first word; 2 for one that is unknown."""
    if words[:1] == ["lab"]:
        return lab(words[1:])
    if words[:1] == ["store"] and len(words) <= 2:
        return store(Path(words[1]) if len(words) > 1 else CHECKOUT)
    print("notebooks.py: say `lab`, or `store [HOME]`", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
