# Commands on a fresh machine with Python 3.11: `make demo`, `make seeds`, `make test` and `make bench`.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
DEVELOPERS := .venv/.installed-for-developers
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

.PHONY: demo demo-run question-only-run seeds test bench bench-gpu soak paper paper-root docs-figures clean
.DELETE_ON_ERROR:

# A stamp file records the last installation, so that a second call installs nothing. All commands run with the first;
# models of Hugging Face need transformers, too (docs/foreign.md). The second is for tests and benchmarks, and holds both.
$(STAMP): EXTRAS := caffe,download,serve,workspace
$(DEVELOPERS): EXTRAS := dev
$(STAMP) $(DEVELOPERS): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "lookwhy needs Python 3.11 or newer: make PYTHON=python3.x"; exit 2; }
	@$(BIN)/pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	$(INSTALL) -e '.[$(EXTRAS)]'
# All cores compile to bytecode, where pip would use one. Some packages bring templates that do not compile.
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true
	@touch $(STAMP) $@

# Small steps gain little from a second thread: each command of the demo uses one, and so its results do not depend on
# the number of cores.
ONE_THREAD := OMP_NUM_THREADS=1 $(BIN)/python

data/shapes/data_img.h5: | $(STAMP)
	$(ONE_THREAD) data/prepare.py shapes --out data/shapes

# The question-only run sees no picture, so it has no image methods and no example pictures; its words change little, so
# it is analysed in the middle and at the end only.
QUESTION_ONLY := --model.head.init_args.use_image false --trainer.max_epochs 8 --analysis.epochs '[3, 7]' \
	--analysis.plan.image_methods '[]' --analysis.plan.num_examples 0

# Train twice on the shapes world, beside each other, and write the page that compares both.
demo: $(STAMP) data/shapes/data_img.h5
	@$(MAKE) --no-print-directory -j2 demo-run question-only-run
	@$(BIN)/python analyze.py compare $$(ls -td runs/demo*/ | head -n 1) $$(ls -td runs/question_only*/ | head -n 1) \
		--out report.html

demo-run: data/shapes/data_img.h5
	$(ONE_THREAD) train.py --config configs/shapes.yaml --name demo

question-only-run: data/shapes/data_img.h5
	@mkdir -p runs
	@echo "beside it, a training that sees no picture; what it prints: runs/question_only.log"
	@$(ONE_THREAD) train.py --config configs/shapes.yaml --name question_only $(QUESTION_ONLY) \
		> runs/question_only.log 2>&1 || { code=$$?; tail -n 3 runs/question_only.log; exit $$code; }

# The demo's config with several seeds, at most two trainings beside each other, then mean and spread over the seeds
# (docs/seeds.md). Interrupted, the same command goes on: finished seeds are skipped, and others continue at their last
# checkpoint. Fewer seeds: make seeds SEEDS='1 2 3'; another config of the shapes world:
# make seeds CONFIG=configs/shapes_san.yaml GROUP=san
SEEDS ?= 1 2 3 4 5
CONFIG ?= configs/shapes.yaml
GROUP ?= demo
seeds: $(STAMP) data/shapes/data_img.h5
	@mkdir -p runs
	@$(MAKE) --no-print-directory -j2 $(SEEDS:%=runs/$(GROUP)-seed%/metrics.json)
	@$(BIN)/python analyze.py summary $(SEEDS:%=runs/$(GROUP)-seed%) --out runs/$(GROUP)-seeds.csv

# The file that a training writes last. A folder without a checkpoint holds nothing to continue with.
runs/$(GROUP)-seed%/metrics.json:
	@test -e $(@D)/checkpoints/last.ckpt || rm -rf $(@D)
	@echo "seed $*: what its training prints: runs/$(GROUP)-seed$*.log"
	@$(ONE_THREAD) train.py --config $(CONFIG) --name $(GROUP)-seed$* --group $(GROUP) --seed_everything $* \
		$$(test ! -e $(@D)/checkpoints/last.ckpt || echo --ckpt_path last) \
		>> runs/$(GROUP)-seed$*.log 2>&1 || { code=$$?; tail -n 3 runs/$(GROUP)-seed$*.log; exit $$code; }

# Files of tests run beside each other in as many processes; tests that measure time want a core each. One of the tests
# is mypy (tests/test_types.py).
PROCESSES ?= 2
test: $(DEVELOPERS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

# Speed ratios on one thread, each with its limit; installs Captum and takes half an hour. With a figure:
# make bench FLAGS='--plot docs/performance.png'
bench: $(STAMP)
	$(INSTALL) -e '.[bench]'
	$(BIN)/python -m benchmarks $(FLAGS)

# The same on a GPU, beside Captum, in four minutes (docs/performance.md).
bench-gpu: $(STAMP)
	$(INSTALL) -e '.[bench]'
	$(BIN)/python -m benchmarks.gpu $(FLAGS)

# What users meet, tried on purpose: wrong input, damaged files, kills, signals, full disks, useless servers, several
# processes, 2,000 epochs; takes hours (docs/reliability.md). A part, or a draw of a few minutes:
# make soak FLAGS='--only killed --jobs 2', make soak FLAGS='--most 2 --epochs 200'
soak: $(DEVELOPERS)
	$(BIN)/python -m benchmarks.soak $(FLAGS)

# Goyal et al. 2016 from nothing: downloads, trains, analyses; the same command goes on where it stopped (docs/paper.md):
# make paper ROOT=DIR [BASE_URL=MIRROR] [FLAGS='--device cpu']
paper: paper-root $(STAMP)
	$(BIN)/python analyze.py paper --root "$(ROOT)" $(if $(BASE_URL),--base-url "$(BASE_URL)") $(FLAGS)

paper-root:
	@test -n "$(ROOT)" || { echo "make paper needs a folder to download to: make paper ROOT=DIR"; exit 2; }

# The pictures in README and docs; docs/figures.md explains how to make the runs that they need.
DOCS_RUNS ?= runs/demo runs/shapes_san
DOCS_NAMES ?= DeeperLSTM SAN
DOCS_QUESTION ?= 500036000
docs-figures: $(STAMP)
	$(BIN)/python analyze.py figures $(DOCS_RUNS) --names $(DOCS_NAMES) --question $(DOCS_QUESTION) --out runs/figures
	cp runs/figures/agreement.png docs/agreement.png
	cp runs/figures/$(firstword $(DOCS_NAMES))/example_$(DOCS_QUESTION).png docs/example.png

clean:
	rm -rf .venv data/shapes runs report.html
