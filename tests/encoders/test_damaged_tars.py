"""A tar is read to its end or refused: what tarfile takes for its end is looked at."""

import gzip
import os
import tarfile

import numpy as np
import pytest
from test_items import write_tar

from anisoalign.embeddings import InputError
from anisoalign.encoders.finding import find_items
from anisoalign.encoders.unreadable import UnreadableError

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


@pytest.fixture(params=["a.tar", "a.tar.gz"])
def linked(tmp_path, request):
    """A tar of four names of two files, as tar writes them, and of links that lead nowhere."""
    (tmp_path / "files").mkdir()
    for name in ("1.jpg", "1.txt"):
        (tmp_path / "files" / name).write_bytes(name.encode())
        os.link(tmp_path / "files" / name, tmp_path / "files" / f"2{name[1:]}")
    path = tmp_path / request.param
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        tar.add(tmp_path / "files", "./files")
        for name, kind in (("3.jpg", tarfile.LNKTYPE), ("4.jpg", tarfile.SYMTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "gone.jpg"
            tar.addfile(member)
    return path


@pytest.mark.parametrize("kinds", [("image",), ("image", "text")])
def test_hard_links_are_the_files_that_they_stand_for(linked, kinds):
    items = find_items(linked, kinds)
    assert items.notes() == [f"{linked}: symbolic links and other members that are no files are not taken: 1"]
    for start in range(3):
        first, *_ = found = list(items.read(start, items.rows))
        assert (len(found), first.row) == (3 - start, start)
    one, two, three = items.read(0, 3)
    assert (one.content["image"], two.content["image"]) == (b"1.jpg", b"1.jpg")
    assert (one.columns, two.columns, three.columns) == ({"caption": "1.txt"}, {"caption": "1.txt"}, {"caption": None})
    with pytest.raises(UnreadableError, match=r"it is a link to gone\.jpg, which is no file before it in the tar"):
        raise three.content["image"]
