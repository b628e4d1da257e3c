"""Do concept maps point at the findings? Measured on phantoms, where the place of each finding is known.

    python benchmarks/saliency.py [ENCODER] [--chest 60] [--skin 30] [--methods integrated,gradcam,occlusion,rise]

ENCODER is an open_clip model that knows phantoms; by default the one that ships with knobo. Images are of hospital C
(``--seed``), which that model has not seen. For each finding that is present and has a place, the map of its concept
(zero-shot, by its name; the last row: supervised, by a ConceptScorer that learnt from hospital A, seed 12) is scored:

- pointing: share of maps whose largest value lies in the finding's mask, or within 15 of 224 pixels of it; ± is the
  standard error. *strict* without the tolerance; *seen* with it, where the model gives the finding more than 0.5.
- IoU of the mask and where the map exceeds half of its maximum.
- deletion and insertion: area under the concept's probability while the highest pixels are blurred, or revealed.
- random: rank correlation, over pixels, with the map of the same architecture with randomised weights, mean of absolute
  values over the first images (Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018). It should be near 0.
- s: seconds a map; occlusion and RISE make those of all concepts of an image at once.
"""

from __future__ import annotations

import argparse
import copy
import time
from functools import partial

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from scipy.stats import spearmanr
from tqdm.auto import tqdm

from knobo.bank import ConceptBank
from knobo.encoders import load_encoder
from knobo.explain import concept_maps
from knobo.explain.saliency_metrics import deletion_insertion, map_iou, pointing_hit
from knobo.grounding import ConceptScorer, ZeroShotScorer
from knobo.images import read_image
from knobo.phantom import PhantomDataset, make_chest_xrays, make_skin_lesions

TOLERANCE = 15
STEPS = 6  # of deletion and insertion
NAMES = {"pleural_effusion_left": "left pleural effusion", "pleural_effusion_right": "right pleural effusion"}
NAMES |= {"nodule": "pulmonary nodule", "pigment_network": "atypical pigment network"}
RANDOMISED = 8  # images


def words(finding: str) -> str:
    """The name by which a vision-language model knows a finding."""
    return NAMES.get(finding, finding.replace("_", " "))


def randomised(encoder):
    """The same architecture with weights drawn anew, of the mean and spread that each tensor had."""
    other = copy.deepcopy(encoder)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in other.differentiable().parameters():
            weight.copy_(torch.randn_like(weight) * weight.std(correction=0) + weight.mean())
    return other


def probability(encoder, coef, intercept, images):
    """Activation of one concept, shape (b,)."""
    return expit(encoder.encode_images(images) @ coef + intercept)


def measure(encoder, data: PhantomDataset, scorer, findings, method: str, sanity: bool = True) -> pd.DataFrame:
    """One row a finding that is present and has a place."""
    images = [read_image(image) for image in data.images]
    seen = scorer.transform(encoder.encode_images(images))
    other = randomised(encoder)
    rows = []
    for i, masks in enumerate(tqdm(data.masks, desc=method)):
        present = [finding for finding in findings if finding in masks]
        if not present:
            continue
        coef = scorer.coef_[[findings.index(finding) for finding in present]]
        started = time.perf_counter()
        maps = concept_maps(encoder, images[i : i + 1], coef, present, method=method)
        seconds = (time.perf_counter() - started) / len(present)
        check = sanity and i < RANDOMISED
        noise = concept_maps(other, images[i : i + 1], coef, present, method=method) if check else None
        for finding in present:
            j, mask, found = findings.index(finding), masks[finding], maps.of(0, finding)
            score = partial(probability, encoder, scorer.coef_[j], scorer.intercept_[j])
            deletion, insertion = deletion_insertion(score, images[i], found, steps=STEPS)
            hit = pointing_hit(found, mask, tolerance=TOLERANCE)
            rows.append(
                {
                    "finding": finding,
                    "pointing": hit,
                    "strict": pointing_hit(found, mask),
                    "seen": hit if seen[i, j] > 0.5 else np.nan,
                    "IoU": map_iou(found, mask),
                    "deletion": deletion,
                    "insertion": insertion,
                    "random": abs(spearmanr(found, noise.of(0, finding), axis=None)[0]) if noise else np.nan,
                    "s": seconds,
                }
            )
    return pd.DataFrame(rows)


def report(name: str, table: pd.DataFrame) -> None:
    """Print one row."""
    hits = table["pointing"]
    values = table.drop(columns=["finding", "pointing"]).astype(float).mean()
    error = np.sqrt(hits.mean() * (1 - hits.mean()) / len(hits))
    print(f"| {name} | {len(hits)} | {hits.mean():.2f} ± {error:.2f} |", *(f"{v:.2f} |" for v in values), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", nargs="?", default="phantom-clip")
    parser.add_argument("--chest", type=int, default=60)
    parser.add_argument("--skin", type=int, default=30)
    parser.add_argument("--train", type=int, default=300, help="images of hospital A for the supervised scorer")
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--methods", default="integrated,gradcam,occlusion,rise")
    args = parser.parse_args()
    encoder = load_encoder(args.encoder)
    for make, n in ((make_chest_xrays, args.chest), (make_skin_lesions, args.skin)):
        if not n:
            continue
        data = make(n, hospital="C", random_state=args.seed)
        findings = [f for f in data.findings if any(f in masks for masks in data.masks)]
        rows = encoder.encode_images(list(data.images))
        words_of = ConceptBank.from_names([words(finding) for finding in findings])
        zero_shot = ZeroShotScorer(words_of, encoder).fit(rows)
        print(f"\n{data.modality}, {n} images\n")
        print("| map | n | pointing | strict | seen | IoU | deletion | insertion | random | s |")
        print("|---|" + "---|" * 9, flush=True)
        for method in args.methods.split(","):
            table = measure(encoder, data, zero_shot, findings, method)
            report(method, table)
            if method == "integrated":
                each = table.groupby("finding")[["pointing", "strict", "IoU"]].mean().round(2)
                counts = table.groupby("finding").size().rename("n")
                print("\n", pd.concat([counts, each], axis=1).to_string(), "\n", flush=True)
        if args.train:
            taught = make(args.train, hospital="A", random_state=12)
            scorer = ConceptScorer().fit(encoder.encode_images(list(taught.images)), taught.findings[findings] * 1.0)
            kept = list(scorer.get_feature_names_out())
            report("integrated, supervised", measure(encoder, data, scorer, kept, "integrated", sanity=False))


if __name__ == "__main__":
    main()
