"""What a training takes, held against what really happens: TRL's packing, the trainer's steps, PEFT's modules, bytes of 4-bit weights, a process's peak."""
import json
import random
import sys

import pytest

from replytune.schema import Pair, StageError
from replytune.files import resolve
from replytune.run import sample_rows
from replytune.models import Precision, find_model, load_model, load_tokenizer
from replytune.train import PROJECTIONS, TrainParams, build_trainer
from replytune.budget import (
    CARDS, FOUNDING, NF4_TABLES, adapted, batch_flops, budget, memory_estimate, packed, padding_share, parameter_counts, problems,
    schedule, shape_of, token_bytes, weight_bytes, work_of,
)

PAGES = "06b"
NF4, FLOAT = Precision("nf4", "bfloat16"), Precision("none", "float32")


@pytest.fixture(scope="module")
def pairs() -> list[Pair]: return [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]


@pytest.mark.parametrize("seed", range(5))
def test_packs_as_trl_does(seed):
    from datasets import Dataset
    from trl import pack_dataset

    drawn = random.Random(seed)
    lengths = [drawn.randint(1, 200) for _ in range(drawn.randint(1, 300))]
    theirs = pack_dataset(Dataset.from_dict({"input_ids": [[1] * length for length in lengths]}), 256, "bfd")
    assert sorted(packed(lengths, 256)) == sorted(len(row) for row in theirs["input_ids"])


def test_padding_is_what_a_collator_adds():
    assert padding_share([7] * 10, 4) == 0 and padding_share([3, 9, 4], 1) == 0
    assert padding_share([2, 10], 2) == pytest.approx(1 - 12 / 20)  # one batch, however shuffled
    assert padding_share([2, 4, 10], 3) == pytest.approx(1 - 16 / 30)
    mixed = [2, 10] * 200  # two of a kind meet in half of all batches
    assert padding_share(mixed, 2) == pytest.approx(1 - 6 / (0.25 * 2 + 0.75 * 10), abs=0.02)


@pytest.mark.parametrize("rows, changes", [
    (21, {"batch_size": 2, "accumulation": 3, "epochs": 1.5}),
    (16, {"batch_size": 4, "accumulation": 4, "epochs": 3.0}),
    (9, {"batch_size": 4, "accumulation": 1, "epochs": 5.0, "max_steps": 7}),
])
def test_the_trainer_makes_as_many_steps_and_evaluations(rows, changes, tmp_path):
    params = TrainParams(**{"max_steps": 0, "patience": 50} | changes)
    planned, tokenizer = schedule(rows, params), load_tokenizer("tiny-qwen3")
    row = {"input_ids": [5, 6, 7, 8], "labels": [-100, 6, 7, 8]}
    trainer = build_trainer(load_model("tiny-qwen3", FLOAT), tokenizer, [row] * rows, [row], params, tmp_path)
    trainer.train()
    assert trainer.state.global_step == planned["steps"]
    looked = {log["step"] for log in trainer.state.log_history if any(name.endswith("loss") and name.startswith("eval") for name in log)}
    assert sorted(looked - {0}) == planned["evaluated at"]  # before the first step there may be one, too


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_patience_needs_one_evaluation_more_and_one_step_behind_it(patience):
    from transformers import EarlyStoppingCallback, TrainerControl, TrainerState, TrainingArguments

    stopping, control, state = EarlyStoppingCallback(patience, 0.01), TrainerControl(), TrainerState()
    arguments, evaluations = TrainingArguments("unused", metric_for_best_model="eval_loss", greater_is_better=False, use_cpu=True), 0
    while not control.should_training_stop:
        evaluations += 1
        stopping.on_evaluate(arguments, state, control, metrics={"eval_loss": 1.0})
        state.best_metric = 1.0  # as the trainer notes it after the first evaluation
    params = TrainParams(patience=patience, evaluate_steps=1, warmup_share=0, max_steps=evaluations + 1)
    assert problems(work_of([9] * 999, [3] * 999, params), params) == []
    fewer = params.model_copy(update={"max_steps": evaluations})  # it would fire when all is done
    assert "cannot fire" in problems(work_of([9] * 999, [3] * 999, fewer), fewer)[0]


@pytest.mark.parametrize("changes, said", [
    ({"warmup_share": 0.999}, "the warm-up takes 100 of 100 steps"),
    ({"max_steps": 10}, "10 steps have 1, 0 of them before it; lower evaluate_steps from 50 to 2"),
    ({}, "100 steps have 2, 1 of them before it; lower evaluate_steps from 50 to 20"),
    ({"evaluate_steps": 25}, "100 steps have 4, 3 of them before it"),
    ({"max_steps": 3, "evaluate_steps": 1}, "3 steps have 3, 2 of them before it; train longer"),
])
def test_what_cannot_work_is_said(changes, said):
    params = FOUNDING.model_copy(update=changes)
    assert any(said in problem for problem in problems(work_of([99] * 800, [9] * 800, params), params))


def test_a_way_out_is_one():
    better = FOUNDING.model_copy(update={"evaluate_steps": 20})
    assert problems(work_of([99] * 800, [9] * 800, better), better) == [] and 20 % FOUNDING.log_steps == 0


@pytest.mark.parametrize("model", ["tiny-qwen3", "smollm2"])
def test_counts_are_those_of_the_real_model(model):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        real = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(find_model(model)))
        total = sum(parameter.numel() for parameter in real.parameters())
        real = get_peft_model(real, LoraConfig(r=8, target_modules=PROJECTIONS))
    counts = parameter_counts(shape_of(model), 8)
    assert total == counts["projections"] + counts["embeddings"] + counts["head"] + counts["norms"]
    assert counts["adapter"] == sum(parameter.numel() for parameter in real.parameters() if parameter.requires_grad)
    assert counts["modules"] == sum(hasattr(module, "lora_A") for module in real.modules())


def test_fewer_projections_cost_less():
    "Whatever name the parameters give the projections by; all seven without one"
    from types import SimpleNamespace

    few = SimpleNamespace(**TrainParams().model_dump() | {"target_modules": ["q_proj", "v_proj"]})
    shape = shape_of("Qwen/Qwen3-8B")
    assert parameter_counts(shape, 16, adapted(few))["adapter"] == 7_667_712  # as transformers and PEFT count it
    assert adapted(TrainParams()) == PROJECTIONS and token_bytes(shape, few, NF4) < token_bytes(shape, TrainParams(), NF4)


def test_the_published_shape_is_that_of_the_configuration():
    from transformers import Qwen3Config

    config = Qwen3Config(
        hidden_size=4096, intermediate_size=12288, num_hidden_layers=36, num_attention_heads=32, num_key_value_heads=8,
        head_dim=128, vocab_size=151936, tie_word_embeddings=False,
    )
    assert shape_of(config) == shape_of("Qwen/Qwen3-8B")


def test_four_bit_weights_take_the_bytes_that_bitsandbytes_stores():
    import bitsandbytes

    model, size = load_model("tiny-qwen3", Precision("nf4", "float32")), lambda tensor: tensor.numel() * tensor.element_size()
    stored = sum(map(size, model.parameters()))
    for module in model.modules():
        if not isinstance(module, bitsandbytes.nn.Linear4bit): continue
        state = module.weight.quant_state
        stored += sum(map(size, (state.code, state.absmax, state.offset, state.state2.absmax, state.state2.code)))
    ours = weight_bytes(shape_of("tiny-qwen3"), Precision("nf4", "float32"))
    assert ours == pytest.approx(stored, rel=0.001) and stored > NF4_TABLES * 14


@pytest.mark.parametrize("model, said", [("nbs", "cannot be read"), ("nowhere/at-all", "cannot be read")])
def test_a_model_without_configuration_is_named(model, said):
    with pytest.raises(StageError, match=said): shape_of(model)


def test_another_family_is_refused():
    from transformers import GPT2Config

    with pytest.raises(StageError, match="'gpt2' models is not known"): shape_of(GPT2Config())


def test_what_costs_memory_does():
    base = TrainParams(batch_size=4, gradient_checkpointing=False, max_length=512)
    peak = lambda precision=NF4, **changes: memory_estimate("Qwen/Qwen3-8B", base.model_copy(update=changes), precision)["peak"]
    assert peak() > peak(gradient_checkpointing=True) and peak(batch_size=8) > peak() > peak(max_length=256)
    assert peak(rank=64) > peak() > peak(dropout=0.0) and peak(optimizer="adamw_8bit") < peak()
    assert peak(Precision("none", "float32")) > peak(Precision("none", "bfloat16")) > peak()
    shape = shape_of("Qwen/Qwen3-8B")
    assert token_bytes(shape, base, FLOAT, gpu=False) > token_bytes(shape, base, FLOAT)
    assert batch_flops(shape, base, 100, 100, 10) < batch_flops(shape, base.model_copy(update={"gradient_checkpointing": True}), 100, 100, 10)


def test_the_whole_is_json_and_knows_its_splits(pairs):
    tokenizer = load_tokenizer("smollm2")
    told = json.loads(json.dumps(budget(pairs, FOUNDING, tokenizer, "smollm2", FLOAT, strict=False), allow_nan=False))
    assert told["work"]["rows"] == sum(pair.split == "train" for pair in pairs) and len(told["cards"]) == len(CARDS)
    assert told["memory"]["peak"] == pytest.approx(sum(size for part, size in told["memory"].items() if part != "peak"))
    assert all(15 <= row["minutes"][0] <= row["minutes"][1] and row["dollars"][0] < row["dollars"][1] for row in told["cards"])
    with pytest.raises(StageError, match="cannot fire"): budget(pairs, FOUNDING, tokenizer, "smollm2", FLOAT)


def test_nothing_that_fits_is_an_error_with_the_numbers(pairs):
    huge = FOUNDING.model_copy(update={"batch_size": 512, "gradient_checkpointing": False, "accumulation": 1, "evaluate_steps": 1})
    many = [pair for pair in pairs if pair.split == "train"] * 6
    with pytest.raises(StageError, match=r"peak of \d+ GB fits into no card .* lower batch_size from 512"):
        budget(many, huge, load_tokenizer("smollm2"), "Qwen/Qwen3-8B")


def test_no_pair_that_is_short_enough(pairs):
    with pytest.raises(StageError, match="max_length 16"):
        budget(pairs, FOUNDING.model_copy(update={"max_length": 16}), load_tokenizer("smollm2"), "smollm2")


@pytest.mark.parametrize("again", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_a_process_takes_the_memory_that_was_estimated(again):
    "On a size of its own; two larger ones are in the bench"
    sys.path.insert(0, str(resolve("nbs/bench")))
    from bench_budget import measured

    found = measured("small", 2, 96, again == "1")
    assert found["estimated bytes"] == pytest.approx(found["measured bytes"], rel=0.1)
