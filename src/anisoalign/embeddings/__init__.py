"""Embeddings: a set of vectors on disk or in memory, opened, looked at, read in tiles, written, converted."""

from anisoalign.embeddings.budget import format_bytes, parse_bytes
from anisoalign.embeddings.by_id import rows_like
from anisoalign.embeddings.convert import check_apart, convert, open_to_convert
from anisoalign.embeddings.embedding_set import EmbeddingSet
from anisoalign.embeddings.engines import (
    Engine,
    Job,
    Outcome,
    Sendable,
    carried_out,
    engine_for,
    engine_in_use,
    engine_used,
)
from anisoalign.embeddings.errors import ColumnError, InputError
from anisoalign.embeddings.fingerprints import checksum, file_states, fingerprint
from anisoalign.embeddings.labels import read_labels
from anisoalign.embeddings.manifest import verify
from anisoalign.embeddings.notes import Dropped
from anisoalign.embeddings.opening import open_embeddings
from anisoalign.embeddings.pairs import paired_tiles, read_pairs
from anisoalign.embeddings.remote import RemotePath, locate
from anisoalign.embeddings.remote_writer import writer_for
from anisoalign.embeddings.shard_writer import ShardWriter
from anisoalign.embeddings.shards import Shard, Span
from anisoalign.embeddings.tiles import Sweep, Tile
from anisoalign.embeddings.transfer import write_tiles
from anisoalign.embeddings.workers import in_order, operations_alone
from anisoalign.embeddings.writer import EmbeddingWriter

__all__ = [
    "ColumnError",
    "Dropped",
    "EmbeddingSet",
    "EmbeddingWriter",
    "Engine",
    "InputError",
    "Job",
    "Outcome",
    "RemotePath",
    "Sendable",
    "Shard",
    "ShardWriter",
    "Span",
    "Sweep",
    "Tile",
    "carried_out",
    "check_apart",
    "checksum",
    "convert",
    "engine_for",
    "engine_in_use",
    "engine_used",
    "file_states",
    "fingerprint",
    "format_bytes",
    "in_order",
    "locate",
    "open_embeddings",
    "open_to_convert",
    "operations_alone",
    "paired_tiles",
    "parse_bytes",
    "read_labels",
    "read_pairs",
    "rows_like",
    "verify",
    "write_tiles",
    "writer_for",
]
