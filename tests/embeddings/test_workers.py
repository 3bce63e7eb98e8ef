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


OVERLAPPING = """
import sys, threading
import numpy as np, torch
from threadpoolctl import threadpool_info
from anisoalign.embeddings import operations_alone

def blas():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

def counts():
    return torch.get_num_threads(), blas()

def inside(entered, leave, seen):
    with operations_alone():
        entered.set()
        leave.wait()
        seen.append(counts())
    seen.append(torch.get_num_threads())

before, seen, fresh = counts(), {}, []
assert before == (2, {2}), before
for turn in range(2):  # the second shows what the first left
    entered, leave = ([threading.Event() for _ in range(2)] for _ in range(2))
    with operations_alone():
        threads = []
        for i in range(2):
            threads.append(threading.Thread(target=inside, args=(entered[i], leave[i], seen.setdefault(i, []))))
            threads[i].start()
            entered[i].wait()
        leave[1].set()
        threads[1].join()
        assert counts() == (1, {1}), counts()
    assert torch.get_num_threads() == 2  # who leaves has its own again, though another is inside
    assert blas() == {1}
    with operations_alone():
        assert counts() == (1, {1}), counts()
    leave[0].set()
    threads[0].join()
    assert seen[0][-2] == seen[1][-2] == (1, {1}), seen
    assert counts() == before, counts()
    thread = threading.Thread(target=lambda: fresh.append(counts()))
    thread.start()
    thread.join()
    assert fresh[-1] == before, fresh
"""


def test_threads_that_are_inside_at_once_leave_the_counts_as_they_were():
    """In whatever order they leave, no one is given more threads while inside, and none is left with fewer."""
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2")}
    command = [sys.executable, "-c", OVERLAPPING]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
