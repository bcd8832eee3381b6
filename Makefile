# Every target makes the environment that it needs in .venv, by itself.
# On the machine there must be git, make and Python 3.11 or 3.12, nothing else.

PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null \
	&& command -v $$python && break; done)
# Which extra of pyproject.toml brings the libraries: cpu or gpu.
HARDWARE ?= cpu

DEMO ?= demo
# Cut out, so that training starts from the visual hull and is done in minutes.
DEMO_CITY ?= --views 100 --width 200 --height 200 --cutout --street-share 0
DEMO_MINUTES ?= 1.25
DEMO_PORT ?= 8000
# Four blocks from an aerial survey.
DEMO_SURVEY ?= --blocks 2 2 --width 200 --height 200
DEMO_BLOCK_SIZE ?= 72
DEMO_BLOCK_MINUTES ?= 0.75

bin := .venv/bin
city := $(DEMO)/city/transforms.json
checkpoint := $(DEMO)/run/checkpoints/last.ckpt
models := $(DEMO)/model_repository
exported := $(models)/city_native/config.pbtxt
picture := $(DEMO)/city.png
web := $(models)/city_web/1/scene.js
docs := $(DEMO)/docs
survey := $(DEMO)/survey/transforms.json
# Its name is the scene's.
district := $(DEMO)/district
composed := $(district)/exported

# Whose kernels are checked: those of this machine's kind.
processor = $(shell $(bin)/python -c 'from neurocity.kernels import library; print(library.this_processor())')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo demo-build demo-city demo-city-build docs-demo serve triton
.PHONY: test test-slow check kernels check-kernels gpu-check clean-demo

help:
	@echo 'make demo        make a city, train it, export it and serve it at http://127.0.0.1:$(DEMO_PORT)/'
	@echo '                 (DEMO_MINUTES=$(DEMO_MINUTES) of training, DEMO_PORT=$(DEMO_PORT), HARDWARE=cpu or gpu)'
	@echo 'make demo-build  the same without serving it'
	@echo 'make demo-city   photograph a city from the air, train it in four blocks, and serve these as one scene'
	@echo '                 (DEMO_BLOCK_MINUTES=$(DEMO_BLOCK_MINUTES) of training for a block)'
	@echo 'make demo-city-build  the same without serving it'
	@echo 'make docs-demo   the same city in a page that needs no server: $(DEMO)/docs/index.html'
	@echo 'make serve       serve what the demo built'
	@echo 'make triton      start a Triton server on what the demo built'
	@echo 'make test        run the tests (ARGS="-k camera" selects)'
	@echo 'make test-slow   run those that compile or export for long: each family in each format'
	@echo '                 (make test SLOW=yes runs both, but for those marked nightly: what they share is made once)'
	@echo 'make check       lint, formatting, types, import rules, Dockerfile'
	@echo 'make kernels     compile the kernels again where their sources have changed'
	@echo 'make check-kernels  test the kernels with checks of addresses and undefined behaviour'
	@echo 'make gpu-check   train, export, compare and time every family on this machine'\''s GPU, in nine minutes'
	@echo 'make clean-demo  remove what the demo built'

demo: demo-build serve

demo-build: $(picture) $(exported)

demo-city: demo-city-build
	$(bin)/neurocity-serve --repository $(district) --port $(DEMO_PORT)

demo-city-build: $(composed)

# A page that holds the city in a frame, as docs/embedding.md has it.
docs-demo: $(docs)/index.html

serve: $(exported) .venv/installed-$(HARDWARE)
	$(bin)/neurocity-serve --repository $(models) --port $(DEMO_PORT)

triton: $(exported) .venv/installed-$(HARDWARE),triton-server
	$(bin)/python -m serving.tritonserver --repository $(models)

test test-slow: .venv/installed-$(HARDWARE),dev kernels
	$(bin)/pytest -n auto --dist loadfile --no-loadscope-reorder $(markers_of_$@) $(ARGS)

# What a target leaves out.
markers_of_test = -m 'not $(if $(SLOW),nightly,slow)'
markers_of_test-slow = -m slow

check: .venv/installed-$(HARDWARE),dev
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/clang-format --dry-run --Werror $$(git ls-files '*.cpp' '*.hpp')
	$(bin)/mypy
	$(bin)/lint-imports --no-logo
	$(bin)/hadolint Dockerfile

# An editable installation has the libraries in the source tree; those of the same sources are left alone.
kernels: .venv/bin/python
	$(bin)/python -m neurocity.kernels.build

# Python itself is no program of the sanitizer, so that its library has to be loaded before all others; what
# Python never frees is no leak of the kernels, and the sanitizer ends where memory runs out.
check-kernels: .venv/installed-$(HARDWARE),dev kernels
	$(bin)/python -m neurocity.kernels.build --out build/sanitized --sanitize $(processor)
	NEUROCITY_KERNELS=$(CURDIR)/build/sanitized/libneurocity-$(processor).so ASAN_OPTIONS=detect_leaks=0 \
		LD_PRELOAD="$$($${CXX:-c++} -print-file-name=libasan.so) $$($${CXX:-c++} -print-file-name=libstdc++.so)" \
		$(bin)/pytest -n 0 --deselect tests/test_kernels_work.py::test_memory_that_is_not_there_is_told \
		$(ARGS) tests/test_kernels_*.py

# In an environment that has what it takes, `python -m benchmarks.gpu` does without the network.
gpu-check: .venv/installed-gpu kernels
	$(bin)/python -m benchmarks.gpu $(ARGS)

clean-demo:
	rm -rf $(dir $(city)) $(DEMO)/run $(models) $(picture) $(docs) $(dir $(survey)) $(district)

# A finished step is not repeated: its file is there. Remove it with clean-demo to begin anew.

$(city): | .venv/installed-$(HARDWARE)
	$(bin)/neurocity demo-data $(@D) $(DEMO_CITY) --overwrite

$(checkpoint): $(city) | .venv/installed-$(HARDWARE)
	rm -rf $(DEMO)/run
	$(bin)/neurocity train svraster --data $(<D) --out $(DEMO)/run --preset cpu --max-minutes $(DEMO_MINUTES)

$(exported): $(checkpoint) | .venv/installed-$(HARDWARE)
	$(bin)/neurocity-export $< --name city --out $(models) --formats native onnx --force

$(web): $(checkpoint) | .venv/installed-$(HARDWARE)
	$(bin)/neurocity-export $< --name city --out $(models) --formats web --force

$(docs)/index.html: $(web) docs/embedding.html
	rm -rf $(docs)
	mkdir -p $(docs)/city
	cp -r $(addprefix $(<D)/,index.html viewer.js viewer.css scene.js poster.png groups) $(docs)/city
	cp docs/embedding.html $@

$(picture): $(checkpoint) | .venv/installed-$(HARDWARE)
	$(bin)/neurocity render $< --view 0 --out $@

$(survey): | .venv/installed-$(HARDWARE)
	$(bin)/neurocity demo-data $(@D) --survey $(DEMO_SURVEY) --overwrite

$(district)/plan.png: $(survey) | .venv/installed-$(HARDWARE)
	$(bin)/neurocity city plan --data $(<D) --out $(@D) --block-size $(DEMO_BLOCK_SIZE) --overwrite

# Blocks that are trained already are not trained again.
$(composed): $(district)/plan.png | .venv/installed-$(HARDWARE)
	$(bin)/neurocity city train $(@D) --runner local --minutes $(DEMO_BLOCK_MINUTES)
	$(bin)/neurocity-export city $(@D)
	@touch $@

# The stem is a list of extras, such as cpu,dev.
.venv/installed-%: pyproject.toml constraints.txt | .venv/bin/python
	$(bin)/python -m pip install --constraint constraints.txt --editable '.[$*]'
	@touch $@

.venv/bin/python:
	@test -n '$(PYTHON)' || { \
		echo 'NeuroCity needs Python 3.11 or 3.12, and found neither as python3.11, python3.12 or python3.' \
			'Install one, or name it: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || { \
		echo 'NeuroCity needs Python 3.11 or 3.12, and $(PYTHON) is another.' >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
