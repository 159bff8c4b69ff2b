"""Degraded inputs: what JPEG leaves is what a JPEG file leaves, and chance is drawn only where it was asked for."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from facedouble.curate.faceset import FaceSet
from facedouble.learn import data
from facedouble.learn.degrade import blocky, blurred, degrade
from support import SMALL

PLACE = torch.device("cpu")


@pytest.fixture
def faces(faces_a: FaceSet) -> data.Canvases:
    return data.load(faces_a, SMALL)


def batch(faces: data.Canvases, part: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Input, target and masks of eight faces, and the state that chance is in after them."""
    chance = torch.Generator().manual_seed(1)
    seen, target, masks = data.Feed(faces, replace(SMALL, degrade=part), PLACE)(8, chance)
    return seen.pictures, target, masks, chance.get_state()


def test_without_it_no_chance_is_drawn(faces: data.Canvases, monkeypatch: pytest.MonkeyPatch) -> None:
    after = batch(faces, 0.0)[3]
    monkeypatch.setattr(data, "degrade", None)
    assert torch.equal(after, batch(faces, 0.0)[3])


def test_only_inputs_are_degraded_and_the_same_by_the_same_chance(faces: data.Canvases) -> None:
    (clean, *rest, _), (worse, *same, chance) = batch(faces, 0.0), batch(faces, 1.0)
    assert all(torch.equal(one, other) for one, other in zip(rest, same, strict=True))
    difference = (clean - worse).abs().mean((1, 2, 3))
    assert difference.min() > 0.002 and float(worse.min()) >= 0 and float(worse.max()) <= 1
    again = batch(faces, 1.0)
    assert torch.equal(worse, again[0]) and torch.equal(chance, again[3])


def test_about_the_part_asked_for_is_degraded() -> None:
    pictures = torch.rand(400, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    worse = degrade(pictures, 0.3, 400, slice(0, 400), torch.Generator().manual_seed(0))
    assert 0.22 < float((worse != pictures).flatten(1).any(1).float().mean()) < 0.38


def test_a_share_of_the_faces_gets_what_it_gets_among_all() -> None:
    pictures = torch.rand(9, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    shares = [slice(0, 9), slice(0, 4), slice(4, 9)]
    chances = [torch.Generator().manual_seed(0) for _ in shares]
    whole, *parts = (
        degrade(pictures[share], 0.7, 9, share, chance) for share, chance in zip(shares, chances, strict=True)
    )
    assert len({bytes(chance.get_state().numpy()) for chance in chances}) == 1
    torch.testing.assert_close(torch.cat(parts), whole)


def test_each_picture_is_blurred_by_its_own_deviation() -> None:
    point = torch.zeros(2, 3, 33, 33)
    point[:, :, 16, 16] = 1
    found = blurred(point, torch.tensor([1.0, 2.0]).view(2, 1, 1, 1))
    places = (torch.arange(33) - 16.0) ** 2
    for picture, deviation in zip(found, (1.0, 2.0), strict=True):
        assert float(picture.sum()) == pytest.approx(3, rel=1e-4)
        assert float((picture[0].sum(0) * places).sum()) == pytest.approx(deviation**2, rel=0.1)


@pytest.mark.parametrize("quality", [10, 50, 75])
def test_blocks_are_those_of_a_jpeg_file(faces: data.Canvases, quality: int) -> None:
    pixels = faces.pixels[0, :3].permute(1, 2, 0).numpy()
    pixels = pixels[: len(pixels) // 8 * 8, : len(pixels) // 8 * 8]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=quality, subsampling=0)
    real = np.asarray(Image.open(file)).astype(np.float32)
    coarse = torch.full((1, 1, 1, 1), 50 / quality if quality < 50 else 2 - quality / 50)
    made = blocky(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255, coarse, 0, 0)
    lost = np.abs(real - pixels).mean()
    assert lost > 1
    assert np.abs(made[0].permute(1, 2, 0).numpy() * 255 - real).mean() < 0.5 * lost


def test_any_side_and_any_place_of_the_blocks_will_do() -> None:
    picture = torch.linspace(0, 1, 36).expand(1, 3, 36, 36)  # soft, so that little is lost
    for across, down in ((0, 0), (3, 5), (7, 1)):
        made = blocky(picture, torch.full((1, 1, 1, 1), 0.1), across, down)
        assert made.shape == picture.shape and float((made - picture).abs().max()) < 0.03
