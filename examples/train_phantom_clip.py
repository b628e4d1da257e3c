"""Train phantom-clip, the small image-text model that ships with knobo, on synthetic images and their reports.

    python examples/train_phantom_clip.py OUT

Hospitals A and B are drawn for training, hospital C for the test; every image and report comes from a seed. First the
image side learns the findings. Then, with the image side locked (Zhai et al., LiT, CVPR 2022), the text side learns the
reports by open_clip's contrastive loss, and to tell the statement of a finding from its denial. OUT becomes a folder in
open_clip's format, with a card. A quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score
from torch.nn import functional
from torchvision import transforms
from tqdm.auto import tqdm

from knobo.bank import ConceptBank
from knobo.encoders import ClipEncoder
from knobo.grounding import ZeroShotScorer, default_pairs
from knobo.phantom import PhantomDataset, make_chest_xrays, make_skin_lesions
from knobo.storage import atomic_path, write_json, write_text

SIZE = 96
MODEL: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": SIZE, "layers": [1, 1, 1, 1], "width": 20, "patch_size": None},
    "text_cfg": {"context_length": 48, "vocab_size": 49408, "width": 48, "heads": 3, "layers": 2},
}
PIXELS = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
BATCH = 64
IMAGE_RATE, TEXT_RATE, DECAY = 2e-3, 1e-3, 0.05
REPORT_WEIGHT = 0.3  # of the loss over whole reports, beside that over statements and denials
LARGEST_SCALE = np.log(100)  # CLIP's own limit
PAIRS = (
    *default_pairs(),
    ("{finding} is present", "{finding} is absent"),
    ("{finding} is seen", "{finding} is not seen"),
    ("{finding} is visible", "{finding} is not visible"),
    ("the image shows {finding}", "the image does not show {finding}"),
    ("signs of {finding}", "no signs of {finding}"),
    ("positive for {finding}", "negative for {finding}"),
    ("presence of {finding}", "absence of {finding}"),
)
NAMES = {  # the first one is tested
    "cardiomegaly": ("cardiomegaly", "enlarged heart", "enlarged cardiac silhouette"),
    "pleural_effusion_left": ("left pleural effusion", "pleural effusion left", "left effusion"),
    "pleural_effusion_right": ("right pleural effusion", "pleural effusion right", "right effusion"),
    "consolidation": ("consolidation", "airspace opacity", "pulmonary consolidation"),
    "pleural_effusion": ("pleural effusion", "effusion", "pleural fluid"),
    "pneumothorax": ("pneumothorax", "collapsed lung with a pleural line"),
    "nodule": ("pulmonary nodule", "nodule", "lung nodule"),
    "hyperinflation": ("hyperinflation", "hyperinflated lungs"),
    "mediastinal_widening": ("mediastinal widening", "widened mediastinum", "wide mediastinum"),
    "atelectasis": ("atelectasis", "volume loss", "collapse of lung tissue"),
    "interstitial_lines": ("interstitial lines", "interstitial thickening", "septal lines"),
    "support_device": ("support device", "support devices", "lines and tubes"),
    "asymmetry": ("asymmetry", "asymmetric shape"),
    "irregular_border": ("irregular border", "irregular borders", "border irregularity"),
    "colour_variegation": ("colour variegation", "colour variation", "several colours", "multiple colours"),
    "pigment_network": ("atypical pigment network", "pigment network", "atypical network"),
    "dots_globules": ("dots and globules", "dots globules", "dots or globules"),
    "streaks": ("streaks", "pseudopods"),
    "blue_white_veil": ("blue-white veil", "blue white veil", "blue-whitish veil"),
    "regression": ("regression", "regression structures"),
    "ulceration": ("ulceration", "ulcer"),
    "vessels": ("vessels", "visible vessels", "vascular structures"),
}
CARD = """# phantom-clip

An open_clip model trained on **synthetic** chest radiographs and skin lesions with synthetic reports, and on nothing
else. It serves demonstrations and tests. **It knows nothing about real patients and must not be used on their images.**

- Images: {size} x {size} pixels; a ResNet of one block a stage, width {width}. Texts: {layers} transformer layers of
  width {text_width}, at most {length} tokens. {mb:.1f} MB.
- Training data: {n} image-report pairs of the synthetic hospitals A and B (seeds 1 and 2).
- Made by `examples/train_phantom_clip.py` from random weights (seed 0): {image_epochs} epochs in which the image side
  learned the {n_findings} findings by cross-entropy, then {text_epochs} epochs in which the text side learned, with the
  image side locked, the reports by open_clip's contrastive loss and statements against denials of each finding by
  cross-entropy. AdamW, weight decay {decay}, one-cycle learning rates up to {image_rate} and {text_rate}, batches of
  {batch}, crops of at least 85 % of the area, changes of brightness and contrast of 40 %, bfloat16 autocast.
- The weights are stored as float16; rows of the token table that no training text uses are zero.

Zero-shot AUROC on {n_test} phantoms of hospital C (seed 3), which the model has never seen, by
`knobo.grounding.ZeroShotScorer` with its own prompts:

{table}

Mean {mean:.3f}.
"""


def draw(counts: dict[str, int], hospital: str, seed: int) -> list[PhantomDataset]:
    """Draw chest radiographs and skin lesions of one hospital, at the size that users draw them."""
    return [
        make_chest_xrays(counts["chest"], hospital=hospital, random_state=seed, progress=True),
        make_skin_lesions(counts["skin"], hospital=hospital, random_state=seed, progress=True),
    ]


def shrink(image: NDArray[np.uint8]) -> Image.Image:
    """Make a copy a third larger than the model's input, so that twelve thousand fit in memory."""
    return Image.fromarray(image).convert("RGB").resize((SIZE * 4 // 3,) * 2, Image.Resampling.BICUBIC)


def findings_of(data: PhantomDataset) -> torch.Tensor:
    """Return whether each finding is there, shape (n, findings), NaN for those of other kinds of images."""
    table = data.findings.astype(np.float32)
    if "pleural_effusion_left" in table:  # phantoms name sides, texts need not
        table["pleural_effusion"] = table[["pleural_effusion_left", "pleural_effusion_right"]].max(axis=1)
    return torch.tensor(table.reindex(columns=list(NAMES)).to_numpy())


def batches(answers: torch.Tensor, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Deal images into batches of one kind of image each; a rest that fills no batch waits for another epoch."""
    chest = ~answers[:, 0].isnan().numpy()
    dealt = []
    for kind in (np.flatnonzero(chest), np.flatnonzero(~chest)):
        size = min(BATCH, len(kind))
        dealt += [*rng.permutation(kind)[: len(kind) // size * size].reshape(-1, size)]
    rng.shuffle(dealt)
    return dealt


def learn_findings(visual: torch.nn.Module, images: list[Image.Image], answers: torch.Tensor, epochs: int) -> None:
    """Train the image side to tell the findings of an image."""
    change = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE, scale=(0.85, 1), ratio=(0.95, 1.05)),
            transforms.ColorJitter(0.4, 0.4, 0.2),
            transforms.ToTensor(),
            transforms.Normalize(**PIXELS),
        ]
    )
    head = torch.nn.Linear(MODEL["embed_dim"], len(NAMES))
    rng = np.random.default_rng(0)
    n_batches = max(len(images) // BATCH, 1)
    optimizer, schedule = optimise([*visual.parameters(), *head.parameters()], IMAGE_RATE, epochs * n_batches)
    visual.train()
    for epoch in range(epochs):
        # Batches of both kinds: batch normalisation must learn the averages that it will use.
        mixed = np.array_split(rng.permutation(len(images)), n_batches)
        for batch in (bar := tqdm(mixed, desc=f"findings, epoch {epoch + 1} of {epochs}")):
            pixels = torch.stack([change(images[i]) for i in batch]).to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                seen = visual(pixels)
            known = ~answers[batch].isnan()
            loss = functional.binary_cross_entropy_with_logits(head(seen.float())[known], answers[batch][known])
            step(loss, optimizer, schedule)
            bar.set_postfix(loss=f"{loss.item():.3f}")


def learn_words(
    model: open_clip.CLIP, rows: torch.Tensor, reports: list[list[str]], answers: torch.Tensor, epochs: int
) -> None:
    """Train the text side against the embeddings of the images, which stay as they are."""
    tokenize = open_clip.SimpleTokenizer(context_length=MODEL["text_cfg"]["context_length"])
    model.lock_image_tower()
    contrast = open_clip.ClipLoss()
    rng = np.random.default_rng(0)
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer, schedule = optimise(learnt, TEXT_RATE, epochs * len(batches(answers, rng)))
    for epoch in range(epochs):
        for batch in (bar := tqdm(batches(answers, rng), desc=f"words, epoch {epoch + 1} of {epochs}")):
            texts = [some_sentences(reports[i], rng) for i in batch]
            columns = torch.nonzero(~answers[batch[0]].isnan()).flatten()
            names = [list(NAMES.values())[column] for column in columns]
            statements = [phrase(name, side, rng) for side in (0, 1) for name in names]
            words = model.encode_text(tokenize([*texts, *statements]), normalize=True)
            said, claims = words[: len(batch)], words[len(batch) :].view(2, len(names), -1)
            scale = model.logit_scale.exp()
            likeness = scale * torch.einsum("nd,sfd->nsf", rows[batch], claims)
            denied = (1 - answers[batch][:, columns]).long()
            loss = functional.cross_entropy(likeness, denied) + REPORT_WEIGHT * contrast(rows[batch], said, scale)
            step(loss, optimizer, schedule)
            with torch.no_grad():
                model.logit_scale.clamp_(0, LARGEST_SCALE)
            bar.set_postfix(loss=f"{loss.item():.3f}")


def optimise(
    parameters: list[torch.nn.Parameter], rate: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Make AdamW and its one-cycle schedule over all steps."""
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=DECAY)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)


def step(loss: torch.Tensor, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler) -> None:
    """Go one step down the loss."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    schedule.step()


def some_sentences(report: list[str], rng: np.random.Generator) -> str:
    """Join a random number of a report's sentences, in their order."""
    count = rng.integers(1, len(report) + 1)
    return " ".join(report[i] for i in np.sort(rng.choice(len(report), count, replace=False)))


def phrase(names: tuple[str, ...], side: int, rng: np.random.Generator) -> str:
    """State a finding (side 0) or deny it (side 1), by one of its names."""
    return PAIRS[rng.integers(len(PAIRS))][side].replace("{finding}", names[rng.integers(len(names))])


@torch.inference_mode()
def embed(visual: torch.nn.Module, images: list[Image.Image]) -> torch.Tensor:
    """Unit-length embeddings of images as the finished model will see them."""
    see = transforms.Compose([transforms.Resize(SIZE), transforms.ToTensor(), transforms.Normalize(**PIXELS)])
    visual.eval()
    starts = range(0, len(images), BATCH)
    rows = [visual(torch.stack([see(image) for image in images[start : start + BATCH]])) for start in starts]
    return functional.normalize(torch.cat(rows), dim=-1)


def save(model: open_clip.CLIP, reports: list[list[str]], folder: Path) -> None:
    """Write the model as float16, without the token rows that no training text uses."""
    phrases = [
        text.replace("{finding}", name) for pair in PAIRS for text in pair for names in NAMES.values() for name in names
    ]
    tokenize = open_clip.SimpleTokenizer(context_length=MODEL["text_cfg"]["context_length"])
    used = torch.unique(tokenize([*phrases, *{sentence for report in reports for sentence in report}]))
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in model.state_dict().items()
    }
    table = torch.zeros_like(tensors["token_embedding.weight"])
    table[used] = tensors["token_embedding.weight"][used]
    write_json(folder / "open_clip_config.json", {"model_cfg": MODEL, "preprocess_cfg": PIXELS})
    with atomic_path(folder / "open_clip_model.safetensors") as part:
        save_file({**tensors, "token_embedding.weight": table}, part)


def zero_shot(encoder: ClipEncoder, data: PhantomDataset) -> pd.Series:
    """AUROC of each finding by its name alone."""
    answers = pd.DataFrame(findings_of(data).numpy(), columns=list(NAMES)).dropna(axis=1)
    bank = ConceptBank.from_names([NAMES[finding][0] for finding in answers])
    rows = encoder.encode_images(list(data.images), progress=True)
    scores = ZeroShotScorer(bank, encoder, calibration="none").fit(rows).transform(rows)
    return pd.Series({name: float(roc_auc_score(answers[name], scores[:, k])) for k, name in enumerate(answers)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--chest", type=int, default=4000, help="chest radiographs of each training hospital")
    parser.add_argument("--skin", type=int, default=2000, help="skin lesions of each training hospital")
    parser.add_argument("--test", type=int, default=600, help="images of each kind in the test")
    parser.add_argument("--epochs", type=int, nargs=2, default=(10, 12), metavar=("IMAGES", "TEXTS"))
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the layers are too small to share among threads

    images, reports, answers = [], [], []
    for hospital, seed in (("A", 1), ("B", 2)):
        for part in draw({"chest": args.chest, "skin": args.skin}, hospital, seed):
            images += [shrink(image) for image in part.images]
            reports += [re.split(r"(?<=[.!?])\s+", report.strip()) for report in part.reports]
            answers.append(findings_of(part))
    known = torch.cat(answers)
    model = open_clip.CLIP(**MODEL)
    model.visual.to(memory_format=torch.channels_last)
    learn_findings(model.visual, images, known, args.epochs[0])
    learn_words(model, embed(model.visual, images).clone(), reports, known, args.epochs[1])
    save(model, reports, args.out)

    encoder = ClipEncoder(f"local-dir:{args.out}")
    aurocs = pd.concat([zero_shot(encoder, part) for part in draw({"chest": args.test, "skin": args.test}, "C", 3)])
    text = CARD.format(
        size=SIZE,
        width=MODEL["vision_cfg"]["width"],
        layers=MODEL["text_cfg"]["layers"],
        text_width=MODEL["text_cfg"]["width"],
        length=MODEL["text_cfg"]["context_length"],
        mb=(args.out / "open_clip_model.safetensors").stat().st_size / 1e6,
        n=len(images),
        n_findings=len(NAMES),
        image_epochs=args.epochs[0],
        text_epochs=args.epochs[1],
        decay=DECAY,
        image_rate=IMAGE_RATE,
        text_rate=TEXT_RATE,
        batch=BATCH,
        n_test=2 * args.test,
        table="\n".join(
            [
                "| finding | AUROC |",
                "|---|---|",
                *(f"| {NAMES[name][0]} | {auroc:.3f} |" for name, auroc in aurocs.items()),
            ]
        ),
        mean=aurocs.mean(),
    )
    write_text(args.out / "card.md", text)
    print(text)


if __name__ == "__main__":
    main()
