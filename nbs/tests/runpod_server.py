"""A server on this machine that speaks RunPod's REST v2 and rents nothing: to rehearse a pod without a cent.

    python nbs/tests/runpod_server.py          # prints the two variables to set, then serves until it is stopped

It knows the calls that page 06d uses, refuses bodies with unknown fields, and can be told to fail in the ways that the real one
does. With `machines=True` each pod is an sshd on this machine, started by the pod's own start command; what such a pod has on
its disk stays when it is stopped, and goes when it is terminated: out of its reach, into `graves`, where a test may look at it.
"""
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

KEY = "rehearsal-key-0123456789"  # of the account
POD_KEY = "pod-scoped-key-0123456789"  # what the vendor puts into each pod; it may act on pods and create none
FIELDS = {"name", "image", "gpu", "cpu", "cloud", "disk", "mounts", "ports", "env", "args", "registry", "dataCenterIds", "globalNetworking", "startSsh", "startJupyter", "templateId"}
GPU_FIELDS = {"id", "count", "allowedCudaVersions", "minCudaVersion"}
FULL = "There are no longer any instances available with the requested specifications. Please refresh and try again."
GPUS = [("NVIDIA GeForce RTX 4090", 24, 0.69, "LOW"), ("NVIDIA L40S", 48, 0.86, "HIGH"), ("NVIDIA A40", 48, 0.44, "MEDIUM"), ("NVIDIA RTX A5000", 24, 0.27, "NONE"),
        ("NVIDIA H100 80GB HBM3", 80, 2.99, "HIGH"), ("NVIDIA GeForce RTX 3070", 8, 0.13, "HIGH")]
ACTIONS = {"PROVISIONING": ("stop", "terminate"), "STARTING": ("stop", "terminate"), "RUNNING": ("stop", "restart", "terminate"), "EXITED": ("start", "terminate"), "ERROR": ("start", "terminate"),
           "TERMINATED": ()}
CREATE_FAULTS = ("429", "500", "500 after", "cut", "garbage")  # "after", "cut" and "garbage": the pod is there, the answer is lost


class Machine:
    "What a pod is on this machine: its start command, with an sshd in place of the image's own"

    def __init__(self, pod: dict, folder: Path, api: str):
        self.pod, self.folder, self.api, self.process, self.port = pod, folder, api, None, 0
        folder.mkdir(parents=True, exist_ok=True)

    def start(self):
        if self.process: return
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        host_key = self.folder / "host_key"
        if not host_key.exists(): subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host_key], check=True)
        (self.folder / "authorized_keys").write_text(self.pod["env"].get("PUBLIC_KEY", "") + "\n")
        shared = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "HF_HUB_OFFLINE") if name in os.environ}  # it is this machine after all
        given = shared | self.pod["env"] | {"RUNPOD_POD_ID": self.pod["id"], "RUNPOD_API_KEY": POD_KEY, "RUNPOD_API_BASE_URL": self.api}
        (self.folder / "rp_environment").write_text("".join(f"export {name}='{value}'\n" for name, value in given.items()))
        (self.folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nAuthorizedKeysFile {self.folder / 'authorized_keys'}\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            f"PermitRootLogin prohibit-password\nMaxStartups 100\nSetEnv RP_ENVIRONMENT={self.folder / 'rp_environment'} HOME={self.folder}\n")  # a home of its own: what this machine's shells do when they start is not the pod's
        if os.geteuid() == 0: Path("/run/sshd").mkdir(exist_ok=True)
        entry = self.folder / "start.sh"
        entry.write_text(f"#!/bin/bash\nexec {shutil.which('sshd') or '/usr/sbin/sshd'} -D -e -f {self.folder / 'sshd_config'} 2>> {self.folder / 'sshd.log'}\n")
        entry.chmod(0o755)
        command = self.pod["args"].replace("/start.sh", str(entry)) or str(entry)
        clean = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        given |= {"RP_ENVIRONMENT": str(self.folder / "rp_environment")}
        self.process = subprocess.Popen(["bash", "-c", command], env=clean | given, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def signal(self, number: int, within: bytes = b""):
        "Send a signal to every process of the pod whose command line holds these words"
        own = f"RP_ENVIRONMENT={self.folder / 'rp_environment'}".encode()
        for proc in Path("/proc").glob("[0-9]*"):
            try: variables, line = (proc / "environ").read_bytes().split(b"\0"), (proc / "cmdline").read_bytes()
            except OSError: continue
            if own not in variables or within not in line or int(proc.name) == os.getpid(): continue
            try: os.kill(int(proc.name), number)
            except ProcessLookupError: continue

    def stop(self):
        "The power goes: every process that belongs to the pod ends at once"
        if not self.process: return
        os.killpg(self.process.pid, signal.SIGKILL)  # sshd writes over its own environment, so it is not found otherwise
        for _ in range(3): self.signal(signal.SIGKILL)
        self.process.wait()
        self.process = None


class RunPodServer:
    """`full`: GPUs that are out of stock; `faults`: an event (create, list, get, action, catalog) to the faults of its next calls;
    `boots`: the number of a pod (from 0) to "never", "error", or the looks until it runs (2); `front`: what makes of the port
    of a pod's sshd another one, which is told instead"""

    def __init__(self, full=(), faults=None, boots=None, machines=False, gpus=GPUS, dearer=0.0, key=KEY, front=lambda port: port):
        self.full, self.faults, self.boots, self.machines, self.gpus, self.dearer = set(full), {event: list(left) for event, left in (faults or {}).items()}, boots or {}, machines, gpus, dearer
        self.pods, self.looks, self.hardware, self.requests, self.bodies, self.most_alive = {}, {}, {}, [], [], 0
        self.key, self.front, self.graves, self.meters = key, front, {}, {}
        self.lock = threading.RLock()
        self.folder = Path(tempfile.mkdtemp(prefix="runpod-"))

    def __enter__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version, disable_nagle_algorithm = "HTTP/1.1", True  # else each answer waits 40 ms for the head to be acknowledged

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                try: outer.answer(self, self.command, urlparse(self.path), self.rfile.read(length))
                except (BrokenPipeError, ConnectionResetError): pass

            do_GET = do_POST = do_DELETE = do_PATCH = handle_any

            def log_message(self, *_): pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v2"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
        for machine in self.hardware.values(): machine.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # what a test asks

    def alive(self) -> list[dict]:
        return [pod for pod in self.pods.values() if pod["status"] not in ("TERMINATED", "EXITED")]

    def power_off(self, id: str):
        "The host dies: the pod has stopped, and nobody asked it to"
        with self.lock: self.act(self.pods[id], "stop")

    def lose(self, id: str):
        "The host is lost with all it had: the pod is not there any more, and nobody asked for that"
        with self.lock: self.act(self.pods[id], "terminate")

    def freeze(self, id: str, within: bytes):
        "Processes of a pod stand still, so that what a test does next meets it at one and the same moment"
        self.hardware[id].signal(signal.SIGSTOP, within)

    def pass_hours(self, hours: float):
        "The vendor's clock goes on: what runs now has run so much longer"
        for meter in self.meters.values(): meter["since"] = meter["since"] and meter["since"] - 3600 * hours

    def billed(self, id: str) -> float:
        "Dollars, by the vendor's own clock"
        meter = self.meters[id]
        return meter["usd"] + (meter["price"] * (time.time() - meter["since"]) / 3600 if meter["since"] else 0)

    # the protocol

    def send(self, handler, status: int, body=None, kind="application/json", **headers):
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(data), "x-request-id": "r1", **headers}.items(): handler.send_header(name, str(value))
        handler.end_headers()
        handler.wfile.write(data)

    def problem(self, handler, status: int, detail: str, *errors: str, **headers):
        self.send(handler, status, {"title": "problem", "status": status, "detail": detail, "errors": list(errors)}, "application/problem+json", **headers)

    def cut(self, handler):
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    def answer(self, handler, method: str, url, raw: bytes):
        path = url.path.removeprefix("/v2").strip("/").split("/")
        with self.lock:
            self.requests.append((method, url.path))
            known = [f"Bearer {self.key}", f"Bearer {POD_KEY}"] if url.path.endswith("/action") else [f"Bearer {self.key}"]
            if handler.headers.get("Authorization") not in known: return self.problem(handler, 401, "missing bearer token" if not handler.headers.get("Authorization") else "access denied")
            event = {("POST", 1): "create", ("GET", 1): "list", ("GET", 2): "get", ("POST", 3): "action"}.get((method, len(path)), "get") if path[0] == "pods" else path[0]
            fault = self.faults[event].pop(0) if self.faults.get(event) else ""
            if fault == "429": return self.problem(handler, 429, "rate limit exceeded", **{"Retry-After": 0})
            if fault == "500": return self.problem(handler, 500, "internal error")
            if fault == "garbage" and event != "create": return self.send(handler, 200, b"<html>")
            if fault == "cut" and event != "create": return self.cut(handler)
            if path[:2] == ["catalog", "gpus"]: return self.catalog(handler, parse_qs(url.query))
            if path[:2] == ["billing", "pods"]: return self.billing(handler, parse_qs(url.query))
            if path[0] != "pods": return self.problem(handler, 404, "not found")
            if event == "create": return self.create(handler, raw, fault)
            if event == "list": return self.send(handler, 200, {"pods": [self.look(pod) for pod in self.pods.values() if pod["status"] != "TERMINATED"]})
            if path[1] not in self.pods or self.pods[path[1]]["status"] == "TERMINATED": return self.problem(handler, 404, "pod not found")
            pod = self.pods[path[1]]
            if len(path) == 3 and path[2] == "logs":
                lines = [f"id: {n}\ndata: {json.dumps({'ts': n, 'source': 'container', 'line': line})}\n\n" for n, line in enumerate(("pulling the image", "start.sh: ready"))]
                return self.send(handler, 200, "".join(lines).encode(), "text/event-stream")
            if method == "GET": return self.send(handler, 200, self.look(pod))
            action = "terminate" if method == "DELETE" else json.loads(raw)["action"]
            if action not in ACTIONS[pod["status"]]: return self.problem(handler, 409, f"cannot {action} a pod that is {pod['status']}")
            self.act(pod, action)
            return self.send(handler, 204) if action == "terminate" else self.send(handler, 200, pod)

    def catalog(self, handler, query):
        if "include" in query and "product" not in query: return self.problem(handler, 400, "include needs product")
        rows = [{"id": id, "name": id, "pool": "x", "manufacturer": "NVIDIA", "memory": memory, "secure": True, "community": True, "price": {"secure": usd, "community": round(usd * 0.8, 2)},
                 "maxCount": {"secure": 8, "community": 4}, "availability": stock} for id, memory, usd, stock in self.gpus]
        self.send(handler, 200, {"gpus": rows})

    def billing(self, handler, query):
        id = query["podId"][0]
        usd = round(self.billed(id), 6)
        self.send(handler, 200, {"records": [{"podId": id, "totalAmount": usd, "gpuAmount": usd}], "metadata": {"totals": {"totalAmount": usd}}})

    def create(self, handler, raw: bytes, fault: str):
        body = json.loads(raw)
        unknown = [*(body.keys() - FIELDS), *(f"gpu.{name}" for name in body.get("gpu", {}).keys() - GPU_FIELDS)]
        if unknown: return self.problem(handler, 422, "body does not match the schema", *[f"$: additional properties '{name}' not allowed" for name in unknown])
        if not body.get("name") or not body.get("image") or "gpu" not in body: return self.problem(handler, 422, "body does not match the schema", "$: missing properties")
        if not all(isinstance(value, str) for value in body.get("env", {}).values()): return self.problem(handler, 422, "body does not match the schema", "$.env: not a string")
        gpu = next((row for row in self.gpus if row[0] == body["gpu"]["id"]), None)
        if gpu is None or gpu[0] in self.full or gpu[3] == "NONE": return self.problem(handler, 400, FULL)
        number = len(self.pods)
        id = f"pod{number:04d}"
        self.bodies.append(body)
        pod = self.pods[id] = {name: body.get(name) for name in ("name", "image", "args", "disk", "mounts", "ports", "env", "cloud", "gpu")} | {
            "id": id, "status": "PROVISIONING", "actions": [], "registry": None, "dataCenterId": "EU-RO-1", "cudaVersion": "13.0", "template": None, "cost": gpu[2] + self.dearer, "locked": False,
            "globalNetworking": {"enabled": False, "ip": None, "internalDns": None}, "createdAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "startedAt": None,
            "ssh": {"proxy": {"host": "ssh.runpod.io", "port": 22, "username": id, "command": ""}, "direct": None}, "runtime": None}
        pod["args"], pod["env"] = pod["args"] or "", pod["env"] or {}
        self.meters[id] = {"usd": 0.0, "price": pod["cost"], "since": time.time()}
        self.looks[id], self.most_alive = 0, max(self.most_alive, len(self.alive()))
        if fault == "500 after": return self.problem(handler, 500, "internal error")
        if fault == "garbage": return self.send(handler, 200, b"<html>")
        if fault == "cut": return self.cut(handler)
        self.send(handler, 201, pod)

    def look(self, pod: dict) -> dict:
        "A pod boots while it is looked at"
        boot = self.boots.get(int(pod["id"][3:]), 2)
        if pod["status"] in ("PROVISIONING", "STARTING") and boot != "never":
            self.looks[pod["id"]] += 1
            if boot == "error": pod["status"] = "ERROR"
            elif self.looks[pod["id"]] < boot: pod["status"] = "STARTING"
            else: self.run(pod)
        return pod | {"actions": list(ACTIONS[pod["status"]])}

    def run(self, pod: dict):
        port = 22
        if self.machines:
            machine = self.hardware.setdefault(pod["id"], Machine(pod, self.folder / pod["id"], self.url))
            machine.start()
            port = self.front(machine.port)
        direct = {"host": "127.0.0.1", "port": port, "username": getpass.getuser(), "command": ""} if "22/tcp" in (pod["ports"] or []) else None
        pod |= {"status": "RUNNING", "startedAt": pod["createdAt"], "ssh": pod["ssh"] | {"direct": direct}}

    def act(self, pod: dict, action: str):
        machine = self.hardware.get(pod["id"])
        meter = self.meters[pod["id"]]
        if action == "start":
            pod |= {"status": "STARTING", "cost": meter["price"]}
            self.looks[pod["id"]], meter["since"] = 0, time.time()
        else:
            if machine: machine.stop()
            if action != "restart": meter |= {"usd": self.billed(pod["id"]), "since": None}
            pod |= {"status": {"stop": "EXITED", "terminate": "TERMINATED", "restart": "STARTING"}[action], "cost": 0, "ssh": {"proxy": None, "direct": None}}
        if action == "terminate" and machine: self.bury(pod, machine)

    def bury(self, pod: dict, machine: Machine):
        "Take a pod's disks away from it: what it had, a test may see, and no later pod"
        grave = self.graves[pod["id"]] = self.folder / "graves" / pod["id"]
        grave.mkdir(parents=True)
        machine.folder.rename(grave / "disk")
        volume = Path((pod["mounts"] or {}).get("persistent", {}).get("path", "/nowhere")) / "replytune"
        if volume.is_dir(): shutil.move(volume, grave / "volume")


@contextmanager
def rehearsal(**given):
    "A server at work, with the environment pointing at it"
    before = {name: os.environ.get(name) for name in ("RUNPOD_API_KEY", "RUNPOD_API_BASE_URL")}
    with RunPodServer(**given) as server:
        os.environ |= {"RUNPOD_API_KEY": server.key, "RUNPOD_API_BASE_URL": server.url}
        try: yield server
        finally:
            for name, value in before.items(): os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


if __name__ == "__main__":
    with RunPodServer(machines="--machines" in sys.argv) as server:
        print(f"export RUNPOD_API_KEY={KEY} RUNPOD_API_BASE_URL={server.url}", flush=True)
        signal.pause()
