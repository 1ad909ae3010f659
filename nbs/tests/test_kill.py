"""Kill -9 at random moments of a run, in every stage: starting again ends with the files of a run that was never killed."""
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from replytune.schema import STAGES, stage_number
from replytune.files import project_root, sha256
from replytune.run import Run

from test_line import TOY

PAGES = ""

ROOT = project_root()


def wrote(run: Run) -> dict[str, str]:
    "Hash of everything but the report, which prints the hashes of all others and is compared too"
    return {name: sha256(run / name) for section in run.manifest().values() for name in section["wrote"]}


def command(folder: Path, params: Path, *more: str) -> list[str]:
    return [sys.executable, "-c", "from replytune.line import main; import sys; sys.exit(main())", "run", "--run", str(folder), "--params", str(params), "--no-notebooks", *more]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    params = folder / "toy.yaml"
    toy = TOY | {"05_generate": TOY["05_generate"] | {"batch_size": 4}, "06_train": {"max_steps": 12, "evaluate_steps": 2}}
    params.write_text(yaml.safe_dump(toy))
    started = time.monotonic()
    assert subprocess.run(command(folder / "run", params), cwd=ROOT).returncode == 0
    return Run(folder / "run"), params, time.monotonic() - started


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_killed_in_a_stage_and_started_again(whole, stage, tmp_path):
    run, params, _ = whole
    random_delay = random.Random(stage)
    if stage != STAGES[0]: assert subprocess.run(command(tmp_path, params, "--to", stage_number(STAGES[STAGES.index(stage) - 1])), cwd=ROOT).returncode == 0
    kills = 0
    for _ in range(4):
        process = subprocess.Popen(command(tmp_path, params, "--to", stage_number(stage)), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # the import alone takes about a second; a stage with a model about ten
        time.sleep(random_delay.uniform(0.6, 12 if stage in ("03_clean", "03b_split", "05_generate", "06_train", "07_judge") else 2.5))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert subprocess.run(command(tmp_path, params), cwd=ROOT).returncode == 0
    print(f"{stage}: {kills} kills")
    assert wrote(Run(tmp_path)) == wrote(run)


@pytest.mark.slow
def test_killed_between_checkpoints_training_ends_in_the_same_weights(whole, tmp_path):
    run, params, _ = whole
    assert subprocess.run(command(tmp_path, params, "--to", "05"), cwd=ROOT).returncode == 0
    process = subprocess.Popen(command(tmp_path, params, "--from", "06", "--to", "06"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "checkpoints/checkpoint-6/trainer_state.json"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline: time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert "06_train" not in Run(tmp_path).manifest()
    done = subprocess.run(command(tmp_path, params), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert wrote(Run(tmp_path)) == wrote(run)
