"""Names of libraries that a predictor uses, and those that the oldest versions have.

    PYTHON tests/predict/oldest_world.py     with a Python that has the oldest libraries (`predict/oldest.py`)

writes `oldest_names.txt` again, and names what is missing. A name that the file lacks is new: run this before
it is used.
"""

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
NAMES = Path(__file__).with_name("oldest_names.txt")
LIBRARIES = ("torch", "numpy", "cv2", "PIL", "pydantic", "scipy", "torchvision")
# Where the notebook of a bundle and a script begin.
STARTS = ("pipeline.predict.hidden", "pipeline.predict.predictor")


def path_of(module: str) -> Path | None:
    base = CHECKOUT.joinpath(*module.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """(module, name in it or "", as) of every import that runs with the module; not those for types."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, "", alias.asname or alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node.module, alias.name, alias.asname or alias.name


def loaded() -> dict[str, ast.Module]:
    """Every module of ours that is imported where a predictor predicts."""
    found: dict[str, ast.Module] = {}
    waiting = list(STARTS)
    while waiting:
        module = waiting.pop()
        path = path_of(module)
        if module in found or path is None:
            continue
        found[module] = tree_of(path)
        for base, name, _ in imported(found[module]):
            if base.partition(".")[0] == "pipeline":
                waiting += [base, f"{base}.{name}"]
    return found


def libraries(modules: dict[str, ast.Module]) -> set[str]:
    """The packages that these modules import, without the standard library."""
    bases = {base.partition(".")[0] for tree in modules.values() for base, _, _ in imported(tree)}
    return bases - {"pipeline", "__future__"} - set(sys.stdlib_module_names)


def names_used(modules: dict[str, ast.Module]) -> set[str]:
    """Dotted names of the libraries, such as torch.nn.functional.softmax."""
    found = set()
    for tree in modules.values():
        known = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for base, name, own in imported(ast.Module([node], [])):
                    if base.partition(".")[0] in LIBRARIES:
                        plain = base if own != base.partition(".")[0] else own
                        known[own] = f"{base}.{name}" if name else plain
                        found |= {known[own]} if name else set()
        for node in ast.walk(tree):
            parts = []
            while isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            if parts and isinstance(node, ast.Name) and node.id in known:
                found.add(".".join([known[node.id], *reversed(parts)]))
    return found


def is_there(name: str) -> bool:
    """Whether the libraries of this Python have a name; of an object, only its class is known."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            here = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            if not hasattr(here, part):
                return False
            here = getattr(here, part)
        return True
    return False


if __name__ == "__main__":
    used = sorted(names_used(loaded()))
    missing = [name for name in used if not is_there(name)]
    NAMES.write_text("".join(f"{name}\n" for name in used if name not in missing), encoding="utf-8")
    sys.exit("missing: " + ", ".join(missing) if missing else 0)
