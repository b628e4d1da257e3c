"""The ``"tanh"`` prior of ConceptHead beside the training loop of the paper, at the loop's own objective.

    python benchmarks/tanh_prior.py [--samples 2000] [--classes 2 9] [--concepts 150] [--epochs 200] [--seeds 1]

Both minimise cross-entropy + mean |tanh W − P| over synthetic correlated activations, with P in {-1, 1}. The loop is
PyTorch's DataLoader, batches of 64, Adam at 1e-3, 200 epochs. Its time leaves out the evaluations; its objective is
that of the last epoch, on all samples, and the best of all epochs is printed beside it. With two classes both have one
row of weights, that of the log-odds. ConceptHead runs with smaller and smaller ``tol`` until its objective is below
the loop's last one; the time of that run counts. It then runs with its default ``tol``.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import torch
from heads import make_activations
from threadpoolctl import threadpool_limits
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from knobo.heads import ConceptHead
from knobo.heads.objective import log_loss, log_probabilities

TOLERANCES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5, 1e-6, 1e-8)


def paper_objective(W, b, A, y, signs):
    """Cross-entropy + mean |tanh W − P|."""
    s = np.full(len(y), 1 / len(y))
    return log_loss(log_probabilities(A @ W.T + b), y, s) + np.abs(np.tanh(W) - signs).mean()


def train_loop(A, y, signs, epochs, seed):
    """Seconds of the training steps, and the objective after each epoch."""
    torch.manual_seed(seed)
    P = torch.tensor(signs, dtype=torch.float32)
    loader = DataLoader(TensorDataset(torch.tensor(A, dtype=torch.float32), torch.tensor(y)), 64, shuffle=True)
    model = torch.nn.Linear(A.shape[1], len(signs))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    seconds, objectives = 0.0, []
    for _ in range(epochs):
        begin = time.perf_counter()
        for a, target in loader:
            logits = model(a)
            if len(signs) == 1:
                loss = functional.binary_cross_entropy_with_logits(logits[:, 0], target.float())
            else:
                loss = functional.cross_entropy(logits, target)
            loss = loss + (torch.tanh(model.weight) - P).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds += time.perf_counter() - begin
        W, b = (part.detach().numpy().astype(float) for part in (model.weight, model.bias))
        objectives.append(paper_objective(W, b, A, y, signs))
    return seconds, objectives


def timed_fit(head, A, y, repeats=5):
    """Median seconds of a fit."""
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        head.fit(A, y)
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


def compare(n, m, n_classes, epochs, seed):
    """Print one row."""
    A, y = make_activations(n, m, n_classes, seed)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (1 if n_classes == 2 else n_classes, m))
    loop_seconds, objectives = train_loop(A, y, signs, epochs, seed)
    for tol in TOLERANCES:
        head = ConceptHead(0.0, prior="tanh", prior_signs=signs, tol=tol)
        below_seconds = timed_fit(head, A, y)
        below = paper_objective(head.coef_, head.intercept_, A, y, signs)
        if below < objectives[-1]:
            break
    full = ConceptHead(0.0, prior="tanh", prior_signs=signs)
    full_seconds = timed_fit(full, A, y, 1)
    end = paper_objective(full.coef_, full.intercept_, A, y, signs)
    print(
        f"{n:7d} {m:4d} {n_classes:3d} {seed:4d} {loop_seconds:8.2f} {objectives[-1]:9.4f} {min(objectives):9.4f}"
        f"  {tol:6.0e} {below_seconds:8.4f} {below:9.4f} {loop_seconds / below_seconds:8.0f}x"
        f"  {full_seconds:8.3f} {end:9.4f} {full.certificate_.kkt_residual:9.1e}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[2000])
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 9])
    parser.add_argument("--concepts", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # stopping early is the point
    torch.set_num_threads(1)
    print(
        "      n    m   K seed   loop s  loop end loop best     tol  below s objective  loop/ours    full s  objective"
        "  residual"
    )
    with threadpool_limits(limits=1, user_api="blas"):
        for n in args.samples:
            for n_classes in args.classes:
                for seed in range(args.seeds):
                    compare(n, args.concepts, n_classes, args.epochs, seed)


if __name__ == "__main__":
    main()
