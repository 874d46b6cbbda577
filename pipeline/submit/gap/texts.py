"""The texts of the gap checks as templates with named placeholders: headlines, methods, and what to do.

Owns the words only. Does not own when a text is shown. Text in backticks is a command or a setting.
"""

NOTHING_TO_DO = "Nothing to do."

# Verdict

NO_GAP = "No gap to explain yet: no public score, or no out-of-fold predictions."
INSIDE_BAND = "public − OOF is {gap:+.4f}, and luck alone gives {low:+.4f} to {high:+.4f}."
INSIDE_BAND_BUT = " The gap needs no explanation, but a check found a problem."
OUTSIDE_BAND = "public − OOF is {gap:+.4f}; luck alone gives {low:+.4f} to {high:+.4f}."

# Noise

NOISE_HOW = "Drew public sets of {groups} groups from the out-of-fold predictions, and measured how far their score is from that of all training groups."
NO_OTHER_CAUSE = "No other cause was found."
SCORE_FIRST = "Run `make score FILE=… PUBLIC=…` first."
LUCK_OFTEN = "luck alone gives a gap as large in {percent:.0f} of 100 cases"
LUCK_IS_NOT_ENOUGH = "luck is not enough"
PLAIN_NOISE = "Only noise: {often}."
NOISE = "Noise: {often}."
NOISE_ANSWER = "Nothing to fix. Choose between submissions inside this range by their out-of-fold score."
AVERAGING = "The public score is better than luck alone explains, and no check found a fault. Probably there is none: the test set is predicted by the mean of all fold models, which is often better than each of them is out of fold."
AVERAGING_HOW = "{how} The effect of averaging cannot be measured without answers."
AVERAGING_ANSWER = "Nothing to fix. Compare submissions by OOF; the gain from averaging is about the same for similar models."
UNEXPLAINED = "Luck alone gives such a gap in fewer than 1 of 100 cases, and no check found a cause."
UNEXPLAINED_ANSWER = "Look for causes that no check can see: another metric or label order at the host, rows of the CSV in another order, a public set that is not a random sample, settings chosen by hand on these folds."

# Leaks

GROUPS_HOW = "Looked for groups with images in both the training and the validation part of a fold. Then predicted each validation image with the label of the most similar training image (a nearest-neighbour look-up), on these folds and on folds that keep groups and copies together."
GROUPS_WHOLE = "In each fold, every group is in one part only."
GROUPS_NEARLY_WHOLE = "Almost no group is split."
GROUPS_SPLIT = "{share} of validation images have images of their own group in the training part"
GROUPS_HARMLESS = "{split}, but a look-up gains nothing from it ({gain:+.1f} points)."
GROUPS_HARMLESS_ANSWER = "It is still better to use `folds.kind=stratified_group`."
GROUPS_LEAK = "{split}: a look-up is right {gain:.1f} ± {error:.1f} points more often than on folds that keep groups together. Out-of-fold scores are too high; the public score is not."
GROUPS_LEAK_ANSWER = "Train again with `folds.kind=stratified_group`, and trust those scores."
UNKNOWN_GROUPS = "Validation images are much closer to training images than test images are: the distance to the nearest one is {valid:.2f} against {test:.2f} (0: the same pixels; smaller in {share} of pairs). There seem to be groups that no setting names."
UNKNOWN_GROUPS_HOW = "Measured the distance to the most similar training image, for validation and for test images."
UNKNOWN_GROUPS_ANSWER = "Find out which images belong together (a person, a scene, a series) and set `competition.group_column` or `competition.group_pattern`; then train again."
COPIES_HOW = "Compared all files, then perceptual hashes and thumbnails, of train and test."
COPIES_LEAK = "{share} of validation images have a copy in training: a look-up is right {gain:.1f} points more often than without the copies. Out-of-fold scores are too high."
COPIES_LEAK_ANSWER = "Give all copies of an image the same value in `competition.group_column` (`make eda` lists them in suspects.csv)."
COPIES_IN_TEST = "{images} ({share}) are copies of training images: the model has seen their answers, and the leaderboard is too optimistic there."
COPIES_IN_TEST_ANSWER = "Read the competition's rules before you use this; the gain says nothing about the quality of the model."
NO_COPIES = "No relevant number of copies across folds, or in both train and test."

# Transform mismatch and covariate shift

SHIFT_HOW = "Trained a classifier to separate test from training images, on image facts and on thumbnails of the prepared images, against {shuffles} shuffles of the split names."
TRANSFORM_HOW = "{how} Then undid simple changes on the test images, one by one, and repeated the test."
SHIFT_IMPOSSIBLE = "Cannot be checked: there is no test set, or there are too few groups."
SHIFT_FIGURE = "{columns} AUC {auc:.2f} (by chance below {chance:.2f})"
SHIFT_COLUMNS = {"facts": "facts", "thumbs": "thumbnails"}
NO_SHIFT = "Test images look like training images ({figures})."
NO_TRANSFORM = "No sign that test images were stored in another way."
SHIFT_BY_TRANSFORM = "The sets look different ({figures}); one change of all test images explains this."
SHIFT_BY_CLASSES = "The sets look different ({figures}), but only because the classes are not equally frequent."
SEE_TRANSFORM, SEE_LABEL_SHIFT = "See the transform mismatch.", "See the label shift."
TRANSFORM = "Test images seem to be {change}: undoing it removes {removed} of what separates them from training images. The same change costs a look-up {loss:.1f} points."
BEYOND = "{share} of test images are outside the range of the training images in {fact} (median {train:.4g} in training, {test:.4g} in test; 5 % are expected by chance): they were stored, resized or decoded in another way."
TRANSFORM_ANSWER = "Look at `make preview`, then load both splits in the same way: same decoding, colour order, orientation, size and compression; or make the training images like the test images with `preprocess.*`."
UNEXPLAINED_SHIFT = "No simple change of every test image explains the difference."
COVARIATE_SHIFT = "The test set has other kinds of images, or the same kinds in other proportions ({figures}). Strongest differences, train → test: {facts}.{effect}"
COVARIATE_FACT = "{fact} {train:.4g} → {test:.4g}"
COVARIATE_EFFECT = " Weighting training images like test images changes the out-of-fold score by {effect:+.3f}."
COVARIATE_ANSWER = "Look at section Shift of `make eda`; collect or oversample training images like the test images (`resample.method=over`), or cover the difference by a stronger `augment.policy`. Validate on images like the test images (`folds.kind=column`)."
CHANGES = {
    "bgr": "in BGR instead of RGB order (or the other way round)",
    "negative": "negatives (black for white)",
    "mirror": "mirrored",
    "flip": "upside down",
    "half turn": "rotated by 180°",
    "left": "rotated by 90° to the left",
    "right": "rotated by 90° to the right",
}
BRIGHTER, DARKER = "brighter by {levels:.0f} of 255", "darker by {levels:.0f} of 255"
TIMES_AS_BRIGHT, CONTRAST = "{factor:.2f} times as bright", "of {factor:.2f} times the contrast"

# Label shift

LABEL_SHIFT_HOW = "Counted the classes that are predicted for the test set, and corrected the counts by the out-of-fold errors; the interval resamples groups and test images."
NO_LABEL_SHIFT = "Classes seem to be as frequent as in training (p = {p:.3f})."
LABEL_SHIFT_UNCERTAIN = "Predicted classes are not as frequent as in training ({classes}), but the images differ too. Fix the difference of the images first."
LABEL_SHIFT = "Classes are not as frequent as in training; the frequencies differ by {distance}: {classes}. With these frequencies the out-of-fold score is {shifted:.4f} instead of {plain:.4f}."
LABEL_SHIFT_ANSWER = "Compare submissions by the re-weighted score, and correct predictions for the new frequencies (prior correction); do not resample to the old ones."
CLASS_CHANGE = "{name} {train} → {test} [{low}, {high}]"

# Selection among runs

SELECTION_HOW = "Resampled the groups, chose the best run on each resample, and scored it on the groups that were not drawn (BBC-CV); its loss there is compared with the mean loss of all runs."
NO_SELECTION = "Too few runs were compared on these folds for one to be chosen by luck."
RUNS_COMPARED = "{runs} runs were compared on these folds"
LUCK_OF_BEST = "choosing the best of them adds about {luck:.4f} of luck to its score"
IS_BEST, IS_NUMBER = "the submission is the best of them", "the submission is number {place}"
SELECTION_HARMLESS = "{runs}, {place}; {luck}{denied}."
DENIED = ", which the public score contradicts"
SELECTION = "{runs} and the best of them was submitted: {luck}; the public set's luck is ± {sd:.4f}."
SELECTION_ANSWER = "Expect a score that is lower by this amount; compare fewer runs, each for a reason; blend the best few instead of taking the first (`ensemble.members=[…]`), and repeat the best ones with other seeds (`train.seed`)."
