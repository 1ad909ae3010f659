"""How far an evaluation bends the gradients of four-bit training, with the guard of page 00h and without it.

    python nbs/bench/bench_traps.py
"""
import sys

import torch

import replytune.models
from keeping import keep
from replytune.files import resolve

sys.path.insert(0, str(resolve("nbs/tests")))
from gradients import cosines_over_an_evaluation

KERNEL = "bfloat16 instructions" if torch.cpu._is_avx512_bf16_supported() else "no bfloat16 instructions: no such kernel"

if __name__ == "__main__":
    for how in ("with the guard", "without it"):
        if how == "without it": replytune.models.keep_trainable_on_cpu = lambda model: model
        keep("blog: what went wrong", f"gradients after an evaluation, {how}", min(cosines_over_an_evaluation("nf4")), "cosine, the worst tensor", f"two-layer Qwen3, NF4; {KERNEL}")
