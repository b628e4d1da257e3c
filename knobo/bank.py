"""The concept bank: what the classifier may reason with, and where each concept comes from. Pure data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator, model_validator

from knobo.bank_diversity import diversity_of
from knobo.bank_merge import agreed_signs, union_of_concepts
from knobo.bank_records import Concept, Evidence, PriorSign, Record, slug
from knobo.errors import FormatError, InputError
from knobo.storage import read_json, shipped_path, write_json
from knobo.wordings import synonyms

__all__ = ["Concept", "ConceptBank", "Evidence", "PriorSign", "load_bank", "slug"]

_FORMAT = "knobo.bank"
_VERSION = 1


class ConceptBank(Record):
    """An ordered, immutable set of concepts with their parameter prior.

    Attributes
    ----------
    concepts : tuple of Concept
        Ids are unique.
    classes : tuple of str
        Classes that the bank was made for; may be empty.
    modality : str
        Such as ``"chest-xray"`` or ``"skin-lesion"``.
    prior : tuple of PriorSign
        Known signs, at most one for each class and concept.
    provenance : dict
        How the bank was made: corpus, settings, versions, rejected candidates with the reason. ``reviewed_by``, a
        list of texts, is for people to add: who checked what, and when.
    """

    concepts: tuple[Concept, ...] = Field(min_length=1)
    classes: tuple[str, ...] = ()
    modality: str = ""
    prior: tuple[PriorSign, ...] = ()
    provenance: dict[str, Any] = Field(default_factory=dict)

    @field_validator("concepts")
    @classmethod
    def _unique_ids(cls, concepts: tuple[Concept, ...]) -> tuple[Concept, ...]:
        ids = [concept.id for concept in concepts]
        repeated = sorted({i for i in ids if ids.count(i) > 1})
        if repeated:
            raise ValueError(f"concept ids must be unique, repeated: {', '.join(repeated)}")
        return concepts

    @model_validator(mode="after")
    def _prior_fits(self) -> ConceptBank:
        ids = set(self.ids)
        pairs = [(sign.class_name, sign.concept_id) for sign in self.prior]
        unknown = sorted({concept for _, concept in pairs} - ids)
        if unknown:
            raise ValueError(f"the prior names concepts that the bank does not hold: {', '.join(unknown)}")
        if len(set(pairs)) < len(pairs):
            twice = next(pair for pair in pairs if pairs.count(pair) > 1)
            raise ValueError(f"the prior lists class {twice[0]!r} with concept {twice[1]!r} more than once")
        return self

    def __len__(self) -> int:
        return len(self.concepts)

    def __iter__(self) -> Iterator[Concept]:  # type: ignore[override]
        return iter(self.concepts)

    def __contains__(self, concept_id: object) -> bool:
        return concept_id in self.ids

    def __getitem__(self, concept_id: str) -> Concept:
        for concept in self.concepts:
            if concept.id == concept_id:
                return concept
        raise InputError(f"The bank has no concept {concept_id!r}. It holds: {_some(self.ids)}.")

    @property
    def ids(self) -> tuple[str, ...]:
        """Concept ids, in order."""
        return tuple(concept.id for concept in self.concepts)

    def subset(self, concept_ids: Iterable[str]) -> ConceptBank:
        """Return the bank with these concepts only, in the order given."""
        ids = list(concept_ids)
        chosen = tuple(self[concept_id] for concept_id in ids)
        prior = tuple(sign for sign in self.prior if sign.concept_id in ids)
        return ConceptBank(
            concepts=chosen, classes=self.classes, modality=self.modality, prior=prior, provenance=self.provenance
        )

    def concept_groups(self) -> list[str]:
        """Group label of each concept for ``ConceptHead(concept_groups=...)``, shape (m,).

        Concepts with one CUI are one group, such as a finding asked for in several ways; a concept without a CUI is a
        group of its own, named by its id.
        """
        return [concept.cui or concept.id for concept in self.concepts]

    def search(self, words: str) -> list[Concept]:
        """Concepts whose name or a synonym holds these words, upper and lower case and hyphens alike."""
        wanted = slug(words)
        return [c for c in self.concepts if any(wanted in slug(wording) for wording in (c.name, *c.synonyms))]

    def merge(self, *others: ConceptBank) -> ConceptBank:
        """Return the union with other banks of the same modality; a bank that states none fits any.

        A concept that stands in several banks keeps the wording of the first and the evidence of all. A prior sign
        that the banks agree on keeps its largest confidence; where they contradict each other nothing is known, and
        the pair is left out.

        Raises
        ------
        InputError
            If the modalities differ.
        """
        banks = (self, *others)
        modalities = list(dict.fromkeys(bank.modality for bank in banks if bank.modality))
        if len(modalities) > 1:
            names = ", ".join(map(repr, modalities))
            raise InputError(
                f"Only banks of one modality can be merged, got {names}; merge those of each by themselves."
            )
        return ConceptBank(
            concepts=union_of_concepts(concept for bank in banks for concept in bank),
            classes=tuple(dict.fromkeys(name for bank in banks for name in bank.classes)),
            modality=modalities[0] if modalities else "",
            prior=agreed_signs(sign for bank in banks for sign in bank.prior),
            provenance={"merged_from": [bank.provenance for bank in banks]},
        )

    def prior_matrix(self, classes: Sequence[Any] | NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Signs and confidences of the parameter prior.

        Parameters
        ----------
        classes : sequence of length n_classes
            Class labels; compared with the bank's class names as text, upper and lower case, spaces, ``_`` and
            ``-`` alike. Classes that the bank does not know get zeros.

        Returns
        -------
        signs : ndarray of shape (n_classes, n_concepts), in {-1, 0, 1}
        confidence : ndarray of shape (n_classes, n_concepts), in [0, 1]
            Zero where the sign is zero.
        """
        rows = {slug(str(name)): row for row, name in enumerate(classes)}
        columns = {concept_id: column for column, concept_id in enumerate(self.ids)}
        signs = np.zeros((len(classes), len(self)))
        confidence = np.zeros_like(signs)
        for entry in self.prior:
            row = rows.get(slug(entry.class_name))
            if row is not None:
                signs[row, columns[entry.concept_id]] = entry.sign
                confidence[row, columns[entry.concept_id]] = entry.confidence
        return signs, confidence

    def diversity(self, encoder: Any = None) -> float:
        """How far the questions lie apart: the mean of 1 − cosine over all pairs of them.

        The idea is that of Yang et al. 2024 (arXiv:2405.14839, Table 3), the formula is our own: their text encoder
        is not at hand here, so that the figures of the two are not to be compared.

        Parameters
        ----------
        encoder : optional
            An object with ``encode_texts``, or a callable, that takes a list of texts and returns an array of shape
            (n_texts, d). Without it the vectors are TF-IDF weights of words over the bank's own questions: this sees
            wording, not meaning.

        Returns
        -------
        float
            In [0, 2], without an encoder in [0, 1]; 0 when all questions are alike.

        Raises
        ------
        InputError
            If the bank holds one concept only, or the encoder does not give one finite vector other than zero for each
            question.
        """
        return diversity_of([concept.question for concept in self.concepts], encoder)

    def to_frame(self) -> pd.DataFrame:
        """One row a concept: id, name, question, cui, cui_name, number of sentences, first sentence and its source."""
        rows = []
        for concept in self.concepts:
            first = concept.evidence[0] if concept.evidence else None
            rows.append(
                {
                    "id": concept.id,
                    "name": concept.name,
                    "question": concept.question,
                    "cui": concept.cui,
                    "cui_name": concept.cui_name,
                    "n_evidence": len(concept.evidence),
                    "sentence": first.sentence if first else None,
                    "source": first.source if first else None,
                }
            )
        return pd.DataFrame(rows).set_index("id")

    def to_json(self, path: str | Path) -> Path:
        """Write the bank as a versioned JSON document and return the path."""
        return write_json(path, {"format": _FORMAT, "format_version": _VERSION, **self.model_dump(mode="json")})

    @classmethod
    def from_json(cls, path: str | Path) -> ConceptBank:
        """Read a bank.

        Raises
        ------
        FileError
            If the file cannot be read.
        FormatError
            If it is not a bank, has another version, or a field is broken (the message names the field).
        """
        document = read_json(path, what=_FORMAT, versions=(_VERSION,))
        fields = {key: value for key, value in document.items() if key not in ("format", "format_version")}
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the document"
            raise FormatError(
                f"{path}: field {where} is broken: {first['msg']} ({error.error_count()} problem(s) in all). "
                "Mend the field or build the bank again."
            ) from error

    @classmethod
    def from_names(cls, names: Mapping[str, str] | Iterable[str], *, modality: str = "") -> ConceptBank:
        """Make a bank from finding names alone, without evidence or prior.

        Parameters
        ----------
        names : iterable of str, or mapping of id to name
            Findings such as ``["pigment network", "Nodule/mass", "No Finding"]``; ids are made from the names.
            Synonyms come from the lexicon and the knowledge base that ship with knobo, where they know the name.
        modality : str

        Raises
        ------
        InputError
            If there are no names, one is empty, or two make the same id.
        """
        if isinstance(names, str):
            raise InputError(f"names must be a list of finding names, got the text {names!r}; put it in a list.")
        pairs = list(names.items() if isinstance(names, Mapping) else ((slug(name), name) for name in names))
        if not pairs:
            raise InputError("A bank needs at least one concept name.")
        ids = [concept_id for concept_id, _ in pairs]
        for concept_id, name in pairs:
            if not concept_id:
                raise InputError(f"The name {name!r} holds no letter or digit; give the finding a name.")
            if ids.count(concept_id) > 1:
                raise InputError(f"Two names make the concept id {concept_id!r}; leave one out or word it differently.")
        concepts = (
            Concept(id=i, name=name, question=f"Is there {name}?", synonyms=synonyms(name)) for i, name in pairs
        )
        return cls(concepts=tuple(concepts), modality=modality)


def load_bank(name: str | Path) -> ConceptBank:
    """Load a bank that ships with knobo, by name, or any bank file.

    Parameters
    ----------
    name : str or Path
        ``"chest-xray"``, ``"skin-lesion"``, or the path of a JSON file.

    Raises
    ------
    InputError
        If it is neither a shipped name nor a file.
    """
    if Path(name).is_file():
        return ConceptBank.from_json(name)
    known = sorted(path.parent.name for path in shipped_path("concepts").glob("*/bank.json"))
    if str(name) in known:
        return ConceptBank.from_json(shipped_path("concepts", str(name), "bank.json"))
    raise InputError(f"No bank {str(name)!r}: not a file, and the shipped banks are {', '.join(known) or 'none'}.")


def _some(items: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(items[:most])
    return f"{shown}, … ({len(items)} in all)" if len(items) > most else shown
