"""Grounding functions of all concepts in one call beside a loop of scikit-learn's LogisticRegression.

    python benchmarks/grounding.py [--concepts 150] [--pool 20000] [--dimensions 768] [--jobs 1 2] [--scaled]

Synthetic embeddings: correlated normal values whose variances fall as 1/k, with a common mean, brought to unit length
as those of CLIP-like models are (or, with --scaled, standardised: then the same C penalises far less, and the answers
can be separated). Each concept has 346 to 2,000 known answers, half yes and half no. Four comparisons, in one process,
repeats interleaved:

fit      C = 1, class_weight="balanced", in float32, against the loop with scikit-learn's defaults (max_iter=1000), and
         against the loop with the largest tol of 1e-4, 1e-5 … whose probabilities are within 3e-4 of a tight
         float64 solve, as ours have to be
grid     what ConceptScorer does: 6 strengths x 5 folds and the final fit, on --grid-concepts of the concepts
apply    all functions on all embeddings, against a loop of predict_proba
memory   peak of what a fit allocates, without the embeddings and answers (tracemalloc)

The peer's linear algebra runs on --blas-threads threads. Times are medians of the repeats, in seconds of wall clock and
of CPU; on a machine that others use, compare the CPU seconds.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
import warnings

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from knobo.grounding import fit_logistic
from knobo.grounding.scorer import DEFAULT_CS
from knobo.grounding.supervised import fit_grounding, make_folds

WITHIN = 3e-4


def make_pool(n, d, m, *, scaled, seed=0):
    """Embeddings (n, d) in float32 and labels (n, m), NaN where nobody answered."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, d)).astype(np.float32)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0].astype(np.float32)
    X = (Z / np.sqrt(np.arange(1, d + 1, dtype=np.float32))) @ rotation + 3 * rotation[0]
    if scaled:
        X = (X - X.mean(axis=0)) / X.std(axis=0)
    else:
        X /= np.linalg.norm(X, axis=1, keepdims=True)
    logits = Z @ (rng.normal(size=(d, m)) * (rng.random((d, m)) < 0.1)).astype(np.float32)
    logits = 2.9 * logits / logits.std(axis=0) + rng.logistic(size=(n, m))
    labels = np.full((m, n), np.nan)
    for j, size in enumerate(rng.integers(346, 2001, size=m)):
        truth = logits[:, j] > np.quantile(logits[:, j], 1 - rng.uniform(0.06, 0.5))
        half = min(size // 2, truth.sum(), (~truth).sum())
        for answer in (False, True):
            labels[j, rng.choice(np.flatnonzero(truth == answer), half, replace=False)] = answer
    return np.ascontiguousarray(X), labels.T


def loop(X, labels, tol=1e-4, max_iter=1000, **options):
    """The peer: one concept after another."""
    models = []
    for column in labels.T:
        rows = np.flatnonzero(~np.isnan(column))
        model = LogisticRegression(class_weight="balanced", tol=tol, max_iter=max_iter, **options)
        models.append(model.fit(X[rows], column[rows]))
    return models


def grid_loop(X, labels, folds):
    """The peer of the scorer's fit: every strength in every fold, and the final fit."""
    mean, scale = X.mean(axis=0), X.std(axis=0)
    Z = (X - mean) / scale
    for column in labels.T:
        known = ~np.isnan(column)
        for C in DEFAULT_CS:
            for train, test in folds:
                rows = train[known[train]]
                LogisticRegression(C=C, max_iter=1000).fit(Z[rows], column[rows]).predict_proba(Z[test])
        LogisticRegression(C=0.01, max_iter=1000).fit(Z[known], column[known])


def tight(X, labels):
    """Probabilities at the optimum, in float64, of the rows with an answer."""
    found = []
    for column in labels.T:
        rows = np.flatnonzero(~np.isnan(column))
        model = LogisticRegression(class_weight="balanced", solver="newton-cholesky", tol=1e-10, max_iter=1000)
        found.append(model.fit(X[rows].astype(float), column[rows]).predict_proba(X[rows].astype(float))[:, 1])
    return found


def distance(X, labels, coef, intercept, optimum):
    """Largest difference in probability."""
    pairs = zip(labels.T, coef, intercept, optimum, strict=True)
    return max(np.abs(expit(X[~np.isnan(y)] @ w + b) - p).max() for y, w, b, p in pairs)


def timed(run):
    """Result, wall seconds and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def race(runs, repeats):
    """Results and median wall and CPU seconds of several calls, repeats interleaved."""
    outcomes = [[timed(run) for run in runs] for _ in range(repeats)]
    return [(outcomes[-1][k][0], *np.median([[o[k][1], o[k][2]] for o in outcomes], axis=0)) for k in range(len(runs))]


def show(name, wall, cpu, base, note=""):
    print(f"  {name:44s} {wall:8.3f} {cpu:8.3f}  {base[0] / wall:7.1f}x {base[1] / cpu:7.1f}x  {note}", flush=True)


def peak(run):
    """Megabytes that a call allocates at most."""
    tracemalloc.start()
    run()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found / 1e6


def compare_fits(X, labels, jobs, repeats):
    """Print the rows of "fit"."""
    probe = labels[:, :: max(1, labels.shape[1] // 15)]
    optimum = tight(X, probe)
    for tol in (1e-4, 1e-5, 1e-6, 1e-7, 1e-8):
        models = loop(X, probe, tol, max_iter=5000)
        off = distance(X, probe, [f.coef_[0] for f in models], [f.intercept_[0] for f in models], optimum)
        if tol == 1e-4:
            default_off = off
        if off <= WITHIN:
            break
    runs = [lambda: loop(X, labels), lambda: loop(X, labels, tol, max_iter=5000)]
    runs += [lambda n=n: fit_logistic(X, labels, class_weight="balanced", n_jobs=n) for n in jobs]
    (_, *base), (_, *matched), *ours = race(runs, repeats)
    show("scikit-learn loop, default tol", *base, base, f"max dprob {default_off:.1e}")
    show(f"scikit-learn loop, tol {tol:.0e}", *matched, base, f"max dprob {off:.1e}")
    for n, (functions, *seconds) in zip(jobs, ours, strict=True):
        every = slice(None, None, max(1, labels.shape[1] // 15))
        off = distance(X, probe, functions.coef[every], functions.intercept[every], optimum)
        ratio = f"; {matched[0] / seconds[0]:.1f}x wall, {matched[1] / seconds[1]:.1f}x CPU of the matched loop"
        show(f"fit_logistic, n_jobs={n}", *seconds, base, f"max dprob {off:.1e}{ratio}")
    return functions


def compare_grids(X, labels, jobs):
    """Print the rows of "grid"."""
    folds = make_folds(len(X), 5, groups=None, random_state=0)
    (_, *base) = timed(lambda: grid_loop(X, labels, folds))
    show(f"scikit-learn loop, {31 * labels.shape[1]} fits", *base, base)
    for n in jobs:
        _, *seconds = timed(lambda n=n: fit_grounding(X, labels, Cs=DEFAULT_CS, folds=folds, n_jobs=n))
        show(f"fit_grounding, n_jobs={n}", *seconds, base)


def compare_application(X, labels, functions, repeats):
    """Print the rows of "apply"."""
    models = loop(X, labels[:, :1]) * labels.shape[1]
    (_, *base), (_, *ours) = race([lambda: [f.predict_proba(X) for f in models], lambda: functions(X)], repeats)
    show("scikit-learn loop of predict_proba", *base, base)
    show("one matrix product", *ours, base)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concepts", type=int, default=150)
    parser.add_argument("--pool", type=int, default=20_000)
    parser.add_argument("--dimensions", type=int, default=768)
    parser.add_argument("--grid-concepts", type=int, default=16)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--blas-threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scaled", action="store_true")
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore")  # a peer that stops early is seen in its distance
    X, labels = make_pool(args.pool, args.dimensions, args.concepts, scaled=args.scaled)
    known = (~np.isnan(labels)).sum(axis=0)
    kind = "standardised" if args.scaled else "unit-length"
    print(f"{args.concepts} concepts, {known.min()}-{known.max()} answers each, of {X.shape} {kind} {X.dtype}")
    print(f"  {'':44s} {'wall s':>8s} {'CPU s':>8s}  {'wall':>8s} {'CPU':>8s}")
    with threadpool_limits(limits=args.blas_threads, user_api="blas"):
        functions = compare_fits(X, labels, args.jobs, args.repeats)
        compare_application(X, labels, functions, args.repeats)
        compare_grids(X, labels[:, : args.grid_concepts], args.jobs)
        few = labels[:, :5]
        print(f"  peak memory of 5 fits, MB: loop {peak(lambda: loop(X, few)):.1f}, ", end="")
        print(f"fit_logistic {peak(lambda: fit_logistic(X, few, class_weight='balanced')):.1f}; ", end="")
        print(f"of {args.concepts}: {peak(lambda: fit_logistic(X, labels, class_weight='balanced')):.1f}")


if __name__ == "__main__":
    main()
