"""Models to and from the Hugging Face Hub: folders here, uploads at the edge of HfApi."""

import json
import shutil

import numpy as np
import pytest

import anisoalign as aa

pytestmark = pytest.mark.integration


@pytest.fixture
def model(planted):
    return aa.ReAlign().fit(planted.source, planted.target)


def test_a_local_round_trip(model, planted, tmp_path):
    model.save_pretrained(tmp_path / "model")
    again = aa.ReAlign.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(again.transform(planted.source), model.transform(planted.source))
    assert isinstance(aa.Aligner.from_pretrained(tmp_path / "model"), aa.ReAlign)


def test_another_method_than_asked_for_is_refused(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(aa.InputError, match="holds a ReAlign, not a AnisoAlign"):
        aa.AnisoAlign.from_pretrained(tmp_path / "model")


class Uploads:
    """Stands where HfApi stands and keeps what it was given."""

    def __init__(self, folder):
        self.folder, self.calls = folder, []

    def __call__(self, token=None):
        self.calls.append(("token", token))
        return self

    def create_repo(self, repo_id, **options):
        from huggingface_hub import RepoUrl

        self.calls.append(("create", repo_id, options))
        return RepoUrl(f"https://huggingface.co/{repo_id}")

    def upload_folder(self, *, repo_id, folder_path, **options):
        from huggingface_hub import CommitInfo

        shutil.copytree(folder_path, self.folder)
        self.calls.append(("upload", repo_id, options))
        return CommitInfo(
            commit_url=f"https://huggingface.co/{repo_id}/commit/0", commit_message="", commit_description="", oid="0"
        )


def test_what_is_pushed_is_a_model_with_a_card(model, planted, tmp_path, monkeypatch):
    uploads = Uploads(tmp_path / "there")
    monkeypatch.setattr("huggingface_hub.HfApi", uploads)
    url = model.push_to_hub("someone/texts-to-images", private=True, token="t")
    assert url == "https://huggingface.co/someone/texts-to-images/commit/0"
    assert [call[0] for call in uploads.calls] == ["token", "create", "upload"]
    assert uploads.calls[1][2]["private"] is True
    assert sorted(file.name for file in (tmp_path / "there").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    again = aa.load(tmp_path / "there")
    np.testing.assert_array_equal(again.transform(planted.source), model.transform(planted.source))


def test_the_card_is_one_that_the_hub_reads(model, tmp_path, monkeypatch):
    from huggingface_hub import ModelCard

    uploads = Uploads(tmp_path / "there")
    monkeypatch.setattr("huggingface_hub.HfApi", uploads)
    model.push_to_hub("someone/texts-to-images")
    card = ModelCard.load(tmp_path / "there" / "README.md")
    assert card.data.to_dict()["library_name"] == "anisoalign"
    assert 'from_pretrained("someone/texts-to-images")' in card.text
    assert "width 16" in card.text


def test_a_model_of_the_hub_is_fetched_without_its_other_files(model, planted, tmp_path, monkeypatch):
    model.save(tmp_path / "cache")
    asked = {}

    def download(repo_id, **options):
        asked.update(options, repo_id=repo_id)
        return str(tmp_path / "cache")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    again = aa.Aligner.from_pretrained("someone/texts-to-images", revision="v1", token="t")
    np.testing.assert_array_equal(again.transform(planted.source), model.transform(planted.source))
    assert asked == {
        "repo_id": "someone/texts-to-images",
        "revision": "v1",
        "token": "t",
        "allow_patterns": ["config.json", "model.safetensors"],
    }


def test_what_is_nowhere_is_said_to_be(model, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(aa.InputError, match="neither a folder here nor"):
        aa.Aligner.from_pretrained(tmp_path / "no" / "such" / "folder")
    with pytest.raises(aa.InputError, match="cannot be reached"):
        aa.Aligner.from_pretrained("someone/nothing", cache_dir=tmp_path, local_files_only=True)
    with pytest.raises(aa.InputError, match="no name of a repository"):
        model.push_to_hub("not a name/at all/ever")


def test_no_path_of_this_machine_is_in_a_saved_model(planted, tmp_path):
    import subprocess
    import sys

    np.save(tmp_path / "y.npy", planted.source)
    np.save(tmp_path / "x.npy", planted.target)
    command = ["fit", "realign", "--source", "y.npy", "--target", "x.npy", "--out", "model"]
    subprocess.run([sys.executable, "-m", "anisoalign", *command], cwd=tmp_path, check=True, capture_output=True)
    said = (tmp_path / "model" / "config.json").read_text() + (tmp_path / "model" / "README.md").read_text()
    assert str(tmp_path) not in said
    assert "y.npy" not in said
    assert "300 rows" in said
    assert (
        json.loads((tmp_path / "model" / "config.json").read_text())["fitted"]["provenance_"]["source"]["rows"] == 300
    )
