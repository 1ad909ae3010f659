"""One truth each, asked in one place; traps that were silent: errors between two stages, averages over judges, unknown numbers read as zero."""
import logging
import multiprocessing
import re
from pkgutil import resolve_name
from types import SimpleNamespace

import numpy
import pytest

from replytune import plan
from replytune.vectors import Vectors
from replytune.clean import cap_authors, keep_best, quality
from replytune.publish import export_dataset
from replytune.forget import forget
from replytune.collect import CollectParams
from replytune.plan import ACTORS, Batch, Delivery, Entry, Purchase, price_chart
from replytune.sellers import ApifySource
from replytune.buy import compare_charges, reconcile
from replytune.generate import RECIPES, GenerateParams, Generation, Material, Recipe, find_neighbours, human_arm, replies_of
from replytune.judge import JUDGES, Judge, JudgeParams, Verdict, judge_stage
from replytune.report import rejected_examples
from replytune.line import show_verdict
from replytune.schema import ARMS, FILES, Pair, ParameterError, StageError, replies_file
from replytune.files import read_rows, resolve, sha256, to_lines, write_text
from replytune.params import read_params
from replytune.run import Run, disclaimer, is_sample, sample_copy, sample_rows
from replytune.charts import COLOURS
from replytune.bias import tweet_scores
from replytune.train import precision_of
from replytune.validate import one_example_each

from samples import whole_sample

PAGES = "00 00c 01 01b 01c 01d 03 03b 05 06 07 08 09"

PAIRS = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]


# what a run may claim

def with_section(run: Run, stage: str, **changes):
    run.save_section(stage, run.manifest()[stage] | changes)


@pytest.mark.parametrize("reviewers, caveat", [(["ada"], ""), (["ada", "written_rules"], "partly reviewed by written rules"), (["written_rules"], "no human review"), ([], "no human review")])
def test_report_and_card_say_the_same_of_the_review(tmp_path, capsys, reviewers, caveat):
    run = Run(whole_sample(tmp_path / "run"))
    with_section(run, "04_review", notes={"reviewers": reviewers})
    show_verdict(str(run.folder))
    said, card = capsys.readouterr().out, (export_dataset(run.folder, tmp_path / "out") / "README.md").read_text()
    for text in (said, card):
        for other in ("partly reviewed by written rules", "no human review"): assert (other in text) == (other == caveat)
    assert ("each read by a person" in card) == (caveat == "")


@pytest.mark.parametrize("sources, notes, invented", [
    ({"nbs/sample/raw.json": "0"}, {}, True), ({"data/renamed.json": sha256(resolve("nbs/sample/raw.json"))}, {}, True), ({"data/mine.json": "0"}, {}, False),
    ({}, {"purchase": {"rehearsal": True}}, True), ({}, {"purchase": {"rehearsal": False}}, False)])
def test_the_sample_is_known_under_any_name_and_after_a_rehearsal(sources, notes, invented):
    manifest = {"01_collect": {"sources": sources, "notes": notes}}
    assert is_sample(manifest) is invented and ("invented data" in disclaimer(manifest)) is invented


# arms

def test_every_arm_is_one_row():
    assert set(COLOURS) == set(ARMS) and {FILES[replies_file(name)] for name in ARMS} == {"05_generate", "06_train"}
    assert all(FILES[replies_file(name)] == arm.stage for name, arm in ARMS.items())
    assert set(RECIPES) == set(ARMS)


def test_a_new_arm_is_written_by_its_recipe_alone(monkeypatch):
    "The stage and its helpers know no arm by name"
    answer = lambda given: [Generation(tweet_id=pair.tweet_id, arm="copy", reply=pair.tweet) for pair in given.questions]
    monkeypatch.setitem(RECIPES, "copy", Recipe(written=answer))
    given = Material(PAIRS[:1], [], None, GenerateParams())
    assert replies_of("copy", given, None, None)[0].reply == PAIRS[0].tweet


# judges

def test_every_judge_is_one_row_with_what_makes_it():
    assert all(callable(resolve_name(entry)) for entry in JUDGES.values()) and JudgeParams().judge in JUDGES
    with pytest.raises(ParameterError, match=f"no judge 'oracle'; judges are {', '.join(JUDGES)}"): JudgeParams.read({"judge": "oracle"})


def test_a_new_judge_is_its_row(monkeypatch, tmp_path):
    "The stage asks what the table names, and a judge that learned nothing says so"
    class Longer(Judge):
        name = "longer"
        def __init__(self, params, pairs, cache): assert {pair.split for pair in pairs} == {"train", "dev", "test"}
        def compare(self, tweet, first, second): return Verdict(winner="first" if len(first) > len(second) else "second")
    monkeypatch.setattr("replytune.judge.made_up", Longer, raising=False)
    monkeypatch.setitem(JUDGES, "longer", "replytune.judge:made_up")
    run = sample_copy("07_judge")
    judge_stage(JudgeParams(run=str(run.folder), judge="longer", contrasts=["tuned-base", "null-base"], resamples=100))
    assert {row["judge"] for row in read_rows(run / "judgements.jsonl")} == {"longer"}
    assert read_rows(run / "judge_accuracy.jsonl")[0]["learned from"] == 0


def test_forget_sees_what_a_new_arm_wrote(tmp_path):
    "Only the new arm has answered with the text that goes: its stage and the judgements must be made again"
    run = Run(whole_sample(tmp_path / "run"))
    rows = read_rows(run / "generations/base.jsonl")
    author = next(pair for pair in PAIRS if pair.split == "test").reply_author
    rows[0]["reply"] = f"as @{author} said"
    write_text(run / "generations/prompted.jsonl", to_lines(rows))
    with_section(run, "05_generate", wrote=run.manifest()["05_generate"]["wrote"] | {"generations/prompted.jsonl": sha256(run / "generations/prompted.jsonl")})
    answer = forget(run.folder, author)
    assert answer["removed"]["generations/prompted.jsonl"] == 1 and {"05_generate", "07_judge"} <= set(answer["make again"])


def test_stage_06_follows_the_precision_of_stage_05(capsys):
    section = {"notes": {"precision": {"weights": "nf4", "compute": "float32"}}, "parameters": {"quantization": "auto"}}
    assert precision_of({"05_generate": section}) == ("nf4", "float32") and "FROM=05" in capsys.readouterr().err
    with pytest.raises(StageError, match="FROM=05"): precision_of({"05_generate": {"notes": {}, "parameters": {}}})


# likes that nobody knows

def liked(id: int, likes: int | None, **more) -> Pair:
    return PAIRS[0].model_copy(update={"reply_id": str(id), "reply_likes": likes, "reply": f"reply {id}", **more})


def test_unknown_likes_come_last_wherever_the_best_is_chosen():
    pairs = [liked(1, None), liked(2, 0), liked(3, None)]
    assert [pair.reply_id for pair in keep_best(pairs, [0, 0, 0], "exact")[0]] == ["2"]
    assert human_arm(pairs)[0].reply == "reply 2"
    told = human_arm([liked(4, 1).model_copy(update={"reply": "@somebody First.\n\nSecond line."})])[0]
    assert (told.reply, told.repairs, told.finished) == ("First. Second line.", ["mention", "lines"], None), "what a model's reply loses, a person's loses too"
    train = [pair.model_copy(update={"split": "train", "cluster": "c", "tweet_author": "x", "reply_author": "y"}) for pair in pairs]
    vectors = SimpleNamespace(of=lambda texts: numpy.ones((len(texts), 1)))
    question = liked(9, 1, tweet_id="77", cluster="d", split="test", tweet_author="v", reply_author="w")
    assert [pair.reply_id for pair in find_neighbours([question], train, vectors, 1)["77"]] == ["2"]
    assert quality(pairs[0]) is None and [pair.reply_id for pair in cap_authors(pairs, 1)[0]] == ["2"]


def test_one_example_a_reason_is_chosen_in_one_place():
    rejected = sample_rows("rejected.jsonl")
    assert {row["reason"].replace("_", " "): row["reply"] for row in one_example_each(rejected)} == dict(rejected_examples(rejected, []))


# between two stages

@pytest.mark.parametrize("text, complaint", [
    ("07_judge: {contrasts: [tuned-base]}", "08_stats needs null 'null-base', which 07_judge would not judge"),
    ("08_stats: {primary: rag-human}", "08_stats needs primary 'rag-human'"),
    ("07_judge: {contrasts: [tuned-base, null-base, best-base]}", "must be two of the arms base, null"),
    ("07_judge: {contrasts: [tuned-tuned, tuned-base, null-base]}", "tuned-tuned"),
    ("08_stats: {primary: tuned}", "primary"),
    ("01_collect: {source: apify, tweet_likes_max: 5000}", "01_collect buys tweet_likes_max 5000 and 02_validate keeps 2000"),
    ("01_collect: {source: twscrape}\n02_validate: {reply_likes_min: 1}", "buys reply_likes_min 5 and 02_validate keeps 1"),
    ("04_review: {similarity_max: 0.8}", "`similarity_max` is unknown in 04_review; it stands in 03_clean"),
    ("03_clean: {test_share: 0.2}", "`test_share` is unknown in 03_clean; it stands in 03b_split"),
    ("03b_split: {encoder: minilm}", "`encoder` is unknown in 03b_split; it stands in 03_clean")])
def test_stages_that_contradict_one_another_are_refused_before_anything_runs(tmp_path, text, complaint):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ParameterError) as error: read_params(tmp_path / "mine.yaml")
    assert complaint in str(error.value)


@pytest.mark.parametrize("text", ["01_collect: {source: apify, tweet_likes_max: 5000, other_bounds: true}", "common: {tweet_likes_max: 5000}\n01_collect: {source: apify}", "01_collect: {tweet_likes_max: 5000}",
                                  "07_judge: {contrasts: [rag-base, null-base]}\n08_stats: {primary: rag-base}"])
def test_what_is_meant_or_does_not_matter_is_taken(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    read_params(tmp_path / "mine.yaml")


@pytest.mark.parametrize("name", ["sample", "qwen3-8b"])
def test_the_parameter_files_that_come_with_the_project_agree_with_themselves(name): read_params(resolve(f"nbs/params/{name}.yaml"))


def test_two_judges_are_never_averaged():
    rows = [{"contrast": "tuned-base", "tweet_id": str(tweet), "first": first, "score_first": 1.0, "judge": judge} for tweet in range(3) for first in ("tuned", "base") for judge in ("ranker", "claude")]
    with pytest.raises(StageError, match="claude and ranker; two judges are never averaged"): tweet_scores(rows, "tuned-base")
    one = [row for row in rows if row["judge"] == "claude"]
    assert tweet_scores(one, "tuned-base") == ({"0": 0.5, "1": 0.5, "2": 0.5}, [])
    with pytest.raises(StageError, match="judged twice"): tweet_scores(one + one[:1], "tuned-base")


# buying

def test_a_fourth_actor_is_drawn(monkeypatch):
    lite = ACTORS["apidojo/twitter-scraper-lite"]
    monkeypatch.setattr(plan, "ACTORS", ACTORS | {f"another/actor-{number}": lite.model_copy(update={"per_term": 0.02 * number}) for number in range(2, 10)})
    chart = price_chart([0.01, 0.1, 0.5])
    assert all(name in chart.alt for name in plan.ACTORS) and chart.svg.count('id="legend') == 1
    lines = re.findall(r'<g id="line2d_\d+">\s*<path d="[^"]+" clip-path', chart.svg)
    assert len(lines) == len(plan.ACTORS), "a line for each actor"


def test_an_actors_input_names_are_in_its_row(monkeypatch, tmp_path):
    actor = ACTORS["apidojo/tweet-scraper"].model_copy(update={"terms_input": "queries", "rows_input": "limit", "fixed_input": {"order": "new"}})
    monkeypatch.setattr(plan, "ACTORS", {"new/actor": actor})
    source = ApifySource(CollectParams(actor="new/actor"), Purchase(tmp_path), None)
    assert source.run_input(Batch(step="replies", terms=("a", "b"), rows=7)) == {"queries": ["a", "b"], "limit": 7, "order": "new"}


def bought(folder, *reported: float | None) -> Purchase:
    purchase = Purchase(folder)
    for number, usd in enumerate(reported):
        batch = Batch(step="replies", terms=(f"conversation_id:{number}",), rows=50)
        run = Delivery(run_id=f"run{number}", status="SUCCEEDED", rows=50, computed_usd=0.02, reported_usd=usd)
        purchase.save(Entry(key=batch.key("seller"), batch=batch, state="done", deliveries=(run,)))
    return purchase


@pytest.mark.parametrize("reported, said, counted", [
    ((0.02, 0.02), "agrees with the reports", 0.04), ((0.02, None), "agrees with the reports; 1 of 2 runs report no charge", 0.04), ((None, None), "cannot be compared; 2 of 2 runs report no charge", 0.04),
    ((0.04, None), "the runs report $0.04 where the price table says $0.02; set `prices`; 1 of 2 runs report no charge", 0.06), ((0.0, 0.0), "the runs report $0.00 where the price table says $0.04; set `prices`", 0.04)])
def test_an_unknown_charge_is_not_nothing(tmp_path, reported, said, counted):
    purchase = bought(tmp_path, *reported)
    assert compare_charges(purchase) == said and purchase.charge() == pytest.approx(counted)


def test_a_charge_of_nothing_is_taken_over_and_an_unknown_one_is_not(tmp_path):
    "The seller corrects the first run to $0.00 and says nothing about the second"
    purchase = bought(tmp_path, 0.02, 0.02)
    source = ApifySource(CollectParams(retry_seconds=0.01), purchase, logging.getLogger("nowhere"))
    reports = {"run0": SimpleNamespace(usage_total_usd=0.0), "run1": SimpleNamespace(usage_total_usd=None)}
    source.__dict__["client"] = SimpleNamespace(run=lambda id: SimpleNamespace(get=lambda: reports[id]))
    reconcile(SimpleNamespace(source=source, purchase=purchase, params=source.params, log=source.log))
    assert [entry.deliveries[0].reported_usd for entry in Purchase(tmp_path).entries.values()] == [0.0, 0.02]


# what several processes share

class Counting:
    "An encoder of two numbers a text, without a model"

    def get_embedding_dimension(self): return 2

    def encode(self, texts, **_): return numpy.array([[len(text), ord(text[0])] for text in texts], dtype="float32")


def _encode_some(folder, start):
    for number in range(start, start + 40):
        vectors = Vectors("minilm", folder)
        vectors.model = Counting()
        vectors.of([f"{chr(65 + number % 26)} text {number}", f"shared {number % 7}"])


def test_processes_that_encode_at_once_do_not_mix_up_their_vectors(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_encode_some, args=(tmp_path, start)) for start in (0, 20, 100)]
    for worker in workers: worker.start()
    for worker in workers: worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    known = Vectors("minilm", tmp_path).known
    texts = [f"{chr(65 + number % 26)} text {number}" for number in [*range(60), *range(100, 140)]] + [f"shared {number}" for number in range(7)]
    for text in texts: assert known[sha256(text)[:32]].tolist() == [len(text), ord(text[0])]
