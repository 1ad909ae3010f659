"""Reading items: nothing crashes it, nothing is lost, and real dumps agree with what is known of them."""
import csv
import gzip
import io
import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from replytune.dumps import NAMES as DIALECTS, Damage, read_items
from replytune.collect import CollectParams, Post, Skipped, SkipReason, collect_stage, import_dump, normalize, pair_up
from replytune.schema import StageError
from replytune.files import resolve, to_lines
from replytune.run import Run

from shapes import ID, PARENT, ROOT, SHAPES

PAGES = "00i 01"

SAMPLE = json.loads(resolve("nbs/sample/raw.json").read_text(encoding="utf-8"))
NAMES = sorted({name for row in [*SAMPLE, *SHAPES.values()] for name in row} | {name.partition(".")[0] for names in DIALECTS.values() for name in names.split()})
values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=4), max_leaves=12)


@settings(max_examples=400, deadline=None)
@given(values)
def test_any_json_value_is_a_post_or_skipped(value):
    assert isinstance(normalize(value), (Post, Skipped))


def mutated(item, draw):
    "The item with some values, at any depth, replaced, removed or moved to another dialect's name"
    copy = json.loads(json.dumps(item))
    for _ in range(draw(st.integers(1, 5))):
        place = copy
        while isinstance(place, dict) and place:
            name = draw(st.sampled_from(sorted(place)))
            if isinstance(place[name], dict) and place[name] and draw(st.booleans()):
                place = place[name]
                continue
            match draw(st.integers(0, 3)):
                case 0: place[name] = draw(values)
                case 1: del place[name]
                case 2: place[name] = draw(st.sampled_from([None, "", {}, [], 0, False, "1.99E+18", "0", -1, 1e300, "\ud83d", "9" * 40]))
                case 3: place[draw(st.sampled_from(NAMES))] = place.pop(name)
            break
    return copy


@settings(max_examples=1500, deadline=None)
@given(st.data(), st.sampled_from(sorted(SHAPES)))
def test_mutated_items_of_every_dialect_are_understood_or_refused(data, shape):
    item = mutated(SHAPES[shape], data.draw)
    outcome = normalize(item)
    assert isinstance(outcome, (Post, Skipped))
    to_lines([outcome]).encode()  # whatever came out can be written
    if isinstance(outcome, Post):
        assert outcome.id.isdigit() and (outcome.likes is None or outcome.likes >= 0)
        pair_up([outcome, outcome])
    elif item.get("id_str", item.get("id")) == ID and outcome.why not in (SkipReason.damaged_id,): assert outcome.id == ID


@pytest.mark.parametrize("shape", SHAPES)
def test_every_dialect_says_the_same(shape):
    post = normalize(SHAPES[shape])
    assert (post.id, post.parent_id, post.conversation_id, post.author, post.author_id, post.likes, post.retweets) == (ID, PARENT, ROOT, "lin_builds", "12", 19, 0)
    assert post.text == "Rehearse the runbook & then delete half of it. It worked for us three times, honestly."
    assert post.created_at.isoformat() == "2025-11-21T20:20:00+00:00" and not (post.is_retweet or post.is_quote or post.is_advert)
    assert post.author_followers == (None if shape == "flat 2023" else 1234) and post.media == (1 if shape == "lite" else 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_unknown_is_none_and_never_zero(shape):
    counts = ("likeCount", "favorite_count", "retweetCount", "retweet_count", "replyCount", "reply_count", "followers", "followers_count", "followersCount", "createdAt", "created_at", "date", "lang")
    strip = lambda value: {name: strip(part) for name, part in value.items() if name not in counts} if isinstance(value, dict) else value
    post = normalize(strip(SHAPES[shape]))
    assert post.likes is post.retweets is post.replies is post.author_followers is post.language is None
    assert post.created_at.year == 2025  # from the id


@pytest.mark.parametrize("changes, field", [({"isRetweet": True}, "is_retweet"), ({"retweeted_status": {"id": 1}}, "is_retweet"), ({"text": "RT @bo: look", "fullText": ""}, "is_retweet"), ({"isRetweet": "true"}, "is_retweet"),
                                            ({"isQuote": True}, "is_quote"), ({"quoted_status": {"id": 1}}, "is_quote"), ({"quote": {"id": "1"}}, "is_quote"), ({"isPromoted": True}, "is_advert"),
                                            ({"card": {"name": "unified_card"}}, "is_advert"), ({"source": "Twitter for Advertisers"}, "is_advert")])
def test_flags(changes, field):
    assert getattr(normalize(SHAPES["apidojo"] | changes), field) is True
    assert getattr(normalize(SHAPES["apidojo"]), field) is False


def flat(value, path="") -> dict:
    "An item as the columns of the console's CSV"
    if isinstance(value, dict): return {name: cell for key, part in value.items() for name, cell in flat(part, f"{path}/{key}" if path else key).items()}
    if isinstance(value, list): return {name: cell for key, part in enumerate(value) for name, cell in flat(part, f"{path}/{key}").items()}
    return {path: "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)}


def as_csv(rows, delimiter=",") -> bytes:
    rows = [flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows([names, *([row.get(name, "") for name in names] for row in rows)])
    return file.getvalue().encode()


@pytest.mark.parametrize("write", [as_csv, lambda rows: as_csv(rows, ";"), lambda rows: gzip.compress(as_csv(rows)), lambda rows: b"\xef\xbb\xbf" + as_csv(rows)], ids=["comma", "semicolon", "gzip", "with byte order mark"])
def test_the_consoles_csv_gives_the_posts_of_the_json(tmp_path, write):
    (tmp_path / "dump.csv").write_bytes(write(SAMPLE))
    (posts, skipped), (wanted, refused) = import_dump(tmp_path / "dump.csv"), import_dump(resolve("nbs/sample/raw.json"))
    assert posts == wanted and sorted(row.why for row in skipped) == sorted(row.why for row in refused)


def test_a_csv_that_went_through_a_spreadsheet_is_refused_with_advice(tmp_path):
    rows = [row | {"id": row["id"][:15] + "0000", "url": ""} for row in SAMPLE if row.get("url")][:5]
    (tmp_path / "dump.csv").write_bytes(as_csv(rows))
    posts, skipped = import_dump(tmp_path / "dump.csv")
    assert not posts and {row.why for row in skipped} == {SkipReason.damaged_id} and "export again" in skipped[0].detail and skipped[0].id == rows[0]["id"]


def many(count: int) -> list[dict]:
    "Different posts of one dialect, each with an address of its own"
    return [SHAPES["apidojo"] | {"id": str(int(ID) + number), "url": f"https://x.com/lin_builds/status/{int(ID) + number}", "twitterUrl": None} for number in range(count)]


DAMAGE = {"a lost quote": lambda text, place: text[:place].rpartition('"')[0] + text[place:], "bytes that are not text": lambda text, place: text[:place] + "\udcff\udcfe" + text[place:],
          "a hole": lambda text, place: text[:place] + text[place + 700 :], "control characters": lambda text, place: text[:place] + "\x01\x02" + text[place:]}


@pytest.mark.parametrize("layout", [dict(), dict(indent=1), "lines"], ids=["compact", "indented", "lines"])
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("place", [0.2, 0.5, 0.77])
def test_items_before_and_after_damage_are_found(tmp_path, layout, damage, place):
    rows = [row | {"quoted_tweet": SHAPES["apidojo"]} for row in many(40)]  # a quoted tweet looks like an item
    text = "\n".join(map(json.dumps, rows)) if layout == "lines" else json.dumps(rows, **layout)
    spoiled = DAMAGE[damage](text, int(len(text) * place))
    (tmp_path / "dump.json").write_bytes(spoiled.encode("utf-8", "surrogateescape"))
    found = list(read_items(tmp_path / "dump.json"))
    whole, broken = [item for item in found if isinstance(item, dict)], [item for item in found if isinstance(item, Damage)]
    assert all(item["id"] != ID or item == rows[0] for item in whole) and len(whole) >= 37 and len({item["id"] for item in whole}) == len(whole)
    assert 1 <= len(broken) <= 3 and all(row.kind == "damaged_file" and "line" in row.detail for row in broken)
    posts, skipped = import_dump(tmp_path / "dump.json")
    assert len(posts) + len(skipped) == len(found)


def test_a_log_around_the_items_is_one_skipped_row(tmp_path):
    rows = many(5)
    (tmp_path / "run.log").write_text("2026-02-04 INFO delivered:\n" + json.dumps(rows) + "\n2026-02-04 INFO bye")
    posts, skipped = import_dump(tmp_path / "run.log")
    assert len(posts) == 5 and {row.why for row in skipped} <= {SkipReason.damaged_file, SkipReason.not_an_object} and skipped


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"[", b"{", b'[{"id": "12", "text": "a"}', b"id,text\n1,a\n"]))
def test_any_bytes_are_read_or_refused(tmp_path_factory, garbage, start):
    path = tmp_path_factory.mktemp("any") / "dump"
    path.write_bytes(start + garbage)
    try: posts, skipped = import_dump(path)
    except StageError: return
    to_lines([*posts, *skipped]).encode()


def test_gzip_that_breaks_off_or_is_appended(tmp_path):
    text = resolve("nbs/sample/raw.json").read_bytes()
    (tmp_path / "half.gz").write_bytes(gzip.compress(text)[:-3000])
    posts, skipped = import_dump(tmp_path / "half.gz")
    assert len(posts) > 400 and [row.why for row in skipped].count(SkipReason.damaged_file) == 1
    (tmp_path / "spoiled.gz").write_bytes((packed := gzip.compress(text))[: len(packed) // 2] + b"\x00" * 50 + packed[len(packed) // 2 + 50 :])
    posts, skipped = import_dump(tmp_path / "spoiled.gz")
    assert len(posts) > 200 and SkipReason.damaged_file in {row.why for row in skipped}
    (tmp_path / "two.gz").write_bytes(gzip.compress(text) + gzip.compress(text))
    assert len(import_dump(tmp_path / "two.gz")[0]) == 2 * len(import_dump(resolve("nbs/sample/raw.json"))[0])


def reply(id: int, parent: str | None, author="bo", author_id="2", conversation="100", text="words", **more) -> Post:
    return Post(id=str(id), text=text, author=author, author_id=author_id, parent_id=parent, conversation_id=conversation, **more)


def test_every_row_that_is_no_pair_is_counted_apart():
    tweet = reply(100, None, "ada", "1")
    rows = {"pair": reply(101, "100"), "duplicate": reply(101, "100"), "nested": reply(102, "101", "cy", "3"), "self_reply": reply(103, "100", "renamed", "1"), "orphan": reply(104, "999", conversation="999"),
            "wrong_conversation": reply(105, "100", conversation="777"), "advert": reply(106, None, "shop", "9", is_advert=True), "no_text": reply(107, "100", text=""), "root": tweet}
    pairs, skipped = pair_up(list(rows.values()))
    assert [pair.reply_id for pair in pairs] == ["101"] and sorted(row.why for row in skipped) == sorted(name for name in rows if name != "pair")
    assert pair_up([tweet, reply(101, "100", author="ADA", author_id=None)])[1][-1].why == SkipReason.self_reply


def test_of_two_rows_of_a_post_the_one_that_tells_more_is_kept():
    tweet, poor, rich = reply(100, None, "ada", "1"), reply(101, "100"), reply(101, "100", likes=7)
    for rows in ([tweet, poor, rich], [tweet, rich, poor]):
        assert pair_up(rows)[0][0].reply_likes == 7


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
    assert len(posts) + len([row for row in skipped if row.why != SkipReason.damaged_file]) == whole
    if place > 1: assert [row.why for row in skipped].count(SkipReason.damaged_file) == 1 and "line" in skipped[-1].detail


def test_not_a_dump_is_an_error_with_advice(tmp_path):
    (tmp_path / "picture.json").write_bytes(b"\x89PNG\xff\xfe")
    (tmp_path / "picture.json").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
    with pytest.raises(StageError, match="is not text"): import_dump(tmp_path / "picture.json")
    (tmp_path / "words.json").write_text("not a dump at all")
    with pytest.raises(StageError, match="no pair"): collect_stage(CollectParams(run=str(tmp_path), dumps=[str(tmp_path / "words.json")]))


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
    assert (len(posts) + len(skipped), len({post.id for post in posts}), sum(post.parent_id is not None for post in posts), sum(post.is_quote for post in posts)) == (214, 185, 103, 14)


def test_real_twscrape_response_agrees_with_what_is_known(dumps):
    path = next((path for path in dumps if path.name.startswith("twscrape")), None)
    if path is None: pytest.skip("no twscrape response among the real ones")
    posts, skipped = import_dump(path)
    root = next(post.id for post in posts if post.parent_id is None)
    assert (len(posts), len(skipped), sum(post.parent_id is not None for post in posts), sum(post.parent_id == root for post in posts)) == (37, 0, 36, 34)


# ways to lose a file without a word: items in = posts + skipped, for each of them

TEN = many(10)
LINES = ",\n".join(map(json.dumps, TEN))
LOSSES = {  # what is in the file: (how many posts, how many skipped, the reasons)
    "items two levels down": (json.dumps({"data": {"items": TEN}}), 10, []),
    "an empty list before the full one": (json.dumps({"results": [], "data": TEN}), 10, []),
    "an error in place of items": (json.dumps({"data": {}, "errors": [{"message": "Rate limit exceeded"}]}), 0, [SkipReason.placeholder]),
    "a list under an unknown name": (json.dumps({"replies": TEN}), 10, []),
    "each under a name of its own": (json.dumps([{"tweet": row} for row in TEN]), 10, []),
    "a wrapper with an id": (json.dumps({"id": "dataset1", "items": TEN}), 10, []),
    "a wrapper with a text": (json.dumps({"text": "the query", "data": {"1": TEN[0], "2": TEN[1]}, "result": TEN[2:]}), 10, []),
    "an error beside posts": (json.dumps({"data": TEN, "errors": [{"message": "one post is protected"}]}), 10, [SkipReason.placeholder]),
    "a message beside posts": (json.dumps({"data": TEN, "message": "partial result"}), 10, [SkipReason.placeholder]),
    "odds beside wrapped posts": (json.dumps({"rows": [{"tweet": row} for row in TEN] + [{"error": "boom"}, None, "x"]}), 10, [SkipReason.placeholder] + [SkipReason.not_an_object] * 2),
    "a tweet that is gone above its replies": (json.dumps([{"id": "5", "unavailable": True, "replies": TEN[:5]}, *TEN[5:]]), 10, [SkipReason.no_text]),
    "a tweet without text that quotes": (json.dumps([{"id": "5", "text": None, "author": {"userName": "bo"}, "quotedTweet": TEN[0]}, {"id": "6", "retweeted_status": TEN[0]}, *TEN]), 10, [SkipReason.no_text] * 2),
    "a pinned post of the author": (json.dumps([row | {"author": row["author"] | {"pinnedTweets": [TEN[0]]}} for row in TEN]), 10, []),
    "options of a poll, described media": (json.dumps([row | {"poll": {"options": [{"id": 1, "text": "Yes"}]}, "media": [{"id": "3", "text": "a cat"}], "choices": [{"id": 1, "text": "No"}]} for row in TEN]), 10, []),
    "replies under their ids": (json.dumps(TEN[0] | {"replies": {row["id"]: row for row in TEN[1:]}}), 10, []),
    "quotes and retweets as lists": (json.dumps(TEN[0] | {"quotes": TEN[1:4], "retweets": TEN[4:7], "quoteReplies": TEN[7:]}), 10, []),
    "replies in an unknown dialect": (json.dumps(TEN[:9] + [TEN[9] | {"replies": [{"id": "9", "body": "hi"}, {"id": "8", "body": "ho"}]}]), 10, [SkipReason.no_text] * 2),
    "an end and a beginning cut off": (",".join(map(json.dumps, TEN[:5])) + "]\n[" + ",".join(map(json.dumps, TEN[5:])), 10, [SkipReason.damaged_file] * 2),
    "a damaged item and a cut": ("[" + json.dumps(TEN[0]) + ',{"id": "2",,},\n' + ",\n".join(map(json.dumps, TEN[1:])) + ",", 10, [SkipReason.damaged_file] * 2),
    "an unknown dialect in a wrapper": (json.dumps({"replies": [{"id": row["id"], "body": "hi"} for row in TEN]}), 0, [SkipReason.no_text] * 10),
    "an unknown dialect beside posts": (json.dumps({"data": TEN, "more": [{"id": "5", "body": "hi"}] * 3}), 10, [SkipReason.no_text] * 3),
    "no posts at all": (json.dumps({"meta": {"count": 0}}), 0, [SkipReason.no_id]),
    "cut between two items": (f"[{LINES},\n", 10, [SkipReason.damaged_file]),
    "cut after an item": (f"[{LINES}", 10, [SkipReason.damaged_file]),
    "its beginning cut off": (f"{LINES}]", 10, [SkipReason.damaged_file]),
    "replies inside a tweet": (json.dumps([TEN[0] | {"replies": TEN[1:4]}, *TEN[4:]]), 10, []),
    "replies further inside": (json.dumps(TEN[0] | {"thread": {"items": [{"post": row} for row in TEN[1:]]}}), 10, []),
    "a quoted tweet is part of a tweet": (json.dumps([row | {"quoted_tweet": TEN[0], "quoted_tweet_results": {"result": {"note": TEN[1]}}} for row in TEN]), 10, []),
    "a person's tweets": (json.dumps([{"id": "5", "username": "bo", "tweets": [{"id": row["id"], "text": "hi", "url": row["url"]} for row in TEN]}]), 0, [SkipReason.no_text] + [SkipReason.no_author] * 10),
    "nothing among posts": (json.dumps({"items": [None, 7, {"noResults": True}, *TEN]}), 10, [SkipReason.not_an_object] * 2 + [SkipReason.placeholder]),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_no_file_loses_items_without_a_word(tmp_path, loss):
    text, count, reasons = LOSSES[loss]
    (tmp_path / "dump.json").write_text(text)
    posts, skipped = import_dump(tmp_path / "dump.json")
    assert (len(posts), sorted(row.why for row in skipped)) == (count, sorted(reasons))
    assert {post.id for post in posts} == ({row["id"] for row in TEN} if count else set())


def test_an_error_in_place_of_items_is_told(tmp_path):
    (tmp_path / "dump.json").write_text(LOSSES["an error in place of items"][0])
    with pytest.raises(StageError, match="placeholder.: 1"): collect_stage(CollectParams(run=str(tmp_path), dumps=[str(tmp_path / "dump.json")]))


WRAPPERS = st.recursive(
    st.just(TEN), lambda inner: st.one_of(st.lists(inner | st.none() | st.integers(), min_size=1, max_size=3).filter(lambda parts: any(isinstance(part, (list, dict)) for part in parts)),
                                          st.builds(lambda name, part, rest: {**rest, name: part}, st.text(min_size=1, max_size=8), inner, st.dictionaries(st.text(max_size=8), values, max_size=3)),
                                          st.builds(lambda name, part: {name: part}, st.sampled_from(["data", "items", "results", "tweets", "replies", "id", "text", "errors"]), inner)), max_leaves=4)


@settings(max_examples=300, deadline=None)
@given(WRAPPERS)
def test_a_list_of_tweets_is_found_in_any_wrapper(tmp_path_factory, wrapped):
    path = tmp_path_factory.mktemp("wrapped") / "dump.json"
    path.write_text(json.dumps(wrapped))
    posts, skipped = import_dump(path)
    assert posts or skipped, "0 posts and 0 skipped"
    times = json.dumps(wrapped).count(json.dumps(TEN))
    assert Counter(post.id for post in posts if post.id in {row["id"] for row in TEN}) == {row["id"]: times for row in TEN}, "each as often as it is there"


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8"])
def test_a_table_in_another_encoding_gives_no_question_marks(tmp_path, encoding):
    rows = [row | {"fullText": "", "author": {"userName": "bo"}, "text": "Grüße aus Köln" if number % 2 else "words"} for number, row in enumerate(TEN)]
    (tmp_path / "dump.csv").write_bytes(as_csv(rows).decode().encode(encoding))
    posts, skipped = import_dump(tmp_path / "dump.csv")
    assert len(posts) + len(skipped) == 10 and not any("\ufffd" in post.text for post in posts)
    assert [row.why for row in skipped] == [SkipReason.damaged_file] * (5 if encoding == "cp1252" else 0)
    assert all("UTF-8" in row.detail for row in skipped)


@pytest.mark.parametrize("first", ["", "sep=;\r\n", '"sep=;"\n'])
@pytest.mark.parametrize("delimiter", [";", "|", "\t", ","])
def test_tables_of_any_delimiter(tmp_path, delimiter, first):
    (tmp_path / "dump.csv").write_bytes(first.replace(";", delimiter).encode() + as_csv(TEN, delimiter))
    posts, skipped = import_dump(tmp_path / "dump.csv")
    assert len(posts) == 10 and not skipped


@pytest.mark.parametrize("text, count, damaged", [
    ('id,username,text\n1,bo,"hello\n2,bo,world\n3,bo,x\n', 2, 1),  # a quote that is not closed swallows nothing
    ('id,username,text\n1,bo,hello\n2,bo,"cut off', 1, 1),
    ('id,username,text\n1,bo,a 5" screen\n2,bo,"two\nlines"\n3,bo,6" tall', 3, 0),
    ('\n\nid,username,text\n1,bo,hello\n\n2,bo,world\n\n', 2, 0),
    ('id, username, text\n1,bo,hello\n', 1, 0),
    ('id,author/userName,author,text\n1,bo,ignored,hello\n2,bo,,hello\n', 2, 0), ('id,author,author/userName,text\n1,ignored,bo,hello\n', 1, 0),
    ('id,text,username,id\n1,hello,bo,\n', 1, 0)])
def test_odd_tables(tmp_path, text, count, damaged):
    (tmp_path / "dump.csv").write_text(text)
    posts, skipped = import_dump(tmp_path / "dump.csv")
    assert (len(posts), [row.why for row in skipped]) == (count, [SkipReason.damaged_file] * damaged)
    assert all(post.author == "bo" for post in posts)


def test_twints_table(tmp_path):
    "Its text is called `tweet`, and it says a conversation but no parent: its replies cannot be paired"
    rows = [{"id": str(int(ID) + number), "conversation_id": str(int(ID)), "created_at": "2025-11-21 20:20:00 UTC", "username": "bo", "tweet": "words", "likes_count": "3", "retweets_count": "1", "replies_count": "2"} for number in range(3)]
    (tmp_path / "dump.csv").write_bytes(as_csv(rows, "\t"))
    posts, skipped = import_dump(tmp_path / "dump.csv")
    assert [(post.text, post.likes, post.retweets, post.replies) for post in posts] == [("words", 3, 1, 2)] and [row.why for row in skipped] == [SkipReason.no_parent] * 2


ZEROS = "1991965312000010000"


@pytest.mark.parametrize("changes, why", [
    ({"id": ZEROS, "url": None, "createdAt": "Fri Nov 21 20:21:53 +0000 2025"}, None),  # its date says so
    ({"id": ZEROS, "url": None, "createdAt": "Fri Nov 21 20:20:00 +0000 2025"}, SkipReason.damaged_id),
    ({"id": ZEROS, "url": None, "createdAt": ""}, SkipReason.damaged_id),
    ({"id": ZEROS, "url": f"https://x.com/lin/status/{ZEROS}"}, None),
    ({"url": "https://x.com/lin/status/1991965312000012999"}, SkipReason.damaged_id),  # contradicts its own address
    ({"url": f"https://x.com/lin/status/{TEN[0]['id']}/photo/1"}, None),
    ({"url": "https://example.org/status-quo"}, None),
    ({"url": "https://news.example.org/status/55-story"}, None),
    ({"id": ZEROS, "url": None, "createdAt": "2025-11-21 20:21"}, None),  # to the minute
    ({"id": "991965312000012000", "url": None, "createdAt": ""}, SkipReason.damaged_id),  # eighteen digits, and three of them cut
    ({"id": f"https://x.com/lin/status/{TEN[0]['id']}/photo/1"}, None),
    ({"inReplyToId": ZEROS, "conversationId": ZEROS}, None),  # a genuine parent: nothing in the file says otherwise
    ({"inReplyToId": None, "conversationId": TEN[0]["id"]}, SkipReason.no_parent),  # isReply is true
    ({"inReplyToId": None, "conversationId": ROOT, "isReply": False}, SkipReason.no_parent),
    ({"inReplyToId": None, "conversationId": TEN[0]["id"], "isReply": False}, None)])
def test_ids_are_believed_as_far_as_something_confirms_them(changes, why):
    outcome = normalize(TEN[0] | changes)
    assert getattr(outcome, "why", None) == why
    if why is None: assert outcome.id == (ZEROS if changes.get("id") == ZEROS else TEN[0]["id"])


def test_ids_that_javascript_rounded(tmp_path):
    (tmp_path / "dump.json").write_text(json.dumps([row | {"url": None, "id": str(int(row["id"]) + 12_345 * number)[:17] + "00"} for number, row in enumerate(TEN)]))
    posts, skipped = import_dump(tmp_path / "dump.json")
    assert not posts and {row.why for row in skipped} == {SkipReason.damaged_id}


@pytest.mark.parametrize("column", ["id", "inReplyToId", "conversationId"])
def test_a_column_that_a_spreadsheet_rounded_is_not_believed_though_dates_agree(tmp_path, column):
    rows = [row | {"url": None, "createdAt": "Fri Nov 21 20:21:53 +0000 2025", "inReplyToId": str(int(PARENT) + 30_000 * number), "conversationId": str(int(PARENT) + 30_000 * number)} for number, row in enumerate(many(20))]
    spoiled = [row | {column: str(int(row[column]) + 12_345 * number)[:15] + "0000"} for number, row in enumerate(rows)]
    (tmp_path / "dump.json").write_text(json.dumps(spoiled))
    posts, skipped = import_dump(tmp_path / "dump.json")
    assert not import_dump(tmp_path / "dump.json")[1] or column != "conversationId"
    if column == "conversationId": assert len(posts) == 20 and {post.conversation_id for post in posts} == {None}
    else: assert not posts and {row.why for row in skipped} == {SkipReason.damaged_id}
