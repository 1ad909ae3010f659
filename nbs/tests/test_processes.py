"""Several processes train as one does, tell one clear error, and leave nobody behind, whatever the stage ends of."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from accelerate.data_loader import BatchSamplerShard
from hypothesis import given, settings, strategies
from torch.utils.data import BatchSampler

from replytune import processes
from replytune.files import read_rows
from replytune.generate import GenerateParams
from replytune.models import Precision, load_tokenizer
from replytune.params import SECRETS
from replytune.processes import completed, divided, environment, epoch_order, run_ranks, share_of
from replytune.run import sample_rows
from replytune.schema import Pair, ParameterError, StageError
from replytune.train import FINISHED, TrainParams, train_adapter
from replytune.watch import PANEL, panel_of

PAGES = "05i 06"

PAIRS = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]
# neither train nor dev rows make full batches for two processes: 21 and 6, in batches of 4
FEW = [pair for pair in PAIRS if pair.split == "train"][:21] + [pair for pair in PAIRS if pair.split == "dev"][:6]
PARAMS = TrainParams(max_steps=0, epochs=2, evaluate_steps=2, batch_size=4, accumulation=2, learning_rate=0.02, dropout=0.0)
HERE = str(Path(__file__).parent)


def trained(folder: Path, number: int, weights: str = "none", watching=(), **more):
    params = PARAMS.model_copy(update={"processes": number, **more})
    panel = panel_of(FEW, load_tokenizer("tiny-qwen3"), GenerateParams(model="tiny-qwen3", max_new_tokens=4), 2)
    return train_adapter(params, "tiny-qwen3", Precision(weights, "float32"), FEW, folder / "checkpoints", folder / "adapter", panel, watching)


def adapter(folder: Path) -> dict:
    from safetensors.torch import load_file
    return load_file(folder / "adapter/adapter_model.safetensors")


def same(one: Path, other: Path, told_one, told_other):
    "The same steps and losses to four digits, and nearly the same weights"
    import torch
    rows, others = told_one[0], told_other[0]
    assert [[*row] for row in rows] == [[*row] for row in others] and len(rows) > 10
    for row, there in zip(rows, others):
        for name, value in row.items():
            if name != "dev_perplexity": assert there[name] == pytest.approx(value, rel=2e-5 if name != "gradient_norm" else 1e-3), (row, there)
    counts = lambda told: {name: value for name, value in told[1].items() if name not in ("processes", "notes")}
    assert counts(told_one) == counts(told_other)
    weights, there = adapter(one), adapter(other)
    assert weights.keys() == there.keys() and sum(float(each.abs().sum()) for name, each in weights.items() if "lora_B" in name) > 1
    moved, apart = (torch.cat([each.flatten() for each in parts]) for parts in (weights.values(), [weights[name] - there[name] for name in weights]))
    assert float(apart.norm() / moved.norm()) < 2e-3


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return folder, trained(folder, 1)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    "The same by two processes, whose log is heard here"
    from transformers import TrainerCallback

    class Heard(TrainerCallback):
        def __init__(self): self.lines, self.steps, self.ended = [], [], False
        def on_log(self, args, state, control, logs=None, **_): self.lines.append((state.global_step, state.log_history[-1]))
        def on_step_end(self, args, state, control, **_): self.steps.append(state.global_step)
        def on_train_end(self, args, state, control, **_): self.ended = True

    folder, heard = tmp_path_factory.mktemp("both"), Heard()
    return folder, trained(folder, 2, watching=[heard]), heard


# the same training

def test_two_processes_train_as_one(alone, both):
    same(alone[0], both[0], alone[1], both[1])
    assert both[1][1]["processes"]["number"] == 2 and both[1][1]["processes"]["peak memory of the first"] > 1e8 and "processes" not in alone[1][1]
    assert not (both[0] / "checkpoints/ranks.json").exists()


def test_one_of_two_processes_writes_and_its_log_is_heard_in_the_stage(alone, both):
    rows = read_rows(both[0] / "checkpoints" / PANEL)
    assert [(row["step"], row["tweet_id"]) for row in rows] == [(row["step"], row["tweet_id"]) for row in read_rows(alone[0] / "checkpoints" / PANEL)]
    heard = both[2]
    assert heard.steps == [1, 2, 3, 4, 5, 6] and heard.ended and [row["step"] for _, row in heard.lines] == [step for step, _ in heard.lines]
    assert sum("eval_dev_loss" in row for _, row in heard.lines) == 4
    assert {file.name for file in (both[0] / "checkpoints/checkpoint-6").glob("rng*")} == {"rng_state_0.pth", "rng_state_1.pth"}


def test_two_processes_train_four_bit_weights_as_one_with_checkpointed_activations(tmp_path):
    told = [trained(tmp_path / str(number), number, "nf4", gradient_checkpointing=True) for number in (1, 2)]
    same(tmp_path / "1", tmp_path / "2", *told)


def test_what_two_began_one_goes_on_with(alone, both, tmp_path):
    shutil.copytree(both[0], tmp_path / "run")
    for left in ("checkpoint-4", "checkpoint-6"): shutil.rmtree(tmp_path / "run/checkpoints" / left)
    (tmp_path / "run/checkpoints" / FINISHED).unlink()
    told = trained(tmp_path / "run", 1)
    same(alone[0], tmp_path / "run", alone[1], told)
    assert (tmp_path / "run/checkpoints/checkpoint-4/rng_state.pth").exists() and told[1]["notes"] == ["checkpoint-2 is of 2 processes, and 1 went on: dropout is drawn anew from there"]


def test_what_two_did_is_not_done_again_by_one(both):
    assert trained(both[0], 1) == both[1]


# which rows

@settings(max_examples=150)
@given(strategies.integers(1, 40), strategies.integers(1, 4), strategies.integers(1, 6), strategies.integers(1, 6), strategies.integers(1, 3))
def test_every_step_has_the_rows_that_it_has_in_one_process_each_once(rows, batch, accumulation, number, epochs):
    if batch * accumulation % number: return
    share = divided(batch, accumulation, number)
    steps = lambda batches, size: [sum(batches[n:n + size], []) for n in range(0, len(batches), size)]
    of_one, of_all = BatchSampler(epoch_order(rows, batch, 7), batch, False), []
    order = [epoch_order(rows, share.batch * number, 7) for _ in range(number)]
    deal = [BatchSamplerShard(BatchSampler(mine, share.batch, False), number, rank) for rank, mine in enumerate(order)]
    for epoch in range(epochs):
        of_one.sampler.set_epoch(epoch)
        for mine in order: mine.set_epoch(epoch)
        known = [[row for row in step if row < rows] for step in steps([*of_one], accumulation)]
        of_all = [steps([*mine], share.accumulation) for mine in deal]
        assert len({len(mine) for mine in of_all}) == 1 and all(len(each) == len(of_all[0][n]) for mine in of_all for n, each in enumerate(mine)), "one would wait for another"
        found = [sum((mine[n] for mine in of_all), []) for n in range(len(of_all[0]))]
        assert [sorted(row for row in step if row < rows) for step in found] == [sorted(step) for step in known]
        assert sorted(row for step in found for row in step if row < rows) == [*range(rows)]


def test_a_completed_data_set_has_every_row_once_and_no_label_more():
    from datasets import Dataset
    rows = Dataset.from_list([{"input_ids": [n, n], "labels": [-100, n], "seq_lengths": [2]} for n in range(5)])
    more = completed(rows, 4)
    assert len(more) == 8 and more.features == rows.features and [*more][:5] == [*rows]
    assert [row["labels"] for row in more][5:] == [[-100, -100]] * 3


@pytest.mark.parametrize("asked, gpus, batch, accumulation, expected", [
    ("auto", 0, 4, 4, (1, 4, 4)), ("auto", 1, 4, 4, (1, 4, 4)), ("auto", 2, 4, 4, (2, 4, 2)), ("auto", 8, 4, 4, (8, 2, 1)),
    ("auto", 3, 4, 4, (2, 4, 2)), ("auto", 5, 3, 1, (3, 1, 1)), (2, 8, 4, 1, (2, 2, 1)), (1, 8, 4, 4, (1, 4, 4)), (2, 0, 3, 2, (2, 3, 1)), (3, 0, 4, 6, (3, 4, 2)),
])
def test_the_rows_of_a_step_stay_as_many(asked, gpus, batch, accumulation, expected):
    share = share_of(asked, gpus, batch, accumulation)
    assert share == expected and share.processes * share.batch * share.accumulation == batch * accumulation


@pytest.mark.parametrize("asked, gpus, said", [(3, 0, "processes: 3: .*= 16 rows.*take 1 or 2 or 4 or 8 or 16"), (4, 2, "processes: 4: 2 GPUs are visible.*take 2 or auto"), (2, 1, "1 GPU is visible")])
def test_what_cannot_be_shared_is_refused_with_the_fix(asked, gpus, said):
    with pytest.raises(ParameterError, match=said): share_of(asked, gpus, 4, 4)
    with pytest.raises(ParameterError, match="processes"): TrainParams.read({"processes": 0})
    with pytest.raises(ParameterError, match="processes"): TrainParams.read({"processes": "all"})


def test_a_process_sees_as_many_gpus_as_there_are_processes_and_no_secret(monkeypatch):
    for name in SECRETS: monkeypatch.setenv(name, "sk-planted-0123")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [name for name, value in environment(2, 0).items() if value == "sk-planted-0123"] == ["HF_TOKEN"]
    assert environment(1, 4)["CUDA_VISIBLE_DEVICES"] == "0" and environment(2, 4)["CUDA_VISIBLE_DEVICES"] == "0,1" and "CUDA_VISIBLE_DEVICES" not in environment(2, 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,GPU-7")
    assert environment(2, 3)["CUDA_VISIBLE_DEVICES"] == "3,5"


# who ends with whom: what the processes do stands in ranks.py and loads no model

@pytest.fixture
def here(monkeypatch): monkeypatch.setenv("PYTHONPATH", f"{HERE}:{os.environ.get('PYTHONPATH', '')}")


def living(mark: Path) -> list[int]:
    "Processes whose command line names a folder"
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try: said = (process / "cmdline").read_bytes()
        except OSError: continue
        if str(mark).encode() in said and int(process.name) != os.getpid(): found.append(int(process.name))
    return found


def soon_nobody(mark: Path, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while living(mark) and time.monotonic() < deadline: time.sleep(0.05)
    return not living(mark)


def test_the_result_is_that_of_the_first(tmp_path, here):
    lines = []
    assert run_ranks("ranks:answers", [1, "ü"], tmp_path / "ranks.json", 2, lines.append) == {"first": True, "given": [1, "ü"], "seen": "2"}
    assert lines == [{"rank": 0, "step": 1}] and not living(tmp_path) and not [*tmp_path.iterdir()]


@pytest.mark.parametrize("work, asked, said", [
    ("fails", "", "process 1 of 2: ValueError: no secret here"),
    ("is_killed", "", "process 1 of 2 was killed (SIGKILL); out of memory? lower batch_size and raise accumulation"),
])
def test_a_process_that_fails_gives_one_clear_error_and_the_others_end(work, asked, said, tmp_path, here, monkeypatch):
    monkeypatch.setenv("APIFY_API_TOKEN", "sk-planted-0123")
    began = time.monotonic()
    with pytest.raises(StageError) as error: run_ranks(f"ranks:{work}", asked, tmp_path / "ranks.json", 2)
    assert str(error.value) == said and time.monotonic() - began < 50
    assert not living(tmp_path) and not [*tmp_path.iterdir()]


STAGE = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever it was started from
from pathlib import Path
from replytune.processes import run_ranks
def hear(line): Path(sys.argv[1], "heard").write_text("")
try: run_ranks("ranks:waits", sys.argv[1], Path(sys.argv[1]) / "ranks.json", 2, hear)
except KeyboardInterrupt: Path(sys.argv[1], "interrupted").write_text("")
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_when_the_stage_ends_so_do_its_processes(how, tmp_path, here):
    stage = subprocess.Popen([sys.executable, "-c", STAGE, str(tmp_path)])
    deadline = time.monotonic() + 60
    while not (tmp_path / "heard").exists() and stage.poll() is None and time.monotonic() < deadline: time.sleep(0.02)
    pids = [int((tmp_path / rank).read_text()) for rank in "01"]
    assert not (tmp_path / "ranks.json").exists(), "what they work on lies there until they have read it"
    assert len(living(tmp_path)) == 4 and {*pids} < {*living(tmp_path)}, "the stage, torchrun and two processes"
    stage.send_signal(how)
    stage.wait(30)
    if how == signal.SIGINT: assert not living(tmp_path) and (tmp_path / "interrupted").exists()
    assert soon_nobody(tmp_path)


@pytest.mark.parametrize("error, said", [
    (StageError("lower learning_rate"), "lower learning_rate"), (ParameterError("rank: 0"), "rank: 0"), (KeyError("dev"), "KeyError: 'dev'"), (ValueError(), "ValueError: "),
    (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nmore"), "RuntimeError: CUDA out of memory. Tried to allocate 2 GiB; lower batch_size and raise accumulation"),
])
def test_an_error_is_told_in_its_first_line(error, said): assert processes._in_words(error) == said


def test_a_process_that_does_not_hear_is_killed(tmp_path, here, monkeypatch):
    "One that is stopped does not see the pipe end, as one that is stuck in a driver would not"
    monkeypatch.setattr(processes, "GRACE", 0.5)
    def interrupt(line): raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): run_ranks("ranks:stopped", str(tmp_path), tmp_path / "ranks.json", 2, interrupt)
    assert soon_nobody(tmp_path, 1)


# with a model

TRAIN = """
import sys
from pathlib import Path
from test_processes import trained
trained(Path(sys.argv[1]), 2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["checkpoint-2/trainer_state.json", "checkpoint-4/optimizer.pt"])
def test_killed_with_all_its_processes_two_go_on_and_end_as_one(alone, moment, tmp_path, here):
    stage = subprocess.Popen([sys.executable, "-c", TRAIN, str(tmp_path)], stderr=subprocess.DEVNULL)
    while not (tmp_path / "checkpoints" / moment).exists() and stage.poll() is None: time.sleep(0.005)
    stage.kill()
    assert stage.wait() == -9 and soon_nobody(tmp_path) and not (tmp_path / "checkpoints" / FINISHED).exists()
    told = trained(tmp_path, 2)
    same(alone[0], tmp_path, alone[1], told)
    print(moment, told[1]["notes"])


@pytest.mark.slow
def test_with_dropout_two_that_were_killed_end_as_two_that_were_not(tmp_path, here):
    "Each process has its own noise, and gets it back"
    whole = trained(tmp_path / "whole", 2, dropout=0.3)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for left in ("checkpoint-4", "checkpoint-6"): shutil.rmtree(tmp_path / "cut/checkpoints" / left)
    (tmp_path / "cut/checkpoints" / FINISHED).unlink()
    told = trained(tmp_path / "cut", 2, dropout=0.3)
    assert told[0] == whole[0] and json.dumps(told[1]["warnings"]) == json.dumps(whole[1]["warnings"])


@pytest.mark.slow
def test_one_process_of_the_launcher_trains_to_the_same_bits(alone, tmp_path, monkeypatch):
    "As where two GPUs are visible and one is asked for"
    monkeypatch.setattr("replytune.train.visible_gpus", lambda: 2)
    told = trained(tmp_path, 1)
    assert told[0] == alone[1][0]
    assert all(bool((adapter(tmp_path)[name] == each).all()) for name, each in adapter(alone[0]).items())


@pytest.mark.slow
def test_packed_rows_are_shared_as_well(tmp_path):
    told = [trained(tmp_path / str(number), number, packing=True, max_length=1100, batch_size=1) for number in (1, 2)]
    same(tmp_path / "1", tmp_path / "2", *told)


@pytest.mark.slow
def test_the_stage_notes_what_several_took_and_its_tracker_has_their_log():
    from replytune.generate import generate_stage
    from replytune.run import Run, sample_copy
    from replytune.train import train_stage
    from test_watch import lines_of
    copy = sample_copy("05_generate")
    generate_stage(GenerateParams(run=str(copy.folder), tweets_max=1, max_new_tokens=4))
    train_stage(TrainParams(run=str(copy.folder), max_steps=2, evaluate_steps=1, panel_tweets=1, processes=2))
    section, rows = Run(copy.folder).manifest()["06_train"], read_rows(copy / "training_log.jsonl")
    assert section["notes"]["processes"]["number"] == 2 and "tracker" not in section["notes"] and "processes" not in section["counts"]
    logged = [(row["step"], {key: value for key, value in row.items() if key != "step"}) for row in rows]
    assert sorted(map(str, lines_of(copy.folder))) == sorted(map(str, logged))
