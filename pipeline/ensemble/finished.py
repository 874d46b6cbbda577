"""Members of a blend that are there already: finished inferences, and CSVs from elsewhere.

Owns which inferences `auto` and `key:` mean, and the digests of outside CSVs, which enter the blend's
key. Does not own reading their predictions (`ensemble/voters.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipeline.core.errors import ConfigError, DataError
from pipeline.record.digests import FileIndex
from pipeline.record.store import SHORT, Artifact, Store
from pipeline.settings.blend_rules import word_of

WHOLE = "complete"


def every(store: Store, wanted: Mapping[str, str], is_current: Callable[[Artifact], bool]) -> dict[str, str]:
    """Name -> key of every whole inference; two runs of one experiment are told apart by their keys.

    Args:
        store: where results lie.
        wanted: `stage/key` of the data and the folds that they must be made of.
        is_current: whether today's code would make a result.

    Raises:
        ConfigError: there is none.
    """
    found = []
    for listed in store.chosen():
        same = {name: listed.inputs.get(name) for name in wanted} == wanted
        if listed.stage != "infer" or not same or listed.metrics.get(WHOLE) != 1.0:
            continue
        artifact = store.find(listed.stage, listed.key)
        if artifact and is_current(artifact):
            found.append(artifact)
    if not found:
        raise ConfigError(
            "ensemble.members=[auto]: no member is finished for these data and folds",
            remedy="name members, e.g. ensemble.members=[lite0,probe], or run make infer first",
        )
    names = [str(a.manifest["experiment"]) for a in found]
    return {
        name if names.count(name) == 1 else _called(a): a.key for name, a in zip(names, found, strict=True)
    }


def pinned(store: Store, wanted: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Name -> key of the one inference whose key starts with `prefix`; arguments as for `every`.

    Raises:
        ConfigError: no inference's key starts so, several do, or it has other data or folds.
    """
    hits = [a for a in store.all() if a.stage == "infer" and a.key.startswith(prefix)]
    word = f"ensemble.members: key:{prefix}"
    if len(hits) != 1:
        which = [f"{a.key} ({a.manifest['experiment']})" for a in hits]
        raise ConfigError(f"{word}: {len(hits)} inferences have such a key", which, "`make runs` shows keys")
    other = [
        f"{name}: {hits[0].inputs.get(name)}, wanted {key}"
        for name, key in wanted.items()
        if hits[0].inputs.get(name) != key
    ]
    if other:
        what = f"{word} ({hits[0].manifest['experiment']}) was made of other data or folds"
        raise ConfigError(what, other, "members of one blend need the same competition and fold plan")
    return {_called(hits[0]): hits[0].key}


def _called(artifact: Artifact) -> str:
    return f"{artifact.manifest['experiment']}@{artifact.key[:SHORT]}"


def outside_identity(members: Sequence[str], index: FileIndex) -> str:
    """Digests of the CSVs from elsewhere, in the order of the members; empty where there are none.

    Raises:
        DataError: naming every one of them that is missing.
    """
    words = [word_of(text) for text in members]
    paths = [Path(p) for word in words for p in (word.path, word.oof) if p]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        remedy = "paths are relative to the folder that you call make in"
        raise DataError(f"ensemble.members: {len(missing)} files are missing", missing, remedy)
    return " ".join(index.digest(path) for path in paths)
