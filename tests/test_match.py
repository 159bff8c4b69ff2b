"""curate/match and what it rests on: known changes move the measure meant for them, and the others hardly."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble import cli, stages
from facedouble.curate.appearance import Appearance, blocks, fit_lamp, look_at, sampled_rows, shading, skin_pieces
from facedouble.curate.compare import Comparison, Side, ita, light_field
from facedouble.curate.faceset import FaceSet
from facedouble.curate.match import GOALS, Finding, Goal, judge_pair, overall_figure, recommend
from facedouble.curate.quality import Looks, measure, quality_of
from facedouble.errors import FaceError, MachineError
from facedouble.events import Finished, Note, Progress
from facedouble.faces import Faces
from facedouble.find import mesh as mesh_module
from facedouble.find.crop import aligned
from facedouble.find.identity import mean_embedding
from facedouble.find.mesh import Mesh, rotation
from facedouble.geometry import apply, pose_angles
from facedouble.recipes import ExtractRecipe, TrainRecipe, Until
from support import CPU, SAMPLE, SHARED, SMALL, Picture, consent_of, pictures, run

RECIPE = TrainRecipe()
Change = Callable[[Picture, int], Picture]


def seen(faces: FaceSet) -> Side:
    _, quality = run(measure(faces, workers=2))
    _, found = run(look_at(faces, sampled_rows(faces), RECIPE, workers=2))
    assert isinstance(found, Appearance)
    return Side(faces, quality, found)


def with_table(side: Side, **columns: NDArray[np.floating]) -> Side:
    """As if the faces of a set had been found with other poses, expressions or identities."""
    faces = replace(side.faces, faces=replace(side.faces.faces, **columns))
    return Side(faces, quality_of(faces, Looks.load(side.faces), faces.rows_with_crops()), side.seen)


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return Mesh.load()


@pytest.fixture(scope="module")
def a(faces_a: FaceSet) -> Side:
    return seen(faces_a)


@pytest.fixture(scope="module")
def b(faces_b: FaceSet) -> Side:
    return seen(faces_b)


@pytest.fixture
def changed(faces_a: FaceSet, tmp_path: Path) -> Callable[[Change], Side]:
    """A's set with each crop changed by a function of the crop and its row."""

    def make(change: Change) -> Side:
        shutil.copytree(faces_a.path, tmp_path / "changed", dirs_exist_ok=True)
        result = FaceSet.load(tmp_path / "changed")
        for row in result.rows_with_crops():
            picture = change(faces_a.read_crop(int(row)), int(row))
            cv2.imwrite(str(result.path / "crops" / result.crop[row]), picture[:, :, ::-1])
        return seen(result)

    return make


def linear(picture: Picture) -> NDArray[np.float64]:
    return np.asarray((picture / 255) ** 2.2)


def from_linear(light: NDArray[np.floating]) -> Picture:
    return np.rint(np.clip(light, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


def degrees(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


# --- the mesh and the light on it -----------------------------------------------------------------------------------


def test_the_mesh_looks_where_a_face_looks(mesh: Mesh) -> None:
    assert mesh.vertices.shape == (468, 3)
    assert mesh.triangles.shape == (898, 3)
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-5)
    assert mesh.normals[:, 2].mean() > 0.6  # towards the viewer
    right, left = mesh.vertices[33], mesh.vertices[263]  # outer corners of the person's right and left eye
    assert right[0] < 0 < left[0]
    cheeks = [mesh.normals[(mesh.triangles == corner).any(1)].mean(0) for corner in (234, 454)]
    assert cheeks[0][0] < -0.5 < 0.5 < cheeks[1][0]


@pytest.mark.parametrize("pose", [(0.5, -0.3, 0.2), (-0.9, 0.4, -0.3), (0, 0, 0)])
def test_a_rotation_has_the_angles_it_was_made_of(pose: tuple[float, float, float]) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(np.array(pose))
    np.testing.assert_allclose(pose_angles(matrix), pose, atol=1e-6)


def test_weights_without_a_mesh_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.task").write_bytes(b"no bundle")
    monkeypatch.setattr(mesh_module.weights, "path", lambda _: tmp_path / "broken.task")
    with pytest.raises(MachineError, match="no face mesh in it"):
        Mesh.load()


@pytest.mark.parametrize("aside", [0, 30, 60])
@pytest.mark.parametrize("even", [0.1, 0.5])
def test_a_lamp_is_found_again(mesh: Mesh, aside: float, even: float) -> None:
    """A matt face with spotty skin under a lamp, from which the half cosine itself (not its harmonics) is rendered."""
    skin, chance = skin_pieces(mesh), np.random.default_rng(3)
    errors, shares = [], []
    for around in np.arange(0, 360, 30):
        angle, turn = np.radians(aside), np.radians(around)
        lamp = np.array([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), np.cos(angle)])
        normals = mesh.normals[skin] @ rotation(np.array([0.3 * np.cos(turn), 0.2, 0.1])).T
        normals, areas = normals[normals[:, 2] > 0.25], mesh.areas[skin][normals[:, 2] > 0.25]
        bright = (even + np.maximum(normals @ lamp, 0)) * chance.normal(1, 0.1, len(normals))
        bright[:20] *= 0.3  # a beard
        found = fit_lamp(normals, bright, areas)
        errors.append(degrees(found, lamp))
        shares.append(float(np.linalg.norm(found)))
    assert np.median(errors) < 10
    assert np.percentile(errors, 90) < 20
    assert np.mean(shares) == pytest.approx(1 / (1 + even), abs=0.2)


def test_even_light_has_no_lamp(mesh: Mesh) -> None:
    normals = mesh.normals[mesh.normals[:, 2] > 0.25]
    found = fit_lamp(normals, np.full(len(normals), 0.4), np.ones(len(normals)))
    assert np.linalg.norm(found) < 0.02
    np.testing.assert_allclose(shading(found, normals), 1, atol=0.02)


def test_light_is_told_in_lightness() -> None:
    """From twice the lightness's own change: the same lamp is 0, and the further the lamp moves the more."""
    lamps = np.array([[0, 0, 0.8], [0, 0, 0.8], [0.4, 0, 0.69], [0.8, 0, 0.0]])
    field = light_field(lamps)
    away = np.linalg.norm(field - field[0], axis=1)
    assert away[1] == 0
    assert 2 < away[2] < away[3]


# --- known changes --------------------------------------------------------------------------------------------------


def moved(a: Side, other: Side) -> dict[str, float]:
    return Comparison.of(a, other, RECIPE).values


CALM = {
    "angles": 0.1, "expressions": 0.1, "light": 1.0, "light_direction": 1.0, "light_contrast": 1.0, "skin_tone": 3.5,
    "skin_hue": 2.0, "shape": 1.0, "strangers": 0.1,
}  # fmt: skip
"""what no other change may exceed: half of what is called good, where anything is seen at all"""


def assert_only(values: dict[str, float], *meant: str) -> None:
    for name, most in CALM.items():
        if name not in meant:
            assert values[name] <= most, name
    if "sharpness" not in meant:
        assert values["sharpness"] == pytest.approx(1, abs=0.1)


def test_a_set_with_itself(a: Side) -> None:
    values = moved(a, a)
    for name in CALM:
        assert values[name] == pytest.approx(0, abs=1e-3), name
    assert values["sharpness"] == 1
    match = judge_pair(Comparison.of(a, a, RECIPE))
    # 40 faces are few, and those of the clip are larger than the network's picture.
    assert {one.measure for one in match.findings if one.verdict not in ("good", "")} == {"distinct", "size_a"}


def test_darkened(a: Side, changed: Callable[[Change], Side]) -> None:
    values = moved(a, changed(lambda crop, _: from_linear(0.45 * linear(crop))))
    assert values["skin_tone"] > 14
    assert_only(values, "skin_tone", "skin_hue")  # in CIELAB a darker colour is a greyer one


def test_tinted(a: Side, changed: Callable[[Change], Side]) -> None:
    values = moved(a, changed(lambda crop, _: from_linear(linear(crop) * [1.0, 1.0, 0.6])))
    assert values["skin_hue"] > 10
    assert_only(values, "skin_hue", "skin_tone")  # ITA is of lightness over yellowness


def test_blurred(a: Side, changed: Callable[[Change], Side]) -> None:
    values = moved(a, changed(lambda crop, _: cv2.GaussianBlur(crop, (0, 0), 2.0)))
    assert values["sharpness"] < 0.5
    assert_only(values, "sharpness")


def test_relit(a: Side, faces_a: FaceSet, mesh: Mesh, changed: Callable[[Change], Side]) -> None:
    """Every piece of the face shaded as a lamp from the right would."""
    lamp = np.array([0.85, 0.1, 0.3])

    def lit(crop: Picture, row: int) -> Picture:
        points = apply(faces_a.transform[row], faces_a.faces.points[row])
        bright = shading(lamp, mesh.normals @ rotation(faces_a.faces.pose[row]).T)
        shade = np.full(crop.shape[:2], float(bright.mean()), np.float32)
        for piece, value in zip(mesh.triangles, bright, strict=True):
            cv2.fillConvexPoly(shade, np.rint(points[piece]).astype(np.int32), float(value))
        return from_linear(linear(crop) * cv2.GaussianBlur(shade, (0, 0), 2)[..., None])

    other = changed(lit)
    values = moved(a, other)
    assert values["light"] > 5
    assert values["light_direction"] > 5
    assert_only(values, "light", "light_direction", "light_contrast", "skin_tone", "skin_hue")
    # The sample's own lamp (from the left) is still in it, so that the light comes from between.
    before, after = (np.mean(side.seen.light, 0) for side in (a, other))
    assert before[0] < -0.1
    assert degrees(after, lamp) < 0.7 * degrees(before, lamp)


def test_turned(a: Side) -> None:
    """The same faces, read as turned 25 degrees aside: nothing but the angles differs."""
    pose = a.faces.faces.pose + np.float32([np.radians(25), 0, 0])
    aside = with_table(a, pose=pose)
    values = moved(a, aside)
    assert values["angles"] == 100
    assert_only(values, "angles", "shape")  # read at angle 0, which these hardly show
    found = judge_pair(Comparison.of(a, aside, RECIPE))
    worst = found.worst[0]
    assert (worst.measure, worst.verdict) == ("angles", "bad")
    assert "6 degrees left to 4 right" in worst.advice
    assert re.search(r"B \d+ to \d+ degrees right", worst.told)
    assert found.overall <= 49


def test_half_of_the_angles(a: Side) -> None:
    pose = a.faces.faces.pose.copy()
    pose[:, :2] = 0
    pose[: len(pose) // 2, 0] = np.radians(30)
    half = with_table(a, pose=pose)
    ahead = with_table(a, pose=0 * pose)
    assert moved(half, ahead)["angles"] == 50
    assert moved(ahead, half)["angles"] == 0


def test_expressions_that_b_never_shows(a: Side) -> None:
    acting = a.faces.faces.expression.copy()
    acting[:, 44:46] = 0.05
    still = with_table(a, expression=acting)
    smiling = acting.copy()
    smiling[:10, 44:46] = 0.8
    smiles = with_table(a, expression=smiling)
    found = Comparison.of(smiles, still, RECIPE)
    assert found.values["expressions"] == 25
    assert "smile 25%" in next(one.told for one in judge_pair(found).findings if one.measure == "expressions")
    assert moved(still, smiles)["expressions"] == 0
    assert_only(found.values, "expressions")


def test_who_always_smiles_is_not_asked_to(a: Side) -> None:
    """Blendshapes count from a person's own rest."""
    acting = a.faces.faces.expression.copy()
    acting[:, 44:46] += 0.5
    other = with_table(a, expression=acting)
    assert moved(other, a)["expressions"] == 0


def test_covered_faces_are_shown_first(a: Side, faces_a: FaceSet, changed: Callable[[Change], Side]) -> None:
    def cover(crop: Picture, row: int) -> Picture:
        if row % 8 == 0:
            x, y = apply(faces_a.transform[row], faces_a.faces.points[row])[205].astype(int)  # the right cheek
            cv2.circle(crop, (int(x), int(y)), 17, (60, 40, 30), -1)
        return crop

    other = changed(cover)
    first = np.argsort(-other.unlike())[:5]
    assert sorted(other.seen.row[first]) == [0, 8, 16, 24, 32]
    assert_only(moved(a, other), "light", "light_direction")  # a black cheek is read as shade


def test_blocks_of_compression(found_a: Faces) -> None:
    """Seen where crops keep the frame's own px, and told to be lost where they do not."""
    frame, points = pictures(SAMPLE / "a-take1.mp4", 1)[0], found_a.points[0]
    _, packed = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 6])
    worse = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR)[:, :, ::-1], np.uint8)
    for picture, low, high in ((frame, 0.9, 1.1), (worse, 1.5, np.inf)):
        crop, transform = aligned(picture, points, 384, 2.0)
        assert low < blocks(crop, transform, points) < high
    crop, transform = aligned(worse, points, 128, 2.0)
    assert np.isnan(blocks(crop, transform, points))


def test_the_same_face_again_and_again(a: Side, changed: Callable[[Change], Side], faces_a: FaceSet) -> None:
    one = changed(lambda _, row: faces_a.read_crop(row // 10 * 10))
    found = Comparison.of(a, one, RECIPE)
    assert len(found.distinct[1]) <= 4
    assert len(found.distinct[0]) > 20
    match = judge_pair(found)
    assert next(one.verdict for one in match.findings if one.measure == "distinct") == "bad"
    assert "--until" in match.recommended


def test_finer_faces_get_the_finer_preset(a: Side, b: Side) -> None:
    """The sets' crops are of 128 px, two face squares across: 64 px a square, where `standard` takes 113."""
    found = Comparison.of(a, b, RECIPE)
    verdicts = {finding.measure: "good" for finding in judge_pair(found).findings}
    assert recommend(found, verdicts)[0] == ("--preset", "compact")
    finer = [replace(side, faces=replace(side.faces, recipe=ExtractRecipe(size_px=256))) for side in (a, b)]
    assert min(float(np.median(side.square_px)) for side in finer) > 113
    assert recommend(replace(found, a=finer[0], b=finer[1]), verdicts)[0] == ("--preset", "standard")


def test_somebody_else_in_the_set(a: Side, b: Side) -> None:
    chance = np.random.default_rng(5)
    people = [mean_embedding(side.faces.faces.embedding) for side in (a, b)]
    far = np.asarray(people[0] + 1.8 * (people[1] - people[0]))  # as far as two strangers are
    embedding = np.where(np.arange(40)[:, None] < 32, people[0], far) + chance.normal(0, 0.01, (40, 128))
    found = Comparison.of(with_table(a, embedding=embedding.astype(np.float32)), b, RECIPE)
    assert found.values["strangers"] == 20
    assert sorted(found.strangers[0]) == list(range(32, 40))
    assert judge_pair(found).overall <= 49


def test_identity_that_was_never_measured(a: Side) -> None:
    embedding = np.full_like(a.faces.faces.embedding, np.nan)
    unknown = with_table(a, embedding=embedding)
    found = judge_pair(Comparison.of(unknown, unknown, RECIPE))
    told = next(one for one in found.findings if one.measure == "strangers")
    assert (told.verdict, told.found) == ("", "not measured")
    assert any(text.startswith("Somebody else's faces: not measured") for text in found.unmeasured)


def test_two_people_of_one_light(a: Side, b: Side) -> None:
    """The sample's performers: the same lamps, much the same skin, another face."""
    values = moved(a, b)
    assert values["light_direction"] < 2
    assert values["light_contrast"] < 2
    assert values["skin_tone"] < 7
    assert 1 < values["shape"] < 8
    assert values["strangers"] == 0


# --- the figure -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.measure)
def test_scores_fall_as_values_worsen(goal: Goal) -> None:
    far = goal.visible**2 / goal.ideal if goal.ideal else 2 * goal.visible
    path = [goal.ideal, goal.good, goal.visible, far]
    np.testing.assert_allclose([goal.score(value) for value in path], [1, 0.8, 0.5, 0.05])
    assert [goal.verdict(value) for value in path] == ["good", "good", "visible", "bad"]
    assert goal.verdict(float("nan")) == ""


def finding(score: float, verdict: str, decisive: bool = False, weight: int = 1) -> Finding:
    return Finding("x", "x", 0, "", "", verdict, "", "", "", "", weight, decisive, score)


def test_the_overall_figure() -> None:
    assert overall_figure((finding(1, "good"), finding(1, "good"))) == 100
    # Geometric: one bad part of equal weight costs more than half of the figure a mean would leave.
    assert overall_figure((finding(1, "good"), finding(0.05, "bad"))) == pytest.approx(100 * 0.05**0.5)
    many = (finding(1, "good", weight=99), finding(0.05, "bad", decisive=True))
    assert overall_figure(many) == 5  # the weakest link
    assert overall_figure((finding(0.8, "good"), finding(float("nan"), ""))) == pytest.approx(80)
    assert np.isnan(overall_figure((finding(float("nan"), ""),)))


def test_skin_types() -> None:
    assert ita(np.array([70, 10, 15])) == pytest.approx(np.degrees(np.arctan2(20, 15)))
    assert ita(np.array([30, 10, 15])) < 0


# --- stage, command, report -----------------------------------------------------------------------------------------


def test_the_report(faces_a: FaceSet, faces_b: FaceSet, tmp_path: Path) -> None:
    events, match = run(stages.match({"a": faces_a, "b": faces_b}, tmp_path / "m", RECIPE, workers=2))
    assert {event.stage for event in events if isinstance(event, Progress)} >= {"looking at a", "looking at b"}
    assert events[-1] == Finished(tmp_path / "m" / "report.html", "report")
    page = html.unescape((tmp_path / "m" / "report.html").read_text())
    record = json.loads((tmp_path / "m" / "report.json").read_text())
    assert record["overall"] == match.overall
    assert [one["measure"] for one in record["findings"]] == [goal.measure for goal in GOALS]
    for one in match.findings:
        assert one.name in page
    for one in match.worst:
        assert one.advice in page
    assert "not measured" in page  # glasses, beards
    shown = {file.stem for file in (tmp_path / "m" / "pictures").iterdir()}
    assert shown >= {
        "faces-a",
        "faces-b",
        "unlike-a",
        "angles",
        "expressions",
        "light",
        "light-faces",
        "skin",
        "shape",
        "fineness",
        "variety",
    }
    assert all(cv2.imread(str(file)) is not None for file in (tmp_path / "m" / "pictures").iterdir())
    assert page.count("data:image/png;base64,") == len(shown)
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)  # self-contained


def test_a_tiny_set(faces_a: FaceSet, faces_b: FaceSet, tmp_path: Path) -> None:
    shutil.copytree(faces_b.path, tmp_path / "tiny")
    for file in sorted((tmp_path / "tiny" / "crops").iterdir())[2:]:
        file.unlink()
    tiny = FaceSet.load(tmp_path / "tiny")
    for sets in ({"a": faces_a, "b": tiny}, {"a": tiny, "b": tiny}):
        _, match = run(stages.match(sets, tmp_path / "m", RECIPE, workers=1))
        assert match.overall <= 49
        assert "distinct" in {one.measure for one in match.worst if one.verdict == "bad"}
    (tmp_path / "tiny" / "crops" / "000000.png").unlink()
    (tmp_path / "tiny" / "crops" / "000001.png").unlink()
    with pytest.raises(FaceError, match="no crops left in it"):
        run(stages.match({"a": faces_a, "b": FaceSet.load(tmp_path / "tiny")}, tmp_path / "n", RECIPE, workers=1))
    assert not (tmp_path / "n").exists()


def test_the_command(
    faces_a: FaceSet,
    faces_b: FaceSet,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        cli.main(["match", str(faces_a.path), str(faces_b.path), "--json"])
    assert json.loads(capsys.readouterr().out)["people"] == ["a", "b"]
    assert (tmp_path / "b-on-a.match" / "report.html").is_file()
    with pytest.raises(SystemExit, match="0"):
        cli.main(["match", str(faces_a.path), str(faces_b.path), "-o", "here"])
    said = capsys.readouterr().out
    assert re.search(r"of 100, (good|usable|bad)\n", said)
    assert "train with: --preset compact" in said


@pytest.mark.usefixtures("advice")
def test_it_speaks_before_training_and_never_stops_it(
    faces_a: FaceSet, faces_b: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(model: Path, steps: int) -> list[str]:
        sets = {"a": faces_a, "b": faces_b}
        events, _ = run(stages.train(sets, model, SMALL, Until(steps=steps), CPU, lambda: False))
        return [event.text for event in events if isinstance(event, Note) and "pair" in event.text]

    (said,) = train(tmp_path / "model", 1)
    assert said.startswith("this pair: ")
    assert "distinct faces in the smaller set" in said
    page = tmp_path / "model" / "match" / "report.html"
    assert str(page) in said
    assert "<script" not in page.read_text()
    assert {path.suffix for path in page.parent.rglob("*") if path.is_file()} <= {".json", ".png", ".html"}  # no code
    assert train(tmp_path / "model", 2) == []  # going on: it was said

    def broken(*_: object) -> None:
        raise ValueError("no light at all")

    monkeypatch.setattr(stages.matching, "judge_pair", broken)
    (said,) = train(tmp_path / "other", 1)
    assert said == "the pair could not be looked at before training (no light at all)"


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the real clips are not here")
def test_of_real_pairs_the_better_is_ranked_higher(tmp_path: Path) -> None:
    sets = {}
    for name in ("woman-a", "woman-b", "wide-shot"):
        clip = SHARED / "data" / f"{name}.mp4"
        recipe = ExtractRecipe()
        sets[name] = run(stages.extract([clip], tmp_path / name, recipe, consent_of(name), None, workers=2))[1]
    sides = {name: seen(faces) for name, faces in sets.items()}
    near, far = (judge_pair(Comparison.of(sides["woman-a"], sides[name], RECIPE)) for name in ("woman-b", "wide-shot"))
    assert near.overall > far.overall
    # The woman of the wide shot never looks ahead, as A does all the time.
    verdicts = [{one.measure: one.verdict for one in match.findings} for match in (near, far)]
    assert (verdicts[0]["angles"], verdicts[1]["angles"]) == ("good", "bad")
    assert (verdicts[0]["shape"], verdicts[1]["shape"]) == ("good", "")
