"""Memory and time as 06b estimates them, beside real steps of the trainer in float32, for two sizes of model on this processor.

    python nbs/bench/bench_budget.py                              # about three minutes
    python nbs/bench/bench_budget.py one SIZE BATCH LENGTH AGAIN  # one measurement, as JSON
"""
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from keeping import keep
from replytune.budget import batch_flops, memory_estimate, peak_memory, shape_of
from replytune.run import TOYS
from replytune.charts import quiet_libraries
from replytune.models import Precision, find_model, load_tokenizer
from replytune.train import TrainParams, build_trainer

FLOAT, STEPS, SCORED = Precision("none", "float32"), 4, 0.25


def config_of(size: str):
    quiet_libraries()
    from transformers import AutoConfig, Qwen3Config

    if size in TOYS: return AutoConfig.from_pretrained(find_model(size))
    hidden, layers, vocabulary = {"small": (256, 6, 32768), "middle": (512, 8, 32768)}[size]
    return Qwen3Config(
        hidden_size=hidden, intermediate_size=3 * hidden, num_hidden_layers=layers, num_attention_heads=8, num_key_value_heads=4,
        head_dim=hidden // 8, vocab_size=vocabulary, tie_word_embeddings=False,
    )


def rate(shape, positions: int) -> float:
    "Operations in a second of processor time, for a product of matrices as large as the model's own"
    import torch

    rows, matrix, seconds = torch.randn(positions, shape.hidden), torch.randn(shape.hidden, shape.inner), []
    for _ in range(15):
        started = time.process_time()
        rows @ matrix
        seconds.append(time.process_time() - started)
    return 2 * positions * shape.hidden * shape.inner / median(seconds)


def one(size: str, batch: int, length: int, again: bool) -> dict:
    "Bytes and seconds of a step, estimated and measured, in this process"
    import torch
    from transformers import AutoModelForCausalLM, TrainerCallback
    import trl  # noqa: F401  (so that its memory counts as the imports')

    config, shape = config_of(size), shape_of(config_of(size))
    params = TrainParams(batch_size=batch, accumulation=1, max_steps=STEPS, evaluate_steps=STEPS, gradient_checkpointing=again)
    ids = torch.randint(5, 500, (length,)).tolist()
    row = {"input_ids": ids, "labels": [-100] * int(length * (1 - SCORED)) + ids[int(length * (1 - SCORED)):]}
    tokenizer, speed, at = load_tokenizer("tiny-qwen3"), rate(shape, batch * length), []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_, **__): at.append(time.process_time())
        def on_step_end(self, *_, **__): at.append(time.process_time())

    def train(config, rows: list[dict], *callbacks):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        trainer = build_trainer(model, tokenizer, rows * batch * STEPS, rows, params, Path(tempfile.mkdtemp()))
        for callback in callbacks: trainer.add_callback(callback)
        trainer.train()

    train(config_of("tiny-qwen3"), [{name: ids[-8:] for name, ids in row.items()}])  # loads all that is loaded late
    gc.collect()
    before = resident()
    train(config, [row], Clock())
    told = memory_estimate(shape, params, FLOAT, length, SCORED, gpu=False)
    flops = batch_flops(shape, params, batch * length, length, batch * (length - 1))
    return {
        "estimated bytes": told["peak"], "measured bytes": peak_memory() - before, "parts": told,
        "estimated seconds": flops / speed, "measured seconds": median(at[i + 1] - at[i] for i in range(2, len(at), 2)), "rate": speed,
    }


def resident() -> int:
    "Bytes that this process holds now"
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measured(size: str, batch: int, length: int, again: bool) -> dict:
    "`one` in a process of its own, with freed memory given back at once"
    command = [sys.executable, __file__, "one", size, str(batch), str(length), str(int(again))]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    if ran.returncode: raise SystemExit(ran.stderr[-3000:])
    return json.loads(ran.stdout.splitlines()[-1])


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        size, batch, length, again = sys.argv[2:]
        print(json.dumps(one(size, int(batch), int(length), again == "1")))
        raise SystemExit
    for size, name in (("middle", "Qwen3 of 59M"), ("smollm2", "SmolLM2-135M")):
        for batch, length, again in ((4, 128, False), (4, 128, True), (1, 256, False)):
            found = measured(size, batch, length, again)
            case = f"{name}, {batch} × {length}{', checkpointed' if again else ''}"
            ratio = {what: found[f"estimated {what}"] / found[f"measured {what}"] for what in ("bytes", "seconds")}
            keep("06b_budget", f"memory, {case}", ratio["bytes"], "estimated / measured", f"{found['measured bytes'] / 1e6:.0f} MB measured")
            keep("06b_budget", f"time, {case}", 1 / ratio["seconds"], "measured / estimated", f"{found['measured seconds']:.2f} s of processor time a step; products at {found['rate'] / 1e9:.0f} GFLOPS")
