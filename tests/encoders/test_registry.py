"""The registry: every fact has a source, a name leads to one model, and what knobo cannot load says how to get it."""

import json

import pytest
from pydantic import ValidationError

from knobo.encoders import ModelCard, find_model, load_encoder, published_models, registry
from knobo.encoders.clip import architectures, hub_repository, pretrained_tags
from knobo.encoders.load import parse_open_clip
from knobo.errors import FormatError, InputError

WANTED = (
    "WhyXrayCLIP",
    "WhyLesionCLIP",
    "BiomedCLIP",
    "UniMed-CLIP",
    "ConceptCLIP",
    "PubMedCLIP",
    "PMC-CLIP",
    "BMCA-CLIP",
    "DermLIP",
    "MONET",
    "QuiltNet",
    "PLIP",
    "MedSigLIP",
    "MedImageInsight",
    "BioViL-T",
    "MGCA",
    "CheXzero",
    "LLM2CLIP4CXR",
    "LVM-Med",
    "torchxrayvision",
    "RAD-DINO",
    "OpenAI-CLIP",
    "LAION-CLIP",
    "DataComp-CLIP",
)


@pytest.mark.parametrize("name", WANTED)
def test_published_models_are_found_whatever_the_case(name):
    card = find_model(name)
    assert card is not None
    assert find_model(name.upper()) is find_model(card.name) is card
    assert card.paper is not None
    assert card.paper.url.startswith("https://")
    assert card.modality


def test_names_and_papers_are_not_mixed_up():
    cards = published_models()
    assert len({card.name for card in cards}) == len(cards)
    numbers = {}
    for card in cards:
        numbers.setdefault(card.paper.url, set()).add(card.paper.title)
    assert all(len(titles) == 1 for titles in numbers.values())


def test_every_stated_fact_has_a_source():
    card = find_model("whyxrayclip")
    facts = card.model_dump()
    with pytest.raises(ValidationError, match=r"no source for \['mean'\]"):
        ModelCard.model_validate({**facts, "mean": (0.5, 0.5, 0.5)})
    with pytest.raises(ValidationError, match=r"a source for what is not stated: \['licence'\]"):
        ModelCard.model_validate({**facts, "licence": None})
    with pytest.raises(ValidationError, match="must say how to get it"):
        ModelCard.model_validate({**facts, "loader": "own"})
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        ModelCard.model_validate({**facts, "downloads": 3})


@pytest.mark.parametrize("card", [card for card in published_models() if card.load_as], ids=lambda card: card.name)
def test_baselines_agree_with_open_clip(card):
    import open_clip

    architecture, tag = parse_open_clip(card.load_as)
    assert architecture in architectures()
    assert tag in pretrained_tags(architecture)
    settings = open_clip.get_pretrained_cfg(architecture, tag)
    config = open_clip.get_model_config(architecture)
    assert (card.mean, card.std) == (tuple(settings["mean"]), tuple(settings["std"]))
    assert card.hub_id == hub_repository(architecture, tag)
    assert card.embedding_dim == config["embed_dim"]
    assert card.input_size == config["vision_cfg"]["image_size"]
    assert card.text_length == config["text_cfg"]["context_length"]


@pytest.mark.parametrize("name", [card.name for card in published_models() if card.loader == "own"])
def test_what_knobo_cannot_load_says_how_to_get_it(name):
    card = find_model(name)
    assert card.spec is None
    with pytest.raises(InputError) as refusal:
        load_encoder(name)
    assert f"knobo cannot load {name} by name. {card.how}" in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "guess"), [("whyxrayclp", "whyxrayclip"), ("BiomedCILP", "biomedclip"), ("medsiglip448", "medsiglip-448")]
)
def test_a_typo_is_answered_with_close_names(name, guess):
    with pytest.raises(InputError, match=rf"Unknown encoder '{name}'\. Did you mean .*{guess}"):
        load_encoder(name)
    with pytest.raises(InputError, match=rf"Did you mean .*{guess}.*`knobo models list`"):
        registry.get_model(name)


def test_a_broken_registry_is_named(tmp_path, monkeypatch):
    card = json.loads(registry._FILE.read_text())["models"][0]
    for models, message in [([{**card, "input_size": -1}], "input_size"), ([card, card], "two models one name")]:
        file = tmp_path / "registry.json"
        file.write_text(json.dumps({"format": "knobo.encoders", "format_version": 1, "models": models}))
        monkeypatch.setattr(registry, "_FILE", file)
        published_models.cache_clear()
        with pytest.raises(FormatError, match=message):
            published_models()
    monkeypatch.undo()
    published_models.cache_clear()
