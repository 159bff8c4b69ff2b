"""A model, loaded and fitted to a clip, to convert with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from numpy.typing import NDArray

from ..device import Device
from ..events import Note
from ..faces import Faces
from ..footage import Clip, Frame, spread
from ..learn import checkpoint, occlusion, specialists
from ..learn.checkpoint import Trained
from ..learn.features import FeatureDetail
from ..learn.model import Network
from ..learn.occlusion import Occlusion
from ..learn.skin import SkinDetail
from ..learn.specialists import Routed
from ..learn.usual import UsualFaces
from ..media.reader import frames_at
from ..provenance import certificate, consent
from ..provenance.mark import Marker
from ..recipes import ConvertRecipe
from ..swap.face import Swapper
from ..swap.light import Light

_LOOKED_AT = 12
"""frames by which the new faces are fitted to a clip"""


@dataclass(frozen=True, eq=False)
class Opened:
    """A model, loaded to convert with."""

    model: Path
    network: Network | Routed
    trained: Trained
    state: checkpoint.State
    before: Occlusion | None
    """what stands before a face, if the model has learned it"""
    skin: SkinDetail | None
    """B's fine skin detail, if the model has it"""
    features: FeatureDetail | None
    """and B's own eyes, brows, nose and lips"""
    usual: UsualFaces | None
    """how both usually look, if the model knows"""
    weights_sha256: str

    @classmethod
    def of(cls, model: Path, device: Device, which: str) -> Self:
        """Raises ModelError; ConsentError where a record does not hold; and where the signing key is unusable, which
        must stop the work before it begins, not after."""
        place = torch.device(device.name)
        network: Network | Routed
        network, trained, state = checkpoint.load(model, place, which)
        for record in (*trained.consents.values(), *trained.earlier):
            consent.check(record, dt.date.today())
        certificate.signing_identity()
        before = occlusion.load(model)
        before = None if before is None else before.to(place)
        sha256 = checkpoint.weights_sha256(model, which)
        if which == "newest" and (experts := specialists.load(model, trained.recipe, place)):
            network = Routed(network, experts)
            sha256 = specialists.weights_sha256(model, sha256, experts)
        skin, features, usual = SkinDetail.load(model), FeatureDetail.load(model), UsualFaces.load(model)
        return cls(model, network, trained, state, before, skin, features, usual, sha256)

    def swapper(
        self, recipe: ConvertRecipe, marker: Marker, seen: Iterable[tuple[Frame, NDArray[Any], NDArray[Any]]]
    ) -> Swapper:
        """Fitted to a clip by some of its frames, with A's landmarks (478, 2) and what A does (54,) in each."""
        light = Light.of(self.usual) if self.usual is not None and recipe.colour == "light" else None
        swapper = Swapper(self.network, self.trained.recipe, recipe, marker, self.before, light)
        faces = ((frame.pixels, points, acting) for frame, points, acting in seen)
        return swapper.fitted(faces, self.skin, self.features)

    def fitted(self, clip: Clip, faces: Faces, recipe: ConvertRecipe, marker: Marker) -> Swapper:
        """`swapper`, by frames spread over the clip, in which A's `faces` are known."""
        acting, some = faces.acting(), spread(len(faces), _LOOKED_AT)
        frames = frames_at(clip, faces.frame[some].tolist())
        seen = ((frame, faces.points[row], acting[row]) for frame, row in zip(frames, some, strict=True))
        return self.swapper(recipe, marker, seen)

    def unlearned(self, recipe: ConvertRecipe) -> Iterator[Note]:
        """What is to be said of what the model lacks and the recipe asks for."""
        remedy = "`facedouble train` with the same settings teaches it"
        if self.before is None and recipe.occlusion == "keep":
            yield Note(
                f"{self.model.name} has not learned what stands before a face, so hands and hair are covered; {remedy}"
            )
        if self.skin is None and recipe.fit != "none" and self.trained.recipe.skin_faces:
            yield Note(f"{self.model.name} knows nothing of {self.trained.people['b']}'s skin detail; {remedy}")
        if self.features is None and recipe.fit != "none" and self.trained.recipe.feature_faces:
            yield Note(
                f"{self.model.name} has none of {self.trained.people['b']}'s own eyes, brows, nose and lips, so they "
                f"are as soft as they are drawn; {remedy}"
            )
        if self.usual is None and recipe.colour == "light" and self.trained.recipe.usual_faces:
            yield Note(
                f"{self.model.name} does not know how {self.trained.people['a']} usually looks, so hard shadows are "
                f"lost; {remedy}"
            )


Parts = Sequence[tuple[Opened, Faces]]
"""models, and the faces each of them replaces"""
