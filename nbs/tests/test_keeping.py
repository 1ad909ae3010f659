"""What happens to people's words after the curation: forgetting, handing on, and the seal of the test side."""
import json
import shutil

import numpy
import pytest

from replytune.clean import CleanParams, SEALS, Vectors, break_seal, clean_stage, export_dataset, forget, test_side
from replytune.collect import CollectParams, collect_stage, read_items
from replytune.judge import JudgeParams, judge_stage
from replytune.report import label_of, main
from replytune.review import ReviewParams, review_stage
from replytune.schema import Pair, Run, StageError, check_input, read_rows, resolve, sample_rows, sha256, to_lines, write_text
from replytune.validate import ValidateParams, validate_stage

test_side.__test__ = False


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    "The stored sample run, its first four stages made again so that raw items and caches are there"
    folder = tmp_path_factory.mktemp("prepared") / "run"
    shutil.copytree(resolve("nbs/results/sample"), folder)
    collect_stage(CollectParams(run=str(folder), collected_at="2026-06-01T00:00:00Z"))
    validate_stage(ValidateParams(run=str(folder)))
    clean_stage(CleanParams(run=str(folder), test_share=0.3, dev_share=0.15, seed=17))
    review_stage(ReviewParams(run=str(folder), decisions=["nbs/sample/reviews/written_rules.jsonl"]))
    return folder


@pytest.fixture
def run(prepared, tmp_path): return Run(shutil.copytree(prepared, tmp_path / "run"))


def everything(run: Run) -> str:
    return "\n".join(path.read_text(errors="replace") for path in run.folder.rglob("*") if path.is_file() and path.suffix != ".f32")


def test_an_author_is_forgotten_everywhere_and_the_line_goes_on(run):
    pair = next(row for row in sample_rows("reviewed.jsonl") if row["split"] == "train")
    author = pair["reply_author"]
    assert author in everything(run) and sha256(pair["reply"])[:32] in everything(run)
    answer = forget(run.folder, "@" + author.upper())
    left = everything(run)
    assert author not in left and pair["reply"][:60] not in left and sha256(pair["reply"])[:32] not in left
    assert {"raw/raw.json", "pairs.jsonl", "clean.jsonl", "reviewed.jsonl", "cache"} <= set(answer["removed"]) and answer["make again"] == ["06_train", "07_judge", "08_stats", "09_report"]
    assert answer["not ours to change"] == ["nbs/sample/raw.json", "nbs/sample/reviews/written_rules.jsonl"]
    for name in ("pairs.jsonl", "valid.jsonl", "clean.jsonl", "reviewed.jsonl", "generations/base.jsonl"): check_input(run, name)
    keys = next((run / "cache").glob("vectors*.jsonl"))
    assert numpy.fromfile(keys.with_suffix(".f32"), "float32").size == 384 * len(read_rows(keys))
    assert len(list(read_items(run / "raw/raw.json"))) == 865 - answer["removed"]["raw/raw.json"]


def test_a_tweet_is_forgotten_with_its_replies_and_a_test_tweet_needs_no_training(run):
    tweet = next(row for row in sample_rows("reviewed.jsonl") if row["split"] == "test")["tweet_id"]
    answer = forget(run.folder, tweet)
    assert tweet not in everything(run) and "06_train" not in answer["make again"] and {"generations/tuned.jsonl", "judgements.jsonl"} <= set(answer["removed"])


def test_nobody_is_forgotten_for_nothing(run):
    before = everything(run)
    answer = forget(run.folder, "nobody_of_that_name")
    assert answer["removed"] == {} and answer["make again"] == [] and everything(run) == before


def test_load_dataset_reads_what_is_handed_on(tmp_path):
    from datasets import load_dataset
    folder = export_dataset("nbs/results/sample", tmp_path / "ids")
    loaded = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {side: len(rows) for side, rows in loaded.items()} == {side: sum(row["split"] == side for row in sample_rows("reviewed.jsonl")) for side in ("train", "dev", "test")}
    assert "reply" not in loaded["test"].column_names and "Invented sample" in (folder / "README.md").read_text()
    with pytest.raises(StageError, match="is not empty"): export_dataset("nbs/results/sample", folder)
    whole = load_dataset(str(export_dataset("nbs/results/sample", tmp_path / "texts", texts=True)), cache_dir=str(tmp_path / "cache"))
    assert whole["train"][0]["reply"]


def test_the_commands(run, tmp_path, capsys):
    assert main(["export", str(run.folder), str(tmp_path / "out")]) == 0 and (tmp_path / "out/train.jsonl").exists()
    assert main(["forget", str(run.folder), "nobody_of_that_name"]) == 0 and '"removed": {}' in capsys.readouterr().out
    assert main(["export", str(run.folder), str(tmp_path / "out")]) == 1


# the seal

QUICK = dict(contrasts=["tuned-base"], resamples=100)

def real(folder) -> Run:
    "The sample run, signed as if its rows were not the bundled ones"
    shutil.copytree(resolve("nbs/results/sample"), folder)
    run = Run(folder)
    run.save_section("01_collect", run.manifest()["01_collect"] | {"sources": {}})
    return run


def with_model(run: Run, model: str):
    rows = [row | {"model": model} for row in read_rows(run / "generations/tuned.jsonl")]
    write_text(run / "generations/tuned.jsonl", to_lines(rows))
    section = run.manifest()["06_train"]
    run.save_section("06_train", section | {"wrote": section["wrote"] | {"generations/tuned.jsonl": sha256(run / "generations/tuned.jsonl")}})


def test_a_test_side_measures_one_model(tmp_path):
    first, second = real(tmp_path / "first"), real(tmp_path / "second")
    judge_stage(JudgeParams(run=str(first.folder), **QUICK))
    judge_stage(JudgeParams(run=str(first.folder), **QUICK))  # the same model may be measured again
    judge_stage(JudgeParams(run=str(second.folder), **QUICK))
    with_model(second, "another")
    with pytest.raises(StageError, match="measured another model already .run first"): judge_stage(JudgeParams(run=str(second.folder), **QUICK))
    judge_stage(JudgeParams(run=str(second.folder), choose_on_test=True, **QUICK))
    assert len(read_rows(tmp_path / SEALS)) == 2
    assert "2 models were measured on this test side" in label_of(second.manifest()) and "measured" not in label_of(first.manifest())


def test_another_test_side_and_the_sample_carry_no_seal(tmp_path):
    ledger, pairs = tmp_path / SEALS, [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]
    assert test_side(pairs) == test_side(pairs[::-1]) != test_side([pair for pair in pairs if pair.split != "test"][:1] + pairs[:40])
    assert break_seal(ledger, ["a"], "one", "r") == ["one"] and break_seal(ledger, ["b"], "two", "r") == ["two"]
    shutil.copytree(resolve("nbs/results/sample"), tmp_path / "runs" / "sample")
    judge_stage(JudgeParams(run=str(tmp_path / "runs" / "sample"), **QUICK))
    assert not (tmp_path / "runs" / SEALS).exists()


def test_a_seal_that_a_kill_cut_short(tmp_path):
    break_seal(tmp_path / SEALS, ["a"], "one", "r")
    with open(tmp_path / SEALS, "a") as file: file.write('{"test": ["a"], "mod')
    assert break_seal(tmp_path / SEALS, ["a"], "one", "r") == ["one"]
