# One target per stage; `make help` lists them. ARGS="competition=digits train.epochs=10" overrides any setting.
# The environment is found or built by tools/bootstrap.py, so every target works in a fresh clone.

PYTHON ?= python3
PORT ?= 5000
DB ?= mlflow.db
STUDIES ?= optuna.db
ARGS ?=
# Asked once, when the first recipe needs it: after `env` has built what was missing.
PY = $(eval PY := "$$(shell $$(PYTHON) tools/bootstrap.py --path)/bin/python")$(PY)
PIPELINE = $(PY) -m pipeline
PYTEST = $(PY) -m pytest $(TESTS)
TESTS ?=
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help install env new all eda folds resample preview models train ablate infer refit distill learning-curve \
	robustness tune dashboard ensemble error-analysis explain score leaderboard pin-best final validate submit reproduce \
	runs ui \
	config du gc pin \
	check test test-slow test-browser test-gpu test-lowest lock clean

help:  ## this list
	@echo 'make TARGET [ARGS="key=value ..."]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' Makefile

install:  ## build the environment, or find it; prints where it is
	@$(PYTHON) tools/bootstrap.py

env:
	@$(PYTHON) tools/bootstrap.py > /dev/null

new: env  ## describe a competition: NAME=pets TRAIN=train.csv IMAGES=dir TEST=… SAMPLE=…; no TRAIN: a folder per class
	@$(PIPELINE) new --name "$(NAME)" --images "$(IMAGES)" $(if $(TRAIN),--train "$(TRAIN)") \
		$(if $(TEST),--test "$(TEST)") $(if $(SAMPLE),--sample "$(SAMPLE)") $(ARGS)

all: env  ## everything, EDA to error analysis, then a summary
	@$(PIPELINE) all $(ARGS)

eda: env  ## report on the data, worst harm first
	@$(PIPELINE) eda $(ARGS)

folds: env  ## the fold plan, its health, and whether it is sound: ARGS="folds.kind=repeated folds.repeats=3"
	@$(PIPELINE) folds $(ARGS)

resample: env  ## report of class counts before and after resampling
	@$(PIPELINE) resample $(ARGS)

preview: env  ## what training sees: cropped, preprocessed, augmented
	@$(PIPELINE) preview $(ARGS)

models: env  ## what networks cost on this machine, before any training: NAMES="resnet18 torchvision:alexnet"
	@$(PIPELINE) models $(if $(NAMES),--names "$(NAMES)") $(ARGS)

train: env  ## train the folds of an experiment: ARGS="experiment=small_cnn"
	@$(PIPELINE) train $(ARGS)

ablate: env  ## train a grid of settings and compare its arms: GRID=configs/ablate/resample_quick.yaml
	@$(PIPELINE) ablate --grid "$(GRID)" $(ARGS)

infer: env  ## predict the test set over all views, write a submission
	@$(PIPELINE) infer $(ARGS)

refit: env  ## train an experiment on all data, write a submission: ARGS="experiment=lite0"
	@$(PIPELINE) refit $(ARGS)

distill: env  ## one student taught by the ensemble's members, beside the blend: ARGS="experiment=probe_mlp"
	@$(PIPELINE) distill $(ARGS)

learning-curve: env  ## score against the number of training groups: ARGS="experiment=probe"
	@$(PIPELINE) learning-curve $(ARGS)

robustness: env  ## score under growing blur, noise, JPEG, brightness: ARGS="experiment=lite0"
	@$(PIPELINE) robustness $(ARGS)

tune: env  ## search a stage's settings and test the winner again: STAGE=tta TRIALS=50 TIMEOUT=1h JOBS=2; STAGE=all BUDGET=30m
	@$(PIPELINE) tune --stage "$(STAGE)" $(if $(TRIALS),--trials="$(TRIALS)") $(if $(TIMEOUT),--timeout="$(TIMEOUT)") \
		$(if $(BUDGET),--budget="$(BUDGET)") $(if $(JOBS),--jobs="$(JOBS)") $(if $(SPACE),--space "$(SPACE)") \
		$(if $(STUDY),--study "$(STUDY)") $(ARGS)

dashboard: env  ## Optuna's dashboard over all searches, on this machine only: PORT=8080, STUDIES=optuna.db
	@test -n "$$OPTUNA_STORAGE" || test -f "$(STUDIES)" || { echo "$(STUDIES): nothing was tuned yet; make tune"; exit 2; }
	@exec $(PY) -W ignore -c "from optuna_dashboard._cli import main; main()" "$${OPTUNA_STORAGE:-sqlite:///$(STUDIES)}" \
		--host 127.0.0.1 --port $(if $(filter-out file,$(origin PORT)),$(PORT),8080)

ensemble: env  ## soft-vote finished members, write their submission
	@$(PIPELINE) ensemble $(ARGS)

error-analysis: env  ## new submission against the best one: A=new.csv B=best.csv, or neither; VERDICTS=judged.csv
	@$(PIPELINE) error-analysis $(if $(A),--a "$(A)") $(if $(B),--b "$(B)") $(if $(VERDICTS),--verdicts "$(VERDICTS)") $(ARGS)

explain: env  ## what a network looks at: ID=17,test/4 RUN=lite0 WHAT=cam,occlusion FOLD=0; nothing: the worst errors
	@$(PIPELINE) explain $(if $(ID),--id "$(ID)") $(if $(RUN),--run "$(RUN)") $(if $(WHAT),--what "$(WHAT)") \
		$(if $(FOLD),--fold $(FOLD)) $(ARGS)

score: env  ## score submissions: FILE=… PUBLIC=0.71 PRIVATE=0.70 notes the host's; REVEAL=1 shows the demo's private
	@$(PIPELINE) score $(if $(FILE),--file "$(FILE)") $(if $(PUBLIC),--public $(PUBLIC)) \
		$(if $(PRIVATE),--private $(PRIVATE)) $(if $(REVEAL),--reveal) $(ARGS)

validate: env  ## would the host take this CSV? FILE=any.csv; OUT=mended.csv writes it in the sample's form
	@$(PIPELINE) validate --file "$(FILE)" $(if $(OUT),--out "$(OUT)") $(ARGS)

submit: env  ## validate FILE=…, compare with the best, ask, hand in: MESSAGE="…"; YES=1 does not ask
	@$(PIPELINE) submit --file "$(FILE)" $(if $(MESSAGE),--message "$(MESSAGE)") $(if $(YES),--yes) $(ARGS)

reproduce: env  ## rebuild FILE=… from its provenance, and compare: SCRATCH=1 reuses nothing, ANYWAY=1 with other keys
	@$(PIPELINE) reproduce --file "$(FILE)" $(if $(SCRATCH),--scratch) $(if $(ANYWAY),--anyway) $(ARGS)

leaderboard: env  ## out-of-fold against public scores, and why they differ: NAME=… looks into that submission
	@$(PIPELINE) leaderboard $(if $(NAME),--name "$(NAME)") $(ARGS)

pin-best: env  ## mark the best submission by hand: NAME=…, or NAME=none
	@$(PIPELINE) pin-best --name "$(NAME)" $(ARGS)

final: env  ## propose the submissions to select in the end: N=2
	@$(PIPELINE) final $(if $(N),--n $(N)) $(ARGS)

runs: env  ## table of finished experiments: score, interval, what differs
	@$(PIPELINE) runs $(ARGS)

ui: env  ## serve the MLflow UI on this machine only: PORT=5000 DB=mlflow.db
	@test -z "$$MLFLOW_TRACKING_URI" || \
		{ echo "runs are recorded at $$MLFLOW_TRACKING_URI: open that, or unset MLFLOW_TRACKING_URI"; exit 2; }
	@test -f "$(DB)" || { echo "$(DB): nothing was recorded yet; make all"; exit 2; }
	@$(PY) -c "import pathlib; from pipeline.record.board import links; \
		print('in about ten seconds, open', *links(pathlib.Path('$(DB)'), $(PORT)), '(Ctrl-C ends)', sep='\n  ')"
	@PYTHONWARNINGS=ignore MLFLOW_LOGGING_LEVEL=WARNING exec $(PY) -m mlflow ui --backend-store-uri "sqlite:///$(DB)" \
		--host 127.0.0.1 --port $(PORT) --workers 1 --uvicorn-opts "--log-level warning"

config: env  ## resolved settings and where each came from
	@$(PIPELINE) config $(ARGS)

du: env  ## disk space by kind of result
	@$(PIPELINE) du $(ARGS)

gc: env  ## free results that no submission or pin needs; DRY=1 only tells
	@$(PIPELINE) gc $(if $(DRY),--dry) $(ARGS)

pin: env  ## keep a result from gc: KEY=start of a key in `make runs`
	@$(PIPELINE) pin --key "$(KEY)" $(ARGS)

check: env  ## lint, format, types and the architecture test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PYTEST) tests/test_architecture.py

test: env  ## the default tests; TESTS="-k folds" picks some
	OMP_NUM_THREADS=1 $(PYTEST) -n 2 --dist loadfile -m "not slow and not browser and not gpu"

test-slow: env  ## the whole pipeline on small real data, kill and resume
	$(PYTEST) -m "slow and not browser and not gpu"

test-browser: env  ## Chromium over reports and the MLflow UI
	$(PYTEST) -m "browser and not gpu"

test-gpu: env  ## what needs a CUDA device; says so where there is none
	$(PYTEST) -m gpu

lock: env  ## pin the whole tree of dependencies anew: UPGRADE=--upgrade takes newer ones
	$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(UPGRADE) \
		pyproject.toml --output-file requirements.lock

test-lowest: env  ## the default tests on the oldest libraries that pyproject.toml allows, torch aside
	@$(PY) tools/lowest.py $(TESTS)

clean:  ## remove caches and temporary files; never a result
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
	@rm -rf .pytest_cache .mypy_cache .ruff_cache build dist podium.egg-info
