"""What looks on while a training runs: it changes no bit of it, loses nothing over a kill, and cannot stop it."""
import json
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from replytune import watch
from replytune.files import read_rows, sha256
from replytune.generate import GenerateParams
from replytune.models import Precision, load_tokenizer
from replytune.params import SECRETS
from replytune.run import Run, sample_copy, sample_rows
from replytune.schema import Pair, ParameterError, StageError
from replytune.train import FINISHED, TrainParams, estimate_of, train_adapter, train_stage
from replytune.watch import PANEL, Tracker, check_tracker, keep_until, panel_of, panel_table

PAGES = "05g 05h 06"

PAIRS = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]
FEW = [pair for pair in PAIRS if pair.split == "train"][:16] + [pair for pair in PAIRS if pair.split == "dev"][:6]
PLAIN = Precision("none", "float32")
PARAMS = TrainParams(max_steps=6, evaluate_steps=2, accumulation=1, learning_rate=0.01)


def panel(): return panel_of(FEW, load_tokenizer("tiny-qwen3"), GenerateParams(model="tiny-qwen3", max_new_tokens=8), 2)


def weights(adapter: Path) -> str: return sha256(adapter / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    "A training that nobody watched"
    folder = tmp_path_factory.mktemp("plain")
    return folder, train_adapter(PARAMS, "tiny-qwen3", PLAIN, FEW, folder / "checkpoints", folder / "adapter")


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    "The same, watched"
    folder = tmp_path_factory.mktemp("watched")
    return folder, train_adapter(PARAMS, "tiny-qwen3", PLAIN, FEW, folder / "checkpoints", folder / "adapter", panel())


def test_a_training_that_is_watched_is_the_same_training(plain, seen):
    assert weights(plain[0] / "adapter") == weights(seen[0] / "adapter") and plain[1] == seen[1]
    rows = read_rows(seen[0] / "checkpoints" / PANEL)
    assert [(row["step"], row["tweet_id"]) for row in rows] == [(step, each.key) for step in (0, 2, 4, 6) for each in panel().wanted]
    assert {row["tweet_id"] for row in rows} <= {pair.tweet_id for pair in FEW if pair.split == "dev"}
    before, after = ([row["reply"] for row in rows if row["step"] == step] for step in (0, 6))
    assert before != after


def test_a_training_that_goes_on_writes_again_what_it_forgot_and_nothing_twice(seen, tmp_path):
    shutil.copytree(seen[0] / "checkpoints", tmp_path / "checkpoints")
    (tmp_path / "checkpoints" / FINISHED).unlink()
    shutil.rmtree(tmp_path / "checkpoints/checkpoint-6")
    log = tmp_path / "checkpoints" / PANEL
    log.write_bytes(log.read_bytes()[:-7])  # and the last line was cut
    told = train_adapter(PARAMS, "tiny-qwen3", PLAIN, FEW, tmp_path / "checkpoints", tmp_path / "adapter", panel())
    assert told == seen[1] and weights(tmp_path / "adapter") == weights(seen[0] / "adapter")
    assert read_rows(log) == read_rows(seen[0] / "checkpoints" / PANEL)


def test_other_tweets_or_another_tracker_are_no_other_training(seen, tmp_path):
    shutil.copytree(seen[0], tmp_path / "again")
    other = PARAMS.model_copy(update={"panel_tweets": 1, "tracker": "none"})
    assert train_adapter(other, "tiny-qwen3", PLAIN, FEW, tmp_path / "again/checkpoints", tmp_path / "again/adapter") == seen[1]


def test_the_panel_does_not_depend_on_the_order_of_the_file_and_is_of_dev_alone():
    tokenizer = load_tokenizer("tiny-qwen3")
    asked = panel_of(PAIRS, tokenizer, GenerateParams(), 8)
    assert asked == panel_of(sorted(PAIRS, key=lambda pair: pair.reply), tokenizer, GenerateParams(), 8)
    assert {each.key for each in asked.wanted} <= {pair.tweet_id for pair in PAIRS if pair.split == "dev"}
    assert panel_of([pair for pair in PAIRS if pair.split != "dev"], tokenizer, GenerateParams()).wanted == []


def test_keeping_until_a_step_of_a_file_that_is_not_there_makes_none(tmp_path):
    keep_until(tmp_path / PANEL, 3)
    assert not (tmp_path / PANEL).exists()


def test_the_log_holds_norms_rates_and_perplexities(seen):
    rows = seen[1][0]
    named = {name: [row for row in rows if name in row] for name in ("train", "dev", "train_eval", "gradient_norm", "learning_rate", "dev_perplexity")}
    assert all(named.values()) and [row["step"] for row in named["dev"]] == [0, 2, 4, 6]
    assert all(row["dev_perplexity"] == pytest.approx(math.exp(row["dev"])) for row in named["dev"])
    assert watch.loss_rows([{"step": 1, "eval_dev_loss": 1e4}])[0]["dev_perplexity"] is None


def test_hostile_replies_are_text_in_the_table():
    rows = [{"step": step, "tweet_id": "1", "reply": "<script>alert(1)</script>" if step else None, "finished": True, "reason": "empty"} for step in (0, 1)]
    html = panel_table(rows, {"1": "<img src=x onerror=alert(1)>"}).to_html()
    assert "<script" not in html and "<img" not in html and "(none: empty)" in html


# trackers

def lines_of(folder: Path) -> list[tuple]:
    with sqlite3.connect(folder / "trackio/replytune.db") as store:
        return [(step, json.loads(row)) for step, row in store.execute("select step, metrics from metrics order by id")]


def test_trackio_holds_what_the_log_holds_and_no_secret(tmp_path, monkeypatch):
    secret = "sk-planted-tracker-secret"
    for name in SECRETS: monkeypatch.setenv(name, secret)
    copy = sample_copy("05_generate")
    from replytune.generate import generate_stage
    generate_stage(GenerateParams(run=str(copy.folder), tweets_max=2, max_new_tokens=4))
    train_stage(TrainParams(run=str(copy.folder), max_steps=2, evaluate_steps=1, panel_tweets=1, learning_rate=0.05))
    notes = Run(copy.folder).manifest()["06_train"]["notes"]
    assert "tracker" not in notes, notes.get("tracker")
    logged = [(row["step"], {key: value for key, value in row.items() if key != "step"}) for row in read_rows(copy / "training_log.jsonl")]
    assert sorted(map(str, lines_of(copy.folder))) == sorted(map(str, logged))
    assert not [path for path in (copy.folder / "trackio").rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    rows = read_rows(copy / PANEL)
    assert [row["step"] for row in rows] == [0, 1, 2] and "panel.jsonl" in Run(copy.folder).manifest()["06_train"]["wrote"]
    estimate, measured = notes["estimate"], notes["measured"]
    assert estimate["steps"] == 2 and estimate["peak memory"] > 1e6 and measured["peak memory"] > 1e8 and measured["seconds"] >= 0


@pytest.mark.parametrize("code, lines, said", [
    ("raise SystemExit('no such project')", 5, "ended with code 1|takes no more lines"),
    ("import sys; sys.stdin.readline(); raise RuntimeError('full')", 5, "ended with code 1|takes no more lines"),
    ("import time; time.sleep(60)", 5, "was stopped"),
    ("import time; time.sleep(60)", 3000, "takes no more lines"),  # more than a pipe holds
    ("import os, sys; os.close(0); import time; time.sleep(60)", 5, "takes no more lines|was stopped"),
])
def test_a_tracker_that_fails_or_hangs_costs_a_sentence(code, lines, said, tmp_path, monkeypatch):
    import re
    real = subprocess.Popen
    monkeypatch.setattr(watch, "GRACE", 0.5)
    monkeypatch.setattr(watch.subprocess, "Popen", lambda command, **more: real([sys.executable, "-c", code], **more))
    tracker, began = Tracker("trackio", tmp_path / "run", {"rank": 1}), time.monotonic()
    for step in range(lines): tracker.send({"step": step, "train": 1.0, "padding": "x" * 100})
    told = tracker.close()
    assert re.search(said, told) and told.startswith("trackio: the copies are not whole") and time.monotonic() - began < 20
    assert tracker.process.poll() is not None and str(tmp_path) not in told


def test_a_folder_that_cannot_be_written_costs_a_sentence(tmp_path):
    (tmp_path / "run").write_text("a file where the folder should be")
    tracker = Tracker("trackio", tmp_path / "run", {})
    tracker.send({"step": 1})
    told = tracker.close()
    assert "the copies are not whole" in told and str(tmp_path) not in told


def test_a_training_that_goes_on_has_each_row_once_and_the_environment_sends_no_copy_elsewhere(seen, tmp_path, monkeypatch):
    for name in ("TRACKIO_SERVER_URL", "TRACKIO_SPACE_ID", "TRACKIO_DIR"): monkeypatch.setenv(name, "http://127.0.0.1:9/elsewhere")
    shutil.copytree(seen[0], tmp_path / "run")
    (tmp_path / "run/checkpoints" / FINISHED).unlink()
    shutil.rmtree(tmp_path / "run/checkpoints/checkpoint-6")
    earlier = Tracker("trackio", tmp_path / "run", {})
    for row in seen[1][0]: earlier.send(row)
    assert earlier.close() == ""
    tracker = Tracker("trackio", tmp_path / "run", {})
    train_adapter(PARAMS, "tiny-qwen3", PLAIN, FEW, tmp_path / "run/checkpoints", tmp_path / "run/adapter", watching=[watch.tracker_callback(tracker)])
    assert tracker.close() == ""
    told = [(row["step"], {key: value for key, value in row.items() if key != "step"}) for row in seen[1][0]]
    assert sorted(map(str, lines_of(tmp_path / "run"))) == sorted(map(str, told))


def test_trackio_asks_nobody(tmp_path):
    "A process of the tracker's own kind, in which every connection is an error"
    guard = ("import socket\n"
             "def refuse(self, address, *more):\n"
             "    if self.family != socket.AF_UNIX and address[0] not in ('127.0.0.1', '::1', 'localhost'): raise SystemExit(f'asked {address}')\n"
             "socket.socket.connect = socket.socket.connect_ex = refuse\n"
             "from replytune.watch import copy_lines\ncopy_lines('trackio', 'replytune', 'run')")
    lines = "".join(json.dumps(row) + "\n" for row in ({"rank": 16}, {"step": 1, "train": 2.0}))
    done = subprocess.run([sys.executable, "-c", guard], input=lines, capture_output=True, text=True, env=os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio")}, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    assert lines_of(tmp_path) == [(1, {"train": 2.0})]


def test_a_tracker_that_is_not_installed_is_an_error_before_the_training():
    with pytest.raises(ParameterError, match="tracker: 'wandb'.*or tracker: none"): check_tracker("wandb")
    with pytest.raises(ValueError, match="tracker"): TrainParams(tracker="mlflow")


# estimate

def test_a_model_that_the_budget_does_not_know_trains_all_the_same(monkeypatch):
    def unknown(*_, **__): raise StageError("the memory of 'gemma' models is not known")
    monkeypatch.setattr("replytune.budget.budget", unknown)
    assert estimate_of(FEW, PARAMS, None, "tiny-qwen3", PLAIN) == {"unavailable": "the memory of 'gemma' models is not known"}


# in a notebook

CELLS = """
from replytune.schema import Pair
from replytune.run import sample_rows
from replytune.models import Precision
from replytune.train import TrainParams, train_adapter
from replytune.watch import live_chart
import tempfile, pathlib
pairs = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]
few = [pair for pair in pairs if pair.split == "train"][:8] + [pair for pair in pairs if pair.split == "dev"][:4]
folder = pathlib.Path(tempfile.mkdtemp())
_ = train_adapter(TrainParams(max_steps=4, evaluate_steps=2, accumulation=1), "tiny-qwen3", Precision("none", "float32"), few, folder / "c", folder / "a", watching=[live_chart(0.0)])
"""


def test_the_chart_grows_in_a_notebook_and_its_last_drawing_stays(tmp_path):
    from nbclient import NotebookClient
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELLS)], metadata={"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}})
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    drawn = [output["data"] for output in notebook.cells[0].outputs if output["output_type"] == "display_data" and "image/svg+xml" in output["data"]]
    assert len(drawn) == 1 and "over 4 steps" in drawn[0]["text/plain"]
    assert watch.live_chart() is None, "this is no notebook"


TRAIN = """
import sys
from pathlib import Path
from test_watch import FEW, PARAMS, PLAIN, panel
from replytune.train import train_adapter
train_adapter(PARAMS, "tiny-qwen3", PLAIN, FEW, Path(sys.argv[1]) / "checkpoints", Path(sys.argv[1]) / "adapter", panel())
"""


@pytest.mark.slow
@pytest.mark.parametrize("rows", [2, 3, 5])
def test_killed_while_the_panel_is_written_it_ends_with_the_same_rows(seen, rows, tmp_path):
    call = [sys.executable, "-c", TRAIN, str(tmp_path)]
    own = os.environ | {"PYTHONPATH": f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"}
    process, log = subprocess.Popen(call, env=own), tmp_path / "checkpoints" / PANEL
    while process.poll() is None and (not log.exists() or log.read_bytes().count(b"\n") < rows): time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(call, env=own, check=True)
    assert read_rows(log) == read_rows(seen[0] / "checkpoints" / PANEL) and weights(tmp_path / "adapter") == weights(seen[0] / "adapter")
