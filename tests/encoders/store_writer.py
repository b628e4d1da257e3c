"""What other processes do to a store in the tests: fill it, slowly, and say after each write what is on disk."""

import time

from toy import ToyEncoder

from knobo.encoders import EmbeddingStore, embed
from knobo.encoders.store import Shelf


class SlowEncoder(ToyEncoder):
    seconds = 0.0

    def encode_batch(self, prepared):
        time.sleep(self.seconds)
        return super().encode_batch(prepared)


def fill(store, paths, seconds, answer):
    """Embed one image at a time, and send the number of rows after each flush."""

    def flush(self, original=Shelf.flush):
        original(self)
        answer.send(len(self))

    Shelf.flush = flush
    SlowEncoder.seconds = seconds
    answer.send(0)
    embed(SlowEncoder(batch_size=1), paths, store=EmbeddingStore(store, flush_rows=1))
