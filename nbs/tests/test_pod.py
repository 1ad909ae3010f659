"""A pod from plan to end, against a server that speaks RunPod's REST v2 and fails as it does, and an sshd of this machine as the pod: nothing is rented twice, left running, lost, or told."""
import base64
import io
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from replytune.params import SECRETS
from replytune.files import project_root, read_records, sha256
from replytune.pod import (
    Event, Ledger, Offer, PodApiError, RunPod, Unclear, confirmed_plan, end_pod, list_pods, make_plan, pod_folder,
)
from replytune.rental import TRAVEL, create_body, launch, logs, look, rent, status, stop, wait_boot
from replytune.run import Run
from replytune.schema import ParameterError, StageError
from replytune.transfer import (
    CutOff, Shell, fetch_all, fetch_file, needed_files, pack, send_all, send_file, take_sections,
)

from renting import CUT, GONE, LOST, OVER, WEIGHTS, Cutter, Outcome, confirmed, copy_sample, found_secrets, pass_hours, settings, until, whole_rental
from runpod_server import CREATE_FAULTS, KEY, RunPodServer, rehearsal

PAGES = "06d 06e 06h"
ROOT = project_root()
A40, L40S, H4090 = "NVIDIA A40", "NVIDIA L40S", "NVIDIA GeForce RTX 4090"
HAVE_SSHD = shutil.which("sshd") or Path("/usr/sbin/sshd").exists()
needs_sshd = pytest.mark.skipif(not (HAVE_SSHD and shutil.which("ssh")), reason="no sshd here: apt-get install openssh-server")


def ready(folder, **changes):
    "Settings, the client, the ledger and the plan of a run"
    params = settings(folder, **changes)
    plan = make_plan(params)
    return params, RunPod(params.retry_seconds), Ledger(pod_folder(params)), plan


def actions(ledger: Ledger) -> list[str]:
    return [event.action for event in read_records(ledger.file, Event)]


# the plan and the yes

def test_a_plan_rents_nothing_and_only_its_own_code_is_a_yes(tmp_path):
    with rehearsal() as server:
        params, *_, plan = ready(tmp_path)
        for code in ("", "00000000"):
            with pytest.raises(StageError, match=f"--confirm {plan['code']}"): confirmed_plan(params.model_copy(update={"confirm": code}))
        yes = params.model_copy(update={"confirm": plan["code"]})
        assert confirmed_plan(yes) == plan
        with pytest.raises(StageError, match="settings changed"): confirmed_plan(yes.model_copy(update={"usd_max": 3.0}))
        assert not server.pods and not Ledger(pod_folder(params)).file.exists()


def test_the_order_is_plentiful_then_cheap_within_the_caps(tmp_path):
    with rehearsal():
        params, api, *_, plan = ready(tmp_path)
        assert [row["gpu"] for row in plan["offers"]] == [A40, L40S, H4090]
        assert [row["gpu"] for row in make_plan(settings(tmp_path, memory_gb=40))["offers"]] == [A40, L40S]
        assert [row["gpu"] for row in make_plan(settings(tmp_path, usd_max=1))["offers"]] == [A40]
        assert [row["gpu"] for row in make_plan(settings(tmp_path, gpus=[L40S]))["offers"]] == [L40S]
        assert make_plan(settings(tmp_path, cloud="COMMUNITY"))["offers"][0]["usd_per_hour"] == 0.35
        with pytest.raises(StageError, match="no GPU in stock has 200 GB"): make_plan(settings(tmp_path, memory_gb=200))


@pytest.mark.parametrize("changes, said", [({"usd_max": 0}, "set usd_max"), ({"run": ""}, "run folder"), ({"params": "nbs/params/none.yaml"}, "no parameter file")])
def test_what_is_missing_is_named_before_anything_is_asked(tmp_path, changes, said):
    with rehearsal() as server:
        with pytest.raises((StageError, ParameterError), match=said): make_plan(settings(tmp_path).model_copy(update=changes))
        assert not server.requests


@pytest.mark.parametrize("changes, said", [({"usd_maxx": 1}, "did you mean `usd_max`"), ({"hours_max": 100}, "hours_max"), ({"workspace": "/w; rm -rf /"}, "workspace"), ({"cloud": "secure"}, "cloud"), ({"memory_gb": True}, "memory_gb")])
def test_wrong_settings_are_named(tmp_path, changes, said):
    with pytest.raises(ParameterError, match=said): settings(tmp_path, **changes)


# the client

def test_the_key_is_missing_wrong_or_broken_and_never_told(tmp_path, monkeypatch):
    with rehearsal():
        monkeypatch.delenv("RUNPOD_API_KEY")
        with pytest.raises(StageError, match="RUNPOD_API_KEY is not set"): RunPod()
        monkeypatch.setenv("RUNPOD_API_KEY", "wrong-key-9876543210")
        with pytest.raises(PodApiError, match="make one in RunPod's console") as caught: list_pods(RunPod())
        assert "wrong-key" not in str(caught.value)
        monkeypatch.setenv("RUNPOD_API_KEY", "broken\nkey-9876543210")
        with pytest.raises(StageError, match="characters") as caught: RunPod()
        assert "9876" not in str(caught.value)


def test_reads_are_repeated_and_creates_are_not(tmp_path):
    with rehearsal(faults={"list": ["429", "500", "cut", "garbage"]}) as server:
        assert list_pods(RunPod(0.001)) == [] and len(server.requests) == 5
    with rehearsal(faults={"create": ["500"]}) as server:
        with pytest.raises(Unclear, match="500"): RunPod(0.001).ask("POST", "/pods", {"name": "x"})
        assert len(server.requests) == 1
    with rehearsal(faults={"list": ["500"] * 6}):
        with pytest.raises(StageError, match="failed 6 times"): list_pods(RunPod(0.0001))


def test_a_body_that_the_schema_does_not_know_is_422_and_ends_the_search(tmp_path, monkeypatch):
    import replytune.rental as page
    with rehearsal() as server:
        params, api, ledger, plan = ready(tmp_path)
        with pytest.raises(PodApiError, match="additional properties 'gpuCount' not allowed"): api.ask("POST", "/pods", create_body(params, Offer.model_validate(plan["offers"][0]), "replytune-x", "k") | {"gpuCount": 1})
        monkeypatch.setattr(page, "create_body", lambda *given: create_body(*given) | {"stopAfter": "1h"})
        with pytest.raises(PodApiError, match="stopAfter"): rent(params, api, ledger, plan)
        assert actions(ledger) == ["creating", "refused"] and not server.pods  # no other GPU was tried


def test_ending_what_is_gone_or_cannot_be_ended(tmp_path):
    with rehearsal(faults={"action": ["500", "429"]}) as server:
        params, api, ledger, plan = ready(tmp_path)
        rental = rent(params, api, ledger, plan)
        end_pod(api, rental.pod_id)
        end_pod(api, rental.pod_id)  # 404 is as good
        assert not server.alive()


# renting

@pytest.mark.parametrize("fault", CREATE_FAULTS)
def test_a_lost_answer_rents_once(tmp_path, fault):
    with rehearsal(faults={"create": [fault], "list": ["", "500"]}) as server:
        params, api, ledger, plan = ready(tmp_path)
        rental = rent(params, api, ledger, plan)
        assert wait_boot(params, api, ledger, rental)["status"] == "RUNNING"
        assert len(server.alive()) == server.most_alive == len(server.pods) == 1
        assert rent(params, api, ledger, plan).pod_id == rental.pod_id and len(server.pods) == 1  # again: the same
        assert "no pod of this run is left" in stop(params) and not server.alive()
    assert ("found" in actions(ledger)) == (fault in ("500 after", "cut", "garbage"))


def test_no_capacity_goes_down_the_list_and_says_when_nothing_is_free(tmp_path):
    with rehearsal(full=[A40, L40S]) as server:
        params, api, ledger, plan = ready(tmp_path)
        assert rent(params, api, ledger, plan).gpu == H4090 and actions(ledger) == ["creating", "no capacity"] * 2 + ["creating", "created"]
    with rehearsal(full=[A40, L40S, H4090]) as server:
        params, api, ledger, plan = ready(tmp_path / "b")
        with pytest.raises(StageError, match="none of the plan's 3 GPUs is free"): rent(params, api, ledger, plan)
        assert not server.pods


@pytest.mark.parametrize("boot, seen", [("never", "PROVISIONING"), ("error", "ERROR")])
def test_a_pod_that_does_not_boot_is_ended_and_its_gpu_passed_over(tmp_path, boot, seen):
    with rehearsal(boots={0: boot}) as server:
        params, api, ledger, plan = ready(tmp_path)
        with pytest.raises(StageError, match=f"last seen: {seen}"): wait_boot(params, api, ledger, rent(params, api, ledger, plan))
        assert not server.alive()
        rental = rent(params, api, ledger, plan)
        assert rental.gpu == L40S and wait_boot(params, api, ledger, rental)


def test_a_slow_boot_is_waited_for(tmp_path):
    with rehearsal(boots={0: 20}) as server:
        params, api, ledger, plan = ready(tmp_path, boot_minutes=0.5)
        assert wait_boot(params, api, ledger, rent(params, api, ledger, plan)) and server.looks["pod0000"] == 20


def test_a_pod_dearer_than_planned_is_ended(tmp_path):
    with rehearsal(dearer=2.0) as server:
        params, api, ledger, plan = ready(tmp_path)
        with pytest.raises(StageError, match="came at \\$2.44 an hour"): rent(params, api, ledger, plan)
        assert not server.alive() and "too dear" in actions(ledger)


def test_the_cap_counts_every_pod_of_the_folder(tmp_path):
    with rehearsal() as server:
        params, api, ledger, plan = ready(tmp_path)
        ledger.add("creating", "replytune-old-1", gpu=A40, usd_per_hour=0.5)
        ledger.add("created", "replytune-old-1", pod_id="gone")
        pass_hours(server, params, 4)  # two dollars at this price
        with pytest.raises(StageError, match="of usd_max 2 are spent"): rent(params, api, ledger, plan)
        assert not server.pods


def test_a_pod_that_appears_late_is_ended_and_not_kept_beside_the_other(tmp_path):
    with rehearsal() as server:
        params, api, ledger, plan = ready(tmp_path)
        rental = rent(params, api, ledger, plan)
        ledger.add("creating", "replytune-late-1", gpu=A40, usd_per_hour=0.44)
        ledger.add("not there", "replytune-late-1")
        api.ask("POST", "/pods", create_body(params, Offer.model_validate(plan["offers"][0]), "replytune-late-1", "k"))
        assert rent(params, api, ledger, plan).name in (rental.name, "replytune-late-1") and len(server.alive()) == 1
        assert "is left" in stop(params) and not server.alive()


def test_pods_of_others_are_left_alone(tmp_path):
    with rehearsal() as server:
        params, api, ledger, plan = ready(tmp_path)
        for name in ("someone-elses", "replytune-other-run-1"): api.ask("POST", "/pods", create_body(params, Offer.model_validate(plan["offers"][0]), name, "k"))
        rent(params, api, ledger, plan)
        assert "replytune-other-run-1  not of this run; left alone" in status(params)
        stop(params)
        assert {pod["name"] for pod in server.alive()} == {"someone-elses", "replytune-other-run-1"}


LAUNCH = """
import sys
from replytune.pod import Ledger, PodParams, RunPod, make_plan, pod_folder
from replytune.rental import rent, wait_boot
params = PodParams.read(dict(run=sys.argv[1], params="nbs/params/sample.yaml", hours_max=2, usd_max=2, boot_minutes=1, retry_seconds=0.01, poll_seconds=0.3))
plan, ledger, api = make_plan(params), Ledger(pod_folder(params)), RunPod(0.01)
print("ready", flush=True)
wait_boot(params, api, ledger, rent(params, api, ledger, plan))
print("booted", flush=True)
"""


@pytest.mark.parametrize("moment", [pytest.param("create", marks=pytest.mark.slow), "answer", pytest.param("boot", marks=pytest.mark.slow)])
def test_killed_while_it_rents_nothing_is_rented_twice_or_left(tmp_path, moment):
    held = threading.Event()

    class Slow(RunPodServer):
        def create(self, handler, raw, fault):
            if moment == "create" and not held.is_set(): held.set(), time.sleep(0.3)  # the request is here, the pod not yet
            super().create(handler, raw, fault)

        def send(self, handler, status, *more, **headers):
            if moment == "answer" and status == 201 and not held.is_set(): held.set(), time.sleep(0.3)
            if moment == "boot" and self.pods and status == 200: held.set()
            super().send(handler, status, *more, **headers)

    with Slow(boots={0: 60}) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNPOD_API_KEY", KEY), patch.setenv("RUNPOD_API_BASE_URL", server.url)
        process = subprocess.Popen([sys.executable, "-c", LAUNCH, str(tmp_path)], cwd=ROOT, stdout=subprocess.DEVNULL)
        assert held.wait(30)
        process.kill(), process.wait()
        server.boots.clear()
        params, api, ledger, plan = ready(tmp_path)
        assert len(ledger.rentals()) == 1  # the name was on the disk before the request went out
        rental = rent(params, api, ledger, plan)
        wait_boot(params, api, ledger, rental)
        assert len(server.pods) == server.most_alive == 1
        stop(params)
        assert not server.alive()


# files

@pytest.fixture(autouse=True)
def no_keys_of_others(monkeypatch):
    "What another test left in the environment is no secret of these"
    for name in SECRETS: monkeypatch.delenv(name, raising=False)


@pytest.fixture
def machine(tmp_path):
    "A pod that runs, its settings, and a run that has what stages 05 and 06 need"
    run = tmp_path / "run"
    copy_sample(run)
    with rehearsal(machines=True) as server:
        params, api, ledger, plan = ready(run, workspace=str(tmp_path / "workspace"), boot_minutes=0.5, poll_seconds=0.2, check_gpu=False, python="/bin/true")
        rental = rent(params, api, ledger, plan)
        pod = wait_boot(params, api, ledger, rental, lambda pod: Shell(pod, pod_folder(params)).answers())
        yield server, params, pod, Shell(pod, pod_folder(params))


@needs_sshd
def test_what_is_needed_travels_and_nothing_else(machine, monkeypatch):
    server, params, pod, shell = machine
    run, base = Run(params.run), Path(params.workspace) / "replytune"
    (run.folder / ".env").write_text("RUNPOD_API_KEY=hidden-0123456789\n"), (run / "other.jsonl").write_text("{}\n")
    assert send_all(shell, params) == len(needed_files(run)) + 5
    there = {file.relative_to(base / "run").as_posix() for file in (base / "run").rglob("*") if file.is_file()}
    assert there == set(needed_files(run)) and "reviewed.jsonl" in there and all(sha256(base / "run" / name) == sha256(run / name) for name in there)
    assert send_all(shell, params) == 0  # a second time nothing goes
    everything = b"".join(file.read_bytes() for file in base.rglob("*") if file.is_file())
    assert b"hidden-0123456789" not in everything and KEY.encode() not in everything


@needs_sshd
def test_a_file_with_a_secret_in_it_does_not_travel(machine, monkeypatch):
    server, params, pod, shell = machine
    monkeypatch.setenv("HF_TOKEN", "hf_t0ken-of-a-test-only")
    cache = Run(params.run) / "cache/replies.jsonl"
    cache.parent.mkdir(exist_ok=True), cache.write_text('{"reply": "hf_t0ken-of-a-test-only"}\n')
    with pytest.raises(StageError, match="holds the value of HF_TOKEN") as caught: send_all(shell, params)
    assert "t0ken" not in str(caught.value)
    files = [file for file in Path(params.workspace).rglob("*") if file.is_file()]
    assert not any(b"t0ken" in file.read_bytes() for file in files)


@needs_sshd
def test_cut_in_the_middle_a_file_goes_on_where_it_was(machine, tmp_path):
    server, params, pod, shell = machine
    big, folder = tmp_path / "big.bin", pod_folder(params)
    big.write_bytes(os.urandom(900_000))
    arrived = lambda: sum(part.stat().st_size for part in Path(params.workspace).rglob("*.part")) >= 200_000 * cutter.cuts["there"]
    cutter = Cutter(pod["ssh"]["direct"]["port"], 300_000, there=2, back=0, ready=arrived)
    cut = Shell(pod | {"ssh": {"direct": pod["ssh"]["direct"] | {"port": cutter.port}}}, folder)
    cut.line = [part.replace("accept-new", "no") for part in cut.line]  # another port of the same host
    target = f"{params.workspace}/replytune/run/big.bin"
    send_file(cut, big, target, sha256(big), 0.1)
    cutter.ready = lambda: True
    assert 900_000 < cutter.total < 1_300_000  # what had arrived did not go again
    assert sha256(Path(target)) == sha256(big) and cutter.cuts["there"] == 2 and not list(Path(target).parent.glob("*.part"))
    cutter.left["back"] = 2
    fetch_file(cut, target, tmp_path / "back.bin", sha256(big), 0.01)
    assert (tmp_path / "back.bin").read_bytes() == big.read_bytes() and cutter.cuts == {"there": 2, "back": 2}
    cutter.limit, cutter.left = 500, {"there": 10**9, "back": 10**9}  # no connection holds
    with pytest.raises(CutOff, match="could not be sent in 6 tries"): send_file(cut, big, target + "2", sha256(big), 0.001)
    with pytest.raises(CutOff, match="could not be fetched"): fetch_file(cut, target, tmp_path / "b2", sha256(big), 0.001)
    assert not Path(target + "2").exists() and not (tmp_path / "b2").exists()  # half a file has no name


@pytest.mark.slow
@needs_sshd
def test_a_hostile_pod_hands_back_nothing_that_is_not_its_own(machine):
    server, params, pod, shell = machine
    run, remote = Run(params.run), Path(params.workspace) / "replytune/run"
    send_all(shell, params)
    before = sha256(run / "reviewed.jsonl")
    (remote / "reviewed.jsonl").write_text("{}\n")
    for name in (".env", "judgements.jsonl", "pod/key", "generations/new\nline", "generations/.hidden", "adapter/weights.bin"):
        (remote / name).parent.mkdir(exist_ok=True), (remote / name).write_text("x")
    (remote / "adapter/link").symlink_to("/etc/passwd")
    assert fetch_all(shell, params) == ["adapter/weights.bin"] and sha256(run / "reviewed.jsonl") == before
    section = {"read": {}, "wrote": {"reviewed.jsonl": before}}
    sections = json.loads((remote / "manifest.json").read_text()) | {"06_train": section}
    (remote / "manifest.json").write_text(json.dumps(sections))
    with pytest.raises(StageError, match="'reviewed.jsonl', which is not its own"): take_sections(shell, params, run)
    (remote / "manifest.json").write_text(json.dumps(sections | {"06_train": {"read": {}, "wrote": {"adapter/weights.bin": "0" * 64}}}))
    assert take_sections(shell, params, run) == [] and "06_train" not in run.manifest()  # a file is not what its section says


# the job and its clocks

def interpreter(folder: Path, does: str) -> str:
    "Something that is started as the pod's Python"
    path = folder / "python"
    path.write_text(f"#!/bin/bash\n{does}\n"), path.chmod(0o755)
    return str(path)


ENDS = [
    pytest.param("fails", "echo it broke; exit 3", {}, "exit code 3", marks=pytest.mark.slow, id="fails"),
    pytest.param("hangs", "sleep 600", {"stale_minutes": 0.02}, "nothing was written", marks=pytest.mark.slow, id="hangs"),
    pytest.param("is too long", "while sleep 0.1; do date; done", {"hours_max": 4 / 3600}, "hours are over", marks=pytest.mark.slow, id="is too long"),
]


@needs_sshd
@pytest.mark.parametrize("how, does, changes, said", ENDS)
def test_a_job_that_goes_wrong_ends_the_pod(tmp_path, how, does, changes, said):
    copy_sample(tmp_path / "run")
    with rehearsal(machines=True) as server:
        params = confirmed(tmp_path / "run", workspace=str(tmp_path / "workspace"), python=interpreter(tmp_path, does), **changes)
        with pytest.raises(StageError, match=said): launch(params)
        assert not server.alive() and len(server.pods) == 1
    assert "starting" in (pod_folder(params) / "job.log").read_text() and not (pod_folder(params) / "key").exists()


@pytest.mark.slow
@needs_sshd
def test_without_us_the_pod_stops_itself(tmp_path):
    copy_sample(tmp_path / "run")
    with rehearsal(machines=True) as server:
        params = confirmed(tmp_path / "run", workspace=str(tmp_path / "workspace"), python=interpreter(tmp_path, "exit 3"), grace_minutes=0.03)
        api, ledger = RunPod(0.01), Ledger(pod_folder(params))
        rental = rent(params, api, ledger, confirmed_plan(params))
        shell = Shell(wait_boot(params, api, ledger, rental, lambda pod: Shell(pod, pod_folder(params)).answers()), pod_folder(params))
        send_all(shell, params)
        shell.run(f"bash {params.workspace}/replytune/bootstrap.sh start")
        deadline = time.monotonic() + 20  # we are gone
        while server.alive() and time.monotonic() < deadline: time.sleep(0.1)
        assert server.pods[rental.pod_id]["status"] == "EXITED"
        assert "no pod of this run is left" in stop(params) and server.pods[rental.pod_id]["status"] == "TERMINATED"


@needs_sshd
def test_a_pod_to_which_nobody_comes_stops_itself(tmp_path):
    with rehearsal(machines=True) as server:
        params, api, ledger, plan = ready(tmp_path, boot_minutes=0.02, grace_minutes=0.01, workspace=str(tmp_path / "w"))
        rental = rent(params, api, ledger, plan)
        wait_boot(params.model_copy(update={"boot_minutes": 1.0}), api, ledger, rental)
        deadline = time.monotonic() + 20
        while server.alive() and time.monotonic() < deadline: time.sleep(0.1)
        assert server.pods[rental.pod_id]["status"] == "EXITED"


def test_the_command_says_what_is_missing(tmp_path, capsys):
    from replytune.line import main
    assert main(["pod", "status", "--run", str(tmp_path)]) == 1 and "--settings" in capsys.readouterr().err
    with rehearsal():
        assert main(["pod", "plan", "--run", str(tmp_path), "--settings", "nbs/params/pod.yaml"]) == 1
        assert "reviewed.jsonl is missing" in capsys.readouterr().err


@needs_sshd
@pytest.mark.parametrize("moment", ["it starts", pytest.param("it works", marks=pytest.mark.slow)])
def test_a_pod_that_stops_by_itself_is_woken_and_its_job_goes_on(tmp_path, moment):
    copy_sample(tmp_path / "run")
    once, printed = f"[ -e {tmp_path}/second ] && exit 0; touch {tmp_path}/second; sleep 600", io.StringIO()
    with rehearsal(machines=True) as server:
        params = confirmed(tmp_path / "run", workspace=str(tmp_path / "workspace"), python=interpreter(tmp_path, once))

        def die():
            until(lambda: (tmp_path / "second").exists() and (moment == "it starts" or "running, $" in printed.getvalue()))
            server.power_off("pod0000")

        threading.Thread(target=die, daemon=True).start()
        with redirect_stdout(printed): assert launch(params).startswith("done")
        assert len(server.pods) == server.most_alive == 1 and not server.alive()
    assert moment == "it starts" or "it is woken" in printed.getvalue()


# all of it

PLANTED = {name: f"planted{secrets.token_hex(12)}" for name in SECRETS}
TRAVELS = {name: PLANTED[name] for name in TRAVEL}


def plant(patch):
    for name, value in PLANTED.items(): patch.setenv(name, value)


class Rented(NamedTuple):
    folder: Path
    outcome: Outcome
    printed: str


@pytest.fixture(scope="module")
def rented(tmp_path_factory) -> Rented:
    "One rental that meets every fault, with a value of its own planted for each secret; the real stages on the tiny model"
    folder, printed = tmp_path_factory.mktemp("rented"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        plant(patch)
        return Rented(folder, whole_rental(folder, (LOST, CUT, GONE, OVER), PLANTED["RUNPOD_API_KEY"]), printed.getvalue())


@pytest.mark.slow
@needs_sshd
def test_with_all_faults_nothing_is_rented_twice_left_or_lost(rented):
    outcome, run = rented.outcome, Run(rented.folder / "run")
    assert sorted(outcome.happened) == sorted((LOST, CUT, GONE, OVER))
    assert outcome.once() and outcome.rented == 3 and outcome.expected > 20, outcome
    assert len(outcome.told) == 4 and outcome.told[1].startswith("failed: $1 are spent")
    assert "is gone" in outcome.told[0] and "of usd_max 1 are spent" in outcome.told[2] and outcome.told[3].startswith("done")
    noted = [event.billed_usd for event in read_records(run / "pod/ledger.jsonl", Event) if event.billed_usd is not None]
    assert 0 <= outcome.usd - outcome.billed < 0.01 and len(noted) == 3 and abs(sum(noted) - outcome.billed) < 0.001  # of the pod that was lost, too
    manifest = run.manifest()
    for stage in ("05_generate", "06_train"):
        assert manifest[stage]["wrote"] and all(sha256(run / name) == used for name, used in manifest[stage]["wrote"].items())
        assert (run / f"notebooks/{stage}.ipynb").exists()
    logs = [(pod / "volume/job.log").read_text() for pod in outcome.pods]
    assert "05_generate  running" in logs[0] and all("05_generate  done before" in log for log in logs[1:])  # what was saved was not made again
    assert (run / WEIGHTS).is_file() and manifest["06_train"]["counts"]["steps"] == 6


@pytest.mark.slow
@needs_sshd
def test_no_secret_is_anywhere_but_in_the_environment_of_the_pod(rented):
    outcome, private = rented.outcome, {name: value for name, value in PLANTED.items() if name not in TRAVELS}
    run = Run(rented.folder / "run")
    assert not found_secrets(run.folder, PLANTED)  # manifests, cards, executed notebooks, logs, plan, ledger, what was packed
    assert (run / "pod/bundle.tar.gz").exists() and (run / "notebooks/06_train.ipynb").exists() and (run / "adapter/README.md").exists()
    assert not found_secrets(rented.folder / "workspace", PLANTED) and not found_secrets(rented.folder / "pods", private)
    there = found_secrets(rented.folder / "pods", TRAVELS)
    assert {place.rpartition("/")[2] for place in there} == {"rp_environment"}  # into which the vendor's image writes what the create asked for
    for body in outcome.bodies:
        assert {name: body["env"][name] for name in TRAVELS} == TRAVELS and body["env"].keys() == {"PUBLIC_KEY", *TRAVELS}
        rest = json.dumps(body | {"env": {"PUBLIC_KEY": body["env"]["PUBLIC_KEY"]}})
        assert not [name for name, value in PLANTED.items() if value in rest]
    said = "\n".join([rented.printed, *outcome.told])
    assert "files sent" in said and not [name for name, value in PLANTED.items() if value in said]


def test_the_search_finds_what_is_planted(tmp_path):
    "However deep it is packed, and however it is written"
    inner, value = io.BytesIO(), PLANTED["HF_TOKEN"]
    with zipfile.ZipFile(inner, "w") as archive: archive.writestr("weights.pkl", value)
    (tmp_path / "optimizer.pt").write_bytes(inner.getvalue())
    (tmp_path / "card.md").write_text(base64.b64encode(f"user:{value}".encode()).decode())
    (tmp_path / value).write_text("a name")
    pack({"optimizer.pt": tmp_path / "optimizer.pt"}, tmp_path / "bundle.tar.gz")
    (tmp_path / "clean.txt").write_text("nothing")
    found = found_secrets(tmp_path, PLANTED)
    assert {f"HF_TOKEN in {name}" for name in ("bundle.tar.gz!!optimizer.pt!weights.pkl", "optimizer.pt!weights.pkl", "card.md", value)} <= {*found}
    assert "clean" not in " ".join(found)


@needs_sshd
def test_what_the_job_prints_of_a_secret_is_not_in_our_log(machine, monkeypatch):
    server, params, pod, shell = machine
    plant(monkeypatch)
    monkeypatch.setenv("RUNPOD_API_KEY", KEY)
    send_all(shell, params)
    (Path(params.workspace) / "replytune/job.log").write_text(f"login with {PLANTED['HF_TOKEN']}\n")
    fetch_all(shell, params)
    assert (pod_folder(params) / "job.log").read_text() == "login with [HF_TOKEN]\n"
    assert not found_secrets(Path(params.run), PLANTED)


@needs_sshd
def test_a_dropped_connection_stops_nothing_and_logs_go_on(tmp_path):
    "Started in a terminal that is then lost: what merely runs in it dies with it, the job and its guard do not"
    copy_sample(tmp_path / "run")
    with rehearsal(machines=True):
        work, gate = tmp_path / "workspace/replytune", tmp_path / "gate"
        does = f"echo before; until [ -e {gate} ]; do sleep 0.05; done; echo after"
        params = confirmed(tmp_path / "run", workspace=str(work.parent), python=interpreter(tmp_path, does), poll_seconds=0.1)
        api, ledger = RunPod(0.01), Ledger(pod_folder(params))
        rental = rent(params, api, ledger, confirmed_plan(params))
        pod = wait_boot(params, api, ledger, rental, lambda pod: Shell(pod, pod_folder(params)).answers())
        shell = Shell(pod, pod_folder(params))
        send_all(shell, params)
        inside = f"bash {work}/bootstrap.sh start; echo $$ > {work}/session.pid; sleep 600"
        session = subprocess.Popen([shell.line[0], "-tt", *shell.line[1:], inside], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        number = lambda name: int((work / name).read_text() or 0) if (work / name).exists() else 0
        until(lambda: number("session.pid") and "before" in logs(params))
        session.kill(), session.wait()  # the line is dead
        until(lambda: not alive(number("session.pid")))
        assert alive(number("job.pid")) and alive(number("guard.pid")) and look(shell, params)[0] == "running"
        assert "after" not in logs(params)
        gate.touch()
        until(lambda: look(shell, params)[0] == "done")
        assert logs(params).index("before") < logs(params).index("after")
        assert "no pod of this run is left" in stop(params)


def alive(pid: int) -> bool:
    try: return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError: return False
