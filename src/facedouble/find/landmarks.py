"""MediaPipe's face landmarker: 478 points, head pose and 52 expression coefficients per face."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import weights
from ..device import require_libraries
from ..faces import Faces
from ..geometry import box_around, pose_angles

_PATCH_PX = 320
_FAR = 0.125
"""the side of a face, as a part of the picture's, below which landmarks followed through the whole picture leap now and
then, by up to 6% of its width (benchmarks/README.md)"""


def is_far(box: NDArray[np.float32], picture: NDArray[Any]) -> bool:
    """Whether a face (4,) is so small in its picture (H, W, 3) that only a closer look (`Landmarker.at`) is sure."""
    return bool((box[2:] - box[:2]).max() < _FAR * max(picture.shape[:2]))


class Landmarker:
    """`video=True` follows faces from call to call (frames of one clip, in order); False looks at each picture afresh.

    Raises MachineError where a system library or the weights are missing. Model card: Google, "MediaPipe BlazeFace
    (short
    range), Face Mesh, Blendshape V2", 2022-2023.
    """

    def __init__(self, video: bool, max_people: int = 4) -> None:
        require_libraries()
        from mediapipe.tasks.python import BaseOptions, vision

        self._video = video
        self._time_ms = 0
        self._landmarker = vision.FaceLandmarker.create_from_options(
            vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(weights.path("face_landmarker"))),
                running_mode=vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE,
                num_faces=max_people,
                output_face_blendshapes=True,
                output_facial_transformation_matrixes=True,
            )
        )

    def __call__(self, pixels: NDArray[np.uint8], frame: int = 0) -> Faces:
        """The faces of one picture (H, W, 3) uint8, score 1, tracks and identity not yet known."""
        import mediapipe

        height, width = pixels.shape[:2]
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
        if self._video:
            # The tracker only asks that time goes forward.
            self._time_ms += 33
            result = self._landmarker.detect_for_video(image, self._time_ms)
        else:
            result = self._landmarker.detect(image)
        return _table(result, width, height, frame)

    def at(self, pixels: NDArray[np.uint8], box: NDArray[np.float32], score: float = 1, frame: int = 0) -> Faces:
        """The faces in the surroundings of one box (4,), enlarged: a small or far face that is missed in the whole
        picture. Of a Landmarker that does not follow faces."""
        import cv2

        centre = (box[:2] + box[2:]) / 2
        side = max(2.2 * float(max(box[2:] - box[:2])), 8.0)
        scale = _PATCH_PX / side
        to_patch = np.array(
            [[scale, 0, _PATCH_PX / 2 - scale * centre[0]], [0, scale, _PATCH_PX / 2 - scale * centre[1]]]
        )
        faces = self(cv2.warpAffine(pixels, to_patch, (_PATCH_PX, _PATCH_PX), flags=cv2.INTER_LINEAR), frame)
        if not len(faces):
            return faces
        points = (faces.points - to_patch[:, 2].astype(np.float32)) / np.float32(scale)
        boxes = np.array([box_around(face) for face in points], np.float32)
        return replace(faces, points=points, box=boxes, score=np.full(len(faces), score, np.float32))

    def close(self) -> None:
        self._landmarker.close()

    def __enter__(self) -> Landmarker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _table(result: Any, width: int, height: int, frame: int) -> Faces:
    faces = Faces.empty(len(result.face_landmarks))
    faces.frame[:] = frame
    faces.score[:] = 1
    for row, landmarks in enumerate(result.face_landmarks):
        # Its coordinates run 0..1 over pixel corners; ours are px with (0, 0) the centre of the first pixel.
        faces.points[row] = [(p.x * width - 0.5, p.y * height - 0.5) for p in landmarks]
        faces.box[row] = box_around(faces.points[row])
        faces.pose[row] = pose_angles(result.facial_transformation_matrixes[row])
        faces.expression[row] = [category.score for category in result.face_blendshapes[row]]
    return faces
