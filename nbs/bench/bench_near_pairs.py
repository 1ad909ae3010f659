"""Near-duplicate search: blocked matrix products against a pairwise Python loop, on the same vectors in the same run."""
import time

import numpy

from replytune.clean import near_pairs


def seconds(function) -> float:
    "The best of three runs"
    times = []
    for _ in range(3):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


def pairwise_loop(vectors, bound: float) -> list:
    "What one writes first"
    return [(one, other) for one in range(len(vectors)) for other in range(one + 1, len(vectors)) if float(numpy.dot(vectors[one], vectors[other])) > bound]


if __name__ == "__main__":
    generator = numpy.random.default_rng(1)
    vectors = generator.normal(size=(10_000, 384)).astype("float32")
    vectors[5_000:5_200] = vectors[:200] + generator.normal(scale=0.1, size=(200, 384))
    vectors /= numpy.linalg.norm(vectors, axis=1, keepdims=True)
    few = numpy.concatenate([vectors[:400], vectors[5_000:5_200]])
    assert {pair[:2] for pair in near_pairs(few, 0.9)} == set(pairwise_loop(few, 0.9))
    loop, blocked = seconds(lambda: pairwise_loop(few, 0.9)), seconds(lambda: near_pairs(vectors, 0.9))
    pairs_few, pairs_all = len(few) * (len(few) - 1) / 2, len(vectors) * (len(vectors) - 1) / 2
    ratio = (loop / pairs_few) / (blocked / pairs_all)
    print(f"near pairs of {len(vectors):,} vectors: {ratio:,.0f} times the pairs per second of a Python loop (loop timed on {len(few)} of them)")
