# Two commands are all a fresh machine needs: `make run` and `make test`. Each sets up .venv first, once.
SHELL := /bin/bash
RUN ?= runs/sample
PARAMS ?= nbs/params/sample.yaml
TEXTS ?=
FROM ?= 01
TO ?= 09
PAGE ?=
ENV := set -euo pipefail; . .ci/env
OFFLINE := export HF_HUB_OFFLINE=1
# two processes on two cores, so one thread each; a file stays in one process
TWO := OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile -q
QUICK := nbs/00_schema.ipynb nbs/00b_files.ipynb nbs/00c_params.ipynb nbs/00d_run.ipynb nbs/00e_charts.ipynb nbs/00f_text.ipynb nbs/00i_dumps.ipynb nbs/00j_published.ipynb nbs/01_collect.ipynb nbs/01b_plan.ipynb nbs/tests/test_form.py nbs/tests/test_site.py nbs/tests/test_results.py nbs/tests/test_collect.py nbs/tests/test_stats.py nbs/tests/test_versions.py

.PHONY: help run test test-slow check page coverage site shape lab bench refresh results readme clean phase0

help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 12

run:  ## the whole pipeline: RUN=runs/NAME PARAMS=nbs/params/FILE.yaml FROM=02 TO=05 FORCE=1 LESSONS=1
	@$(ENV); replytune run --run "$(RUN)" --params "$(PARAMS)" --from "$(FROM)" --to "$(TO)" $(if $(FORCE),--force) $(if $(LESSONS),--lessons)

phase0: RUN = runs/phase0
phase0:  ## is tuning worth the money? Replies to score, then what the scores say: RUN, PARAMS, TEXTS=FILE.yaml
	@$(ENV); replytune phase0 --run "$(RUN)" --params "$(PARAMS)" $(if $(TEXTS),--texts "$(TEXTS)")

test:  ## every page, every check; no network
	@$(ENV); $(OFFLINE); $(TWO) nbs

test-slow:  ## kill, soak and exhaustive tests as well
	@$(ENV); $(OFFLINE); python -m pytest nbs -q --slow

check:  ## under a minute: form, exports, imports, and tests that need no model and no browser
	@$(ENV); $(OFFLINE); $(TWO) -m "not rendered" $(QUICK)

page:  ## one page with its tests: PAGE=03
	@$(ENV); $(OFFLINE); python -m pytest nbs -q --page "$(PAGE)"

coverage:  ## what the tests reach of the library
	@$(ENV); $(OFFLINE); $(TWO) nbs --cov=replytune --cov-report=term

site:  ## what nbdev makes of the pages, as far as it goes without Quarto
	@$(ENV); python nbs/tests/publish.py

shape:  ## how the pages are built, in figures, beside those of the best literate codebases
	@$(ENV); python nbs/tests/shape.py

lab:  ## JupyterLab on the notebooks; what is stored in them is trusted, so that its pictures are shown: ARGS=--no-browser
	@$(ENV); jupyter trust nbs/*.ipynb nbs/blog/posts/*/*.ipynb > /dev/null; exec jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/nbs $$([ "$$(id -u)" != 0 ] || echo --allow-root) $(ARGS)

bench:  ## measurements against alternatives, in the same run
	@$(ENV); $(OFFLINE); for file in nbs/bench/bench_*.py; do python "$$file"; done

results:  ## make the bundled sample run again (about five minutes), after code or parameters changed
	@$(ENV); $(OFFLINE); rm -rf runs/results/reviews; replytune run --run runs/results --no-notebooks; rm -rf nbs/results/sample; replytune promote runs/results nbs/results/sample; python nbs/tests/picture.py runs/results/report.html

refresh:  ## export the library, store fresh outputs in the notebooks, make README.md
	@$(ENV); $(OFFLINE); nbdev_export; python -m pytest nbs/*.ipynb -q --write-outputs; nbdev_clean; $(MAKE) -s readme; python nbs/tests/shape.py > /dev/null

readme:  ## make README.md from nbs/index.ipynb
	@$(ENV); python nbs/tests/readme.py > README.md.new; mv README.md.new README.md

clean:  ## remove the environment and all runs but those under another name than runs/sample and runs/results
	rm -rf .venv runs/sample runs/results runs/.models runs/.cache replytune.egg-info .pytest_cache _proc
