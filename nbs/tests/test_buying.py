"""Buying from a server that speaks the Apify API and fails in every known way, through the real client: nothing is lost, started twice, or bought beyond the cap."""
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from replytune import buy as buying_page, plan, sellers
from replytune.files import locked, read_rows
from replytune.collect import CollectParams, collect_stage
from replytune.plan import Purchase, plan_code, rebuild_checkpoint
from replytune.sellers import Refused
from replytune.buy import CollectedRows, buy
from replytune.schema import ParameterError, StageError
from replytune.files import project_root, resolve
from replytune.run import Run

sys.path.insert(0, str(resolve("nbs/sample")))
from apify_server import HTTP_FAULTS, PAGE_FAULTS, RUN_FAULTS, TOKEN, ApifyServer

PAGES = "01b 01c 01d"

# 23 batches: 10 searches, probe and control, 7 of replies, 4 of siblings
WHOLE = dict(source="apify", actor="apidojo/twitter-scraper-lite", prices={"per_term": 0.0, "free_rows_per_term": 0}, until="2026-05-01", target_pairs=3000, sibling_tweets=20,
             budget_usd=5.0, retry_seconds=0.01, rows_per_tweet=50)
SMALL = WHOLE | dict(queries=['(debugging OR debugger OR "code review")', "(postgres OR database)"], sibling_tweets=5)


def order(folder, **changes) -> CollectParams:
    "A confirmed plan"
    params = CollectParams.read({"run": str(folder)} | changes)
    return params.model_copy(update={"confirm": plan_code(params)})


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("APIFY_API_TOKEN", TOKEN)
    monkeypatch.setattr(buying_page, "load_secrets", lambda: None)  # a developer's own .env stays out of it


@contextmanager
def serving(server: ApifyServer | None = None, **faults):
    "A server at work, with the environment pointing at it"
    with server or ApifyServer(**faults) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("APIFY_API_TOKEN", TOKEN)
        patch.setenv("APIFY_API_BASE_URL", server.url)
        yield server


def bought_posts(folder) -> dict:
    "By id, what the rows on the disk say"
    return {post.id: post for post in CollectedRows(Purchase(Path(folder) / "purchase")).of()[0]}


def on_the_disk(folder, server: ApifyServer) -> bool:
    "Is every row the server billed in the run's file, in order?"
    rows = Path(folder) / "purchase/rows"
    return all((read_rows(rows / f"{id}.jsonl") if (rows / f"{id}.jsonl").exists() else []) == billed for id, billed in server.billed().items())


def cap_held(server: ApifyServer, budget: float) -> float:
    "Every start was covered by what was left of the cap; returns by how much the last run overshot it"
    spent = 0.0
    for run in server.runs.values():
        assert spent + run["limit_usd"] <= budget + 1e-6, "a run was started that the cap did not cover"
        spent += server.usd(run)
    last = list(server.runs.values())[-1] if server.runs else None
    assert spent <= budget + 1e-6 or spent - server.usd(last) <= budget + 1e-6
    return max(0.0, spent - budget)


@pytest.fixture(scope="module")
def faultless(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faultless")
    with serving():
        buy(order(folder, **WHOLE))
    return bought_posts(folder)


@pytest.fixture(scope="module")
def faultless_small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faultless_small")
    with serving():
        buy(order(folder, **SMALL))
    return bought_posts(folder)


# the plan and the yes

def test_a_plan_spends_nothing_and_a_wrong_code_is_no_yes(tmp_path, monkeypatch):
    with serving() as server:
        params = order(tmp_path, **SMALL)
        for code in ("", "00000000"):
            with pytest.raises(StageError, match=f"confirm: {plan_code(params)}"): collect_stage(params.model_copy(update={"confirm": code}))
        with pytest.raises(StageError, match="another plan"): buy(params.model_copy(update={"budget_usd": 6.0}))
        assert server.requests == [] and not (tmp_path / "purchase").exists()


@pytest.mark.parametrize("changes, advice", [({"run": ""}, "run folder"), ({"until": ""}, "until"), ({"budget_usd": 0.0}, "budget_usd"), ({"until": "2999-01-01"}, "no week to come"), ({"since": "2026-06-01"}, "is not before")])
def test_what_is_missing_is_named(tmp_path, changes, advice):
    with pytest.raises(StageError, match=advice): buy(order(tmp_path, **SMALL).model_copy(update=changes))


def test_bad_parameters_are_named(tmp_path):
    with pytest.raises(ParameterError, match="until"): CollectParams.read({"until": "last week"})
    with pytest.raises(ParameterError, match="known are"): buy(order(tmp_path, **SMALL).model_copy(update={"actor": "someone/else"}))
    with pytest.raises(ParameterError, match="per_rwo"): buy(order(tmp_path, **SMALL).model_copy(update={"prices": {"per_rwo": 1.0}}))


def test_without_a_token_and_with_a_wrong_one(tmp_path, monkeypatch):
    with serving() as server:
        monkeypatch.delenv("APIFY_API_TOKEN")
        with pytest.raises(StageError, match="APIFY_API_TOKEN is not set"): buy(order(tmp_path, **SMALL))
        monkeypatch.setenv("APIFY_API_TOKEN", "wrong-token-123")
        with pytest.raises(StageError, match="make one in Apify's console"): buy(order(tmp_path, **SMALL))
        assert not server.runs


# the whole line from a purchase

def test_a_purchase_becomes_pairs_and_a_second_time_costs_nothing(tmp_path, monkeypatch, faultless):
    with serving() as server:
        collect_stage(order(tmp_path, **WHOLE))
        runs, requests, first = len(server.runs), len(server.requests), Run(tmp_path).manifest()["01_collect"]
        collect_stage(order(tmp_path, **WHOLE))
        assert (len(server.runs), len(server.requests)) == (runs, requests) and runs >= 20
    counts, notes = first["counts"], first["notes"]["purchase"]
    assert counts["items"] == sum(count for name, count in counts.items() if name != "items") == sum(map(len, server.billed().values()))
    assert notes["dollars"] == pytest.approx(sum(map(server.usd, server.runs.values()))) and notes["probe"]["holds"] is True
    pairs = read_rows(tmp_path / "pairs.jsonl")
    assert len(pairs) == counts["pairs"] and bought_posts(tmp_path) == faultless
    assert all(row["collected_at"] for row in read_rows(tmp_path / "pairs.jsonl"))
    assert {name for name in first["appended"]} == {"purchase/rows"}


# faults

SCRIPTS = ([pytest.param({"faults": {event: [fault] * 2}}, id=f"{event}-{fault}") for event in ("start", "run", "items") for fault in HTTP_FAULTS]
           + [pytest.param({"faults": {"items": [fault] * 2}}, id=f"page-{fault}") for fault in PAGE_FAULTS]
           + [pytest.param({"faults": {"start": ["cut"], "list": [fault], "input": [fault]}}, id=f"find-{fault}") for fault in HTTP_FAULTS]
           + [pytest.param({"run_faults": {3: fault}}, id=f"run-{fault}") for fault in RUN_FAULTS if fault not in ("refused", "empty")]
           + [pytest.param({"run_faults": {3: "FAILED"}, "faults": {"resurrect": [fault]}}, id=f"resurrect-{fault}") for fault in HTTP_FAULTS]
           + [pytest.param({"chance": 0.15, "seed": seed}, id=f"random-{seed}") for seed in range(3)])


@pytest.mark.parametrize("script", SCRIPTS)
def test_faults_change_nothing_but_the_time(tmp_path, monkeypatch, script, faultless_small):
    extra = dict(run_minutes=0.005) if "never ends" in script.get("run_faults", {}).values() else {}
    with serving(page=20, **script) as server:
        result = buy(order(tmp_path, **SMALL | extra))
        assert server.shown_faults or server.run_faults
    assert bought_posts(tmp_path) == faultless_small and on_the_disk(tmp_path, server)
    assert server.started_twice() == 0 and not result["failed_batches"]
    cap_held(server, SMALL["budget_usd"])


OVERCHARGED = [pytest.param({"run_faults": {number: fault for number in range(30)}}, id=f"all-{fault.replace(' ', '-')}") for fault in ("bills double", "over-delivers")]
BUDGETS = (0.02, 0.15, 0.25)


def rotated(scripts) -> list:
    "Every script with one of the budgets in turn; with the other two it is slow"
    return [pytest.param(script.values[0], budget, id=f"{script.id}-{budget}", marks=[pytest.mark.slow] if (number + turn) % len(BUDGETS) else [])
            for number, script in enumerate(scripts) for turn, budget in enumerate(BUDGETS)]


@pytest.mark.parametrize("script, budget", rotated(SCRIPTS + OVERCHARGED))
def test_the_cap_holds_in_every_script(tmp_path, monkeypatch, script, budget):
    extra = dict(run_minutes=0.005) if "never ends" in script.get("run_faults", {}).values() else {}
    with serving(**script) as server:
        result = buy(order(tmp_path, **SMALL | extra | {"budget_usd": budget}))
        overshoot = cap_held(server, budget)
    assert "the cap was reached" in result["ended"] or result["dollars"] <= budget
    assert overshoot == 0 or set(script.get("run_faults", {}).values()) & {"bills double", "over-delivers"}
    assert result["dollars"] == pytest.approx(sum(map(server.usd, server.runs.values())))


@pytest.mark.parametrize("fault, said", [("refused", "doesn't allow the use of API in the Free Plan")])
def test_a_refusal_is_an_error_with_the_sellers_words(tmp_path, monkeypatch, fault, said):
    with serving(run_faults={0: fault}) as server:
        with pytest.raises(Refused, match=said): buy(order(tmp_path, **SMALL))
        assert len(server.runs) == 1
        buy(order(tmp_path, **SMALL))  # the plan was upgraded: the refused batch is ordered again, the others for the first time
    assert server.started_twice() == 1 and on_the_disk(tmp_path, server)


def test_a_run_that_fails_for_good_keeps_its_rows_and_is_named(tmp_path, monkeypatch):
    class Hopeless(ApifyServer):
        def advance(self, run):
            if run["number"] == 4: run["resurrected"], kept = 0, run["resurrected"]
            super().advance(run)
            if run["number"] == 4: run["resurrected"] = kept
    with serving(Hopeless(run_faults={4: "FAILED"})) as server:
        result = buy(order(tmp_path, **SMALL))
    assert [run["resurrected"] for run in server.runs.values()][4] == 3
    assert len(result["failed_batches"]) == 1 and "FAILED after 3 resurrections" in result["failed_batches"][0]
    assert on_the_disk(tmp_path, server) and server.started_twice() == 0


def test_no_money_left_at_the_seller(tmp_path, monkeypatch):
    with serving(faults={"start": [None, None, "402"]}) as server:
        with pytest.raises(StageError, match="monthly limit; raise it there"): buy(order(tmp_path, **SMALL))
        buy(order(tmp_path, **SMALL))
    assert server.started_twice() == 0 and on_the_disk(tmp_path, server)


def test_the_probe_notices_an_ignored_operator(tmp_path, monkeypatch):
    with serving(honours_min_faves=False) as server:
        with pytest.raises(StageError, match="min_faves does not hold"): buy(order(tmp_path, **WHOLE | {"reply_likes_min": 25}))
        assert len(server.runs) <= 13  # searches until there were five tweets, and the probe
        steps = {entry.batch.step for entry in Purchase(tmp_path / "purchase").entries.values()}
    assert "replies" not in steps


# the disk

def test_a_damaged_checkpoint_is_an_error_and_can_be_rebuilt(tmp_path, monkeypatch, faultless_small):
    with serving() as server:
        with pytest.raises(StageError): buy(order(tmp_path, **SMALL | {"budget_usd": 5.0, "target_pairs": 3000}).model_copy(update={"confirm": ""}))
        buy(order(tmp_path, **SMALL))
        runs, checkpoint = len(server.runs), tmp_path / "purchase/checkpoint.json"
        half = json.dumps(json.loads(checkpoint.read_text())[:3])  # a backup from yesterday
        for damage in (checkpoint.read_text()[:-40], "{}", "[]", "[1]", "", half):
            checkpoint.write_text(damage)
            with pytest.raises(StageError, match="replytune rebuild"): buy(order(tmp_path, **SMALL))
            rebuild_checkpoint(tmp_path / "purchase")
            buy(order(tmp_path, **SMALL))
        checkpoint.unlink()
        with pytest.raises(StageError, match="replytune rebuild"): buy(order(tmp_path, **SMALL))
        rebuild_checkpoint(tmp_path / "purchase")
        buy(order(tmp_path, **SMALL))
        assert len(server.runs) == runs
    assert bought_posts(tmp_path) == faultless_small


def test_no_secret_reaches_a_file_or_an_error(tmp_path, monkeypatch, caplog):
    with serving(faults={"start": ["garbage", "garbage"], "run": ["garbage"] * 9}):  # its garbage holds the token
        with pytest.raises(StageError) as error: buy(order(tmp_path, **SMALL))
    import traceback
    shown = "".join(traceback.format_exception(error.value))
    files = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert TOKEN not in shown and TOKEN not in files and "run" in shown


def test_a_rehearsal_and_a_purchase_do_not_share_a_folder(tmp_path, monkeypatch):
    with serving(): buy(order(tmp_path, **SMALL))
    monkeypatch.delenv("APIFY_API_BASE_URL", raising=False)
    with pytest.raises(StageError, match="holds a rehearsal"): buy(order(tmp_path, **SMALL))


def test_rows_that_are_gone_at_the_seller_are_named_and_the_rest_is_bought(tmp_path):
    class Forgetful(ApifyServer):
        forgot = False

        def advance(self, run):
            super().advance(run)
            if run["number"] == 4 and not self.forgot: self.forgot = bool(self.runs.pop(run["id"]))
    with serving(Forgetful()) as server:
        result = buy(order(tmp_path, **SMALL))
        assert len(result["failed_batches"]) == 1 and "gone" in result["failed_batches"][0] and len(server.runs) >= 4


def test_two_buyers_cannot_share_a_folder(tmp_path, monkeypatch):
    with serving(), locked(tmp_path / "purchase/purchase"):
        with pytest.raises(StageError, match="another process is buying"): buy(order(tmp_path, **SMALL))


def test_hostile_run_ids_do_not_name_files(tmp_path, monkeypatch):
    class Hostile(ApifyServer):
        def shown(self, run): return super().shown(run) | {"id": "../../escape"}
    with serving(Hostile()):
        with pytest.raises(StageError, match="a name we do not take"): buy(order(tmp_path, **SMALL))
    assert not list(tmp_path.parent.glob("escape*"))


# kills

class Killed(BaseException): "Stands for kill -9: nothing catches it"


def steps_until_killed(monkeypatch, at_step: int):
    "Raise `Killed` at the given one of all requests and writes, in turns before and after the deed; returns the count"
    from apify_client.http_clients import ImpitHttpClient
    count = {"steps": 0}

    def deadly(real):
        def step(*arguments, **named):
            count["steps"] += 1
            if count["steps"] * 2 == at_step: raise Killed
            result = real(*arguments, **named)
            if count["steps"] * 2 + 1 == at_step: raise Killed
            return result
        return step
    append = deadly(plan.append_lines)
    for page in (plan, sellers): monkeypatch.setattr(page, "append_lines", append)
    monkeypatch.setattr(plan, "write_text", deadly(plan.write_text))
    monkeypatch.setattr(ImpitHttpClient, "send_request", deadly(ImpitHttpClient.send_request))
    return count


def test_killed_at_every_step_of_a_purchase(tmp_path, monkeypatch, faultless_small):
    tiny = SMALL | {"retry_seconds": 0.001}
    step, killed = 2, 0
    while True:
        folder = tmp_path / str(step)
        with serving(run_faults={3: "FAILED"}, faults={"start": [None, "500 after"]}) as server:
            with pytest.MonkeyPatch.context() as patch:
                steps_until_killed(patch, step)
                try: buy(order(folder, **tiny))
                except Killed: killed += 1
                else: break
            buy(order(folder, **tiny))
        assert bought_posts(folder) == faultless_small and on_the_disk(folder, server) and server.started_twice() == 0, step
        step += 1 if os.environ.get("REPLYTUNE_EVERY_STEP") else 7
    assert killed > 20


def buying(folder: Path, server: ApifyServer) -> subprocess.Popen:
    "A real process that carries out the whole order"
    params = order(folder, **WHOLE).model_dump(mode="json")
    script = "import json, sys; from replytune.collect import *; collect_stage(CollectParams.read(json.loads(sys.argv[1])))"
    return subprocess.Popen([sys.executable, "-c", script, json.dumps(params)], cwd=project_root(), env=os.environ | {"APIFY_API_BASE_URL": server.url}, stderr=subprocess.PIPE)


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_random_moments_with_faults_on(tmp_path, kills, faultless):
    chance, done, folders = random.Random(kills), 0, []
    rows = []
    while done < kills:
        folder = tmp_path / str(len(folders))
        folders.append(folder)
        with serving(chance=0.08, seed=len(folders), run_faults={5: "FAILED", 14: "TIMED-OUT"}) as server:
            here = 0
            while True:
                process = buying(folder, server)
                deadline = time.monotonic() + chance.uniform(0.9, 2.4) if done < kills else time.monotonic() + 60
                while process.poll() is None and time.monotonic() < deadline: time.sleep(0.005)
                if process.poll() is not None: break
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                done, here = done + 1, here + 1
            assert process.returncode == 0, process.stderr.read().decode()[-2000:]
        same, whole = bought_posts(folder) == faultless, on_the_disk(folder, server)
        rows.append((here, len(server.runs), len(server.shown_faults), sum(map(len, server.billed().values())), server.started_twice(), same, whole))
    print("\nkills  runs  faults  rows billed  started twice  posts identical  rows on disk")
    for row in rows: print("{:5}  {:4}  {:6}  {:11}  {:13}  {!s:>15}  {!s:>12}".format(*row))
    assert all(row[4] == 0 and row[5] and row[6] for row in rows)
