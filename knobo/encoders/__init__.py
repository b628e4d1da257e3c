"""Images and texts to embeddings: encoders, the pipeline that runs them at speed, and the store of its results."""

from knobo.encoders._work import Block, Skipped
from knobo.encoders.base import Encoder, ImageEncoder, TextEncoder
from knobo.encoders.classical import ClassicalEncoder
from knobo.encoders.clip import ClipEncoder
from knobo.encoders.load import load_encoder
from knobo.encoders.pipeline import Embeddings, embed, embed_blocks
from knobo.encoders.staged import StagedEncoder
from knobo.encoders.store import EmbeddingStore
from knobo.encoders.upkeep import Tidied, store_stats, tidy_store, verify_store

__all__ = [
    "Block",
    "ClassicalEncoder",
    "ClipEncoder",
    "EmbeddingStore",
    "Embeddings",
    "Encoder",
    "ImageEncoder",
    "Skipped",
    "StagedEncoder",
    "TextEncoder",
    "Tidied",
    "embed",
    "embed_blocks",
    "load_encoder",
    "store_stats",
    "tidy_store",
    "verify_store",
]
