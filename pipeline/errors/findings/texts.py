"""Texts of the findings that are written in Python: suspects, slices, calibration, attention, and why.

Each is a template with named placeholders. The HTML templates are in `errors/templates/`.
"""

# Planted faults.
FINDER_SCORES = "{name}: F1 {f1:.3f}, precision {precision:.3f}, recall {recall:.3f}"
TOO_FEW_GROUPS = "{count} groups of images have out-of-fold predictions: too few to plant faults"
GROUPS_NEEDED = "at least {count} groups are needed: half for the search, half for the re-test"

# Labels that may be wrong.
SUSPECTS_TITLE = "Labels that may be wrong"
MODEL_REASON = "the model gives this value a probability of {proposed}, and the label {given}"
COPY_REASON = "{copy} has this value in another row"
SAME_FILE, SIMILAR_IMAGE = "the same file", "a nearly identical image"
NEIGHBOUR_REASON = "{share} of its nearest images have this value"
GROUP_REASON = "the images of its group have different values"
SUSPECT_LABEL = "{id}: {attribute} {given}, perhaps {proposed}"
PATCH_REASON = "{proposed} instead of {given}: {reasons}"

# Slices.
SLICES_TITLE = "Slices that fail more often than chance"
SLICE_SUMMARY = "{images} of {groups}: {wrong} wrong, {elsewhere} elsewhere"
SLICE_COLUMNS = ("wrong", "elsewhere", "expected from its classes")
SLICE_PLOT, ALL_IMAGES = "Share of wrong predictions by slice", "all images"

# Calibration.
CALIBRATION_TITLE = "Is its confidence reliable?"
BEFORE, AFTER = "as it is", "with temperature"
OVERCONFIDENT, UNDERCONFIDENT, UNDECIDED = "overconfident", "underconfident", "can't tell"
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

# Attention.
SHORTCUT = "Shortcut? For {classes}, the network looks at the background more than the area of the background explains. Look at the maps, then try crop.method or a stronger augment.policy."

# Why.
WHY_TITLE = "Why: what the network looked at"
PICTURE, CAM_OF_PREDICTION, CAM_OF_TRUTH = "image", "Grad-CAM for the prediction", "Grad-CAM for the truth"
CAM_OF_SECOND, OCCLUSION = "Grad-CAM for the second guess", "occlusion for the prediction"
PREDICTED = "Prediction {predicted} ({p})"
PREDICTED_WRONG = "{prediction}, truth {true} ({p})"
PREDICTED_RIGHT = "{prediction}, correct, second guess {rival} ({p})"
PREDICTED_ONLY = "{prediction}, second guess {rival} ({p})"
TOO_FEW = "too few groups"
INTERVAL = "{low} to {high}"
