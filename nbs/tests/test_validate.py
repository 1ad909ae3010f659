"""Filters: what was planted in the sample is found, reason by reason; ordinary text is left alone; models are named, batched and asked once."""
import json
import runpy

import pytest
from hypothesis import given, settings, strategies as st

from replytune.schema import Pair, ParameterError, StageError
from replytune.files import resolve, sha256
from replytune.run import Run, sample_copy, sample_rows
from replytune.vectors import ScoreCache
from replytune.validate import RejectReason, ValidateParams, data_warnings, decide, generic_share, measure, measure_cheaply, personal_data, spam_words, toxicity_model, validate_stage, what_if, widened, words_of

from tiny_detoxify import make_detoxify

PAGES = "02"

BOUNDS = ValidateParams()
PAIRS = [Pair.model_validate(row) for row in sample_rows("pairs.jsonl")]
PLANTED = {"low_likes": "reply_likes", "many_likes": "reply_likes", "few_followers": "followers", "many_followers": "followers", "too_early": "delay", "too_late": "delay", "media": "media", "link": "link",
           "unknown_followers": "followers_unknown", "language": "language", "crypto": "spam", "praise": "generic", "short": "characters", "long": "characters", "thin": "unique_words"}


@pytest.fixture(scope="module")
def measured(): return measure(PAIRS, BOUNDS)


def test_the_sample_is_decided_as_the_committed_expectation_says(measured):
    expected = json.loads(resolve("nbs/sample/expected_reasons.json").read_text())
    found = {pair.reply_id: [str(reason) for reason in decide(measures, BOUNDS)] for pair, measures in zip(PAIRS, measured)}
    assert {id: reasons for id, reasons in found.items() if reasons} == expected


def test_what_was_planted_is_found(measured):
    roles = runpy.run_path(str(resolve("nbs/sample/build.py")))["build"]().roles
    found = {pair.reply_id: {str(reason) for reason in decide(measures, BOUNDS)} for pair, measures in zip(PAIRS, measured)}
    planted = [(id, role) for id, (role, _) in roles.items() if id in found and role in PLANTED]
    missed = [(id, role, found[id]) for id, role in planted if PLANTED[role] not in found[id]]
    assert len(planted) > 90 and {role for _, role, _ in missed} <= {"language", "praise"}
    assert all("unmeasured" in reasons for _, _, reasons in missed) and len(missed) < 12  # turned down for another reason before a model looked
    toxic = [found[id] for id, (role, _) in roles.items() if role == "toxic"]
    assert sum(bool(reasons) for reasons in toxic) >= 0.6 * len(toxic)  # the small model misses polite cruelty
    ordinary = [found[id] for id, (role, _) in roles.items() if role == "ordinary" and id in found]
    assert sum(not reasons for reasons in ordinary) > 0.93 * len(ordinary)


DEVELOPERS = ["The server answers one user at a time.", "A paradigm we went back to.", "The canonical observer pattern, renamed anonymously.", "Our users went from one segment to another.", "gmail is down again, serialise later",
              "friends of the base and index", "whitelisted hosts are gone, the onchainable word is not one", "He was seriously asked when the user server went away"]
SPAMMERS = ["gm", "GM everyone", "wen moon", "thanks ser", "ngmi", "WAGMI!!", "stay locked in", "so based and true", "degen#hours", "(airdrop)", "on the whitelist", "anon: hi"]


def test_a_developer_corpus_passes_the_spam_filter_and_spam_does_not():
    assert [text for text in DEVELOPERS if spam_words(words_of(text))] == []
    assert [text for text in SPAMMERS if not spam_words(words_of(text))] == []


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300), st.sampled_from(PAIRS))
def test_any_text_is_measured(text, pair):
    found = measure_cheaply(pair.model_copy(update={"reply": text}))
    assert 0 <= found.generic_share <= 1 and found.unique_words <= found.words
    decide(found, BOUNDS)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PAIRS), st.dictionaries(st.sampled_from([name for name in ValidateParams.model_fields if "_m" in name and "seconds" not in name and "share" not in name and "confidence" not in name and "toxic" not in name]), st.integers(1, 3000)))
def test_a_wider_bound_never_adds_a_reason(pair, moved):
    found = measure_cheaply(pair)._replace(**{"english": 1.0, "toxicity": 0.0})
    try: bounds = ValidateParams.read(moved)
    except ParameterError: return
    assert set(decide(found, widened(bounds))) <= set(decide(found, bounds))


def test_reasons_come_in_one_order_and_unknown_is_not_zero():
    hopeless = measure_cheaply(PAIRS[0].model_copy(update={"reply": "gm", "tweet_is_quote": True, "tweet_is_retweet": True, "tweet_likes": None, "tweet_retweets": None, "reply_likes": None, "reply_author_followers": None,
                                                           "reply_time_diff_seconds": None, "reply_media": 1, "reply_links": 1, "tweet_language": "de"}))
    reasons = decide(hopeless, BOUNDS)
    assert reasons == sorted(reasons, key=list(RejectReason).index) and {"reply_likes_unknown", "followers_unknown", "delay_unknown", "tweet_likes_unknown", "tweet_retweets_unknown"} <= set(reasons)
    assert "reply_likes" not in reasons and reasons[-1] == RejectReason.unmeasured


def test_models_see_only_pairs_near_the_bounds_and_each_text_once(tmp_path, monkeypatch):
    import replytune.validate as module
    seen = []
    real = toxicity_model("profanity-check")
    monkeypatch.setattr(module, "toxicity_model", lambda *_: lambda texts: seen.extend(texts) or real(texts))
    first = measure(PAIRS, BOUNDS, tmp_path)
    assert len(seen) == len(set(seen)) < len(PAIRS) and sum(found.toxicity is None for found in first) == sum(found.english is None for found in first) > 0
    assert all((found.toxicity is None) == (pair.reply not in seen) for pair, found in zip(PAIRS, first))
    seen.clear()
    assert measure(PAIRS, BOUNDS, tmp_path) == first and seen == []
    assert measure(PAIRS, ValidateParams(followers_max=10_000), tmp_path) and seen == []  # another bound, the same scores
    assert not any(pair.reply in path.read_text() for path in tmp_path.iterdir() for pair in PAIRS[:50])  # hashes, not texts


def test_a_cache_that_a_kill_cut_short_goes_on(tmp_path):
    cache = ScoreCache(tmp_path, "m")
    cache.scores(["a", "bb"], lambda texts: [float(len(text)) for text in texts], "lengths", size=1)
    with open(cache.file, "a") as file: file.write('{"text": "abc')
    again = ScoreCache(tmp_path, "m")
    assert again.scores(["a", "bb", "ccc"], lambda texts: [9.0 for _ in texts], "lengths") == [1.0, 2.0, 9.0]
    assert ScoreCache(tmp_path, "m").scores(["ccc"], None, "lengths") == [9.0]


PERSONAL = {"mail me at ada@example.org": "email", "ada.l+x@mail.example.co.uk is fine": "email", "+49 170 5550 123 if it burns": "phone", "call 555-010-4477 now": "phone", "(030) 555 0123": "phone", "+491705550123": "phone",
            "I live at 221 Baker Street": "address", "Lindenstraße 14, second floor": "address"}
IMPERSONAL = ["1,200,000 rows in 38.5 s", "10 000 000 events, 100 000 users", "2026-05-01 12:30", "v3.11.7 and 10.0.0.1", "port 8000 to 9000", "p99 of 120 ms, 38.5 before", "id 1991965312000012345", "$5,000 a month",
              "error 500 - 200 of 300", "@ada_ops knows", "a @property on line 12", "5 Road maps in 3 years", "99.95 % of 1000 requests", "1-2-3 and 4", "TLS 1.2/1.3 in 2019-2021"]


@pytest.mark.parametrize("text", PERSONAL)
def test_personal_data_is_flagged(text): assert PERSONAL[text] in personal_data(text)


@pytest.mark.parametrize("text", IMPERSONAL)
def test_what_developers_write_all_day_is_not_personal(text): assert personal_data(text) == []


# Detoxify, through its own code

TOXIC, FRIENDLY = ["you are an idiot", "what an idiot", "idiot and moron"], ["great thanks", "nice index", "thanks for the index", "what a nice release"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory): return make_detoxify(tmp_path_factory.mktemp("detoxify") / "model", FRIENDLY, toxic=TOXIC)


def test_detoxify_from_a_checkpoint_gives_its_toxicity_head(checkpoint):
    score = toxicity_model("detoxify", str(checkpoint), str(checkpoint.parent))
    scores = score(["you idiot", "thanks"])
    assert scores[0] > 0.8 > 0.2 > scores[1]  # only one of six heads says so: a mean would be below 0.3
    from detoxify import Detoxify
    heads = Detoxify(checkpoint=str(checkpoint), huggingface_config_path=str(checkpoint.parent)).predict("you idiot")
    assert sum(heads.values()) / len(heads) < 0.3


def test_detoxify_by_its_own_download(checkpoint, tmp_path, monkeypatch):
    import detoxify.detoxify
    monkeypatch.setitem(detoxify.detoxify.MODEL_URLS, "original", checkpoint.as_uri())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert toxicity_model("detoxify", "", str(checkpoint.parent))(["you idiot"])[0] > 0.8


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_backend_that_cannot_be_had_stops_the_stage_with_the_fix(tmp_path, damage):
    path = tmp_path / "model.ckpt"
    if damage is not None: path.write_bytes(damage)
    run = sample_copy("02_validate")
    with pytest.raises(StageError, match="toxicity backend 'detoxify' cannot be loaded .*choose toxicity_backend: profanity-check"):
        validate_stage(ValidateParams(run=str(run.folder), toxicity_backend="detoxify", toxicity_checkpoint=str(path), toxicity_config=str(tmp_path)))
    assert "02_validate" not in run.manifest()


def test_the_manifest_names_the_backend(checkpoint):
    run = sample_copy("02_validate")
    validate_stage(ValidateParams(run=str(run.folder), toxicity_backend="detoxify", toxicity_checkpoint=str(checkpoint), toxicity_config=str(checkpoint.parent), toxicity_max=0.99))
    section = Run(run.folder).manifest()["02_validate"]
    assert section["models"]["toxicity"].startswith("toxicity detoxify ") and section["counts"]["valid"] > 0
    assert {"language", "toxicity"} <= {path.name.split("-")[0] for path in (run.folder / "cache").iterdir() if "detoxify" in path.name or "language" in path.name}


# what if, warnings, bad input

def test_what_if_counts_what_deciding_again_counts(measured):
    rows = {row["bound"]: row for row in what_if(measured, BOUNDS)}
    for name in ("followers_max", "reply_likes_min", "unique_words_min"):
        moved = BOUNDS.model_copy(update={name: rows[name]["moved to"]})
        assert rows[name]["more pairs"] == sum(decide(found, moved) == [] for found in measured) - sum(decide(found, BOUNDS) == [] for found in measured)
    far = [found._replace(**{"english": None, "toxicity": None, "followers": 30_000}) for found in measured[:5]]
    assert {row["bound"]: row["unmeasured"] for row in what_if(far, BOUNDS)}["followers_max"] > 0


def test_bounds_that_hold_nothing_are_an_error():
    with pytest.raises(ParameterError, match="reply_likes_min 600 is above reply_likes_max 500"): ValidateParams.read({"reply_likes_min": 600})
    with pytest.raises(StageError, match="no pair of 692 is within the bounds"): validate_stage(ValidateParams(run=str(sample_copy("02_validate").folder), characters_max=31, characters_min=30))


def test_a_few_pairs_give_no_false_alarm(): assert data_warnings(PAIRS[:5], 5) == []


# what a hostile reader found

@pytest.mark.parametrize("text", ["call 555 123 4567", "+44 7911 123456", "+49 151 23456789", "+91 98765 43210", "+33 6 12 34 56 78", "phone:555-123-4567", "tel.555-123-4567", "555\u2011123\u20114567", "+1\u00a0555\u00a0010\u00a04477", "+4915123456789"])
def test_telephone_numbers_as_people_write_them(text): assert personal_data(text) == ["phone"]


@pytest.mark.parametrize("text", ["1 000 000 rows and 10 000 000 more", "thanks @john.but wait", "192.168.100.100:8080 and 10.0.0.1", "+5 points, +12 more, +100 in all", "2026-05-01 12:30:00.123456", "0.555-123-4567e3", "commit 1234567 after 7654321"])
def test_numbers_that_are_no_telephones(text): assert personal_data(text) == []


def test_nothing_hides_behind_what_no_reader_sees():
    pair = PAIRS[0].model_copy(update={"reply": "Write to jane.doe\u200b@example.com, or say g\u200bm to her, she answers everybody in the morning."})
    found = measure_cheaply(pair)
    assert found.personal_data == ("email",) and found.spam_words == ("gm",) and found.characters == len(pair.reply) - 2


def test_phrases_side_by_side_all_count():
    assert generic_share(words_of("so true so true")) == generic_share(words_of("great post great post so true")) == 1.0


def test_labels_of_a_country_and_scores_that_are_no_number():
    good = next(found for found in measure([PAIRS[0]], BOUNDS) if not decide(found, BOUNDS))
    for label in ("en-US", "EN", "en_GB"): assert decide(good._replace(tweet_language=label, platform_language=label, english=0.0), BOUNDS) == []
    assert decide(good._replace(tweet_language="enm"), BOUNDS) == [RejectReason.tweet_language]
    assert decide(good._replace(toxicity=float("nan")), BOUNDS) == [RejectReason.toxic]


def test_a_score_that_is_no_number_stops_with_the_text_named(tmp_path):
    "One batch is on the disk by then, and stays"
    cache = ScoreCache(tmp_path, "broken")
    with pytest.raises(StageError, match="no number for 'a longer text'"): cache.scores(["short", "a longer text"], lambda texts: [float("nan") if len(text) > 5 else 0.5 for text in texts], "toxicity", size=1)
    assert ScoreCache(tmp_path, "broken").known.keys() == {sha256("short")[:32]}


@pytest.mark.parametrize("text", ["ada@exam\x08ple.org", "ada@exam\u00adple.org", "ada\uff20example.org", "ada@exam\U000e0061ple.org", "ada\u3164@\u3164example.org", "bob@exam\ufe0fple.com", "bob@exam\u200dple.com", "bob@exam\u061cple.com", "bob@\u200b\ufe0fexample.com"])
def test_an_address_cannot_hide_from_measuring_and_stand_after_tidying(text):
    reply = f"Write to me about the cluster, {text}, any day of the week"
    assert measure_cheaply(PAIRS[0].model_copy(update={"reply": reply})).personal_data == ("email",)


def test_the_models_see_what_a_reader_sees():
    plain = "You are an idiot and everything you ever wrote about databases is worthless rubbish"
    pair = next(pair for pair in PAIRS if decide(measure([pair], BOUNDS)[0], BOUNDS) == [])
    apart = pair.model_copy(update={"reply": "\u200b".join(plain)})
    assert measure([apart], BOUNDS)[0].toxicity == measure([pair.model_copy(update={"reply": plain})], BOUNDS)[0].toxicity


PHONES = ["06 12 34 56 78 on weekdays", "ring me: 555-010-4477", "call me on 5550104477 now", "text me at 600 123 456", "020 7946 0958", "(555)  123-4567", "555\t123\t4567", "555\ufe0f-123-4567", "06 12 34 56 78 10 to 18 h",
          "WhatsApp 07911123456 10-18 daily", "call me on 5550104477 2024 edition", "612-345-678", "1-555-123-4567", "1-800-555-0199", "06.12.34.56.78", "0151 12345678", "0041 44 668 18 00", "555\u2212010\u22124477", "+44 7911 123456, any time"]
NO_PHONES = ["batch sizes 1024 2048 4096", "on 01-02-2024 and 07-15-2024 12:30", "1714564800 and 1714564801", "call sites 1024 of 2048", "a call took 1200 ms", "I was on call 2023-12-24 22:00", "call 192.168.100.200 first",
             "on every call 0.000123456 s", "every call 1000000000 times", "signal 1714564800", "05-11-2024 12 days", "10 000 000 rows, 1,200,000 more", "v3.11.7 and 10.0.0.1:8080", "commit 1234567 of 7654321", "$1234 567 890"]


@pytest.mark.parametrize("text", PHONES)
def test_a_telephone_number_is_seen(text): assert measure_cheaply(PAIRS[0].model_copy(update={"reply": text})).personal_data == ("phone",)


@pytest.mark.parametrize("text", NO_PHONES)
def test_a_developers_number_is_no_telephone_number(text): assert personal_data(text) == []


@pytest.mark.parametrize("text, kinds", [("Ada [At] example.org", ["email"]), ("bob  (at)  example.com", ["email"]), ("icon@2x.png", []), ("git@github.com:us/it.git", []), ("500 GB Hard Drive", []), ("7 Old Hill Road", ["address"]), ("Lindenstraße 12b", ["address"])])
def test_other_personal_data(text, kinds): assert list(measure_cheaply(PAIRS[0].model_copy(update={"reply": text})).personal_data) == kinds


def test_one_template_after_many_ordinary_replies_is_noticed():
    template = [PAIRS[0].model_copy(update={"reply": f"Great point about databases, friend, follow me for daily engineering wisdom number {number % 5}", "reply_author": f"bot{number}"}) for number in range(400)]
    assert any("template" in warning for warning in data_warnings(PAIRS[:290] + template, 600)) and not any("template" in warning for warning in data_warnings(PAIRS, 500))


def test_no_pairs_at_all(): assert data_warnings([], 0) == ["there are no pairs"]
