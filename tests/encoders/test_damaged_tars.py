"""A tar is read to its end or refused: what tarfile takes for its end is looked at."""

import gzip
import tarfile

import numpy as np
import pytest
from test_items import write_tar

from anisoalign.embeddings import InputError
from anisoalign.encoders.finding import find_items

SAMPLES = [
    member
    for i in range(10)
    for member in ((f"{i:05d}.jpg", np.random.default_rng(i).bytes(700)), (f"{i:05d}.txt", b"a cat"))
]


@pytest.fixture
def tar(tmp_path):
    write_tar(tmp_path / "a.tar", SAMPLES)
    return tmp_path / "a.tar"


def header_of(tar, name) -> int:
    with tarfile.open(tar) as file:
        return file.getmember(name).offset


def spoil(tar, offset):
    data = bytearray(tar.read_bytes())
    data[offset + 148 : offset + 156] = b"000001\0 "  # the checksum
    return bytes(data)


def test_a_damaged_header_is_no_end(tar):
    offset = header_of(tar, "00003.jpg")
    tar.write_bytes(spoil(tar, offset))
    with pytest.raises(InputError, match=rf"a\.tar is damaged at byte {offset}, after 00002: .*bad checksum"):
        find_items(tar, ("image",))


def test_a_cut_header_is_no_end(tar):
    offset = header_of(tar, "00003.txt")
    tar.write_bytes(tar.read_bytes()[: offset + 300])
    with pytest.raises(InputError, match=rf"a\.tar is damaged at byte {offset}, after 00003: .*truncated header"):
        find_items(tar, ("image", "text"))


def test_the_same_within_gzip(tar):
    offset = header_of(tar, "00003.jpg")
    packed = tar.with_name("a.tar.gz")
    packed.write_bytes(gzip.compress(spoil(tar, offset)))
    with pytest.raises(InputError, match=rf"a\.tar\.gz is damaged at byte {offset}, after 00002"):
        find_items(packed, ("image",))


def test_a_damage_since_the_listing_ends_the_reading(tar):
    items = find_items(tar, ("image",))
    tar.write_bytes(spoil(tar, header_of(tar, "00003.jpg")))
    with pytest.raises(InputError, match="after 00002"):
        list(items.read(2, 6))


def test_an_end_within_gzip_is_seen_too(tar):
    packed = tar.with_name("a.tar.gz")
    packed.write_bytes(gzip.compress(tar.read_bytes()))
    assert find_items(packed, ("image",)).notes() == []
    packed.write_bytes(gzip.compress(tar.read_bytes()[: header_of(tar, "00009.txt") + 1024]))
    assert "may be cut short" in find_items(packed, ("image",)).notes()[0]


@pytest.mark.parametrize("rest", [0, 300])
def test_an_end_that_does_not_say_so_is_told(tar, rest):
    assert find_items(tar, ("image",)).notes() == []
    offset = header_of(tar, "00009.txt") + 1024
    assert not tar.read_bytes()[offset:].strip(b"\0")
    tar.write_bytes(tar.read_bytes()[: offset + rest])
    items = find_items(tar, ("image",))
    assert items.rows == 10
    assert items.notes() == [f"{tar} ends without the mark of an end, after 00009: it may be cut short"]
