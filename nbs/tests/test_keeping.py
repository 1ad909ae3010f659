"""What happens to people's words after the curation: forgetting, handing on, and the seal of the test split."""
import json
import shutil

import numpy
import pytest

from replytune.vectors import Vectors
from replytune.clean import CleanParams, clean_stage
from replytune.looks import marks
from replytune.stats import StatsParams
from replytune.split import SEALS, SplitParams, break_seal, split_stage, test_tweets
from replytune.publish import export_dataset
from replytune.forget import forget
from replytune.collect import CollectParams, collect_stage, read_items
from replytune.judge import JUDGES, Judge, JudgeParams, Verdict, judge_stage, planned_rule
from replytune.line import main
from replytune.review import ReviewParams, review_stage
from replytune.schema import Pair, StageError
from replytune.files import read_rows, sha256, to_lines, write_text
from replytune.run import Run, check_input, disclaimer, sample_rows, stored_params
from replytune.validate import ValidateParams, validate_stage

from samples import whole_sample

PAGES = "03 03b 09b 09c"
pytestmark = pytest.mark.usefixtures("sample_vectors", "known_fits")

test_tweets.__test__ = False


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    "The stored sample run, its first five stages made again so that raw items and caches are there"
    folder = tmp_path_factory.mktemp("prepared") / "run"
    whole_sample(folder)
    collect_stage(CollectParams(run=str(folder), collected_at="2026-06-01T00:00:00Z"))
    validate_stage(ValidateParams(run=str(folder)))
    clean_stage(CleanParams(run=str(folder)))
    split_stage(SplitParams(run=str(folder), test_share=0.3, dev_share=0.15, seed=17))
    review_stage(ReviewParams(run=str(folder), decisions=["nbs/sample/reviews/written_rules.jsonl"]))
    return folder


@pytest.fixture
def run(prepared, tmp_path): return Run(shutil.copytree(prepared, tmp_path / "run"))


def everything(run: Run) -> str:
    return "\n".join(path.read_text(errors="replace") for path in sorted(run.folder.rglob("*")) if path.is_file() and path.suffix not in (".f32", ".lock"))


def test_an_author_is_forgotten_everywhere_and_the_line_goes_on(run):
    pair = next(row for row in sample_rows("reviewed.jsonl") if row["split"] == "train")
    author = pair["reply_author"]
    assert author in everything(run) and sha256(pair["reply"])[:32] in everything(run)
    answer = forget(run.folder, "@" + author.upper())
    left = everything(run)
    assert author not in left and pair["reply"][:60] not in left and sha256(pair["reply"])[:32] not in left
    assert {"raw/raw.json", "pairs.jsonl", "deduplicated.jsonl", "clean.jsonl", "reviewed.jsonl", "cache"} <= set(answer["removed"]) and answer["make again"] == ["06_train", "07_judge", "08_stats", "09_report"]
    assert answer["not ours to change"] == ["nbs/sample/raw.json", "nbs/sample/reviews/written_rules.jsonl"]
    for name in ("pairs.jsonl", "valid.jsonl", "deduplicated.jsonl", "clean.jsonl", "reviewed.jsonl", "generations/base.jsonl"): check_input(run, name)
    keys = next((run / "cache").glob("vectors*.jsonl"))
    assert numpy.fromfile(keys.with_suffix(".f32"), "float32").size == 384 * len(read_rows(keys))
    assert len(list(read_items(run / "raw/raw.json"))) == 865 - answer["removed"]["raw/raw.json"]


def test_a_tweet_is_forgotten_with_its_replies_and_a_test_tweet_needs_no_training(run):
    tweet = next(row for row in sample_rows("reviewed.jsonl") if row["split"] == "test")["tweet_id"]
    answer = forget(run.folder, tweet)
    assert tweet not in everything(run) and "06_train" not in answer["make again"] and {"generations/tuned.jsonl", "judgements.jsonl"} <= set(answer["removed"])


def test_what_the_split_left_out_is_forgotten_too(run):
    "Such a row names nobody: it is found by the reply's id"
    split_stage(SplitParams(run=str(run.folder), test_share=0.3, dev_share=0.15, seed=17, isolate_authors=True))
    row = read_rows(run / "left_out.jsonl")[0]
    author = next(pair["reply_author"] for pair in read_rows(run / "pairs.jsonl") if pair["reply_id"] == row["reply_id"])
    answer = forget(run.folder, author)
    assert answer["removed"]["left_out.jsonl"] >= 1 and row["reply"] not in everything(run) and check_input(run, "left_out.jsonl")


def test_nobody_is_forgotten_for_nothing(run):
    before = everything(run)
    answer = forget(run.folder, "nobody_of_that_name")
    assert answer["removed"] == {} and answer["make again"] == [] and sorted(everything(run).split("\n")) == sorted(before.split("\n"))


def test_load_dataset_reads_what_is_handed_on(tmp_path):
    from datasets import load_dataset
    folder = export_dataset("nbs/results/sample", tmp_path / "ids")
    loaded = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {split: sum(row["split"] == split for row in sample_rows("reviewed.jsonl")) for split in ("train", "dev", "test")}
    assert "reply" not in loaded["test"].column_names and "Invented sample" in (folder / "README.md").read_text()
    with pytest.raises(StageError, match="is not empty"): export_dataset("nbs/results/sample", folder)
    whole = load_dataset(str(export_dataset("nbs/results/sample", tmp_path / "texts", texts=True)), cache_dir=str(tmp_path / "cache"))
    assert whole["train"][0]["reply"]


def test_the_commands(run, tmp_path, capsys):
    assert main(["export", str(run.folder), str(tmp_path / "out")]) == 0 and (tmp_path / "out/train.jsonl").exists()
    assert main(["forget", str(run.folder), "nobody_of_that_name"]) == 0 and '"removed": {}' in capsys.readouterr().out
    assert main(["export", str(run.folder), str(tmp_path / "out")]) == 1


# the seal

QUICK = dict(contrasts=["tuned-base"], resamples=100, rate_arms=False, try_variants=False)

def real(folder) -> Run:
    "The sample run, signed as if its rows were not the bundled ones"
    whole_sample(folder)
    run = Run(folder)
    run.save_section("01_collect", run.manifest()["01_collect"] | {"sources": {}})
    return run


def with_model(run: Run, model: str):
    rows = [row | {"model": model} for row in read_rows(run / "generations/tuned.jsonl")]
    write_text(run / "generations/tuned.jsonl", to_lines(rows))
    section = run.manifest()["06_train"]
    run.save_section("06_train", section | {"wrote": section["wrote"] | {"generations/tuned.jsonl": sha256(run / "generations/tuned.jsonl")}})


def test_a_test_split_measures_one_model(tmp_path):
    first, second = real(tmp_path / "first"), real(tmp_path / "second")
    judge_stage(JudgeParams(run=str(first.folder), **QUICK))
    judge_stage(JudgeParams(run=str(second.folder), **QUICK))  # the same model may be measured again
    with_model(second, "another")
    with pytest.raises(StageError, match="measured something else already .run first.*another model"): judge_stage(JudgeParams(run=str(second.folder), **QUICK))
    judge_stage(JudgeParams(run=str(second.folder), choose_on_test=True, **QUICK))
    assert len(read_rows(tmp_path / SEALS)) == 2
    assert "2 things were measured on this test split" in disclaimer(second.manifest()) and "measured" not in disclaimer(first.manifest())


def thing(measured: str, model: str = "m", **more) -> dict: return {"measured": measured, "model": model, "judge": "ranker", "run": "r", **more}


def test_another_test_split_and_the_sample_carry_no_seal(tmp_path):
    ledger, pairs = tmp_path / SEALS, [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]
    assert test_tweets(pairs) == test_tweets(pairs[::-1]) != test_tweets([pair for pair in pairs if pair.split != "test"][:1] + pairs[:40])
    assert break_seal(ledger, ["a"], thing("one")) == break_seal(ledger, ["b"], thing("two")) == []
    whole_sample(tmp_path / "runs" / "sample")
    judge_stage(JudgeParams(run=str(tmp_path / "runs" / "sample"), **QUICK))
    assert not (tmp_path / "runs" / SEALS).exists()


def test_a_test_split_that_drifts_carries_its_models_along(tmp_path):
    "Each test split shares six of ten with the one before it, and the third two of ten with the first"
    ledger, first, second, third = tmp_path / SEALS, [*"abcdefghij"], [*"efghijklmn"], [*"ijklmnopqr"]
    assert break_seal(ledger, first, thing("one")) == [] and [row["look"] for row in break_seal(ledger, second, thing("one"), choose=True)] == [True]
    assert len(read_rows(ledger)) == 2
    with pytest.raises(StageError, match="measured something else already"): break_seal(ledger, third, thing("two"))


@pytest.mark.parametrize("other, differs", [({"model": "n"}, "another model"), ({"judge": "claude"}, "another judge"), ({"rule": {"better_by": 0.05}}, "another rule"), ({}, "another sampling, seed or settings")])
def test_whatever_shapes_a_measurement_makes_it_another_one(tmp_path, other, differs):
    break_seal(tmp_path / SEALS, ["a", "b"], thing("one", rule={"better_by": 0.075}))
    with pytest.raises(StageError, match=differs): break_seal(tmp_path / SEALS, ["a", "b"], thing("two", rule={"better_by": 0.075}) | other)
    before = break_seal(tmp_path / SEALS, ["a", "b"], thing("two") | other, choose=True)
    assert [(row["measured"], row["look"], row["tweets"]) for row in before] == [("one", False, 2)]


def test_looks_are_counted_against_their_plan(tmp_path):
    ledger, tweets = tmp_path / SEALS, [f"t{number}" for number in range(400)]
    assert break_seal(ledger, tweets[:100], thing("one"), looks=3) == []
    assert [row["tweets"] for row in break_seal(ledger, tweets[:200], thing("one"), looks=3)] == [100]
    assert [row["tweets"] for row in break_seal(ledger, tweets[:200], thing("one"), looks=3)] == [100]  # after a crash
    assert len(break_seal(ledger, tweets[:300], thing("one"), looks=3)) == 2
    with pytest.raises(StageError, match="looked at before, at 100, 200, 300 tweets, and 3 looks were planned"): break_seal(ledger, tweets, thing("one"), looks=3)
    assert all(row["look"] for row in break_seal(ledger, tweets, thing("one"), looks=3, choose=True))


def test_a_ledger_that_knows_models_alone_still_counts(tmp_path):
    (tmp_path / SEALS).write_text('{"test": ["a"], "model": "m", "run": "old"}\n')
    assert break_seal(tmp_path / SEALS, ["a"], thing("one")) == []  # the same model, measured again
    with pytest.raises(StageError, match="run old"): break_seal(tmp_path / SEALS, ["a"], thing("two", "n"))


def test_a_second_seed_of_one_adapter_is_a_second_measurement(tmp_path):
    first, second = real(tmp_path / "first"), real(tmp_path / "second")
    judge_stage(JudgeParams(run=str(first.folder), **QUICK))
    rows = [row | {"seed": 99} for row in read_rows(second / "generations/tuned.jsonl")]
    write_text(second / "generations/tuned.jsonl", to_lines(rows))
    section = second.manifest()["06_train"]
    second.save_section("06_train", section | {"wrote": section["wrote"] | {"generations/tuned.jsonl": sha256(second / "generations/tuned.jsonl")}})
    with pytest.raises(StageError, match="another sampling, seed"): judge_stage(JudgeParams(run=str(second.folder), **QUICK))
    judge_stage(JudgeParams(run=str(second.folder), choose_on_test=True, **QUICK))
    signed = json.loads((second / "registered.json").read_text())
    assert [row["run"] for row in signed["before"]] == ["first"] and "measured 2 things" in marks(signed, stored_params(StatsParams()))[0]


class Paid(Judge):
    "Costs something, and counts"
    name, key, asked = "paid", "v1", 0

    def compare(self, tweet, first, second):
        Paid.asked += 1
        return Verdict(winner="first" if len(first) > len(second) else "second")

    def quote(self, asked): return 0.001 * len(asked)


def test_who_is_refused_has_paid_for_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("replytune.judge.made_paid", lambda params, pairs, cache: Paid(), raising=False)
    monkeypatch.setitem(JUDGES, "paid", "replytune.judge:made_paid")
    first, second = real(tmp_path / "first"), real(tmp_path / "second")
    judge_stage(JudgeParams(run=str(first.folder), judge="paid", **QUICK))  # it fails its controls
    assert Paid.asked > 0 and not (tmp_path / SEALS).exists(), "what was not measured breaks no seal"
    judge_stage(JudgeParams(run=str(first.folder), judge="paid", despite_controls=True, **QUICK))
    assert len(read_rows(tmp_path / SEALS)) == 1
    with_model(second, "another")
    asked = Paid.asked
    with pytest.raises(StageError, match="measured something else already"): judge_stage(JudgeParams(run=str(second.folder), judge="paid", **QUICK))
    assert Paid.asked == asked and len(read_rows(tmp_path / SEALS)) == 1


@pytest.mark.parametrize("plan", ["[1]", "{", '{"08_stats": 3}', '"x"'])
def test_a_plan_that_is_none_is_an_error_that_names_it(tmp_path, plan):
    (tmp_path / "planned.json").write_text(plan)
    with pytest.raises(StageError, match="planned.json maps no stages"): planned_rule(tmp_path / "planned.json")


def test_looking_at_a_seal_breaks_none(tmp_path):
    ledger = tmp_path / SEALS
    assert break_seal(ledger, ["a"], thing("one"), note=False) == [] and not ledger.exists()
    break_seal(ledger, ["a"], thing("one"))
    with pytest.raises(StageError, match="something else"): break_seal(ledger, ["a"], thing("two"), note=False)
    with pytest.raises(StageError, match="looked at before, at 3 tweets"):
        break_seal(ledger, ["a", "b", "c"], thing("one"), choose=True), break_seal(ledger, ["b", "c", "d"], thing("one"))


def test_dev_tweets_carry_no_seal(tmp_path):
    run = real(tmp_path / "first")
    section = run.manifest()["05_generate"]
    run.save_section("05_generate", section | {"parameters": section["parameters"] | {"split": "dev"}})
    judge_stage(JudgeParams(run=str(run.folder), **QUICK))
    assert not (tmp_path / SEALS).exists() and json.loads((run / "registered.json").read_text())["split"] == "dev"


def test_a_rule_that_changes_after_judging_says_so(tmp_path):
    run = real(tmp_path / "first")
    (run / "planned.json").write_text(json.dumps({"08_stats": stored_params(StatsParams(better_by=0.1))}))
    judge_stage(JudgeParams(run=str(run.folder), **QUICK))
    signed = json.loads((run / "registered.json").read_text())
    assert marks(signed, stored_params(StatsParams(better_by=0.1))) == [] and "better_by was 0.1 and is 0.075" in marks(signed, stored_params(StatsParams()))[0]


def test_a_run_that_is_not_there_is_not_made_and_nothing_found_is_said(run, tmp_path):
    with pytest.raises(StageError, match="there is no run in .*mistyped"): forget(tmp_path / "mistyped", "somebody")
    assert not (tmp_path / "mistyped").exists() and "check the spelling" in forget(run.folder, "nobody_of_that_name")["note"]


def test_a_seal_that_a_kill_cut_short(tmp_path):
    break_seal(tmp_path / SEALS, ["a"], thing("one"))
    with open(tmp_path / SEALS, "a") as file: file.write('{"test": ["a"], "mod')
    assert break_seal(tmp_path / SEALS, ["a"], thing("one")) == []


# what a hostile reader found

def test_a_reply_without_its_id_is_forgotten_too(run):
    "The human arm's rows hold the text alone"
    text = read_rows(run / "generations/human.jsonl")[0]["reply"]
    pair = next(row for row in read_rows(run / "reviewed.jsonl") if row["reply"] == text)
    answer = forget(run.folder, pair["reply_id"])
    assert text not in (run / "generations/human.jsonl").read_text() and "05_generate" in answer["make again"]
    with pytest.raises(StageError): check_input(run, "generations/human.jsonl")


@pytest.mark.parametrize("word", ["split", "train", "code", "keep", "reply", "author", "the", "minilm"])
def test_a_handle_that_is_a_common_word_takes_nobody_else_along(run, word):
    before = {name: len(read_rows(run / name)) for name in ("pairs.jsonl", "reviewed.jsonl", "clean.jsonl")}
    answer = forget(run.folder, "@" + word)
    assert answer["removed"] == {} and {name: len(read_rows(run / name)) for name in before} == before


def test_forgetting_can_be_killed_anywhere_and_made_again(run, monkeypatch):
    import replytune.forget as module
    author = next(row for row in sample_rows("reviewed.jsonl") if row["split"] == "train")["reply_author"]
    expected = shutil.copytree(run.folder, run.folder.parent / "whole")
    whole = forget(expected, author)
    real, left, kills, answer = module.write_text, 0, 0, None

    def failing(path, text):
        nonlocal left
        if left == 0: raise KeyboardInterrupt
        left -= 1
        return real(path, text)

    monkeypatch.setattr(module, "write_text", failing)
    while answer is None:
        left = 2 + kills % 2  # the note of what goes, then one or two more writes
        try: answer = forget(run.folder, author)
        except KeyboardInterrupt: kills += 1
    assert kills >= 4
    assert answer["make again"] == whole["make again"] and answer["removed"] == whole["removed"] and author not in everything(run)
    for name in ("pairs.jsonl", "clean.jsonl", "reviewed.jsonl"): assert read_rows(run / name) == read_rows(expected / name) and check_input(run, name)


def test_a_file_that_somebody_changed_is_not_signed_by_forgetting(run):
    rows = read_rows(run / "clean.jsonl")
    write_text(run / "clean.jsonl", to_lines([rows[0] | {"reply": "HAND EDITED"}, *rows[1:]]))
    with pytest.raises(StageError): check_input(run, "clean.jsonl")
    forget(run.folder, rows[5]["reply_author"])
    with pytest.raises(StageError): check_input(run, "clean.jsonl")


def test_notebooks_checkpoints_and_notes_do_not_keep_what_is_forgotten(run):
    author = next(row for row in sample_rows("reviewed.jsonl") if row["split"] == "train")["reply_author"]
    for name in ("notebooks/02.ipynb", "checkpoints/weights.bin", "sweep/rank-8/adapter/weights.bin", "elsewhere.txt"): write_text(run / name, f"by {author}")
    section = run.manifest()["02_validate"]
    run.save_section("02_validate", section | {"notes": {"warnings": [f"one author wrote 90 of 500 replies ({author!r}): a bot"]}})
    answer = forget(run.folder, author)
    assert not (run / "notebooks").exists() and not (run / "checkpoints").exists() and not (run / "sweep").exists() and "(forgotten)" in (run / "manifest.json").read_text()
    assert answer["look at"] == ["elsewhere.txt"]


def test_orphan_vectors_never_become_those_of_other_texts(tmp_path):
    two = Vectors().of(["an orphan", "another orphan"])
    Vectors("minilm", tmp_path).keys.with_suffix(".f32").write_bytes(two.tobytes())  # killed before their names were written
    first = Vectors("minilm", tmp_path).of(["a", "bb"])
    assert (Vectors("minilm", tmp_path).of(["a", "bb"]) == first).all() and not (first == two).all()
    keys = Vectors("minilm", tmp_path).keys
    keys.with_suffix(".f32").write_bytes(first[:1].tobytes())  # shorter than the names say
    assert numpy.allclose(Vectors("minilm", tmp_path).of(["bb"])[0], first[1], atol=1e-6)
    keys.with_suffix(".f32").unlink()
    assert Vectors("minilm", tmp_path).known == {}
    assert Vectors("BAAI/model-x", tmp_path).keys != Vectors("other/model-x", tmp_path).keys


def test_a_test_split_that_lost_a_tweet_is_the_same_test_split(tmp_path):
    ledger, pairs = tmp_path / SEALS, [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]
    ours = test_tweets(pairs)
    break_seal(ledger, ours, thing("one"))
    with pytest.raises(StageError, match="measured something else already"): break_seal(ledger, ours[1:], thing("two"))
    assert break_seal(ledger, ours[: len(ours) // 3] + ["x"] * 40 + [str(number) for number in range(40)], thing("two")) == []


def test_looks_by_measuring_more_of_the_test_tweets_are_looks(tmp_path):
    "The first so many of a test split are what was measured, not the split"
    run = real(tmp_path / "first")
    judge_stage(JudgeParams(run=str(run.folder), **QUICK))
    (row,) = read_rows(tmp_path / SEALS)
    asked = {row["tweet_id"] for row in read_rows(run / "generations/base.jsonl")}
    assert row["test"] == test_tweets([Pair.model_validate(each) for each in sample_rows("reviewed.jsonl") if each["tweet_id"] in asked])
    with pytest.raises(StageError, match="on many more tweets"): break_seal(tmp_path / SEALS, row["test"][:15], row)


def with_section_of(run: Run, stage: str, file: str):
    section = run.manifest()[stage]
    run.save_section(stage, section | {"wrote": section["wrote"] | {file: sha256(run / file)}})


def test_a_forgotten_tweet_breaks_no_planned_look(tmp_path):
    ledger, tweets = tmp_path / SEALS, [f"t{number}" for number in range(100)]
    assert break_seal(ledger, tweets[:50], thing("one"), looks=2) == break_seal(ledger, tweets[1:50], thing("one"), looks=2) == []
    assert [(row["tweets"], row["look"]) for row in break_seal(ledger, tweets[1:], thing("one"), looks=2)] == [(50, True)]


@pytest.mark.parametrize("other", [{"try_variants": True}, {"resamples": 200}, {"seed": 9}])
def test_what_moves_a_bound_is_another_measurement(tmp_path, other):
    run = real(tmp_path / "first")
    judge_stage(JudgeParams(run=str(run.folder), **QUICK))
    with pytest.raises(StageError, match="sampling, seed or settings"): judge_stage(JudgeParams(run=str(run.folder), **QUICK | other))
