# Two commands on a fresh machine: `make demo` and `make test`. Needs Python >= 3.10 with venv.

PYTHON ?= python3
DATA_ROOT ?= $(CURDIR)/data
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# opencv-python wants libGL from the system; where that is missing its headless twin takes its place.
CV2 = .venv/bin/python -c 'import cv2' 2>/dev/null || { \
	.venv/bin/python -m pip uninstall --quiet -y opencv-python && \
	$(PIP) opencv-python-headless && .venv/bin/python -c 'import cv2'; }

.PHONY: demo docs test test-clusters explore mutants fuzz kills lint advisories installs clean

demo: .venv/installed
	@DATA_ROOT="$(DATA_ROOT)" bash posepile/ds/aspset/main.sh --miniature
	@echo "Look around: source .venv/bin/activate; export DATA_ROOT='$(DATA_ROOT)'; posepile view aspset"

test: .venv/installed-tests
	.venv/bin/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

# Dask and Slurm on this machine, and object storage against a local S3 server (moto's).
CLUSTERS = $(addprefix tests/test_,$(addsuffix .py,cluster_runs crew dask_addresses dask_backend far_raw kept remote silent_stores slurm_backend stand_ins upload))
test-clusters: .venv/installed-clusters
	MOTO_SERVER="$(CURDIR)/.venv/moto/bin/moto_server" .venv/bin/python -m pytest --numprocesses 2 --dist loadfile $(CLUSTERS)

# The same with other examples of the property tests, which `make test` draws alike every time.
explore: .venv/installed-tests
	HYPOTHESIS=explore .venv/bin/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

# Can the contract test fail? Plants faults in every dataset's output; minutes.
mutants: .venv/installed-tests
	.venv/bin/python -m posepile.checking.mutants

# Runs killed 200 times at random moments and resumed must leave the same bytes; half an hour.
kills: .venv/installed-tests
	.venv/bin/python -m posepile.checking.kills

# A thousand damaged files for everything that reads files of others; some minutes.
FUZZ = --inputs 1000
fuzz: .venv/installed-tests
	.venv/bin/python tests/fuzzing/run.py $(FUZZ)

docs: .venv/installed-tests
	.venv/bin/mkdocs build --strict

lint: .venv/installed-tests
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/shellcheck -x -P SCRIPTDIR .ci/run $$(find posepile -name '*.sh')

# The wheel, installed and used on every Python that is named, in new environments; some minutes each.
PYTHONS ?= $(PYTHON)
installs: .venv/installed-tests
	.venv/bin/python tests/installs.py --uvx $(PYTHONS)

# Known vulnerabilities of the locked versions, where a database of advisories can be reached.
advisories: .venv/installed-tests
	$(PIP) pip-audit
	.venv/bin/pip-audit --no-deps --disable-pip -r constraints.txt

.venv/installed: pyproject.toml setup.py constraints.txt
	@echo "Installing PosePile into .venv (about 1 GB, some minutes) …"
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@$(PIP) -e .
	@$(CV2)
	@touch $@

.venv/installed-tests: .venv/installed
	@echo "Installing what tests need into .venv (some more minutes) …"
	@$(PIP) -e '.[test]'
	@$(CV2)
	@touch $@

.venv/installed-clusters: .venv/installed-tests tests/moto.txt
	@$(PIP) -e '.[dask,slurm,s3]'
	@test -x .venv/moto/bin/python || .venv/bin/python -m venv .venv/moto
	@.venv/moto/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/moto.txt
	@touch $@

clean:
	rm -rf .venv data build site *.egg-info
