"""Texts of `train/` for people: lines of the terminal, pages and notes of MLflow.

Owns the words, as templates with named placeholders. Does not own when a text is shown.
"""

from pipeline.core.language import _

# Scores of a training.
FOLD_SCORES = _("folds {scores}")
WORST_CLASS = _("worst class {name}: F1 {f1:.3f} on {images} images")
WORST_LABEL = _("worst label {name}: F1 {f1:.3f}; it holds in {images} images")
WORST_VALUE = _("worst value {name}: mean absolute error {mae:.4g}, R² {r2:.3f} on {images} images")
SEED_SCORES = _("seeds {scores}: standard deviation {spread:.4f}")
CHOSEN_EPOCHS = _("early stopping chose epochs {epochs} on inner splits of {images:.0f} training images per fold")
PSEUDO_MEAN = _("pseudo-labels adopted per fold, mean: {images:.0f} ({classes})")
EXPERIMENT_WITH = "experiment `{experiment}`, with {overrides}"
EXPERIMENT_AS_FILE = "experiment `{experiment}`, as in its file"

# Estimates, and refits on all data.
NOTE = _("                note: {note}")
TRAIN_ESTIMATE = _("train           {experiment}: {missing} of {folds} folds to train, about {minutes:.1f} min and {megabytes:.0f} MB (free: {free_gb:.0f} GB)")
FEATURES_FIRST = _("before that, features of {images:image} in {views:view}, which were never timed here")
ALL_DATA = _("{images:image}, {epochs:epoch} as in its cross-validation")
NESTED_TEACHER = _("train.distill: teacher {teacher} sets {setting}, which inner parts do not support")
NESTED_TEACHER_REMEDY = _("leave it out, choose another teacher, or set train.distill.inner=0")
REFIT_INCOMPLETE = _("refit: a model of all data needs a complete cross-validation of the same settings")
REFIT_FOLDS = _("train.folds={folds}: leave it out, so that every fold is trained")
REFIT_SHARE = _("train.group_share: leave it out; a refit trains on all data")

# Teachers and pseudo-labels.
SOFT_LABELS = _("soft labels of {teachers}, {how}: {metric} {score:.4f} on the training part")
NESTED_IN = _("nested in {parts} inner parts")
LEARNED_BY_TEACHERS = _("predicted for images that the teachers were trained on")
ADOPTED = _("pseudo-labels: {adopted} of {offered} unlabelled images adopted ({classes})")
NOT_ADOPTED = _("pseudo-labels: {images:image} not adopted, because their group is held out in this fold")
TEST_IMAGES_LEARNED = _("warning: test images are used in training (test_images): the rules of the competition may forbid it")

# Chains of members.
CHAIN_MEMBER = _("member {member}: trained on {samples} samples, {wrong:.1%} of the training part wrong ({how}), vote {vote:.2f}")
BY_INNER_FOLDS = _("predicted by inner folds")
SEEN_IN_TRAINING = _("seen in training")

# The score card of a run.
OOF_SCORE = _("OOF {metric} {score}")
OOF_SCORE_OF = _("OOF {metric} {score} on {scored:.0f} of {images} images")
A_TRAINING, A_PREDICTION = _("training on one view"), _("inference or blend")
AGAINST_RIVAL = _("against {rival}, the best earlier {kind} by out-of-fold score: {comparison}")
SAME_AS = _("same as {title}")
FIRST_RUN = "first of its kind on these data and folds"
NOT_READ, MADE_WITH = "not read", "made with {words}"
ONE_NETWORK = "one network instead of a blend of {members}"
INSTEAD_OF_ONE = "a blend of {members} instead of one network"
ADDS, WITHOUT = "adds {members}", "without {members}"
FIRST_RUN_WHY = "the first complete run of its kind on these data and folds; later ones are compared with it"
LATER_RUN_WHY = "does it beat {rival}, the best earlier {kind} on the same data and folds by out-of-fold score? {comparison}"

# `make models`.
MODELS_HEADING = _("ms per image of {height} × {width} px on {device}, {precision}: one image alone, in a batch of 32, and in a training step of 32; the fastest of several measurements")
ON_CPU = _("{threads} threads of the CPU")
ON_GPU = _("one GPU")

# Studies: notes of MLflow.
ABLATION_RUN = "**What**: {what}\n\n{result}\n\n**Report**: `ablation.html`"
CURVE_RUN = "**Result**: {result}\n\n**Report**: `learning_curve.html`"
CURVE_SHARE = _("train.group_share: the learning curve sets it for each point")

# Studies: lines of the terminal.
ABLATE_STARTS = _("ablate          {trainings:training}: {arms:arm} × {seeds} seeds; finished ones are reused")
ARM_BUDGET = _("    {arm:<28} {epochs:>4} epochs in about {expected:.1f} of {seconds:g} s")
SET_BY_GRID = _("{path}: the grid sets it for each arm")
OVERRIDES_OF_ARMS = _("ablate: the arms also set these overrides")

# Studies: the learning curve.
CURVE_TITLE = "{title}: learning curve of {experiment}"
LAST_STEP = _("from {before:.0f} to {last:.0f} groups the score changed by {gain} [{low}, {high}]")
MORE_DATA_YES = _("More data would help: {gain}.")
MORE_DATA_NO = _("More data would not help: {gain}, less than {margin:g}.")
MORE_DATA_UNCLEAR = _("Can't tell whether more data would help: {gain}, and a gain of {margin:g} would be worthwhile.")
ERROR_RATES = _("error rate {valid:.1%} out of fold and {train:.1%} on training images")
FEW_ERRORS = _("Hardly any errors are left: {errors}.")
VARIANCE = _("Variance: {errors}; first try more data, augmentation or regularisation.")
BIAS = _("Bias: {errors}; first try a larger model, longer training or better labels.")
BIAS_AND_VARIANCE = _("Bias and variance are similar: {errors}.")
CURVE_READING = "{seeds} per share, each with its own groups; the groups of a smaller share are part of those of a larger one. Intervals of the mean over seeds resample whole groups; the interval of the last step also resamples seeds{note}. Scores are those of one view"

# Studies: the page of an ablation.
ABLATION_TITLE = "{title}: ablation"
ABLATION_HEADLINE = "Of {comparisons}, {better} better and {worse} worse than the baseline; {unclear} inconclusive"
ABLATION_READING = "{seeds} per arm, {budget}, {images} images; intervals are ± {factor:.2f} standard errors over groups and seeds, for all comparisons at once{note}"
EQUAL_STEPS = "at equal optimizer steps"
EQUAL_EPOCHS = "at equal epochs, unequal steps"
EQUAL_SAMPLES = "at an equal number of images seen, unequal steps"
EQUAL_SECONDS = "epochs for {seconds:g} s per training by speeds that were measured before (time taken: {least:g} to {most:g} s{busy})"
BUSY = "; the machine was busier during training: delete machine.json and run it again on an idle machine"

# Studies: freeze or fine-tune.
TRANSFER_HEADING = _("freeze or fine-tune, by data size and similarity (CS231n); ← marks this competition:")
SMALL_SIMILAR = _("freeze: train the head only (strategy=linear_probe); fine-tuning all weights may overfit")
SMALL_DIFFERENT = _("freeze the early stages, whose features are general (strategy=freeze_until or gradual)")
LARGE_SIMILAR = _("fine-tune all weights, with lower rates for lower layers (strategy=full train.layer_decay=0.8)")
LARGE_DIFFERENT = _("fine-tune all weights; also try training from scratch, for which there is enough data")
LIKE_PRETRAINING = _("similar to those of pretraining")
DATA_SIZE = _("{images:.0f} training images in the median class: {size} (large from {large} on)")
SIMILARITY_UNKNOWN = _("{size}; similarity is unknown: it needs arms with linear_probe and full, and a metric for which higher is better")
SIMILARITY = _("{size}; the frozen features reach {share:.0%} of the {metric} of fine-tuning at this budget: {images} (similar from {similar:.0%} on). These are rules of thumb; the table of arms is the measurement")
NOT_CAPTURED = _("steps run one kernel at a time, not as one CUDA graph: {why}; the results are the same")
STEP_WAITS = _("a step of this network, loss or optimizer waits for the GPU")
STEP_IMAGES = _("samples have several images, and not all the same number")
STEP_METADATA = _("the network reads metadata")
STEP_SCALED = _("train.precision=fp16 scales its gradients")
STEP_CHECKPOINTING = _("train.grad_checkpointing computes activations again in the backward pass")
STEP_OPTIMIZER = _("train.optimizer={optimizer} has no form for a graph")
STEP_PIECES = _("a step takes several batches (train.accumulate), or a batch passes in pieces")
BF16_IMITATED = _("train.precision=bf16: this GPU ({gpu}) has no bf16 and imitates it slowly; train.precision=fp16 is faster")
STEP_MEMORY = _("a graph has memory of its own, and the GPU has too little")
