"""Near copies: blocked matrix products against pairwise loops at 10,000; 100,000 beside SemHash, with the recall of both; the audit of 10,000 pairs."""
import itertools
import resource
import time

import numpy

from keeping import keep
from replytune.vectors import Vectors, components, near_blocks, near_pairs
from replytune.split import audit_split
from replytune.schema import Pair
from replytune.run import sample_rows

DIMENSIONS, BOUND = 384, 0.9


def timed(function, *arguments) -> tuple[float, object]:
    started = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - started, result


def texts_with_copies(count: int, copies: int):
    "Unit vectors of random directions, of which the last `copies` are near copies of the first"
    generator = numpy.random.default_rng(1)
    vectors = generator.normal(size=(count, DIMENSIONS)).astype("float32")
    vectors[-copies:] = vectors[:copies] + generator.normal(scale=0.35, size=(copies, DIMENSIONS))
    return vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)


def loop(vectors, similarity) -> set[tuple[int, int]]:
    "Every pair by itself"
    return {(one, other) for one, other in itertools.combinations(range(len(vectors)), 2) if similarity(vectors[one], vectors[other]) > BOUND}


def plain_python(one, other) -> float: return sum(a * b for a, b in zip(one, other))


def by_sklearn(one, other) -> float:
    from sklearn.metrics.pairwise import cosine_similarity
    return float(cosine_similarity(one[None], other[None])[0, 0])


def against_loops():
    vectors = texts_with_copies(10_000, 300)
    blocked, found = min((timed(near_pairs, vectors, BOUND) for _ in range(3)), key=lambda run: run[0])
    few = numpy.concatenate([vectors[:100], vectors[-300:-200]])
    per_pair = blocked / (len(vectors) * (len(vectors) - 1) / 2)
    assert len(found) == 300
    keep("03_clean", "near copies among 10,000 replies", blocked, "s", "exact, all 300 planted ones found")
    for name, similarity, rows in (("a loop of numpy.dot", numpy.dot, few), ("a loop in plain Python", plain_python, few.tolist()), ("a loop of sklearn calls, as in the founding sketch", by_sklearn, few[50:150])):
        seconds, same = timed(loop, rows, similarity)
        if len(rows) == len(few): assert same == {pair[:2] for pair in near_pairs(few, BOUND)}
        keep("03_clean", f"near copies among 10,000, against {name}", seconds / (len(rows) * (len(rows) - 1) / 2) / per_pair, "times the pairs per second", f"loop timed on {len(rows)} texts")


def beside_semhash():
    try:
        from semhash import SemHash
    except ImportError:
        return print("100,000 beside SemHash: not run; pip install semhash==0.5.0 first")
    vectors = texts_with_copies(100_000, 3_000)
    ours, groups = timed(components, len(vectors), near_blocks(vectors, BOUND))
    dropped = {place for place, group in enumerate(groups) if place != group}
    truth = set()  # brute force with another product: every row against all earlier ones, in double precision
    for place in range(97_000, 100_000):
        if (vectors[:place] @ vectors[place].astype("float64") > BOUND).any(): truth.add(place)

    class Stored:  # SemHash wants an encoder; this one hands out the vectors that are there already
        def encode(self, inputs, **_): return vectors[[int(text) for text in inputs]]
    names = [str(number) for number in range(len(vectors))]

    def semhash():
        hashed = SemHash.from_records(records=names, model=Stored())
        return {int(row.record) for row in hashed.self_deduplicate(threshold=BOUND).filtered}
    theirs, found = timed(semhash)
    recall = lambda some: len({max(place, place % 100_000) for place in some if place >= 97_000} & truth) / len(truth)
    pairs = lambda some: len({place if place >= 97_000 else place + 97_000 for place in some} & truth) / len(truth)  # of two copies either may be dropped
    keep("03_clean", "near copies among 100,000", ours, "s", f"recall {recall(dropped):.4f} of {len(truth)} found by brute force")
    keep("03_clean", "near copies among 100,000, SemHash on the same vectors", theirs, "s", f"recall {pairs(found):.4f}")
    keep("03_clean", "largest memory of both", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "GiB")


def audit():
    pairs = [Pair.model_validate(row) for row in sample_rows("clean.jsonl")]
    words = sorted({word for pair in pairs for word in pair.reply.split()})
    generator, many = numpy.random.default_rng(2), []
    for number in range(10_000):
        tweet = number // 5
        texts = [" ".join(generator.choice(words, 18)) for _ in range(2)]
        many.append(pairs[0].model_copy(update={"tweet_id": str(tweet), "reply_id": str(10**6 + number), "tweet": texts[0] if number % 5 == 0 else many[-1].tweet, "reply": texts[1], "split": "test" if tweet % 10 == 0 else "train"}))
    vectors = Vectors()
    unit = texts_with_copies(12_000, 1)
    from replytune.files import sha256
    vectors.known = {sha256(text)[:32]: unit[place] for place, text in enumerate(dict.fromkeys([pair.tweet for pair in many] + [pair.reply for pair in many]))}
    seconds, found = timed(audit_split, many, vectors, BOUND)
    assert len(found["leaks"]) == 1  # the planted one
    keep("03b_split", "audit of 10,000 pairs", seconds, "s", "vectors at hand; the planted leak found")


if __name__ == "__main__":
    against_loops()
    audit()
    beside_semhash()
