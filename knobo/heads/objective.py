"""The convex objective of the concept head, as plain functions on arrays.

    J(W, b) = mean_i s_i CE(softmax(W a_i + b), y_i) + λ R(W; P) + α (ρ ‖W‖₁ + (1 − ρ)/2 ‖W‖²)

R, the ``"sign"`` prior, is the mean of c·max(0, −P·W) over the entries that the literature speaks of (P ≠ 0). The
prior and the L1 norm are both piecewise linear in each single weight, so together they are one slope on either side
of zero, and all that depends on them (value, prox, subgradient, conjugate) is a formula in these two slopes. The
``"hard"`` and ``"shrink"`` priors are other choices of the two slopes; an infinite slope forbids a sign.

Rows. With K > 2 classes there is one row of weights a class. With two classes there is one row only, the log-odds of
the second class, exactly as in scikit-learn. R denotes the number of rows, s the sample weights, which sum to one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, xlogy

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Penalty:
    """A separable penalty: ``up``·max(w, 0) + ``down``·max(−w, 0) + ``ridge``/2·w² for each weight w.

    Attributes
    ----------
    up, down, ridge : ndarray, one shape for all, non-negative
        Slope above zero, slope below zero (each may be infinite: that sign is forbidden), and curvature.
    """

    up: Array
    down: Array
    ridge: Array

    @property
    def kinked(self) -> NDArray[np.bool_]:
        """Where the penalty has a corner at zero, so that weights can be exactly zero."""
        return (self.up + self.down) > 0

    def value(self, W: Array) -> float:
        """Value of the penalty at weights ``W``."""
        above, below = W > 0, W < 0  # by mask: an infinite slope times a zero weight is no number
        slopes = self.up[above] @ W[above] - self.down[below] @ W[below]
        return float(slopes + 0.5 * (self.ridge * W * W).sum())

    def prox(self, V: Array, step: float) -> Array:
        """Minimiser over w of ``(w − v)²/(2·step)`` plus the penalty: soft-thresholding with two thresholds."""
        shrunk = np.maximum(V - step * self.up, 0.0) + np.minimum(V + step * self.down, 0.0)
        return shrunk / (1.0 + step * self.ridge)

    def residual(self, W: Array, gradient: Array) -> Array:
        """Distance of ``−gradient`` to the subdifferential at ``W``: zero everywhere at the optimum.

        Parameters
        ----------
        W : ndarray
            Weights.
        gradient : ndarray, shape of W
            Gradient of the loss at W.
        """
        smooth = gradient + self.ridge * W
        at_zero = np.maximum(np.maximum(-smooth - self.up, smooth - self.down), 0.0)
        return np.where(W > 0, np.abs(smooth + self.up), np.where(W < 0, np.abs(smooth - self.down), at_zero))

    def scaled(self, scale: Array) -> Penalty:
        """The same penalty as a function of ``W · scale``."""
        return Penalty(self.up / scale, self.down / scale, self.ridge / scale**2)

    def only(self, allowed: NDArray[np.bool_]) -> Penalty:
        """The same penalty with all weights but the ``allowed`` ones forbidden."""
        return Penalty(np.where(allowed, self.up, np.inf), np.where(allowed, self.down, np.inf), self.ridge)

    def excess(self, pull: Array) -> Array:
        """How far ``pull`` lies outside of the slopes: what is left of it after soft-thresholding."""
        return np.maximum(pull - self.up, 0.0) + np.minimum(pull + self.down, 0.0)

    def conjugate(self, pull: Array) -> float:
        """Convex conjugate at ``pull``, which without curvature must lie between the slopes."""
        curved = self.ridge > 0
        return 0.5 * float((self.excess(pull)[curved] ** 2 / self.ridge[curved]).sum())

    def largest_mix(self, pull: Array) -> float:
        """Largest t in [0, 1] with a finite conjugate at t·pull."""
        slope = np.where(pull > 0, self.up, self.down)
        over = (self.ridge == 0) & (np.abs(pull) > slope)
        return float((slope[over] / np.abs(pull[over])).min()) if over.any() else 1.0


def make_penalty(
    signs: Array,
    confidence: Array,
    *,
    alpha: float,
    l1_ratio: float = 1.0,
    prior_strength: float = 0.0,
    prior: str = "sign",
) -> Penalty:
    """Penalty of all weights: elastic net and literature prior.

    Parameters
    ----------
    signs : ndarray of shape (R, m), in {-1, 0, 1}
        Prior sign P of each weight; 0 means unknown and brings no prior.
    confidence : ndarray of shape (R, m), in [0, 1]
        Confidence c of each sign.
    alpha, l1_ratio, prior_strength : float
        α, ρ and λ of the objective.
    prior : {"sign", "hard", "shrink"}
        ``"sign"`` adds the slope λ·c / #(P ≠ 0) on the wrong side of zero. ``"hard"`` does so, too, where c < 1, and
        forbids the wrong side where c = 1. ``"shrink"`` divides the L1 slope on the right side by 1 + λ·c and
        multiplies it by that on the wrong side: an adaptive lasso (Zou, *JASA* 101:1418, 2006) with weights that come
        from the literature rather than from a first fit.
    """
    lasso = np.full(signs.shape, alpha * l1_ratio)
    if prior == "shrink":
        factor = 1.0 + prior_strength * confidence
        agreeing, disagreeing = lasso / factor, lasso * factor
    else:
        known = max(int(np.count_nonzero(signs)), 1)
        agreeing, disagreeing = lasso, lasso + prior_strength * confidence / known
    if prior == "hard":
        disagreeing = np.where(confidence == 1.0, np.inf, disagreeing)
    return Penalty(
        up=np.select([signs > 0, signs < 0], [agreeing, disagreeing], lasso),
        down=np.select([signs < 0, signs > 0], [agreeing, disagreeing], lasso),
        ridge=np.full(signs.shape, alpha * (1.0 - l1_ratio)),
    )


def merge_binary_prior(signs: Array, confidence: Array) -> tuple[Array, Array]:
    """Merge the priors of two classes into one for the log-odds of the second.

    A finding that speaks for the second class or against the first has sign +1. Where both classes have the same
    sign, the finding does not tell them apart and the sign is 0.

    Parameters
    ----------
    signs, confidence : ndarray of shape (2, m)

    Returns
    -------
    signs, confidence : ndarray of shape (1, m)
        The confidence is the larger one of the classes that have a sign.
    """
    merged = np.sign(signs[1:] - signs[:1])
    known = np.where(signs != 0, confidence, 0.0).max(axis=0, keepdims=True)
    return merged, np.where(merged != 0, known, 0.0)


def balance_rows(W: Array, penalty: Penalty) -> Array:
    """Pick one of the equivalent solutions of more than two classes.

    Adding one number to a concept's weights of all classes changes no probability, and without curvature often no
    penalty either (such as +1, +1, −1, −1 under L1). Of those equivalent weights take the smallest in sum of squares.

    Parameters
    ----------
    W : ndarray of shape (R, m)
        Optimal weights.
    penalty : Penalty of shape (R, m)

    Returns
    -------
    ndarray of shape (R, m)
    """
    slopes = penalty.up + penalty.down
    slack = 1e-12 * np.where(np.isfinite(slopes), slopes, 0.0).sum(axis=0)
    flat_above = np.abs(np.where(W >= 0, penalty.up, -penalty.down).sum(axis=0)) <= slack
    flat_below = np.abs(np.where(W > 0, penalty.up, -penalty.down).sum(axis=0)) <= slack
    # It stays flat until the next weight meets its corner at zero.
    above = np.where((W < 0) & penalty.kinked, -W, np.inf).min(axis=0)
    below = np.where((W > 0) & penalty.kinked, W, np.inf).min(axis=0)
    shift = np.clip(-W.mean(axis=0), np.where(flat_below, -below, 0.0), np.where(flat_above, above, 0.0))
    return np.where((penalty.ridge > 0).any(axis=0), W, W + shift)


def log_probabilities(logits: Array) -> Array:
    """Log class probabilities, shape (n, K), of the logits of each row, shape (n, R)."""
    if logits.shape[1] == 1:
        half = np.hstack([np.zeros_like(logits), logits])
        return np.asarray(log_softmax(half, axis=1))
    return np.asarray(log_softmax(logits, axis=1))


def log_loss(log_p: Array, codes: NDArray[np.intp], sample_weight: Array) -> float:
    """Weighted mean cross-entropy in nats.

    Parameters
    ----------
    log_p : ndarray of shape (n, K)
        Log class probabilities.
    codes : ndarray of shape (n,)
        Index of each sample's class.
    sample_weight : ndarray of shape (n,)
        Sums to one.
    """
    return float(-(sample_weight @ log_p[np.arange(len(codes)), codes]))


def loss_derivative(log_p: Array, codes: NDArray[np.intp], sample_weight: Array) -> Array:
    """Derivative of :func:`log_loss` by the logits of each sample: s·(p − y), shape (n, R)."""
    derivative = np.exp(log_p)
    derivative[np.arange(len(codes)), codes] -= 1.0
    derivative *= sample_weight[:, None]
    return derivative[:, 1:] if log_p.shape[1] == 2 else derivative


def objective(W: Array, b: Array, A: Array, codes: NDArray[np.intp], sample_weight: Array, penalty: Penalty) -> float:
    """J(W, b) of the module's head.

    Parameters
    ----------
    W : ndarray of shape (R, m)
    b : ndarray of shape (R,)
    A : ndarray of shape (n, m)
        Activations.
    codes : ndarray of shape (n,)
        Index of each sample's class.
    sample_weight : ndarray of shape (n,)
        Sums to one.
    penalty : Penalty
        Of shape (R, m).
    """
    return log_loss(log_probabilities(A @ W.T + b), codes, sample_weight) + penalty.value(W)


def dual_bound(
    log_p: Array,
    A: Array,
    codes: NDArray[np.intp],
    sample_weight: Array,
    penalty: Penalty,
    *,
    intercept: bool,
    offset: Array | None = None,
) -> float:
    """Lower bound on the minimum of J, from the Fenchel dual at a feasible point made from the probabilities.

    The dual is  max over q  of  Σ_i s_i H(q_i) − Σ φ*(−G),  G = Σ_i s_i (q_i − y_i) a_iᵀ,  where H is the entropy,
    q_i lie in the simplex, φ* is the conjugate of the penalty, and an intercept asks that Σ_i s_i (q_i − y_i) = 0.
    The probabilities are moved to the right class frequencies, then mixed with the labels until every weight without
    curvature has its G between the two slopes. At the optimum neither changes anything and the bound is tight.

    Parameters
    ----------
    log_p : ndarray of shape (n, K)
        Log class probabilities of any candidate.
    A, codes, sample_weight, penalty :
        As in :func:`objective`.
    intercept : bool
        Whether b is free.
    offset : ndarray of shape (n, R), optional
        Fixed part o of the logits; adds Σ_i s_i (q_i − y_i)·o_i to the dual.
    """
    onehot = np.zeros_like(log_p)
    onehot[np.arange(len(codes)), codes] = 1.0
    q = np.exp(log_p)
    if intercept:
        q = _match_frequencies(q, onehot, sample_weight)
    n_rows = 1 if log_p.shape[1] == 2 else log_p.shape[1]
    residual = ((q - onehot) * sample_weight[:, None])[:, -n_rows:]
    pull = -(residual.T @ A)
    mix = penalty.largest_mix(pull)
    q = onehot + mix * (q - onehot)
    entropy = -float(sample_weight @ xlogy(q, q).sum(axis=1))
    if offset is not None:
        entropy += mix * float((residual * offset).sum())
    return entropy - penalty.conjugate(mix * pull)


def _match_frequencies(q: Array, onehot: Array, sample_weight: Array) -> Array:
    """Shift the rows of ``q`` so that the classes get their observed frequencies, staying inside the simplex."""
    frequencies = sample_weight @ onehot
    shift = frequencies - sample_weight @ q
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(shift < 0, -shift / frequencies, 0.0).max()
    keep = 1.0 / (1.0 + ratio)
    return np.maximum(keep * (q + shift) + (1.0 - keep) * frequencies, 0.0)  # rounding may leave −1e-20
