"""Reading items: nothing crashes it, nothing is lost, and real dumps agree with what is known of them."""
import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from replytune.collect import CollectParams, Post, Skipped, Why, collect_stage, import_dump, normalize, pair_up
from replytune.schema import Run, StageError, resolve

SAMPLE = json.loads(resolve("nbs/sample/raw.json").read_text(encoding="utf-8"))
NAMES = sorted({name for row in SAMPLE for name in row} | {"id_str", "full_text", "rawContent", "user", "created_at", "favorite_count", "replying_to_tweet", "quoted_tweet"})
values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=4), max_leaves=12)


@settings(max_examples=400, deadline=None)
@given(values)
def test_any_json_value_is_a_post_or_skipped(value):
    assert isinstance(normalize(value), (Post, Skipped))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SAMPLE), st.dictionaries(st.sampled_from(NAMES), values, max_size=4))
def test_mutated_real_shapes_keep_their_id(item, changes):
    outcome = normalize(item | changes)
    assert isinstance(outcome, (Post, Skipped))
    if isinstance(outcome, Post): assert outcome.id.isdigit()


@pytest.mark.parametrize("write", [lambda rows: json.dumps(rows).encode(), lambda rows: "\n".join(map(json.dumps, rows)).encode(), lambda rows: gzip.compress(json.dumps(rows).encode()),
                                   lambda rows: (json.dumps(rows[:100]) + "\n" + json.dumps(rows[100:])).encode(), lambda rows: b"\xef\xbb\xbf" + json.dumps(rows, indent=1).encode()],
                         ids=["array", "lines", "gzip", "two arrays", "with byte order mark"])
def test_every_form_of_file_gives_the_same(tmp_path, write):
    (tmp_path / "dump").write_bytes(write(SAMPLE))
    assert import_dump(tmp_path / "dump") == import_dump(resolve("nbs/sample/raw.json"))


@pytest.mark.parametrize("place", [1, 5000, 500_001, 900_007])
def test_a_cut_file_gives_every_whole_item_and_says_where(tmp_path, place):
    text = resolve("nbs/sample/raw.json").read_text(encoding="utf-8")
    (tmp_path / "cut.json").write_text(text[:place])
    posts, skipped = import_dump(tmp_path / "cut.json")
    whole = text[:place].count("},\n")
    assert len(posts) + len([row for row in skipped if row.why != Why.damaged_file]) == whole
    if place > 1: assert [row.why for row in skipped].count(Why.damaged_file) == 1 and "line" in skipped[-1].detail


def test_not_a_dump_is_an_error_with_advice(tmp_path):
    (tmp_path / "picture.json").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(StageError, match="not UTF-8"): import_dump(tmp_path / "picture.json")
    (tmp_path / "half.gz").write_bytes(gzip.compress(b"[1, 2]")[:-4])
    with pytest.raises(StageError, match="gzip but damaged"): import_dump(tmp_path / "half.gz")


@pytest.fixture
def dumps() -> list[Path]:
    folder = os.environ.get("REPLYTUNE_DUMPS")
    if not folder: pytest.skip("REPLYTUNE_DUMPS names no folder of real dumps")
    return sorted(Path(folder).glob("*.json"))


def test_real_dumps_pass_the_collect_stage(dumps, tmp_path):
    collect_stage(CollectParams(run=str(tmp_path), dumps=[str(path) for path in dumps]))
    counts = Run(tmp_path).manifest()["01_collect"]["counts"]
    print(counts)
    assert counts["pairs"] > 0 and counts["items"] == sum(count for name, count in counts.items() if name != "items")


def test_real_search_dump_agrees_with_what_is_known(dumps):
    path = next((path for path in dumps if path.name.startswith("kaitoeasyapi")), None)
    if path is None: pytest.skip("no kaitoeasyapi dump among the real ones")
    posts, skipped = import_dump(path)
    assert (len(posts) + len(skipped), len({post.id for post in posts})) == (214, 185)
    assert len({post.id for post in posts if post.parent_id}) + len({post.id for post in posts if not post.parent_id}) == 185
