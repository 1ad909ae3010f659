"""Replies written by servers: the texts of this process but for near ties, nothing asked twice after a kill, and faults that say how to go on."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from replytune.schema import ARMS, StageError, error_of, replies_file
from replytune.files import read_rows
from replytune.params import read_params
from replytune.run import Run, sample_copy, sample_rows
from replytune.models import Precision, find_model, load_model, load_tokenizer, load_tuned
from replytune.writing import Sampling, Wanted, kept_replies, row_number, write_batch
from replytune.servers import UNSEEN, ChatServer, complete, read_written, served_label, write_served
from replytune.generate import GenerateParams, Generation, build_prompt, generate_stage, generator_of

from serving import between, llama_server, told_server, transformers_server

PAGES = "00l 05 06"

GREEDY, NEAR_TIE = Sampling(0.0), 0.5  # logits between two tokens of which either may be the likeliest: what llama.cpp's rounding of weights comes to
TWEETS = list(dict.fromkeys(row["tweet"] for row in sample_rows("reviewed.jsonl")))


@pytest.fixture(autouse=True)
def no_key_and_no_patience(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"): monkeypatch.delenv(name, raising=False)
    for name in ("INITIAL_RETRY_DELAY", "MAX_RETRY_DELAY"): monkeypatch.setattr(f"openai._base_client.{name}", 0.001)


@pytest.fixture(scope="module")
def llama():
    with llama_server() as url: yield url


@pytest.fixture(scope="module")
def serve():
    with transformers_server() as url: yield url


@pytest.fixture
def told():
    with told_server() as server:
        server.answer, server.usage = (lambda asked: f"Reply {asked['seed']}."), (lambda prompt: {"prompt_tokens": length(prompt), "completion_tokens": 5, "total_tokens": 9})
        yield server


def length(prompt: str) -> int: return len(load_tokenizer("tiny-qwen3")(prompt)["input_ids"])


def wanted_of(name: str, count: int) -> list[Wanted]:
    tokenizer = load_tokenizer(name)
    return [Wanted(f"key {number}", build_prompt(tokenizer, tweet), row_number(number, 1)) for number, tweet in enumerate(TWEETS[:count])]


def short(count: int) -> list[Wanted]: return [Wanted(f"key {number}", f"Tweet {number}?", row_number(number, 1)) for number in range(count)]


def at(server, **more) -> ChatServer: return ChatServer(server.url, named=("base_url", "served_model"), **more)


def write(server, wanted, log, name="tiny-qwen3", sampling=Sampling(), most=8, concurrency=4):
    return write_served(server, load_tokenizer(name), wanted, sampling, most, log, concurrency)


# ---- the same texts as in this process


def near_ties(model, tokenizer, wanted: list[Wanted], here: dict, there: dict) -> list[float]:
    "The gap between the two tokens at which texts part, for every reply that is another text"
    import torch

    gaps = []
    for each in wanted:
        texts = [found[each.key].text for found in (here, there)]
        if texts[0] == texts[1]: continue
        prompt, one, two = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (each.prompt, *texts))
        parted = next(place for place, pair in enumerate(zip(one, two)) if pair[0] != pair[1])
        with torch.inference_mode(): logits = model(torch.tensor([prompt + one[:parted]], device=model.device)).logits[0, -1].float()
        gaps.append(float(logits[one[parted]] - logits[two[parted]]))
    return gaps


def compared(url: str, served: str, name: str, model, count: int, most: int, log: Path) -> tuple[list[float], dict]:
    wanted, tokenizer = wanted_of(name, count), load_tokenizer(name)
    server = ChatServer(url, served)
    there = write(server, wanted, log, name, GREEDY, most)
    here = {each.key: one for each, one in zip(wanted, write_batch(model, tokenizer, wanted, GREEDY, most))}
    same = [each.key for each in wanted if here[each.key].text == there[each.key].text]
    assert all(here[key] == there[key] for key in same), "the tokens are counted alike, and the end is told alike"
    assert server.uncounted == 0
    return near_ties(model, tokenizer, wanted, here, there), there


@pytest.mark.parametrize("count, most", [(3, 5), pytest.param(12, 16, marks=pytest.mark.slow)])
def test_llama_writes_what_this_process_writes_but_for_near_ties(llama, tmp_path, count, most):
    gaps, _ = compared(llama, "", "smollm2", load_model("smollm2", Precision("none", "float32")), count, most, tmp_path / "log")
    print(f"{len(gaps)} of {count} part at a gap of {gaps}")
    assert len(gaps) <= count * 2 / 3 and all(abs(gap) < NEAR_TIE for gap in gaps)


def test_transformers_writes_what_this_process_writes(serve, tmp_path):
    toy = find_model("tiny-qwen3")
    gaps, there = compared(serve, toy, "tiny-qwen3", load_model("tiny-qwen3", Precision("none", "float32")), 6, 10, tmp_path / "log")
    assert all(abs(gap) < 0.001 for gap in gaps) and len(gaps) <= 1 and len({each.text for each in there.values()}) > 3


def test_servers_count_the_end_token_and_we_do_not(llama, serve, tmp_path):
    tokenizer = load_tokenizer("smollm2")
    hello = tokenizer.apply_chat_template([{"role": "user", "content": "Say hi."}], tokenize=False, add_generation_prompt=True)
    reply, = write(ChatServer(llama), [Wanted("hello", hello, 1)], tmp_path / "log", "smollm2", GREEDY, 60).values()
    assert reply.finished and reply.tokens == len(tokenizer(reply.text)["input_ids"]) > 3
    server, toy = ChatServer(serve, find_model("tiny-qwen3")), load_tokenizer("tiny-qwen3")
    found = complete(server, "Hello", GREEDY, 9, 1, [*range(512)], "generation_config")  # any token is the end
    assert found.usage.completion_tokens == 1 and read_written(server, toy, "Hello", 9, found)[1:] == (0, True)


@pytest.mark.slow
def test_transformers_writes_what_this_process_writes_with_a_real_model(serve, tmp_path):
    gaps, _ = compared(serve, find_model("smollm2"), "smollm2", load_model("smollm2", Precision("none", "float32")), 8, 16, tmp_path / "log")
    assert len(gaps) <= 1 and all(abs(gap) < 0.01 for gap in gaps)


def random_adapter(folder: Path):
    from peft import LoraConfig, get_peft_model

    import torch
    torch.manual_seed(0)
    model = get_peft_model(load_model("tiny-qwen3", Precision("none", "float32")), LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False))
    model.peft_config["default"].base_model_name_or_path = "tiny-qwen3"
    model.save_pretrained(folder)
    return folder


def base_and_adapter(adapter: Path, folder: Path) -> Path:
    "A folder that `transformers serve` takes for the tuned model: an adapter alone it does not know what to do with"
    folder.mkdir()
    for file in (*Path(find_model("tiny-qwen3")).iterdir(), *adapter.iterdir()):
        if not (folder / file.name).exists(): os.symlink(file.resolve(), folder / file.name)
    return folder


def test_an_adapter_is_served_too(serve, tmp_path):
    adapter = random_adapter(tmp_path / "adapter")
    tuned = load_tuned("tiny-qwen3", Precision("none", "float32"), adapter)
    gaps, there = compared(serve, str(base_and_adapter(adapter, tmp_path / "tuned")), "tiny-qwen3", tuned, 5, 8, tmp_path / "log")
    base = write(ChatServer(serve, find_model("tiny-qwen3")), wanted_of("tiny-qwen3", 5), tmp_path / "base", sampling=GREEDY)
    assert all(abs(gap) < 0.001 for gap in gaps) and len(gaps) <= 1 and there != base


# ---- seeds


def test_llama_draws_a_row_by_its_seed_whatever_runs_beside_it(llama, tmp_path):
    wanted, server = short(6), ChatServer(llama)
    one, four = (write(server, wanted, tmp_path / str(size), "smollm2", Sampling(), 8, size) for size in (1, 4))
    other = write(server, [each._replace(noise=each.noise + 1) for each in wanted], tmp_path / "other", "smollm2", Sampling(), 8)
    assert one == four and sum(one[key].text != other[key].text for key in one) >= 4, "and by nothing else"


def test_transformers_draws_with_the_temperature_it_is_told(serve, tmp_path):
    "Without a generation config of ours it would not draw at all: the toy was not published to be drawn from"
    wanted, server = wanted_of("tiny-qwen3", 3), ChatServer(serve, find_model("tiny-qwen3"))
    hot = Sampling(1.0, 1.0, 0)
    one, again = (write(server, wanted, tmp_path / name, sampling=hot, concurrency=1) for name in "ab")
    greedy = write(server, wanted, tmp_path / "c", sampling=GREEDY, concurrency=1)
    only = write(server, wanted, tmp_path / "d", sampling=Sampling(1.0, 1.0, 1), concurrency=1)  # top_k 1 arrives
    assert one == again != greedy and {key: each.text for key, each in only.items()} == {key: each.text for key, each in greedy.items()} and server.extra == "generation_config"


# ---- killed, and started again

WRITER = """
import json, sys
from pathlib import Path
from replytune.models import load_tokenizer
from replytune.writing import Sampling, Wanted
from replytune.servers import ChatServer, write_served
url, log, rows = sys.argv[1], Path(sys.argv[2]), [Wanted(*row) for row in json.loads(sys.argv[3])]
write_served(ChatServer(url), load_tokenizer("smollm2"), rows, Sampling(), 8, log, 4)
"""


@pytest.mark.slow
def test_killed_in_the_middle_nothing_is_asked_twice(llama, tmp_path):
    wanted, log = wanted_of("smollm2", 16), tmp_path / "log.jsonl"
    whole = write(ChatServer(llama), wanted, tmp_path / "whole.jsonl", "smollm2")
    with between(llama) as middle:
        middle.fault = lambda asked, number: time.sleep(0.1) or 200
        process = subprocess.Popen([sys.executable, "-c", WRITER, middle.url, str(log), json.dumps(wanted)], stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 90
            while not (log.exists() and log.read_bytes().count(b"\n") >= 5) and time.monotonic() < deadline: time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
        finally: process.wait()
        while middle.under_way: time.sleep(0.05)
        kept, before = kept_replies(log), len(middle.asked)
        assert 5 <= len(kept) < 16 and before <= len(kept) + 4
        found = write(at(middle), wanted, log, "smollm2")
        again = [asked["prompt"] for asked in middle.asked[before:]]
        prompt_of = {each.key: each.prompt for each in wanted}
        assert sorted(again) == sorted(prompt for key, prompt in prompt_of.items() if key not in kept), "what is on the disk is not asked for again"
        assert write(at(middle), wanted, log, "smollm2") == found == whole and len(middle.asked) == before + len(again)
    keys = [row["key"] for row in read_rows(log)]
    assert len(keys) == len(set(keys)) == 16


def test_half_a_line_is_written_again(told, tmp_path):
    wanted, log = short(4), tmp_path / "log"
    found = write(at(told), wanted, log)
    log.write_bytes(log.read_bytes()[:-7])
    lost = len(told.asked)
    assert write(at(told), wanted, log) == found and len(told.asked) == lost + 1 and len(read_rows(log)) == 4


# ---- faults


def failing(told, fault, when):
    "The server that does what it is told, with a fault where `when(number of the request)` says so"
    answer = told.answer
    told.answer = lambda asked: (fault if fault is None else (fault, {"error": {"message": "by order"}})) if when(len(told.asked)) else answer(asked)


@pytest.mark.parametrize("fault", [429, 503, None], ids=["overloaded", "failed", "hung up"])
def test_a_fault_that_passes_is_waited_for(told, tmp_path, fault):
    failing(told, fault, lambda number: number in (1, 3, 4))
    assert len(write(at(told), short(4), tmp_path / "log", concurrency=1)) == 4 and len(told.asked) == 4 + 3


@pytest.mark.parametrize("fault, part", [(500, "the server failed"), (None, "no answer"), (429, "lower `concurrency`"), (401, "OPENAI_API_KEY")])
def test_a_fault_that_stays_stops_the_writing_and_is_gone_on_from(told, tmp_path, fault, part):
    log, ends = tmp_path / "log", []
    failing(told, fault, lambda number: number > 3 and not ends)
    message = error_of(write, at(told, retries=2), short(6), log, concurrency=1)
    assert part in message and "run again to go on" in message and len(read_rows(log)) == 3
    assert len(told.asked) == 4 + (0 if fault == 401 else 2), "and no more than that is sent"
    ends.append(True)
    before = len(told.asked)
    assert len(write(at(told), short(6), log)) == 6 and len(told.asked) == before + 3


def test_what_came_while_another_failed_is_kept(told, tmp_path):
    bad = "Tweet 3?"
    told.answer = lambda asked: (401, {}) if asked["prompt"] == bad else time.sleep(0.05) or "Yes."
    assert error_of(write, at(told), short(40), tmp_path / "log")
    answered = sum(asked["prompt"] != bad for asked in told.asked)
    assert len(read_rows(tmp_path / "log")) == answered < 12


# ---- what a server says is checked


def test_no_more_requests_are_under_way_than_allowed(told, tmp_path):
    told.answer = lambda asked: time.sleep(0.03) or "Yes."
    write(at(told), short(20), tmp_path / "log", concurrency=5)
    assert 1 < told.most <= 5


def test_another_template_is_noticed_before_a_row_is_kept(told, tmp_path):
    told.usage = lambda prompt: {"prompt_tokens": length(prompt) + 1, "completion_tokens": 5}
    message = error_of(write, at(told), short(9), tmp_path / "log")
    assert "a start token of its own" in message and not (tmp_path / "log").exists() and len(told.asked) == 1


def test_what_a_server_does_not_count_is_not_invented(told, tmp_path):
    told.usage, server = {}, at(told)
    found = write(server, short(3), tmp_path / "log")
    assert {each.tokens for each in found.values()} == {None} and server.uncounted == 3
    assert kept_replies(tmp_path / "log") == found


@pytest.mark.parametrize("reason, tokens, finished", [("stop", 4, True), ("content_filter", 5, False)])
def test_how_a_reply_ended(told, tmp_path, reason, tokens, finished):
    told.answer = lambda asked: {"content": "Yes", "finish_reason": reason}
    found, = write(at(told), short(1), tmp_path / "log").values()
    assert found == ("Yes", tokens, finished)


def test_a_limit_of_the_servers_own_is_noticed(told, tmp_path):
    told.answer = lambda asked: {"content": "Yes", "finish_reason": "length"}
    assert "cut a reply off at 5 tokens" in error_of(write, at(told), short(1), tmp_path / "log")
    told.usage = lambda prompt: {"prompt_tokens": length(prompt), "completion_tokens": 8}
    assert write(at(told), short(1), tmp_path / "log")["key 0"] == ("Yes", 8, False)


def test_the_way_to_ask_is_found_once(told, tmp_path):
    told.answer = lambda asked: (422, {"detail": "Unexpected fields: top_k"}) if "top_k" in asked else "Yes."
    write(at(told), short(6), tmp_path / "log")
    assert ["top_k" in asked for asked in told.asked] == [True, *[False] * 6]
    assert json.loads(told.asked[-1]["generation_config"]) == {"do_sample": True, "top_k": 20, "min_p": 0.0, "eos_token_id": [0, 2]}
    told.answer = lambda asked: (400, {"error": {"message": "unknown field"}})
    assert "asked in every way (fields, generation_config)" in error_of(write, at(told), short(1), tmp_path / "other")


def test_seeds_have_31_bits_and_differ(told, tmp_path):
    write(at(told), short(50), tmp_path / "log")
    seeds = {asked["seed"] for asked in told.asked}
    assert len(seeds) == 50 and min(seeds) >= 0 and max(seeds) < 2**31
    sent = told.asked[0]
    assert sent["top_k"] == 20 and sent["min_p"] == 0 and sent["add_special_tokens"] is False and sent["max_tokens"] == 8 and (sent["temperature"], sent["top_p"]) == (0.7, 0.8)


def test_llama_writes_in_no_other_models_name(llama, tmp_path):
    server = ChatServer(llama, "tuned", named=("base_url", "served_tuned"))
    message = error_of(write, server, short(2), tmp_path / "log", "smollm2", most=2)
    assert "asked for tuned and answers as SmolLM2" in message and "served_tuned" in message and "site-packages" not in message and not (tmp_path / "log").exists()


# ---- the stages

WAY = {"model": "tiny-qwen3", "engine": "openai", "max_new_tokens": 8, "tweets_max": 3}


@pytest.mark.parametrize("wrong, part", [
    ({}, "served_tuned must name"), ({"served_tuned": "m", "served_model": "m"}, "served_tuned must name"), ({"arms": ["base", "tuned_rag"]}, "arm tuned_rag"),
    ({"served_tuned": "t", "base_url": "http://me:secret@127.0.0.1/v1"}, "OPENAI_API_KEY"), ({"served_tuned": "t", "base_url": "http://127.0.0.1/v1?key=secret"}, "OPENAI_API_KEY"),
    ({"served_tuned": "t", "concurrency": 0}, "concurrency"), ({"engine": "vllm"}, "engine"),
])
def test_what_cannot_be_is_said_before_anything_is_sent(tmp_path, wrong, part):
    import yaml
    message = error_of(GenerateParams.read, WAY | wrong)
    assert part in message and "secret" not in message
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"05_generate": WAY | wrong}))
    message = error_of(read_params, tmp_path / "params.yaml")
    assert part in message and "secret" not in message


def test_without_tuned_arms_no_name_is_needed(told):
    generator, notes = generator_of(GenerateParams(**WAY, base_url=told.url, arms=["base", "null"]))
    assert generator.weights == served_label("m") and notes["served"] == {"url": told.url, "model": "m", "weights": UNSEEN}
    told.listing = ["m", "n"]
    assert "name one in served_model" in error_of(generator_of, GenerateParams(**WAY, base_url=told.url, arms=["base"]))
    assert "needs base_url" in error_of(generator_of, GenerateParams(**WAY, arms=["base"]))


def test_stage_05_through_a_server(told):
    run, made = sample_copy("05_generate"), dict(WAY, base_url=told.url, arms=["base", "null", "rag", "human"])
    generate_stage(GenerateParams(run=str(run.folder), **made))
    rows = {arm: [Generation.model_validate(row) for row in read_rows(run / replies_file(arm))] for arm in made["arms"]}
    assert {row.model for arm in ("base", "null", "rag") for row in rows[arm]} == {"openai m"} and all(row.tokens == 4 for row in rows["base"])
    assert all(one.prompt == two.prompt and one.reply != two.reply for one, two in zip(rows["base"], rows["null"]))
    section, asked = Run(run.folder).manifest()["05_generate"], len(told.asked)
    assert section["notes"]["served"]["weights"] == UNSEEN and section["models"]["weights"] == "openai m" and asked == 9
    before = {arm: (run / replies_file(arm)).read_bytes() for arm in made["arms"]}
    generate_stage(GenerateParams(run=str(run.folder), **made, concurrency=1))
    assert len(told.asked) == asked and before == {arm: (run / replies_file(arm)).read_bytes() for arm in made["arms"]}
    told.listing = ["n"]  # another model, another key
    generate_stage(GenerateParams(run=str(run.folder), **made))
    assert len(told.asked) == 2 * asked


@pytest.mark.slow
def test_the_tuned_arm_waits_for_its_adapter_and_nothing_is_trained_twice(serve, monkeypatch, tmp_path):
    from replytune import checks, train

    with between(serve) as middle:
        run, home = sample_copy("05_generate"), tmp_path / "tuned"
        way = dict(WAY, base_url=middle.url, served_model=find_model("tiny-qwen3"), served_tuned=str(home))
        generate_stage(GenerateParams(run=str(run.folder), **way))
        params = train.TrainParams(run=str(run.folder), max_steps=2, evaluate_steps=1, log_steps=1, accumulation=1, learning_rate=0.01)
        with pytest.raises(StageError, match="served_tuned|cannot find the model"): train.train_stage(params)
        assert (run / "adapter/adapter_model.safetensors").exists() and not (run / replies_file("tuned")).exists()
        base_and_adapter(Path(run / "adapter"), home)
        monkeypatch.setattr(train, "build_trainer", None)  # what was trained is trained
        train.train_stage(params)
        sent = len(middle.asked)
        train.train_stage(params)
        assert len(middle.asked) == sent
    replies = {arm: read_rows(run / replies_file(arm)) for arm in ("base", "null", "tuned")}
    label = {row["model"] for row in replies["tuned"]}.pop()
    assert label.startswith("openai tiny-qwen3+tuned, to hold ") and {row["model"] for row in replies["base"]} == {"openai tiny-qwen3"}
    assert UNSEEN in Run(run.folder).manifest()["06_train"]["notes"]["warnings"]

    class Given: primary, null = "tuned-base", "null-base"

    Given.replies = replies
    assert checks.tuned_is_base(Given) is None and checks.null_is_the_same(Given) is None and ARMS["tuned"].stage == "06_train"
