"""The messages of `ensemble/` as templates with named placeholders.

Owns the words only. Does not own when a message is shown. Pages: `ensemble/templates/`.
"""

from pipeline.core.language import _

# Members

TEST_ONLY_KIND = {"file": _("probabilities of the test set only"), "labels": _("labels only")}
TEST_ONLY = _("{member}: {kind}, so it has no out-of-fold score; it has {share:.0%} of the vote on the test set, and every score is that of the blend without it")
TEST_ONLY_CHANGES = {
    "exclusive": _("members without an out-of-fold score change {changed} of {images} test labels"),
    "labels": _("members without an out-of-fold score change {changed} of {images} test answers, a label of an image each"),
    "values": _("members without an out-of-fold score change {changed} of {images} test values by more than 1 % of their standard deviation"),
    "shares": _("members without an out-of-fold score change the largest share of {changed} of {images} test images"),
}
EXTERNAL_FOLDS = _("{member}: made elsewhere; if it was trained on other folds, its score is optimistic")
SAME_FOLDS = _("members need the same competition, folds and fold seed, and must differ in their settings")
MEMBERS_WITHOUT_NAME = _("decision.steps: prior_correction needs members that are named as experiments; for others the class counts of the training rows are unknown")
MEMBERS_BY_NAME = _("name experiments, e.g. ensemble.members=[lite0,probe], or leave prior_correction out")

# Blend

MEMBER = _("{member:<14} OOF {score:.4f}  weight {weight:.2f}")
MEMBER_TEMPERATURE = _("  temperature {temperature:.2f}")
MEMBER_GAIN = _("  adds {gain:+.4f}")
MEMBER_INTERVAL = _(" [{low:+.4f}, {high:+.4f}], {verdict}")
GAINS = _("adds: score of the blend minus its score without the member, both naive; intervals are corrected for {count} comparisons")
DISAGREEMENT = {
    "exclusive": _("images on which two members' labels differ"),
    "labels": _("answers, a label of an image each, on which two members differ"),
    "values": _("mean difference of two members' values, in % of their standard deviation"),
    "shares": _("share of the votes that two members give to other classes"),
}
DISAGREEMENT_TITLE = {
    "exclusive": "Share of images on which two members' labels differ",
    "labels": "Share of answers, a label of an image each, on which two members differ",
    "values": "Mean difference of two members' values, divided by their standard deviation",
    "shares": "Share of the votes that two members give to other classes",
}
DISAGREEMENT_RANGE = _("{title}: {low:.1%} ({low_pair}) to {high:.1%} ({high_pair})")
REFITS = _("the test set is predicted by models that were trained on all data; the scores are those of the cross-validation")
NAIVE = _("score on the predictions that the blend was fitted on: {score:.4f} (optimistic)")
AGAINST_BEST = _("ensemble against its best member {member}, by out-of-fold score: {verdict}")
ONLY_MEMBER = _("the blend is {member} alone, because no other member has a weight above 0: it makes the same predictions")
ONLY_MEMBER_HEATED = _("the blend is {member} alone, because no other member has a weight above 0: it predicts the same classes, at another temperature")
ONLY_MEMBER_SCORES = _("; their scores differ, {blend:.4f} and {alone:.4f}, because the blend's is cross-fitted: for each part, weights are chosen on the other parts")
NO_DIFFERENCE = _("{comparison}; there is no difference to detect")
GROUPS_NEEDED = _("{comparison}; about {needed:,} groups would be needed to detect a difference of this size, there are {groups:,}")
BLEND_RUN = "{method} vote, {blend}"
BLENDED = _("blends {members}")

# Cost

NOT_TIMED = _("not timed, so not included in any number here: {members}")
NO_MEMBER_TIMED = _("none of the members was timed here")
HEADERS = (_("member"), _("M parameters"), _("ms ×1"), _("ms ×64"), _("score per ms"), _("weight"), _("gain"))
BLEND_ROW = _("blend")
COST_RUN = "cost of the ensemble"
COST_WHY = "is the blend worth its time?"
UNKNOWN_TIME = _("unknown")
COST_ANSWER = _("The blend takes {blend:.2f} ms per image, its best member {member} takes {alone}; score {comparison}")
COST_NOTES = (
    "Time is that of forward passes on this machine, over all folds, models and views; a pass of a frozen "
    "backbone that several members share counts once. Reading and decoding images is not included.",
    "`gain` is the score that the blend loses without the member while the other weights stay the same. If "
    "members are correlated, each gain may be near zero although the members matter together.",
    "Cheaper blends are soft votes of the members with the largest weights. Their scores are computed on the "
    "predictions that chose the weights, so they are optimistic; `ensemble.max_ms` gives the cross-fitted "
    "score of a blend under a time limit.",
)
RECOMMEND_SAME = _("Submit {member}: the blend is {member} alone, so it makes the same predictions. A blend gains from members that err on other images; train one that differs more, and blend again.")
RECOMMEND_BLEND = _("Submit the blend: out of fold it is better than its best member {member} by more than noise{times}.")
RECOMMEND_MEMBER = _("Submit {member} and not the blend: out of fold the blend is worse than {member} by more than noise{times}.")
RECOMMEND_EITHER = _("Submit the blend where time does not count, and {member} where it does: out of fold the blend scores higher by {delta:.4f}, which may be noise{times}.")
RECOMMEND_SIMPLER = _("Submit {member}: out of fold the blend does not score higher{times}.")
RECOMMEND_TIMES = _(", and it takes {times:.1f} times as long")
RECOMMEND_WITHOUT = _(" Try it without {names}, which added nothing: `{command}`.")
CHEAPER_BLEND = "{size} largest weights"
BLEND_POINT = "blend (cross-fitted)"
PLOT = "OOF {metric} over ms per image"
PLOT_X, PLOT_Y = "ms per image, batches of 64", "OOF {metric}"
TOOLTIP = "{point}: {ms} ms, {score}"
DISAGREE = (
    _("{one} and {other} disagree on {share:.1%} of images"),
    _("{one} and {other} disagree least: on {share:.1%} of images"),
    _("{one} and {other} disagree most: on {share:.1%} of images"),
)
DIFFER = (
    _("{one} and {other} differ by {share:.1%}"),
    _("{one} and {other} differ least: by {share:.1%}"),
    _("{one} and {other} differ most: by {share:.1%}"),
)
OVER_BUDGET = _("ensemble.max_ms={max_ms:g}: every member takes longer per image, in batches of 64")
OVER_BUDGET_REMEDY = _("raise it, use fewer views (infer.views), or name cheaper members")
NO_TIMING = _("ensemble.max_ms: no timing for these members yet")
NO_TIMING_REMEDY = _("run make ensemble, which infers and times them first; a member that is given by its key needs a new make infer")

# Decision

SCALES_NEED_LABELS = _("decision.steps: {step} needs a metric that scores labels, but {metric} scores probabilities")
ONE_PART = _("with only one part, a step cannot be tested on rows that it was not fitted on")
STEP_OFF = _("{step}: switched off: {reason}")
STEP_RESULT = _("{step}: {outcome}: {effect}; {naive:+.4f} on the rows that it was fitted on (optimistic); {fitted}")
STEP_KEPT, STEP_LEFT_OUT = _("kept"), _("tried, left out")
NEW_CLASS = _("`{word}` where no known class is more probable than {threshold:.3f}, in {share:.0%} of the images{own}")
NEW_CLASS_OWN = _(", or than its own probability")
DECISION = _("kept: {steps}")
NOTHING_KEPT = _("nothing: the submission stays as it is")
DECISION_EFFECT = _("; together {delta:+.4f} cross-fitted; {naive:.4f} on the rows that they were fitted on (optimistic)")
DECISION_RUN = "decision of {stage} {key}: {steps}"
DECISION_NAME, NO_STEP, DECISION_ADDS = "{kept} · {of}", "no step kept", "decision: {kept}"
DECISION_WHY = "does post-processing improve the out-of-fold score?"
SCALES_UNCHANGED = _("all ×1")
THRESHOLDS = _("common threshold {common:.2f}")
OWN_THRESHOLDS = _("; {own}")
ONLY_LEVELS = _("every label has several levels, whose most probable one is the answer")
CUT_POINTS = _("{column}: {cuts}")
EXPECTED_GRADE = _("expected grade")
SEVERAL_ATTRIBUTES = _("classes of several attributes have no order")
NOT_WHOLE = _("the truth is not of whole numbers (e.g. {value:g})")
TOO_MANY_GRADES = _("the truth spans {span:g} whole numbers, more than {most} grades")
RANGE = _("{column} {low:g} to {high:g}")
ROWS_NOT_COUNTED = _("the resampling of {member} did not count in how many rows each label is known")
ROUNDED = _("to the nearest whole number")
PRIORS = _("priors from {before} in the training rows to {after} ({target})")
PRIORS_ESTIMATED = _("estimated priors {low:.3f} to {high:.3f} (training rows {before})")
GROUP_AVERAGE = _("{attributes} over {groups}")
OWN_FUNCTION = _("a function of your own")
PROBABILITIES_EXPECTED = _("probabilities of shape {shape}: {rule}")
NOT_PROBABILITIES = _("{bad} of {rows} rows that are not probabilities (first: {first}: {values} …)")

# Groups

TABLE_GROUPS = _("the table's groups: {pure:.1%} pure out of fold, {share:.0%} of test images share a group with another")
NO_TRAINING_GROUPS = _("no two training images share a group; set competition.group_column or group_pattern")
NO_TEST_GROUPS = _("no two test images share a group in the tables; decision.groups=clusters builds groups")
TABLE_GROUPS_IMPURE = _("the table's groups are {pure:.1%} pure, below decision.purity={purity}")
CLUSTERS_NEED_GROUPS = _("clusters are fitted on known groups, but no two training images share a group")
CLUSTERS_NEVER_PURE = _("at every similarity, clusters are less than {purity:.0%} pure")
CLUSTERS_IMPURE = _("clusters are impure: {clusters}, below decision.purity={purity}")
CLUSTERS = _("{pure:.1%} pure out of fold, {share:.0%} of images share a cluster with another")
CLUSTERS_OF_TEST = _("clusters (cosine ≥ {similarity:.2f}): {clusters}, measured on parts of about {part} images; the test set has {test}, {share:.0%} of them share a cluster with another")

# Distillation

STUDENT = _("student {student}: OOF {metric} {score:.4f}, {ms:.2f} ms per image; the blend: {blend_score:.4f}, {blend_ms:.2f} ms")
STUDENT_LOSS = _("score lost against the blend: {comparison}")
STUDENT_SPEED = _("time: {times:.1f} times as fast as the blend (batches of 64)")
STUDENT_GAIN = _("compared with the same training on labels ({score:.4f}): {comparison}")
DISTILL_RUN = "`{student}` trained on predictions of {teachers}"
DISTILL_WHY = "can one model replace the blend?"
GBDT_TREES = _("{rounds:.0f} trees on out-of-fold predictions, scored on groups that they never saw; most of the gain: {top}")
GBDT_COLUMNS = _("ensemble.members: gbdt makes trees for at most {most} columns, and predictions have {columns}")
GBDT_COLUMNS_REMEDY = _("leave gbdt out; ensemble.method=stacking combines members of many classes")
