"""Models from a hub on this machine, from its cache, and without either: fetch, resume, refusals, what to carry."""

import hashlib
import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_models import MEAN, STD, TEXTS, TOWER, save_biomedclip_like, save_timm, save_transformers_clip
from typer.testing import CliRunner

from knobo.cli_models import models_app
from knobo.encoders import load_encoder
from knobo.encoders.fetch import fetch_model
from knobo.encoders.hub import needed_files
from knobo.errors import DownloadError, InputError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """The part of the Hugging Face hub's protocol that a download needs: listing, metadata, ranges, gates."""

    root: Path
    log: list
    gated: set
    cut: dict

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        path = unquote(urlsplit(self.path).path)
        self.log.append((self.command, path, self.headers.get("Range")))
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/[^/]+)?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        repository = (api or file) and (api or file)[1]
        if not repository:
            self.answer(200, b"")
        elif not (self.root / repository).is_dir():
            self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif repository in self.gated and file:
            self.answer(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "restricted"})
        elif api:
            self.answer(200, json.dumps(self.listing(repository, tree=api[2] == "tree")).encode())
        else:
            self.send_file(self.root / repository / file[2], body)

    def listing(self, repository, tree):
        folder = self.root / repository
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in files]
        if tree:
            return [
                {"type": "file", "path": name, "size": path.stat().st_size, "oid": "0" * 40}
                for name, path in zip(names, files, strict=True)
            ]
        return {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}

    def send_file(self, path, body):
        if not path.is_file():
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        content = path.read_bytes()
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        start = int(re.match(r"bytes=(\d+)-", self.headers.get("Range") or "bytes=0-")[1])
        status = 206 if start else 200
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        whole = content[start:]
        reach = self.cut.get(path.name, len(content))  # no byte beyond it arrives
        send = content[start : max(start, reach)] if body else b""
        self.answer(status, send, {**headers, "Content-Length": str(len(whole)), "Accept-Ranges": "bytes"})
        return None

    def answer(self, status, content, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub whose repositories are the folders in ``hub.root``."""
    handler = type("Handler", (Hub,), {"root": tmp_path / "hub", "log": [], "gated": set(), "cut": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    for name in ("KNOBO_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    for module in ("constants", "file_download"):  # before its release 1.0 the client kept a second copy
        monkeypatch.setattr(f"huggingface_hub.{module}.HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    yield handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def biomedclip(hub):
    """BiomedCLIP's two repositories: the model, and the BERT that its config names."""
    folder = hub.root / "microsoft" / "BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
    folder.mkdir(parents=True)
    save_biomedclip_like(folder)
    (hub.root / TOWER).mkdir(parents=True)
    shutil.move(folder / "text_tower" / "config.json", hub.root / TOWER)
    (folder / "text_tower").rmdir()
    (folder / "README.md").write_text("terms")
    (folder / "training_log.csv").write_text("1,2\n" * 1000)
    torch.save(load_file(folder / "open_clip_model.safetensors"), folder / "open_clip_pytorch_model.bin")
    return folder


def switch_off(monkeypatch, hub):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.log.clear()


def test_a_fetched_folder_needs_no_network(biomedclip, hub, tmp_path, monkeypatch):
    result = CliRunner().invoke(
        models_app, ["fetch", "BiomedCLIP", "--to", str(tmp_path / "carried")], catch_exceptions=False
    )
    assert "Licence: MIT." in result.output
    carried = tmp_path / "carried"
    files = {path.relative_to(carried).as_posix() for path in carried.rglob("*") if path.is_file()}
    files = {file for file in files if ".cache" not in file}
    assert {"open_clip_config.json", "open_clip_model.safetensors", "text_tower/config.json", "README.md"} < files
    assert not files & {"open_clip_pytorch_model.bin", "training_log.csv"}
    online = load_encoder("biomedclip", device="cpu")
    rows = online.encode_texts(TEXTS)
    assert online.spec == "biomedclip"

    switch_off(monkeypatch, hub)
    shutil.rmtree(tmp_path / "cache")
    np.testing.assert_array_equal(load_encoder(carried, device="cpu").encode_texts(TEXTS), rows)
    assert hub.log == []


def test_a_download_that_was_cut_off_goes_on(biomedclip, hub, tmp_path, monkeypatch):
    weights = biomedclip / "open_clip_model.safetensors"
    hub.cut[weights.name] = 100_000
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000)  # what is lost of a broken answer
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(DownloadError, match=r"Run the command again: what has arrived in .* is kept"):
        fetch_model("biomedclip", tmp_path / "carried")
    hub.cut.clear()
    hub.log.clear()
    fetch_model("biomedclip", tmp_path / "carried")
    ranges = [wanted for method, path, wanted in hub.log if method == "GET" and path.endswith(weights.name)]
    assert ranges
    assert all(int(re.match(r"bytes=(\d+)-", wanted or "bytes=0-")[1]) >= 100_000 for wanted in ranges)
    assert (tmp_path / "carried" / weights.name).read_bytes() == weights.read_bytes()


def test_the_hubs_cache_serves_without_a_network(biomedclip, hub, monkeypatch):
    name = "hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
    rows = load_encoder(name, device="cpu").encode_texts(TEXTS)
    switch_off(monkeypatch, hub)
    again = load_encoder(name, device="cpu")
    np.testing.assert_array_equal(again.encode_texts(TEXTS), rows)
    assert again.spec == name
    assert hub.log == []


@pytest.mark.parametrize("save", [save_transformers_clip, save_timm])
def test_other_formats_come_from_the_hub_too(save, hub, tmp_path):
    (hub.root / "lab" / "model").mkdir(parents=True)
    save(hub.root / "lab" / "model")
    image = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    rows = load_encoder("hf-hub:lab/model", device="cpu").encode_images([image])
    fetch_model("hf-hub:lab/model", tmp_path / "carried")
    np.testing.assert_array_equal(load_encoder(tmp_path / "carried", device="cpu").encode_images([image]), rows)


def test_weights_by_open_clips_name_keep_what_they_were_trained_with(hub, tmp_path, monkeypatch):
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    (tmp_path / "Tiny-CLIP-2.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "Tiny-CLIP-2.json")
    tag = {"hf_hub": "lab/tiny/", "mean": MEAN, "std": STD, "quick_gelu": True, "resize_mode": "squash"}
    monkeypatch.setattr("open_clip.get_pretrained_cfg", lambda *_: tag)
    monkeypatch.setattr("open_clip.list_pretrained_tags_by_model", lambda _: ["old"])
    torch.manual_seed(0)
    model = open_clip.CLIP(**config, quick_gelu=True).eval()
    (hub.root / "lab" / "tiny").mkdir(parents=True)
    save_file(model.state_dict(), hub.root / "lab" / "tiny" / "open_clip_model.safetensors")
    encoder = load_encoder(fetch_model("Tiny-CLIP-2/old", tmp_path / "carried"), device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    steps = open_clip.image_transform(32, is_train=False, mean=MEAN, std=STD, resize_mode="squash")
    with torch.no_grad():
        pixels = steps(Image.fromarray(image)).unsqueeze(0)
        np.testing.assert_allclose(
            encoder.encode_images([image]), model.encode_image(pixels, normalize=True).numpy(), atol=1e-5
        )


def test_following_the_message_by_hand_works_both_ways(biomedclip, hub, tmp_path, monkeypatch):
    switch_off(monkeypatch, hub)
    with pytest.raises(DownloadError) as refusal:
        load_encoder("biomedclip")
    message = str(refusal.value)
    assert "Where there is a network, run `knobo models fetch biomedclip --to FOLDER`" in message
    listed = re.search(r"into FOLDER: (.*?)\. Or put", message)[1].split(", ")
    snapshot, word, refs = re.search(r"Or put them into (\S+) and write the word (\w+) into (\S+);", message).groups()
    for target in (tmp_path / "by-hand", Path(snapshot)):
        for file in listed:
            source = hub.root / TOWER / "config.json" if file == "text_tower/config.json" else biomedclip / file
            if source.is_file():
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target / file)
    Path(refs).parent.mkdir(parents=True)
    Path(refs).write_text(word)
    rows = load_encoder(tmp_path / "by-hand", device="cpu").encode_texts(TEXTS)
    np.testing.assert_array_equal(load_encoder("biomedclip", device="cpu").encode_texts(TEXTS), rows)
    assert hub.log == []


def test_refusals_say_what_to_do(hub, tmp_path, monkeypatch):
    (hub.root / "google" / "medsiglip-448").mkdir(parents=True)
    save_transformers_clip(hub.root / "google" / "medsiglip-448")
    hub.gated.add("google/medsiglip-448")
    with pytest.raises(DownloadError, match=r"accept its conditions first.*google/medsiglip-448, then set HF_TOKEN"):
        fetch_model("medsiglip", tmp_path / "carried")
    with pytest.raises(DownloadError, match="Cannot load medsiglip-448: the hub asks to accept"):
        load_encoder("medsiglip")
    with pytest.raises(DownloadError, match=r"the hub has no lab/nothing.*knobo models fetch hf-hub:lab/nothing"):
        load_encoder("hf-hub:lab/nothing")
    (hub.root / "lab" / "text").mkdir(parents=True)
    (hub.root / "lab" / "text" / "README.md").write_text("no model")
    with pytest.raises(InputError, match="lab/text: The repository holds no model that knobo reads"):
        fetch_model("hf-hub:lab/text", tmp_path / "none")
    with pytest.raises(InputError, match=r"knobo cannot load chexzero, so it does not fetch it\. Checkpoints are on"):
        fetch_model("chexzero", tmp_path / "none")
    switch_off(monkeypatch, hub)
    with pytest.raises(DownloadError, match=r"switched off by KNOBO_OFFLINE or HF_HUB_OFFLINE\. Run this where"):
        fetch_model("biomedclip", tmp_path / "none")


@pytest.mark.parametrize("variable", ["KNOBO_OFFLINE", "HF_HUB_OFFLINE"])
@pytest.mark.parametrize("name", ["whyxrayclip", "rad-dino", "hf-hub:lab/model", "laion-clip"])
def test_offline_nothing_is_asked_of_the_network(name, variable, hub, monkeypatch):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(DownloadError, match=r"switched off.*knobo models fetch .*'local-dir:FOLDER'.*refs/main"):
        load_encoder(name)
    assert hub.log == []


def test_which_files_of_a_repository_are_needed():
    names = ["README.md", "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    names += ["model.safetensors.index.json", "pytorch_model.bin", "flax_model.msgpack", "run.py", "onnx/model.onnx"]
    assert needed_files(names) == [*names[:5]]
    assert needed_files(names, trust_remote_code=True) == [*names[:5], "run.py"]
    assert needed_files(["open_clip_config.json", "open_clip_pytorch_model.bin", "model.safetensors"]) == [
        "open_clip_config.json",
        "open_clip_pytorch_model.bin",
    ]
