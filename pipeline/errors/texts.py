"""Texts of the error report that are written in Python, except those of the sub-folders.

Each is a template with named placeholders. The HTML templates are in `errors/templates/`.
"""

# Sections that have nothing to show.
NEEDS_OOF = "This section needs out-of-fold predictions of the new submission, and a CSV from elsewhere has none. For your own submissions, run"
NO_ROBUSTNESS = "The score under growing blur, noise, JPEG compression and brightness has not been measured yet."
NO_ROBUSTNESS_OUTSIDE = " A CSV from elsewhere has no models to measure."
NO_MAPS = "Maps of what the network looked at in its worst errors have not been computed yet."
NO_MAPS_OUTSIDE = " A CSV from elsewhere has no network to explain."

# What the terminal prints.
COMPARED_WITH = "compared with {name}: {why}"
FIRST = "this is the first submission: the report shows its errors, without a comparison"
NO_SUCH_FILE = "{path}: file not found"
GIVE_CSV = "give the path of a CSV in the host's format"
NOTHING_TO_COMPARE = "{name}: the ledger has no other submission to compare with"
NAME_ANOTHER = "run make infer for another experiment, or name a CSV: {command}"
JUDGED = "judged by eye: {line}"
DIFFERS = "differs in {what}: {old} → {new}{alone}"
TESTED_ALONE = "; tested alone: {comparison}"
NEVER_TESTED = "; never tested alone"
DIFFERS_MORE = "{count} more differences: see the report"
TRY = "try {number}: {do}. {sentence}"
AT_MOST = "at most {gain}, {bounded}"
GAIN_UNKNOWN = "gain not known"
FIRST_OF_ALL = "do this first: {bounded}"
TAKES = "; takes about {minutes}"

# Titles and tables of the page.
TITLE = "{competition}: {new}"
TITLE_AGAINST = "{competition}: {new} against {old}"
ROLE_NEW, ROLE_OLD = "new", "best so far"
SCORE_COLUMN = "{metric}, out of fold"
SCORE_PLOT = "Out-of-fold score with its 95 % interval"
DIFFERENCE_PLOT = "Difference with its 95 % interval"
DIFFERENCE = "new − best"
