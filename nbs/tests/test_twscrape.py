"""Collecting with the real twscrape: a saved GraphQL answer comes from a server on loopback, and nothing else is asked of the network."""
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from replytune import buy as buying_page, sellers
from replytune.dumps import without_telemetry
from replytune.collect import CollectParams, collect_stage
from replytune.plan import Purchase, plan_code
from replytune.buy import buy
from replytune.schema import StageError
from replytune.run import Run

PAGES = "01c"

ACCOUNTS = "lin auth_token=0123456789abcdef; ct0=fedcba9876543210 | bo auth_token=00112233445566; ct0=66554433221100"


def order(folder, **changes) -> CollectParams:
    params = CollectParams.read(dict(run=str(folder), source="twscrape", until="2026-05-01", queries=["developers"], tweets_per_query=5, target_pairs=1000, rows_per_tweet=100,
                                     tweet_likes_min=0, tweet_likes_max=10**6, retry_seconds=0.01) | changes)
    return params.model_copy(update={"confirm": plan_code(params)})


@pytest.fixture
def x(monkeypatch):
    "Answers every GraphQL request with the saved response; `x.fail` makes the next ones fail"
    folder = os.environ.get("REPLYTUNE_DUMPS")
    saved = next(Path(folder).glob("twscrape*.json"), None) if folder else None
    if saved is None: pytest.skip("REPLYTUNE_DUMPS names no folder with a twscrape response")
    without_telemetry()
    import twscrape.api
    import twscrape.queue_client
    import twscrape.telemetry
    answer = json.loads(saved.read_text())

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_): pass

        def do_GET(self):
            server.asked.append((self.path.split("?")[0], self.headers.get("x-csrf-token", "")))
            body = json.dumps(answer).encode()
            status = server.fail.pop(0) if server.fail else 200
            self.send_response(status)
            for name, value in (("content-type", "application/json"), ("content-length", len(body))): self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.fail = [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(twscrape.api, "GQL_URL", f"http://127.0.0.1:{server.server_port}/graphql")

    class Ids:  # the header's key is computed from a page of the real site
        def calc(self, *_): return "id"
    async def get(*_, **__): return Ids()
    monkeypatch.setattr(twscrape.queue_client.XClIdGenStore, "get", get)
    monkeypatch.setattr(twscrape.telemetry, "capture", twscrape.telemetry.capture)
    monkeypatch.setattr(buying_page, "load_secrets", lambda: None)
    monkeypatch.setenv("TWITTER_ACCOUNTS", ACCOUNTS)
    yield server
    server.shutdown()
    server.server_close()


def test_direct_replies_are_collected_and_a_second_time_asks_nothing(x, tmp_path):
    collect_stage(order(tmp_path))
    section, asked = Run(tmp_path).manifest()["01_collect"], len(x.asked)
    entries = list(Purchase(tmp_path / "purchase").entries.values())
    assert [entry.batch.step for entry in entries] == ["tweets", "replies"] and {entry.state for entry in entries} == {"done"}
    assert entries[1].deliveries[0].rows == 34  # direct replies only, of 36
    assert section["counts"]["pairs"] == 32 and section["notes"]["purchase"]["dollars"] == 0 and section["notes"]["purchase"]["probe"] is None
    collect_stage(order(tmp_path))
    assert len(x.asked) == asked and all("TweetDetail" in path or "SearchTimeline" in path for path, _ in x.asked)


def test_telemetry_is_off_and_secrets_stay_in_memory(x, tmp_path):
    buy(order(tmp_path))
    assert os.environ["TWS_TELEMETRY"] == "0" and any(token in ("fedcba9876543210", "66554433221100") for _, token in x.asked)
    text = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert "0123456789abcdef" not in text and "fedcba9876543210" not in text and not list(Path("/dev/shm").glob("replytune-*"))


def test_a_run_cut_short_is_asked_again_and_counts_once(x, tmp_path, monkeypatch):
    real, turns = sellers.append_lines, []

    def cut(path, rows):
        real(path, rows)
        turns.append(path.name)
        if sum(name.startswith("twscrape") for name in turns) == 3: raise KeyboardInterrupt
    monkeypatch.setattr(sellers, "append_lines", cut)
    with pytest.raises(BaseException): buy(order(tmp_path))
    monkeypatch.setattr(sellers, "append_lines", real)
    collect_stage(order(tmp_path))
    assert Run(tmp_path).manifest()["01_collect"]["counts"]["pairs"] == 32


@pytest.mark.parametrize("accounts, said", [("", "TWITTER_ACCOUNTS is not set"), ("lin ct0=1", "account 1 lacks"), (ACCOUNTS + " | cy password", "account 3 lacks")])
def test_accounts_that_cannot_work_are_named(x, tmp_path, monkeypatch, accounts, said):
    monkeypatch.setenv("TWITTER_ACCOUNTS", accounts)
    with pytest.raises(StageError, match=said): buy(order(tmp_path))
    assert not x.asked


def test_locked_out_accounts_end_with_the_reason(x, tmp_path):
    x.fail = [403] * 50
    x.asked.clear()
    with pytest.raises(StageError, match="no tweet|NoAccount|failed"): collect_stage(order(tmp_path))
