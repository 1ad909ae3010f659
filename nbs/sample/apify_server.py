"""A server on this machine that speaks the Apify API and sells the invented sample: to rehearse a purchase without a cent.

    python nbs/sample/apify_server.py          # prints the two variables to set, then serves until it is stopped

It knows the endpoints a purchase uses (start, list, look at, abort and resurrect a run; read a run's input; read a page of a
dataset), answers searches from `raw.json` with the operators that matter (conversation_id, min_faves, filter:replies, words),
bills for what it delivers, and can be told to fail in every way that real servers were seen to fail. Wire facts: the
apify-client 3.4 source.
"""
import gzip
import hashlib
import io
import json
import os
import random
import re
import socket
import sys
import threading
import time
from contextlib import contextmanager, redirect_stderr
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch
from urllib.parse import parse_qs, unquote, urlparse

RAW = Path(__file__).parent / "raw.json"
TOKEN = "rehearsal-token"
FINISHED = ("SUCCEEDED", "FAILED", "TIMED-OUT", "ABORTED")
HTTP_FAULTS = ("429", "500", "500 after", "cut", "garbage")  # of any request; "after" and "cut": the deed is done, the answer lost
PAGE_FAULTS = ("cut array", "no headers", "wrong page", "short page")  # of a page of a dataset
RUN_FAULTS = ("FAILED", "TIMED-OUT", "never ends", "refused", "empty", "over-delivers", "bills double")  # of a whole run
TOKENS = re.compile(r'\(([^)]*)\)|(-?)([a-z_]+):(\S+)|(-?)"([^"]+)"|(-?)(\S+)')


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def matches(term: str, row: dict) -> bool:
    "Does a row answer a search? Unknown operators are ignored, as on the real thing."
    text = row.get("text", "").lower()
    for either, no1, name, value, no2, phrase, no3, word in TOKENS.findall(term):
        if either: holds, no = any(part.strip(' "').lower() in text for part in either.split(" OR ")), ""
        elif name == "conversation_id": holds, no = row.get("conversationId") == value, no1
        elif name == "min_faves": holds, no = row.get("likeCount", 0) >= int(value), no1
        elif name == "min_retweets": holds, no = row.get("retweetCount", 0) >= int(value), no1
        elif name == "filter" and value == "replies": holds, no = bool(row.get("inReplyToId")), no1
        elif name: continue
        elif phrase: holds, no = phrase.lower() in text, no2
        else: holds, no = word.lower() in text, no3
        if holds == bool(no): return False
    return True


class ApifyServer:
    """Sells `rows`; `faults` maps an event (start, list, run, input, items, resurrect, abort) to the faults of its next calls,
    `run_faults` the number of a run to its fault, `chance` is the share of requests that fail at random."""

    def __init__(self, rows: list[dict] | None = None, usd_per_row: float = 0.0004, polls: int = 1, faults: dict | None = None,
                 run_faults: dict | None = None, chance: float = 0.0, seed: int = 0, honours_min_faves: bool = True, page: int = 1000):
        rows = json.loads(RAW.read_text(encoding="utf-8")) if rows is None else rows
        self.rows = sorted((row for row in rows if row.get("id", "").isdigit()), key=lambda row: row["id"], reverse=True)
        self.adverts = [row for row in self.rows if (row.get("card") or {}).get("name") == "unified_card"]
        self.usd_per_row, self.polls, self.honours_min_faves, self.page = usd_per_row, polls, honours_min_faves, page
        self.faults, self.run_faults = {event: list(kinds) for event, kinds in (faults or {}).items()}, run_faults or {}
        self.chance, self.random, self.lock = chance, random.Random(seed), threading.RLock()
        self.runs, self.requests, self.shown_faults = {}, [], []

    def __enter__(self):
        self.http = QuietServer(("127.0.0.1", 0), type("Handler", (Handler,), {"server_state": self}))
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    # what a run delivers and costs

    def answer(self, given: dict) -> list[dict]:
        "The rows of a run with this input: newest first, some twice, an advert among them, `noResults` for a term without any"
        found = []
        for number, term in enumerate(given["searchTerms"]):
            asked = term if self.honours_min_faves else re.sub(r"-?min_faves:\d+", "", term)
            rows = [row for row in self.rows if row not in self.adverts and matches(asked, row)]
            rows += [row for row in rows if int(row["id"]) % 11 == 0]
            if rows and self.adverts: rows.insert(len(rows) // 2, self.adverts[number % len(self.adverts)])
            found += rows or [{"noResults": True}]
        return found[: given["maxItems"]]

    def start(self, given: dict, query: dict) -> dict:
        number = len(self.runs)
        fault, rows = self.run_faults.get(number), self.answer(given)
        if query.get("maxTotalChargeUsd"): rows = rows[: int(float(query["maxTotalChargeUsd"]) / self.usd_per_row + 1e-9)]
        if fault == "over-delivers": rows = rows + [row for row in self.answer(given | {"maxItems": 10**6}) if row not in rows] + rows[:20]
        if fault == "refused": rows = [{"noResults": True}] * 10
        if fault == "empty": rows = []
        id = "run" + hashlib.sha256(f"{number}{given}".encode()).hexdigest()[:14]
        self.runs[id] = {"id": id, "number": number, "input": given, "rows": rows, "fault": fault, "polls": 0, "status": "RUNNING", "startedAt": now(),
                         "finishedAt": None, "resurrected": 0, "delivered": 0, "aborted": False, "limit_usd": float(query.get("maxTotalChargeUsd") or "inf")}
        return self.runs[id]

    def advance(self, run: dict):
        "One look at a run: after enough of them it ends, in its own way"
        if run["status"] in FINISHED: return
        run["polls"] += 1
        run["delivered"] = min(len(run["rows"]), run["delivered"] + max(1, len(run["rows"]) // max(1, self.polls)))
        fault = run["fault"] if not run["resurrected"] else None
        if run["aborted"]: self.end(run, "ABORTED")
        elif fault == "never ends": run["delivered"] = min(run["delivered"], len(run["rows"]) // 2)
        elif run["polls"] >= self.polls:
            if fault in ("FAILED", "TIMED-OUT"):
                run["delivered"] = len(run["rows"]) // 2
                self.end(run, fault)
            else:
                run["delivered"] = len(run["rows"])
                self.end(run, "SUCCEEDED")

    def end(self, run: dict, status: str):
        run["status"], run["finishedAt"] = status, now()

    def usd(self, run: dict) -> float:
        if run["fault"] == "refused": return 0.0
        return run["delivered"] * self.usd_per_row * (2 if run["fault"] == "bills double" else 1)

    def billed(self) -> dict[str, list[dict]]:
        "By run: the rows that were delivered and charged for"
        return {id: run["rows"][: run["delivered"]] for id, run in self.runs.items()}

    def started_twice(self) -> int:
        "How many runs have the input of an earlier one"
        inputs = [json.dumps(run["input"], sort_keys=True) for run in self.runs.values()]
        return len(inputs) - len(set(inputs))

    def shown(self, run: dict) -> dict:
        "A run as the API shows it: every key that apify-client insists on"
        return {"id": run["id"], "actId": "actor1", "userId": "user1", "startedAt": run["startedAt"], "finishedAt": run["finishedAt"], "status": run["status"],
                "statusMessage": "The developer of this actor doesn't allow the use of API in the Free Plan" if run["fault"] == "refused" else None,
                "meta": {"origin": "API"}, "stats": {"resurrectCount": run["resurrected"]}, "buildId": "build1", "exitCode": 0,
                "options": {"build": "latest", "timeoutSecs": 300, "memoryMbytes": 256, "diskMbytes": 512}, "usageTotalUsd": self.usd(run),
                "defaultKeyValueStoreId": "kv" + run["id"], "defaultDatasetId": "ds" + run["id"], "defaultRequestQueueId": "rq" + run["id"]}

    def next_fault(self, event: str) -> str | None:
        with self.lock:
            queue = self.faults.get(event)
            fault = queue.pop(0) if queue else None
            if fault is None and self.random.random() < self.chance:
                fault = self.random.choice(HTTP_FAULTS + (PAGE_FAULTS if event == "items" else ()))
            if fault: self.shown_faults.append((event, fault))
            return fault


class QuietServer(ThreadingHTTPServer):
    "A buyer that is killed in the middle of a request is what this server is for"
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError): super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version, wbufsize, disable_nagle_algorithm = "HTTP/1.1", 1 << 16, True  # an answer is one packet
    server_state: ApifyServer

    def log_message(self, *_): pass

    def do_GET(self): self.serve()

    def do_POST(self): self.serve()

    def serve(self):
        server, url = self.server_state, urlparse(self.path)
        parts, query = [unquote(part) for part in url.path.split("/") if part], {name: value[0] for name, value in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip": body = gzip.decompress(body)
        event = self.event(parts)
        with server.lock: server.requests.append((event, self.path))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.send(401, {"error": {"type": "user-or-token-not-found", "message": "User was not found or authentication token is not valid"}})
        fault = server.next_fault(event)
        if fault == "429": return self.send(429, {"error": {"type": "rate-limit-exceeded", "message": "You have exceeded the rate limit"}})
        if fault == "402": return self.send(402, {"error": {"type": "monthly-usage-hard-limit", "message": "Monthly usage hard limit exceeded"}})
        if fault == "500": return self.send(500, {"error": {"type": "internal", "message": "Internal error"}})
        with server.lock: status, answer, headers = self.answer(event, parts, query, json.loads(body or b"null"), fault)
        if fault == "500 after": return self.send(500, {"error": {"type": "internal", "message": "Internal error"}})
        if fault == "slow": time.sleep(1.5)
        if fault == "cut": return self.cut()
        if fault == "garbage": return self.send_bytes(status, b"<html>Bad gateway, token " + TOKEN.encode() + b"</html>", {})
        self.send(status, answer, headers, cut_at=fault == "cut array")

    def event(self, parts: list[str]) -> str:
        match (self.command, *parts[1:]):
            case ("POST", "acts" | "actors", _, "runs"): return "start"
            case ("GET", "acts" | "actors", _, "runs"): return "list"
            case ("GET", "actor-runs", _): return "run"
            case ("POST", "actor-runs", _, "resurrect" | "abort" as what): return what
            case ("GET", "datasets", _, "items"): return "items"
            case ("GET", "key-value-stores", _, "records", _): return "input"
        return "unknown"

    def answer(self, event: str, parts: list[str], query: dict, given, fault) -> tuple[int, object, dict]:
        server = self.server_state
        if event == "start": return 201, {"data": server.shown(server.start(given, query))}, {}
        if event == "list":
            runs = [server.shown(run) for run in server.runs.values() if run["startedAt"] >= query.get("startedAfter", "")]
            runs = runs[::-1] if query.get("desc") in ("1", "true") else runs
            start, limit = int(query.get("offset", 0)), int(query.get("limit", 0)) or 1000
            page = runs[start : start + limit]
            return 200, {"data": {"total": len(runs), "offset": start, "limit": limit, "count": len(page), "desc": True, "items": page}}, {}
        run = server.runs.get(re.sub("^(ds|kv)(?=run)", "", parts[2])) if len(parts) > 2 else None
        if run is None: return 404, {"error": {"type": "record-not-found", "message": f"{'/'.join(parts)} was not found"}}, {}
        if event == "input": return 200, run["input"], {}
        if event == "abort": run["aborted"] = True
        if event == "resurrect":
            if run["status"] not in ("FAILED", "TIMED-OUT", "ABORTED"): return 400, {"error": {"type": "run-not-finished", "message": "Only failed runs can be resurrected"}}, {}
            run |= {"status": "RUNNING", "resurrected": run["resurrected"] + 1, "polls": 0, "aborted": False}
        if event == "run": server.advance(run)
        if event != "items": return 200, {"data": server.shown(run)}, {}
        offset, limit = int(query.get("offset", 0)), min(int(query.get("limit", 0)) or 10**6, server.page)
        if fault == "wrong page": offset = 0 if offset else 1
        page = run["rows"][: run["delivered"]][offset : offset + limit]
        headers = {"total": run["delivered"], "offset": offset, "count": len(page), "limit": limit, "desc": "false"}
        if fault == "short page": page = page[: len(page) // 2]
        return 200, page, {} if fault == "no headers" else {f"x-apify-pagination-{name}": value for name, value in headers.items()}

    def send(self, status: int, answer, headers: dict | None = None, cut_at: bool = False):
        body = json.dumps(answer).encode()
        self.send_bytes(status, body[: len(body) // 2] if cut_at else body, headers or {})

    def send_bytes(self, status: int, body: bytes, headers: dict):
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json; charset=utf-8", "Content-Length": len(body)} | headers).items(): self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def cut(self):
        "Close the connection without a word"
        self.close_connection = True
        try: self.connection.shutdown(socket.SHUT_RDWR)
        except OSError: self.close_connection = True


@contextmanager
def rehearsal(**faults):
    "A server at work and the environment pointing at it, without progress bars; afterwards the environment is what it was"
    with ApifyServer(**faults) as server, patch.dict(os.environ, APIFY_API_BASE_URL=server.url, APIFY_API_TOKEN=TOKEN), redirect_stderr(io.StringIO()):
        yield server


if __name__ == "__main__":
    with ApifyServer(polls=2) as rehearsal:
        print(f"export APIFY_API_BASE_URL={rehearsal.url} APIFY_API_TOKEN={TOKEN}", flush=True)
        try: threading.Event().wait()
        except KeyboardInterrupt: print("stopped")
