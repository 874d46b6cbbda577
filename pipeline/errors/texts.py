"""Texts of the error report that are written in Python, in the order of its files.

Owns the words: what the terminal prints, the conclusion, judging, findings and advice. Each is a template with named
placeholders. Does not own the HTML templates (`errors/templates/`).
"""

# Sections that have nothing to show.
NEEDS_OOF = "This section needs out-of-fold predictions of the new submission, and a CSV from elsewhere has none. For your own submissions, run"
NO_ROBUSTNESS = "The score under growing blur, noise, JPEG compression and brightness has not been measured yet."
NO_ROBUSTNESS_OUTSIDE = " A CSV from elsewhere has no models to measure."
NO_MAPS = "Maps of what the network looked at in its worst errors have not been computed yet."
MAPS_OF_LABEL = "Maps of what the network looked at for this label are a page of their own:"
NO_MAPS_OUTSIDE = " A CSV from elsewhere has no network to explain."

JUDGED_ONE_LABEL = "VERDICTS: a person judges one class for each image, and competition.target={target} has several answers"
NAME_A_LABEL = "of labels, name the one that was judged: LABEL=…; shares are not judged"

# What the terminal prints.
COMPARED_WITH = "compared with {name}, the best other submission so far ({why})"
BEST_WITHOUT_FILE = "the best other submission so far is {name} ({why}), but {path} is not here; the best of those that are here takes its place"
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
NEWEST = "new: {name}, the newest submission; A=… names another, and ARGS=… blends"
TRY = "try {number}: {do}. {sentence}"
AT_MOST = "at most {gain}, {bounded}"
FIRST_OF_ALL = "do this first: {bounded}"
TAKES = "takes about {minutes}"

# Titles and tables of the page.
TITLE = "{competition}: {new}"
TITLE_OF_LABEL = "{title}, {label}"
TITLE_AGAINST = "{competition}: {new} against {old}"
ROLE_NEW, ROLE_BEST, ROLE_OLD = "new", "the best other so far", "old"
SCORE_COLUMN = "{metric}, out of fold"
SCORE_PLOT = "Out-of-fold score with its 95 % interval"
DIFFERENCE_PLOT = "Difference with its 95 % interval"
DIFFERENCE = "new − old"

# Lines of the cards of labels, values and shares.
TRUTH_LINE, SAID_LINE, OTHERS_LINE, OLD_LINE, NEW_LINE = "truth", "predicted", "also holds", "old", "new"
HOLDS, HOLDS_NOT = "holds", "does not hold"

# The report on labels, values and shares: sections, tables, plots.
LABELS_SHORT, LABELS_TITLE = "Labels", "Each label out of fold, worst first"
VALUES_SHORT, VALUES_TITLE = "Values", "Each value out of fold, worst first"
LABELS_PLOT = "F1 of each label with its 95 % interval over groups"
SCATTER, SCATTER_X, SCATTER_Y = "{name}: prediction against truth", "truth", "predicted, out of fold"
BIAS, BIAS_PLOT = "{name}: bias along its range", "Mean of predicted minus true by part of the range, with 95 % interval"
GAIN_COLUMN = "{metric}, change"
CHANGES_SHORT, CHANGES_TITLE = "Changes", "What changed on the test set, most first"
NO_OLD = "There is no earlier submission to compare with."
WORST_SHORT = "Worst"
MISSES_TITLE, RESIDUALS_TITLE = "The worst confident misses", "The largest residuals"
TILE_CHANGED = "test images have a changed answer"
TILE_WRONG = "of the answers are wrong out of fold"
TILE_ALL_RIGHT = "of the images have every answer right"

# Conclusion: its word, the rest of the headline, and what it is based on.
TRUTH_FIRST = "First submission"
FIRST_DETAIL = "There is no earlier submission to compare it with."
SAME, SAME_REST = "Same predictions", "as the old submission"
SAME_DETAIL = "All {count} predictions agree."
UNCLEAR = "Can't tell"
UNCLEAR_REST = "which is better: this needs out-of-fold predictions of both"
TRUTH_UNDECIDED = "Can't tell:"
UNDECIDED_REST = "{delta} {metric} out of fold, and {reason}"
CONTAINS_ZERO = "the interval contains zero"
ONE_GROUP = "one group is not enough for an interval"
TRUTH_DECIDED = "{conclusion} by {delta:.4f}"
DECIDED_REST = "{metric} out of fold"
TRUTH_DETAIL = "95 % interval {low} to {high}, out of fold with {groups} resampled; better in {share} of the resamples. {changed}"
CHANGED = "{flips} of {predictions} differ."
AGAINST_THE_BEST = "Old is {old}, the best other submission so far: {why}. "
AGAINST_NAMED = "Old is {old}, as the command named it. "
TRUTH_CAUTION = " Caution: {note}."

# Conclusion: advice that was followed.
FOLLOWED = "followed advice for {about}: {settings}{bound}; gained {gain}"
FOLLOWED_BOUND = ", at most {bound}"

# The section Truth: images that the new submission fixed or broke.
TRUTH_TITLE = "Out of fold, where the truth is known"
BROKEN, FIXED = "only the old one is right", "only the new one is right"
BOTH_WRONG, WRONG = "both wrong", "wrong"
TRUTH_SENTENCE = "{fixed} images fixed, {broken} broken: {conclusion} (accuracy {change} points, 95 % interval {low} to {high}; signs of whole groups flipped)."
MORE_RIGHT = "more images are right than before"
FEWER_RIGHT = "fewer images are right than before"
RIGHT_UNKNOWN = "can't tell whether more images are right"

# Judging: the estimate in words.
ESTIMATE_INTERVAL = "{delta} [{low}, {high}]"
ESTIMATE_JUDGED = "{judged} of {flips} judged{unsure}; {controls}"
UNSURE = ", {count} of them unsure"
NO_CONTROLS = "your own errors were not measured"
CONTROLS = "{wrong} of {controls} answered wrongly, {correction}"
CORRECTED, NOT_CORRECTED = "and the estimate is corrected for it", "too few controls to correct for it"
SHARES = "Of all flips, the new prediction is right in {new}, the old prediction in {old}, neither in {neither}."
LINE = "{conclusion}, new − old {number} on the test images{caution}; {judged}"
ESTIMATE_CAUTION = " (caution: {note})"
ESTIMATE_DETAIL = "{detail} Judged by eye: {line}."
ESTIMATE_UNDECIDED, ESTIMATE_DECIDED = "Can't tell:", "{conclusion}:"
REST = "{delta} {metric} from the judged flips"
FEW_JUDGED = "{judged} judged: judge at least {enough}"
ASSUMED_CORRECT = "Too few controls were judged, so the answers are taken as correct."
ASSUMED_AGREED = "There are no out-of-fold predictions, so predictions on which both agree are taken as correct."
ASSUMED_OOF = "Where both agree, the prediction is assumed to be wrong as often as out of fold; the test images may be easier or harder."

# Judging: messages about a file of answers.
EXPORT = "export the answers from the section Judging of the error report"
REMEDY = "export the answers of the page again, or fix these lines"
REMEDY_STORED = "fix these lines, or delete them"
FAULTS = "{name}: {count}; no answer was stored"
STORED = "answers         {flips} flips and {controls} controls from {file}; {all} answers in {path}"
LINE_FAULT = "line {line}: {fault}"
REPEATED = "{id!r} is repeated; it is first on line {first}"
UNKNOWN_VALUE = "{attribute} {value!r} is not a value; {hint}"
KNOWN_VALUES = "known: {values}"
NOT_YES_OR_NO = "{column} is {value!r}; it must be yes or no"
NO_ID = "the id is empty"
EMPTY_BUT_SURE = "a value is empty, but unsure is no"
UNSURE_BUT_FULL = "unsure is yes, but every value is given"
BAD_INCLUSION = "inclusion {value!r} is not a probability above 0"
OTHER_PAIR = "report {report!r} compares other submissions"
UNKNOWN_CONTROL = "{id!r}: a control, but no training image has this id"
CONTROL_WITH_STRATUM = "{id!r}: a control must have no stratum and no inclusion probability"
NOT_A_FLIP = "{id!r}: not a flip: no image with this id has predictions that differ"
NOT_ASKED = "{id!r}: report {report} did not ask about this image"
OTHER_STRATUM = "{id!r}: stratum {given!r}, but the report asked with {asked!r}"
OTHER_INCLUSION = "{id!r}: inclusion probability {given}, but the report asked with {asked:.6f}"
ONLY_HEADER = "the file has only a header"
NAME_THE_PAIR = "give the two submissions that were judged: {command}"
FILE_IS_ABOUT = "the file is about these submissions: {command}"
NOTHING_JUDGED = "no flip was judged"
JUDGE_FIRST = "judge some flips in the error report first"
NEEDS_PROBABILITIES = "{metric} needs probabilities, and one submission has none"
COMPARE_OWN = "compare submissions that were made here and still have their .json file"

# Findings: planted faults.
FINDER_SCORES = "{name}: F1 {f1:.3f}, precision {precision:.3f}, recall {recall:.3f}"
TOO_FEW_GROUPS = "{count} groups of images have out-of-fold predictions: too few to plant faults"
GROUPS_NEEDED = "at least {count} groups are needed: half for the search, half for the re-test"

# Findings: labels that may be wrong.
SUSPECTS_TITLE = "Labels that may be wrong"
MODEL_REASON = "the model gives this value a probability of {proposed}, and the label {given}"
COPY_REASON = "{copy} has this value in another row"
SAME_FILE, SIMILAR_IMAGE = "the same file", "a nearly identical image"
NEIGHBOUR_REASON = "{share} of its nearest images have this value"
GROUP_REASON = "the images of its group have different values"
SUSPECT_LABEL = "{id}: {attribute} {given}, perhaps {proposed}"
PATCH_REASON = "{proposed} instead of {given}: {reasons}"

# Findings: slices.
SLICES_TITLE = "Slices that fail more often than chance"
SLICE_OF_VALUES = "{images} of {groups}: error {wrong}, elsewhere {elsewhere}"
SPREADS = "{value:.2f} SD"
SLICE_ERROR, SLICE_PLOT_OF_VALUES = "error", "Mean distance from the truth, in standard deviations"
NO_METADATA, MISSING_METADATA = "", "{name} missing"
LOWEST_QUARTER, HIGHEST_QUARTER = "lowest quarter of {name}", "highest quarter of {name}"
SLICE_SUMMARY = "{images} of {groups}: {wrong} wrong, {elsewhere} elsewhere"
SLICE_COLUMNS = ("wrong", "elsewhere", "expected from its classes")
SLICE_PLOT, ALL_IMAGES = "Share of wrong predictions by slice", "all images"

# Findings: calibration.
CALIBRATION_TITLE = "Is its confidence reliable?"
BEFORE, AFTER = "as it is", "with temperature"
OVERCONFIDENT, UNDERCONFIDENT, FINDING_UNDECIDED = "overconfident", "underconfident", "can't tell"
CALIBRATION_SENTENCE = "{conclusion}: mean confidence is {gap:.1f} points {side} accuracy (95 % interval {low} to {high})."
ABOVE, BELOW = "above", "below"
IS_OVERCONFIDENT = "It is overconfident"
IS_UNDERCONFIDENT = "It is underconfident"
CONFIDENCE_UNKNOWN = "Can't tell whether it is overconfident or underconfident"
NO_TEMPERATURE = "Temperature scaling could not be tested: there are no other groups to fit it on."
TEMPERATURE_HELPS = "A temperature of {temperature:.2f} helps"
TEMPERATURE_HURTS = "A temperature of {temperature:.2f} hurts"
TEMPERATURE_UNKNOWN = "A temperature of {temperature:.2f}: can't tell whether it helps"
TEMPERATURE_FIGURES = " (log loss {change}, 95 % interval {low} to {high}; fitted on other groups)."
USE_IN_BLEND = " It does not change the labels of a blend, but a temperature for each member before voting may: `{command}`."
USE_IN_RUN = " It does not change the labels of this run, only its weight in a blend: `{command}`."
RELIABILITY_PLOT = "Reliability: accuracy by confidence"
COVERAGE_PLOT = "Accuracy on the most confident share"
CONFIDENCE_AXIS, ACCURACY_AXIS = "confidence", "accuracy"
COVERAGE_AXIS, OUT_OF_FOLD = "share of predictions, most confident first", "out of fold"

# Findings: attention.
SHORTCUT = "Shortcut? For {classes}, the network looks at the background more than the area of the background explains. Look at the maps, then try crop.method or a stronger augment.policy."

# Findings: why.
WHY_TITLE = "Why: what the network looked at"
PICTURE, CAM_OF_PREDICTION, CAM_OF_TRUTH = "image", "Grad-CAM for the prediction", "Grad-CAM for the truth"
CAM_OF_SECOND, OCCLUSION = "Grad-CAM for the second guess", "occlusion for the prediction"
PREDICTED = "Prediction {predicted} ({p})"
PREDICTED_WRONG = "{prediction}, truth {true} ({p})"
PREDICTED_RIGHT = "{prediction}, correct, second guess {rival} ({p})"
PREDICTED_ONLY = "{prediction}, second guess {rival} ({p})"
TOO_FEW = "too few groups"
FINDING_INTERVAL = "{low} to {high}"

# Advice: `…_DO` says in a few words what to do, `…_SEEN` what was observed with its numbers, `…_WHY` why the advice
# follows. `…_BOUND` follows "at most +0.0310," in the terminal and "Upper bound:" on the page.

# Advice: the run that it is about.
ABOUT_MEMBER = "the best member, {name}, predicted without TTA"
ABOUT_RUN = "{name}, predicted without TTA"

# Advice: where to look in the report; `steps.ANCHORS` has the HTML ids.
LOOK_AT_ERRORS = "see Images in the section Truth of the report"
LOOK_AT_PAIRS = "see Confused pairs in the section Truth of the report"
LOOK_AT_LABELS = "see the section Labels of the report"
JUDGE_FLIPS = "see the section Judging of the report"

# Advice about faults: something is wrong.
EPOCHS_DO = "Train longer: {more} epochs instead of {now}"
EPOCHS_SEEN = "{run} stops too early: after {epochs} its validation loss, {valid:.2f}, is hardly above its training loss, {train:.2f}{fallen}."
EPOCHS_FALLEN = ", and the loss fell by {share} in the last third of the epochs"
EPOCHS_WHY = "The network can still learn more from its training images."

AUGMENT_DO = "Turn on augmentation: {policy}"
AUGMENT_SEEN = "{run} memorises its images: its training loss is {train:.2f}, its validation loss {valid:.2f}, and augmentation is off."
AUGMENT_WHY = "Slightly rotated, shifted or mirrored images are new to the network in every epoch."

GROUPS_DO = "Keep each group in one fold"
GROUPS_SEEN = "The folds leak: {share} of the validation images have an image of the same group in the training part."
GROUPS_WHY = "The network recognises the object instead of the class. Until the folds are fixed, no out-of-fold score or comparison is correct; the correct score will be lower."
LEAK_DO = "Fix the folds"
LEAK_BOUND = "the score becomes correct, not better"

LABELS_DO = "Correct labels that look wrong"
LABELS_SEEN = "About {floor} of the labels look wrong: this share of the {tenth} most confident predictions disagrees with the label, and {risk} of the more confident half."
LABELS_WHY = "A hard image makes a model unsure; a wrong label does not. Look at the suspects under Labels, save the corrections that you agree with as label_patches.csv beside the training table, and train with them."
LABELS_MORE_WHY = "A hard image makes a model unsure; a wrong label does not. Look at the suspects under Labels, add the corrections that you agree with to your file of label patches, and train again."
LABELS_BOUND = "if the {count} most suspicious labels were wrong and were corrected"

NORMALISATION_DO = "Fix the normalisation"
NORMALISATION_FAR = "In the worst channel, {run} gets pixels with mean {mean} and standard deviation {std}; they should be near 0 and 1."
NORMALISATION_OFF = "{run} does not normalise images as its pretrained weights expect (off by {off:.2f} of their standard deviation)."
NORMALISATION_OWN_WHY = "Pixels are in the range 0 to 1, so `model.mean` and `model.std` must be in that range. Without these settings the network uses the values of its pretrained weights."
NORMALISATION_OTHER_WHY = "Check what changes the pixels before the network (`preprocess`, `crop`), and the `pretrained_cfg` of a network of your own."

RARE_DO = "Account for rare classes in training"
RARE_SEEN = "The recall of {classes} (at most {most} images each; the largest class has {largest}) is {recall}; the recall of the other classes is {other}."
RARE_WHY = "{metric} counts a rare class as much as the largest class, but training does not."
RARE_BOUND = "if all {count} errors on rare classes were fixed"

# Advice about steps: something could be better.
PAIR_SEEN = "“{true}” is predicted as “{predicted}” {times}, {share} of its images{reverse}."
PAIR_REVERSE = "; the reverse happens {times}"
PAIR_DIFFER = "The two classes differ in {attributes}. "
LARGER_DO = "Use larger images: {size} px"
UPSCALED_WHY = "{differ}The originals have only about {original} px, so a larger size shows no more detail; but networks with pretrained weights learned on larger images, and often do better on upscaled ones. If you cannot tell the images under Confused pairs apart either, the labels are the limit."
LARGER_WHY = "{differ}Larger images show more detail. If you cannot tell the images under Confused pairs apart either, the labels are the limit."
LOOK_AT_PAIR_DO = "Look at the most confused pair"
LOOK_AT_PAIR_WHY = "{differ}Look at the images under Confused pairs. If a small detail decides, a crop of it may help, because images cannot be much larger than now (at most {most} px). If you cannot tell the images apart either, the labels are the limit."
LOOK_AT_SMALL_PAIR_WHY = "{differ}Look at the images under Confused pairs. Larger images would show no more detail: the originals have only about {original} px. If you cannot tell the images apart either, the labels are the limit."
PAIR_BOUND = "if all {count} errors of this pair were fixed"

WEAKEST_SEEN = "“{name}” is the weakest class: F1 {f1:.2f} (recall {recall:.2f}, precision {precision:.2f}) on {images} of {groups}."
WEAKEST_BOUND = "if its {count} errors, in both directions, were fixed"
OVERSAMPLE_DO = "Oversample rare classes"
OVERSAMPLE_WHY = "The class is rare: show it as often as the others."
WEIGH_DO = "Give difficult images more weight"
WEIGH_RARE_WHY = "The class is rare, and showing it more often or weighing it more was not enough, so give difficult images more weight."
WEIGH_HARD_WHY = "The class is difficult rather than rare, so give difficult images more weight."
STRONGER_DO = "Use stronger augmentation: {policy}"
STRONGER_WHY = "Difficult or rare images already have more weight; more varied images may help more."
LOOK_AT_CLASS_DO = "Look at the weakest class"
LOOK_AT_CLASS_WHY = "Difficult or rare images already have more weight, and it is not enough: look at the images."

SMOOTH_DO = "Use label smoothing"
LOOK_AT_CONFIDENT_DO = "Look at confident errors"
OVERCONFIDENT_SEEN = "{sure} of {errors} were made with at least {confidence} confidence; on average, confidence is off by {error}."
OVERCONFIDENT_WHY = "An overconfident member dominates a blend. Some of the labels may be wrong: see Labels."
SMOOTHING_IS_ON = " `loss.label_smoothing={now}` is already set."
OVERCONFIDENT_BOUND = "if all errors with such a confidence were fixed"

FLIPS_DO = "Judge twenty flips by eye"
FLIPS_DO_ALL = "Judge the {flips} by eye"
FLIPS_OF_ATTRIBUTE = "{count} of {flips} change {attribute}"
FLIPS_CHANGED = "{predictions} changed"
FLIPS_SEEN = "{lead}; the most frequent change is {old} → {new}, {images}."
FLIPS_WHY = "A flip is an image whose prediction changed. Under Judging you label images while both predictions are hidden. From twenty judged flips on, the report estimates the score difference with an interval."

FLIPS_WHY_ALL = "A flip is an image whose prediction changed. Under Judging you label images while both predictions are hidden. When all flips are judged, the report estimates the score difference with an interval."

SEED_DO = "Train again with another seed"
SEED_SEEN = "The difference of {delta} may be chance: its interval, {low} to {high}, contains zero."
SEED_WHY = "A second run with the same settings shows how much the score varies by chance. `make runs` shows both scores: if they are as far apart as this difference, the difference means nothing."

BLEND_DO = "Blend it with {names}"
BLEND_ONE_SEEN = "{names} is right on {fixed} of the {wrong} images that {run} gets wrong."
BLEND_SOME_SEEN = "{names} are right on {fixed} of the {wrong} images that {run} gets wrong."
BLEND_WHY = "A blend gains most from members that make different errors. Finished runs are not trained again."
BLEND_FIRST_WHY = "A blend gains most from members that make different errors. The other run has no test predictions and no name yet: predict with it first, then the next report can blend it."
BLEND_BOUND = "if the blend were right wherever one of its members is right"

FAMILY_DO = "Add a network of another family: {experiment}"
FAMILY_SEEN = "Every finished run on these folds uses a network of one family, {family} ({runs})."
FAMILY_WHY = "Networks of one family make similar errors; a blend gains most from a member that makes different errors."

ADVICE_FAULTS = "{file}: lines that are no advice are skipped; correct or delete them: {lines}"
ADVICE_LINE = "line {line}: {what}"

# Advice for labels, values and shares.
DECIDE_DO = {"thresholds": "Fit thresholds for the labels", "cut_points": "Fit cut points between the grades"}
DECIDE_SEEN = {
    "thresholds": "One half is not the best threshold of these labels: {fitted}.",
    "cut_points": "Halves are not the best borders of these grades: {fitted}.",
}
DECIDE_WHY = "The step is cross-fitted, and kept only if it is better on images that did not fit it."
DECIDE_BOUND = "as fitted on the images that it is scored on"
WEAK_LABEL_DO = "Look at {label} alone"
WEAK_LABEL_SEEN = "{label} has the lowest F1, {f1:.3f}: {images} have it, it is missed {missed} and answered wrongly {alarms}."
WEAK_LABEL_WHY = "Its own page shows its flips, slices, suspicious answers and calibration."
WEAK_LABEL_BOUND = "if every answer about it were right"
HUBER_DO = "Train with a loss for outliers: huber"
HUBER_SEEN = "A tenth of the images has {share} of the squared error; {value} has R² {r2:.3f}."
HUBER_WHY = "A squared error follows the few largest residuals, which may be wrong values in the table."
SMALL_SEEN = "The typical image is {original} px long, and the network sees {now} px."
SMALL_WHY = "Details that are lost in small images cannot be learned."
BLEND_MEAN_SEEN = "The mean with {names} is better out of fold; their predictions differ by up to {apart}."
IMAGE_OF = "{sample}, image {image} of {images}"

# Judging values.
EXPORT_VALUES = "export the verdicts from the section Worst of the error report"
NO_SUCH_VALUE = "there is no value `{value}`; {hint}"
NO_SUCH_VERDICT = "`{verdict}` is no verdict; {hint}"
NO_NUMBER = "{column}: `{cell}` is not a number"
REPEATED_VALUE = "{value} of {id} is already judged in row {first}"
NOT_IN_TABLE = "{id}: the training table has no known {value} of an image with this id"
OTHER_TRUTH = "{id}: {value} is {now} in the training table, and {truth} was judged"
REMEDY_VALUES = "export again from a report on the present table; nothing was stored"
STORED_VALUES = "verdicts        {n} of {file} stored; {all} in {path}"
VALUES_JUDGED = "{n} far-off values judged by eye: {parts}."
VALUES_WITHOUT = "Without the {n} truths that are judged wrong, {metric} out of fold would be {without} instead of {now}: a figure of the table's quality, not of the model's."
VALUES_TO_CORRECT = "Correct these cells of the training table, or empty them (unknown): {ids}."

# What a folded section found, beside its heading.
FLIPS_FOUND = "{flips} of {images:test image}"
TRUTH_FOUND = "{wrong} of {images:training image} predicted wrong"
SLICES_FOUND = "{slices:slice} found"
SUSPECTS_FOUND = "{images:image} to look at"
NONE_FOUND = "none found"
