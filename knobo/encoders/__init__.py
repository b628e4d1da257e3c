"""Images and texts to embeddings: the encoder protocols, published models, and descriptors that need no download."""

from knobo.encoders.base import Encoder, ImageEncoder, TextEncoder
from knobo.encoders.classical import ClassicalEncoder
from knobo.encoders.clip import ClipEncoder
from knobo.encoders.load import load_encoder
from knobo.encoders.registry import ModelCard, find_model, published_models

__all__ = [
    "ClassicalEncoder",
    "ClipEncoder",
    "Encoder",
    "ImageEncoder",
    "ModelCard",
    "TextEncoder",
    "find_model",
    "load_encoder",
    "published_models",
]
