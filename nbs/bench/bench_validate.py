"""Validating: cheap filters per second; the whole stage against scoring every row singly with all models; batching alone at Detoxify's real size (random weights)."""
import random
import sys
import tempfile
import time
from pathlib import Path

from keeping import keep
from replytune.schema import Pair, resolve, sample_rows
from replytune.validate import ValidateParams, cheap_reasons, decide, english_probability, measure, measure_cheaply, toxicity_model

sys.path.insert(0, str(resolve("nbs/tests")))
from tiny_detoxify import make_detoxify

BASE = dict(layers=12, hidden=768, heads=12)  # BERT base, as Detoxify's "original"


def timed(function, *arguments) -> tuple[float, object]:
    started = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - started, result


def as_collected(pairs: list[Pair], count: int) -> list[Pair]:
    "The sample's replies under other ids, with the likes of raw collections: seven in ten replies were liked less than twice"
    chance = random.Random(1)
    rows = []
    for number in range(count):
        pair = pairs[number % len(pairs)]
        changes = {"reply_id": str(10**15 + number)} | ({"reply_likes": chance.randrange(2)} if chance.random() < 0.7 else {})
        rows.append(pair.model_copy(update=changes))
    return rows


def singly(pairs: list[Pair], bounds: ValidateParams, model) -> list:
    "Every row by itself, with all models"
    return [decide(measure_cheaply(pair)._replace(**{"english": round(english_probability(pair.reply), 3), "toxicity": round(model([pair.reply])[0], 3)}), bounds) for pair in pairs]


if __name__ == "__main__":
    sample, bounds = [Pair.model_validate(row) for row in sample_rows("pairs.jsonl")], ValidateParams()
    many = as_collected(sample, 50_000)
    best = min(timed(lambda: [cheap_reasons(measure_cheaply(pair), bounds) for pair in many])[0] for _ in range(3))
    keep("02_validate", "cheap filters, measured and decided", len(many) / best, "pairs/s")

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = make_detoxify(Path(folder), [pair.reply for pair in sample], **BASE)
        bounds = ValidateParams(toxicity_backend="detoxify", toxicity_checkpoint=str(checkpoint), toxicity_config=folder, toxicity_max=1.0)
        model, few = toxicity_model("detoxify", str(checkpoint), folder), as_collected(sample, 690)
        texts = sorted({pair.reply for pair in few}, key=len)[::2]
        model(texts[:64])  # warm-up
        one, scores = timed(lambda: [model([text])[0] for text in texts])
        batched, same = timed(lambda: [score for start in range(0, len(texts), 64) for score in model(texts[start : start + 64])])
        assert max(abs(a - b) for a, b in zip(scores, same)) < 1e-4
        keep("02_validate", "toxicity at Detoxify's size, batches of 64 by length", one / batched, "times one by one", f"{len(texts) / batched:.0f} against {len(texts) / one:.0f} texts/s, random weights, {len(texts)} texts")
        slow, decisions = timed(singly, few, bounds, model)
        stage, measures = timed(measure, few, bounds, Path(folder) / "cache")
        kept = [not decide(found, bounds) for found in measures]
        assert kept == [not reasons for reasons in decisions]
        again, _ = timed(measure, few, bounds, Path(folder) / "cache")
        keep("02_validate", "the whole stage on pairs as collected", slow / stage, "times every row singly with all models", f"{len(few)} pairs, of which {sum(kept)} are kept; decisions identical")
        keep("02_validate", "the whole stage a second time", slow / again, "times every row singly with all models", "scores from the cache")
