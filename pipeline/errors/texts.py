"""Texts of the error report that are written in Python, in the order of its files.

Owns the words: what the terminal prints, the conclusion, judging, findings and advice. Each is a template with named
placeholders. Does not own the HTML templates (`errors/templates/`).
"""

from pipeline.core.language import _

# Sections that have nothing to show.
NEEDS_OOF = _("This section needs out-of-fold predictions of the new submission, and a CSV from elsewhere has none. For your own submissions, run")
NO_ROBUSTNESS = _("The score under growing blur, noise, JPEG compression and brightness has not been measured yet.")
NO_ROBUSTNESS_OUTSIDE = _("The score under growing blur, noise, JPEG compression and brightness has not been measured yet. A CSV from elsewhere has no models to measure.")
NO_MAPS = _("Maps of what the network looked at in its worst errors have not been computed yet.")
MAPS_OF_LABEL = _("Maps of what the network looked at for this label are a page of their own:")
NO_MAPS_OUTSIDE = _("Maps of what the network looked at in its worst errors have not been computed yet. A CSV from elsewhere has no network to explain.")

JUDGED_ONE_LABEL = _("VERDICTS: a person judges one class for each image, and competition.target={target} has several answers")
NAME_A_LABEL = _("of labels, name the one that was judged: LABEL=…; shares are not judged")

# What the terminal prints.
COMPARED_WITH = _("compared with {name}, the best other submission so far ({why})")
BEST_WITHOUT_FILE = _("the best other submission so far is {name} ({why}), but {path} is not here; the best of those that are here takes its place")
FIRST = _("this is the first submission: the report shows its errors, without a comparison")
NO_SUCH_FILE = _("{path}: file not found")
GIVE_CSV = _("give the path of a CSV in the host's format")
NOTHING_TO_COMPARE = _("{name}: the ledger has no other submission to compare with")
NAME_ANOTHER = _("run make infer for another experiment, or name a CSV: {command}")
JUDGED = _("judged by eye: {line}")
DIFFERS = _("differs in {what}: {old} → {new}")
TESTED_ALONE = _("differs in {what}: {old} → {new}; tested alone: {comparison} ({between})")
WITH_MEMBER = _("{blend}: without {member} → with it")
WITHOUT_MEMBER = _("{blend}: with {member} → without it")
NEVER_TESTED = _("differs in {what}: {old} → {new}; never tested alone")
NO_MEMBER = _("none")
DIFFERS_MORE = _("{count} more differences: see the report")
NEWEST = _("new: {name}, the newest submission; A=… names another, and ARGS=… blends")
TRY = _("try {number}: {do}. {sentence}")
AT_MOST = _("at most {gain}, {bounded}")
FIRST_OF_ALL = _("do this first: {bounded}")
TAKES = _("takes about {minutes}")

# Titles and tables of the page.
TITLE = _("{competition}: {new}")
TITLE_OF_LABEL = _("{title}, {label}")
PAIR = _("{new} against {old}")
TITLE_AGAINST = _("{competition}: {new} against {old}")
ROLE_NEW, ROLE_BEST, ROLE_OLD = _("new"), _("the best other so far"), _("old")
SCORE_COLUMN = _("{metric}, out of fold")
SCORE_PLOT = _("Out-of-fold score with its 95 % interval")
DIFFERENCE_PLOT = _("Gain with its 95 % interval; above zero, the new one is better")
DIFFERENCE = _("gain")

# Lines of the cards of labels, values and shares.
TRUTH_LINE, SAID_LINE, OTHERS_LINE, OLD_LINE, NEW_LINE = _("truth"), _("predicted"), _("also holds"), _("old"), _("new")
HOLDS, HOLDS_NOT = _("holds"), _("does not hold")

# The report on labels, values and shares: sections, tables, plots.
LABELS_SHORT, LABELS_TITLE = _("Labels"), _("Each label out of fold, worst first")
VALUES_SHORT, VALUES_TITLE = _("Values"), _("Each value out of fold, worst first")
LABELS_PLOT = _("F1 of each label with its 95 % interval over groups")
SCATTER, SCATTER_X, SCATTER_Y = _("{name}: prediction against truth"), _("truth"), _("predicted, out of fold")
BIAS, BIAS_PLOT = _("{name}: bias along its range"), _("Mean of predicted minus true by part of the range, with 95 % interval")
CHANGES_SHORT, CHANGES_TITLE = _("Changes"), _("What changed on the test set, most first")
NO_OLD = _("There is no earlier submission to compare with.")
WORST_SHORT = _("Worst")
MISSES_TITLE, RESIDUALS_TITLE = _("The worst confident misses"), _("The largest residuals")
OF_ALL, R2_OF = _("{n:,} of {all:,}"), _("R² of {value}")
TILE_CHANGED = _("test images have a changed answer")
TILE_WRONG = _("of the answers are wrong out of fold")
TILE_ALL_RIGHT = _("of the images have every answer right")

# Conclusion: its word, the rest of the headline, and what it is based on.
TRUTH_FIRST = _("First submission")
FIRST_DETAIL = _("There is no earlier submission to compare it with.")
SAME, SAME_REST = _("Same predictions"), _("as the old submission")
SAME_DETAIL = _("All {count} predictions agree.")
UNCLEAR = _("Can't tell")
UNCLEAR_REST = _("which is better: this needs out-of-fold predictions of both")
TRUTH_UNDECIDED = _("Can't tell:")
CONTAINS_ZERO = _("a gain of {delta} {metric} out of fold, and its interval contains zero")
ONE_GROUP = _("a gain of {delta} {metric} out of fold, and one group is not enough for an interval")
TRUTH_DECIDED = {"better": _("Better by {delta:.4f}"), "worse": _("Worse by {delta:.4f}")}
DECIDED_REST = _("{metric} out of fold")
TRUTH_DETAIL = _("95 % interval {low} to {high}, out of fold with {groups} resampled; better in {share} of the resamples. {changed}")
CHANGED = _("{flips} of {predictions} differ.")
AGAINST_THE_BEST = _("Old is {old}, the best other submission so far: {why}.")
AGAINST_NAMED = _("Old is {old}, as the command named it.")
TRUTH_CAUTION = _("Caution: {note}.")

# Conclusion: advice that was followed.
FOLLOWED = _("followed advice for {about}: {settings}; gained {gain}")
FOLLOWED_BOUND = _("followed advice for {about}: {settings}, at most {bound}; gained {gain}")
VERDICTS = {"better": _("better"), "worse": _("worse"), "can't tell": _("can't tell")}

# The section Truth: images that the new submission fixed or broke.
TRUTH_TITLE = _("Out of fold, where the truth is known")
BROKEN, FIXED = _("only the old one is right"), _("only the new one is right")
BOTH_WRONG, WRONG = _("both wrong"), _("wrong")
TRUTH_SENTENCE = _("{fixed} images fixed, {broken} broken: {conclusion} (accuracy {change} points, 95 % interval {low} to {high}; signs of whole groups flipped).")
MORE_RIGHT = _("more images are right than before")
FEWER_RIGHT = _("fewer images are right than before")
RIGHT_UNKNOWN = _("can't tell whether more images are right")

# Judging: the estimate in words.
ESTIMATE_INTERVAL = _("{delta} [{low}, {high}]")
ESTIMATE_JUDGED = _("{judged} of {flips} judged; {controls}")
ESTIMATE_UNSURE = _("{judged} of {flips} judged, {unsure} of them unsure; {controls}")
NO_CONTROLS = _("your own errors were not measured")
CORRECTED = _("{wrong} of {controls} answered wrongly, and the estimate is corrected for it")
NOT_CORRECTED = _("{wrong} of {controls} answered wrongly, too few controls to correct for it")
SHARES = _("Of all flips, the new prediction is right in {new}, the old prediction in {old}, neither in {neither}.")
LINE = _("{conclusion}, new − old {number} on the test images; {judged}")
LINE_CAUTION = _("{conclusion}, new − old {number} on the test images (caution: {note}); {judged}")
ESTIMATE_DETAIL = _("{detail} Judged by eye: {line}.")
ESTIMATE_DECIDED = {"better": _("Better:"), "worse": _("Worse:"), "can't tell": _("Can't tell:")}
REST = _("{delta} {metric} from the judged flips")
FEW_JUDGED = _("{judged} judged: judge at least {enough}")
ASSUMED_CORRECT = _("Too few controls were judged, so the answers are taken as correct.")
ASSUMED_AGREED = _("There are no out-of-fold predictions, so predictions on which both agree are taken as correct.")
ASSUMED_OOF = _("Where both agree, the prediction is assumed to be wrong as often as out of fold; the test images may be easier or harder.")

# Judging: messages about a file of answers.
EXPORT = _("export the answers from the section Judging of the error report")
REMEDY = _("export the answers of the page again, or fix these lines")
REMEDY_STORED = _("fix these lines, or delete them")
FAULTS = _("{name}: {count}; no answer was stored")
STORED = _("answers         {flips} flips and {controls} controls from {file}; {all} answers in {path}")
LINE_FAULT = _("line {line}: {fault}")
REPEATED = _("{id!r} is repeated; it is first on line {first}")
UNKNOWN_VALUE = _("{attribute} {value!r} is not a value; {hint}")
KNOWN_VALUES = _("known: {values}")
NOT_YES_OR_NO = _("{column} is {value!r}; it must be yes or no")
NO_ID = _("the id is empty")
EMPTY_BUT_SURE = _("a value is empty, but unsure is no")
UNSURE_BUT_FULL = _("unsure is yes, but every value is given")
BAD_INCLUSION = _("inclusion {value!r} is not a probability above 0")
OTHER_PAIR = _("report {report!r} compares other submissions")
UNKNOWN_CONTROL = _("{id!r}: a control, but no training image has this id")
CONTROL_WITH_STRATUM = _("{id!r}: a control must have no stratum and no inclusion probability")
NOT_A_FLIP = _("{id!r}: not a flip: no image with this id has predictions that differ")
NOT_ASKED = _("{id!r}: report {report} did not ask about this image")
OTHER_STRATUM = _("{id!r}: stratum {given!r}, but the report asked with {asked!r}")
OTHER_INCLUSION = _("{id!r}: inclusion probability {given}, but the report asked with {asked:.6f}")
ONLY_HEADER = _("the file has only a header")
NAME_THE_PAIR = _("give the two submissions that were judged: {command}")
FILE_IS_ABOUT = _("the file is about these submissions: {command}")
NOTHING_JUDGED = _("no flip was judged")
JUDGE_FIRST = _("judge some flips in the error report first")
NEEDS_PROBABILITIES = _("{metric} needs probabilities, and one submission has none")
COMPARE_OWN = _("compare submissions that were made here and still have their .json file")

# Findings: planted faults.
FINDER_SCORES = _("{name}: F1 {f1:.3f}, precision {precision:.3f}, recall {recall:.3f}")
TOO_FEW_GROUPS = _("{count} groups of images have out-of-fold predictions: too few to plant faults")
GROUPS_NEEDED = _("at least {count} groups are needed: half for the search, half for the re-test")

# Findings: labels that may be wrong.
SUSPECTS_TITLE = _("Labels that may be wrong")
MODEL_REASON = _("the model gives this value a probability of {proposed}, and the label {given}")
COPY_REASON = _("{copy} has this value in another row")
SAME_FILE, SIMILAR_IMAGE = _("the same file"), _("a nearly identical image")
NEIGHBOUR_REASON = _("{share} of its nearest images have this value")
GROUP_REASON = _("the images of its group have different values")
SUSPECT_LABEL = _("{id}: {attribute} {given}, perhaps {proposed}")
PATCH_REASON = _("{proposed} instead of {given}: {reasons}")

# Findings: slices.
SLICES_TITLE = _("Slices that fail more often than chance")
SLICE_OF_VALUES = _("{images} of {groups}: error {wrong}, elsewhere {elsewhere}")
SPREADS = _("{value:.2f} SD")
SLICE_ERROR, SLICE_PLOT_OF_VALUES = _("error"), _("Mean distance from the truth, in standard deviations")
NO_METADATA, MISSING_METADATA = "", _("{name} missing")
LOWEST_QUARTER, HIGHEST_QUARTER = _("lowest quarter of {name}"), _("highest quarter of {name}")
SLICE_SUMMARY = _("{images} of {groups}: {wrong} wrong, {elsewhere} elsewhere")
SLICE_COLUMNS = (_("wrong"), _("elsewhere"), _("expected from its classes"))
SLICE_PLOT, ALL_IMAGES = _("Share of wrong predictions by slice"), _("all images")

# Findings: calibration.
CALIBRATION_TITLE = _("Is its confidence reliable?")
BEFORE, AFTER = _("as it is"), _("with temperature")
OVERCONFIDENT, UNDERCONFIDENT, FINDING_UNDECIDED = _("overconfident"), _("underconfident"), _("can't tell")
ABOVE = _("{conclusion}: mean confidence is {gap:.1f} points above accuracy (95 % interval {low} to {high}).")
BELOW = _("{conclusion}: mean confidence is {gap:.1f} points below accuracy (95 % interval {low} to {high}).")
IS_OVERCONFIDENT = _("It is overconfident")
IS_UNDERCONFIDENT = _("It is underconfident")
CONFIDENCE_UNKNOWN = _("Can't tell whether it is overconfident or underconfident")
NO_TEMPERATURE = _("Temperature scaling could not be tested: there are no other groups to fit it on.")
TEMPERATURE_HELPS = _("A temperature of {temperature:.2f} helps")
TEMPERATURE_HURTS = _("A temperature of {temperature:.2f} hurts")
TEMPERATURE_UNKNOWN = _("A temperature of {temperature:.2f}: can't tell whether it helps")
TEMPERATURE_FIGURES = _("{sentence} (log loss {change}, 95 % interval {low} to {high}; fitted on other groups).")
USE_IN_BLEND = _("It does not change the labels of a blend, but a temperature for each member before voting may: `{command}`.")
USE_IN_RUN = _("It does not change the labels of this run, only its weight in a blend: `{command}`.")
RELIABILITY_PLOT = _("Reliability: accuracy by confidence")
COVERAGE_PLOT = _("Accuracy on the most confident share")
CONFIDENCE_AXIS, ACCURACY_AXIS = _("confidence"), _("accuracy")
COVERAGE_AXIS, OUT_OF_FOLD = _("share of predictions, most confident first"), _("out of fold")

# Findings: attention.
SHORTCUT = _("Shortcut? For {classes}, the network looks at the background more than the area of the background explains. Look at the maps, then try crop.method or a stronger augment.policy.")

# Findings: why.
WHY_TITLE = _("Why: what the network looked at")
PICTURE, CAM_OF_PREDICTION, CAM_OF_TRUTH = _("image"), _("Grad-CAM for the prediction"), _("Grad-CAM for the truth")
CAM_OF_SECOND, OCCLUSION = _("Grad-CAM for the second guess"), _("occlusion for the prediction")
PREDICTED = _("Prediction {predicted} ({p})")
PREDICTED_WRONG = _("{prediction}, truth {true} ({p})")
PREDICTED_RIGHT = _("{prediction}, correct, second guess {rival} ({p})")
PREDICTED_ONLY = _("{prediction}, second guess {rival} ({p})")
TOO_FEW = _("too few groups")

# Advice: `…_DO` says in a few words what to do, `…_SEEN` what was observed with its numbers, `…_WHY` why the advice
# follows. `…_BOUND` follows "at most +0.0310," in the terminal and "Upper bound:" on the page.

# Advice: the run that it is about.
ABOUT_MEMBER = _("the best member, {name}, predicted without TTA")
ABOUT_RUN = _("{name}, predicted without TTA")

# Advice: where to look in the report; `steps.ANCHORS` has the HTML ids.
LOOK_AT_ERRORS = _("see Images in the section Truth of the report")
LOOK_AT_PAIRS = _("see Confused pairs in the section Truth of the report")
LOOK_AT_LABELS = _("see the section Labels of the report")
JUDGE_FLIPS = _("see the section Judging of the report")

# Advice about faults: something is wrong.
EPOCHS_DO = _("Train longer: {more} epochs instead of {now}")
EPOCHS_SEEN = _("{run} stops too early: after {epochs} its validation loss, {valid:.2f}, is hardly above its training loss, {train:.2f}.")
EPOCHS_FALLEN = _("{run} stops too early: after {epochs} its validation loss, {valid:.2f}, is hardly above its training loss, {train:.2f}, and the loss fell by {fallen} in the last third of the epochs.")
EPOCHS_WHY = _("The network can still learn more from its training images.")

AUGMENT_DO = _("Turn on augmentation: {policy}")
AUGMENT_SEEN = _("{run} memorises its images: its training loss is {train:.2f}, its validation loss {valid:.2f}, and augmentation is off.")
AUGMENT_WHY = _("Slightly rotated, shifted or mirrored images are new to the network in every epoch.")

GROUPS_DO = _("Keep each group in one fold")
GROUPS_SEEN = _("The folds leak: {share} of the validation images have an image of the same group in the training part.")
GROUPS_WHY = _("The network recognises the object instead of the class. Until the folds are fixed, no out-of-fold score or comparison is correct; the correct score will be lower.")
LEAK_DO = _("Fix the folds")
LEAK_BOUND = _("the score becomes correct, not better")

LABELS_DO = _("Correct labels that look wrong")
LABELS_SEEN = _("About {floor} of the labels look wrong: this share of the {tenth} most confident predictions disagrees with the label, and {risk} of the more confident half.")
LABELS_WHY = _("A hard image makes a model unsure; a wrong label does not. Look at the suspects under Labels, save the corrections that you agree with as label_patches.csv in the folder named there, and train with them.")
LABELS_MORE_WHY = _("A hard image makes a model unsure; a wrong label does not. Look at the suspects under Labels, add the corrections that you agree with to your file of label patches, and train again.")
LABELS_BOUND = _("if the {count} most suspicious labels were wrong and were corrected")

NORMALISATION_DO = _("Fix the normalisation")
NORMALISATION_FAR = _("In the worst channel, {run} gets pixels with mean {mean} and standard deviation {std}; they should be near 0 and 1.")
NORMALISATION_OFF = _("{run} does not normalise images as its pretrained weights expect (off by {off:.2f} of their standard deviation).")
NORMALISATION_OWN_WHY = _("Pixels are in the range 0 to 1, so `model.mean` and `model.std` must be in that range. Without these settings the network uses the values of its pretrained weights.")
NORMALISATION_OTHER_WHY = _("Check what changes the pixels before the network (`preprocess`, `crop`), and the `pretrained_cfg` of a network of your own.")

RARE_DO = _("Account for rare classes in training")
RARE_SEEN = _("The recall of {classes} (at most {most} images each; the largest class has {largest}) is {recall}; the recall of the other classes is {other}.")
RARE_WHY = _("{metric} counts a rare class as much as the largest class, but training does not.")
RARE_BOUND = _("if all {count} errors on rare classes were fixed")

# Advice about steps: something could be better.
PAIR_SEEN = _("“{true}” is predicted as “{predicted}” {times}, {share} of its images.")
PAIR_REVERSE = _("“{true}” is predicted as “{predicted}” {times}, {share} of its images; the reverse happens {reverse}.")
PAIR_DIFFER = _("The two classes differ in {attributes}.")
LARGER_DO = _("Use larger images: {size} px")
UPSCALED_WHY = _("The originals have only about {original} px, so a larger size shows no more detail; but networks with pretrained weights learned on larger images, and often do better on upscaled ones. If you cannot tell the images under Confused pairs apart either, the labels are the limit.")
LARGER_WHY = _("Larger images show more detail. If you cannot tell the images under Confused pairs apart either, the labels are the limit.")
FROZEN_SEEN = _("{run} shows a frozen network images of {now} px; the weights of {network} come from images of {made_for} px.")
FROZEN_WHY = _("A frozen network cannot adapt to smaller images, so its features get better towards the size that it has learned on, also where the files are smaller and are enlarged.")
LOOK_AT_PAIR_DO = _("Look at the most confused pair")
LOOK_AT_PAIR_WHY = _("Look at the images under Confused pairs. If a small detail decides, a crop of it may help, because images cannot be much larger than now (at most {most} px). If you cannot tell the images apart either, the labels are the limit.")
LOOK_AT_SMALL_PAIR_WHY = _("Look at the images under Confused pairs. Larger images would show no more detail: the originals have only about {original} px. If you cannot tell the images apart either, the labels are the limit.")
LOOK_AT_PAIR_FROZEN_WHY = _("Look at the images under Confused pairs. If you cannot tell them apart either, the labels are the limit.")
PAIR_BOUND = _("if all {count} errors of this pair were fixed")

WEAKEST_SEEN = _("“{name}” is the weakest class: F1 {f1:.2f} (recall {recall:.2f}, precision {precision:.2f}) on {images} of {groups}.")
WEAKEST_BOUND = _("if its {count} errors, in both directions, were fixed")
OVERSAMPLE_DO = _("Oversample rare classes")
OVERSAMPLE_WHY = _("The class is rare: show it as often as the others.")
LOOK_AT_CLASS_SOLVED_WHY = _("A head that is solved takes no other loss and no augmentation: see what its errors have in common, or train a network.")
WEIGH_DO = _("Give difficult images more weight")
WEIGH_RARE_WHY = _("The class is rare, and showing it more often or weighing it more was not enough, so give difficult images more weight.")
WEIGH_HARD_WHY = _("The class is difficult rather than rare, so give difficult images more weight.")
STRONGER_DO = _("Use stronger augmentation: {policy}")
STRONGER_WHY = _("Difficult or rare images already have more weight; more varied images may help more.")
LOOK_AT_CLASS_DO = _("Look at the weakest class")
LOOK_AT_CLASS_WHY = _("Difficult or rare images already have more weight, and it is not enough: look at the images.")

SMOOTH_DO = _("Use label smoothing")
LOOK_AT_CONFIDENT_DO = _("Look at confident errors")
OVERCONFIDENT_SEEN = _("{sure} of {errors} were made with at least {confidence} confidence; on average, confidence is off by {error}.")
OVERCONFIDENT_WHY = _("An overconfident member dominates a blend. Some of the labels may be wrong: see Labels.")
SMOOTHING_IS_ON = _("`loss.label_smoothing={now}` is already set.")
OVERCONFIDENT_BOUND = _("if all errors with such a confidence were fixed")

FLIPS_DO = _("Judge twenty flips by eye")
FLIPS_DO_ALL = _("Judge the {flips} by eye")
FLIPS_OF_ATTRIBUTE = _("{count} of {flips} change {attribute}")
FLIPS_CHANGED = _("{predictions} changed")
FLIPS_SEEN = _("{lead}; the most frequent change is {old} → {new}, {images}.")
FLIPS_WHY = _("A flip is an image whose prediction changed. Under Judging you label images while both predictions are hidden. From twenty judged flips on, the report estimates the score difference with an interval.")

FLIPS_WHY_ALL = _("A flip is an image whose prediction changed. Under Judging you label images while both predictions are hidden. When all flips are judged, the report estimates the score difference with an interval.")

SEED_DO = _("Train again with another seed")
SEED_SEEN = _("The difference of {delta} may be chance: its interval, {low} to {high}, contains zero.")
SEED_WHY = _("A second run with the same settings shows how much the score varies by chance. `make runs` shows both scores: if they are as far apart as this difference, the difference means nothing.")

BLEND_DO = _("Blend it with {names}")
BLEND_ONE_SEEN = _("{names} is right on {fixed} of the {wrong} images that {run} gets wrong.")
BLEND_SOME_SEEN = _("{names} are right on {fixed} of the {wrong} images that {run} gets wrong.")
BLEND_WHY = _("A blend gains most from members that make different errors. Finished runs are not trained again.")
BLEND_FIRST_WHY = _("A blend gains most from members that make different errors. The other run has no test predictions and no name yet: predict with it first, then the next report can blend it.")
BLEND_BOUND = _("if the blend were right wherever one of its members is right")

FAMILY_DO = _("Add a network of another family: {experiment}")
FAMILY_SEEN = _("Every finished run on these folds uses a network of one family, {family} ({runs}).")
FAMILY_WHY = _("Networks of one family make similar errors; a blend gains most from a member that makes different errors.")

ADVICE_FAULTS = _("{file}: lines that are no advice are skipped; correct or delete them: {lines}")
ADVICE_LINE = _("line {line}: {what}")

# Advice for labels, values and shares.
DECIDE_DO = {
    "thresholds": _("Fit thresholds for the labels"),
    "cut_points": _("Fit cut points between the grades"),
    "class_scales": _("Fit a multiplier for each class"),
}
DECIDE_SEEN = {
    "thresholds": _("One half is not the best threshold of these labels: {fitted}."),
    "cut_points": _("Halves are not the best borders of these grades: {fitted}."),
    "class_scales": _("The most probable class is not the best answer for this metric: {name} would be multiplied by {scale:.2f}."),
}
SCALES_SOLVED_WHY = _("A head that is solved takes no loss that weighs rare classes, but its probabilities can be weighed afterwards.")
DECIDE_WHY = _("The step is cross-fitted, and kept only if it is better on images that did not fit it.")
DECIDE_BOUND = _("as fitted on the images that it is scored on")
WEAK_LABEL_DO = _("Look at {label} alone")
WEAK_LABEL_SEEN = _("{label} has the lowest F1, {f1:.3f}: {images} have it, it is missed {missed} and answered wrongly {alarms}.")
WEAK_LABEL_WHY = _("Its own page shows its flips, slices, suspicious answers and calibration.")
WEAK_LABEL_BOUND = _("if every answer about it were right")
HUBER_DO = _("Train with a loss for outliers: huber")
HUBER_SEEN = _("A tenth of the images has {share} of the squared error; {value} has R² {r2:.3f}.")
HUBER_WHY = _("A squared error follows the few largest residuals, which may be wrong values.")
SMALL_SEEN = _("The typical image is {original} px long, and the network sees {now} px.")
SMALL_WHY = _("Details that are lost in small images cannot be learned.")
BLEND_MEAN_SEEN = _("The mean with {names} is better out of fold; their predictions differ by up to {apart}.")
IMAGE_OF = _("{sample}, image {image} of {images}")

# Judging values.
EXPORT_VALUES = _("export the verdicts from the section Worst of the error report")
NO_SUCH_VALUE = _("there is no value `{value}`; {hint}")
NO_SUCH_VERDICT = _("`{verdict}` is no verdict; {hint}")
NO_NUMBER = _("{column}: `{cell}` is not a number")
REPEATED_VALUE = _("{value} of {id} is already judged in row {first}")
NOT_IN_TABLE = _("{id}: the training table has no known {value} of an image with this id")
OTHER_TRUTH = _("{id}: {value} is {now} in the training table, and {truth} was judged")
REMEDY_VALUES = _("export again from a report on the present table; nothing was stored")
STORED_VALUES = _("verdicts        {n} of {file} stored; {all} in {path}")
VALUES_JUDGED = _("{n} far-off values judged by eye: {parts}.")
VALUES_WITHOUT = _("Without the {n} truths that are judged wrong, {metric} out of fold would be {without} instead of {now}: a figure of the table's quality, not of the model's.")
VALUES_TO_CORRECT = _("Correct these cells of the training table, or empty them (unknown): {ids}.")

# What a folded section found, beside its heading.
FLIPS_FOUND = _("{flips} of {images:test image}")
TRUTH_FOUND = _("{wrong} of {images:training image} predicted wrong")
SLICES_FOUND = _("{slices:slice} found")
SUSPECTS_FOUND = _("{images:image} to look at")
NONE_FOUND = _("none found")

# Sections of the page, in the table of contents.
FLIPS_SHORT, ATTRIBUTES_SHORT, SLICES_SHORT, SUSPECTS_SHORT = _("Flips"), _("Attributes"), _("Slices"), _("Labels")
CONFIDENCE_SHORT, WHY_SHORT, TRUTH_SHORT, JUDGING_SHORT, ROBUSTNESS_SHORT = _("Confidence"), _("Why"), _("Truth"), _("Judging"), _("Robustness")
NEW_SIDE, OLD_SIDE = _("new"), _("old")
AND = _("{one} and {other}")
LABEL_OF_CARD = _("{what} {value}")

# Slices by what was measured.
QUARTERS = {
    "brightness": (_("darkest quarter"), _("brightest quarter")),
    "contrast": (_("quarter of lowest contrast"), _("quarter of highest contrast")),
    "blur": (_("most blurred quarter"), _("sharpest quarter")),
}
SIZE_QUARTERS = (_("smallest quarter"), _("largest quarter"))
SHAPES = (_("wide images"), _("tall images"), _("square images"))

# Headers and words of tables that are written in Python.
WORDS = (
    _("submission"), _("95 % interval"), _("public score"), _("prediction"), _("images"), _("confidence"), _("right"), _("difference, points"), _("conclusion"),
    _("calibration error"), _("noise alone, up to"), _("confidence minus accuracy, points"), _("interval of the difference"), _("slice"), _("groups"), _("more"),
    _("more, points"), _("at least"), _("p, corrected"), _("class"), _("label"), _("value"), _("attention on background"), _("area of the background"), _("excess, points"),
    _("interval"), _("shortcut?"), _("on the object"), _("all"), _("attribute"), _("fixed"), _("broken"), _("both wrong"), _("change, points"), _("overall"), _("precision"),
    _("recall"), _("nearer"), _("farther"), _("verdict"), _("now holds"), _("no longer holds"), _("held before"), _("holds now"), _("mean change"),
    _("mean size of a change"), _("in standard deviations"), _("missed"), _("false alarms"), _("rank correlation"), _("standard deviation"), _("bias"), _("share"),
    _("curve"), _("strength"), _("score"), _("change"), _("its interval"), _("clean"), _("noise"), _("darker"), _("brighter"), _("blur"), _("member"), _("not read"),
    _("changed"), _("largest"), _("correlation"), _("unknown"), _("truth is wrong"), _("both plausible"), _("prediction is wrong"), _("cannot tell"),
)  # fmt: skip
