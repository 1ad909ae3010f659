"""What our trainer costs beside TRL's alone: steps by turns, so that whatever else the machine does meets both alike. Packed and unpacked rows.

    python nbs/bench/bench_train.py [steps] [packing]      # both without arguments, in some minutes
"""
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # processor time of one thread

import numpy
import torch

from keeping import keep
from replytune.budget import work
from replytune.charts import quiet_libraries
from replytune.models import Precision, load_model, load_tokenizer
from replytune.run import sample_rows
from replytune.schema import Pair
from replytune.train import TrainParams, build_trainer, training_rows

torch.set_num_threads(1)
PAIRS = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl") if row["split"] == "train"]
STEPS, PLAIN = 40, Precision("none", "float32")
PARAMS = TrainParams(max_steps=STEPS, accumulation=1, batch_size=4, evaluate_steps=STEPS, log_steps=1, learning_rate=1e-3)


def rows_of(params: TrainParams) -> list[dict]: return training_rows(load_tokenizer("smollm2"), PAIRS, params.max_length)[0]


def ours(folder: Path, params: TrainParams = PARAMS):
    tokenizer, rows = load_tokenizer("smollm2"), rows_of(params)
    return build_trainer(load_model("smollm2", PLAIN), tokenizer, rows, rows[:4], params, folder)


def bare(folder: Path):
    "The same training as TRL's own documentation would write it: no evaluation, no checkpoints, nothing of ours"
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer
    settings = SFTConfig(
        output_dir=str(folder), max_steps=STEPS, per_device_train_batch_size=4, gradient_accumulation_steps=1, max_length=512, learning_rate=1e-3, report_to="none",
        lr_scheduler_type="cosine_warmup_with_min_lr", lr_scheduler_kwargs={"min_lr_rate": 0.01}, warmup_steps=2, weight_decay=PARAMS.weight_decay, save_strategy="no",
        logging_steps=1, disable_tqdm=True, gradient_checkpointing=False, bf16=False, use_cpu=True, dataloader_pin_memory=False, seed=1, data_seed=1, optim=PARAMS.optimizer,
    )
    adapter = LoraConfig(r=PARAMS.rank, lora_alpha=PARAMS.alpha, lora_dropout=PARAMS.dropout, target_modules=PARAMS.target_modules, task_type="CAUSAL_LM")
    trainer = SFTTrainer(model=load_model("smollm2", PLAIN), args=settings, train_dataset=Dataset.from_list(rows_of(PARAMS)), processing_class=load_tokenizer("smollm2"), peft_config=adapter)
    trainer.remove_callback(PrinterCallback)
    return trainer


def turns(mine: threading.Semaphore, others: threading.Semaphore, seconds: list[float]):
    "A callback that waits for its turn before each step, and notes what a step took with all that follows it"
    from transformers import TrainerCallback

    class Turns(TrainerCallback):
        began = None

        def on_step_begin(self, args, state, control, **_):
            self.over()
            mine.acquire()
            self.began = time.process_time()

        def over(self):
            if self.began is None: return
            seconds.append(time.process_time() - self.began)
            others.release()

        def on_train_end(self, args, state, control, **_): self.over()

    return Turns()


def steps():
    quiet_libraries()
    gates, took = [threading.Semaphore(1), threading.Semaphore(0)], {"ours": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        trainers = [ours(Path(folder, "ours")), bare(Path(folder, "bare"))]
        trainers[0].add_callback(turns(gates[0], gates[1], took["ours"]))
        trainers[1].add_callback(turns(gates[1], gates[0], took["bare"]))
        trainers[0].args.eval_on_start = False
        from transformers.trainer_utils import IntervalStrategy
        trainers[0].args.eval_strategy = trainers[0].args.save_strategy = IntervalStrategy.NO
        trainers[0].args.load_best_model_at_end = False
        threads = [threading.Thread(target=trainer.train) for trainer in trainers]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    a, b = (numpy.array(took[name][2:]) for name in ("ours", "bare"))  # the first steps make room in memory
    ratios, chance = a / b, numpy.random.default_rng(1)
    low, high = numpy.quantile([numpy.median(chance.choice(ratios, len(ratios))) for _ in range(5000)], [0.025, 0.975])
    about = f"95 % interval {low:.3f} to {high:.3f}; {len(ratios)} pairs of steps by turns, {numpy.median(a):.2f} s of one thread against {numpy.median(b):.2f}; smollm2, batch 4"
    keep("06_train", "a step of stage 06 against a bare TRL loop", float(numpy.median(ratios)), "times as long", about)
    prompt, reply = (sum(sum((label == -100) is out for label in row["labels"]) for row in rows_of(PARAMS)) for out in (True, False))
    batches = list(trainers[0].get_train_dataloader())
    lost = sum(int(((batch["labels"] != -100).sum())) for batch in batches)
    keep("06_train", "prompt tokens that carry a loss", float(lost - reply), "", f"of {prompt:,}; {reply:,} reply tokens do, in {len(batches)} batches")


def packing():
    tokenizer, found = load_tokenizer("smollm2"), {}
    for name, packed in (("one pair a row", False), ("packed", True)):
        params = PARAMS.model_copy(update={"packing": packed, "max_steps": 4, "evaluate_steps": 4, "batch_size": 1 if packed else 4})
        done = work(PAIRS, params, tokenizer)
        with tempfile.TemporaryDirectory() as folder:
            trainer = ours(Path(folder), params)
            rows = [row for batch, _ in zip(trainer.get_train_dataloader(), range(4)) for row in [batch]]
            tokens = sum(int((batch["attention_mask"] if "attention_mask" in batch else torch.ones_like(batch["input_ids"])).sum()) for batch in rows)
            trainer.model.train()
            trainer.current_gradient_accumulation_steps = 1
            started = time.process_time()
            for batch in rows: trainer.training_step(trainer.model, {part: value.clone() if hasattr(value, "clone") else value for part, value in batch.items()})
            found[name] = tokens / (time.process_time() - started)
        keep("06_train", f"{name}: padding", 100 * done["padding share"], "%", f"{done['rows']} pairs of {done['mean tokens']:.0f} tokens on average; batch {params.batch_size}, max_length {params.max_length}")
    keep("06_train", "packed against one pair a row", found["packed"] / found["one pair a row"], "times the tokens a second", f"{found['packed']:.0f} against {found['one pair a row']:.0f} of one thread; smollm2, float32")


if __name__ == "__main__":
    for name in sys.argv[1:] or ["steps", "packing"]: globals()[name]()
