# Two commands are all a fresh machine needs: `make run` and `make test`. Each sets up .venv first, once.
SHELL := /bin/bash
RUN ?= runs/sample
PARAMS ?= nbs/params/sample.yaml
FROM ?= 01
TO ?= 09
ENV := set -euo pipefail; . .ci/env

.PHONY: run test test-slow lab bench refresh results readme clean

run:  ## the whole line: RUN=runs/NAME PARAMS=nbs/params/FILE.yaml FROM=02 TO=05 FORCE=1
	@$(ENV); replytune run --run "$(RUN)" --params "$(PARAMS)" --from "$(FROM)" --to "$(TO)" $(if $(FORCE),--force)

test:  ## every page, every check; no network
	@$(ENV); export HF_HUB_OFFLINE=1; python -m pytest nbs -q --cov=replytune --cov-report=term

test-slow:  ## browser, kill and soak tests as well
	@$(ENV); export HF_HUB_OFFLINE=1; python -m pytest nbs -q --slow

lab:  ## JupyterLab on the notebooks
	@$(ENV); jupyter lab nbs

bench:  ## measurements against alternatives, in the same run
	@$(ENV); export HF_HUB_OFFLINE=1; for file in nbs/bench/bench_*.py; do python "$$file"; done

results:  ## make the bundled sample run again (about ten minutes), after code or parameters changed
	@$(ENV); export HF_HUB_OFFLINE=1; rm -rf runs/results/reviews; replytune run --run runs/results --no-notebooks; rm -rf nbs/results/sample; replytune promote runs/results nbs/results/sample

refresh:  ## export the library, store fresh outputs in the notebooks, make README.md
	@$(ENV); export HF_HUB_OFFLINE=1; nbdev_export; python -m pytest nbs/*.ipynb -q --write-outputs; nbdev_clean; $(MAKE) -s readme

readme:
	@$(ENV); python nbs/tests/readme.py > README.md.new; mv README.md.new README.md

clean:  ## remove the environment and all runs but those under another name than runs/sample and runs/results
	rm -rf .venv runs/sample runs/results runs/.models replytune.egg-info .pytest_cache
