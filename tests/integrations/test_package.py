"""The built wheel, installed elsewhere, holds all that it needs."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(ROOT)]
    subprocess.run(command, check=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_weights_and_template(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "anisoalign/worlds/weights.safetensors" in names
    assert "anisoalign/worlds/weights.json" in names
    assert "anisoalign/report/page.html.jinja" in names
    assert wheel.stat().st_size < 4_000_000


def test_the_wheel_runs_outside_the_checkout(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True, system_site_packages=False)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    # The dependencies of this environment, the package from the wheel alone.
    site = next(path for path in sys.path if path.endswith("site-packages"))
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True)
    code = (
        "import anisoalign, pathlib; from anisoalign.worlds import RenderedWorld\n"
        f"assert pathlib.Path(anisoalign.__file__).is_relative_to({str(tmp_path)!r})\n"
        "assert RenderedWorld.load().embed(rows=8, seed=0).text.shape == (8, 256)"
    )
    environment = {**os.environ, "PYTHONPATH": site}
    subprocess.run([python, "-P", "-c", code], check=True, cwd=tmp_path, env=environment)
