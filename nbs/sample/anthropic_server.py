"""A server on this machine that speaks the Anthropic API and judges by length: to rehearse a judge without a key and without a cent.

    python nbs/sample/anthropic_server.py          # prints the two variables to set, then serves until it is stopped

It knows what a judge uses (look at a model and list them, count tokens, create a message; create, look at, list, read, cancel and
delete a batch of messages), refuses what the real one refuses with HTTP 400, counts tokens with one tokenizer and bills with
another, draws the lengths of answers at random (the same for the same question), keeps a bill by the content of what was paid for, and can be told to fail in every way that was
seen. The longer reply wins, so that verdicts can be checked. Wire facts: the source of anthropic 2.11; what is refused: the
migration guides of Claude Sonnet 5.5 and the reference of the Message Batches API.
"""
import hashlib
import io
import json
import math
import os
import random
import re
import socket
import sys
import threading
import time
from contextlib import contextmanager, redirect_stderr
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import patch
from urllib.parse import parse_qs, unquote, urlparse

KEY = "sk-ant-rehearsal-0123456789"
MTOK = {"claude-haiku-5-5": (0.10, 0.50), "claude-sonnet-5-5": (2, 10), "claude-opus-5-5": (4, 20), "claude-sonnet-5": (2, 10)}  # dollars a million tokens in and out
MODELS = (  # id, line, released, lifecycle, deprecated, retires
    ("claude-sonnet-5-5", "sonnet", "2026-09-28", "active", None, None),
    ("claude-haiku-5-5", "haiku", "2026-09-28", "active", None, None),
    ("claude-opus-5-5", "opus", "2026-09-28", "active", None, None),
    ("claude-unpriced-1", "opus", "2026-10-01", "active", None, None),
    ("claude-sonnet-5", "sonnet", "2026-06-30", "active", None, None),
    ("claude-sonnet-4-5-20250929", "sonnet", "2025-09-29", "deprecated", "2026-05-30", "2026-11-30"),
    ("claude-3-5-sonnet-20241022", "sonnet", "2024-10-22", "retired", "2025-08-13", "2025-10-28"),
)
ALIASES = {"claude-sonnet-4-5": "claude-sonnet-4-5-20250929"}
ERRORS = {400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error", 408: "timeout_error",
          413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 503: "api_error", 504: "timeout_error", 529: "overloaded_error"}
REFUSED = ("429", "529", "500", "503", "408")  # nothing was done; asking again helps
LOST = ("cut", "cut half", "garbage")  # the deed is done, and its answer does not arrive
ITEM_FAULTS = ("expired", "canceled", "overloaded_error", "api_error", "rate_limit_error")  # of one item of a batch; asking again helps
LOW = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."
FIELDS = set("model messages max_tokens system output_config thinking tools tool_choice stop_sequences stream metadata service_tier cache_control container inference_geo speed temperature top_p top_k".split())
PLAIN = set("type properties required additionalProperties enum const description title anyOf allOf $ref $defs items format default".split())  # of JSON schema; the rest is refused


class Refused(Exception):
    "An answer that is an error: HTTP status, words"


def stamp(moment: datetime | None = None) -> str:
    return (moment or datetime.now(timezone.utc)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def text_of(content) -> str: return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


def everything(body: dict) -> str:
    "All text that a model reads of a request"
    return "\n".join([text_of(body.get("system") or ""), *(text_of(message["content"]) for message in body["messages"]), json.dumps((body.get("output_config") or {}).get("format") or "")])


def counted(text: str) -> int:
    "Tokens, as the counting endpoint has it"
    return math.ceil(len(text.encode()) / 3.6) + 12


def billed(text: str) -> int:
    "Tokens, as the bill has it: pieces of words, and every sign"
    return len(re.findall(r"\w{1,6}|[^\w\s]", text)) + 20


def check_schema(schema, where: str = "output_config.format.schema"):
    "What structured outputs take of JSON schema"
    if not isinstance(schema, dict): raise Refused(400, f"{where}: Input should be an object")
    for name in schema.keys() - PLAIN: raise Refused(400, f"{where}: For '{schema.get('type')}' type, property '{name}' is not supported")
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False: raise Refused(400, f"{where}: For 'object' type, 'additionalProperties' must be explicitly set to false")
        if set(schema.get("required", [])) - set(schema.get("properties", {})): raise Refused(400, f"{where}: 'required' names a property that is not there")
        for name, each in schema.get("properties", {}).items(): check_schema(each, f"{where}.properties.{name}")
    elif not {"type", "enum", "const", "anyOf", "allOf", "$ref"} & schema.keys(): raise Refused(400, f"{where}: has no type")


def check_request(body: dict, in_batch: bool = False, counting: bool = False):
    "Raise `Refused` for what the real API answers with HTTP 400"
    wrong = lambda words: Refused(400, words)
    if not isinstance(body, dict): raise wrong("Input should be an object")
    for name in sorted(body.keys() - FIELDS): raise wrong(f"{name}: Extra inputs are not permitted")
    for name in ("model", "messages", *([] if counting else ["max_tokens"])):
        if name not in body: raise wrong(f"{name}: Field required")
    for name in ("temperature", "top_p", "top_k"):
        if name in body: raise wrong(f"{name}: sampling parameters are not supported by this model")
    most = body.get("max_tokens", 1)
    if type(most) is not int or most < 0 or (in_batch and most == 0): raise wrong("max_tokens: Input should be greater than or equal to 1")
    if most > 128_000: raise wrong(f"max_tokens: {most} > 128000, which is the maximum allowed number of output tokens")
    if not body["messages"]: raise wrong("messages: at least one message is required")
    for number, message in enumerate(body["messages"]):
        if message.get("role") not in ("user", "assistant"): raise wrong(f"messages.{number}.role: Input should be 'user' or 'assistant'")
        if not text_of(message.get("content", "")).strip(): raise wrong(f"messages.{number}: text content blocks must be non-empty")
    if body["messages"][-1]["role"] == "assistant": raise wrong("This model does not support assistant message prefill. The conversation must end with a user message.")
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled" or "budget_tokens" in thinking: raise wrong("thinking: budgets are not supported by this model; use adaptive")
    if thinking.get("type") == "disabled": raise wrong("thinking: disabled is not supported by this model; use between_tools")
    if thinking and thinking.get("type") not in ("adaptive", "between_tools"): raise wrong("thinking.type: Input tag is not known")
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"): raise wrong("tool_choice: forced tool use is not supported by this model")
    config = body.get("output_config") or {}
    for name in config.keys() - {"format", "effort"}: raise wrong(f"output_config.{name}: Extra inputs are not permitted")
    if config.get("effort", "low") not in ("low", "medium", "high", "xhigh", "max"): raise wrong("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    if "format" in config:
        if (config["format"] or {}).get("type") != "json_schema": raise wrong("output_config.format.type: Input should be 'json_schema'")
        check_schema(config["format"].get("schema"))


class AnthropicServer:
    """Judges; `faults` maps an event (message, count, model, models, create, batch, batches, results) to the faults of its next calls,
    `item_faults` the number of a batch's item, counted over all batches, to its fault, `chance` is the share of requests that fail at
    random, `answers` maps a piece of a question's text to another way to answer (refusal, max_tokens, pause_turn, prose, silent)."""

    def __init__(self, faults: dict | None = None, item_faults: dict | None = None, chance: float = 0.0, chances: tuple = REFUSED, seed: int = 0, output_mean: float = 300,
                 answers: dict | None = None, credit: float = math.inf, retires_after: float = math.inf, looks: int = 1, seconds: float = 0.0, latency: float = 0.0, hang: float = 30.0):
        self.faults, self.item_faults, self.answers = {event: list(kinds) for event, kinds in (faults or {}).items()}, item_faults or {}, answers or {}
        self.chance, self.chances, self.random, self.seed, self.output_mean = chance, chances, random.Random(seed), seed, output_mean
        self.credit, self.retires_after, self.looks, self.seconds, self.latency, self.hang = credit, retires_after, looks, seconds, latency, hang
        self.lock, self.batches, self.bill, self.items, self.requests, self.shown_faults, self.most_at_once, self.now = threading.RLock(), {}, [], 0, [], [], 0, 0

    def __enter__(self):
        self.http = QuietServer(("127.0.0.1", 0), type("Handler", (Handler,), {"server_state": self}))
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    # models

    def model(self, id: str) -> dict:
        for name, line, released, lifecycle, deprecated, retires in MODELS:
            if name != ALIASES.get(id, id): continue
            yes = {"supported": True}
            if len(self.bill) >= self.retires_after: lifecycle = "retired"
            return {"type": "model", "id": name, "display_name": name, "line": line, "created_at": released + "T00:00:00Z", "lifecycle": lifecycle, "deprecated_at": deprecated and deprecated + "T00:00:00Z",
                    "retires_at": retires and retires + "T00:00:00Z", "max_input_tokens": 1_000_000, "max_tokens": 128_000,
                    "capabilities": {"batch": yes, "structured_outputs": {"supported": name != "claude-sonnet-5"}, "effort": {"supported": True, "low": yes, "medium": yes, "high": yes, "max": yes}}}
        raise Refused(404, f"model: {id}")

    def usable(self, id: str):
        if self.model(id)["lifecycle"] == "retired": raise Refused(404, f"model: {id}")

    # answers and what they cost

    def spent(self) -> float: return math.fsum(row["dollars"] for row in self.bill)

    def answer(self, body: dict, batch: str | None = None) -> dict:
        "A message, billed"
        self.usable(body["model"])
        if self.spent() >= self.credit: raise Refused(400, LOW)
        asked, text = text_of(body["messages"][-1]["content"]), everything(body)
        content = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        kind = next((kind for piece, kind in self.answers.items() if piece in asked), "end_turn")
        said = self.said(asked, body) if kind != "prose" else "I like reply A better."
        draw = random.Random(f"{self.seed}{content}").gammavariate(4, self.output_mean / 4)
        inside, outside = billed(text), max(billed(said), round(draw))
        if outside > body["max_tokens"] or kind == "max_tokens": kind, outside, said = "max_tokens", body["max_tokens"], said[: len(said) // 2]
        price = MTOK.get(body["model"], (100, 500))
        dollars = (inside * price[0] + outside * price[1]) / 1e6 / (2 if batch else 1)
        number = sum(row["content"] == content for row in self.bill)
        self.bill.append({"content": content, "batch": batch, "input_tokens": inside, "output_tokens": outside, "dollars": dollars})
        blocks = [{"type": "thinking", "thinking": "The replies differ in length.", "signature": "c2lnbmVk"}]
        if kind not in ("refusal", "silent"): blocks += [{"type": "text", "text": said, "citations": None}]
        why = {"type": "refusal", "category": "general_harms", "explanation": "The request may be harmful."} if kind == "refusal" else None
        return {"id": f"msg_{content[:20]}{number}", "type": "message", "role": "assistant", "model": body["model"], "content": blocks, "stop_details": why,
                "stop_reason": kind if kind in ("refusal", "max_tokens", "pause_turn") else "end_turn", "stop_sequence": None,
                "usage": {"input_tokens": inside, "output_tokens": outside, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "service_tier": "batch" if batch else "standard"}}

    @staticmethod
    def said(asked: str, body: dict) -> str:
        "The verdict, in the form that was asked for: the longer reply wins"
        texts = re.findall(r"<reply[^>]*>\n(.*?)\n</reply>", asked, flags=re.S) or [asked]
        if "format" not in (body.get("output_config") or {}): return f"{len(texts)} texts"
        lengths = [len(text) for text in texts]
        if len(texts) == 1: return json.dumps({"reasoning": f"The reply has {lengths[0]} characters.", "score": min(10, 1 + lengths[0] // 15)})
        winner = "tie" if lengths[0] == lengths[1] else "A" if lengths[0] > lengths[1] else "B"
        return json.dumps({"reasoning": f"A has {lengths[0]} characters, B has {lengths[1]}.", "winner": winner})

    def paid_again(self) -> int:
        "How many answers were paid for although the same had been paid for before"
        return len(self.bill) - len({row["content"] for row in self.bill})

    def finish(self):
        "Let every batch end now, whether or not anybody looks"
        with self.lock:
            for batch in self.batches.values(): self.end(batch)

    # batches

    def create(self, given: dict) -> dict:
        requests = given.get("requests") or []
        if not requests: raise Refused(400, "requests: List should have at least 1 item")
        if len(requests) > 100_000: raise Refused(413, "Request exceeds the maximum size")
        ids = [each.get("custom_id") for each in requests]
        for number, id in enumerate(ids):
            if not re.fullmatch("[a-zA-Z0-9_-]{1,64}", id or ""): raise Refused(400, f"requests.{number}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
            if requests[number]["params"].get("max_tokens") == 0: raise Refused(400, f"requests.{number}.params.max_tokens: Input should be greater than or equal to 1")
        if len(set(ids)) < len(ids): raise Refused(400, "requests: custom_id must be unique")
        if self.spent() >= self.credit: raise Refused(400, LOW)
        moment = datetime.now(timezone.utc)
        id = "msgbatch_" + hashlib.sha256(f"{self.seed}{len(self.batches)}{ids}".encode()).hexdigest()[:24]
        self.batches[id] = {"id": id, "created": moment, "started": time.monotonic(), "looks": 0, "requests": requests, "first": self.items, "status": "in_progress", "ended": None, "results": [], "canceled": None}
        self.items += len(requests)
        return self.batches[id]

    def look(self, batch: dict):
        "One look at a batch: after enough of them, and enough time, it ends"
        batch["looks"] += 1
        if batch["looks"] > self.looks and time.monotonic() - batch["started"] >= self.seconds: self.end(batch)

    def end(self, batch: dict):
        if batch["status"] == "ended": return
        results = []
        for number, each in enumerate(batch["requests"], batch["first"]):
            fault = "canceled" if batch["canceled"] else self.item_faults.get(number)
            if fault in ("expired", "canceled"): result = {"type": fault}
            elif fault: result = {"type": "errored", "error": {"type": "error", "request_id": "req_item", "error": {"type": fault, "message": f"this item met {fault}"}}}
            else:
                try:
                    check_request(each["params"], in_batch=True)
                    result = {"type": "succeeded", "message": self.answer(each["params"], batch["id"])}
                except Refused as refused: result = {"type": "errored", "error": {"type": "error", "request_id": "req_item", "error": {"type": ERRORS[refused.args[0]], "message": refused.args[1]}}}
            results.append({"custom_id": each["custom_id"], "result": result})
        random.Random(batch["id"]).shuffle(results)
        batch |= {"status": "ended", "ended": datetime.now(timezone.utc), "results": results}

    def shown(self, batch: dict) -> dict:
        "A batch as the API shows it"
        ended, types = batch["status"] == "ended", [row["result"]["type"] for row in batch["results"]]
        counts = {"processing": 0 if ended else len(batch["requests"])} | {kind: types.count(kind) for kind in ("succeeded", "errored", "canceled", "expired")}
        return {"id": batch["id"], "type": "message_batch", "processing_status": batch["status"], "request_counts": counts, "created_at": stamp(batch["created"]), "expires_at": stamp(batch["created"] + timedelta(hours=24)),
                "ended_at": batch["ended"] and stamp(batch["ended"]), "archived_at": None, "cancel_initiated_at": batch["canceled"] and stamp(batch["canceled"]),
                "results_url": f"{self.url}/v1/messages/batches/{batch['id']}/results" if ended else None}

    def next_fault(self, event: str) -> str | None:
        with self.lock:
            queue = self.faults.get(event)
            fault = queue.pop(0) if queue else None
            if fault is None and self.random.random() < self.chance: fault = self.random.choice(self.chances)
            if fault: self.shown_faults.append((event, fault))
            return fault


class QuietServer(ThreadingHTTPServer):
    "A judge that is killed in the middle of a request is what this server is for"
    daemon_threads, request_queue_size = True, 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError): super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version, wbufsize, disable_nagle_algorithm = "HTTP/1.1", 1 << 16, True  # an answer is one packet
    server_state: AnthropicServer

    def log_message(self, *_): pass

    def do_GET(self): self.serve()

    def do_POST(self): self.serve()

    def do_DELETE(self): self.serve()

    def serve(self):
        server, url = self.server_state, urlparse(self.path)
        body, parts, query = self.rfile.read(int(self.headers.get("Content-Length") or 0)), [unquote(part) for part in url.path.split("/") if part], {name: value[0] for name, value in parse_qs(url.query).items()}
        event = self.event(parts)
        with server.lock:
            server.requests.append(event)
            server.now += 1
            server.most_at_once = max(server.most_at_once, server.now)
        try: self.respond(event, parts, query, body)
        finally:
            with server.lock: server.now -= 1

    def respond(self, event: str, parts: list[str], query: dict, body: bytes):
        server = self.server_state
        try:
            key = self.headers.get("x-api-key") or (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            if key != KEY: raise Refused(401, "invalid x-api-key" if key else "Missing Authorization or x-api-key header")
            if not self.headers.get("anthropic-version"): raise Refused(400, "anthropic-version: header is required")
            fault = server.next_fault(event)
            if fault == "credit": raise Refused(400, LOW)
            if fault == "spend": raise Refused(429, "You have reached your specified API usage limits.", "enforced_spend_limit_reached")
            if fault and fault.isdigit(): raise Refused(int(fault), f"this request met a {fault}; the key was {KEY}")
            if len(body) > (256 << 20 if event == "create" else 32 << 20): raise Refused(413, "Request exceeds the maximum size")
            try: given = json.loads(body or b"null")
            except ValueError: raise Refused(400, "The request body is not valid JSON") from None
            if event == "message" and server.latency: time.sleep(server.latency)
            with server.lock: answer = self.answer(event, parts, query, given)
        except Refused as refused:
            status, words, *code = refused.args
            error = {"type": ERRORS[status], "message": words} | ({"details": {"error_code": code[0]}} if code else {})
            return self.send(status, {"type": "error", "error": error, "request_id": "req_refused"}, {"retry-after-ms": "5"} if status in (408, 429) or status >= 500 else {})
        if fault == "500 after": return self.send(500, {"type": "error", "error": {"type": "api_error", "message": "Internal server error"}}, {"retry-after-ms": "5"})
        if fault == "hang": time.sleep(server.hang)
        if fault == "cut": return self.cut()
        if fault == "garbage": return self.send_bytes(200, b"<html>Bad gateway</html>", {"Content-Type": "text/html"})
        self.send(200, answer, cut_at=fault == "cut half")

    def event(self, parts: list[str]) -> str:
        match (self.command, *parts):
            case ("POST", "v1", "messages"): return "message"
            case ("POST", "v1", "messages", "count_tokens"): return "count"
            case ("POST", "v1", "messages", "batches"): return "create"
            case ("GET", "v1", "messages", "batches"): return "batches"
            case ("GET", "v1", "messages", "batches", _): return "batch"
            case ("DELETE", "v1", "messages", "batches", _): return "delete"
            case ("GET", "v1", "messages", "batches", _, "results"): return "results"
            case ("POST", "v1", "messages", "batches", _, "cancel"): return "cancel"
            case ("GET", "v1", "models"): return "models"
            case ("GET", "v1", "models", _): return "model"
        return "unknown"

    def answer(self, event: str, parts: list[str], query: dict, given):
        server = self.server_state
        if event == "message":
            check_request(given)
            return server.answer(given)
        if event == "count":
            check_request(given, counting=True)
            server.usable(given["model"])
            return {"input_tokens": counted(everything(given))}
        if event == "model": return server.model(parts[2])
        if event == "models": return self.page([server.model(row[0]) for row in MODELS], query)
        if event == "create": return server.shown(server.create(given))
        if event == "batches":
            for batch in server.batches.values(): server.look(batch)
            return self.page([server.shown(batch) for batch in reversed(server.batches.values())], query)
        batch = server.batches.get(parts[3]) if len(parts) > 3 else None
        if batch is None: raise Refused(404, "Not found")
        if event == "cancel": batch |= {"canceled": batch["canceled"] or datetime.now(timezone.utc), "status": "canceling" if batch["status"] == "in_progress" else batch["status"]}
        if event == "delete":
            if batch["status"] != "ended": raise Refused(400, "Message Batch cannot be deleted while it is processing")
            del server.batches[parts[3]]
            return {"id": parts[3], "type": "message_batch_deleted"}
        if event == "results":
            if batch["status"] != "ended": raise Refused(404, "results are not there yet")
            return batch["results"]
        server.look(batch)
        return server.shown(batch)

    @staticmethod
    def page(rows: list[dict], query: dict) -> dict:
        "A page of a list, as cursors have it"
        start = next((n + 1 for n, row in enumerate(rows) if row["id"] == query.get("after_id")), 0)
        found = rows[start : start + int(query.get("limit", 20))]
        return {"data": found, "has_more": start + len(found) < len(rows), "first_id": found[0]["id"] if found else None, "last_id": found[-1]["id"] if found else None}

    def send(self, status: int, answer, headers: dict | None = None, cut_at: bool = False):
        lines = isinstance(answer, list)
        body = b"".join(json.dumps(row).encode() + b"\n" for row in answer) if lines else json.dumps(answer).encode()
        self.send_bytes(status, body, {"Content-Type": "application/binary" if lines else "application/json", "request-id": "req_rehearsal"} | (headers or {}), len(body) // 2 if cut_at else None)

    def send_bytes(self, status: int, body: bytes, headers: dict, cut_at: int | None = None):
        self.send_response(status)
        for name, value in ({"Content-Length": len(body)} | headers).items(): self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body[:cut_at])
        if cut_at is not None:
            self.wfile.flush()
            self.cut()

    def cut(self):
        "Close the connection without a word"
        self.close_connection = True
        try: self.connection.shutdown(socket.SHUT_RDWR)
        except OSError: self.close_connection = True


@contextmanager
def rehearsal(**faults):
    "A server at work and the environment pointing at it, without progress bars; afterwards the environment is what it was"
    with AnthropicServer(**faults) as server, patch.dict(os.environ, ANTHROPIC_BASE_URL=server.url, ANTHROPIC_API_KEY=KEY), redirect_stderr(io.StringIO()):
        yield server


if __name__ == "__main__":
    with AnthropicServer(looks=2, seconds=5, latency=0.5) as serving:
        print(f"export ANTHROPIC_BASE_URL={serving.url} ANTHROPIC_API_KEY={KEY}", flush=True)
        try: threading.Event().wait()
        except KeyboardInterrupt: sys.exit(0)
