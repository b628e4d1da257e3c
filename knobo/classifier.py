"""ConceptBottleneckClassifier: encoder, concept scorer and sparse head in one estimator."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from knobo._validation import check_fitted, check_labels
from knobo.bank import ConceptBank
from knobo.encoders import EmbeddingStore, Encoder, TextEncoder, embed, load_encoder
from knobo.errors import InputError, InputTypeError
from knobo.explain import Explanation
from knobo.grounding import ConceptScorer, ZeroShotScorer, as_bank, concept_answers
from knobo.heads import ConceptHead, ConceptHeadCV
from knobo.localisation import Localises
from knobo.model_files import Parts, read_parts, write_parts
from knobo.revision import Revisable


class ConceptBottleneckClassifier(Localises, Revisable, ClassifierMixin, BaseEstimator):
    """Classify images through named clinical findings only.

    Images become embeddings (``encoder``), embeddings become concept activations (``scorer``), and a sparse linear
    head that is pulled towards the literature's signs turns activations into classes (``head``).

    Parameters
    ----------
    bank : ConceptBank, str, Path or None
        The findings that the classifier may use: a bank, the name of a shipped one, or a file. ``None`` makes a bank
        from the columns of ``concepts`` at :meth:`fit`.
    encoder : Encoder, str or Path
        An encoder, or what :func:`knobo.load_encoder` accepts. Ready embeddings must come from this encoder, too.
    scorer : ConceptScorer, FrozenEstimator or None
        Default: ``ConceptScorer()`` where :meth:`fit` is given answers or reports. Without any, an encoder that has a
        text side reads the concepts by its own words (:class:`ZeroShotScorer`), which nothing certifies. A scorer that
        was fitted elsewhere (such as on an archive with reports) is used as it is when wrapped in scikit-learn's
        ``FrozenEstimator``.
    head : ConceptHead, ConceptHeadCV or None
        Default: ``ConceptHeadCV()``, which chooses the sparsity by cross-validation. The bank's parameter prior is
        handed to it unless it has ``prior_signs`` of its own.
    store : EmbeddingStore, str, Path or None
        Where embeddings are kept and looked up: a second fit, or another bank, on the same images encodes nothing.
    progress : bool
        Show progress bars.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
    bank_ : ConceptBank
        The m concepts in use, in the order of the columns of the activations.
    encoder_ : Encoder or None
        None until images had to be encoded.
    scorer_, head_ :
        The fitted parts.
    concept_quality_ : DataFrame
        Held-out AUROC, counts and, where a concept was dropped, the reason, for every concept that was tried.
        ``abstain`` is True where nothing shows that a concept is seen; zero-shot, that is everywhere.
    reference_ : ndarray of shape (m,)
        Mean activation of the training images, from which contributions are measured.
    change_log_ : list of dict
        What :meth:`edit`, :meth:`calibrate` and :meth:`for_prevalence` changed after the fit.

    References
    ----------
    Yang et al., *A Textbook Remedy for Domain Shifts: Knowledge Priors for Medical Image Analysis*, NeurIPS 2024,
    arXiv:2405.14839.

    Examples
    --------
    >>> clf = ConceptBottleneckClassifier("chest-xray", "classical")    # doctest: +SKIP
    >>> clf.fit(images, y, reports=reports).predict(new_images)         # doctest: +SKIP
    """

    def __init__(
        self,
        bank: ConceptBank | str | Path | None = None,
        encoder: Encoder | str | Path = "classical",
        *,
        scorer: ConceptScorer | FrozenEstimator | None = None,
        head: ConceptHead | ConceptHeadCV | None = None,
        store: EmbeddingStore | str | Path | None = None,
        progress: bool = False,
    ) -> None:
        self.bank = bank
        self.encoder = encoder
        self.scorer = scorer
        self.head = head
        self.store = store
        self.progress = progress

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        concepts: pd.DataFrame | None = None,
        reports: Sequence[str | None] | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> ConceptBottleneckClassifier:
        """Fit the grounding functions and the head.

        Parameters
        ----------
        X : sequence of images, or float array of shape (n, d)
            Paths, PIL images or arrays; or ready embeddings.
        y : array-like of shape (n,)
            Class labels.
        concepts : DataFrame of shape (n, any), optional
            An expert's answers, 1, 0 or NaN, one column a concept (by id or name).
        reports : sequence of str, optional
            Free text for each image; read with :func:`knobo.annotate_reports`. Where both are given, ``concepts``
            wins and the reports fill its gaps.
        groups : array-like of shape (n,), optional
            Such as patient identifiers: images of one group stay in one fold wherever folds are made.
        sample_weight : array-like of shape (n,), optional
            Weights of the images in the head.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If labels or answers are unusable, or there are neither answers nor a fitted scorer nor an encoder with a
            text side.

        Warns
        -----
        UserWarning
            If the concepts are read zero-shot.
        """
        embeddings = self._embed(X, fitting=True)
        self.classes_, _ = check_labels(y, len(embeddings))
        bank, activations = self._fit_scorer(embeddings, concepts, reports, groups)
        self.bank_ = bank.subset(self.scorer_.get_feature_names_out())
        self.reference_ = activations.mean(axis=0)
        head = clone(self.head) if self.head is not None else ConceptHeadCV()
        if head.prior is not None and head.prior_signs is None:
            signs, confidence = self.bank_.prior_matrix(self.classes_)
            head.set_params(prior_signs=signs, prior_confidence=confidence)
        if isinstance(head.concept_groups, str) and head.concept_groups == "bank":
            head.set_params(concept_groups=self.bank_.concept_groups())
        fold_groups = {"groups": groups} if groups is not None and isinstance(head, ConceptHeadCV) else {}
        self.head_ = head.fit(activations, np.asarray(y), sample_weight=sample_weight, **fold_groups)
        self._seen = activations, np.asarray(y), sample_weight  # for edits; not saved
        return self

    def concepts(self, X: Any) -> pd.DataFrame:
        """Concept activations in [0, 1], one row an image, one column a concept id."""
        check_fitted(self, "head_")
        return pd.DataFrame(self.scorer_.transform(self._embed(X)), columns=list(self.bank_.ids))

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Logits: shape (n,) for two classes (log-odds of ``classes_[1]``), else (n, K)."""
        activations = self._activations(X)
        return self.head_.decision_function(activations)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Class probabilities, shape (n, K)."""
        activations = self._activations(X)
        return self.head_.predict_proba(activations)

    def predict(self, X: Any) -> NDArray[Any]:
        """Class labels, shape (n,)."""
        activations = self._activations(X)
        return self.head_.predict(activations)

    def explain(self, X: Any) -> Explanation:
        """Write each prediction as a base value plus one contribution a concept.

        Returns
        -------
        Explanation
            For all images, for every class; ``explanation[i]`` is the i-th image's.
        """
        return Explanation(
            activations=self._activations(X),
            weights=self.weights_,
            intercept=self.intercept_,
            reference=self.reference_,
            classes=self.classes_,
            bank=self.bank_,
            prior_signs=self.bank_.prior_matrix(self.classes_)[0],
            quality=self.concept_quality_,
        )

    @property
    def weights_(self) -> NDArray[np.float64]:
        """Weight of each concept in each class's logit, shape (K, m); for two classes the rows mirror each other."""
        check_fitted(self, "head_")
        coef = self.head_.coef_
        return np.vstack([-coef, coef]) if len(coef) == 1 else coef

    @property
    def intercept_(self) -> NDArray[np.float64]:
        """Intercept of each class's logit, shape (K,)."""
        check_fitted(self, "head_")
        intercept = self.head_.intercept_
        return np.concatenate([-intercept, intercept]) if len(intercept) == 1 else intercept

    def save(self, path: str | Path) -> Path:
        """Write the fitted classifier to a folder: ``model.json``, ``bank.json`` and ``arrays.safetensors``.

        The encoder is stored by its name only. An older model in that folder is replaced as a whole.

        Raises
        ------
        FileError
            If the folder cannot be written.
        """
        check_fitted(self, "head_")
        parts = Parts(self.bank_, self.encoder, self.classes_, self.scorer_, self.head_, self.reference_)
        return write_parts(parts, path)

    def _activations(self, X: Any) -> NDArray[np.float64]:
        check_fitted(self, "head_")
        return self.scorer_.transform(self._embed(X))

    def _embed(self, X: Any, *, fitting: bool = False) -> NDArray[Any]:
        if fitting:
            self.encoder_ = None if isinstance(self.encoder, str | Path) else self.encoder
        if _are_embeddings(X):
            return np.asarray(X)
        if isinstance(X, str | Path):
            raise InputTypeError(f"X must be a sequence of images, got the single path {str(X)!r}; put it in a list.")
        return embed(self._loaded_encoder(), X, store=self.store, progress=self.progress).rows

    def _fit_scorer(
        self,
        embeddings: NDArray[Any],
        concepts: pd.DataFrame | None,
        reports: Sequence[str | None] | None,
        groups: ArrayLike | None,
    ) -> tuple[ConceptBank, NDArray[np.float64]]:
        """Fit or take over the scorer; return the bank, and activations that no image has taught itself."""
        if isinstance(self.scorer, FrozenEstimator):
            if concepts is not None or reports is not None:
                raise InputError("A frozen scorer learns nothing: leave concepts= and reports= out, or unfreeze it.")
            self.scorer_ = self.scorer.estimator
            check_fitted(self.scorer_, "coef_")
            self.concept_quality_ = self.scorer_.quality_
            bank = as_bank(self.bank, self.scorer_.get_feature_names_out())
            return bank, np.asarray(self.scorer_.transform(embeddings))
        if self.scorer is None and concepts is None and reports is None:
            encoder = self._loaded_encoder()
            if isinstance(encoder, TextEncoder):
                return self._fit_zero_shot(embeddings, encoder)
        bank, answers = concept_answers(len(embeddings), self.bank, concepts, reports)
        self.scorer_ = clone(self.scorer) if self.scorer is not None else ConceptScorer(progress=self.progress)
        activations = np.asarray(self.scorer_.fit_transform(embeddings, answers, groups=groups))
        self.concept_quality_ = self.scorer_.quality_
        return bank, activations

    def _fit_zero_shot(self, embeddings: NDArray[Any], encoder: TextEncoder) -> tuple[ConceptBank, NDArray[np.float64]]:
        """Read the concepts by the encoder's own words; of the images, these learn only where 0.5 lies."""
        bank = as_bank(self.bank, ())
        self.scorer_ = ZeroShotScorer(bank, encoder).fit(embeddings)
        self.concept_quality_ = self.scorer_.quality_
        warnings.warn(
            f"There are no concept answers: the {len(bank)} concepts are read by the words of {encoder.spec} alone "
            "(zero-shot), and nothing certifies that they are seen. Pass reports= or concepts= to have them learnt and "
            "certified on held-out images, or check these with scorer_.certify(embeddings, answers).",
            stacklevel=4,
        )
        return bank, np.asarray(self.scorer_.transform(embeddings))

    def _loaded_encoder(self) -> Encoder:
        if self.encoder_ is None:
            self.encoder_ = load_encoder(self.encoder) if isinstance(self.encoder, str | Path) else self.encoder
        return self.encoder_


def load(path: str | Path, *, encoder: Encoder | str | None = None) -> ConceptBottleneckClassifier:
    """Load a classifier that :meth:`ConceptBottleneckClassifier.save` wrote. Runs no code from the folder.

    Parameters
    ----------
    path : str or Path
        The folder.
    encoder : Encoder or str, optional
        Used instead of the stored encoder name, such as when its folder has moved.

    Raises
    ------
    FileError
        If a file is missing.
    FormatError
        If the model has another version or a broken field.
    """
    parts = read_parts(path, encoder)
    clf = ConceptBottleneckClassifier(
        parts.bank, parts.encoder, scorer=FrozenEstimator(parts.scorer), head=clone(parts.head)
    )
    clf.classes_, clf.bank_, clf.encoder_ = parts.classes, parts.bank, None
    clf.scorer_, clf.head_, clf.reference_ = parts.scorer, parts.head, parts.reference
    clf.concept_quality_ = parts.scorer.quality_
    return clf


def linear_probe(*, cv: int = 5, random_state: int | None = 0) -> Pipeline:
    """Make the baseline: an L2 logistic regression on standardised embeddings, strength chosen by cross-validation.

    Returns
    -------
    Pipeline
        Takes embeddings of shape (n, d). Its ``score`` is the mean log-likelihood, by which its strength was chosen.
    """
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(cv, shuffle=True, random_state=random_state)
    probe = LogisticRegressionCV(
        Cs=np.logspace(-5, 0, 6),
        cv=folds,
        scoring="neg_log_loss",
        max_iter=1000,
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
    )
    return make_pipeline(StandardScaler(), probe)


def _are_embeddings(X: Any) -> bool:
    if isinstance(X, pd.DataFrame):
        return True
    return isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind == "f"
