"""What the files of a result are called: shards by number, and columns beside them by the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from anisoalign.embeddings.metadata import BESIDE


@dataclass
class ShardNames:
    """Names within one result.

    Parameters
    ----------
    out : Path
        The result.
    ending : str
        Of its shards.
    single : bool
        Whether it is one file.
    metadata : str
        Folder for columns beside vectors, seen from a result that is a folder.

    Examples
    --------
    >>> names = ShardNames(Path("out"), ".npy", single=False)
    >>> names.of_shard(0), names.of_shard(7, "img_7"), names.beside("img_007.npy")
    ('emb_000.npy', 'img_007.npy', 'metadata_007.parquet')
    """

    out: Path
    ending: str
    single: bool
    metadata: str = "metadata"
    _taken: dict[int, int] = field(default_factory=dict)

    def of_shard(self, index: int, stem: str | None = None) -> str:
        """File of a shard; the number of its stem is zero-padded, or `index` appended where it has none.

        Raises
        ------
        ValueError
            If another shard has the number, or a single file were to have a second shard.
        """
        if self.single:
            if index:
                raise ValueError("a single file has one shard, number 0")
            return self.out.name
        stem = "emb" if stem is None else stem
        base = stem.rstrip("0123456789")
        digits = stem.removeprefix(base)
        name = (f"{base}{digits.zfill(3)}" if digits else f"{stem}_{index:03d}") + self.ending
        # The number alone must tell shards apart: it is how metadata finds its vectors.
        number = int(digits or index)
        if self._taken.setdefault(number, index) != index:
            raise ValueError(f"two shards of {self.out} would have the number {number}, one of them {name}")
        return name

    def beside(self, name: str) -> str:
        """File of the columns beside a shard's file."""
        if self.single:
            return name + BESIDE
        stem = Path(name).stem
        return f"metadata_{stem.removeprefix(stem.rstrip('0123456789'))}.parquet"

    def place_beside(self, name: str) -> str:
        """Where that file lies, seen from the folder of the shard's."""
        return self.beside(name) if self.single else f"{self.metadata}/{self.beside(name)}"
