"""Publishing: what leaves and what never does, every refusal of a hub, a kill at every request, and what forgetting says of it."""
import json
import os
import shutil
import subprocess
import sys
from html import escape
from pathlib import Path

import pytest
import yaml

from replytune import hub
from replytune.card import write_card
from replytune.files import file_hashes, project_root, read_rows, sha256, write_text
from replytune.forget import forget, published_where
from replytune.hub import Plan, plan_publication, publish
from replytune.line import main
from replytune.models import Precision, find_model
from replytune.publish import PUBLISHED, dataset_card, read_published
from replytune.report import ReportParams, read_stats, report_stage
from replytune.run import Run, sample_rows
from replytune.schema import StageError

from hub_server import TOKEN, hub_server, problems
from samples import whole_sample

PAGES = "09b 09c 09f"
ROOT = project_root()


def adapter_on_the_toy(folder: Path):
    "A small LoRA adapter whose weights do something, saved by PEFT"
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer
    base = AutoModelForCausalLM.from_pretrained(find_model("tiny-qwen3"), dtype=torch.bfloat16)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
    torch.manual_seed(1)
    for name, weights in model.named_parameters():
        if "lora_" in name: torch.nn.init.normal_(weights, std=0.5)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(find_model("tiny-qwen3")).save_pretrained(folder)
    config = json.loads((folder / "adapter_config.json").read_text()) | {"base_model_name_or_path": "tiny-qwen3"}
    write_text(folder / "adapter_config.json", json.dumps(config))


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    "The sample run with a real adapter of the toy model, its card, and the report made again"
    run = Run(whole_sample(tmp_path_factory.mktemp("ready") / "run"))
    adapter_on_the_toy(run / "adapter")
    sections = run.manifest()
    section = sections["06_train"]
    write_card(run / "adapter", "tiny-qwen3", Precision("none", "bfloat16"), section["parameters"], section["counts"], read_rows(run / "training_log.jsonl"), "pipeline check: invented data, random toy model")
    section["wrote"] = {name: used for name, used in section["wrote"].items() if not name.startswith("adapter/")} | {f"adapter/{name}": used for name, used in file_hashes(run / "adapter").items()}
    run.save_section("06_train", section)
    for stage in ("05_generate", "06_train"): run.save_section(stage, run.manifest()[stage] | {"models": {"model": "tiny-qwen3", "weights": "0123456789abcdef none bfloat16"}})
    report_stage(ReportParams(run=str(run.folder)))
    return run.folder


@pytest.fixture
def run(ready, tmp_path): return Run(shutil.copytree(ready, tmp_path / "run"))


@pytest.fixture
def server(monkeypatch):
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        from huggingface_hub import constants
        for name, value in {"HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True, "ENDPOINT": server.url, "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}"}.items(): monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(hub, "PAUSES", [0.01, 0.01, 0.01])
        yield server


def confirmed(run: Run, repo: str = "me/replies", **more) -> str:
    return publish(run.folder, repo, plan_publication(run.folder, repo, **more).code, **more)


def head(server, kind="model", repo="me/replies"): return server.repos[kind, repo]["commits"][-1]


def holds(server, plan: Plan) -> bool:
    "Does the hub hold exactly the plan, byte for byte?"
    files = {name: value if isinstance(value, bytes) else server.objects[value[0]] for name, value in head(server, plan.kind, plan.repo)["files"].items()}
    return {name: sha256(data) for name, data in files.items() if name != ".gitattributes"} == {file.path: file.hash for file in plan.files}


def test_without_a_yes_nothing_is_asked_of_anybody(run, server, capsys):
    before = file_hashes(run.folder)
    assert main(["publish", str(run.folder), "me/replies"]) == 0
    said = capsys.readouterr().out
    assert server.asked == [] and file_hashes(run.folder) == before
    plan = plan_publication(run.folder, "me/replies")
    for file in plan.files: assert f"{file.size:,}  {file.hash[:12]}  {file.path}  (licence: " in said
    assert "a private model repository" in said and f"--confirm {plan.code}" in said and "other people's tweets and replies (--texts): reviewed.jsonl" in said
    signed = {name for section in run.manifest().values() for name in section["wrote"]}
    gone = {file.path for file in plan.files} | {f"adapter/{file.path}" for file in plan.files}
    assert not signed - gone - set(plan.stays), "a file of which the plan says nothing"
    assert main(["publish", str(run.folder), "me/replies", "--confirm", "00000000"]) == 1 and server.asked == []


def test_another_file_name_or_visibility_has_another_code(run):
    codes = {plan_publication(run.folder, *given, **more).code for given, more in ((("me/a",), {}), (("me/b",), {}), (("me/a",), {"public": True}), (("me/a",), {"licence": "mit"}), (("me/a",), {"texts": True}), (("me/a",), {"kind": "dataset"}))}
    assert len(codes) == 6


def test_fetched_back_it_loads_with_plain_peft(run, server, tmp_path):
    said = confirmed(run)
    assert f"in commit {head(server)['oid']}" in said and server.repos["model", "me/replies"]["private"] is True
    assert holds(server, plan_publication(run.folder, "me/replies")) and len(server.repos["model", "me/replies"]["commits"]) == 2
    rows = read_published(run)
    assert [row.state for row in rows] == ["begun", "done"] and rows[1].commit == head(server)["oid"] and rows[0].whose == rows[1].whose
    code = """
import sys
from huggingface_hub import snapshot_download
folder = snapshot_download("me/replies")
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
load = lambda: AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.bfloat16)
ids = AutoTokenizer.from_pretrained(folder)("a reply to a tweet", return_tensors="pt").input_ids
with torch.no_grad(): moved = (PeftModel.from_pretrained(load(), folder).eval()(ids).logits - load()(ids).logits).abs().max()
assert not any(name.split(".")[0] == "replytune" for name in sys.modules)
print("MOVED", float(moved))
"""
    environment = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "PYTHONPATH")} | {"HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", code, find_model("tiny-qwen3")], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split("MOVED ")[1]) > 0.01


def everything_sent(server) -> bytes:
    return b"\n".join(value if isinstance(value, bytes) else server.objects[value[0]] for name, value in head(server)["files"].items() if name not in ("tokenizer.json", "adapter_model.safetensors"))


def test_no_text_handle_secret_or_folder_of_anybody_leaves(run, server, monkeypatch):
    confirmed(run)
    sent = everything_sent(server)
    rows = [row for name in ("pairs.jsonl", "reviewed.jsonl") for row in read_rows(run / name)]
    for row in rows:
        for text in (row["tweet"], row["reply"]):
            for form in (text, escape(text), json.dumps(text)[1:-1]): assert len(form) < 12 or form.encode() not in sent
        for name in (row["tweet_author"], row["reply_author"]): assert f"@{name}".encode() not in sent and f'"{name}"'.encode() not in sent
        assert row["tweet_id"].encode() not in sent and row["reply_id"].encode() not in sent
    for arm in ("base", "rag", "tuned", "human"):
        for row in read_rows(run / f"generations/{arm}.jsonl"): assert not row["reply"] or len(row["reply"]) < 12 or escape(row["reply"]).encode() not in sent
    for private in (TOKEN, str(ROOT), str(run.folder)): assert private.encode() not in sent and private not in (run / PUBLISHED).read_text()
    assert b"<h2>How sure is it?</h2>" in sent and b"are left out" in sent


def test_texts_go_when_they_are_asked_for(run, server):
    confirmed(run, texts=True)
    files = head(server)["files"]
    assert {"reviewed.jsonl", "generations/human.jsonl", "judgements.jsonl"} <= files.keys() and "pairs.jsonl" not in files and "raw/raw.json" not in files
    assert files["report.html"] == (run / "report.html").read_bytes() and b"keep it private" in files["README.md"]
    assert {row.holds for row in read_published(run)} == {"texts"}


def test_a_text_in_a_file_that_may_go_keeps_it_here(run):
    stats = read_stats(run)
    stats["why"] += f" ({sample_rows('reviewed.jsonl')[3]['reply']})"
    write_text(run / "stats.json", json.dumps(stats))
    for stage in ("08_stats", "09_report"):
        section = run.manifest()[stage]
        for part in ("wrote", "read"):
            if "stats.json" in section[part]: section[part]["stats.json"] = sha256(run / "stats.json")
        run.save_section(stage, section)
    with pytest.raises(StageError, match="README.md holds a text of somebody"): plan_publication(run.folder, "me/replies")


def test_a_secret_in_a_file_stops_everything(run, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", str(read_stats(run)["estimate"]))
    with pytest.raises(StageError, match="stats.json holds the value of a secret"): plan_publication(run.folder, "me/replies")


def card_of(run, decision=None, **more):
    if decision: write_text(run / "stats.json", json.dumps(read_stats(run) | {"decision": decision}))
    return hub.published_card(run, "me/replies", **more)


@pytest.mark.parametrize("decision", ["GO", "NO-GO", "INCONCLUSIVE", "INVALID"])
def test_the_first_line_is_the_verdict_and_the_hub_accepts_the_card(run, decision):
    from huggingface_hub import ModelCard
    text = card_of(run, decision, licence="apache-2.0")
    assert problems(text, "model") == []
    card = ModelCard(text)
    first = card.text.strip().splitlines()[0]
    assert first.startswith(f"**{decision}") and "invented data" in first and "invented-sample" in card.data.tags
    results = card.data.eval_results
    if decision == "INVALID": assert not results and "model-index" not in text
    else:
        assert len(results) == 1 and results[0].metric_value == 0.6774 and decision in results[0].metric_name and "invented data" in results[0].dataset_name
    assert "base_model" not in text.split("---")[1], "the hub knows no such base"


def test_a_base_of_the_hub_makes_it_an_adapter_of_it(run):
    card = (run / "adapter/README.md").read_text()
    write_text(run / "adapter/README.md", card.replace("---\n", "---\nbase_model: Qwen/Qwen3-8B\n", 1))
    run.save_section("05_generate", run.manifest()["05_generate"] | {"models": {"model": "Qwen/Qwen3-8B", "weights": "x"}})
    text = card_of(run)
    top = yaml.safe_load(text.split("---\n")[1])
    assert top["base_model_relation"] == "adapter" and top["base_model"] == "Qwen/Qwen3-8B" and "license" not in top and problems(text, "model") == []
    assert "not stated. Whoever may state one" in text and "taken from it: apache-2.0" in text


def test_hostile_words_stay_inert_in_cards(run):
    evil = "](javascript:alert(1)) <script>alert(1)</script> `x` ![a](http://evil)\n---\nlicense: mit"
    stats = read_stats(run)
    write_text(run / "stats.json", json.dumps(stats | {"why": evil, "marks": [evil]}))
    text = card_of(run)
    from markdown_it import MarkdownIt
    assert "license" not in yaml.safe_load(text.split("---\n")[1])
    page = MarkdownIt("commonmark").render(text.split("---\n", 2)[2])
    assert "javascript:alert(1)" in page and "<script" not in page and "<img" not in page and "href" not in page
    for card in (text, dataset_card(run), dataset_card(run, texts=True)):
        assert "onerror" not in card and "<img" not in card and "pwned" not in card and problems(card, "dataset") == []


def test_a_dataset_is_published_by_ids_and_read_back(run, server, tmp_path):
    confirmed(run, "me/pairs", kind="dataset")
    files = head(server, "dataset", "me/pairs")["files"]
    row = json.loads(files["test.jsonl"].splitlines()[0])
    assert "reply" not in row and "reply_author" not in row and row["tweet_id"]
    assert read_published(run)[-1].holds == "ids" and b"Invented sample" in files["README.md"] and b"invented-sample" in files["README.md"]
    from huggingface_hub import snapshot_download
    folder = Path(snapshot_download("me/pairs", repo_type="dataset", cache_dir=tmp_path))
    assert len((folder / "train.jsonl").read_text().splitlines()) == 262


def test_published_again_unchanged_nothing_is_sent(run, server):
    first = confirmed(run)
    before = len(server.asked)
    assert confirmed(run) == first and set(server.steps()[before:]) <= {"info"} and [row.state for row in read_published(run)] == ["begun", "done"]


def test_a_new_version_sends_what_changed_and_takes_away_what_is_no_longer_there(run, server):
    confirmed(run, texts=True)
    before = len(server.asked)
    confirmed(run)
    assert holds(server, plan_publication(run.folder, "me/replies")) and "upload" not in server.steps()[before:]
    assert [row.state for row in read_published(run)] == ["begun", "done"] * 2 and len(server.repos["model", "me/replies"]["commits"]) == 3


@pytest.mark.parametrize("step, fault", [
    ("create", (429, "slow down", {"Retry_After": "0"})), ("create", (500, "oops", {})), ("create", "cut"), ("create", "lost"), ("commit", (429, "slow down", {"Retry_After": "0"})),
    ("commit", (500, "oops", {})), ("commit", "cut"), ("commit", "lost"), ("info", (503, "soon", {})), ("validate", (502, "bad gateway", {}))])
def test_a_fault_that_passes_ends_in_one_correct_repository(run, server, step, fault):
    server.faults[step] = [fault]
    confirmed(run)
    assert holds(server, plan_publication(run.folder, "me/replies")) and len(server.repos["model", "me/replies"]["commits"]) == 2
    uploads = [path for step, path, _ in server.asked if step == "upload"]
    assert len(uploads) == len(set(uploads)) == 1


def test_a_cut_upload_is_sent_again_and_the_hub_checks_it(run, server):
    server.faults["upload"] = ["cut"]
    confirmed(run)
    assert holds(server, plan_publication(run.folder, "me/replies"))


@pytest.mark.parametrize("step, status, words", [("info", 403, "may not write there"), ("create", 403, "may not write there"), ("commit", 403, "may not write there"), ("commit", 409, "busy with this repository"), ("commit", 400, "the same command goes on")])
def test_a_refusal_is_one_error_with_what_to_do_and_the_same_command_goes_on(run, server, step, status, words):
    server.faults[step] = [(status, "no", {"X_Error_Message": f"no, {TOKEN}"})]
    with pytest.raises(StageError, match=words) as caught: confirmed(run)
    assert TOKEN not in str(caught.value)
    confirmed(run)
    assert holds(server, plan_publication(run.folder, "me/replies"))


def test_faults_without_end_end_in_an_error(run, server):
    server.faults["commit"] = [(500, "oops", {})] * 20
    with pytest.raises(StageError, match="the same command goes on from here"): confirmed(run)
    assert server.steps().count("commit") == 4 and read_published(run)[-1].state == "begun"


def test_a_wrong_token_a_missing_one_and_a_foreign_owner(run, server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_another-token-that-is-wrong-0815")
    with pytest.raises(StageError, match="does not know this token") as caught: confirmed(run)
    assert "0815" not in str(caught.value) and not (run / PUBLISHED).exists()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(StageError, match="rights to create"): confirmed(run, "somebody/replies")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(StageError, match="HF_TOKEN is not set"): confirmed(run)


def test_somebody_elses_repository_is_left_alone_every_time(run, server):
    server.create("", json.dumps({"name": "replies", "organization": "me", "visibility": "private"}).encode(), {})
    server.add(server.repos["model", "me/replies"], {"README.md": b"mine", "model.bin": b"mine"}, "mine")
    for _ in range(2):
        with pytest.raises(StageError, match="README.md|model.bin"): confirmed(run)
    assert head(server)["files"]["README.md"] == b"mine" and not (run / PUBLISHED).exists()


def test_an_empty_repository_that_exists_is_used_and_a_public_one_refused(run, server):
    for name, visibility in (("replies", "private"), ("open", "public")): server.create("", json.dumps({"name": name, "organization": "me", "visibility": visibility}).encode(), {})
    confirmed(run)
    with pytest.raises(StageError, match="exists and is public; the plan says private"): confirmed(run, "me/open")
    confirmed(run, "me/open", public=True)
    assert holds(server, plan_publication(run.folder, "me/open", public=True))


def test_a_commit_of_somebody_in_between_is_seen_and_kept(run, server):
    confirmed(run, texts=True)
    server.faults["move"] = ["once"]
    confirmed(run)
    files = head(server)["files"]
    assert files["by_somebody.txt"] == b"else" and "reviewed.jsonl" not in files and server.steps().count("commit") == 3


def test_a_card_that_the_hub_refuses_is_told_before_anything_is_sent(run, server):
    with pytest.raises(StageError, match='"license" must be one of'): confirmed(run, licence="gpl-17")
    assert "upload" not in server.steps() and len(server.repos["model", "me/replies"]["commits"]) == 1


@pytest.mark.parametrize("repo", ["replies", "me/", "/x", "me/../x", "me/a b", "a/b/c"])
def test_a_name_that_is_no_repository(run, repo):
    with pytest.raises(StageError, match="is no repository"): plan_publication(run.folder, repo)


def test_an_adapter_that_was_changed_or_never_judged_is_not_published(run):
    with open(run / "adapter/adapter_model.safetensors", "ab") as file: file.write(b"x")
    with pytest.raises(StageError, match="adapter_model.safetensors changed"): plan_publication(run.folder, "me/replies")
    run.save_section("08_stats", None)
    with pytest.raises(StageError): plan_publication(run.folder, "me/replies")
    with pytest.raises(StageError, match="no run to publish"): plan_publication(run.folder / "nowhere", "me/replies")


def command(run: Run, server, code: str):
    environment = os.environ | {"HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "HF_HOME": str(run.folder.parent / "home")}
    return subprocess.Popen([sys.executable, "-c", "from replytune.line import main; import sys; sys.exit(main())", "publish", str(run.folder), "me/replies", "--confirm", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def killed_and_repeated(run: Run, server, at: tuple[int, str]) -> bool:
    "Was it killed there? In any case: repeated, one correct repository, nothing sent twice that had arrived"
    plan = plan_publication(run.folder, "me/replies")
    server.kill = at
    server.victim = command(run, server, plan.code)
    said = server.victim.communicate()
    killed = server.victim.returncode == -9
    server.kill = None
    if killed:
        arrived = set(server.objects)
        if "create" in server.steps(): assert published_where(run, [], next(row["reply_author"] for row in read_rows(run / "reviewed.jsonl") if row["split"] == "train")), "something may be there and the ledger does not know"
        before = len(server.asked)
        again = command(run, server, plan.code)
        out, err = again.communicate()
        assert again.returncode == 0, err[-2000:]
        sent = {path.rpartition("/")[2] for step, path, _ in server.asked[before:] if step == "upload"}
        assert not sent & arrived, "sent again although it was there"
    else: assert server.victim.returncode == 0, said[1][-2000:]
    assert holds(server, plan) and len(server.repos["model", "me/replies"]["commits"]) == 2, "one commit on the hub's own"
    assert [row.state for row in read_published(run)] == ["begun", "done"] and read_published(run)[-1].commit == head(server)["oid"]
    return killed


def test_killed_when_the_commit_was_made_and_its_answer_not_yet_read(run, server):
    "The kill is ordered when the commit comes, whatever its number turns out to be"
    original = server.commit

    def commit(path, data, headers):
        answer = original(path, data, headers)
        server.kill = (len(server.asked), "after")
        server.commit = original
        return answer

    server.commit = commit
    assert killed_and_repeated(run, server, None)


@pytest.mark.slow
def test_killed_before_and_after_every_request(ready, server, tmp_path):
    killed, last = [], 40
    for when in ("before", "after"):
        for number in range(1, last + 1):
            server.asked.clear(), server.repos.clear(), server.objects.clear()
            run = Run(shutil.copytree(ready, tmp_path / f"{when}{number}"))
            if killed_and_repeated(run, server, (number, when)): killed.append((number, when))
            elif when == "before":
                last = number - 1  # there are no more requests
                break
    assert len(killed) >= 2 * last - 1 > 15, killed  # the client's own question about harnesses is answered without a kill
    print(len(killed), "kills")


def test_two_at_once_are_refused(run, server):
    from replytune.files import locked
    with locked(run / PUBLISHED), pytest.raises(StageError, match="being published by another command"): confirmed(run)


def test_a_ledger_that_was_changed_is_an_error(run, server):
    confirmed(run)
    write_text(run / PUBLISHED, (run / PUBLISHED).read_text().replace('"holds": "weights"', '"holds": "ids"', 1))
    with pytest.raises(StageError, match="is not what was written"): forget(run.folder, "@nobody")


def test_forgetting_says_where_somebody_was_published(run, server, capsys):
    rows = read_rows(run / "reviewed.jsonl")
    trained = next(row for row in rows if row["split"] == "train")
    tested = {row["reply_author"] for row in rows if row["split"] == "test"} - {name for row in rows if row["split"] != "test" for name in (row["reply_author"], row["tweet_author"])}
    confirmed(run)
    confirmed(run, "me/pairs", kind="dataset", public=True)
    assert trained["reply_author"] not in (run / PUBLISHED).read_text() and trained["reply_id"] not in (run / PUBLISHED).read_text()
    only = sorted(tested)[0]
    assert [each["holds"] for each in published_where(run, [], only)] == ["ids"], "the adapter never saw a test reply"
    assert main(["forget", str(run.folder), "@" + trained["reply_author"]]) == 0
    answer = json.loads(capsys.readouterr().out)
    weights, ids = answer["published"]
    assert weights["repository"] == f"{server.url}/me/replies" and weights["commits"] == [head(server)["oid"]] and "nothing can be taken out of weights" in weights["do"] and weights["public"] is False
    assert ids["repository"] == f"{server.url}/datasets/me/pairs" and ids["public"] is True and "squash the history" in ids["do"]
    assert all("cannot be recalled" in each["beyond"] for each in answer["published"])
    again = forget(run.folder, trained["reply_author"].upper())
    assert len(again["published"]) == 2 and "note" not in again, "the ledger still knows when all else is forgotten"
    assert forget(run.folder, "@nobody_at_all")["published"] == []
    with pytest.raises(StageError): plan_publication(run.folder, "me/replies")  # the adapter that saw them is gone
