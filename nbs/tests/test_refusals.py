"""What stage 06 refuses, each as one clear error before a model is loaded."""
import shutil
from pathlib import Path

import pytest

from replytune.schema import Pair, StageError
from replytune.budget import parameter_counts, shape_of
from replytune.files import to_lines, write_text
from replytune.models import Precision, find_model
from replytune.refusals import APART, WRONG, checkpoint_bytes, disk_needed, linear_layers, refuse, refuse_disk, refuse_model, refuse_tested, answer_to
from replytune.run import sample_rows
from replytune.split import SEALS, test_tweets as tweets_of
from replytune.train import TrainParams, train_adapter

PAGES = "06f"

PAIRS = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]
PLAIN = Precision("none", "float32")


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.what)
def test_it_is_refused_with_its_value_and_a_way_out_before_a_model_is_loaded(wrong, tmp_path):
    answer = answer_to(wrong, tmp_path)
    assert wrong.value in answer and wrong.fix in answer and len(answer) < 700 and "Traceback" not in answer


def test_there_are_as_many_as_the_page_says():
    assert len(WRONG) >= 30 and len({wrong.what for wrong in WRONG}) == len(WRONG)


def test_what_is_right_is_not_refused_and_would_load_the_model(tmp_path, monkeypatch):
    "The proof that a model would have been loaded can fail: without anything wrong it does"
    refuse(TrainParams(packing=True, optimizer="paged_adamw_8bit"), "tiny-qwen3", PLAIN, PAIRS)
    right = WRONG[0]._replace(call=lambda folder: train_adapter(TrainParams(), "tiny-qwen3", PLAIN, PAIRS, folder / "a", folder / "b"))
    with pytest.raises(AssertionError, match="would have been loaded"): answer_to(right, tmp_path)


def test_every_shard_that_the_index_names_must_be_there(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(find_model("tiny-qwen3"), folder)
    shutil.move(folder / "model.safetensors", folder / "model-1.safetensors")
    index = folder / "model.safetensors.index.json"
    write_text(index, '{"weight_map": {"a": "model-1.safetensors"}}')
    refuse_model(str(folder), TrainParams(), PLAIN)
    write_text(index, '{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}')
    with pytest.raises(StageError, match=r"lacks 1 of 2 shards \(model-2.safetensors\); fetch it again"): refuse_model(str(folder), TrainParams(), PLAIN)


def test_a_measured_test_tweet_is_refused_in_dev_as_well_and_one_s_own_test_split_is_not(tmp_path):
    write_text(tmp_path / SEALS, to_lines([{"test": tweets_of(PAIRS), "run": "mine"}]))
    refuse_tested(PAIRS, tmp_path)
    moved = [pair.model_copy(update={"split": {"dev": "test", "test": "dev"}.get(pair.split, pair.split)}) for pair in PAIRS]
    with pytest.raises(StageError, match="dev tweets were test tweets, and mine was measured"): refuse_tested(moved, tmp_path)


def test_the_disk_is_counted_from_the_configuration_and_grows_with_all_it_depends_on(tmp_path, monkeypatch):
    layers, params = linear_layers("tiny-qwen3"), TrainParams()
    assert checkpoint_bytes(layers, params) == 12 * parameter_counts(shape_of("tiny-qwen3"))["adapter"]
    change = lambda **more: disk_needed(layers, params.model_copy(update=more))
    assert change(rank=32) == 2 * change() and change(optimizer="adamw_8bit") == change() / 2 and change(dora=True) > change()
    assert change(checkpoints_kept=9) == change() * 11 / 5 and change(target_modules=["q_proj"]) < change() / 5
    model = Path(find_model("tiny-qwen3"))
    needed = disk_needed(layers, params, sum(file.stat().st_size for file in [*model.glob("tokenizer*"), *model.glob("*.jinja")]))
    room = type("Room", (), {"free": needed})
    monkeypatch.setattr("replytune.refusals.shutil.disk_usage", lambda place: room)
    refuse_disk(tmp_path / "not/yet/there", "tiny-qwen3", params)
    room.free = needed - 1
    with pytest.raises(StageError, match="3 checkpoints of rank 16 need 0.0 GB and 0.0 GB are free: lower checkpoints_kept"): refuse_disk(tmp_path, "tiny-qwen3", params)


def test_the_families_are_those_that_keep_packed_pairs_apart(tmp_path):
    from transformers import AutoConfig

    from replytune.refusals import mixed

    small = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    for kind in APART:
        for attention in ("sdpa", "eager"):
            config = AutoConfig.for_model(kind, **small)
            config._attn_implementation = attention
            assert mixed(config) < 1e-6, (kind, attention)
    assert mixed(AutoConfig.for_model("mamba", hidden_size=32, num_hidden_layers=2, vocab_size=64, state_size=8)) > 1e-4
