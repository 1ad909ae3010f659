"""A sweep trains each combination once, goes on after a kill, reads nothing of the test split, and does not call noise a winner."""
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from statistics import mean

import pytest

import replytune.sweep
from replytune.schema import ParameterError, StageError
from replytune.files import file_hashes, read_json, read_rows, resolve, sha256, write_text
from replytune.line import main
from replytune.models import Precision
from replytune.params import read_params
from replytune.refusals import signed
from replytune.run import Run, sample_copy, stored_params
from replytune.sweep import RESULT, choose_setting, combinations, curse, ground_of, left_out, sweep, winner_file
from replytune.train import TrainParams

PAGES = "06g"

BASE = TrainParams(max_steps=4, evaluate_steps=2, accumulation=1, learning_rate=0.01)
GRID = {"rank": [2, 8], "seed": [1]}


def toy_run(folder) -> Run:
    "The sample run up to stage 05, whose base arm is said to be the toy's"
    shutil.move(sample_copy("06_train").folder, folder)
    run = Run(folder)
    section = run.manifest()["05_generate"]
    section["parameters"]["model"] = "tiny-qwen3"
    section["notes"]["precision"] = Precision("none", "float32")._asdict()
    run.save_section("05_generate", section)
    return run


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    run = toy_run(tmp_path_factory.mktemp("sweep") / "run")
    before = file_hashes(run.folder)
    return run, before, sweep(run.folder, GRID, base=BASE, notebooks=False)


@pytest.fixture
def no_model(monkeypatch):
    def loaded(*_): raise AssertionError("a model was loaded")
    monkeypatch.setattr("replytune.train.load_model", loaded)


def again(swept, tmp_path) -> Run:
    "A copy of what was swept, to be spoiled"
    shutil.copytree(swept[0].folder, tmp_path / "run")
    return Run(tmp_path / "run")


def test_it_changes_no_file_of_the_run_writes_no_reply_and_signs_nothing(swept):
    run, before, rows = swept
    after = file_hashes(run.folder)
    assert {name: used for name, used in after.items() if not name.startswith("sweep/")} == before
    assert [row["name"] for row in rows] == ["rank-2_seed-1", "rank-8_seed-1"] and all(row["dev"] < row["untouched"] for row in rows)
    assert not [name for name in after if "generations/tuned" in name or name.startswith("sweep/") and name.endswith(".jsonl")]


def test_what_is_trained_is_not_trained_again(swept, no_model):
    assert sweep(swept[0].folder, GRID, base=BASE, notebooks=False) == swept[2]


def test_only_what_is_missing_is_trained(swept, tmp_path, no_model):
    run = again(swept, tmp_path)
    with pytest.raises(AssertionError, match="a model was loaded"): sweep(run.folder, {"rank": [2, 4], "seed": [1]}, base=BASE, notebooks=False)
    (run / "sweep/rank-2_seed-1/adapter/adapter_model.safetensors").unlink()
    with pytest.raises(AssertionError, match="a model was loaded"): sweep(run.folder, {"rank": [2], "seed": [1]}, base=BASE, notebooks=False)


def test_a_result_that_is_lost_comes_from_the_trainings_own_note(swept, tmp_path, no_model):
    run = again(swept, tmp_path)
    (run / "sweep/rank-8_seed-1" / RESULT).unlink()
    rows = sweep(run.folder, GRID, base=BASE, notebooks=False)
    assert [{**row, "seconds": 0} for row in rows] == [{**row, "seconds": 0} for row in swept[2]]


def test_test_tweets_and_replies_to_them_have_no_part_in_it(swept, tmp_path, no_model):
    "With other test pairs and other replies every training is the one that was done: its key, over all it is given, is the same"
    run = again(swept, tmp_path)
    spoiled = lambda rows: [row | ({"tweet": "spoiled", "reply": "spoiled"} if row["split"] == "test" else {}) for row in rows]
    signed(run, "reviewed.jsonl", spoiled)
    signed(run, "generations/base.jsonl", lambda rows: [row | {"reply": "spoiled"} for row in rows])
    assert "test" not in {pair.split for pair in ground_of(run).pairs} and "spoiled" in (run / "reviewed.jsonl").read_text()
    assert sweep(run.folder, GRID, base=BASE, notebooks=False) == swept[2]
    signed(run, "reviewed.jsonl", lambda rows: [row | ({"reply": "spoiled"} if row["split"] == "dev" else {}) for row in rows])
    with pytest.raises(AssertionError, match="a model was loaded"): sweep(run.folder, GRID, base=BASE, notebooks=False)


@pytest.mark.parametrize("grid, told", [
    ({}, "names no parameter"), ({"rnak": [8]}, "did you mean `rank`"), ({"rank": [8, 0]}, "rank = 0"), ({"rank": 8}, "rank = 8 must be a list"), ({"rank": []}, "must be a list"),
    ({"rank": [8, 8]}, "names 8 twice"), ({"run": ["a"]}, "run is the folder"), ({"learning_rate": [1e-4, 1.5]}, "learning_rate = 1.5"), ({"rank": [8, "much"]}, "'much'"),
    ({"evaluate_steps": [2, 50]}, "evaluate_steps-50: no evaluation in 4 steps"), ({"seed": [1], "optimizer": ["adamw_torch", "adam"]}, "optimizer-adam: optimizer 'adam' is unknown"),
    ({"target_modules": [["q_proj"], ["c_attn"]]}, "has no c_attn"), ({"patience": [0, 7]}, "patience-7: early stopping cannot fire"),
])
def test_what_stage_06_would_refuse_is_an_error_before_the_first_training(grid, told, swept, tmp_path, no_model):
    with pytest.raises((ParameterError, StageError), match=None) as error: sweep(swept[0].folder, grid, tmp_path / "sweep", BASE, notebooks=False)
    assert told in str(error.value) and not (tmp_path / "sweep").exists()


def test_a_run_without_stage_05_or_with_pairs_edited_afterwards_is_not_swept(swept, tmp_path, no_model):
    run = again(swept, tmp_path)
    with open(run / "reviewed.jsonl", "a") as file: file.write("\n")
    with pytest.raises(StageError, match="reviewed.jsonl changed"): sweep(run.folder, GRID, base=BASE, notebooks=False)
    with pytest.raises(StageError, match=r"base.jsonl is missing; run stage 05_generate again \(FROM=05\)"): sweep(tmp_path / "nothing", GRID, base=BASE, notebooks=False)


def rows_of(losses: dict[int, list[float]]) -> list[dict]:
    return [{"rank": rank, "seed": n, "dev": loss, "best step": 4, "steps": 4, "seconds": 1.0} for rank, all in losses.items() for n, loss in enumerate(all, 1)]


@pytest.mark.parametrize("settings, seeds", [(2, 3), (4, 3), (6, 2)])
def test_equally_good_settings_are_told_apart_in_one_sweep_of_twenty(settings, seeds):
    drawn, grid = random.Random(settings), {"rank": [*range(1, settings + 1)], "seed": [*range(1, seeds + 1)]}
    sweeps = [choose_setting(rows_of({rank: [drawn.gauss(2, 0.03) for _ in grid["seed"]] for rank in grid["rank"]}), grid) for _ in range(300)]
    wrong = mean(len(choice.alike) < settings for choice in sweeps)
    assert 0.02 < wrong < 0.09
    assert all(choice.setting["rank"] == 1 for choice in sweeps if len(choice.alike) == settings), "the cheapest of what is alike"


def test_a_real_difference_is_named_and_a_small_one_is_said_to_be_none():
    ranks = {"rank": [8, 16], "seed": [1, 2, 3]}
    clear, near = choose_setting(rows_of({8: [2.5, 2.52, 2.51], 16: [2.3, 2.31, 2.29]}), ranks), choose_setting(rows_of({8: [2.31, 2.34, 2.28], 16: [2.29, 2.26, 2.32]}), ranks)
    assert clear.setting == {"rank": 16} and not clear.alike and clear.why.startswith("rank 16 has a dev loss 0.210 lower than rank 8")
    assert near.setting == {"rank": 8} and "rank 16 and rank 8 cannot be told apart" in near.why and "rank 8 is the cheapest" in near.why
    alone = choose_setting(rows_of({8: [2.31], 16: [2.29]}), {"rank": [8, 16]})
    assert alone.noise is None and "one seed each shows no difference" in alone.why
    assert choose_setting(rows_of({8: [2.31, 2.3]}), {"rank": [8], "seed": [1, 2]}).why == "rank 8 is the only setting"


def test_the_curse_is_what_a_simulation_finds():
    drawn = random.Random(5)
    for count in (2, 5, 20): assert curse(count, 0.1) == pytest.approx(-mean(min(drawn.gauss(0, 0.1) for _ in range(count)) for _ in range(20_000)), abs=2e-3)
    with pytest.raises(StageError, match="0 settings"): curse(0, 0.1)


def test_the_seed_left_out_tells_what_choosing_added():
    grid, drawn = {"rank": [*range(1, 9)], "seed": [1, 2, 3]}, random.Random(7)
    found = [left_out(rows_of({rank: [drawn.gauss(2, 0.03) for _ in range(3)] for rank in grid["rank"]}), grid)["too low by"] for _ in range(200)]
    assert mean(found) == pytest.approx(curse(8, 0.03 / 2**0.5), rel=0.15)
    with pytest.raises(StageError, match="name two or more"): left_out(rows_of({8: [2.31], 16: [2.29]}), {"rank": [8, 16], "seed": [1]})


def test_the_winners_file_repeats_the_run_and_runs_nothing_before_stage_06_again(swept, tmp_path):
    run, _, rows = swept
    choice = choose_setting(rows, GRID)
    file = winner_file(run, choice, BASE, rows, tmp_path / "winner.yaml")
    params = read_params(file)
    for stage, section in run.manifest().items():
        if stage < "06": assert stored_params(params[stage]) == section["parameters"], stage
    assert stored_params(params["06_train"]) == stored_params(BASE.model_copy(update=choice.setting))
    assert file.read_text().startswith("# Chosen on the dev split by a sweep of 2 trainings; no test tweet was read.\n# " + choice.why)
    assert [path.name for path in tmp_path.iterdir()] == ["winner.yaml"]


def test_the_command_prints_the_table_the_choice_and_the_file(swept, tmp_path, no_model, capsys):
    run, file = again(swept, tmp_path), tmp_path / "grid.yaml"
    write_text(file, "grid: {rank: [2, 8], seed: [1]}\n06_train: {max_steps: 4, evaluate_steps: 2, accumulation: 1, learning_rate: 0.01}\n")
    assert main(["sweep", str(run.folder), "--params", str(file), "--no-notebooks"]) == 0
    said = capsys.readouterr().out
    assert "cannot be told apart: one seed each" in said and f"parameters: {run.folder}/sweep/winner.yaml" in said and said.count("kept step 4") == 2
    assert read_params(run / "sweep/winner.yaml")["06_train"].rank == 2 and (run / "sweep/sweep.svg").read_text().startswith("<svg")
    for text, told in (("grid: [8]", "must map"), ("gird: {}", "unknown section gird"), ("grid: {rank: [8]}\n06_train: {rank: 8}", "name it once")):
        write_text(file, text)
        assert main(["sweep", str(run.folder), "--params", str(file), "--no-notebooks"]) == 1 and told in capsys.readouterr().err


def test_two_sweeps_of_one_folder_do_not_run_at_once(swept, tmp_path, no_model):
    run = again(swept, tmp_path)
    with replytune.sweep.locked(run / "sweep/sweep"):
        with pytest.raises(StageError, match="is being swept by another command"): sweep(run.folder, GRID, base=BASE, notebooks=False)


SWEEPS = "import sys; from replytune.line import main; sys.exit(main(['sweep', sys.argv[1], '--params', sys.argv[2], *sys.argv[3:]]))"


@pytest.mark.slow
@pytest.mark.parametrize("how", [["--no-notebooks"], []], ids=["one process", "notebooks"])
def test_killed_in_the_second_training_it_goes_on_from_its_checkpoint(how, tmp_path):
    "kill -9 while the second trains; the first is not touched, and the second ends as if nothing had happened"
    file = tmp_path / "grid.yaml"
    write_text(file, "grid: {rank: [2, 8], seed: [1]}\n06_train: {max_steps: 12, evaluate_steps: 2, accumulation: 1, learning_rate: 0.01}\n")
    whole, run = toy_run(tmp_path / "whole"), toy_run(tmp_path / "run")
    command = lambda folder: [sys.executable, "-c", SWEEPS, str(folder), str(file), *how]
    assert subprocess.run(command(whole.folder), cwd=resolve("."), capture_output=True).returncode == 0
    process = subprocess.Popen(command(run.folder), cwd=resolve("."), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    second, deadline = run / "sweep/rank-8_seed-1", time.monotonic() + 240
    while not (second / "checkpoints/checkpoint-4/trainer_state.json").exists() and process.poll() is None and time.monotonic() < deadline: time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)  # its kernel with it
    assert process.wait() == -9 and not (second / RESULT).exists()
    first = run / "sweep/rank-2_seed-1/adapter/adapter_model.safetensors"
    known = first.stat().st_mtime_ns, read_json(run / "sweep/rank-2_seed-1" / RESULT)
    done = subprocess.run(command(run.folder), cwd=resolve("."), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]
    assert (first.stat().st_mtime_ns, read_json(run / "sweep/rank-2_seed-1" / RESULT)) == known
    for name in ("rank-2_seed-1", "rank-8_seed-1"):
        assert sha256(run / "sweep" / name / "adapter/adapter_model.safetensors") == sha256(whole / "sweep" / name / "adapter/adapter_model.safetensors")
        assert read_json(run / "sweep" / name / RESULT)["history"] == read_json(whole / "sweep" / name / RESULT)["history"]
    assert len(combinations({"rank": [2, 8], "seed": [1]})) == 2 and read_rows(run / "reviewed.jsonl")
