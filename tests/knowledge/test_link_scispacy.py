"""scispaCy's own CandidateGenerator over our index; runs where the extra ``umls`` is installed."""

from importlib.util import find_spec

import pytest

from knobo.knowledge.link import ConceptLinker

pytestmark = [
    pytest.mark.skipif(find_spec("scispacy") is None, reason="needs the extra umls"),
    pytest.mark.filterwarnings("ignore"),  # spaCy's imports warn about their own dependencies
]


def test_scispacy_gives_the_same_candidates_in_the_same_order():
    ours = ConceptLinker.load("open", engine="knobo")
    theirs = ConceptLinker(ours.kb, engine="scispacy")
    texts = [wording for entry in ours.kb for wording in entry.wordings]
    texts += ["blunting of the left costophrenic angle", "hart failure", "", "zzzz", "irregular netwerk", "!?"]
    assert ours.link_batch(texts, k=10, threshold=0.0) == theirs.link_batch(texts, k=10, threshold=0.0)


def test_auto_takes_scispacy_where_it_is_installed():
    linker = ConceptLinker.load("open", engine="auto")
    assert linker.link("cardiomegaly")[0].cui == "C0018800"
    assert type(linker._scispacy).__name__ == "CandidateGenerator"
