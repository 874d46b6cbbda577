# One target per command; `make help` lists them, `make` alone says what fits now. ARGS="competition=digits train.epochs=10" overrides any setting.
# tools/bootstrap.py finds or builds the environment, so every target works in a fresh clone.

PYTHON ?= python3
PORT ?= 5000
DB ?= mlflow.db
STUDIES ?= optuna.db
ARGS ?=
# Evaluated once, when the first recipe needs it: after `env` has built the environment if it was missing.
PY = $(eval PY := "$$(shell $$(PYTHON) tools/bootstrap.py --path)/bin/python")$(PY)
PIPELINE = $(PY) -m pipeline
PYTEST = $(PY) -m pytest $(TESTS)
TESTS ?=
export MLFLOW_DISABLE_TELEMETRY := true

# A variable that nothing reads would be ignored silently. Names with `_` may be meant for other programs.
VARIABLES = A ANYWAY ARGS B BUDGET DB DRY ENCODING FILE FOLD FORMAT GRID GROUP HIDDEN HOST_PYTHON ID \
	IMAGES IMAGE_TABLE INT8 JOBS KEY LABEL LIMIT MESSAGE MODEL N NAME NAMES NEW OLDEST OUT PORT \
	PORTFOLIO PRIVATE PUBLIC PYTHON REVEAL ROOT RUN SAMPLE SCRATCH SOURCE SPACE STAGE STUDIES STUDY \
	TABLE TARGET TEST TESTS TIME TIMEOUT TRAIN TRIALS UPGRADE VERDICTS WHAT WHEELS YES
UNKNOWN := $(strip $(foreach v,$(filter-out $(VARIABLES),$(.VARIABLES)),$(if $(filter command,$(origin $v)),$(if \
	$(findstring _,$v),,$v))))
$(if $(UNKNOWN),$(error $(UNKNOWN): no command reads this variable; `make help` lists them, settings go into ARGS="key=value"))

.DEFAULT_GOAL := now
.PHONY: now help install env new use all eda folds resample preview models train ablate infer refit distill learning-curve \
	robustness tune dashboard ensemble improve error-analysis explain score leaderboard pin-best final validate submit reproduce \
	predict oof bundle export weights home serve runs ui notebook \
	config du gc pin \
	check test test-slow test-browser test-gpu test-lowest lock translations clean

now:
	@$(PYTHON) pipeline/home/now.py $(ARGS)

help:
	@$(PYTHON) pipeline/help.py

install:
	@$(PYTHON) tools/bootstrap.py

env:
	@$(PYTHON) tools/bootstrap.py > /dev/null

new: env
	@$(PIPELINE) new --name "$(NAME)" --images "$(IMAGES)" $(if $(TRAIN),--train "$(TRAIN)") \
		$(if $(TEST),--test "$(TEST)") $(if $(SAMPLE),--sample "$(SAMPLE)") \
		$(if $(LABEL),--label "$(LABEL)") $(if $(GROUP),--group "$(GROUP)") $(if $(ENCODING),--encoding "$(ENCODING)") \
		$(if $(TARGET),--target "$(TARGET)") $(if $(IMAGE_TABLE),--image-table "$(IMAGE_TABLE)") $(ARGS)

use: env
	@$(PIPELINE) use $(if $(NAME),--name "$(NAME)") $(ARGS)

all: env
	@$(PIPELINE) all $(if $(TIME),--time="$(TIME)") $(if $(PORTFOLIO),--portfolio "$(PORTFOLIO)") $(ARGS)

eda: env
	@$(PIPELINE) eda $(ARGS)

folds: env
	@$(PIPELINE) folds $(if $(OUT),--out "$(OUT)") $(ARGS)

resample: env
	@$(PIPELINE) resample $(ARGS)

preview: env
	@$(PIPELINE) preview $(ARGS)

models: env
	@$(PIPELINE) models $(if $(NAMES),--names "$(NAMES)") $(ARGS)

train: env
	@$(PIPELINE) train $(if $(NAME),--name "$(NAME)") $(if $(TIME),--time="$(TIME)") \
		$(if $(PORTFOLIO),--portfolio "$(PORTFOLIO)") $(ARGS)

ablate: env
	@$(PIPELINE) ablate --grid "$(GRID)" $(ARGS)

infer: env
	@$(PIPELINE) infer $(if $(NAME),--name "$(NAME)") $(ARGS)

refit: env
	@$(PIPELINE) refit $(ARGS)

distill: env
	@$(PIPELINE) distill $(ARGS)

learning-curve: env
	@$(PIPELINE) learning-curve $(ARGS)

robustness: env
	@$(PIPELINE) robustness $(ARGS)

tune: env
	@$(PIPELINE) tune --stage "$(STAGE)" $(if $(TRIALS),--trials="$(TRIALS)") $(if $(TIME),--time="$(TIME)") \
		$(if $(TIMEOUT),--timeout="$(TIMEOUT)") $(if $(BUDGET),--budget="$(BUDGET)") $(if $(JOBS),--jobs="$(JOBS)") $(if $(SPACE),--space "$(SPACE)") \
		$(if $(STUDY),--study "$(STUDY)") $(ARGS)

dashboard: env
	@$(PY) -m pipeline.record.serve dashboard --file "$(STUDIES)" --port "$(if $(filter-out file,$(origin PORT)),$(PORT),8080)"

ensemble: env
	@$(PIPELINE) ensemble $(if $(TIME),--time="$(TIME)") $(if $(PORTFOLIO),--portfolio "$(PORTFOLIO)") $(ARGS)

improve: env
	@$(PIPELINE) improve --time="$(TIME)" $(ARGS)

error-analysis: env
	@$(PIPELINE) error-analysis $(if $(A),--a "$(A)") $(if $(B),--b "$(B)") $(if $(VERDICTS),--verdicts "$(VERDICTS)") $(if $(LABEL),--label "$(LABEL)") $(ARGS)

explain: env
	@$(PIPELINE) explain $(if $(ID),--id "$(ID)") $(if $(RUN),--run "$(RUN)") $(if $(WHAT),--what "$(WHAT)") \
		$(if $(FOLD),--fold $(FOLD)) $(if $(LABEL),--label "$(LABEL)") $(ARGS)

score: env
	@$(PIPELINE) score $(if $(FILE),--file "$(FILE)") $(if $(PUBLIC),--public $(PUBLIC)) \
		$(if $(PRIVATE),--private $(PRIVATE)) $(if $(REVEAL),--reveal) $(ARGS)

validate: env
	@$(PIPELINE) validate --file "$(FILE)" $(if $(OUT),--out "$(OUT)") $(ARGS)

submit: env
	@$(PIPELINE) submit --file "$(FILE)" $(if $(MESSAGE),--message "$(MESSAGE)") $(if $(YES),--yes) $(if $(DRY),--dry) $(ARGS)

reproduce: env
	@$(PIPELINE) reproduce --file "$(FILE)" $(if $(SCRATCH),--scratch) $(if $(ANYWAY),--anyway) $(ARGS)

predict: env
	@$(PIPELINE) predict --file "$(FILE)" --images "$(IMAGES)" $(if $(ROOT),--root "$(ROOT)") $(if $(TABLE),--table "$(TABLE)") $(if $(OUT),--out "$(OUT)") $(ARGS)

bundle: env
	@$(PIPELINE) bundle --file "$(FILE)" $(if $(LIMIT),--limit "$(LIMIT)") $(if $(OUT),--out "$(OUT)") \
		$(if $(WHEELS),--wheels "$(WHEELS)") $(if $(HOST_PYTHON),--python "$(HOST_PYTHON)") \
		$(if $(HIDDEN),--hidden "$(HIDDEN)") $(if $(TEST),--test "$(TEST)") $(if $(OLDEST),--oldest) $(ARGS)

export: env
	@$(PIPELINE) export --file "$(FILE)" $(if $(FORMAT),--format "$(FORMAT)") $(if $(OUT),--out "$(OUT)") \
		$(if $(INT8),--int8) $(if $(IMAGES),--images "$(IMAGES)") $(ARGS)

weights: env
	@$(PIPELINE) weights --model "$(MODEL)" $(if $(SOURCE),--source "$(SOURCE)") $(if $(OUT),--out "$(OUT)") $(ARGS)

oof: env
	@$(PIPELINE) oof --file "$(FILE)" $(if $(OUT),--out "$(OUT)") $(ARGS)

leaderboard: env
	@$(PIPELINE) leaderboard $(if $(NAME),--name "$(NAME)") $(ARGS)

pin-best: env
	@$(PIPELINE) pin-best --name "$(NAME)" $(ARGS)

final: env
	@$(PIPELINE) final $(if $(N),--n $(N)) $(ARGS)

home: env
	@$(PIPELINE) home $(ARGS)

serve: env
	@$(PIPELINE) serve --port "$(if $(filter-out file,$(origin PORT)),$(PORT),8000)" $(ARGS)

runs: env
	@$(PIPELINE) runs $(ARGS)

ui: env
	@$(PY) -m pipeline.record.serve ui --file "$(DB)" --port "$(PORT)"

notebook: env
	@$(PY) tools/notebooks.py lab $(ARGS)

config: env
	@$(PIPELINE) config $(ARGS)

du: env
	@$(PIPELINE) du $(ARGS)

gc: env
	@$(PIPELINE) gc $(if $(DRY),--dry) $(ARGS)

pin: env
	@$(PIPELINE) pin --key "$(KEY)" $(ARGS)

check: env
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PYTEST) tests/test_architecture.py

test: env
	OMP_NUM_THREADS=1 $(PYTEST) -n 2 --dist loadfile -m "not slow and not browser and not gpu"

test-slow: env
	OMP_NUM_THREADS=1 $(PYTEST) -n 2 --dist loadfile -m "slow and not browser and not gpu"

test-browser: env
	$(PYTEST) -m "browser and not gpu"

test-gpu: env
	$(PYTEST) -m gpu

lock: env
	$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --extra demo --extra ray --extra s3 --extra gbdt --extra export --extra test --no-annotate \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(UPGRADE) \
		pyproject.toml --output-file requirements.lock

translations: env
	@$(PY) tools/translations.py $(NEW)

test-lowest: env
	@$(PY) tools/lowest.py $(TESTS)

clean:
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
	@rm -rf .pytest_cache .mypy_cache .ruff_cache build dist podium.egg-info
