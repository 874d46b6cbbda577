"""Texts of the home page that a user reads, one a line."""

from pipeline.core.language import _

TITLE = _("Podium: everything that was made here")
KIND_TITLES = {
    "eda": _("data"), "folds": _("folds"), "resample": _("resampling"), "preview": _("images before and after preparation"),
    "ablate": _("ablation"), "learning_curve": _("learning curve"), "robustness": _("robustness"), "cost": _("ensemble: cost and gain of each member"),
    "leaderboard": _("out-of-fold against public scores"), "error_analysis": _("error report: new against best"), "explain": _("what a network looks at"),
    "tuning": _("tuning"), "plans": _("what a budget of time bought"),
}  # fmt: skip
NOTHING = _("Nothing has been made here yet.")
BEST = _("{label}: {metric} {score} out of fold")
NO_RUN = _("No run has a score yet")
ONE_OF = _("The best of {runs:run} on these data and folds: the best of many is partly luck.")
ELSEWHERE = _("{runs:run} with a score on other data or folds {runs:is|are} not compared.")
COMPARED = {
    "better": _("better than {rival}: {delta} [{low}, {high}]"),
    "worse": _("worse than {rival}: {delta} [{low}, {high}]"),
    "unclear": _("can't tell from {rival}: {delta} [{low}, {high}]"),
}
CHANGED = _("changed: {what}")
MADE_WITH = _("made with {words}")
VERDICT_ALONE = _("{verdict}, compared with {rival}")
REPORTED = {
    "better": _("the newer submission is better, compared with {rival}"),
    "worse": _("the newer submission is worse, compared with {rival}"),
    "unclear": _("can't tell from {rival}"),
}
RUNS = _("{command} runs on {host} since {began}")
RUNS_ETA = _("{command} runs on {host} since {began}, about {time} left")
SILENT = _("its last sign of life was at {updated}")
COUNTS = _("{done} of {all} done, {running} running")
COUNTS_FAILED = _("{done} of {all} done, {running} running, {failed} failed")
EPOCH = _("{title}: epoch {epoch} of {epochs}")
FAILED = _("{title} failed")
LOST_KILLED = _("{title} was not finished: {command} was killed")
LOST_STOPPED = _("{title} was not finished: {command} was stopped")
REPEAT = _("What is finished is kept. Repeat the command, it builds only what is missing:")
MENDED = _("The same command would fail again. With a setting that may mend it:")
LEFT_TODAY = _("{left} of {limit}")
HISTORY = _("Out-of-fold {metric} of each finished run, in order of time, with its 95 % interval")
HISTORY_X = _("finished runs in order of time")
LEARNING = _("Loss by epoch of the newest training, {label}, mean over its folds")
TRAIN_LOSS, VALID_LOSS, EPOCHS, LOSS = _("training"), _("validation"), _("epoch"), _("loss")
NO_SUBMISSION = _("No submission has been written yet.")
NOT_FINISHED = _("the home page was not written: {kind}: {reason}; results are not affected")
PRINTED = _("home page: {path}")
RECORD = _("MLflow: {command}, then open {link}")
SERVED = _("http://{host}:{port}/ shows what runs now (Ctrl-C ends)")
STAGES = {"train": _("train {label}"), "infer": _("infer {label}"), "refit": _("refit {label}"), "distill": _("distill {label}")}
BLEND = _("blend {key}")
STATES = {"better": _("better"), "worse": _("worse"), "unclear": _("can't tell")}
INTERVAL = _("{low} to {high}")
NOT_WRITTEN = _("{path} could not be written")
NOT_WRITTEN_REMEDY = _("the line above says why")
