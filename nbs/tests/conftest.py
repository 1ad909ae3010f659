"""What tests in a real browser share."""
import pytest

from browsing import Lab, chromium


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser: yield browser


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()


FITTED: dict[str, object] = {}
ENCODED: dict[tuple[str, str], object] = {}


@pytest.fixture(scope="module")
def known_fits():
    """Within one process a text is encoded once, and a taste is fitted once from the same pairs under the same parameters.

    For files that judge the sample again and again and ask something else than how the ranker learns."""
    import numpy
    from replytune import ranker, vectors
    from replytune.files import sha256
    fit_taste, embed, load_encoder, loaded = ranker.fit_taste, vectors.embed, vectors.load_encoder, {}

    def known_encoder(name: str = "minilm"):
        if name not in loaded: loaded[name] = load_encoder(name)
        return loaded[name]

    def known_vectors(texts, encoder):
        name = next((name for name, each in loaded.items() if each is encoder), None)
        if name != "minilm": return embed(texts, encoder)
        missing = list(dict.fromkeys(text for text in texts if (name, text) not in ENCODED))
        ENCODED.update(((name, text), vector) for text, vector in zip(missing, embed(missing, encoder)))
        return numpy.stack([ENCODED[name, text] for text in texts]) if texts else embed(texts, encoder)

    def known_taste(pairs, features, params):
        asked = [*(pair.model_dump_json() for pair in pairs), features.vectors.encoder, sha256(features.others.tobytes()), params.model_dump_json(exclude={"run"})]
        key = sha256("\n".join(asked))
        if key not in FITTED: FITTED[key] = fit_taste(pairs, features, params)
        return FITTED[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "load_encoder", known_encoder)
        patch.setattr(vectors, "embed", known_vectors)
        patch.setattr(ranker, "fit_taste", known_taste)
        yield
