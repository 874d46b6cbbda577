"""Texts of the home page that a user reads, one a line."""

TITLE = "Podium: everything that was made here"
KIND_TITLES = {
    "eda": "data", "folds": "folds", "resample": "resampling", "preview": "images before and after preparation",
    "ablate": "ablation", "learning_curve": "learning curve", "robustness": "robustness", "cost": "ensemble: cost and gain of each member",
    "leaderboard": "out-of-fold against public scores", "error_analysis": "error report: new against best", "explain": "what a network looks at",
    "tuning": "tuning", "plans": "what a budget of time bought",
}  # fmt: skip
NOTHING = "Nothing has been made here yet."
BEST = "{label}: {metric} {score} out of fold"
NO_RUN = "No run has a score yet"
ONE_OF = "The best of {runs:run} on these data and folds: the best of many is partly luck."
ELSEWHERE = "{runs:run} with a score on other data or folds {runs:is|are} not compared."
BETTER_BY = "{verdict} than {rival}: {delta} [{low}, {high}]"
CANNOT_TELL = "can't tell from {rival}: {delta} [{low}, {high}]"
VERDICT_ALONE = "{verdict}, compared with {rival}"
REPORTED = "the newer submission is {verdict}, compared with {rival}"
REPORTED_UNCLEAR = "can't tell from {rival}"
RUNS = "{command} runs on {host} since {began}"
RUNS_ETA = ", about {time} left"
SILENT = "its last sign of life was at {updated}"
COUNTS = "{done} of {all} done, {running} running{failed}"
COUNT_FAILED = ", {n} failed"
EPOCH = "{title}: epoch {epoch} of {epochs}"
FAILED = "{title} failed"
LOST = "{title} was not finished: {command} {how}"
KILLED, STOPPED = "was killed", "was stopped"
REPEAT = "What is finished is kept. Repeat the command, it builds only what is missing:"
LEFT_TODAY = "{left} of {limit}"
HISTORY = "Out-of-fold {metric} of each finished run, in order of time, with its 95 % interval"
HISTORY_X = "finished runs in order of time"
LEARNING = "Loss by epoch of the newest training, {label}, mean over its folds"
TRAIN_LOSS, VALID_LOSS, EPOCHS, LOSS = "training", "validation", "epoch", "loss"
NO_SUBMISSION = "No submission has been written yet."
NOT_FINISHED = "the home page was not written: {kind}: {reason}; results are not affected"
PRINTED = "home page: {path}"
RECORD = "MLflow: {command}, then open {link}"
SERVED = "http://{host}:{port}/ shows what runs now (Ctrl-C ends)"
