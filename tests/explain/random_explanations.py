"""Random explanations for tests of properties that must hold for any head and any activations."""

import numpy as np

from knobo.bank import ConceptBank
from knobo.explain import Explanation


def random_explanation(seed, n=5, m=6, n_classes=3, **options) -> Explanation:
    rng = np.random.default_rng(seed)
    W, b = rng.normal(size=(n_classes, m)) * (rng.random((n_classes, m)) < 0.8), rng.normal(size=n_classes)
    if n_classes == 2:
        W, b = np.stack([-W[1], W[1]]), np.array([-b[1], b[1]])
    return Explanation(
        activations=rng.random((n, m)),
        weights=W,
        intercept=b,
        reference=rng.random(m),
        classes=[f"class {k}" for k in range(n_classes)],
        bank=ConceptBank.from_names([f"finding {j}" for j in range(m)]),
        prior_signs=np.zeros((n_classes, m)) if n_classes == 2 else rng.integers(-1, 2, (n_classes, m)),
        **options,
    )
