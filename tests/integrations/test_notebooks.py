"""The notebooks run from top to bottom; they are kept without outputs, so none can be out of date."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
NEED_DATA = {"audio-text"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path, tmp_path, request, monkeypatch):
    import nbclient
    import nbformat

    if path.stem in NEED_DATA:
        monkeypatch.setenv("ANISOALIGN_DATA", str(request.getfixturevalue("data_folder")))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    # A kernel of this very interpreter, whatever kernels are installed.
    monkeypatch.setenv("JUPYTER_PATH", str(kernel_of_this_python(tmp_path)))
    book = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(book, timeout=600, kernel_name="here", resources={"metadata": {"path": tmp_path}})
    client.execute()
    errors = [out for cell in book.cells for out in cell.get("outputs", []) if out.get("name") == "stderr"]
    assert not [out for out in errors if "Error" in out["text"]], errors


def kernel_of_this_python(folder: Path) -> Path:
    kernel = folder / "jupyter" / "kernels" / "here"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    spec = {"argv": command, "display_name": "here", "language": "python", "env": environment}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    return folder / "jupyter"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path):
    import nbformat

    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    for cell in book.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_every_notebook_is_on_the_page_of_notebooks():
    page = (EXAMPLES.parent / "docs" / "notebooks.md").read_text(encoding="utf-8")
    assert sorted(path.name for path in NOTEBOOKS) == sorted(re.findall(r"`([\w-]+\.ipynb)`", page))
