"""The messages of `submit/` as templates with named placeholders.

Owns the words only; those of the gap checks are in `submit/gap/texts.py`. Does not own when a message is
shown. Pages: `submit/templates/`.
"""

# Commands

PARTIAL = "no submission: only folds {folds} are trained; leave out train.folds to train all of them"
SUBMISSION = "submission: {path}"
TEACHERS_BY_NAME = "distill: teachers are trained again, and {members} cannot be: not an experiment"
TEACHERS_BY_NAME_REMEDY = "name experiments, e.g. ensemble.members=[probe,probe_mlp]"
SCORE_WITHOUT_FILE = "PUBLIC= or PRIVATE= needs FILE=, the submission that was scored"
EMPTY_LEDGER = "the ledger holds no submission of this competition"
NO_PICKS = "N={n}: at least one submission must be selected"
PIN_WITHOUT_NAME = "NAME is missing"
PIN_WITHOUT_NAME_REMEDY = "make pin-best NAME=…, or NAME=none to remove the mark"
PINNED, UNPINNED = "pinned {name} as the best", "no submission is pinned any more"

# Runs

NO_RUNS = "no finished run on {competition} yet: make train"
RUNS_DIFFER = "          differs: {settings}"
RUNS_PARTIAL = "  (part of the images)"

# Scores

ANSWERS_AT_HOST = "competition {competition}: only the host has the answers"
ANSWERS_AT_HOST_REMEDY = "submit the CSV to the host, then: make score FILE=… PUBLIC=0.71"
ANSWERS_GONE = "{path}: the answers are missing"
ANSWERS_GONE_REMEDY = "delete the folder {folder}; the next run makes it again"
OTHER_COMPETITION = "{name} is a submission to {theirs}, and this competition is {ours}"
OTHER_COMPETITION_REMEDY = 'make score … ARGS="competition={theirs}", or give the file another name'
NAME_TAKEN = "{path}: another submission has this name: {other} has other contents"
NAME_TAKEN_REMEDY = "give the file another name"
NO_FILE = "{file}: no such file, and no submission of that name"
NO_FILE_REMEDY = "give a CSV, or the name of a submission; `make score` lists the names"
OTHER_METRIC = "{name}: its scores are {theirs}, and competition.metric is {ours}"
OTHER_METRIC_REMEDY = 'score it with ARGS="competition.metric={theirs}"'

# Leaderboard

PUBLIC_FROM_ANSWERS = "counted in the local answers"
PUBLIC_FROM_SETTING = "competition.public_share={share:g}"
PUBLIC_ASSUMED = "half of the test set is assumed: set competition.public_share to the host's value"
PUBLIC_SET = "Public set: {images} images, about {groups} groups ({source})."
WITHIN_NOISE, BEYOND_NOISE = "within noise", "larger than noise"
NO_CORRELATION = "Rank correlation: needs at least two submissions with different OOF and public scores."
CORRELATION = "Rank correlation of OOF and public (Spearman): {rho:.2f} over {n} submissions"
CORRELATION_TOO_FEW = "{correlation}: too few for a conclusion."
CORRELATION_POSITIVE = (
    "{correlation}, 95 % interval {low:.2f} to {high:.2f}: OOF orders submissions as the host does."
)
CORRELATION_UNCLEAR = (
    "{correlation}, 95 % interval {low:.2f} to {high:.2f}: too few submissions, or too similar ones, to "
    "conclude that OOF orders them as the host does."
)
BEST = "best: {name}: {why}"
GAP_VERDICT = "{name}: {verdict}"
NEXT_CAUSE = "  also: {headline}"
CAUSE_ANSWER = "  do: {answer}"
LEADERBOARD_RUN = "{submissions} submissions, out of fold against public"
LEADERBOARD_WHY = "can out-of-fold scores be trusted?"

# The best submission

BEST_PINNED = "it is pinned (make pin-best)"
BEST_OOF = "its OOF score is the best"
BEST_OOF_NO_PUBLIC = "its OOF score is the best; no public score is known"
BEST_PUBLIC = "its public score is the best"
BEST_PUBLIC_CLEAR = "its public score is the best, by more than noise"
BEST_WITHOUT_OOF = "its public score is the best; {others}, but it has no OOF score to decide by"
BEST_BOTH = "its public score is the best; {others}, and its OOF score is the best of them"
BEST_BY_OOF = "its OOF score decides: {top} has the best public score, but {others}"
ONE_WITHIN_NOISE = "1 other is within the noise of the public set"
SOME_WITHIN_NOISE = "{count} others are within the noise of the public set"

# Final submissions

NO_CANDIDATE = "no submission has an OOF score with an interval and its CSV in submissions/"
SAFEST = "safest: the {end} end of its OOF interval, {bound:.4f}, is the best"
SAFEST_UNTESTED = "it has no public score yet that could contradict it"
SAFEST_CONFIRMED = "its public score {public:.4f} agrees with its OOF score {oof:.4f}"
SAFEST_CONTRADICTED = (
    "every public score differs from its OOF score by more than luck: run make leaderboard first"
)
PASSED_OVER = "not chosen, because public contradicts OOF by more than luck: {names}"
NEXT_BEST = "no other is within {width:.4f} of the safest (half its interval); this is the next best"
NEXT_BEST_DIFFERS = "it differs on {share:.1%} of the test images"
DIFFERENT = (
    "different: it differs from those above on {share:.1%} of the test images, the most of {count} whose OOF "
    "score is within {width:.4f} of the safest (half its interval)"
)
DIFFERENT_SCORE = "its OOF score is {oof:.4f}, that of the safest {safest:.4f}"
PICK = "{number}. submissions/{name}.csv"
PICK_REASON = "   {reason}"
FEWER_PICKS = "only {found} of {n}: no other submission has an OOF score and different answers"

# Validation

HOST_FAULTS = "{file}: {count} for which a host may reject it"
REPAIR = "make validate FILE={file} OUT=repaired.csv writes the same answers in the sample's form"
CANNOT_REPAIR = "fix the file, or write it again with `make infer` or `make ensemble`"
ENCODING = "its text is {encoding}; hosts read UTF-8"
BOM = "begins with a byte-order mark (BOM), as Excel writes it; hosts skip it"
LINE_ENDS = "has the line ends of Windows or an old Mac; hosts accept them"
VALID = "{file}: valid: {summary}"
REPAIRED = "repaired: {fault}"
PREDICTED = "{images} images, {predicted} of {classes} classes predicted"
NOT_PREDICTED = "{summary}; not predicted: {names}"
FILE_MISSING = "FILE is missing"
OUT_EXISTS = "{path}: exists already with other contents"

# Submitting

NO_CLIENT = "competition.submission: no way to submit is set"
NO_CLIENT_REMEDY = (
    "set competition.submission.kaggle to the competition's name in its address, or "
    "competition.submission.command, e.g. 'scp {file} host:inbox/'"
)
NOT_EXECUTABLE, NO_COMMAND = "{program}: not executable", "{program}: no such command"
INSTALL_KAGGLE = "pip install kaggle, and put its token where its documentation says"
INSTALL_COMMAND = "fix competition.submission.command, or install the command"
CANNOT_RUN = "{program}: cannot run: {reason}"
CLIENT_FAILED = "not submitted: {program} failed with exit code {code}"
CLIENT_FAILED_REMEDY = "its output is above; nothing was recorded"
CLIENT_REPORTED = "not submitted: {program} printed {words!r}, although it ended without an error"
CLIENT_REPORTED_REMEDY = (
    "check whether the competition has ended, its rules are accepted, and its name is right"
)
P_BETTER = "P(better than {best}) = {p:.2f}, out of fold, {images} images in pairs: {comparison}"
P_BETTER_GROUPS = "; about {needed} groups would be needed, there are {groups}"
P_BETTER_REFITS = "; for {names} the models of its cross-validation are compared"
P_BETTER_UNKNOWN = "P(better than {best}): unknown, because {reason}"
NO_OOF = "{name} has no out-of-fold predictions ({why})"
NOT_MADE_HERE = "not made here"
RESULTS_GONE = "its results were freed or made elsewhere"
OTHER_IMAGES = "the two were trained on other images or classes"
NOTHING_TO_COMPARE = "no other submission is known: there is nothing to compare it with"
EDITED = "{name} was edited since it was written: this describes the original"
LABELS_DIFFER = "it differs from {best} on {count} of {images} test images"
SAME_BYTES = "the same file was submitted before: {time} as {name}"
SUBMITTED_TODAY = "submissions today: {count} (competition.submission.per_day sets no limit)"
LEFT_TODAY = (
    "submissions left today: {left} of {limit}; the next day begins in {hours} h {minutes} min, at 00:00 UTC"
)
NONE_LEFT = "not submitted: none of today's {limit} submissions is left"
NONE_LEFT_REMEDY = (
    "wait for 00:00 UTC; if the host counts differently, fix submissions/{log} or "
    "competition.submission.per_day"
)
COMMAND = "command: {words}"
NOT_SUBMITTED = "not submitted"
SUBMITTED = "submitted {name}; {left}"
SCORE_NEXT = "when the host shows its score: make score FILE={file} PUBLIC=…"
STOPPED = "stopped while submitting: the host may have received it, so it counts; check at the host"
NO_TERMINAL = "not submitted: no terminal to ask at"
NO_TERMINAL_REMEDY = "YES=1 submits without asking"
ASK = "submit it? [y/N] "

# Reproduction

KEY_UNKNOWN = "{recorded} is {now} now; the reason is unknown, because it was freed before it was recorded"
STAGE_VERSION = "the code of stage {stage} has changed: version {before} → {now}"
STAGE_SETTINGS = "stage {stage} reads other settings in {sections}"
STAGE_TIMED_AGAIN = "members were timed again, or a CSV changed, and ensemble.max_ms chooses by it"
STAGE_FILES = "the files or the own code that stage {stage} reads have changed"
STAGE_INPUTS = "stage {stage} has other inputs: {inputs}"
NOTE = "note: {line}"
BUILT_AGAIN = "{built} of {total} results were built again, {reused} were reused"
EQUAL_BYTES = "the bytes are equal"
OTHER_BYTES = "other bytes on the same hardware profile and versions; {likeness}"
OTHER_BYTES_ELSEWHERE = "other bytes on another hardware profile or versions; {likeness} {tolerance}"
TOO_DIFFERENT = "{likeness} {tolerance}"
TOLERANCE = "(required: at least {agreement:.0%} and at most {max_dp:g})"
LABELS_GONE, LABELS_AGREE = "the first labels are gone", "labels agree on {agreement:.2%}"
PROBABILITIES_GONE, LARGEST_DIFFERENCE = "the first probabilities are gone", "max |Δp| = {max_dp:.2g}"
REPRODUCED = "{verdict}: {name}: {keys}, {why}"
EQUAL_KEYS, OTHER_KEYS = "equal keys", "other keys"
NEW_CSV = "the new one is {path}"
PROFILE_BEFORE, PROFILE_NOW = "then: {profile}", "now: {profile}"
PROFILE = "{device}, {threads} threads, torch {torch}"
NO_SUBMISSION = "{name}: no such submission"
SETTINGS_REJECTED = "{file}: the current code rejects the recorded settings"
SETTINGS_REJECTED_REMEDY = "git checkout {commit}, the code that wrote it"
SETTINGS_GIVEN = "the settings are those of the provenance: {settings} would change them"
SETTINGS_GIVEN_REMEDY = "only runtime.* and reproduce.* may be given"
CODE_MOVED = "the code was at {before} and is at {now}"
CODE_DIRTY = "that code had uncommitted changes, so its commit alone may give other results"
OTHER_VERSION = "another version: {package} {before} → {now}"
FILES_REJECTED = "{name}: {files} changed since, and today: {error}"
FILES_CHANGED = (
    "{name}: {files} changed since{settings}: today's key is {now}, the recorded one is {recorded}; the "
    "recorded settings are used"
)
OTHER_KEY = "NOT reproduced: {name}: the same request leads to another key now"
OTHER_KEY_REMEDY = (
    "git checkout {commit} for the code, restore the files; or ANYWAY=1 to rebuild it with the current ones, "
    "and compare"
)
SAMPLE_CHANGED = "note: the host's sample {sample} has changed since"
FIRST_GONE = "note: {file} is gone or was edited since it was written, and its results are gone"
NO_PROVENANCE = "{file}: no provenance beside it ({json}), so its origin is unknown"
NO_PROVENANCE_REMEDY = "only submissions that were made here have one"
OLD_PROVENANCE = "{json}: written by another version of the code, without what a rebuild needs"
OLD_PROVENANCE_REMEDY = "check out the code that wrote it: git checkout {commit}"
