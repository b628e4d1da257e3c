"""Tiny models with random weights, saved in the very formats that published models come in."""

import json

import open_clip
import timm
import torch
import transformers
from safetensors.torch import save_file

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "pleural", "effusion", "no", "a", "nodule", "##s"]
TEXTS = ["no pleural effusion", "a nodule", "nodules"]
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
TOWER = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


def save_biomedclip_like(folder):
    """open_clip with a timm image tower and a BERT whose config is elsewhere, as BiomedCLIP is published."""
    _save_tokenizer(folder)
    tower = folder / "text_tower"
    transformers.BertConfig(vocab_size=len(WORDS), max_position_embeddings=32, **SMALL).save_pretrained(tower)
    vision = {"timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear"}
    text = {
        "hf_model_name": TOWER,
        "hf_tokenizer_name": TOWER,
        "hf_proj_type": "mlp",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": 16,
    }
    config = {
        "model_cfg": {"embed_dim": 16, "vision_cfg": {**vision, "image_size": 160}, "text_cfg": text},
        "preprocess_cfg": {"mean": MEAN, "std": STD},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    local = {**text, "hf_model_name": str(tower), "hf_model_pretrained": False}
    model = open_clip.CustomTextCLIP(**{**config["model_cfg"], "text_cfg": local}).eval()
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return model


def save_transformers_clip(folder):
    torch.manual_seed(0)
    text = {**SMALL, "vocab_size": len(WORDS), "max_position_embeddings": 12, "eos_token_id": 3, "bos_token_id": 2}
    vision = {**SMALL, "image_size": 24, "patch_size": 8}
    config = transformers.CLIPConfig(text_config={**text, "pad_token_id": 0}, vision_config=vision, projection_dim=16)
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(folder)
    transformers.CLIPImageProcessor(
        size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24}, image_mean=MEAN, image_std=STD
    ).save_pretrained(folder)
    _save_tokenizer(folder)
    return model


def save_transformers_siglip(folder):
    torch.manual_seed(0)
    text = {**SMALL, "vocab_size": len(WORDS), "max_position_embeddings": 10, "pad_token_id": 0}
    config = transformers.SiglipConfig(text_config=text, vision_config={**SMALL, "image_size": 24, "patch_size": 8})
    model = transformers.SiglipModel(config).eval()
    model.save_pretrained(folder)
    transformers.SiglipImageProcessor(size={"height": 24, "width": 24}, image_mean=MEAN, image_std=STD).save_pretrained(
        folder
    )
    _save_tokenizer(folder)
    return model


def save_transformers_siglip2(folder):
    """SigLIP 2 NaFlex, which cuts an image of any shape into patches."""
    torch.manual_seed(0)
    text = {**SMALL, "vocab_size": len(WORDS), "max_position_embeddings": 10, "pad_token_id": 0}
    vision = {**SMALL, "num_patches": 16, "patch_size": 8}
    model = transformers.Siglip2Model(transformers.Siglip2Config(text_config=text, vision_config=vision)).eval()
    model.save_pretrained(folder)
    processor = transformers.Siglip2ImageProcessor(patch_size=8, max_num_patches=16, image_mean=MEAN, image_std=STD)
    processor.save_pretrained(folder)
    _save_tokenizer(folder)
    return model


def save_transformers_dinov2(folder):
    torch.manual_seed(0)
    sizes = {name: SMALL[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
    model = transformers.Dinov2Model(transformers.Dinov2Config(image_size=28, patch_size=14, **sizes)).eval()
    model.save_pretrained(folder)
    transformers.BitImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_mean=MEAN, image_std=STD
    ).save_pretrained(folder)
    return model


def save_timm(folder):
    torch.manual_seed(0)
    model = timm.create_model("test_vit", pretrained=False, num_classes=7).eval()
    model.pretrained_cfg = {**model.pretrained_cfg, "mean": MEAN, "std": STD, "interpolation": "bilinear"}
    timm.models.save_for_hf(model, folder, safe_serialization=True)
    return model


def _save_tokenizer(folder):
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS) + "\n")
    transformers.BertTokenizerFast(str(vocabulary)).save_pretrained(folder)
