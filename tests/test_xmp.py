"""XMP: outputs say what they are to programs that read no Content Credential, and stay whole."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from facedouble.provenance import credential, xmp
from facedouble.provenance.credential import SOURCE_TYPE, Claim
from support import backdrop, pictures, write_clip

CLAIM = Claim("out", "0.1.0", [], [], "c" * 64, [(0, 4)])


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_clip_carries_its_packet_and_a_valid_credential(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / f"in{suffix}", backdrop(6, (64, 48)))
    before = pictures(clip)
    xmp.write(clip, "0.1.0")
    credential.sign(clip, tmp_path / f"out{suffix}", CLAIM)
    content = (tmp_path / f"out{suffix}").read_bytes()
    assert content.count(xmp.packet("0.1.0")) == 1 and SOURCE_TYPE.encode() in content
    assert credential.verify(tmp_path / f"out{suffix}").state == "valid"
    np.testing.assert_array_equal(pictures(tmp_path / f"out{suffix}"), before)
    with av.open(str(tmp_path / f"out{suffix}")) as opened:
        assert opened.streams.video[0].frames == 6


def test_the_packet_is_part_of_what_is_signed(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", backdrop(6, (64, 48)))
    xmp.write(clip, "0.1.0")
    credential.sign(clip, clip, CLAIM)
    content = clip.read_bytes()
    clip.write_bytes(content.replace(b"AI modified", b"no AI in it"))
    assert credential.verify(clip).state == "altered"


def test_pictures_of_a_folder_carry_it(tmp_path: Path) -> None:
    for number in range(2):
        Image.fromarray(backdrop(2, (64, 48))[number]).save(tmp_path / f"{number}.png")
    xmp.write(tmp_path, "0.1.0")
    for number in range(2):
        with Image.open(tmp_path / f"{number}.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), backdrop(2, (64, 48))[number])
            assert SOURCE_TYPE in picture.text["XML:com.adobe.xmp"]
