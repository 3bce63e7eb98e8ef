"""Every command and every line of Python in the README runs, in order, in one folder."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("anisoalign ")]


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory):
    """What `make demo` leaves, on fewer rows."""
    folder = tmp_path_factory.mktemp("readme")
    command = [sys.executable, "-m", "anisoalign", "demo", "--rows", "600", "--repeats", "1"]
    subprocess.run(command, check=True, cwd=folder, capture_output=True)
    return folder


def test_the_commands_run_in_order(demo_folder):
    assert len(commands()) >= 5
    for command in commands():
        ended = subprocess.run([sys.executable, "-m", *command], cwd=demo_folder, capture_output=True, text=True)
        assert ended.returncode == 0, (command, ended.stderr)
    assert (demo_folder / "aligned.npy").is_file()
    assert (demo_folder / "compare.html").is_file()


def test_the_python_runs(demo_folder):
    (code,) = blocks("python")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=demo_folder, capture_output=True)


def test_the_make_targets_exist():
    named = [line.split()[1] for block in blocks("bash") for line in block.splitlines() if line.startswith("make ")]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert named
    assert set(named) <= set(targets)


def test_linked_files_exist():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


def test_the_methods_of_the_table_are_those_there_are():
    from anisoalign.aligners import METHODS

    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", README, re.MULTILINE)) == set(METHODS)


def test_the_speed_table_is_what_the_benchmark_printed():
    import json

    record = json.loads((ROOT / "benchmarks" / "speed.json").read_text())
    for method in record["methods"]:
        row = next(line for line in README.splitlines() if line.startswith(f"| {method['method']} |"))
        assert f"{method['ratio']:.2f}" in row
        assert f"{method['peak_anonymous_bytes'] / 1e6:.0f} MB" in row


def test_each_target_sets_itself_up():
    ended = subprocess.run(["make", "--dry-run", "--always-make", "demo"], cwd=ROOT, capture_output=True, text=True)
    assert "-m venv" in ended.stdout
    assert "anisoalign demo" in ended.stdout
