"""`anisoalign env`: what a bug report should say."""

from __future__ import annotations

from anisoalign.cli import messages, options

PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "torch",
    "pyarrow",
    "safetensors",
    "faiss-cpu",
    "matplotlib",
    "pylance",
    "numba",
    "isal",
)


def env(json: options.JsonOption = False) -> None:
    """Versions, processor, memory and devices, for bug reports."""
    import os
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import torch
    from threadpoolctl import threadpool_info

    from anisoalign import __version__

    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    pools = {f"{pool.get('internal_api')} {pool.get('version')}": pool["num_threads"] for pool in threadpool_info()}
    record = {
        "anisoalign": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "torch_threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "blas": ", ".join(f"{name} x{threads}" for name, threads in pools.items()),
        **{package: installed(package) for package in PACKAGES},
    }
    if json:
        messages.print_json(record)
        return
    for key, value in record.items():
        print(f"{key:14} {value}")
