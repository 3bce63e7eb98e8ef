"""Every command and the Python of docs/encode.md run, with small models in the place of those on the hub."""

import io
import json
import re
import shlex
import tarfile
from pathlib import Path

import numpy as np
import pytest
from tiny_encoders import caption, picture

PAGE = (Path(__file__).parents[2] / "docs" / "encode.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.integration


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path, photos, monkeypatch) -> Path:
    """What the page speaks of."""
    import soundfile

    (tmp_path / "captions.txt").write_text("".join(f"{caption(i)}\n" for i in range(20)))
    (tmp_path / "tars").mkdir()
    for part in range(2):
        with tarfile.open(tmp_path / "tars" / f"{part:03d}.tar", "w") as tar:
            for seed in range(part * 8, part * 8 + 8):
                content = io.BytesIO()
                picture(seed).save(content, "PNG")
                for ending, data in (("png", content.getvalue()), ("txt", caption(seed).encode())):
                    info = tarfile.TarInfo(f"{seed}.{ending}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    records = [{"file": f"photos/cats/{i}.png", "title": caption(i)} for i in range(1, 23, 2)]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (tmp_path / "recordings").mkdir()
    for seed in range(3):
        wave = np.random.default_rng(seed).normal(size=4000).astype(np.float32) / 4
        soundfile.write(tmp_path / "recordings" / f"{seed}.wav", wave, 8000)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_runs_from_top_to_bottom(folder, model_folder, monkeypatch):
    from anisoalign.cli import main

    local = {
        "openai/clip-vit-large-patch14": str(model_folder("clip")),
        "laion/clap-htsat-unfused": str(model_folder("clap", fused=False)),
    }

    def here(text: str) -> str:
        for name, place in local.items():
            text = text.replace(name, place)
        return text

    lines = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("anisoalign ")]
    assert len(lines) == 8
    for line in lines:
        monkeypatch.setattr("sys.argv", shlex.split(here(line)))
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, line
    (code,) = blocks("python")
    exec(compile(here(code), "docs/encode.md", "exec"), {})
