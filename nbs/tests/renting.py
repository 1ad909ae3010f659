"""A whole rental on this machine, from the plan to the fetched adapter, with what may go wrong on its way: for test_pod.py and bench_pod.py."""
import base64
import gzip
import io
import json
import shutil
import socket
import sys
import tarfile
import threading
import time
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Iterator, NamedTuple
from urllib.parse import quote

import yaml

from replytune.files import file_hashes, read_rows, sha256, to_lines, write_text
from replytune.pod import Ledger, PodParams, make_plan, pod_folder
from replytune.rental import launch
from replytune.run import Run
from replytune.schema import StageError
from replytune.transfer import kept_checkpoints, may_come

from runpod_server import KEY, RunPodServer, rehearsal

# the faults a rental may meet; each happens at a moment that does not depend on how fast this machine is
LOST, CUT, GONE, OVER = "the answer to create is lost", "each transfer is cut", "the pod is lost in training", "the budget is reached in training"
TOY = {"common": {"seed": 17}, "05_generate": {"model": "tiny-qwen3", "max_new_tokens": 4, "tweets_max": 2}, "06_train": {"max_steps": 6, "evaluate_steps": 2, "log_steps": 2, "panel_tweets": 1}}
WEIGHTS = "adapter/adapter_model.safetensors"


def until(true, seconds: float = 30.0):
    "Wait for something that another process does"
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


class Cutter:
    """Stands before a port and cuts connections after so many bytes have passed in one direction, so many times there and back.

    A cut waits until `ready`: what had only come as far as sshd's memory would be lost with the connection."""

    def __init__(self, port: int, limit: int, there: int, back: int, ready=lambda: True):
        self.ready, self.target, self.limit, self.left, self.cuts, self.total = ready, port, limit, {"there": there, "back": back}, {"there": 0, "back": 0}, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try: near = self.socket.accept()[0]
            except OSError: return
            try: far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            for way, one, other in (("there", near, far), ("back", far, near)): threading.Thread(target=self.pump, args=(way, one, other), daemon=True).start()

    def pump(self, way: str, one, other):
        passed = 0
        try:
            while data := one.recv(65536):
                passed += len(data)
                self.total += len(data)
                if passed > self.limit and self.left[way] > 0:
                    self.left[way] -= 1
                    self.cuts[way] += 1
                    until(self.ready)
                    for each in (one, other): each.shutdown(socket.SHUT_RDWR)
                    return
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError: pass


def settings(folder, **changes) -> PodParams:
    quick = dict(params="nbs/params/sample.yaml", hours_max=2, usd_max=2, boot_minutes=0.02, retry_seconds=0.01, poll_seconds=0.02)
    return PodParams.read({"run": str(folder)} | quick | changes)


def confirmed(folder, **changes) -> PodParams:
    params = settings(folder, **{"boot_minutes": 0.5, "poll_seconds": 0.1, "check_gpu": False} | changes)
    return params.model_copy(update={"confirm": make_plan(params)["code"]})


def copy_sample(folder):
    "A run that has what stages 05 and 06 need"
    sample = Run("nbs/results/sample")
    for stage, section in sample.manifest().items():
        if stage >= "05": continue
        for name in section["wrote"]:
            if (sample / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(sample / name, folder / name)
        Run(folder).save_section(stage, section)


def pass_hours(server: RunPodServer, params: PodParams, hours: float):
    "The clocks go on, ours and the vendor's: whatever the ledger tells of is so much longer ago"
    file = Ledger(pod_folder(params)).file
    earlier = lambda at: (datetime.fromisoformat(at) - timedelta(hours=hours)).isoformat()
    server.pass_hours(hours)
    write_text(file, to_lines([row | {"at": earlier(row["at"])} for row in read_rows(file)]))


class Outcome(NamedTuple):
    "How a rental ended, and what it cost"

    rented: int  # pods
    together: int  # pods at once, at most
    left: int  # pods that run when it is over
    launches: int  # times the command was given
    happened: list[str]  # of the faults
    expected: int  # files that the last pod had made
    lost: list[str]  # those of them that did not come, or came otherwise
    usd: float  # by our reckoning
    billed: float  # by the vendor
    adapter: str  # hash of the weights
    told: list[str]  # what each launch ended with
    pods: list[Path]  # what each pod had on its disks
    bodies: list[dict]  # what the vendor was asked for

    def once(self) -> bool:
        "Was nothing rented twice, left running or lost?"
        return self.together == 1 and not self.left and not self.lost


def stand_still(server: RunPodServer, params: PodParams, todo: list[str], happened: list[str]):
    "At each fault's checkpoint training is held, so that it is saved on this side, and then the fault comes"
    remote, here = Path(params.workspace) / "replytune/run", Path(params.run)
    states = lambda folder: {file.parent.name for file in folder.glob("checkpoints/checkpoint-*/trainer_state.json")}
    for fault in todo:
        known = states(here)
        while not (fresh := states(remote) - known): time.sleep(0.01)
        id = server.alive()[0]["id"]
        server.freeze(id, b"ipykernel")
        while not fresh <= states(here): time.sleep(0.01)
        happened.append(fault)
        if fault == GONE: server.lose(id)
        else: pass_hours(server, params, 1.1 * params.usd_max / server.pods[id]["cost"])
        while server.pods[id]["status"] != "TERMINATED": time.sleep(0.01)


def whole_rental(folder: Path, faults: tuple[str, ...] = (), key: str = KEY) -> Outcome:
    "Plan, say yes, launch until it is done; raises if it is not done within six launches"
    run, cutters, happened, told = folder / "run", [], [], []
    copy_sample(run)
    (folder / "toy.yaml").write_text(yaml.safe_dump(TOY))
    changes = dict(params=str(folder / "toy.yaml"), workspace=str(folder / "workspace"), python=sys.executable, poll_seconds=0.3, save_seconds=1.0, usd_max=1.0)

    def front(port: int) -> int:
        cutters.append(Cutter(port, 100_000, 1, 1))
        return cutters[-1].port

    given = {"front": front} if CUT in faults else {}
    with rehearsal(machines=True, key=key, faults={"create": ["cut"]} if LOST in faults else {}, **given) as server:
        todo = [fault for fault in (GONE, OVER) if fault in faults]
        threading.Thread(target=stand_still, args=(server, confirmed(run, **changes), todo, happened), daemon=True).start()
        for launches in range(1, 7):
            try: told.append(launch(confirmed(run, **changes)))
            except StageError as error: told.append(str(error))
            if told[-1].startswith("done"): break
            if "usd_max" in told[-1]: changes["usd_max"] += 2.0
        else: raise AssertionError("\n".join(told))
        ledger = Ledger(pod_folder(confirmed(run, **changes)))
        if LOST in faults and server.requests.count(("POST", "/v2/pods")) and not server.faults["create"]: happened.append(LOST)
        if cutters and all(sum(cutter.cuts[way] for cutter in cutters) for way in ("there", "back")): happened.append(CUT)
        pods = [shutil.move(grave, folder / "pods" / id) for id, grave in server.graves.items()]
        remote = Path(pods[-1]) / "volume/run"
        made = {name: used for name, used in file_hashes(remote).items() if may_come(name, Run(run))}
        saved = kept_checkpoints(list(made), lambda name: json.loads((remote / name).read_text()))
        expected = {name: used for name, used in made.items() if not name.startswith("checkpoints/") or name in saved}
        lost = [name for name, used in expected.items() if not (run / name).is_file() or sha256(run / name) != used]
        billed = sum(server.billed(id) for id in server.pods)
        return Outcome(
            len(server.pods), server.most_alive, len(server.alive()), launches, happened, len(expected), lost, ledger.spent(), billed, sha256(run / WEIGHTS), told,
            [Path(pod) for pod in pods], server.bodies)


# looking for secrets

def contents(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    "A file's bytes, and those of what is packed in it, however deep"
    yield name, data
    if data[:2] == b"\x1f\x8b": yield from contents(f"{name}!", gzip.decompress(data))
    elif data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for entry in archive:
                if entry.isfile(): yield from contents(f"{name}!{entry.name}", archive.extractfile(entry).read())
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.namelist(): yield from contents(f"{name}!{entry}", archive.read(entry))


def disguises(value: str) -> list[bytes]:
    "A secret as it is, and as it may be written: quoted for an address, in base64, in JSON"
    raw = value.encode()
    return [raw, quote(value, safe="").encode(), json.dumps(value)[1:-1].encode(), *(base64.b64encode(b" " * shift + raw)[4:-4] for shift in range(3))]


def found_secrets(folder: Path, planted: dict[str, str], but: tuple[str, ...] = ()) -> list[str]:
    "Where a planted value stands below a folder: names of files, but those"
    looked_for = {name: disguises(value) for name, value in planted.items()}
    found = []
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or file.is_symlink() or file.name in but: continue
        for place, data in contents(str(file.relative_to(folder)), file.read_bytes()):
            found += [f"{name} in {place}" for name, shapes in looked_for.items() if any(shape in data or shape in place.encode() for shape in shapes)]
    return found
