"""The whole line through papermill on the toy model: done once, skipped when unchanged, refused when tampered with."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from replytune.agreement import judges_agree
from replytune.line import EXIT_CODES, job_of, main, run_line, run_stage
from replytune.schema import ParameterError, STAGES, StageError
from replytune.files import project_root, read_rows, sha256, to_lines, write_text
from replytune.params import SECRETS, read_params, stage_module
from replytune.run import SAMPLE_RUN, Run, copy_cache, why_run

from samples import whole_sample

PAGES = "09z"

ROOT = project_root()
TOY = {"common": {"seed": 17}, "01_collect": {"dumps": ["nbs/sample/raw.json"]}, "03b_split": {"test_share": 0.3, "dev_share": 0.15},
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
def line(tmp_path_factory, params_file, sample_vectors) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "toy"
    copy_cache(folder / "cache")  # the texts are the sample's, encoded already
    with pytest.MonkeyPatch.context() as patch:
        for name in SECRETS: patch.setenv(name, SECRET)
        assert run_line(str(folder), params_file) == len(STAGES)
    return Run(folder)


def test_no_secret_reaches_a_file(line):
    assert not [path for path in line.folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_every_file_and_section_is_there(line):
    manifest = line.manifest()
    assert list(manifest) == list(STAGES)
    for name in ("raw/raw.json", "pairs.jsonl", "valid.jsonl", "rejected.jsonl", "deduplicated.jsonl", "duplicates.jsonl", "clean.jsonl", "left_out.jsonl", "split_audit.json", "reviews/written_rules.jsonl", "reviewed.jsonl",
                 "generations/base.jsonl", "generations/rag.jsonl", "generations/human.jsonl", "generations/null.jsonl", "generations/tuned.jsonl",
                 "judgements.jsonl", "stats.json", "report.html", "figures/contrasts.svg", "adapter/adapter_model.safetensors", "notebooks/06_train.ipynb"):
        assert (line / name).is_file(), name
    assert (line / "raw/raw.json").read_bytes() == (ROOT / "nbs/sample/raw.json").read_bytes()
    stats = json.loads((line / "stats.json").read_text())
    assert {"decision", "estimate", "low", "high", "n_tweets", "n_needed", "contrasts"} <= set(stats)
    for section in manifest.values(): assert section["packages"]["torch"].startswith("2.13") and section["code"]


def test_nothing_is_lost_on_the_way(line):
    rows = {name: read_rows(line / f"{name}.jsonl") for name in ("pairs", "skipped", "valid", "rejected", "deduplicated", "duplicates", "clean", "left_out", "reviewed", "reviews_rejected")}
    items = line.manifest()["01_collect"]["counts"]["items"]
    assert items == len(rows["pairs"]) + len(rows["skipped"]) == len(json.loads((line / "raw/raw.json").read_text()))
    assert len(rows["pairs"]) == len(rows["valid"]) + len(rows["rejected"])
    assert len(rows["valid"]) == len(rows["deduplicated"]) + len(rows["duplicates"])
    assert len(rows["deduplicated"]) == len(rows["clean"]) + len(rows["left_out"])
    assert len(rows["clean"]) == len(rows["reviewed"]) + len(rows["reviews_rejected"])


def test_no_test_text_reaches_training_or_retrieval(line):
    pairs = read_rows(line / "reviewed.jsonl")
    found = {}
    for pair in pairs: found.setdefault(pair["tweet_id"], set()).add(pair["split"])
    assert all(len(splits) == 1 for splits in found.values())
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


def test_stages_are_named_by_what_stands_before_their_names(copied, params_file, capsys):
    command = ["run", "--run", str(copied.folder), "--params", params_file, "--no-notebooks"]
    assert main([*command, "--from", "03b", "--to", "04"]) == 0
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == ["03b_split", "04_review"]
    assert main([*command, "--to", "03"]) == 0
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == ["01_collect", "02_validate", "03_clean"], "03 is 03_clean and not what is lettered after it"
    for wrong in (("--from", "3"), ("--to", "10"), ("--from", "04", "--to", "03b"), ("--from", "03c")):
        assert main([*command, *wrong]) == 1 and "stages are 01, 02, 03, 03b, 04" in capsys.readouterr().err


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
    assert "clean.jsonl is missing although 03b_split wrote it" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["verdict", "provenance"])
def test_a_reader_that_has_seen_enough_leaves_no_traceback(command):
    read, write = os.pipe()
    os.close(read)  # gone before the first line, so that the first write fails, however little it is
    code = f"from replytune.line import main; raise SystemExit(main([{command!r}, {SAMPLE_RUN!r}]))"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, cwd=project_root(), env=buffered)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("command", [["verdict", "runs/nope"], ["compare", SAMPLE_RUN, "runs/nope"], ["agreement", "runs/nope"], ["publish", "runs/nope", "a/b"], ["forget", "runs/nope", "x"], ["costs", "runs/nope"]])
def test_a_run_that_is_not_there_is_named(command, capsys):
    assert main(command) == 1 and "there is no run folder runs/nope" in capsys.readouterr().err


@pytest.mark.parametrize(("stage", "slip", "said"), [
    ("03_clean", {"encoder": "mini-lm"}, "did you mean minilm?"), ("05_generate", {"model": "smolm2"}, "did you mean smollm2?"),
    ("06_train", {"evaluate_steps": 7}, "no multiple of log_steps 2"), ("06_train", {"evaluate_steps": 20}, "no evaluation in 18 steps"),
])
def test_slips_are_found_before_the_first_stage(stage, slip, said, tmp_path, capsys):
    given = yaml.safe_load((project_root() / "nbs/params/sample.yaml").read_text())
    if "encoder" in slip: given["common"].pop("encoder")
    given.setdefault(stage, {}).update(slip)
    (tmp_path / "slip.yaml").write_text(yaml.safe_dump(given))
    assert main(["run", "--run", str(tmp_path / "run"), "--params", str(tmp_path / "slip.yaml")]) == 1
    error = capsys.readouterr().err
    assert said in error and stage in error and not (tmp_path / "run").exists()


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
    hold = "import sys, time; from pathlib import Path; from replytune.files import locked\nwith locked(Path(sys.argv[1]) / 'run'): print('held', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", hold, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline().strip() == "held"
        with pytest.raises(StageError, match="another command"): run_line(str(tmp_path / "run"), params_file)
    finally: other.kill()


def test_errors_of_a_stage_are_told_as_they_are(tmp_path, capsys):
    (tmp_path / "lost.yaml").write_text("01_collect: {dumps: [nowhere/items.json]}")
    assert main(["run", "--run", str(tmp_path / "run"), "--params", str(tmp_path / "lost.yaml")]) == 1
    assert "01_collect: StageError: 01_collect: there is no file nowhere/items.json" in capsys.readouterr().err
    assert (tmp_path / "run/notebooks/01_collect.ipynb").exists()


# what makes a finished run stale

def edited_library(folder: Path, *edits: tuple[str, str, str]) -> Path:
    "A copy of the library in which each (module, old, new) is replaced once"
    shutil.copytree(ROOT / "replytune", folder / "replytune")
    for module, old, new in edits:
        path = folder / f"replytune/{module}.py"
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, (module, old)
        path.write_text(text.replace(old, new), encoding="utf-8")
    return folder


def run_with(library: Path, run: Run, params_file: str, *more: str) -> str:
    "What `replytune run` prints with another library in front of ours"
    command = [sys.executable, "-c", "import sys; from replytune.line import main; sys.exit(main(sys.argv[1:]))", "run", "--run", str(run.folder), "--params", params_file, *more]
    done = subprocess.run(command, cwd=ROOT / "nbs", env=os.environ | {"PYTHONPATH": str(library)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def part_of(module: str, start: str, end: str) -> str:
    text = (ROOT / f"replytune/{module}.py").read_text(encoding="utf-8")
    return text[text.index(start) : text.index(end, text.index(start))]


MOVED = part_of("text", "LOOKALIKES = ", "# %%")  # a table and a function: what makes two texts equal
REWORDED = {
    "a comment": [("split", "QUOTED = 40  #", "QUOTED = 40  # and in other words:"), ("train", "    adapter = LoraConfig(", "    # the update\n    adapter = LoraConfig(")],
    "a docstring": [("collect", '"A count, or `None`', '"A number of things, or `None`'), ("ranker", '"The same words in another', '"As many words in another')],
    "a line break": [("bias", "    half = float(stdtrit(count - 1, (1 + confidence) / 2)) *", "    half = float(\n        stdtrit(count - 1, (1 + confidence) / 2)\n    ) *"), ("validate", "return WORD.findall(", "return WORD.findall(  \n        ")],
    "a move to another module": [("text", MOVED, "from replytune.charts import LOOKALIKES, copy_key\n\n"), ("charts", "COLOURS = {", "import re\nimport unicodedata\n\n" + MOVED + "COLOURS = {")],
}


def test_what_means_the_same_leaves_a_finished_run_alone(copied, params_file, tmp_path):
    library = edited_library(tmp_path / "all", *(edit for edits in REWORDED.values() for edit in edits))
    assert run_with(library, copied, params_file).count("done before, unchanged: skipped") == len(STAGES)


@pytest.mark.parametrize("change", [("split", "QUOTED = 40", "QUOTED = 41"), ("vectors", "later = columns > rows", "later = columns >= rows"), ("validate", "def line_of(words: list[str])", "def line_of(words: list[str], join=0)")], ids=["a number", "an operator", "a default"])
def test_what_means_something_else_is_seen(copied, params_file, tmp_path, change):
    library = edited_library(tmp_path / "one", change)
    stage = {"validate": "02", "vectors": "03", "split": "03b"}[change[0]]
    assert "running (its code changed)" in run_with(library, copied, params_file, "--from", stage, "--to", stage, "--no-notebooks")


# jobs

@pytest.mark.parametrize("stage", STAGES)
def test_a_job_has_the_parameters_their_check_and_the_work_and_no_lesson(stage):
    job, name = job_of(stage), stage_module(stage)
    assert [cell.cell_type for cell in job.cells] == ["markdown", "code", "code", "code", "code"]
    assert job.cells[1].source.startswith(f"from replytune.{name} import") and "parameters" in job.cells[2].metadata.tags
    assert "from_notebook(globals())" in job.cells[3].source and job.cells[4].source.startswith(f"{name}_stage(params)")


def test_a_failing_lesson_stops_nobody_who_did_not_ask_for_lessons(copied, tmp_path, monkeypatch):
    pages = tmp_path / "project/nbs"
    pages.mkdir(parents=True)
    page = nbformat.read(ROOT / "nbs/08_stats.ipynb", as_version=4)
    page.cells.insert(-1, nbformat.v4.new_code_cell('assert False, "a lesson that fails"'))
    nbformat.write(page, pages / "08_stats.ipynb")
    monkeypatch.setattr("replytune.line.project_root", lambda: tmp_path / "project")
    params = read_params(ROOT / "nbs/params/sample.yaml")["08_stats"]
    run_stage("08_stats", params, copied.folder)
    with pytest.raises(StageError, match="a lesson that fails"): run_stage("08_stats", params, copied.folder, lessons=True)


def test_two_judges_are_held_against_each_other_on_the_replies_that_both_saw(tmp_path, capsys):
    one, other = (whole_sample(tmp_path / name) for name in ("one", "other"))
    def rewritten(name: str, change):
        write_text(other / name, to_lines([change(row) for row in read_rows(other / name)]))
        for each, section in Run(other).manifest().items():
            parts = {part: section[part] | {name: sha256(other / name)} for part in ("wrote", "read") if name in section[part]}
            if parts: Run(other).save_section(each, section | parts)
    assert judges_agree(str(one), str(other))["tuned-base"]["kappa"] == 1.0
    rewritten("judgements.jsonl", lambda row: row | {"score_first": 1 - row["score_first"]})
    against = judges_agree(str(one), str(other))["tuned-base"]
    assert against["kappa"] < -0.5 and against["questions"] == 31
    first = read_rows(other / "generations/base.jsonl")[0]["tweet_id"]
    rewritten("generations/base.jsonl", lambda row: row | {"reply": "another reply"} if row["tweet_id"] == first else row)
    assert judges_agree(str(one), str(other))["tuned-base"]["questions"] == 30
    assert main(["agreement", str(one), str(other)]) == 0 and '"kappa, low"' in capsys.readouterr().out
    assert main(["agreement", str(one)]) == 0
    (one / "ratings.jsonl").unlink()
    assert main(["agreement", str(one)]) == 1 and "ratings.jsonl" in capsys.readouterr().err
