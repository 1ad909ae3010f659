"""What a run will cost, every figure from a table that is elsewhere; and what it has cost, from ledgers that the project's own buyers wrote: nothing twice, nothing left out, nothing invented."""
import json
import math
import re
import shutil
import sys
from pathlib import Path

import pytest

from replytune import claude, costs, plan as plan_page
from replytune.budget import CARDS, work
from replytune.buy import buy
from replytune.claude import MODEL, PRICES, entry, make_claude
from replytune.collect import CollectParams
from replytune.costs import (
    Survey, answer_dollars, apify_row, budget, card_dollars, cost_cells, costs_chart, costs_command, judge_row, kept_of, people_row, planned_for,
    pod_rows, questions_of, read_plan, row_lengths, size_of, spent, stand_in, tweets_to_judge,
)
from replytune.files import file_hashes, read_records, read_rows, resolve, write_text
from replytune.generate import Generation
from replytune.judge import Evidence, JudgeParams, all_questions, answers_of, by_tweet, turned_down_for_likes
from replytune.judge_models import make_openai
from replytune.line import main
from replytune.models import load_tokenizer
from replytune.plan import ACTORS, Batch, Delivery, Entry, Purchase, make_plan
from replytune.pod import API, Ledger, pod_folder
from replytune.rental import rent, stop, wait_boot
from replytune.report import ReportParams, report_stage
from replytune.run import SAMPLE_RUN, Run, arms_made, sample_copy, sample_rows, stored_params
from replytune.schema import Pair, ParameterError, StageError, Unavailable, replies_file
from replytune.train import TrainParams

from renting import pass_hours
from runpod_server import rehearsal
from serving import told_server
from test_buying import SMALL, order
from test_buying import serving as selling
from test_claude import BATCHED, NOW, questions
from test_claude import serving as answering
from test_pod import ready

sys.path.insert(0, str(resolve("nbs/sample")))
from apify_server import TOKEN, ApifyServer

PAGES = "08i 09 09z"
pytestmark = pytest.mark.usefixtures("sample_vectors")
QWEN, SAMPLE, POD = "nbs/params/qwen3-8b.yaml", "nbs/params/sample.yaml", "nbs/params/pod.yaml"


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    "No key of a developer, no waiting"
    monkeypatch.setenv("APIFY_API_TOKEN", TOKEN)
    monkeypatch.setattr("replytune.buy.load_secrets", lambda: None)
    monkeypatch.setattr(claude, "load_secrets", lambda: None)
    monkeypatch.setattr(claude, "SECONDS", 0.002)
    monkeypatch.setattr("anthropic._base_client.INITIAL_RETRY_DELAY", 0.002)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"): monkeypatch.delenv(name, raising=False)


def qwen(**changes):
    "The real run's parameters, some of them changed: `judge={...}` for stage 07"
    params, pod = read_plan(QWEN)
    stages = {"collect": "01_collect", "split": "03b_split", "generate": "05_generate", "train": "06_train", "judge": "07_judge"}
    return params | {stages[name]: params[stages[name]].model_copy(update=more) for name, more in changes.items()}, pod


def row(item: str, *given): return next(each for each in budget(*given) if each.item == item)


def paid(run, item: str): return next(each for each in spent(Run(run)) if each.item == item)


# before: every figure is traced to a table

def test_the_purchase_is_what_the_plan_says():
    params, _ = qwen()
    steps, found = make_plan(params["01_collect"]), apify_row(params["01_collect"])
    per_row = ACTORS["apidojo/tweet-scraper"].per_row[0][1]
    assert found.realistic == pytest.approx((10 * 6 * 100 + 3500 / 0.1 + 60 * 50 / 2) * per_row)  # topics by months, replies, siblings
    assert found.optimistic == pytest.approx((10 * 6 * 100 + 3500 + 60 * 50 / 2) * per_row)  # every row a pair
    assert found.conservative == pytest.approx(sum(step.most_usd for step in steps)) and found.cap == 60
    small = apify_row(params["01_collect"].model_copy(update={"budget_usd": 10.0}))
    assert small.optimistic == found.optimistic and small.realistic == small.conservative == 10  # the purchase ends at the cap


@pytest.mark.parametrize("source", ["dumps", "twscrape"])
def test_what_is_not_bought_costs_nothing(source): assert apify_row(CollectParams(source=source)).conservative == 0


def test_the_training_is_what_the_tables_of_cards_say():
    params, pod = qwen()
    found, cases = row("pod, training", params, pod), [card_dollars(params, pod, 800), card_dollars(params, pod, 1000), card_dollars(params, pod, 1200, True)]
    assert found.optimistic == min(low for low, _ in cases[0].values()) and found.conservative == max(high for _, high in cases[2].values())
    assert list(cases[1])[0] == "RTX 4090" and found.realistic == pytest.approx(sum(cases[1]["RTX 4090"]) / 2)
    for name, (low, high) in cases[1].items():  # minutes of 06b at the card's own price, or at the most that the plan rents for
        usd = min(CARDS[name].dollars[1], 8 / 6)
        minutes = high * 60 / usd
        assert 15 < minutes < 60 and low < high and CARDS[name].priced in found.source and math.isclose(high, minutes / 60 * usd)
    rest = row("pod, replies", params, pod)
    assert rest.conservative + found.conservative == pod.usd_max and "never measured" in rest.realistic.reason


def test_the_judge_is_questions_times_the_table_of_prices():
    params, pod = qwen()
    found, given = row("judge", params, pod), params["07_judge"]
    asked, characters = questions_of(given.model_dump_json(exclude={"dollars_max", "run"}), 70, 4)
    read, written = PRICES[MODEL]
    by_hand = lambda length: (characters / 4 * read + asked * length * written) / 1e6 / 2  # in batches
    assert found.optimistic == pytest.approx(by_hand(150)) and found.realistic == pytest.approx(by_hand(300))
    assert found.conservative == min(by_hand(2000), given.dollars_max) == found.cap == 40
    now = row("judge", *qwen(judge={"batches": False}))
    assert now.realistic == pytest.approx(2 * found.realistic)


def test_a_price_that_changes_in_its_table_changes_here_and_nowhere_else(monkeypatch):
    before = {each.item: each for each in budget(*qwen())}
    actor = ACTORS["apidojo/tweet-scraper"]
    monkeypatch.setitem(ACTORS, "apidojo/tweet-scraper", actor.model_copy(update={"per_row": ((plan_page.ANY, 2 * actor.per_row[0][1]),)}))
    monkeypatch.setitem(PRICES, MODEL, tuple(3 * usd for usd in PRICES[MODEL]))
    for name, card in CARDS.items(): monkeypatch.setitem(CARDS, name, card._replace(dollars=tuple(usd / 2 for usd in card.dollars)))
    after = {each.item: each for each in budget(*qwen())}
    assert after["Apify"].realistic == pytest.approx(2 * before["Apify"].realistic) and after["judge"].realistic == pytest.approx(3 * before["judge"].realistic)
    assert after["pod, training"].optimistic == pytest.approx(before["pod, training"].optimistic / 2)


def test_the_page_has_no_price_of_its_own():
    page = json.loads(resolve("nbs/08i_costs.ipynb").read_text(encoding="utf-8"))
    exported = "\n".join("".join(cell["source"]) for cell in page["cells"] if "".join(cell["source"]).startswith("#| export"))
    numbers = {found for line in exported.splitlines() for found in re.findall(r"(?<![\w.:])\d+\.\d+", line.split("#")[0])}
    assert numbers <= {"0.0", "1.0", "0.15", "0.4", "0.5", "1.4", "2.4", "127.0"}, "an amount that stands on no other page"  # none; places in a chart; an address


@pytest.mark.parametrize("file", [QWEN, SAMPLE, POD])
def test_every_shipped_file_has_a_budget(file):
    found = budget(*read_plan(file))
    assert [each.item for each in found] == ["Apify", "pod, training", "pod, replies", "judge", "people"]
    for each in found:
        known = [amount for amount in each[1:4] if not isinstance(amount, Unavailable)]
        assert known == sorted(known) and all(0 <= amount < math.inf for amount in known) and each.differs and each.source
        if each.cap and each.item != "judge": assert all(amount <= each.cap for amount in known)
    if file == SAMPLE: assert [each.conservative for each in found[:4]] == [0.0] * 4
    if file == POD: assert found == budget(*read_plan(QWEN))


@pytest.mark.parametrize("changes", [
    {"collect": {"target_pairs": 10}}, {"collect": {"expected_yield": 1.0}}, {"generate": {"open_max": 0, "samples": 1}}, {"generate": {"tweets_max": 5}}, {"generate": {"split": "dev"}},
    {"judge": {"dollars_max": 1.0}}, {"judge": {"contrasts": ["tuned-base", "prompted-base"]}}, {"judge": {"judge_model": "claude-haiku-5-5"}}, {"train": {"max_length": 40}},
    {"train": {"epochs": 0.1}}, {"train": {"packing": True}}, {"split": {"test_share": 0.8}}, {"judge": {"rate_arms": True, "pay_variants": True}},
])
def test_the_columns_are_in_order_whatever_is_asked_for(changes):
    for each in budget(*qwen(**changes)):
        known = [amount for amount in each[1:4] if not isinstance(amount, Unavailable)]
        assert known == sorted(known) and all(0 <= amount < math.inf for amount in known), each
    if changes == {"judge": {"dollars_max": 1.0}}: assert row("judge", *qwen(**changes)).realistic > 1  # as stage 07 will say


def test_what_has_no_price_is_unavailable_and_says_why():
    elsewhere = {"judge": "openai", "judge_url": "https://example.org/v1"}
    rows = {"judge": lambda params, pod: judge_row(params), "pod, training": lambda params, pod: pod_rows(params, pod)[0], "people": lambda *_: people_row(None)}
    said = lambda item, params, pod: {str(amount) for amount in rows[item](params, pod)[1:4]}
    assert "not named" in said("judge", *qwen(judge=elsewhere)).pop() and "not named" in said("judge", *qwen(judge=elsewhere | {"dollars_per_million_in": 1.0})).pop()
    assert "no row for claude-9" in said("judge", *qwen(judge={"judge_model": "claude-9"})).pop()
    params, pod = qwen()
    for more, part in ({"memory_gb": 500}, "500 GB"), ({"gpus": ("NVIDIA B300",)}, "no card"), ({"usd_max": 0.0}, "$0.00 an hour"):
        assert part in said("pod, training", params, pod.model_copy(update=more)).pop()
    assert "cannot be read" in said("pod, training", *qwen(generate={"model": "runs/no-such-model"})).pop()
    lost = qwen(collect={"source": "dumps", "dumps": ["data/none.json"]})
    assert "no file data/none.json" in said("judge", *lost).pop() and "no file data/none.json" in said("pod, training", *lost).pop()
    assert "--usd-each" in said("people", params, pod).pop() and row("people", params, pod, Survey(150, 2.6)).realistic == pytest.approx(390)
    for wrong in (Survey(-1, 1.0), Survey(1, math.nan), Survey(1, -0.5)):
        with pytest.raises(ParameterError, match="at least 0"): budget(params, pod, wrong)


def test_prices_that_are_named_count_and_a_server_of_ones_own_is_free():
    named = JudgeParams(judge="openai", judge_url="https://example.org/v1", dollars_per_million_in=2.0, dollars_per_million_out=8.0)
    assert answer_dollars(named, 1e6, 1e6) == 10 and answer_dollars(JudgeParams(judge="openai", judge_url="http://127.0.0.1:8000/v1"), 1e6, 1e6) == 0
    assert answer_dollars(JudgeParams(judge="ranker"), 1e9, 1e9) == 0
    assert row("judge", *qwen(judge={"judge": "openai", "judge_url": "https://example.org/v1", "dollars_per_million_in": 2.0, "dollars_per_million_out": 8.0})).realistic > 0


def test_named_cards_and_no_pod():
    params, pod = qwen()
    assert list(card_dollars(params, pod.model_copy(update={"gpus": ("NVIDIA RTX A6000",)}), 1000)) == ["RTX A6000"]
    assert list(card_dollars(params, pod.model_copy(update={"memory_gb": 48}), 1000)) == ["RTX A6000", "L40S", "A100 80GB PCIe"]
    assert all(isinstance(amount, Unavailable) for each in pod_rows(params, None) for amount in each[1:4])
    served, pod = qwen(generate={"engine": "openai", "base_url": "https://example.org/v1", "served_model": "x"})
    assert isinstance(row("pod, training", served, pod).realistic, float) and "a server writes" in str(row("pod, replies", served, pod).conservative)


def test_a_dump_is_counted_and_goals_are_no_larger_than_it():
    params, _ = qwen(collect={"source": "dumps"})
    assert size_of(params["01_collect"]).pairs == 692 and kept_of(size_of(params["01_collect"]), "tweets") == [107] * 3 and tweets_to_judge(params) == [11] * 3


def test_questions_are_counted_as_stage_07_counts_them(monkeypatch):
    run, params = Run(SAMPLE_RUN), JudgeParams(judge="claude")
    pairs = read_records(run / "reviewed.jsonl", Pair)
    arms = {arm: by_tweet(read_records(run / replies_file(arm), Generation)) for arm in arms_made(run.manifest())}
    given = Evidence(pairs, turned_down_for_likes(read_rows(run / "rejected.jsonl"), pairs), params, arms)
    real = {each[1:] for each in sum(all_questions(given, guess=True), []) if "" not in each[2:]}
    counted, _ = questions_of(params.model_dump_json(), 31, 1)
    assert counted == pytest.approx(len(real), rel=0.01)
    monkeypatch.setattr(costs, "_COUNTED", 1000)
    exact = questions_of.__wrapped__(params.model_dump_json(), 90, 2)
    monkeypatch.undo()
    found = questions_of(params.model_dump_json(), 90, 2)
    assert found[0] == exact[0] and found[1] == pytest.approx(exact[1], rel=0.01)  # the texts differ in length
    arms = stand_in(params, 7, 3).arms
    assert {name: sum(map(len, rows.values())) for name, rows in arms.items()} == {"base": 21, "null": 21, "rag": 21, "tuned": 21, "human": 7}


def test_four_characters_are_about_a_token():
    params, pairs = TrainParams(max_length=512), [Pair.model_validate(each) for each in sample_rows("reviewed.jsonl")]
    exact, (lengths, _) = work(pairs, params, load_tokenizer("smollm2")), row_lengths(len(pairs), params)
    assert sum(lengths) / len(lengths) == pytest.approx(exact["mean tokens"], rel=0.25)
    assert row_lengths(3, params, longest=True) == ([512] * 3, [512] * 3) and row_lengths(2, params.model_copy(update={"max_length": 9})) == ([9, 9], [9, 9])


# afterwards: the purchase

def really(rehearsed: Path, folder: Path) -> Path:
    "A rehearsal's ledger written again line by line as that of a real purchase"
    purchase = Purchase(folder / "purchase")
    for line in read_records(rehearsed / "purchase/ledger.jsonl", Entry):
        purchase.save(line.model_copy(update={"deliveries": tuple(one.model_copy(update={"address": ""}) for one in line.deliveries)}))
    return folder


SCRIPTS = {
    "no fault": {}, "failed runs": {"run_faults": {1: "FAILED", 4: "TIMED-OUT"}}, "billed double": {"run_faults": {2: "bills double", 3: "over-delivers"}},
    "answers lost": {"faults": {"start": [None, "cut", None, "500 after"]}}, "ended early": {"run_faults": {3: "never ends"}},
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_purchase_comes_to_the_sellers_bill(tmp_path, script):
    with selling(**SCRIPTS[script]) as server:
        buy(order(tmp_path / "a", **SMALL | {"run_minutes": 0.01} if script == "ended early" else SMALL))
    bill, folder = sum(map(server.usd, server.runs.values())), really(tmp_path / "a", tmp_path / "b")
    acted, found = paid(tmp_path / "a", "Apify"), paid(folder, "Apify")
    assert acted.dollars == 0 and acted.rehearsed == pytest.approx(bill) and "nothing was paid" in acted.how
    assert found.dollars == pytest.approx(bill) and found.unsettled == 0 and bill > 0
    lines, runs = read_rows(folder / "purchase/ledger.jsonl"), len(server.runs)
    assert len(lines) > 2 * runs and f"{runs} of {runs} runs" in found.how  # most batches stand there three times or more


def test_bought_and_failed_for_good_is_counted_once(tmp_path):
    class Hopeless(ApifyServer):
        def advance(self, run):
            if run["number"] == 4: run["resurrected"], kept = 0, run["resurrected"]
            super().advance(run)
            if run["number"] == 4: run["resurrected"] = kept
    with selling(Hopeless(run_faults={4: "FAILED"})) as server: buy(order(tmp_path / "a", **SMALL))
    found = paid(really(tmp_path / "a", tmp_path / "b"), "Apify")
    assert found.dollars == pytest.approx(sum(map(server.usd, server.runs.values()))) and "1 batches failed" in found.how


def test_a_purchase_that_broke_off_before_its_stage_signed_is_counted(tmp_path):
    with selling(faults={"start": [None, None, "402"]}) as server, pytest.raises(StageError, match="monthly limit"): buy(order(tmp_path / "a", **SMALL))
    assert not (tmp_path / "a/manifest.json").exists()
    bill, found = sum(map(server.usd, server.runs.values())), paid(really(tmp_path / "a", tmp_path / "b"), "Apify")
    assert bill > 0 and found.dollars == pytest.approx(bill) and found.unsettled == 0


def test_what_no_seller_has_stated_is_unsettled(tmp_path):
    purchase, batch = Purchase(tmp_path / "purchase"), Batch(step="replies", terms=("x",), rows=50)
    purchase.save(Entry(key="a", batch=batch, state="starting", reserved_usd=0.5))
    found = paid(tmp_path, "Apify")
    assert isinstance(found.dollars, Unavailable) and (found.unsettled, found.reckoned) == (1, 0.5)
    going = Delivery(run_id="r1", reserved_usd=0.5, reported_usd=0.1)  # it runs, and may charge more
    purchase.save(Entry(key="a", batch=batch, state="started", deliveries=(going,)))
    assert (paid(tmp_path, "Apify").unsettled, paid(tmp_path, "Apify").reckoned) == (1, 0.5)
    silent = Delivery(run_id="r2", status="FAILED", computed_usd=0.0)
    purchase.save(Entry(key="b", batch=batch, state="failed", deliveries=(Delivery(run_id="r3", status="SUCCEEDED", reported_usd=1.25, computed_usd=9.0), silent)))
    found = paid(tmp_path, "Apify")
    assert found.dollars == 1.25 and found.unsettled == 2 and cost_cells(Run(tmp_path))[0]["paid"] == "at least $1.25"


def test_accounts_of_ones_own_charge_nothing(tmp_path):
    purchase = Purchase(tmp_path / "purchase")
    purchase.save(Entry(key="a", batch=Batch(step="tweets", terms=("x",), rows=5), state="done", deliveries=(Delivery(run_id="twscrape-a", status="SUCCEEDED", rows=5),)))
    assert paid(tmp_path, "Apify")[1:5] == (0.0, 0, 0.0, "nothing is charged")


# the pod

def really_rented(params):
    "The plan of a rehearsal as that of a real pod"
    plan = pod_folder(params) / "plan.json"
    write_text(plan, json.dumps(json.loads(plan.read_text()) | {"address": API}))


def test_an_aborted_pod_and_the_one_after_it_are_counted_once_each(tmp_path):
    with rehearsal(boots={0: "never"}, full=["NVIDIA L40S"], faults={"create": ["cut"]}) as server:
        params, api, ledger, plan = ready(tmp_path)
        with pytest.raises(StageError, match="did not boot"): wait_boot(params, api, ledger, rent(params, api, ledger, plan))
        wait_boot(params, api, ledger, rent(params, api, ledger, plan))
        pass_hours(server, params, 2)
        running, (first, second) = paid(tmp_path, "pod"), server.pods
        assert running.rehearsed > 0.5 and running.dollars == 0
        really_rented(params)
        running = paid(tmp_path, "pod")
        assert running.dollars == pytest.approx(server.billed(first), abs=1e-6) and running.unsettled == 1 and "1 not seen to end" in running.how
        stop(params)
        bills = server.billed(first), server.billed(second)
    found = paid(tmp_path, "pod")
    assert min(bills) > 0 and max(bills) > 0.5 and found.dollars == pytest.approx(sum(bills), abs=2e-6) and found.unsettled == 0 and "2 of 2 pods" in found.how


def test_a_pod_that_was_found_again_is_billed_by_its_last_bill(tmp_path):
    ledger = Ledger(tmp_path / "pod")
    ledger.add("creating", "replytune-a", gpu="A40", usd_per_hour=0.44)
    ledger.add("created", "replytune-a", pod_id="x1")
    ledger.add("ended", "replytune-a", billed_usd=0.2)
    ledger.add("found", "replytune-a", pod_id="x1")
    assert paid(tmp_path, "pod").unsettled == 1  # it runs again, so that the bill is not the last
    ledger.add("ended", "replytune-a", billed_usd=0.5)
    assert paid(tmp_path, "pod")[1:4] == (0.5, 0, 0.0)  # the vendor bills a pod's whole life
    for name, last in (("replytune-b", "no capacity"), ("replytune-c", "refused"), ("replytune-d", "not there"), ("replytune-e", "turned away")):
        ledger.add("creating", name, gpu="H200", usd_per_hour=9.0)
        ledger.add(last, name)
    assert paid(tmp_path, "pod")[1:4] == (0.5, 0, 0.0)
    ledger.add("creating", "replytune-f", gpu="A40", usd_per_hour=0.44)
    ledger.add("created", "replytune-f", pod_id="x2")
    ledger.add("ended", "replytune-f", reason="it is not in the vendor's list any more")
    found = paid(tmp_path, "pod")
    assert found.dollars == 0.5 and found.unsettled == 1 and 0 <= found.reckoned < 0.01


# the judge

def as_real(folder: Path) -> Path:
    "The rehearsal's ledger as that of the real API"
    (folder / "cache/claude_rehearsal").rename(folder / "cache/claude")
    return folder


@pytest.mark.parametrize("way", [NOW, BATCHED])
def test_answers_come_to_the_bill_and_stand_in_two_places_but_count_once(tmp_path, way):
    asked = questions(24)
    judge = lambda **more: make_claude(JudgeParams.read(way | more), [], tmp_path / "cache")
    with answering() as server:
        answers_of(judge(), asked, tmp_path / "judge_answers.jsonl")
        answers_of(judge(), asked, tmp_path / "judge_answers.jsonl")  # nothing is asked again
        server.finish()
    assert paid(tmp_path, "judge").dollars == 0 and paid(tmp_path, "judge").rehearsed == pytest.approx(server.spent())
    found = paid(as_real(tmp_path), "judge")
    assert found.dollars == pytest.approx(server.spent()) and found.unsettled == 0 and "24 answers" in found.how
    rows = read_rows(tmp_path / "judge_answers.jsonl")
    assert sum(each["cost"]["dollars"] for each in rows) == pytest.approx(found.dollars)
    shutil.rmtree(tmp_path / "cache")  # a copy of the run has only the answers
    assert paid(tmp_path, "judge").dollars == pytest.approx(server.spent()) and "the ledger is not here" in paid(tmp_path, "judge").how


def test_a_lost_answer_and_its_retry(tmp_path):
    with answering(faults={"message": ["cut"]}) as server:
        answers_of(make_claude(JudgeParams.read(NOW), [], tmp_path / "cache"), questions(8), tmp_path / "judge_answers.jsonl")
    found = paid(as_real(tmp_path), "judge")
    assert len(server.bill) == 9 and found.unsettled == 1
    assert found.dollars < server.spent() <= found.dollars + found.reckoned


def test_what_is_under_way_is_neither_paid_nor_nothing(tmp_path):
    ledger = claude.Ledger(tmp_path / "cache/claude/ledger.jsonl")
    ledger.write(entry("reserved", "batch", keys=("k1", "k2"), dollars=0.3, batch=True), entry("created", "batch", id="b1"))
    found = paid(tmp_path, "judge")
    assert isinstance(found.dollars, Unavailable) and (found.unsettled, found.reckoned) == (1, 0.3)
    line = entry("paid", "batch", key="k1", dollars=0.01, batch=True)
    ledger.write(line, line, entry("paid", "batch", key="k2", dollars=0.02, batch=True), entry("released", "batch"))  # one line twice
    assert paid(tmp_path, "judge")[1:4] == (pytest.approx(0.03), 0, 0.0)
    ledger.write(entry("paid", "later", key="k1", dollars=0.01))  # asked anew (`retry_unusable`): paid anew
    assert paid(tmp_path, "judge").dollars == pytest.approx(0.04)


def test_a_server_with_prices_and_one_without(tmp_path):
    asked, named = questions(5), {"dollars_per_million_in": 2.0, "dollars_per_million_out": 8.0}
    with told_server() as server:
        answers_of(make_openai(JudgeParams(judge_url=server.url, **named), [], tmp_path / "a/cache"), asked, tmp_path / "a/judge_answers.jsonl")
        answers_of(make_openai(JudgeParams(judge_url=server.url), [], tmp_path / "b/cache"), asked, tmp_path / "b/judge_answers.jsonl")
    assert paid(tmp_path / "a", "judge").dollars == pytest.approx(5 * (300 * 2 + 20 * 8) / 1e6)
    unnamed = paid(tmp_path / "b", "judge")
    assert isinstance(unnamed.dollars, Unavailable) and unnamed.unsettled == 5 and "nobody named a price" in unnamed.how


# all of it

@pytest.fixture
def whole(tmp_path) -> Run:
    "The sample run as if it had been bought, rented and judged for money"
    shutil.copytree(resolve(SAMPLE_RUN), tmp_path / "run")
    run = Run(tmp_path / "run")
    batch = Batch(step="replies", terms=("x",), rows=50)
    Purchase(run / "purchase").save(Entry(key="a", batch=batch, state="done", deliveries=(Delivery(run_id="r1", status="SUCCEEDED", reported_usd=12.5, computed_usd=12.0),)))
    ledger = Ledger(run / "pod")
    ledger.add("creating", "replytune-a", gpu="A40 <script>alert(1)</script> | [x](y)", usd_per_hour=0.44)
    ledger.add("created", "replytune-a", pod_id="x1")
    ledger.add("ended", "replytune-a", billed_usd=0.75)
    claude.Ledger(run / "cache/claude/ledger.jsonl").write(entry("paid", "b", key="k", dollars=3.0))
    return run


def test_the_sum_is_exact_and_reading_changes_nothing(whole):
    with open(whole / "pod/ledger.jsonl", "a") as file: file.write('{"at": "2026')  # what a kill leaves
    before = file_hashes(whole.folder)
    cells = cost_cells(whole)
    assert cells[-1]["paid"] == "$16.25" and [each["paid"] for each in cells[:3]] == ["$12.50", "$0.75", "$3.00"]
    assert file_hashes(whole.folder) == before
    assert "judge: planned" in costs_chart(planned_for(whole), spent(whole)).alt


def test_the_report_shows_both_and_escapes_every_name(whole):
    sections = whole.manifest()
    sections["07_judge"]["models"]["judge"] = "<img src=x onerror=alert(2)>"
    write_text(whole / "manifest.json", json.dumps(sections))
    (whole / "cache/claude/ledger.jsonl").unlink()
    report_stage(ReportParams(run=str(whole.folder)))
    page, summary = (whole / "report.html").read_text(encoding="utf-8"), (whole / "report.md").read_text(encoding="utf-8")
    cost = page[page.index('id="cost"') : page.index('id="limits"')]
    assert "<script>alert(1)" not in page and "<img src=x" not in page and "&lt;script&gt;alert(1)" in cost and "&lt;img src=x" in cost
    assert "$12.50" in cost and "Planned is the budget" in cost and "| $0.75 |" in summary and r"\<script\>alert(1)" in summary and r"\| \[x\](y)" in summary
    assert page.index("What would change it?") < page.index("What did it cost?") < page.index("What it cannot say") and 'href="#cost"' in page
    table = [line for line in summary[summary.index("### What did it cost?") :].splitlines() if line.startswith("|")][:7]
    assert {line.replace(r"\|", "").count("|") for line in table} == {5}


def test_the_sample_cost_nothing_and_its_report_says_so():
    run = sample_copy("09_report")
    report_stage(ReportParams(run=str(run.folder)))
    summary = (run / "report.md").read_text(encoding="utf-8")
    said = summary[summary.index("### What did it cost?") : summary.index("### What it cannot say")]
    assert said.count("$0.00 |") >= 9 and "nothing was paid" in said and "nothing was bought: the sample is invented" in said


DAMAGE = {"purchase/ledger.jsonl": b'{"key": 1}\n', "pod/ledger.jsonl": b"not json\n", "cache/claude/ledger.jsonl": b'{"what": "paid", "by": "b", "at": "2026-01-01T00:00:00Z", "dollars": NaN}\n',
          "cache/openai/ledger.jsonl": b'{"input_tokens": 1, "output_tokens": 1, "dollars": 1e999}\n', "judge_answers.jsonl": b'{"cost": {"input_tokens": -1}}\n'}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_ledger_is_named_with_its_line(whole, name, capsys):
    good = (whole / name).read_bytes() if (whole / name).exists() else b""
    (whole / name).parent.mkdir(parents=True, exist_ok=True)
    (whole / name).write_bytes(good + DAMAGE[name] + good)
    line = good.count(b"\n") + 1
    with pytest.raises(StageError, match=f"{name}:{line} is damaged"): spent(whole)
    with pytest.raises(StageError, match=f"{name}:{line}"): report_stage(ReportParams(run=str(whole.folder)))
    assert main(["costs", str(whole.folder)]) == 1 and f"{name}:{line}" in capsys.readouterr().err


@pytest.mark.parametrize("text", ['{"input_tokens": 1, "output_tokens": 1, "dollars": -3}\n', '\n', '[1]\n'])
def test_no_amount_below_zero_and_no_empty_line(tmp_path, text):
    write_text(tmp_path / "cache/openai/ledger.jsonl", text)
    with pytest.raises(StageError, match="ledger.jsonl:1 is damaged"): spent(Run(tmp_path))


def test_a_run_of_ones_own_says_what_it_cannot_know(whole):
    sections = whole.manifest()
    sections["01_collect"]["sources"] = {"data/mine.json": "0" * 64}
    sections["04_review"]["notes"]["reviewers"] = ["ann"]
    for stage in ("05_generate", "06_train"):
        sections[stage]["models"]["model"], sections[stage]["packages"]["torch"] = "Qwen/Qwen3-8B", "2.13.0+cu130"
    write_text(whole / "manifest.json", json.dumps(sections))
    for name in ("purchase", "pod", "cache"): shutil.rmtree(whole / name)
    found = {each.item: each.dollars for each in spent(whole)}
    assert all(isinstance(found[item], Unavailable) for item in ("Apify", "pod", "people")) and found["judge"] == 0
    assert cost_cells(whole)[-1]["paid"] == "at least $0.00"
    sections["05_generate"]["parameters"] |= {"engine": "openai", "base_url": "https://example.org/v1"}
    sections["01_collect"]["notes"]["purchase"] = {"source": "apify", "dollars": 4.5, "rehearsal": False}  # a copy without its ledger
    write_text(whole / "manifest.json", json.dumps(sections))
    assert paid(whole.folder, "pod").unsettled == 1 and "a server wrote the replies" in paid(whole.folder, "pod").how
    assert paid(whole.folder, "Apify").dollars == 4.5 and "the ledger is not here" in paid(whole.folder, "Apify").how


def test_an_estimate_follows_the_parameters_of_the_run(tmp_path):
    params, pod = qwen()
    assert isinstance(planned_for(Run(tmp_path)), Unavailable) and spent(Run(tmp_path))[0].how == "nothing was bought yet"
    write_text(tmp_path / "planned.json", json.dumps({stage: stored_params(given) for stage, given in params.items()}))
    assert planned_for(Run(tmp_path)) == budget(params, None)
    write_text(tmp_path / "pod/plan.json", json.dumps({"settings": pod.model_dump(mode="json")}))
    assert planned_for(Run(tmp_path)) == budget(params, pod)
    write_text(tmp_path / "planned.json", json.dumps({stage: stored_params(given) for stage, given in params.items()} | {"07_judge": {"jugde": 1}}))
    assert "did you mean" in str(planned_for(Run(tmp_path))) and "did you mean" in cost_cells(Run(tmp_path))[-1]["how it is known"]
    write_text(tmp_path / "planned.json", json.dumps({"07_judge": 3}))
    assert "no parameters of" in str(planned_for(Run(tmp_path)))


def test_the_command(whole, tmp_path, capsys):
    assert main(["costs", str(whole.folder)]) == 0 and "$16.25" in capsys.readouterr().out
    assert main(["costs", "--params", QWEN, "--people", "150", "--usd-each", "2.5"]) == 0
    said = capsys.readouterr().out
    assert "$375.00" in said and "platform.claude.com/docs, 21 November 2026" in said and "expected_yield" in said
    assert main(["costs", "--params", SAMPLE]) == 0 and "unavailable" in capsys.readouterr().out
    for wrong, part in ([], "either a run folder"), ([SAMPLE_RUN, "--params", QWEN], "either a run folder"), ([str(tmp_path / "none")], "no run folder"), \
            (["--params", "nbs/params/none.yaml"], "no parameter file"), (["--params", QWEN, "--people", "5"], "both --people and --usd-each"):
        assert main(["costs", *wrong]) == 1 and part in capsys.readouterr().err
    assert "pod, replies" in costs_command(file=POD) and "no settings of a pod" in costs_command(file=QWEN, settings="")


def test_planning_rents_asks_and_writes_nothing(tmp_path, monkeypatch):
    import socket
    monkeypatch.setattr(socket.socket, "connect", lambda *given: pytest.fail("something was asked"))
    before = file_hashes(resolve("nbs/params"))
    budget(*read_plan(QWEN))
    assert file_hashes(resolve("nbs/params")) == before
