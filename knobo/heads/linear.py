"""ConceptHead: concept activations to classes, sparse and pulled towards the signs that the literature gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from knobo.heads.base import LinearHead
from knobo.heads.fitting import fit_at
from knobo.heads.settings import check_number
from knobo.heads.solver import one_blas_thread


class ConceptHead(LinearHead):
    """Logistic regression on concept activations, sparse and pulled towards the literature's signs.

    It minimises, to the certified tolerance ``tol``,

        mean_i s_i CE(softmax(W a_i + b), y_i) + λ · mean_{P ≠ 0} c · max(0, −P·W) + α (ρ ‖W‖₁ + (1 − ρ)/2 ‖W‖²)

    with the sample weights s divided by their mean and an intercept b free of penalty. A weight whose sign agrees
    with the literature, or of which the literature says nothing, is free of the prior (the second term).

    Parameters
    ----------
    alpha : float
        Strength α of the elastic net, at least 0, on the scale of a mean loss in nats.
    l1_ratio : float
        Share ρ of the L1 norm, from 0 (ridge) to 1 (lasso: most weights are exactly zero).
    prior : {"sign", "hard", "shrink", "tanh", None}
        How the literature's signs P act on the weights, with confidence c and strength λ:

        - ``"sign"``: the term above; a wrong sign costs λ·c a unit of weight, divided by the number of known signs.
        - ``"hard"``: wrong signs are forbidden where c = 1; where c < 1 they cost as with ``"sign"``.
        - ``"shrink"``: instead of that term, the L1 slope α·ρ is divided by 1 + λ·c on the side that agrees and
          multiplied by 1 + λ·c on the side that disagrees; unknown signs keep α·ρ. Nothing happens at ρ = 0.
        - ``"tanh"``: the paper's mean of ``c·abs(tanh W − P)`` over P ≠ 0, which is not convex. The result is a local
          optimum (``certificate_`` is a ``LocalCertificate``), the same on every run.
        - ``None`` leaves the literature out even where ``prior_signs`` are given.
    prior_signs : array-like of shape (K, m), in {-1, 0, 1}, optional
        P: whether the concept speaks for (1) or against (-1) the class; 0 is unknown and brings no pull. Rows follow
        the sorted class labels (``classes_``). For two classes a finding that speaks for the second or against the
        first has sign 1 in the log-odds, with the larger confidence of the two, and the same sign for both cancels;
        signs of the log-odds themselves, shape (1, m), are taken, too.
    prior_confidence : array-like of the shape of ``prior_signs``, in [0, 1], optional
        c; default 1.
    prior_strength : float
        λ, at least 0.
    concept_groups : array-like of shape (m,), optional
        One label a concept, such as :meth:`knobo.ConceptBank.concept_groups` gives (inside of
        :class:`knobo.ConceptBottleneckClassifier` write ``"bank"`` for those of its bank). Concepts of one label are
        in or out of a class together: the L1 norm becomes Σ_k Σ_g √|g| ‖W_kg‖₂, with one block a class k and group g
        (Yuan & Lin, *JRSS B* 68:49, 2006). Not with ``prior`` ``"shrink"`` or ``"tanh"``.
    max_concepts_per_class : int, optional
        At most so many non-zero weights in each row of ``coef_``. The path is followed from the sparsest head down
        to ``alpha``; a class that would exceed the number keeps the concepts that came in first, the others are
        forbidden, and the weights on what is left are refitted exactly, still with penalty and prior. It is a greedy
        choice: another set of so many concepts may fit better. Not with ``concept_groups``, ``"tanh"`` or ρ = 0.
    fit_intercept : bool
        Whether b is free; else it is 0.
    class_weight : dict of label to weight, "balanced", or None
        Multiplies the sample weights; ``"balanced"`` gives all classes the same total.
    tol : float
        Largest KKT residual of the solution, in nats per standard deviation of an activation.
    max_iter : int
        Largest number of Newton iterations.

    Attributes
    ----------
    coef_ : ndarray of shape (K, m), or (1, m) for two classes
        W; for two classes the weights of the log-odds of ``classes_[1]``.
    intercept_ : ndarray of shape (K,) or (1,)
        b; with more than two classes it sums to zero.
    classes_ : ndarray of shape (K,)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (m,)
        Only where X was a table with column names.
    n_iter_ : int
    certificate_ : Certificate
        Objective, KKT residual and duality gap reached: the objective is at most ``certificate_.duality_gap`` above
        its minimum.

    See Also
    --------
    ConceptHeadCV : chooses ``alpha`` by cross-validation.
    class_weights : one row of weights for every class, also where there are two.

    Notes
    -----
    With more than two classes and ρ = 1 several weights may be optimal; of those that differ by a number added to one
    concept's weights of all classes, the smallest are returned. The same data give the same weights on every run.

    For one classifier a class, each against the rest, use
    ``OneVsRestClassifier(ConceptHead())`` of scikit-learn; where a prior is to act on each class, or classes may occur
    together, :class:`MultiLabelConceptHead` on one column of labels a class.

    With λ = 0 and ρ = 0 this is scikit-learn's ``LogisticRegression(C=1 / (n · alpha))``. Integer sample weights
    equal repeated rows; weights are relative, so doubling all changes nothing.

    References
    ----------
    The prior is a convex variant of the parameter prior of Yang et al., *A Textbook Remedy for Domain Shifts*,
    NeurIPS 2024, arXiv:2405.14839.

    Examples
    --------
    >>> import numpy as np
    >>> from knobo.heads import ConceptHead
    >>> A = np.array([[0.9, 0.1], [0.8, 0.3], [0.2, 0.2], [0.1, 0.1]])
    >>> head = ConceptHead(alpha=0.05, prior_signs=[[1, 0]]).fit(A, ["healthy", "ill", "healthy", "healthy"])
    >>> head.predict([[0.9, 0.2]])
    array(['healthy'], dtype='<U7')
    """

    def __init__(
        self,
        alpha: float = 0.01,
        *,
        l1_ratio: float = 1.0,
        prior: str | None = "sign",
        prior_signs: ArrayLike | None = None,
        prior_confidence: ArrayLike | None = None,
        prior_strength: float = 1.0,
        concept_groups: ArrayLike | None = None,
        max_concepts_per_class: int | None = None,
        fit_intercept: bool = True,
        class_weight: Mapping[Any, float] | str | None = None,
        tol: float = 1e-6,
        max_iter: int = 100,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.prior = prior
        self.prior_signs = prior_signs
        self.prior_confidence = prior_confidence
        self.prior_strength = prior_strength
        self.concept_groups = concept_groups
        self.max_concepts_per_class = max_concepts_per_class
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> ConceptHead:
        """Fit the weights.

        Parameters
        ----------
        X : array-like of shape (n, m)
            Concept activations, usually in [0, 1].
        y : array-like of shape (n,)
            Class labels.
        sample_weight : array-like of shape (n,), optional
            Non-negative.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a parameter, the prior or the data cannot be used.

        Warns
        -----
        ConvergenceWarning
            If the KKT residual is still above ``tol``, or no finite optimum exists (separated classes, ``alpha=0``).
        """
        alpha = check_number("alpha", self.alpha, low=0.0)
        problem = self._problem(self._read(X, y, sample_weight))
        with one_blas_thread():
            solution = fit_at(
                problem,
                self._penalty,
                alpha,
                l1_ratio=self.l1_ratio,
                most=self.max_concepts_per_class,
                tol=self.tol,
                max_iter=self.max_iter,
            )
        self._keep(problem, self._penalty(alpha), solution)
        return self
