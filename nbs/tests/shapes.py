"""One invented reply in each dialect that collectors use. Field names and types as in collection notes and real outputs; every value is made up."""

ID, PARENT, ROOT = "1991965312000012345", "1991900000000054321", "1991900000000054321"
TEXT = "@ada_ops Rehearse the runbook &amp; then delete half of it. It worked for us three times, honestly."

APIDOJO = {"type": "tweet", "id": ID, "url": f"https://x.com/lin_builds/status/{ID}", "twitterUrl": f"https://twitter.com/lin_builds/status/{ID}", "text": TEXT, "fullText": TEXT[:60] + "…",
           "source": "Twitter for iPhone", "retweetCount": 0, "replyCount": 1, "likeCount": 19, "quoteCount": 0, "viewCount": 310, "createdAt": "Fri Nov 21 20:20:00 +0000 2025",
           "lang": "en", "bookmarkCount": 0, "isReply": True, "isRetweet": False, "isQuote": False, "inReplyToId": PARENT, "conversationId": ROOT, "inReplyToUserId": "44", "inReplyToUsername": "ada_ops",
           "author": {"type": "user", "userName": "lin_builds", "id": "12", "name": "Lin 🌅", "followers": 1234, "following": 88}, "extendedEntities": {}, "card": {}, "place": {},
           "entities": {"hashtags": [], "urls": [], "user_mentions": []}, "media": [], "searchTerm": f"conversation_id:{ROOT}"}
LITE = {name: value for name, value in APIDOJO.items() if name not in ("fullText", "searchTerm")} | {"media": ["https://pbs.twimg.com/media/x.jpg"]}
KAITO_2024 = {name: value for name, value in APIDOJO.items() if name != "fullText"} | {"isRetweet": False, "isQuote": False, "media": [], "card": {}}
KAITO_2026 = {name: value for name, value in APIDOJO.items() if name not in ("fullText", "isRetweet", "isQuote", "media")} | {
    "card": None, "entities": {}, "source": "", "quoted_tweet": None, "quoted_tweet_results": None, "retweeted_tweet": None, "reply_to_user_results": None, "inReplyToUserId": None, "inReplyToUsername": None}
FLAT_2023 = {"username": "lin_builds", "user_id": "12", "id": ID, "conversation_id": ROOT, "full_text": TEXT, "reply_count": 1, "retweet_count": 0, "favorite_count": 19, "quote_count": 0, "view_count": 310,
             "hashtags": [], "symbols": [], "user_mentions": [], "urls": [], "media": [], "url": f"https://twitter.com/lin_builds/status/{ID}", "created_at": "2025-11-21T20:20:00.000Z",
             "is_quote_tweet": False, "is_retweet": False, "is_pinned": False, "is_truncated": False, "replying_to_tweet": f"https://twitter.com/ada_ops/status/{PARENT}", "quoted_tweet": None}
X_V1 = {"created_at": "Fri Nov 21 20:20:00 +0000 2025", "id": int(ID), "id_str": ID, "full_text": TEXT, "in_reply_to_status_id": int(PARENT), "in_reply_to_status_id_str": PARENT, "truncated": False,
        "user": {"id": 12, "id_str": "12", "screen_name": "lin_builds", "name": "Lin", "followers_count": 1234, "verified": False}, "retweet_count": 0, "favorite_count": 19, "lang": "en", "is_quote_status": False,
        "conversation_id_str": ROOT, "entities": {"hashtags": [], "urls": [], "user_mentions": [], "symbols": []}}
TWSCRAPE = {"id": int(ID), "id_str": ID, "url": f"https://x.com/lin_builds/status/{ID}", "date": "2025-11-21 20:20:00+00:00", "user": {"id": 12, "id_str": "12", "username": "lin_builds", "displayname": "Lin",
            "followersCount": 1234, "friendsCount": 88}, "lang": "en", "rawContent": TEXT, "replyCount": 1, "retweetCount": 0, "likeCount": 19, "quoteCount": 0, "conversationId": int(ROOT), "conversationIdStr": ROOT,
            "hashtags": [], "links": [], "media": {"photos": [], "videos": [], "animated": []}, "retweetedTweet": None, "quotedTweet": None, "inReplyToTweetId": int(PARENT), "inReplyToTweetIdStr": PARENT,
            "isQuoteStatus": False, "card": None}
SHAPES = {"apidojo": APIDOJO, "lite": LITE, "kaito 2024": KAITO_2024, "kaito 2026": KAITO_2026, "flat 2023": FLAT_2023, "X v1.1": X_V1, "twscrape": TWSCRAPE}
