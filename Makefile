# `make help` explains each target; `make demo` and `make test` need nothing but Python 3.11+.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FILE ?=
EDGE ?=
READY := $(VENV)/.ready
# Tests wait for processes and sockets much of the time.
PARALLEL ?= $(shell expr $$(nproc) + 1)
# QEMU's driver for http, in a directory that is named after the architecture.
CURL_DRIVER := /usr/lib/*/qemu/block-curl.so
# `make test-all` runs the tests marked `thorough` with the others, which share what is expensive to start, and in place
# of their short forms.
SELECTED := -m "not $(if $(filter test-all,$(MAKECMDGOALS)),shallow,thorough)"
BROWSER := tests/browser/node_modules/.package-lock.json

.PHONY: help demo run test test-all system browser lint lint-code lint-files lint-template docs unit live pictures thorough test-postgres coverage races kills bench-catalog bench-catalog-postgres bench-memory bench-streaming bench-control bench-prefetch bench-convert bench-jobs bench-zeros bench-deltas bench-nbd soak soak-nbd format lock pin-images sbom release clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 24

demo: $(READY) ## Send an image (FILE=path, or a sample) through the service and back, and compare
	@$(BIN)/image-gateway demo $(if $(FILE),--file "$(FILE)")

run: $(READY) ## Run store and gateway on :3000 until Ctrl-C (EDGE=true: nginx in front); data stay in .image-gateway/
	@$(BIN)/image-gateway dev $(if $(filter true 1 yes,$(EDGE)),--edge)

test: system lint unit live ## Lint, unit tests, tests with a real store: what any change can break

test-all: test test-postgres ## `make test` with the tests marked `thorough`, then PostgreSQL

system: ## Install the system packages that the tests need, as far as that is allowed
	@sh requirements/system-packages.sh nginx=nginx qemu-nbd=qemu-utils qemu-img=qemu-utils redis-server=redis-server
	@sh requirements/system-packages.sh chromium=chromium node=nodejs npm=npm /usr/share/seabios/bios.bin=seabios
	@sh requirements/system-packages.sh curl=curl aria2c=aria2 $(or $(wildcard $(CURL_DRIVER)),block-curl.so)=qemu-block-extra
	@sh requirements/system-packages.sh qemu-io=qemu-utils nbdinfo=libnbd-bin fio=fio mkfs.ext4=e2fsprogs busybox=busybox
	@sh requirements/system-packages.sh linux.uml=user-mode-linux slirp-fullbolt=slirp nbd-client=nbd-client

browser: $(BROWSER) ## Install the packages of npm that lint and the tests in a browser need, as far as npm is there

lint: $(READY) browser ## ruff, mypy, import contracts, Dockerfile, nginx, CloudFormation, JavaScript and documentation
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint-code docs lint-template lint-files

lint-code: $(READY) ## ruff, mypy and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lint-files: $(READY) browser ## Dockerfile, nginx and JavaScript
	$(BIN)/hadolint Dockerfile
	$(BIN)/python deploy/check_edge.py
	sh requirements/check-javascript.sh image_gateway/console

lint-template: $(READY) ## cfn-lint and checkov over the template of CloudFront
	@sh requirements/check-template.sh $(VENV) $(VENV)-template

docs: $(READY) ## Build the documentation site into docs/_build/html; warnings and broken internal links are errors
	$(BIN)/sphinx-build -q -E -W --keep-going -n -b html -d docs/_build/doctrees docs docs/_build/html

unit: $(READY) ## Tests that need no store
	$(BIN)/pytest -q -n $(PARALLEL) --dist loadgroup --ignore=tests/live $(SELECTED)

live: $(READY) browser ## Tests with real gunicorn processes and a real store
	$(BIN)/pytest -q -n $(PARALLEL) --dist loadfile tests/live $(SELECTED)

pictures: system $(READY) browser ## Make the pictures of README and documentation anew (apt-get install grub-rescue-pc)
	CONSOLE_PICTURES=docs/pictures $(BIN)/pytest -q -n 0 tests/live/console/test_pictures.py

thorough: system $(READY) browser ## The tests that take long and that few changes break
	$(BIN)/pytest -q -n $(PARALLEL) --dist loadfile -m thorough

test-postgres: $(READY) ## The tests marked `database`, on a PostgreSQL started for them
	.ci/with-postgres $(BIN)/pytest -q -n $(PARALLEL) -m "database and not deep"

coverage: $(READY) ## Branch coverage of the tests that need no store, as a table and in htmlcov/
	$(BIN)/pytest -q -n auto --ignore=tests/live --cov --cov-report=term --cov-report=html

races: $(READY) ## Two requests for one image at once, 1000 rounds of each pair
	RACE_ROUNDS=1000 $(BIN)/pytest -q -n auto --timeout 1800 tests/services/test_races.py

kills: system $(READY) ## Workers killed twenty times in a conversion and a publication, gateways 200 times in commits
	JOB_KILLS=20 $(BIN)/pytest -q -n 0 --timeout 3600 tests/live/jobs/test_interruptions.py -k kills
	DELTA_KILLS=200 $(BIN)/pytest -q -n 0 --timeout 3600 tests/live/test_delta_kills.py -k long

bench-catalog: $(READY) ## Time of every call of the catalog at 1,000 and 100,000 images, on SQLite
	$(BIN)/python bench/catalog.py

bench-catalog-postgres: $(READY) ## The same on PostgreSQL, and at 3,000,000 images (8 GB of disk)
	.ci/with-postgres sh -c '$(BIN)/python bench/catalog.py --sizes 1000,100000,3000000 --database "$$TEST_DATABASE_URL"'

bench-memory: $(READY) ## Peak memory of 16 parallel whole-image reads of 2 GiB
	$(BIN)/python bench/memory.py

bench-streaming: $(READY) ## Speed, with and without the edge, beside the bare store and nginx (apt-get install nginx-light wrk)
	$(BIN)/python bench/streaming.py

bench-control: $(READY) ## CPU of small requests beside a bare Flask route (apt-get install wrk)
	$(BIN)/python bench/control_plane.py

bench-prefetch: $(READY) ## Time of a boot-like replay at 40 ms of store latency, with and without reading ahead
	$(BIN)/python bench/prefetch.py

bench-convert: $(READY) ## Speed of reading each image format beside qemu-img (apt-get install qemu-utils)
	$(BIN)/python bench/convert.py

bench-jobs: $(READY) ## Duration of conversion and publishing jobs beside a plain copy (apt-get install qemu-utils)
	$(BIN)/python bench/jobs.py

bench-zeros: $(READY) ## Speed of reads of zeros beside reads of data
	$(BIN)/python bench/zeros.py

bench-nbd: $(READY) ## Speed of the NBD server beside nbdkit's Python plugin (apt-get install nbdkit nbdkit-plugin-python fio)
	$(BIN)/python bench/nbd.py

bench-deltas: $(READY) ## Deltas: time of commits beside bare PUTs, of reads, of opening; bytes written for each that is committed
	$(BIN)/python bench/deltas.py
	$(BIN)/python bench/deltas_opening.py
	$(BIN)/python bench/delta_amplification.py

soak: $(READY) ## Half an hour of mixed load; fails unless memory, descriptors and threads stay flat
	$(BIN)/python bench/soak.py --cache

soak-nbd: system $(READY) ## Ten minutes of fio on an exported delta, and 100 kills of the exporter under a guest's file system
	NBD_SECONDS=600 EXPORTER_KILLS=100 $(BIN)/pytest -q -n 0 --timeout 7200 tests/live/nbd -k long

format: $(READY) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(READY) ## Resolve setup.cfg's ranges anew into requirements/
	sh requirements/lock.sh

pin-images: $(READY) ## Pin container images to the digests of their tags (CHECK=1 only compares)
	$(BIN)/python deploy/pin_images.py $(if $(CHECK),--check)

sbom: $(READY) ## Write sbom.json: what the container installs, as CycloneDX
	$(BIN)/python requirements/sbom.py sbom.json

release: $(READY) ## Build wheel, sdist, container context, SBOM and SHA256SUMS into dist/ (UNRELEASED=1: without a changelog section)
	@$(BIN)/python deploy/make_release.py $(if $(UNRELEASED),--allow-unreleased)

$(READY): setup.cfg requirements/dev.txt
	@sh requirements/make-venv.sh "$(PYTHON)" "$(VENV)"
	@touch $@

$(BROWSER): tests/browser/package-lock.json
	@sh requirements/browser-packages.sh tests/browser

clean: ## Remove the virtual environment, reports and all local data
	rm -rf $(VENV) $(VENV)-template tests/browser/node_modules test-results .image-gateway .coverage htmlcov
