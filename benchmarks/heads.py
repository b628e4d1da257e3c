"""ConceptHead beside scikit-learn's solvers at the same objective, on synthetic correlated activations.

    python benchmarks/heads.py [--samples 2000 20000] [--classes 2 9] [--concepts 150] [--repeats 3]

Two problems for each shape: ridge (alpha 0.001) against ``LogisticRegression`` with lbfgs, and L1 (0.02 alpha_max)
against saga. A peer is run with smaller and smaller ``tol`` until its objective is within 1e-6 (relative) of the best
one known; the time of that run counts. ConceptHead runs once with its defaults, which are tighter. All run on one
thread; a time is the median of the repeats, and of one run where that takes longer than ten seconds.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from knobo.heads import ConceptHead, alpha_max
from knobo.heads.objective import make_penalty, objective

MATCHED = 1e-6
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


def make_activations(n, m, n_classes, seed=0):
    """Activations in [0, 1] that share ten factors, and labels that depend on a few of them in each class."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 10)) @ rng.normal(size=(10, m))
    A = 1 / (1 + np.exp(-0.7 * factors - rng.normal(size=(n, m))))
    W = 3 * rng.normal(size=(n_classes, m)) * (rng.random((n_classes, m)) < 0.15)
    logits = A @ W.T
    return A, (logits - logits.mean(axis=0) + rng.gumbel(size=logits.shape)).argmax(axis=1)


def timed_fit(estimator, A, y, repeats):
    """Median seconds of a fit; one fit is enough where it is slow."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        estimator.fit(A, y)
        seconds.append(time.perf_counter() - start)
        if seconds[0] > 10:
            break
    return np.median(seconds)


def excess_over(best, estimator, A, y, penalty):
    """How far an estimator's objective lies above the best one, relative to it."""
    s = np.full(len(y), 1 / len(y))
    return objective(estimator.coef_, estimator.intercept_, A, y, s, penalty) / best - 1


def compare(A, y, alpha, l1_ratio, solver, repeats):
    """Print one row: seconds and excess of both, and the ratio of the times."""
    head = ConceptHead(alpha, l1_ratio=l1_ratio)
    ours = timed_fit(head, A, y, repeats)
    best = head.certificate_.objective
    none = np.zeros_like(head.coef_)
    penalty = make_penalty(none, none, alpha=alpha, l1_ratio=l1_ratio)
    peer = LogisticRegression(C=1 / (len(y) * alpha), l1_ratio=l1_ratio, solver=solver, max_iter=5000, random_state=0)
    for tol in TOLERANCES:
        theirs = timed_fit(peer.set_params(tol=tol), A, y, repeats)
        excess = excess_over(best, peer, A, y, penalty)
        if excess <= MATCHED:
            break
    print(
        f"{len(y):7d} {A.shape[1]:4d} {len(head.classes_):3d}  {'L1' if l1_ratio else 'ridge':5s} {alpha:8.1e}"
        f" {np.count_nonzero(head.coef_):5d} {ours:9.3f} {head.certificate_.duality_gap / best:9.1e}"
        f"  {solver:5s} {tol:7.0e} {theirs:9.3f} {excess:9.1e} {theirs / ours:7.1f}x",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[2000])
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 9])
    parser.add_argument("--concepts", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # a peer that stops early is seen in its excess
    print("      n    m   K problem    alpha  nnz   knobo s  rel. gap  peer      tol    peer s    excess  peer / knobo")
    for n in args.samples:
        for n_classes in args.classes:
            A, y = make_activations(n, args.concepts, n_classes)
            with threadpool_limits(limits=1, user_api="blas"):
                compare(A, y, 1e-3, 0.0, "lbfgs", args.repeats)
                compare(A, y, 0.02 * alpha_max(ConceptHead(), A, y), 1.0, "saga", args.repeats)


if __name__ == "__main__":
    main()
