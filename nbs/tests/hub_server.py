"""A hub on this machine: the requests of huggingface_hub that create, fill and read back a repository, with the hub's own refusals, and faults to order."""
import base64
import hashlib
import json
import os
import re
import signal
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_a-token-of-the-test-hub-4711"
RELATIONS = {"adapter", "finetune", "merge", "quantized"}
LICENCES = {"apache-2.0", "mit", "cc-by-4.0", "cc0-1.0", "other"}


def problems(card: str, kind: str) -> list[str]:
    "What the hub says about the top of a card, by its published specification; empty if it accepts it"
    if not (found := re.match(r"^---\n(.*?)\n---\n", card, re.S)): return []
    try: top = yaml.safe_load(found[1])
    except yaml.YAMLError as error: return [f"YAML: {error}"]
    if not isinstance(top, dict): return ["the metadata is no mapping"]
    bad = []
    if "license" in top and top["license"] not in LICENCES: bad.append(f'"license" must be one of {sorted(LICENCES)}')
    if "base_model_relation" in top and ("base_model" not in top or top["base_model_relation"] not in RELATIONS): bad.append('"base_model_relation" is wrong')
    for name in ("tags", "language", "task_categories", "size_categories"):
        if name in top and not (isinstance(top[name], list) and all(isinstance(each, str) for each in top[name])): bad.append(f'"{name}" must be a list of strings')
    for size in top.get("size_categories", []):
        if size not in ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M"): bad.append(f'"size_categories" has {size}')
    for config in top.get("configs", []):
        if not {"config_name", "data_files"} <= config.keys(): bad.append('"configs" lacks a name')
    for model in top.get("model-index", []):
        if not isinstance(model.get("name"), str): bad.append('"model-index[0].name" is required')
        for result in model.get("results", []):
            whole = isinstance(result.get("task", {}).get("type"), str) and {"type", "name"} <= result.get("dataset", {}).keys()
            if not whole or not all({"type", "value"} <= metric.keys() for metric in result.get("metrics", [{}])): bad.append('"model-index[0].results[0]" lacks a task, a dataset or a metric')
    return bad


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words): pass

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked": return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def send(self, status, body=b"", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(data))} | {name.replace("_", "-"): str(value) for name, value in headers.items()}).items(): self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(data)

    def refuse(self, status, message, code=""):
        self.send(status, {"error": message}, X_Error_Message=message, **({"X_Error_Code": code} if code else {}))

    def cut(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def handle_one(self):
        server, path = self.server, unquote(urlsplit(self.path).path)
        step = server.step_of(self.command, path)
        if step == "upload" and server.fault("upload") == "cut":
            self.rfile.read(16)
            return self.cut()
        data = self.body()
        with server.lock:
            server.asked.append((step, path, len(data)))
            number = len(server.asked)
        if server.kill == (number, "before"): return server.shoot(self)
        if step == "harness": return self.send(404)
        if (fault := server.fault(step)) is not None and fault not in ("lost", "move"):
            if isinstance(fault, tuple): return self.send(fault[0], {"error": fault[1]}, **fault[2])
            return self.cut()
        if self.headers.get("Authorization") not in (f"Bearer {server.token}", None): return self.refuse(401, "Invalid credentials in Authorization header")
        if step != "upload" and self.headers.get("Authorization") is None: return self.refuse(401, "Invalid username or password.")
        with server.lock: answer = getattr(server, step)(path, data, self.headers)
        if server.kill == (number, "after"): return server.shoot(self)
        if fault == "lost": return self.cut()
        status, body, headers = answer
        if status >= 400 and isinstance(body, str): return self.refuse(status, body, headers.get("code", ""))
        self.send(status, body, **headers)

    do_GET = do_POST = do_PUT = do_HEAD = handle_one


class HubServer(ThreadingHTTPServer):
    "`faults` maps a step to what it does next, each once; `kill` names a request at which the process `victim` dies"
    daemon_threads = True
    STEPS = ("harness", "create", "validate", "preupload", "batch", "upload", "verify", "commit", "info", "tree", "resolve")

    def __init__(self, token: str = TOKEN):
        super().__init__(("127.0.0.1", 0), Hub)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.token, self.lock = token, threading.RLock()
        self.asked, self.faults, self.kill, self.victim = [], {}, None, None
        self.repos, self.objects, self.owners = {}, {}, {"me"}  # (kind, repo) to commits; sha256 to bytes

    def handle_error(self, request, client_address): pass

    def fault(self, step):
        with self.lock: return self.faults[step].pop(0) if self.faults.get(step) else None

    def shoot(self, handler):
        os.kill(self.victim.pid, signal.SIGKILL)
        self.victim.wait()
        handler.close_connection = True

    def step_of(self, method: str, path: str) -> str:
        for step, pattern in (("harness", r"/api/agent-harnesses"), ("create", r"/api/repos/create"), ("validate", r"/api/validate-yaml"), ("preupload", r"/api/\w+/[^/]+/[^/]+/preupload/.+"), ("batch", r".*\.git/info/lfs/objects/batch"), ("upload", r"/lfs/put/\w+"), ("verify", r"/lfs/verify"), ("commit", r"/api/\w+/[^/]+/[^/]+/commit/.+"), ("tree", r"/api/\w+/[^/]+/[^/]+/tree/.+"), ("info", r"/api/(models|datasets)/[^/]+/[^/]+(/revision/.+)?"), ("resolve", r".*/resolve/[^/]+/.+")):
            if re.fullmatch(pattern, path): return step
        raise AssertionError(f"no such request: {method} {path}")

    def steps(self) -> list[str]: return [step for step, *_ in self.asked if step != "harness"]

    def repo(self, path: str):
        "The repository that an address of the interface names"
        kind, owner, name = re.match(r"/api/(models|datasets)/([^/]+)/([^/]+)", path).groups()
        return self.repos.get((kind[:-1], f"{owner}/{name}"))

    NOT_FOUND = (404, "Repository not found", {"code": "RepoNotFound"})

    def create(self, path, data, headers):
        asked = json.loads(data)
        owner = asked.get("organization") or "me"
        key = asked.get("type", "model"), f"{owner}/{asked['name']}"
        if owner not in self.owners: return 403, f"You don't have the rights to create a {key[0]} under the namespace {owner!r}", {}
        if key in self.repos: return 409, {"error": "You already created this repo", "url": f"{self.url}/{key[1]}"}, {}
        self.repos[key] = {"private": asked.get("visibility") == "private", "commits": []}
        self.add(self.repos[key], {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        return 200, {"url": f"{self.url}/{'datasets/' if key[0] == 'dataset' else ''}{key[1]}"}, {}

    def add(self, repo, files: dict, message: str) -> str:
        "One more commit: the files of the last with some more; a value is bytes, a (sha256, size), or None to delete"
        before = repo["commits"][-1]["files"] if repo["commits"] else {}
        after = {name: value for name, value in (before | files).items() if value is not None}
        oid = hashlib.sha1(f"{len(repo['commits'])}{sorted(after)}{message}".encode()).hexdigest()
        repo["commits"].append({"oid": oid, "files": after, "message": message})
        return oid

    def validate(self, path, data, headers):
        asked = json.loads(data)
        bad = problems(asked["content"], asked["repoType"])
        return (400 if bad else 200), {"errors": [{"message": each} for each in bad], "warnings": []}, {}

    def preupload(self, path, data, headers):
        if (repo := self.repo(path)) is None: return self.NOT_FOUND
        files = repo["commits"][-1]["files"]
        said = []
        for file in json.loads(data)["files"]:
            large = file["path"].endswith((".safetensors", ".bin")) or file["size"] > 10_000_000
            known = files.get(file["path"])
            said.append({"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": None if known is None else self.oid(known)})
        return 200, {"files": said}, {}

    def batch(self, path, data, headers):
        said = []
        for each in json.loads(data)["objects"]:
            row = {"oid": each["oid"], "size": each["size"]}
            if each["oid"] not in self.objects: row["actions"] = {"upload": {"href": f"{self.url}/lfs/put/{each['oid']}"}, "verify": {"href": f"{self.url}/lfs/verify"}}
            said.append(row)
        return 200, {"transfer": "basic", "objects": said}, {}

    def upload(self, path, data, headers):
        oid = path.rpartition("/")[2]
        if hashlib.sha256(data).hexdigest() != oid: return 400, "the content is not what was announced", {}
        self.objects[oid] = data
        return 200, {}, {}

    def verify(self, path, data, headers):
        asked = json.loads(data)
        there = self.objects.get(asked["oid"])
        return (200, {}, {}) if there is not None and len(there) == asked["size"] else (404, "no such object", {})

    def commit(self, path, data, headers):
        if (repo := self.repo(path)) is None: return self.NOT_FOUND
        rows = [json.loads(line) for line in data.splitlines()]
        head, files = rows[0]["value"], {}
        if self.faults.get("move"):
            self.faults.pop("move")
            self.add(repo, {"by_somebody.txt": b"else"}, "meanwhile")
        if head.get("parentCommit") not in (None, repo["commits"][-1]["oid"]): return 412, "A commit has happened since. Please refresh and try again.", {}
        for row in rows[1:]:
            value = row["value"]
            if row["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
                if value["path"] == "README.md" and (bad := problems(files["README.md"].decode(), "model")): return 400, bad[0], {}
            if row["key"] == "lfsFile":
                if value["oid"] not in self.objects: return 400, "an LFS object is missing", {}
                files[value["path"]] = value["oid"], value["size"]
            if row["key"] == "deletedFile": files[value["path"]] = None
        oid = self.add(repo, files, head["summary"])
        kind, repo_id = re.match(r"/api/(\w+)/([^/]+/[^/]+)/", path).groups()
        return 200, {"commitOid": oid, "commitUrl": f"{self.url}/{'' if kind == 'models' else 'datasets/'}{repo_id}/commit/{oid}"}, {}

    def oid(self, value) -> str:
        data = value if isinstance(value, bytes) else f"version https://git-lfs.github.com/spec/v1\noid sha256:{value[0]}\nsize {value[1]}\n".encode()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    def size(self, value) -> int: return len(value) if isinstance(value, bytes) else value[1]

    def at(self, repo, revision):
        return next((commit for commit in reversed(repo["commits"]) if revision in ("main", commit["oid"])), None)

    def info(self, path, data, headers):
        if (repo := self.repo(path)) is None: return self.NOT_FOUND
        commit = self.at(repo, path.partition("/revision/")[2] or "main")
        if commit is None: return 404, "Invalid rev", {"code": "RevisionNotFound"}
        siblings = [{"rfilename": name, "size": self.size(value), "blobId": self.oid(value)} | ({} if isinstance(value, bytes) else {"lfs": {"sha256": value[0], "size": value[1], "pointerSize": 134}}) for name, value in commit["files"].items()]
        repo_id = "/".join(path.split("/")[3:5])
        return 200, {"_id": "1", "id": repo_id, "sha": commit["oid"], "private": repo["private"], "siblings": siblings, "tags": [], "downloads": 0, "likes": 0}, {}

    def tree(self, path, data, headers):
        if (repo := self.repo(path)) is None: return self.NOT_FOUND
        commit = self.at(repo, path.partition("/tree/")[2].split("/")[0])
        return 200, [{"type": "file", "path": name, "size": self.size(value), "oid": self.oid(value)} | ({} if isinstance(value, bytes) else {"lfs": {"oid": value[0], "size": value[1], "pointerSize": 134}}) for name, value in commit["files"].items()], {}

    def resolve(self, path, data, headers):
        kind, repo_id, revision, name = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path).groups()
        repo = self.repos.get(("dataset" if kind else "model", repo_id))
        commit = repo and self.at(repo, revision)
        if not commit or name not in commit["files"]: return 404, "Entry not found", {"code": "EntryNotFound"}
        value = commit["files"][name]
        data = value if isinstance(value, bytes) else self.objects[value[0]]
        etag = self.oid(value) if isinstance(value, bytes) else value[0]
        return 200, data, {"X_Repo_Commit": commit["oid"], "ETag": f'"{etag}"', "Content_Type": "application/octet-stream"}


@contextmanager
def hub_server(**more):
    server = HubServer(**more)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try: yield server
    finally:
        server.shutdown()
        server.server_close()
