"""ConceptBottleneckClassifier: encoder, concept scorer and sparse head in one estimator."""

from __future__ import annotations

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
from knobo.encoders import EmbeddingStore, Encoder, embed, load_encoder
from knobo.errors import FormatError, InputError, InputTypeError
from knobo.explain import ConceptMaps, Explanation, concept_maps, keep_region
from knobo.explain._saliency_region import Outside
from knobo.explain.saliency import Method
from knobo.grounding import ConceptScorer, as_bank, concept_answers
from knobo.heads import ConceptHead, ConceptHeadCV
from knobo.images import ImageSource
from knobo.storage import atomic_path, read_arrays, read_json, write_arrays, write_json

_FORMAT = "knobo.model"
_VERSION = 1


class ConceptBottleneckClassifier(ClassifierMixin, BaseEstimator):
    """Classify images through named clinical findings only.

    Images become embeddings (``encoder``), embeddings become concept activations (``scorer``), and a sparse linear
    head that is pulled towards the literature's signs turns activations into classes (``head``).

    Parameters
    ----------
    bank : ConceptBank, str, Path or None
        The findings that the classifier may use: a bank, the name of a shipped one, or a file. ``None`` makes a bank
        from the columns of ``concepts`` at :meth:`fit`.
    encoder : Encoder or str
        An encoder, or what :func:`knobo.load_encoder` accepts. Ready embeddings must come from this encoder, too.
    scorer : ConceptScorer, FrozenEstimator or None
        Default: ``ConceptScorer()``. A scorer that was fitted elsewhere (such as on an archive with reports) is used
        as it is when wrapped in scikit-learn's ``FrozenEstimator``.
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
    reference_ : ndarray of shape (m,)
        Mean activation of the training images, from which contributions are measured.

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
        encoder: Encoder | str = "classical",
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
            If labels or answers are unusable, or there are neither answers nor a fitted scorer.
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
        fold_groups = {"groups": groups} if groups is not None and isinstance(head, ConceptHeadCV) else {}
        self.head_ = head.fit(activations, np.asarray(y), sample_weight=sample_weight, **fold_groups)
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

    def saliency(
        self,
        images: Sequence[ImageSource],
        concepts: Sequence[str] | None = None,
        *,
        method: Method = "auto",
        **options: Any,
    ) -> ConceptMaps:
        """Show where in images concepts are seen.

        Parameters
        ----------
        images : sequence of n paths, PIL images or arrays
        concepts : sequence of str, optional
            Ids of kept concepts; all of them by default.
        method : {"auto", "integrated", "gradcam", "occlusion", "rise"}
        **options
            As in :func:`knobo.explain.concept_maps`.

        Returns
        -------
        ConceptMaps

        Raises
        ------
        InputError
            If a concept is not among the kept ones, or as in :func:`knobo.explain.concept_maps`.
        """
        check_fitted(self, "head_")
        kept = list(self.bank_.ids)
        chosen = kept if concepts is None else [concepts] if isinstance(concepts, str) else list(concepts)
        unknown = [name for name in chosen if name not in kept]
        if unknown:
            raise InputError(f"The classifier has no concept {unknown[0]!r}; it has {', '.join(kept)}.")
        coef = self.scorer_.coef_[[kept.index(name) for name in chosen]]
        return concept_maps(self._encoder(), images, coef, chosen, method=method, **options)

    def region_concepts(
        self, images: Sequence[ImageSource], regions: Sequence[ArrayLike], *, outside: Outside = "mean"
    ) -> pd.DataFrame:
        """Concept activations of one region of each image, as if there were nothing else in it.

        Parameters
        ----------
        images : sequence of n paths, PIL images or arrays
        regions : sequence of n masks or boxes
            As in :func:`knobo.explain.keep_region`.
        outside : {"mean", "blur"}

        Returns
        -------
        DataFrame of shape (n, m)
            As from :meth:`concepts`.

        Raises
        ------
        InputError
            If there is not one region an image, or a region does not fit its image.
        """
        if len(images) != len(regions):
            raise InputError(f"There are {len(images)} images but {len(regions)} regions; pass one an image.")
        return self.concepts([keep_region(*pair, outside=outside) for pair in zip(images, regions, strict=True)])

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
        with atomic_path(path) as folder:
            folder.mkdir()
            self.bank_.to_json(folder / "bank.json")
            write_json(folder / "model.json", {"format": _FORMAT, "format_version": _VERSION, **self._state()})
            write_arrays(
                folder / "arrays.safetensors",
                {
                    "scorer.coef": self.scorer_.coef_,
                    "scorer.intercept": self.scorer_.intercept_,
                    "head.coef": self.head_.coef_,
                    "head.intercept": self.head_.intercept_,
                    "reference": self.reference_,
                },
            )
        return Path(path)

    def _state(self) -> dict[str, Any]:
        quality = self.concept_quality_.astype(object).where(self.concept_quality_.notna(), None)
        return {
            "encoder": self.encoder if isinstance(self.encoder, str) else self.encoder.spec,
            "classes": self.classes_.tolist(),
            "head": {"alpha": getattr(self.head_, "alpha_", None), **_plain_params(self.head_, like=ConceptHead)},
            "scorer": _plain_params(self.scorer_, like=ConceptScorer),
            "concept_quality": quality.reset_index().to_dict(orient="records"),
        }

    def _activations(self, X: Any) -> NDArray[np.float64]:
        check_fitted(self, "head_")
        return self.scorer_.transform(self._embed(X))

    def _embed(self, X: Any, *, fitting: bool = False) -> NDArray[Any]:
        if fitting:
            self.encoder_ = None if isinstance(self.encoder, str) else self.encoder
        if _are_embeddings(X):
            return np.asarray(X)
        if isinstance(X, str | Path):
            raise InputTypeError(f"X must be a sequence of images, got the single path {str(X)!r}; put it in a list.")
        return embed(self._encoder(), X, store=self.store, progress=self.progress).rows

    def _encoder(self) -> Encoder:
        if self.encoder_ is None:
            self.encoder_ = load_encoder(self.encoder) if isinstance(self.encoder, str | Path) else self.encoder
        return self.encoder_

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
        bank, answers = concept_answers(len(embeddings), self.bank, concepts, reports)
        self.scorer_ = clone(self.scorer) if self.scorer is not None else ConceptScorer(progress=self.progress)
        activations = np.asarray(self.scorer_.fit_transform(embeddings, answers, groups=groups))
        self.concept_quality_ = self.scorer_.quality_
        return bank, activations


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
    folder = Path(path)
    state = read_json(folder / "model.json", what=_FORMAT, versions=(_VERSION,))
    arrays = read_arrays(folder / "arrays.safetensors")
    bank = ConceptBank.from_json(folder / "bank.json")
    try:
        return _rebuild(state, arrays, bank, encoder)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{folder / 'model.json'} does not describe a model: {type(error).__name__} at {error}. "
            "Was the folder copied whole? Else fit and save again."
        ) from error


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


def _rebuild(
    state: dict[str, Any], arrays: dict[str, NDArray[Any]], bank: ConceptBank, encoder: Encoder | str | None
) -> ConceptBottleneckClassifier:
    n_concepts, d = arrays["scorer.coef"].shape
    if len(bank) != n_concepts:
        raise FormatError(f"bank.json has {len(bank)} concepts, but the weights are for {n_concepts}.")
    classes = np.asarray(state["classes"])
    scorer = ConceptScorer(**state["scorer"])
    scorer.coef_, scorer.intercept_ = arrays["scorer.coef"], arrays["scorer.intercept"]
    scorer.concepts_ = np.asarray(bank.ids, dtype=object)
    scorer.n_features_in_ = d
    scorer.quality_ = pd.DataFrame(state["concept_quality"]).set_index("concept")
    signs, confidence = bank.prior_matrix(classes)
    head = ConceptHead(**state["head"], prior_signs=signs, prior_confidence=confidence)
    head.coef_, head.intercept_, head.classes_ = arrays["head.coef"], arrays["head.intercept"], classes
    head.n_features_in_ = n_concepts
    clf = ConceptBottleneckClassifier(
        bank, state["encoder"] if encoder is None else encoder, scorer=FrozenEstimator(scorer), head=clone(head)
    )
    clf.classes_, clf.bank_, clf.encoder_ = classes, bank, None
    clf.scorer_, clf.head_, clf.reference_ = scorer, head, arrays["reference"]
    clf.concept_quality_ = scorer.quality_
    return clf


def _are_embeddings(X: Any) -> bool:
    if isinstance(X, pd.DataFrame):
        return True
    return isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind == "f"


def _plain_params(estimator: BaseEstimator, *, like: type[BaseEstimator]) -> dict[str, Any]:
    """The parameters of ``estimator`` that the class ``like`` has, too, and that JSON can hold."""
    known = like._get_param_names()
    return {name: value for name, value in estimator.get_params().items() if name in known and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    """True for what JSON can hold: numbers, text, None, and maps or lists of them."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)
