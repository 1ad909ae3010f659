"""The whole line through papermill on the toy model: done once, skipped when unchanged, refused when tampered with."""
import json
import subprocess
import sys
from pathlib import Path

import papermill
import pytest
import yaml

from replytune.report import EXIT_CODES, main, run_line
from replytune.schema import ParameterError, Run, SECRETS, STAGES, StageError, project_root, read_params, read_rows, sha256, why_run

ROOT = project_root()
TOY = {"common": {"seed": 17}, "01_collect": {"dumps": ["nbs/sample/raw.json"]}, "03_clean": {"test_share": 0.3, "dev_share": 0.15},
       "05_generate": {"model": "tiny-qwen3", "max_new_tokens": 12}, "06_train": {"max_steps": 4, "evaluate_steps": 2}}


def hashes(run: Run) -> dict[str, str]:
    "Everything the stages wrote, by hash; the report tells the time of nothing, so it counts too"
    return {name: sha256(run / name) for section in run.manifest().values() for name in section["wrote"]}


@pytest.fixture(scope="module")
def params_file(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("params") / "toy.yaml"
    path.write_text(yaml.safe_dump(TOY))
    return str(path)


SECRET = "sk-a-secret-that-must-not-be-written-7f3a"


@pytest.fixture(scope="module")
def line(tmp_path_factory, params_file) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "toy"
    with pytest.MonkeyPatch.context() as patch:
        for name in SECRETS: patch.setenv(name, SECRET)
        assert run_line(str(folder), params_file) == len(STAGES)
    return Run(folder)


def test_no_secret_reaches_a_file(line):
    assert not [path for path in line.folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_every_file_and_section_is_there(line):
    manifest = line.manifest()
    assert list(manifest) == list(STAGES)
    for name in ("raw/raw.json", "pairs.jsonl", "valid.jsonl", "rejected.jsonl", "clean.jsonl", "duplicates.jsonl", "reviews/written_rules.jsonl", "reviewed.jsonl",
                 "generations/base.jsonl", "generations/rag.jsonl", "generations/human.jsonl", "generations/null.jsonl", "generations/tuned.jsonl",
                 "judgements.jsonl", "stats.json", "report.html", "figures/contrasts.svg", "adapter/adapter_model.safetensors", "notebooks/06_train.ipynb"):
        assert (line / name).is_file(), name
    assert (line / "raw/raw.json").read_bytes() == (ROOT / "nbs/sample/raw.json").read_bytes()
    stats = json.loads((line / "stats.json").read_text())
    assert {"decision", "estimate", "low", "high", "n_tweets", "n_needed", "contrasts"} <= set(stats)
    for section in manifest.values(): assert section["packages"]["torch"].startswith("2.13") and section["code"]


def test_nothing_is_lost_on_the_way(line):
    rows = {name: read_rows(line / f"{name}.jsonl") for name in ("pairs", "skipped", "valid", "rejected", "clean", "duplicates", "reviewed", "reviews_rejected")}
    items = line.manifest()["01_collect"]["counts"]["items"]
    assert items == len(rows["pairs"]) + len(rows["skipped"]) == len(json.loads((line / "raw/raw.json").read_text()))
    assert len(rows["pairs"]) == len(rows["valid"]) + len(rows["rejected"])
    assert len(rows["valid"]) == len(rows["clean"]) + len(rows["duplicates"])
    assert len(rows["clean"]) == len(rows["reviewed"]) + len(rows["reviews_rejected"])


def test_no_test_text_reaches_training_or_retrieval(line):
    pairs = read_rows(line / "reviewed.jsonl")
    side = {}
    for pair in pairs: side.setdefault(pair["tweet_id"], set()).add(pair["split"])
    assert all(len(splits) == 1 for splits in side.values())
    split_of = {pair["reply_id"]: pair["split"] for pair in pairs}
    shown = {reply for row in read_rows(line / "generations/rag.jsonl") for reply in row["neighbours"]}
    assert shown and {split_of[reply] for reply in shown} == {"train"}
    prompts = {arm: [row["prompt"] for row in read_rows(line / f"generations/{arm}.jsonl")] for arm in ("base", "null", "tuned")}
    assert prompts["base"] == prompts["null"] == prompts["tuned"]


def test_second_run_skips_everything(line, params_file, capsys):
    before = hashes(line)
    assert run_line(str(line.folder), params_file) == 0
    assert capsys.readouterr().out.count("done before, unchanged: skipped") == len(STAGES)
    assert hashes(line) == before


def test_force_repeats_with_the_same_results(line, params_file):
    before = hashes(line)
    assert run_line(str(line.folder), params_file, "01", "03", force=True) == 3
    assert hashes(line) == before


def test_verdict_and_provenance(line, capsys):
    decision = json.loads((line / "stats.json").read_text())["decision"]
    assert main(["verdict", str(line.folder)]) == EXIT_CODES[decision]
    assert "pipeline check" in capsys.readouterr().out
    assert main(["provenance", str(line.folder)]) == 0


@pytest.fixture
def copied(line, tmp_path) -> Run:
    import shutil
    shutil.copytree(line.folder, tmp_path / "copy")
    return Run(tmp_path / "copy")


def test_changed_input_is_refused_by_name(copied, params_file, capsys):
    with open(copied / "valid.jsonl", "a") as file: file.write((copied / "valid.jsonl").read_text().splitlines()[0] + "\n")
    assert main(["run", "--run", str(copied.folder), "--params", params_file, "--from", "03", "--to", "03", "--no-notebooks"]) == 1
    message = capsys.readouterr().err
    assert "valid.jsonl changed since 02_validate wrote it" in message and "FROM=02" in message
    assert main(["provenance", str(copied.folder)]) == 1


def test_missing_and_unfinished_inputs_are_refused(copied, params_file, capsys):
    copied.save_section("05_generate", None)
    assert main(["run", "--run", str(copied.folder), "--params", params_file, "--from", "07", "--to", "07", "--no-notebooks"]) == 1
    assert "did not finish" in (message := capsys.readouterr().err) and "FROM=05" in message
    (copied / "clean.jsonl").unlink()
    assert main(["run", "--run", str(copied.folder), "--params", params_file, "--from", "04", "--to", "04", "--no-notebooks"]) == 1
    assert "clean.jsonl is missing although 03_clean wrote it" in capsys.readouterr().err


def test_changed_parameters_and_reviews_are_noticed(copied, params_file):
    params = read_params(params_file)
    changed = params["02_validate"].model_copy(update={"followers_max": 5})
    assert why_run(copied, "02_validate", changed) == "parameters changed: followers_max"
    with open(copied / "reviews/someone.jsonl", "w") as file: file.write("")
    assert why_run(copied, "04_review", params["04_review"]) == "reviews/ was added to"


def test_undecided_pairs_stop_the_line(copied, tmp_path, capsys):
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(TOY | {"04_review": {"decisions": []}}))
    (copied / "reviews/written_rules.jsonl").write_text("".join((copied / "reviews/written_rules.jsonl").read_text().splitlines(True)[:300]))
    assert main(["run", "--run", str(copied.folder), "--params", str(tmp_path / "few.yaml"), "--from", "04", "--to", "04", "--no-notebooks"]) == 1
    assert "undecided" in (message := capsys.readouterr().err) and "make lab" in message and "FROM=04" in message


@pytest.mark.parametrize("text, complaint", [
    ("02_validate: {followers_maximum: 5}", "did you mean `followers_max`"), ("02_validat: {}", "unknown section"), ("common: {sed: 1}", "belong to no stage"),
    ("06_train: {gradient_checkpointing: maybe}", "gradient_checkpointing"), ("06_train: {rank: true}", "true/false given"), ("06_train: {rank: 1.5}", "rank"),
    ("- a list", "must map"), ("06_train: [1]", "must be a mapping"), ("a: [", "not YAML"), ("02_validate: {tweet_likes_min: -1}", "tweet_likes_min")])
def test_bad_parameters_are_errors_before_anything_runs(tmp_path, text, complaint):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ParameterError, match=complaint.replace("(", r"\(")): run_line(str(tmp_path / "run"), str(tmp_path / "bad.yaml"))
    assert not (tmp_path / "run").exists()


def test_spelled_numbers_and_flags_become_what_they_spell(tmp_path):
    (tmp_path / "spelled.yaml").write_text('06_train: {learning_rate: 2e-4, gradient_checkpointing: "false"}\n01_collect: {collected_at: 2026-06-01T00:00:00Z}')
    params = read_params(tmp_path / "spelled.yaml")
    assert params["06_train"].learning_rate == 0.0002 and params["06_train"].gradient_checkpointing is False
    assert params["01_collect"].collected_at == "2026-06-01T00:00:00Z"


def test_a_papermill_parameter_wins_and_an_unknown_one_stops(tmp_path):
    command = [sys.executable, "-m", "papermill", str(ROOT / "nbs/02_validate.ipynb"), str(tmp_path / "out.ipynb"), "--cwd", str(ROOT / "nbs"), "--no-progress-bar"]
    done = subprocess.run([*command, "-p", "followers_max", "777"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "'followers_max': 777" in (tmp_path / "out.ipynb").read_text()
    done = subprocess.run([*command, "-p", "followers_maximum", "777"], capture_output=True, text=True)
    assert done.returncode == 1 and "did you mean `followers_max`" in done.stderr


def test_two_commands_cannot_share_a_run(tmp_path, params_file):
    import fcntl
    (tmp_path / "run").mkdir()
    with open(tmp_path / "run/.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StageError, match="another command"): run_line(str(tmp_path / "run"), params_file)


def test_errors_of_a_stage_are_told_as_they_are(tmp_path, capsys):
    (tmp_path / "lost.yaml").write_text("01_collect: {dumps: [nowhere/items.json]}")
    assert main(["run", "--run", str(tmp_path / "run"), "--params", str(tmp_path / "lost.yaml")]) == 1
    assert "01_collect: StageError: 01_collect: there is no file nowhere/items.json" in capsys.readouterr().err
    assert (tmp_path / "run/notebooks/01_collect.ipynb").exists()
