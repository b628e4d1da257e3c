"""Images and texts to embeddings: encoders and published models, the pipeline that runs them, the store of results."""

from knobo.encoders._work import Block, Skipped
from knobo.encoders.base import Encoder, ImageEncoder, TextEncoder
from knobo.encoders.classical import ClassicalEncoder
from knobo.encoders.clip import ClipEncoder
from knobo.encoders.load import load_encoder
from knobo.encoders.pipeline import Embeddings, embed, embed_blocks
from knobo.encoders.registry import ModelCard, find_model, published_models
from knobo.encoders.staged import StagedEncoder
from knobo.encoders.store import EmbeddingStore
from knobo.encoders.training import finetune
from knobo.encoders.upkeep import Tidied, store_stats, tidy_store, verify_store

__all__ = [
    "Block",
    "ClassicalEncoder",
    "ClipEncoder",
    "EmbeddingStore",
    "Embeddings",
    "Encoder",
    "ImageEncoder",
    "ModelCard",
    "Skipped",
    "StagedEncoder",
    "TextEncoder",
    "Tidied",
    "embed",
    "embed_blocks",
    "find_model",
    "finetune",
    "load_encoder",
    "published_models",
    "store_stats",
    "tidy_store",
    "verify_store",
]
