"""Validating: cheap filters per second; the whole stage against scoring every row singly with all models; batching alone at Detoxify's real size (random weights)."""
import random
import sys
import tempfile
import time
from pathlib import Path

from keeping import keep
from replytune.schema import Pair
from replytune.files import resolve
from replytune.run import sample_rows
from replytune.text import without_hidden
from replytune.validate import ValidateParams, decide, english_probability, measure, measure_cheaply, personal_data, reasons_without_models, toxicity_model

sys.path.insert(0, str(resolve("nbs/tests")))
from tiny_detoxify import make_detoxify

BASE = dict(layers=12, hidden=768, heads=12)  # BERT base, as Detoxify's "original"


def timed(function, *arguments) -> tuple[float, object]:
    started = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - started, result


# likes of the 135 replies in the two real collections at hand (one of a search, one of a conversation); `None`: five or more
LIKES = [0] * 95 + [1] * 13 + [2] * 3 + [3] * 3 + [4] * 2 + [None] * 19


def as_collected(pairs: list[Pair], count: int, likes: list[int | None]) -> list[Pair]:
    "The sample's replies under other ids; likes drawn from `likes`, where `None` leaves a pair's own"
    chance, rows = random.Random(1), []
    for number in range(count):
        drawn = chance.choice(likes)
        changes = {"reply_id": str(10**15 + number)} | ({} if drawn is None else {"reply_likes": drawn})
        rows.append(pairs[number % len(pairs)].model_copy(update=changes))
    return rows


def singly(pairs: list[Pair], bounds: ValidateParams) -> list:
    "Every row by itself, with all models; loading them counts, as it does for the stage"
    model = toxicity_model(bounds.toxicity_backend, bounds.toxicity_checkpoint, bounds.toxicity_config)
    return [decide(measure_cheaply(pair)._replace(**{"english": round(english_probability(pair.reply), 3), "toxicity": round(model([pair.reply])[0], 3)}), bounds) for pair in pairs]


HOSTILE = ["123 " * 6250, "A-" * 12_500 + "1", "1-" * 12_500, "(" * 25_000, "a@" * 12_500, "a@" + "a." * 12_500, "call me on " * 2500, "9" * 25_000, "\ufe0f" * 25_000, "1 Aa " * 5000]


def growth(text: str) -> float:
    "How much longer a text takes than its first tenth: linear is 10, quadratic 100; no less than a millisecond is counted"
    short, whole = (min(timed(lambda: personal_data(without_hidden(some)))[0] for _ in range(5)) for some in (text[:2500], text))
    return whole / max(short, 1e-3)


def keep_growth():
    worst = max(map(growth, HOSTILE))
    keep("02_validate", "personal data in 25,000 hostile letters, the slowest of ten texts", worst, "times as long as in 2,500", "linear is 10, quadratic 100")
    assert worst < 40


if __name__ == "__main__":
    keep_growth()
    sample, bounds = [Pair.model_validate(row) for row in sample_rows("pairs.jsonl")], ValidateParams()
    many = as_collected(sample, 50_000, LIKES)
    best = min(timed(lambda: [list(reasons_without_models(measure_cheaply(pair), bounds)) for pair in many])[0] for _ in range(3))
    keep("02_validate", "cheap filters, measured and decided", len(many) / best, "pairs/s")

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = make_detoxify(Path(folder), [pair.reply for pair in sample], **BASE)
        bounds = ValidateParams(toxicity_backend="detoxify", toxicity_checkpoint=str(checkpoint), toxicity_config=folder, toxicity_max=1.0)
        model, few = toxicity_model("detoxify", str(checkpoint), folder), as_collected(sample, 690, LIKES)
        texts = sorted({pair.reply for pair in sample}, key=len)[::2]
        model(texts[:64])  # warm-up
        one, scores = timed(lambda: [model([text])[0] for text in texts])
        batched, same = timed(lambda: [score for start in range(0, len(texts), 64) for score in model(texts[start : start + 64])])
        assert max(abs(a - b) for a, b in zip(scores, same)) < 1e-4
        keep("02_validate", "toxicity at Detoxify's size, batches of 64 by length", one / batched, "times one by one", f"{len(texts) / batched:.0f} against {len(texts) / one:.0f} texts/s, random weights, {len(texts)} texts")
        for what, likes in (("likes as in two real collections", LIKES), ("pairs that people liked, all of them", [None])):
            few, cache = as_collected(sample, 690, likes), Path(folder) / f"cache{len(likes)}"
            slow, decisions = timed(singly, few, bounds)
            stage, measures = timed(measure, few, bounds, cache)
            kept = [not decide(found, bounds) for found in measures]
            assert kept == [not reasons for reasons in decisions]
            keep("02_validate", f"the whole stage, {what}", slow / stage, "times every row singly with all models", f"{len(few)} pairs, of which {sum(kept)} are kept; decisions identical")
        again, _ = timed(measure, few, bounds, cache)
        keep("02_validate", "the whole stage a second time", slow / again, "times every row singly with all models", "scores from the cache")
