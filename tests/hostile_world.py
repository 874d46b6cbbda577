"""Files and names as an attacker, a bad merge or a stranger's archive has them; shared by several tests."""

import copy

DIGEST = "0123456789abcdef" * 4
NODE = {
    "version": 1,
    "identity": "",
    "config": {"competition": "0123456789ab"},
    "inputs": {},
    "seconds": 1.0,
    "made": 0,
}
REQUEST = {
    "competition": "digits",
    "model": None,
    "experiment": ["debug"],
    "values": [["train.epochs", 1]],
    "files": {"config.yaml": "{}\n", "experiment/debug.yaml": "{}\n"},
}
PROVENANCE = {
    "version": 2,
    "name": "digits-lite0-aaaaaa",
    "artifact": "infer/aaaaaaaaaaaaaaaa",
    "csv_sha256": DIGEST,
    "competition": "digits",
    "format": {"format": "label", "sample_sha256": DIGEST},
    "blend": None,
    "decision": None,
    "members": {},
    "request": REQUEST,
    "digests": {},
    "machines": [
        {
            "git": "none",
            "versions": {"torch": "2"},
            "profile": {"device": "cpu", "threads": 1},
            "hardware": {},
        }
    ],
    "chain": {"infer/aaaaaaaaaaaaaaaa": NODE},
    "manifest": {"git": "none", "versions": {"torch": "2"}, "config": {}},
}
# Names that would become another path, a control code, or a file that is not theirs.
NAMES = (
    "../../victim",
    "..",
    ".",
    "",
    " ",
    "/etc/victim",
    "a/b",
    "a\\b",
    "C:\\victim",
    ".hidden",
    "-rf",
    "a\x00b",
    "a\nb",
    "a\x1b[2Jb",
    "\udcff",
    "n" * 300,
    "leaderboard",
    "Submits",
    "two  spaces",
    " leading",
)
# Addresses of results that are none.
ADDRESSES = ("../victim", "infer", "infer/../../victim", "/infer/x", "infer/x/y", "", "infer/", 5, None)


def provenance(**changes):
    """A valid provenance with values changed by dotted path (`request__files` is `request.files`)."""
    made = copy.deepcopy(PROVENANCE)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = made
        for parent in parents:
            place = place[parent]
        place[last] = value
    return made


def tree(folder):
    """Every file and folder below with its bytes, to compare two states; links are not followed."""
    return {
        str(p.relative_to(folder)): ("link" if p.is_symlink() else p.read_bytes() if p.is_file() else None)
        for p in sorted(folder.rglob("*"))
    }
