"""Texts of advice: what to do, what was observed, why the advice follows, and what its bound assumes.

Each is a template with named placeholders: `…_DO` in a few words, `…_SEEN` with its numbers, `…_WHY`, and
`…_BOUND`, which follows "at most +0.0310," in the terminal and "Upper bound:" on the page.
"""

# The run that advice is about.
ABOUT_MEMBER = "the best member, {name}, predicted without TTA"
ABOUT_RUN = "{name}, predicted without TTA"

# Where to look in the report; `steps.ANCHORS` has the HTML ids.
LOOK_AT_ERRORS = "see Images in the section Truth of the report"
LOOK_AT_PAIRS = "see Confused pairs in the section Truth of the report"
JUDGE_FLIPS = "see the section Judging of the report"

SECOND_GUESSES_BOUND = "if all {count:,} errors whose second guess is correct were fixed"

# Faults: something is wrong.
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

# Steps: something could be better.
PAIR_SEEN = "“{true}” is predicted as “{predicted}” {times}, {share} of its images{reverse}."
PAIR_REVERSE = "; the reverse happens {times}"
PAIR_DIFFER = "The two classes differ in {attributes}. "
LARGER_DO = "Use larger images: {size} px"
LARGER_WHY = "{differ}Larger images show more detail. If you cannot tell the images under Confused pairs apart either, the labels are the limit."
LOOK_AT_PAIR_DO = "Look at the most confused pair"
LOOK_AT_PAIR_WHY = "{differ}Look at the images under Confused pairs. If a small detail decides, a crop of it may help, because images cannot be much larger than now (at most {most} px). If you cannot tell the images apart either, the labels are the limit."
PAIR_BOUND = "if all {count} errors of this pair were fixed"

WEAKEST_SEEN = "“{name}” is the weakest class: F1 {f1:.2f} (recall {recall:.2f}, precision {precision:.2f}) on {images} of {groups}."
WEAKEST_BOUND = "if its {count} errors, in both directions, were fixed"
OVERSAMPLE_DO = "Oversample rare classes"
OVERSAMPLE_WHY = "The class is rare: show it as often as the others."
WEIGH_DO = "Give difficult images more weight"
WEIGH_RARE_WHY = "The class is rare even after resampling, so give difficult images more weight."
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
FLIPS_OF_ATTRIBUTE = "{count} of {flips} change {attribute}"
FLIPS_CHANGED = "{predictions} changed"
FLIPS_SEEN = "{lead}; the most frequent change is {old} → {new}, {images}."
FLIPS_WHY = "A flip is an image whose prediction changed. Under Judging you label images while both predictions are hidden. From twenty judged flips on, the report estimates the score difference with an interval."

SEED_DO = "Train again with another seed"
SEED_SEEN = "The difference of {delta} may be chance: its interval, {low} to {high}, contains zero."
SEED_WHY = "A second run with the same settings shows how much the score varies by chance. `make runs` shows both scores: if they are as far apart as this difference, the difference means nothing."
SEED_BOUND = "at the upper end of the interval"

BLEND_DO = "Blend it with {names}"
BLEND_ONE_SEEN = "{names} is right on {fixed} of the {wrong} images that {run} gets wrong."
BLEND_SOME_SEEN = "{names} are right on {fixed} of the {wrong} images that {run} gets wrong."
BLEND_WHY = "A blend gains most from members that make different errors. Finished runs are not trained again."
BLEND_BOUND = "if the blend were right wherever one of its members is right"

FAMILY_DO = "Add a network of another family: {experiment}"
FAMILY_SEEN = "Every finished run on these folds uses a network of one family, {family} ({runs})."
FAMILY_WHY = "Networks of one family make similar errors; a blend gains most from a member that makes different errors."
