"""Images and texts to embeddings: the encoder protocols, CLIP models, and descriptors that need no download."""

from knobo.encoders.base import Encoder, ImageEncoder, TextEncoder
from knobo.encoders.classical import ClassicalEncoder
from knobo.encoders.clip import ClipEncoder
from knobo.encoders.load import load_encoder

__all__ = ["ClassicalEncoder", "ClipEncoder", "Encoder", "ImageEncoder", "TextEncoder", "load_encoder"]
