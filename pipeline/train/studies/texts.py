"""Texts of studies for people: lines, pages and MLflow notes, as templates with named placeholders."""

ABLATION_RUN = "**What**: {what}\n\n{result}\n\n**Report**: `ablation.html`"
CURVE_RUN = "**Result**: {result}\n\n**Report**: `learning_curve.html`"
CURVE_SHARE = "train.group_share: the learning curve sets it for each point"

ABLATE_STARTS = "ablate          {trainings} trainings: {arms} arms × {seeds} seeds; finished ones are reused"
ARM_BUDGET = "    {arm:<28} {epochs:>4} epochs in about {expected:.1f} of {seconds:g} s"
SET_BY_GRID = "{path}: the grid sets it for each arm"
OVERRIDES_OF_ARMS = "ablate: the arms also set these overrides"

CURVE_TITLE = "{title}: learning curve of {experiment}"
LAST_STEP = "from {before:.0f} to {last:.0f} groups the score moved by {gain} [{low}, {high}]"
MORE_DATA_YES = "More data would help: {gain}."
MORE_DATA_NO = "More data would not help: {gain}, less than {margin:g}."
MORE_DATA_UNCLEAR = (
    "Can't tell whether more data would help: {gain}, and a gain of {margin:g} would be worthwhile."
)
ERROR_RATES = "error rate {valid:.1%} out of fold and {train:.1%} on training images"
FEW_ERRORS = "Hardly any errors are left: {errors}."
VARIANCE = "Variance: {errors}; first try more data, augmentation or regularisation."
BIAS = "Bias: {errors}; first try a larger model, longer training or better labels."
BIAS_AND_VARIANCE = "Bias and variance are similar: {errors}."
CURVE_READING = (
    "{seeds} per share, each with its own groups; the groups of a smaller share are part of those of a "
    "larger one. Intervals of the mean over seeds resample whole groups; that of the last step also "
    "resamples seeds{note}. Scores are those of one view"
)

ABLATION_TITLE = "{title}: ablation"
ABLATION_HEADLINE = (
    "Of {comparisons}, {better} better and {worse} worse than the baseline; {unclear} inconclusive"
)
ABLATION_READING = (
    "{seeds} per arm, {budget}, {images} images; intervals are ± {factor:.2f} standard errors over groups "
    "and seeds, for all comparisons at once{note}"
)
EQUAL_STEPS = "at equal optimizer steps"
EQUAL_EPOCHS = "at equal epochs, unequal steps"
EQUAL_SAMPLES = "at equally many images seen, unequal steps"
EQUAL_SECONDS = (
    "epochs for {seconds:g} s per training by rates measured before (taken: {least:g} to {most:g} s{busy})"
)
BUSY = "; the machine was busier during training: delete machine.json and run it again on an idle machine"

TRANSFER_HEADING = "freeze or fine-tune, by data size and similarity (CS231n); ← marks this competition:"
SMALL_SIMILAR = "freeze: train the head only (strategy=linear_probe); fine-tuning all weights may overfit"
SMALL_DIFFERENT = "freeze the early stages, whose features are general (strategy=freeze_until or gradual)"
LARGE_SIMILAR = (
    "fine-tune all weights, with lower rates for lower layers (strategy=full train.layer_decay=0.8)"
)
LARGE_DIFFERENT = "fine-tune all weights; also try training from scratch, for which there is enough data"
LIKE_PRETRAINING = "similar to those of pretraining"
DATA_SIZE = "{images:.0f} training images in the median class: {size} (large from {large} on)"
SIMILARITY_UNKNOWN = (
    "{size}; similarity is unknown: it needs arms with linear_probe and full, and a score that rises"
)
SIMILARITY = (
    "{size}; the frozen features reach {share:.0%} of the {metric} of fine-tuning at this budget: {images} "
    "(similar from {similar:.0%} on). These are rules of thumb; the table of arms is the measurement"
)
