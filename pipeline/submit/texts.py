"""Texts of `submit/`: messages of the commands, and headlines, methods and answers of the gap checks.

Owns the words, as templates with named placeholders; text in backticks is a command or a setting. Does not own when
a text is shown nor the pages (`submit/templates/`).
"""

from pipeline.core.language import _

# Commands.

PARTIAL = _("no submission: only folds {folds} are trained; leave out train.folds to train all of them")
SUBMISSION = _("submission: {path}")
TEACHERS_BY_NAME = _("distill: teachers are trained again, so they must be experiments: {members}")
TEACHERS_BY_NAME_REMEDY = _("name experiments, e.g. ensemble.members=[probe,probe_mlp]")
SCORE_WITHOUT_FILE = _("FILE is missing: a score needs the submission that it belongs to")
EMPTY_LEDGER = _("the ledger holds no submission of this competition")
NO_PICKS = _("N={n}: at least one submission must be selected")
PIN_WITHOUT_NAME = _("NAME is missing")
PIN_WITHOUT_NAME_REMEDY = _("make pin-best NAME=…, or NAME=none to remove the mark")
PINNED, UNPINNED = _("pinned {name} as the best"), _("no submission is pinned any more")

# Runs.

REPRODUCES = _("competition     {competition} (of {name})")
NO_RUNS = _("no finished run on {competition} yet")
RUNS_HEAD = (_("stage"), _("experiment"), _("key"), _("score"), _("folds"), _("min"), _("made"))
RUNS_DIFFER = _("          differs: {settings}")
RUNS_PARTIAL = _("  (scored on a part of the images)")

# Scores.

OOF, NO_OOF_SCORE, NO_OOF_NOTE = _("OOF {oof:.4f}"), _("OOF –     "), _("OOF – ({note})")
PUBLIC, NO_PUBLIC = _("public {public:.4f}"), _("public –")
PRIVATE = _("private {private:.4f} (looked at {looks}×)")
PRIVATE_HIDDEN = _("(private looked at {looks}×)")
ANSWERS_AT_HOST = _("competition {competition}: only the host has the answers")
ANSWERS_AT_HOST_REMEDY = _("submit the CSV to the host, then: make score FILE=… PUBLIC=0.71")
ANSWERS_GONE = _("{path}: the answers are missing")
ANSWERS_GONE_REMEDY = _("delete the folder {folder}; the next run makes it again")
OTHER_COMPETITION = _("{name} is a submission to {theirs}, and the current competition is {ours}")
OTHER_COMPETITION_REMEDY = _('make score … ARGS="competition={theirs}", or give the file another name')
NAME_TAKEN = _("{path}: another submission has this name: {other} has other contents")
NAME_TAKEN_REMEDY = _("give the file another name")
NO_FILE = _("{file}: no such file, and no submission of that name")
NO_FILE_REMEDY = _("give a CSV, or the name of a submission; `make score` lists the names")
OTHER_METRIC = _("{name}: its scores are {theirs}, and competition.metric is {ours}")
OTHER_METRIC_REMEDY = _('score it with ARGS="competition.metric={theirs}"')

# Leaderboard.

PUBLIC_FROM_ANSWERS = _("counted in the local answers")
PUBLIC_FROM_SETTING = _("competition.public_share={share:g}")
PUBLIC_ASSUMED = _("half of the test set is assumed: set competition.public_share to the host's value")
PUBLIC_SET = _("Public set: {images:image}, about {groups:group} ({source}).")
WITHIN_NOISE, BEYOND_NOISE = _("within noise"), _("larger than noise")
NO_CORRELATION = _("Rank correlation: needs at least two submissions with different OOF and public scores.")
CORRELATION = _("Rank correlation of OOF and public (Spearman): {rho:.2f} over {n:submission}")
CORRELATION_TOO_FEW = _("{correlation}: too few for a conclusion.")
CORRELATION_POSITIVE = _("{correlation}, 95 % interval {low:.2f} to {high:.2f}: OOF ranks submissions in the same order as the host.")
CORRELATION_UNCLEAR = _("{correlation}, 95 % interval {low:.2f} to {high:.2f}: the submissions are too few or too similar to conclude that OOF ranks them in the same order as the host.")
BEST = _("best: {name}: {why}")
GAP_VERDICT = _("{examined}: {verdict}")
EXAMINED_INSTEAD = _("{name}, whose gap is examined because the best has no public score")
SAME_FILE = _("{name} is the same file as {other}, byte for byte; where their OOF scores differ, only the way of computing them does")
NEXT_CAUSE = _("  also: {headline}")
CAUSE_ANSWER = _("  do: {answer}")
LEADERBOARD_TITLE = _("{title}: submissions")
CAUSE_NOT_FOUND, CAUSE_HARMLESS, CAUSE_FOUND = _("not found"), _("harmless"), _("found")
BEST_MARKED = _("{name} (best)")
GAP_COLUMN, RANGE = _("the gap"), _("{low} to {high}")
# Columns of the page's table, and the causes, which the page looks up by their names.
LEADERBOARD_WORDS = (
    _("no"), _("submission"), _("kind"), _("run"), _("member"), _("blend"), _("refit"), _("outside"), _("95 % interval"), _("public"), _("public − OOF"), _("luck alone"), _("looks"), _("note"),
    _("group leak"), _("duplicates"), _("transform"), _("covariate shift"), _("label shift"), _("over selection"), _("unexplained"), _("averaging"), _("noise"),
)
LEADERBOARD_RUN = "{submissions} submissions, out of fold against public"
LEADERBOARD_WHY = "can out-of-fold scores be trusted?"

# The best submission.

BEST_PINNED = _("it is pinned (make pin-best)")
BEST_OOF_NO_PUBLIC = _("its OOF score is the best; no public score is known")
BEST_OOF_ONE_PUBLIC = _("its OOF score is the best; no other submission has a public score")
BEST_OOF_UNSEEN = _("its OOF score is the best; it has no public score to compare with that of {top}")
BEST_ELSEWHERE = _("{why} (OOF scores are of other data or folds than those of this command)")
BEST_PUBLIC = _("its public score is the best")
BEST_ONLY_PUBLIC = _("it is the only one with a public score, and no OOF score can be compared")
BEST_PUBLIC_CLEAR = _("its public score is the best, by more than noise")
BEST_NEAR_PUBLIC = _("{top} has the best public score, but {others}, and this one has the best OOF score of them")
BEST_WITHOUT_OOF = _("its public score is the best; {others}, but it has no OOF score to compare")
BEST_BOTH = _("its public score is the best; {others}, and its OOF score is the best")
BEST_BY_OOF = _("its OOF score decides: {top} has the best public score, but {others}")
BUT_OOF_LEADS = _("{why}; by OOF scores alone, {leader} would be the best")
ONE_WITHIN_NOISE = _("1 other submission is within the noise of the public set")
SOME_WITHIN_NOISE = _("{count} other submissions are within the noise of the public set")

# A new submission against the best other one.

COMPARED_WITH = _("compared with {name}, the best other submission so far ({why})")
AGAINST_BEST = _("{compared}, by out-of-fold predictions: {comparison}")
SAME_AS_BEST = _("{compared}: the same file, byte for byte")
NOT_COMPARED = _("{compared}: not comparable, because {reason}")
FIRST_SUBMISSION = _("no other submission to compare it with yet")

# Final submissions.

NO_CANDIDATE = _("no submission has an OOF score with an interval and its CSV in submissions/")
SAFEST_LOW = _("safest: the low end of its OOF interval, {bound:.4f}, is the best")
SAFEST_HIGH = _("safest: the high end of its OOF interval, {bound:.4f}, is the best")
SAFEST_UNTESTED = _("it has no public score yet that could contradict it")
SAFEST_CONFIRMED = _("its public score {public:.4f} agrees with its OOF score {oof:.4f}")
SAFEST_CONTRADICTED = _("every public score differs from its OOF score by more than luck: run make leaderboard first")
PASSED_OVER = _("not chosen, because the public score differs from the OOF score by more than luck: {names}")
NEXT_BEST = _("no other OOF score is within {width:.4f} (half of the interval) of the safest; this submission is the next best")
NEXT_BEST_DIFFERS = _("it differs on {share:.1%} of the test images")
DIFFERENT = _("different: it differs from the submissions above on {share:.1%} of the test images, the most of {count} whose OOF score is within {width:.4f} (half of the interval) of the safest")
DIFFERENT_SCORE = _("its OOF score is {oof:.4f}, that of the safest {safest:.4f}")
PICK = _("{number}. submissions/{name}.csv")
PICK_REASON = _("   {reason}")
OTHER_FOLDS = _("not considered, because their OOF scores are of other data or folds: {names}")
FEWER_PICKS = _("only {found} of {n}: no other submission has an OOF score and different answers")

# Validation.

HOST_FAULTS = _("{file}: {count} for which a host may reject it")
REPAIR = _("make validate FILE={file} OUT=repaired.csv writes the same answers in the sample's form")
CANNOT_REPAIR = _("fix the file, or write it again with `make infer` or `make ensemble`")
ENCODING = _("its text is {encoding}; hosts read UTF-8")
BOM = _("begins with a byte-order mark (BOM), as Excel writes it; hosts skip it")
LINE_ENDS = _("has the line ends of Windows or an old Mac; hosts accept them")
METRIC_OF_LABELS = _("competition.metric={metric} needs probabilities, and competition.submission.format={format} submits only the most probable class: choose probability or probabilities, or another metric")
IS_SAMPLE = _("{file}: this is the host's sample: its form is right, and its answers are placeholders and no submission")
COPIED_COLUMN = _("column {column!r} is the sample's, cell by cell: it was copied and not predicted")
REMARK = _("{file} {remark}")
VALID = _("{file}: valid: {summary}")
REPAIRED = _("repaired: {fault}")
PREDICTED = _("{images:image}, {predicted} of {classes:class} predicted")
PREDICTED_LABELS = _("{images:image}, {predicted} of {classes:label} predicted at least once")
PREDICTED_VALUES = _("{images:image}, {ranges}")
PREDICTED_RANGE = _("{name} from {low:.4g} to {high:.4g}")
NOT_PREDICTED = _("{summary}; not predicted: {names}")
FILE_MISSING = _("FILE is missing")
OUT_FOLDER = _("OUT={path}: this is a folder")
OUT_OURS = _("OUT={path}: Podium keeps its own records under this name")
OUT_EXISTS = _("{path}: already exists with other contents")

# Submitting.

NO_CLIENT = _("competition.submission: no way to submit is set")
NO_CLIENT_REMEDY = _("set competition.submission.kaggle to the competition's name in its address, or competition.submission.command, e.g. 'scp {file} host:inbox/'")
NOT_EXECUTABLE, NO_COMMAND = _("{program}: not executable"), _("{program}: no such command")
INSTALL_KAGGLE = _("pip install kaggle, and put its token where its documentation says")
INSTALL_COMMAND = _("fix competition.submission.command, or install the command")
CANNOT_RUN = _("{program}: cannot run: {reason}")
CLIENT_FAILED = _("not submitted: {program} failed with exit code {code}")
CLIENT_FAILED_REMEDY = _("its output is above; nothing was recorded")
CLIENT_REPORTED = _("not submitted: {program} printed {words!r}, although it ended without an error")
CLIENT_REPORTED_REMEDY = _("check whether the competition has ended, its rules are accepted, and its name is right")
P_BETTER = _("P(better than {best}) = {p:.2f}, from paired out-of-fold predictions of {images} images: {comparison}")
P_BETTER_GROUPS = _("; about {needed} groups would be needed to detect this difference, there are {groups}")
P_BETTER_REFITS = _("; for {names}, the models of the cross-validation are compared")
P_BETTER_UNKNOWN = _("P(better than {best}): unknown, because {reason}")
NO_OOF = _("{name} has no out-of-fold predictions ({why})")
NOT_MADE_HERE = _("not made here")
RESULTS_GONE = _("its results were deleted or made elsewhere")
OTHER_IMAGES = _("the two were trained on other images or classes")
NOTHING_TO_COMPARE = _("no other submission is known: there is nothing to compare it with")
EDITED = _("{name} was edited after it was written; the comparison describes the original")
LABELS_DIFFER = _("it differs from {best} on {count} of {images} test images")
SAME_BYTES = _("the same file was submitted before: {time} as {name}")
SUBMITTED_TODAY = _("submissions today: {count} (competition.submission.per_day sets no limit)")
LEFT_TODAY = _("submissions left today: {left} of {limit}; the next day begins in {hours} h {minutes} min, at 00:00 UTC")
NONE_LEFT = _("not submitted: none of today's {limit} submissions is left")
NONE_LEFT_REMEDY = _("wait for 00:00 UTC; if the host counts differently, fix submissions/{log} or competition.submission.per_day")
COMMAND = _("command: {words}")
NOT_SUBMITTED = _("not submitted")
SUBMITTED = _("submitted {name}; {left}")
SCORE_NEXT = _("when the host shows its score, record it:")
DRY_NO_CLIENT = _("nothing could be sent yet: {reason}\n  → {remedy}")
DRY_NONE_LEFT = _("it would be refused: {reason}")
DRY_MESSAGE = _("message: {message}")
DRY_UPLOAD = _("without a command, upload {path} on the host's page; the next command records the score that it shows")
DRY_DONE = _("DRY=1: nothing was sent, and submits.csv is unchanged")
STOPPED = _("stopped while submitting: the host may have received the file, so it is counted; check on the host's page")
NO_TERMINAL = _("not submitted: there is no terminal for the question")
NO_TERMINAL_REMEDY = _("YES=1 submits without asking")
ASK = _("submit it? [y/N] ")

# Reproduction.

KEY_UNKNOWN = _("{recorded} is {now} now; the reason is unknown, because the result was deleted before it was recorded")
STAGE_VERSION = _("the code of stage {stage} has changed: version {before} → {now}")
STAGE_SETTINGS = _("stage {stage} reads other settings in {sections}")
STAGE_TIMED_AGAIN = _("members were timed again, or a CSV changed; ensemble.max_ms depends on both")
STAGE_FILES = _("the files or your own code that stage {stage} reads have changed")
STAGE_INPUTS = _("stage {stage} has other inputs: {inputs}")
NOTE = _("note: {line}")
BUILT_AGAIN = _("{built} of {total} results were built again, {reused} were reused")
EQUAL_BYTES = _("the bytes are equal")
OTHER_BYTES = _("the bytes differ, on the same hardware profile and versions; {likeness}")
OTHER_BYTES_ELSEWHERE = _("the bytes differ, on another hardware profile or other versions; {likeness} {tolerance}")
TOO_DIFFERENT = _("{likeness} {tolerance}")
TOLERANCE = _("(required: at least {agreement:.0%} and at most {max_dp:g})")
LABELS_GONE, LABELS_AGREE = _("the original labels are missing"), _("answers agree on {agreement:.2%}")
PROBABILITIES_GONE, LARGEST_DIFFERENCE = _("the original probabilities are missing"), _("max |Δp| = {max_dp:.2g}")
VERDICTS = {
    "reproduced": _("reproduced"),
    "within tolerance": _("within tolerance"),
    "NOT reproduced": _("NOT reproduced"),
}
CAUSE = _("{cause} (in {roles})")
REPRODUCED = _("{verdict}: {name}: {keys}, {why}")
EQUAL_KEYS, OTHER_KEYS = _("equal keys"), _("other keys")
NEW_CSV = _("the new one is {path}")
PROFILE_BEFORE, PROFILE_NOW = _("then: {profile}"), _("now: {profile}")
PROFILE = _("{device}, {threads} threads, torch {torch}")
NO_SUBMISSION = _("{name}: no such submission")
SETTINGS_REJECTED = _("{file}: the current code rejects the recorded settings")
SETTINGS_REJECTED_REMEDY = _("git checkout {commit}, the code that wrote it")
SETTINGS_GIVEN = _("the settings come from the provenance, and {settings} would change them")
SETTINGS_GIVEN_REMEDY = _("only runtime.*, reproduce.* and where the files lie (competition.root, …) may be given")
CODE_MOVED = _("the code was at {before} and is at {now}")
CODE_DIRTY = _("that code had uncommitted changes, so its commit alone may give other results")
OTHER_VERSION = _("another version: {package} {before} → {now}")
FILES_REJECTED = _("{name}: {files} changed after it was written, and now: {error}")
FILES_CHANGED = _("{name}: {files} changed after it was written{settings}: today's key is {now}, the recorded one is {recorded}; the recorded settings are used")
OTHER_KEY = _("NOT reproduced: {name}: the same request now leads to another key")
OTHER_KEY_REMEDY = _("git checkout {commit} and restore the files; or ANYWAY=1 to rebuild it with the current code and files, and compare")
SAMPLE_CHANGED = _("note: the host's sample {sample} has changed since then")
FIRST_GONE = _("note: {file} is missing or was edited after it was written, and its results are missing")
BAD_NAME = _("{file}: a submission cannot have this name: {fault}")
BAD_NAME_REMEDY = _("copy the file under another name, e.g. theirs.csv, and give that")
NO_PROVENANCE = _("{file}: no provenance beside it ({json}), so its origin is unknown")
NO_PROVENANCE_REMEDY = _("only submissions that were made here have one")
OLD_PROVENANCE = _("{json}: written by another version of the code; it lacks what a rebuild needs")
PROVENANCE_UNREADABLE = _("{json}: this is no provenance file: {reason}")
PROVENANCE_NO_OBJECT = _("it holds a {kind}, not an object")
PROVENANCE_NOT_UTF8 = _("a text in it is not valid Unicode")
PROVENANCE_FAULTS = _("{json}: this is no provenance that can be used: {count}")
PROVENANCE_REMEDY = _("get the file again from where it was written (git checkout, or whoever sent it); nothing was changed")
PROVENANCE_MACHINE = _("chain.{name}.made: it names machine {made}, and the file has {count}")
PROVENANCE_DECIDED = _("manifest.config.of: it is missing, and a decided result needs it")
PROVENANCE_SAMPLE = _("format.sample_sha256: it is missing")
PROVENANCE_VALUE = _("request.values.{number}: the path of a setting must be a text")
OLD_PROVENANCE_REMEDY = _("check out the code that wrote it: git checkout {commit}")

# The gap: all checks.

NOTHING_TO_DO = _("Nothing to do.")

# The gap: verdict.

NO_GAP = _("No gap to explain yet: no public score, or no out-of-fold predictions.")
INSIDE_BAND = _("public − OOF is {gap:+.4f}, and luck alone gives {low:+.4f} to {high:+.4f}.")
INSIDE_BAND_BUT = _(" Luck alone can give this gap, and so can a problem that a check found:")
INSIDE_BAND_HIDDEN = _(" Luck alone can give this gap. A check found a problem that moves the scores the other way, so that the gap does not show it:")
OUTSIDE_BAND_HIDDEN = _(" No check found what gives this gap. It found a problem that moves the scores the other way:")
OUTSIDE_BAND = _("public − OOF is {gap:+.4f}; luck alone gives {low:+.4f} to {high:+.4f}.")

# The gap: noise.

NOISE_HOW = _("Drew public sets of {groups} groups from the out-of-fold predictions, and measured how far their score is from that of all training groups.")
NO_OTHER_CAUSE = _("No other cause was found.")
SCORE_FIRST = _("Run `make score FILE=… PUBLIC=…` first.")
LUCK_OFTEN = _("luck alone gives a gap as large in {percent:.0f} of 100 cases")
LUCK_IS_NOT_ENOUGH = _("luck is not enough")
PLAIN_NOISE = _("Only noise: {often}.")
NOISE = _("Noise: {often}.")
NOISE_ANSWER = _("Nothing to fix. Choose between submissions inside this range by their out-of-fold score.")
AVERAGING = _("The public score is better than luck alone explains, and no check found a fault. Probably there is none: the test set is predicted by the mean of all fold models, which is often better than each of them is out of fold.")
AVERAGING_HOW = _("{how} The effect of averaging cannot be measured without answers.")
AVERAGING_ANSWER = _("Nothing to fix. Compare submissions by OOF; the gain from averaging is about the same for similar models.")
UNEXPLAINED = _("Luck alone gives such a gap in fewer than 1 of 100 cases, and no check found a cause.")
UNEXPLAINED_ANSWER = _("Look for causes that no check can see: another metric or label order at the host, rows of the CSV in another order, a public set that is not a random sample, settings chosen by hand on these folds.")

# The gap: leaks.

GROUPS_HOW = _("Looked for groups with images in both the training and the validation part of a fold. Then predicted each validation image with the label of the most similar training image (a nearest-neighbour look-up), on these folds and on folds that keep groups and copies together.")
GROUPS_WHOLE = _("In each fold, every group is in one part only.")
GROUPS_NEARLY_WHOLE = _("Almost no group is split.")
GROUPS_SPLIT = _("{share} of validation images have images of their own group in the training part")
GROUPS_HARMLESS = _("{split}, but a look-up gains nothing from it ({gain:+.1f} points).")
GROUPS_HARMLESS_ANSWER = _("It is still better to use `folds.kind=stratified_group`.")
GROUPS_LEAK = _("{split}: a look-up is right {gain:.1f} ± {error:.1f} points more often than on folds that keep groups together. Out-of-fold scores are too optimistic; the public score is not.")
GROUPS_LEAK_ANSWER = _("Train again with `folds.kind=stratified_group`, and trust those scores.")
UNKNOWN_GROUPS = _("Validation images are much closer to training images than test images are: the distance to the nearest one is {valid:.2f} against {test:.2f} (0: the same pixels; smaller in {share} of pairs). There seem to be groups that no setting names.")
UNKNOWN_GROUPS_HOW = _("Measured the distance to the most similar training image, for validation and for test images.")
UNKNOWN_GROUPS_ANSWER = _("Find out which images belong together (a person, a scene, a series) and set `competition.group_column` or `competition.group_pattern`; then train again.")
COPIES_HOW = _("Compared all files, then perceptual hashes and thumbnails, of train and test.")
COPIES_LEAK = _("{share} of validation images have a copy in training: a look-up is right {gain:.1f} points more often than without the copies. Out-of-fold scores are too optimistic.")
COPIES_LEAK_ANSWER = _("Give all copies of an image the same group, by `competition.group_column` or `competition.group_pattern`, or keep one of them; the report of `make eda` shows them, and links to the list of all.")
COPIES_IN_TEST = _("{images} ({share}) are copies of training images: the model has seen their answers, and the leaderboard is too optimistic there.")
COPIES_IN_TEST_ANSWER = _("Read the competition's rules before you use this; the gain says nothing about the quality of the model.")
NO_COPIES = _("No relevant number of copies across folds, or in both train and test.")

# The gap: transform mismatch and covariate shift.

SHIFT_HOW = _("Trained a classifier to separate test from training images, on image facts and on thumbnails of the prepared images, against {shuffles} shuffles of the split names.")
TRANSFORM_HOW = _("{how} Then undid simple changes on the test images, one by one, and repeated the test.")
SHIFT_IMPOSSIBLE = _("Cannot be checked: there is no test set, or there are too few groups.")
SHIFT_FIGURE = _("{columns} AUC {auc:.2f} (by chance below {chance:.2f})")
SHIFT_COLUMNS = {"facts": _("facts"), "thumbs": _("thumbnails")}
NO_SHIFT = _("Test images look like training images ({figures}).")
NO_TRANSFORM = _("No sign that test images were stored in another way.")
SHIFT_BY_TRANSFORM = _("The sets look different ({figures}); one change of all test images explains this.")
SHIFT_BY_CLASSES = _("The sets look different ({figures}), but only because the classes are not equally frequent.")
SEE_TRANSFORM, SEE_LABEL_SHIFT = _("See the transform mismatch."), _("See the label shift.")
TRANSFORM = _("Test images seem to be {change}: undoing it removes {removed} of what separates them from training images. The same change costs a look-up {loss:.1f} points.")
BEYOND = _("{share} of test images are outside the range of the training images in {fact} (median {train:.4g} in training, {test:.4g} in test; 5 % are expected by chance): they were stored, resized or decoded in another way.")
TRANSFORM_ANSWER = _("Look at `make preview`, then load both splits in the same way: same decoding, colour order, orientation, size and compression; or make the training images like the test images with `preprocess.*`.")
UNEXPLAINED_SHIFT = _("No simple change of every test image explains the difference.")
COVARIATE_SHIFT = _("The test set has other kinds of images, or the same kinds in other proportions ({figures}). Strongest differences, train → test: {facts}.{effect}")
COVARIATE_FACT = _("{fact} {train:.4g} → {test:.4g}")
COVARIATE_EFFECT = _(" Weighting training images like test images changes the out-of-fold score by {effect:+.3f}.")
COVARIATE_ANSWER = _("Look at section Shift of `make eda`; collect or oversample training images like the test images (`resample.method=over`), or cover the difference by a stronger `augment.policy`. Validate on images like the test images (`folds.kind=column`).")
CHANGES = {
    "bgr": _("in BGR instead of RGB order (or the other way round)"),
    "negative": _("negatives (black for white)"),
    "mirror": _("mirrored"),
    "flip": _("upside down"),
    "half turn": _("rotated by 180°"),
    "left": _("rotated by 90° to the left"),
    "right": _("rotated by 90° to the right"),
}
BRIGHTER, DARKER = _("brighter by {levels:.0f} of 255"), _("darker by {levels:.0f} of 255")
TIMES_AS_BRIGHT, CONTRAST = _("{factor:.2f} times as bright"), _("of {factor:.2f} times the contrast")

# The gap: label shift.

LABEL_SHIFT_HOW = _("Counted the classes that are predicted for the test set, and corrected the counts by the out-of-fold errors; the interval resamples groups and test images.")
NO_LABEL_SHIFT = _("Classes seem to be as frequent as in training (p = {p:.3f}).")
LABEL_SHIFT_UNCERTAIN = _("Predicted classes are not as frequent as in training ({classes}), but the images differ too. Fix the difference of the images first.")
LABEL_SHIFT = _("Classes are not as frequent as in training; the frequencies differ by {distance}: {classes}. With these frequencies the out-of-fold score is {shifted:.4f} instead of {plain:.4f}.")
LABEL_SHIFT_ANSWER = _("Compare submissions by the re-weighted score, and correct predictions for the new frequencies (prior correction); do not resample to the old ones.")
LABEL_SHIFT_EACH_HOW = _("Counted the images of the test set that are predicted to have each of {labels} labels, and corrected the counts by the out-of-fold errors; the interval resamples groups and test images.")
NO_LABEL_SHIFT_EACH = _("Every label seems to be as frequent as in training (smallest p = {p:.3f}).")
LABEL_SHIFT_EACH = _("{count} of {labels} labels are not as frequent as in training: {classes}.")
LABEL_SHIFT_EACH_ANSWER = _("Correct predictions for the new frequencies: `decision.steps=[prior_correction]` with `decision.prior=estimated`; do not resample to the old ones.")
TOO_MANY_TO_COUNT = _("Label shift is not estimated: {classes} classes are too many to count in a test set (at most {most}); the covariate shift compares the images.")
TOO_MANY_HOW = _("Label shift counts predicted classes, of which most would have hardly an image.")
NO_LABELS_TO_COUNT = _("Label shift is not estimated: competition.target={kind} has no labels to count; the covariate shift compares the images.")
NO_LABELS_HOW = _("Label shift counts predicted classes or labels.")
CLASS_CHANGE = _("{name} {train} → {test} [{low}, {high}]")

# The gap: selection among runs.

SELECTION_HOW = _("Resampled the groups, chose the best run on each resample, and scored it on the groups that were not drawn (BBC-CV); its loss there is compared with the mean loss of all runs.")
NO_SELECTION = _("Too few runs were compared on these folds for one to be chosen by luck.")
RUNS_COMPARED = _("{runs:run} {runs:was|were} compared on these folds")
LUCK_OF_BEST = _("choosing the best of them adds about {luck:.4f} of luck to its score")
IS_BEST, IS_NUMBER = _("the submission is the best of them"), _("the submission is number {place}")
SELECTION_HARMLESS = _("{runs}, {place}; {luck}{denied}.")
DENIED = _(", which the public score contradicts")
SELECTION = _("{runs} and the best of them was submitted: {luck}; the public set's luck is ± {sd:.4f}.")
SELECTION_ANSWER = _("Expect a score that is lower by this amount; compare fewer runs, each for a reason; blend the best few instead of taking the first (`ensemble.members=[…]`), and repeat the best ones with other seeds (`train.seed`).")
