"""Texts of `train/` for people: lines of the terminal and of MLflow, as templates with named placeholders."""

FOLD_SCORES = "folds {scores}"
WORST_CLASS = "worst class {name}: F1 {f1:.3f} on {images} images"
SEED_SCORES = "seeds {scores}: standard deviation {spread:.4f}"
CHOSEN_EPOCHS = (
    "early stopping chose epochs {epochs} on inner splits of {images:.0f} training images per fold"
)
PSEUDO_MEAN = "pseudo-labels adopted per fold, mean: {images:.0f} ({classes})"
EXPERIMENT_WITH = "experiment `{experiment}`, with {overrides}"
EXPERIMENT_AS_FILE = "experiment `{experiment}`, as in its file"

NOTE = "                note: {note}"
TRAIN_ESTIMATE = (
    "train           {experiment}: {missing} of {folds} folds to train, about {minutes:.1f} min and "
    "{megabytes:.0f} MB (free: {free_gb:.0f} GB)"
)
ALL_DATA = "{images} images, {epochs} epochs as in its cross-validation"
NESTED_TEACHER = "train.distill: teacher {teacher} sets {setting}, which inner parts do not support"
NESTED_TEACHER_REMEDY = "leave it out, choose another teacher, or set train.distill.inner=0"
REFIT_INCOMPLETE = "refit: a model of all data needs a complete cross-validation of the same settings"
REFIT_FOLDS = "train.folds={folds}: leave it out, so that every fold is trained"
REFIT_SHARE = "train.group_share: leave it out; a refit trains on all data"

SOFT_LABELS = "soft labels of {teachers}, {how}: {metric} {score:.4f} on the training part"
NESTED_IN = "nested in {parts} inner parts"
LEARNED_BY_TEACHERS = "predicted for images that they learned"
ADOPTED = "pseudo-labels: {adopted} of {offered} unlabelled images adopted ({classes})"
NOT_ADOPTED = "pseudo-labels: {images} images not adopted, because their group is held out in this fold"
TEST_IMAGES_LEARNED = (
    "warning: test images are used in training (test_images): the rules of the competition may forbid it"
)

CHAIN_MEMBER = (
    "member {member}: trained on {samples} samples, {wrong:.1%} of the training part wrong ({how}), "
    "vote {vote:.2f}"
)
BY_INNER_FOLDS = "predicted by inner folds"
SEEN_IN_TRAINING = "seen in training"

OOF_SCORE = "OOF {metric} {score}{share}"
SHARE_SCORED = " on {scored:.0f} of {images} images"
AGAINST_RIVAL = "against {rival}: {comparison}"
FIRST_RUN = "first on these data and folds"
FIRST_RUN_WHY = "the first complete run on these data and folds; later runs are compared with it"
LATER_RUN_WHY = "does it beat {rival}, the best other run on the same data and folds? {comparison}"

MODELS_HEADING = (
    "ms per image of {height} × {width} px on {device}, {precision}: alone, in a batch of 32, and in a "
    "training step of 32; the fastest of several"
)
ON_CPU = "{threads} threads of the CPU"
ON_GPU = "one GPU"
