"""Neither threads nor hands have a say in results: a part is done by one thread, alone."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

# A process of its own, since the suite's has one thread: BLAS and OpenMP read how many there are when they load.
SCRIPT = """
import hashlib, json, sys
from pathlib import Path
import numpy as np, torch
from threadpoolctl import threadpool_limits
import anisoalign as aa
from anisoalign.embeddings import transfer, workers
from anisoalign.statistics import measure

source, target, out = sys.argv[1:]
model = aa.GaussianTransport(strength=0.5).fit(source, target)
found = {}

def note(what, *arrays):
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()
    found.setdefault(what, []).append(digest)

for threads in (1, 3, 4):
    for cores in (1, 2, 5):
        with threadpool_limits(threads):
            torch.set_num_threads(threads)
            workers.cores = transfer.cores = lambda: cores
            for dtype in ("float32", "float64"):
                moments = measure(source, dtype=dtype)
                note(f"moments in {dtype}", moments.mean, moments.covariance)
                model.transform(source, out, dtype=dtype, overwrite=True)
                note(f"aligned in {dtype}", *map(np.load, sorted(Path(out).glob("*.npy"))))
                note(f"centre in {dtype}", model.calibrate(source, dtype=dtype).calibration_mean_)
            assert torch.get_num_threads() == threads  # given back
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def digests(tmp_path_factory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("threads")
    rng = np.random.default_rng(0)
    for side in ("source", "target"):
        (folder / side).mkdir()
        for i in range(5):
            np.save(folder / side / f"{i}.npy", rng.normal(size=(900 + 100 * i, 200)).astype(np.float32) + 0.2)
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "4")}
    command = [sys.executable, "-c", SCRIPT, *(str(folder / name) for name in ("source", "target", "out"))]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("what", ["moments", "aligned", "centre"])
def test_bits_do_not_depend_on_threads_or_hands(digests, what, dtype):
    found = digests[f"{what} in {dtype}"]
    assert len(found) == 9
    assert len(set(found)) == 1
