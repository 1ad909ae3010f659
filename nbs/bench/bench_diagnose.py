"Trains the small model wrongly on purpose, and keeps what `diagnose` reads of each run. A pipeline check."
import argparse
import json
import tempfile
from pathlib import Path

import torch

from replytune.curves import loss_rows
from replytune.files import resolve, write_text
from replytune.generate import build_prompt
from replytune.learned import loss_measures, tweet_losses
from replytune.measures import MeasureParams, measures_json
from replytune.models import Precision, load_model, load_tokenizer
from replytune.run import sample_rows
from replytune.schema import Pair
from replytune.train import TrainParams, build_trainer, training_rows
from replytune.writing import turn_end

SHAPE = {
    "max_steps": 0, "batch_size": 4, "accumulation": 1, "rank": 8, "dropout": 0.0, "max_length": 256,
    "log_steps": 1, "warmup_share": 0.0,
}
PLANTED = {  # name: train pairs, one reply for all, parameters
    "too_hot": (12, False, {"learning_rate": 0.2, "epochs": 1, "evaluate_steps": 1}),
    "one_reply": (16, True, {"learning_rate": 0.003, "epochs": 2, "evaluate_steps": 4}),
    "too_long": (4, False, {"learning_rate": 0.003, "epochs": 16, "evaluate_steps": 4}),
    "too_short": (12, False, {"learning_rate": 0.0002, "epochs": 1, "evaluate_steps": 1}),
}


def panel_replies(model, tokenizer, pairs: list[Pair], most: int = 16) -> list[dict]:
    "A greedy reply to each tweet of the panel, and whether it came to its end"
    end, rows = turn_end(tokenizer), []
    model.eval()
    for pair in pairs:
        prompt = tokenizer(
            build_prompt(tokenizer, pair.tweet), add_special_tokens=False, return_tensors="pt"
        )
        with torch.no_grad():
            out = model.generate(
                **prompt, max_new_tokens=most, do_sample=False, eos_token_id=end, pad_token_id=end,
                use_cache=True,
            )
        made = out[0, prompt["input_ids"].shape[1]:].tolist()
        text = tokenizer.decode(made, skip_special_tokens=True).strip()
        rows.append({"tweet_id": pair.tweet_id, "reply": text, "tokens": len(made), "finished": end in made})
    return rows


def plant(name: str, target: Path, seed: int = 1):
    "Make one of `PLANTED` and store its log, panel and losses in `target`"
    count, one_reply, more = PLANTED[name]
    known = [Pair.model_validate(row) for row in sample_rows("reviewed.jsonl")]
    order = sorted(known, key=lambda pair: (len(pair.tweet) + len(pair.reply), pair.reply_id))
    train = [pair for pair in order if pair.split == "train"][:count]
    if one_reply: train = [pair.model_copy(update={"reply": train[0].reply}) for pair in train]
    dev = list({pair.tweet_id: pair for pair in order[::-1] if pair.split == "dev"}.values())[:13]
    params = TrainParams(**SHAPE | more, seed=seed)
    precision, tokenizer, panel = Precision("none", "float32"), load_tokenizer("smollm2"), []
    train_rows, _ = training_rows(tokenizer, train, params.max_length)
    dev_rows, _ = training_rows(tokenizer, dev, params.max_length)
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(
            load_model("smollm2", precision), tokenizer, train_rows, dev_rows, params, Path(folder)
        )
        base = {"base": tweet_losses(trainer.model, tokenizer, dev)}  # the new adapter changes nothing yet
        write = lambda step: panel.extend(
            {"step": step, **row} for row in panel_replies(trainer.model, tokenizer, dev)
        )
        write(0)
        trainer.args.save_strategy, trainer.args.load_best_model_at_end = "no", False
        trainer.train()
        write(trainer.state.global_step)
        losses = base | {"tuned": tweet_losses(trainer.model, tokenizer, dev)}
    rows = loss_rows(trainer.state.log_history)
    norms = {row["step"]: row for row in trainer.state.log_history if "grad_norm" in row}
    for row in rows:
        if "train" in row:
            row["gradient_norm"] = norms[row["step"]]["grad_norm"]
            row["learning_rate"] = norms[row["step"]]["learning_rate"]
    lines = lambda rows: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_text(target / "training_log.jsonl", lines(rows))
    write_text(target / "panel.jsonl", lines(panel))
    learned = {
        "tweets": len(dev), "replies": len(dev), "losses": measures_json(loss_measures(losses)),
        "parameters": MeasureParams().model_dump(include={"confidence", "resamples", "batch_size", "seed"}),
    }
    try: written = json.dumps(learned, indent=1, allow_nan=False)
    except ValueError: written = json.dumps({"unavailable": "a loss is no number"})
    write_text(target / "learned.json", written + "\n")
    told = {"parameters": params.model_dump(mode="json", exclude={"run"}), "steps": trainer.state.global_step}
    told |= {"train_pairs": len(train), "train_replies": sorted({pair.reply for pair in train})}
    write_text(target / "planted.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("names", nargs="*", default=list(PLANTED))
    asked.add_argument("--into", default="nbs/results/planted")
    asked.add_argument("--seed", type=int, default=1)
    given = asked.parse_args()
    for name in given.names:
        plant(name, resolve(given.into) / name, given.seed)
        print(name, flush=True)
