# The whole workflow. `make test` and `make demo` need nothing before them.
PYTHON ?= python3
JOBS ?= $(shell nproc)
# Without a ROS 2 installation: whose wheels to use, kilted or jazzy (in .venv-jazzy).
DISTRO ?= $(or $(ROS_DISTRO),kilted)
export DISTRO
RUN := underlay/run
# One thread a worker: the workers already share the cores.
TEST := OMP_NUM_THREADS=1 $(RUN) python -m pytest --numprocesses=$(JOBS) \
  $(if $(COVERAGE),--cov --cov-config=setup.cfg --cov-report=term)

.DEFAULT_GOAL := help
.PHONY: help env build test demo tables docs gpu latency soak determinism fuzz lint format clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env:  ## create or update .venv with everything (DISTRO=jazzy: the oldest ROS 2, in .venv-jazzy)
	@$(PYTHON) -I underlay/environment.py $(DISTRO)

build: env  ## build messages and package with colcon, into install/
	@$(RUN) colcon $(COLCON_LOG) build $(COLCON_FOLDERS) --symlink-install \
	  --event-handlers console_direct- --packages-select s2m2_ros

# One folder for each distribution of wheels: CMake remembers where it found ROS 2.
ifndef ROS_DISTRO
ifneq ($(DISTRO),kilted)
COLCON_LOG := --log-base build/$(DISTRO)/log
COLCON_FOLDERS := --build-base build/$(DISTRO)/build --install-base build/$(DISTRO)/install
endif
endif

ifdef ROS_DISTRO
test: build  ## run the tests (ARGS="-k name" for some, COVERAGE=1 to count)
else
test: env  ## run the tests (ARGS="-k name" for some, COVERAGE=1 to count)
endif
	@$(TEST) $(ARGS)

ifdef ROS_DISTRO
demo: build  ## real rooms through the node, into demo_output/ (VIEW=1 to look around live)
else
demo: env  ## real rooms through the node, into demo_output/ (VIEW=1 to look around live)
endif
	@$(RUN) s2m2 demo $(if $(VIEW),--view) $(ARGS)

tables: env  ## write config/stereo.yaml, the tables of doc/ and the project's addresses from the code
	@$(RUN) python doc/generate.py

docs: tables  ## the same, and build the site of doc/ into build/docs/ (warnings are errors)
	@$(PYTHON) -I underlay/environment.py $(DISTRO) docs
	@$(RUN) python -m sphinx --fail-on-warning --keep-going --quiet doc build/docs
	@echo 'build/docs/index.html is ready'

# It needs torch and NumPy alone, so it runs with the Python that knows the GPU.
gpu:  ## prove and measure everything on this GPU in ten minutes, into benchmark/results/
	@PYTHONPATH=. $(PYTHON) -m s2m2_ros.cli.main benchmark --report benchmark/results $(ARGS)

latency: env  ## where each millisecond goes from timestamp to cloud, into latency_output/
	@$(RUN) python -m benchmark.latency $(ARGS)

MINUTES ?= 30
soak: env  ## work for MINUTES (30) while listeners come and go; memory must not grow
	@OMP_NUM_THREADS=1 SOAK_MINUTES=$(MINUTES) $(RUN) python -m pytest \
	  test/robustness/test_soak.py -o log_cli=true --log-cli-level=INFO
	@OMP_NUM_THREADS=1 SHUTDOWN_RUNS=60 $(RUN) python -m pytest -o timeout=7200 \
	  test/robustness/test_shutdown.py

determinism: env  ## compare the bytes of every backend of a CPU, the compiled one too (minutes)
	@OMP_NUM_THREADS=1 COMPILED=1 $(RUN) python -m pytest -o timeout=3600 \
	  test/robustness/test_determinism.py

SECONDS_EACH ?= 60
fuzz: env  ## fuzz the readers of files for SECONDS_EACH (60) each
	@for reader in image calibration safetensors pth recording; do \
	  OMP_NUM_THREADS=1 $(RUN) env PYTHONPATH=test$${PYTHONPATH:+:$$PYTHONPATH} \
	    python -m robustness.fuzz $$reader \
	    build/fuzz/$$reader -max_total_time=$(SECONDS_EACH) || exit 1; done

lint: env  ## ruff and mypy
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy

format: env  ## let ruff format and mend what it can
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

clean:  ## remove what was built, but not .venv
	@rm -rf build install log demo_output latency_output
