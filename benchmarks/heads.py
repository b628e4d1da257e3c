"""ConceptHead beside other solvers, on synthetic correlated activations.

    python benchmarks/heads.py [--samples 2000 20000] [--classes 2 9] [--concepts 150] [--repeats 3] [--epochs 3]
    python benchmarks/heads.py --large 1000000 --classes 14

Problems for each shape: ridge (alpha 0.001) against ``LogisticRegression`` with lbfgs, L1 (0.02 alpha_max) against
saga, for two classes also against liblinear, skglm and celer where they are installed, and the path of 50 alphas down
to alpha_max / 500, for two classes beside adelie's. A peer is run with smaller and smaller ``tol`` until its objective
is within 1e-6 (relative) of the best one known; the time of that run counts. liblinear penalises its intercept and
celer has none, so they solve another problem and are shown at their defaults. The reference loop is 200 epochs of Adam
(batch 64, learning rate 1e-3) on cross-entropy + mean |tanh W − P|; ``--epochs`` of them are run, and scaled.

A time is the median of the repeats, of one run where that takes longer than ten seconds, in CPU seconds of one thread,
so that other work on the machine does not count. ``--wall`` gives wall seconds with all cores instead.
``--large`` fits one head to so many samples in single precision and gives the peak of the memory.
"""

from __future__ import annotations

import argparse
import importlib
import os
import resource
import sys
import time
import warnings

if "--wall" not in sys.argv:  # before the numerical libraries start their threads
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT"), "1"))

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from knobo.heads import ConceptHead, ConceptHeadCV, alpha_max
from knobo.heads.objective import make_penalty, objective

MATCHED = 1e-6
clock = time.perf_counter if "--wall" in sys.argv else time.process_time
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
        start = clock()
        estimator.fit(A, y)
        seconds.append(clock() - start)
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


def compare_defaults(A, y, alpha, repeats):
    """Print the seconds of binary L1 peers at their defaults, where they are installed."""
    from sklearn.linear_model import LogisticRegression as Liblinear

    C = 1 / (len(y) * alpha)
    peers = {"liblinear": Liblinear(C=C, l1_ratio=1.0, solver="liblinear", intercept_scaling=100.0)}
    if skglm := optional("skglm"):
        peers["skglm"] = skglm.SparseLogisticRegression(alpha=alpha)
    if celer := optional("celer"):
        peers["celer"] = celer.LogisticRegression(C=C)
    for name, peer in peers.items():
        peer.fit(A[:200], y[:200])  # compiles
        print(f"        {name} {timed_fit(peer, A, y, repeats):.3f} s, {np.count_nonzero(peer.coef_)} non-zero")


def compare_path(A, y, repeats):
    """Print the seconds of a path of 50, and of adelie's for two classes."""
    top = alpha_max(ConceptHead(), A, y)
    alphas = np.geomspace(top, top / 500, 50)

    class Ours:
        def fit(self, A, y):
            head = ConceptHeadCV(alphas)
            problem = head._problem(head._read(A, y, None))
            self.solutions = list(head._path(problem, alphas))

    ours = Ours()
    line = f"        path of 50: knobo {timed_fit(ours, A, y, repeats):.3f} s"
    line += (
        f", largest relative gap {max(s.certificate.duality_gap / s.certificate.objective for s in ours.solutions):.1e}"
    )
    if y.max() == 1 and (adelie := optional("adelie")):

        class Theirs:
            def fit(self, A, y):
                X = np.asfortranarray(A)
                family = adelie.glm.binomial(y.astype(float))
                self.state = adelie.grpnet(
                    X, family, lmda_path=alphas, progress_bar=False, early_exit=False, n_threads=1
                )

        theirs = Theirs()
        line += f"; adelie {timed_fit(theirs, A, y, repeats):.3f} s for {len(theirs.state.lmdas)}"
        last = theirs.state.betas[-1].toarray(), np.array([theirs.state.intercepts[-1]])
        none = np.zeros((1, A.shape[1]))
        s = np.full(len(y), 1 / len(y))
        found = objective(*last, A, y, s, make_penalty(none, none, alpha=theirs.state.lmdas[-1]))
        ours_last = ours.solutions[len(theirs.state.lmdas) - 1].certificate.objective
        line += f", its last objective {found / ours_last - 1:.1e} above ours"
    print(line, flush=True)


def reference_loop(A, y, epochs):
    """Seconds of the reference loop's 200 epochs, scaled from ``epochs``."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    n_classes = int(y.max()) + 1
    X, labels = torch.from_numpy(A.astype(np.float32)), torch.from_numpy(y)
    P = torch.randint(0, 2, (n_classes, A.shape[1])) * 2.0 - 1.0
    model = torch.nn.Linear(A.shape[1], n_classes)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    cut = int(0.8 * len(y))
    data = torch.utils.data.TensorDataset(X[:cut], labels[:cut])
    start = clock()
    for _ in range(epochs):
        for batch, target in torch.utils.data.DataLoader(data, batch_size=64, shuffle=True):
            adam.zero_grad()
            prior = (torch.tanh(model.weight) - P).abs().mean()
            (torch.nn.functional.cross_entropy(model(batch), target) + prior).backward()
            adam.step()
        with torch.no_grad():
            (model(X[cut:]).argmax(1) == labels[cut:]).float().mean().item()
    return (clock() - start) * 200 / epochs


def optional(name):
    """A module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def fit_large(n, m, n_classes):
    """Fit one head to n samples in single precision, made in blocks; print seconds and the peak of the memory."""
    A, y = np.empty((n, m), dtype=np.float32), np.empty(n, dtype=int)
    rng = np.random.default_rng(0)
    mixing, W = rng.normal(size=(10, m)), 3 * rng.normal(size=(n_classes, m)) * (rng.random((n_classes, m)) < 0.15)
    for first in range(0, n, 10_000):
        here = slice(first, first + 10_000)
        factors = rng.normal(size=(len(y[here]), 10)) @ mixing
        A[here] = 1 / (1 + np.exp(-0.7 * factors - rng.normal(size=factors.shape)))
        logits = (A[here] - 0.5) @ W.T
        y[here] = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    alpha = 0.02 * alpha_max(ConceptHead(), A, y)
    start, cpu = time.perf_counter(), time.process_time()
    head = ConceptHead(alpha).fit(A, y)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"n={n} m={m} K={n_classes}: {wall:.2f} s wall, {cpu:.2f} s CPU, {head.n_iter_} iterations on all samples,")
    print(f"peak memory {peak:.2f} GiB, of which {before:.2f} before the fit; {head.certificate_}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[2000])
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 9])
    parser.add_argument("--concepts", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3, help="epochs of the reference loop to run; 0 leaves it out")
    parser.add_argument("--large", type=int, help="only fit one head to so many samples")
    parser.add_argument("--wall", action="store_true", help="wall seconds with all cores")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # a peer that stops early is seen in its excess
    if args.large:
        fit_large(args.large, args.concepts, args.classes[-1])
        return
    print("      n    m   K problem    alpha  nnz   knobo s  rel. gap  peer      tol    peer s    excess  peer / knobo")
    for n in args.samples:
        for n_classes in args.classes:
            A, y = make_activations(n, args.concepts, n_classes)
            with threadpool_limits(limits=1, user_api="blas"):
                alpha = 0.02 * alpha_max(ConceptHead(), A, y)
                compare(A, y, 1e-3, 0.0, "lbfgs", args.repeats)
                compare(A, y, alpha, 1.0, "saga", args.repeats)
                compare_path(A, y, args.repeats)
                if n_classes == 2:
                    compare_defaults(A, y, alpha, args.repeats)
                if args.epochs:
                    print(f"        reference loop, 200 epochs {reference_loop(A, y, args.epochs):.1f} s", flush=True)


if __name__ == "__main__":
    main()
