"""Methods beside Knobo's, as scikit-learn estimators that take embeddings: probes, robust probes, concept bottlenecks.

All have ``fit(X, y, *, groups=None, validation=None)``: ``groups`` is the cell (such as label and hospital) of each
case for methods that are told the confounder, ``validation`` is ``(X, y, groups)`` of the cases that choose. They are
small re-implementations from the papers: the method's idea on frozen embeddings, not its authors' code.
"""

from baselines.bottlenecks import Bottleneck, ConceptVectors, HybridBottleneck, TextSimilarity
from baselines.erasing import Erased, eraser
from baselines.heads import KnoBoHead, LaBoHead, SparseHead
from baselines.probes import GroupDROProbe, LinearProbe

__all__ = [
    "Bottleneck",
    "ConceptVectors",
    "Erased",
    "GroupDROProbe",
    "HybridBottleneck",
    "KnoBoHead",
    "LaBoHead",
    "LinearProbe",
    "SparseHead",
    "TextSimilarity",
    "eraser",
]
