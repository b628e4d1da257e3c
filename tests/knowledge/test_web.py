"""Downloads go on where they stopped, whatever the server, the network or the disk did."""

import errno
import hashlib
import re
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace

import pytest
import yaml
from loopback import FakeClock, Mirror, files_in, get, lines, mirror_handler, recipe, serving

from knobo.errors import DownloadError, FileError
from knobo.knowledge import web
from knobo.knowledge.entrez import search_pubmed
from knobo.knowledge.web import Courier


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    found = Mirror()
    with serving(mirror_handler(found)) as found.url:
        yield found


def test_a_cut_download_goes_on_where_it_stopped(mirror, tmp_path):
    body = mirror.files["chunk/a.jsonl"] = lines(3000)
    mirror.faults["chunk/a.jsonl"] = [("cut", 50_000), ("cut", 50_000), ("status", 503), ("hang up", None)]
    get(mirror, tmp_path)
    assert (tmp_path / "a.jsonl").read_bytes() == body
    assert [wanted for _, wanted in mirror.asked] == [None, "bytes=49999-", *["bytes=99998-"] * 3]
    assert mirror.sent["chunk/a.jsonl"] < len(body) + 10
    assert files_in(tmp_path) == ["a.jsonl"]


def test_silence_ends_an_attempt_and_what_came_is_kept(mirror, tmp_path):
    body = mirror.files["chunk/a.jsonl"] = lines(3000)
    mirror.faults["chunk/a.jsonl"] = [("slow", 30_000)]
    get(mirror, tmp_path, timeout=0.25)
    assert (tmp_path / "a.jsonl").read_bytes() == body
    assert mirror.asked[1][1] == "bytes=29999-"


@pytest.mark.parametrize("missing", ["ranges", "etags"])
def test_a_server_that_cannot_resume_sends_the_file_anew(mirror, tmp_path, missing):
    setattr(mirror, missing, False)
    body = mirror.files["chunk/a.jsonl"] = lines(3000)
    mirror.faults["chunk/a.jsonl"] = [("cut", 50_000)]
    get(mirror, tmp_path)
    assert (tmp_path / "a.jsonl").read_bytes() == body


def test_a_file_that_changed_meanwhile_is_not_patched_together(mirror, tmp_path):
    mirror.files["chunk/a.jsonl"] = lines(3000)
    mirror.faults["chunk/a.jsonl"] = [("cut", 50_000)] + [("status", 500)] * 5
    with pytest.raises(DownloadError, match=r"a\.jsonl: the server answers with status 500.*what was fetched is kept"):
        get(mirror, tmp_path)
    assert (tmp_path / "a.jsonl.part").stat().st_size == 50_000
    mirror.files["chunk/a.jsonl"] = lines(2500, 7)
    get(mirror, tmp_path)
    assert (tmp_path / "a.jsonl").read_bytes() == lines(2500, 7)


def test_a_complete_part_is_only_completed(mirror, tmp_path):
    body = mirror.files["chunk/a.jsonl"] = lines(100)
    (tmp_path / "a.jsonl.part").write_bytes(body)
    (tmp_path / "a.jsonl.part.tag").write_text(f'"{hashlib.md5(body).hexdigest()}"')
    get(mirror, tmp_path)
    assert mirror.sent["chunk/a.jsonl"] == 1
    assert files_in(tmp_path) == ["a.jsonl"]


def test_another_range_than_asked_for_is_not_believed(mirror, tmp_path):
    body = mirror.files["chunk/a.jsonl"] = lines(3000)
    mirror.faults["chunk/a.jsonl"] = [("cut", 50_000), ("wrong range", None)]
    get(mirror, tmp_path)
    assert (tmp_path / "a.jsonl").read_bytes() == body


def test_a_full_disk_is_told_before_and_during(mirror, tmp_path, monkeypatch):
    mirror.files["chunk/a.jsonl"] = lines(100)
    with monkeypatch.context() as patch:
        patch.setattr(web.shutil, "disk_usage", lambda _: SimpleNamespace(free=5))
        with pytest.raises(FileError, match=r"a\.jsonl needs [\d,]+ more bytes, but .* has only 5 free"):
            get(mirror, tmp_path)
    real = web.Path.open

    def full(path, *arguments, **options):
        file = real(path, *arguments, **options)
        if path.suffix != ".part":
            return file
        file.close()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(web.Path, "open", full)
        with pytest.raises(FileError, match=r"a\.jsonl: cannot write .*No space left on device\. Free some room"):
            get(mirror, tmp_path)
    assert files_in(get(mirror, tmp_path)) == ["a.jsonl"]


def test_a_write_that_fails_midway_keeps_what_came(mirror, tmp_path):
    """A limit of the process on the size of its files stands for a disk that is full."""
    pytest.importorskip("resource")  # POSIX
    mirror.files["chunk/a.jsonl"] = lines(3000)
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(recipe()))
    code = (
        "import resource, signal, sys; from knobo.knowledge.getters import get_corpus\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "try: get_corpus(sys.argv[1], sys.argv[2], base_url=sys.argv[3])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", code, str(path), str(out), mirror.url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.match(r"FileError a\.jsonl: cannot write .*File too large.*what was fetched is kept", said)
    mirror.asked.clear()
    get(mirror, out)
    assert (out / "a.jsonl").read_bytes() == lines(3000)
    assert mirror.asked[0][1] is not None


def test_a_killed_download_goes_on_in_the_middle(mirror, tmp_path):
    body = mirror.files["chunk/a.jsonl"] = lines(20_000)
    mirror.pause = 0.01
    path, out = tmp_path / "own.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump(recipe()))
    code = (
        "import sys; from knobo.knowledge.getters import get_corpus; get_corpus(*sys.argv[1:3], base_url=sys.argv[3])"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path), str(out), mirror.url])
    part, limit = out / "a.jsonl.part", time.monotonic() + 60
    while (not part.is_file() or part.stat().st_size < 200_000) and time.monotonic() < limit:
        time.sleep(0.005)
    process.kill()
    process.wait()
    held = part.stat().st_size
    assert 200_000 <= held < len(body)
    mirror.pause = 0.0
    get(mirror, out)
    assert (out / "a.jsonl").read_bytes() == body
    assert mirror.asked[-1] == ("chunk/a.jsonl", f"bytes={held - 1}-")
    assert files_in(out) == ["a.jsonl"]


def test_a_courier_with_the_real_clock_keeps_the_pace():
    courier = Courier(per_second=50)
    start = time.monotonic()
    for _ in range(4):
        courier._keep_pace()
    assert time.monotonic() - start >= 3 / 50 - 0.001


def test_nobody_at_the_other_end(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving(BaseHTTPRequestHandler) as url:
        pass
    with pytest.raises(DownloadError, match=r"the connection failed .* Check the network"):
        search_pubmed("heart", base_url=url, clock=FakeClock())
