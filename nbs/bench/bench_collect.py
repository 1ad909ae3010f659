"""Understanding and pairing 100,000 items: `normalize` and `pair_up` against the row-by-row pandas one writes first, on the same items in the same run."""
import html
import json
import re
import time

import pandas

from keeping import keep
from replytune.collect import Post, normalize, pair_up
from replytune.files import resolve

ITEMS = 100_000


def many(sample: list[dict]) -> list[dict]:
    "The sample again and again, each time with other ids and handles"
    items, turn = [], 0
    while len(items) < ITEMS:
        turn += 1
        shift = lambda id: str(int(id) + turn * 7_919_003) if id and str(id).isdigit() else id
        for row in sample:
            row = row | {name: shift(row[name]) for name in ("id", "inReplyToId", "conversationId") if row.get(name)} | {"url": "", "twitterUrl": ""}
            if row.get("author"): row["author"] = row["author"] | {"userName": f"{row['author']['userName']}_{turn}", "id": f"{row['author']['id']}{turn:03}"}
            if not any(str(row.get(name) or "").endswith("0000") for name in ("id", "inReplyToId")): items.append(row)  # ours refuses what a spreadsheet may have rounded
    return items[:ITEMS]


def ours(items: list[dict]) -> set[tuple[str, str]]:
    posts = [post for post in map(normalize, items) if isinstance(post, Post)]
    return {(pair.tweet_id, pair.reply_id) for pair in pair_up(posts)[0]}


def row_by_row(items: list[dict]) -> set[tuple[str, str]]:
    "json_normalize, iterrows, a lookup by id: reads one dialect only and keeps no reasons"
    frame = pandas.json_normalize([item for item in items if str(item.get("id", "")).isdigit()])
    frame["clean"] = ""
    for index, row in frame.iterrows():
        text = html.unescape(max(str(row["text"]), str(row["fullText"]), key=len))
        if isinstance(row["inReplyToId"], str): text = re.sub(r"^(?:\s*@\w{1,20}\b)+\s*", "", text)
        frame.at[index, "clean"] = re.sub(r"(?:\s*https?://t\.co/\w+)+\s*$", "", text).strip()
    by_id, pairs = {}, set()
    for _, row in frame.iterrows():
        if row["id"] not in by_id: by_id[row["id"]] = row
    for row in by_id.values():
        parent = by_id.get(row["inReplyToId"])
        if parent is None or row["author.userName"] == parent["author.userName"] or isinstance(parent["inReplyToId"], str): continue
        if row["conversationId"] == parent["conversationId"] and row["clean"]: pairs.add((parent["id"], row["id"]))
    return pairs


def timed(function, *arguments) -> tuple[float, object]:
    started = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - started, result


if __name__ == "__main__":
    items = many(json.loads(resolve("nbs/sample/raw.json").read_text(encoding="utf-8")))
    seconds, pairs = timed(ours, items)
    baseline, same = timed(row_by_row, items)
    assert pairs == same, f"{len(pairs)} pairs against {len(same)}"
    keep("01_collect", f"normalize + pair_up on {ITEMS:,} items", ITEMS / seconds, "items/s", f"{baseline / seconds:.1f} times row-by-row pandas in the same run, {len(pairs):,} pairs each")
