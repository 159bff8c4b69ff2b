"""Render a suite's frames with Blender's Cycles: `render.py SUITE --work DIR`.

Frames go to DIR/SUITE/ROLE/0000.png ...; those already there are kept, so a stopped run goes on where it was. Roles are
`target` (A), `truth` (A with B's face), `source` (B), and `mask` (white where the hand hides the target's face).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import bpy
import numpy as np
import parts
from head import BODY, JOINTS, PARTS, Array, Indices, rigid_motion, rotation, turned, unit
from mathutils import Matrix, Vector
from numpy.typing import NDArray
from people import A, B, Hair, Performer, performer
from scenes import FRAMES, SUITES, Scene
from scipy.ndimage import gaussian_filter
from skin import Colour

ROLES = {"target": (A, A), "truth": (A, B), "source": (B, B), "mask": (A, A)}
"""whose body, whose face"""
TO_BLENDER = np.array([[0.1, 0, 0, 0], [0, 0, -0.1, 0], [0, 0.1, 0, 0], [0, 0, 0, 1]])
"""from the mesh's decimetres, y up, to Blender's metres, z up"""
PIVOT = np.array([0, -0.95, -0.85])
"""dm, where the head turns, from the eyes' midpoint"""
COLLAR = 0.34
"""dm over the neck's joint"""
SHIRT_LENGTH, SHIRT_WIDTH = 5.5, 5.0
"""dm under the neck's joint, and to either side"""
BACKDROP = 1.6
"""m behind the performer"""
EXPOSURE = 0.68


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--work", type=Path, required=True, help="folder of the rendered frames")
    parser.add_argument(
        "--roles", nargs="+", choices=ROLES, help="default: target, truth, and mask where a hand passes"
    )
    parser.add_argument("--frames", type=int, nargs="+", default=range(FRAMES), help="default: all")
    parser.add_argument("--samples", type=int, default=5, help="a pixel (default 5)")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    scene = SUITES[options.suite]
    for role in options.roles or ["target", "truth", *(["mask"] if scene.hand else [])]:
        folder = options.work / options.suite / role
        wanted = [(frame, folder / f"{frame:04d}.png") for frame in options.frames]
        wanted = [(frame, path) for frame, path in wanted if not path.exists()]
        if not wanted:
            continue
        stage = Stage(performer(*ROLES[role]), scene, options.samples, options.threads)
        if role == "mask":
            stage.show_mask()
        for frame, path in wanted:
            begun = time.monotonic()
            stage.set(frame)
            stage.render(path)
            print(f"{path}: {time.monotonic() - begun:.1f} s", flush=True)


class Stage:
    """One performer in one scene, built in Blender."""

    def __init__(self, performer: Performer, scene: Scene, samples: int, threads: int) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self._performer, self._scene = performer, scene
        self._deformed: list[tuple[bpy.types.Object, Indices]] = []  # and the vertices of the figure it shows
        self._rigid: list[tuple[bpy.types.Object, slice]] = []  # and the part of the figure it moves with
        self._lamps: list[bpy.types.Object] = []
        self._build_skin()
        self._build_eyes()
        self._build_mouth()
        self._build_hair()
        self._build_shirt()
        if scene.hand:
            self._build_hand()
        self._build_room()
        self._set_up_camera()
        _set_up_cycles(samples, threads)

    def set(self, frame: int) -> None:
        """Bring everything to a frame."""
        base, rest = self._performer.base, self._performer.vertices
        moment = self._scene.performance.at(frame)
        expressed = base.expressed(rest, moment.units)
        turn = rotation(moment.yaw, moment.pitch, moment.roll)
        vertices = turned(expressed, turn, base.turning, PIVOT)
        for target, index in self._deformed:
            _move(target, vertices[index] + (self._shirt_drop if target is self._shirt else 0))
        tongue = expressed[PARTS["tongue"]]
        back = tongue[:, 2].min()
        tongue = np.column_stack([tongue[:, 0], tongue[:, 1] - 0.015, back + (tongue[:, 2] - back) * 0.90])
        _move(self._tongue, turned(tongue, turn, 1.0, PIVOT))
        _comb(self._brows, self._performer.brows.on(vertices))
        _comb(self._lashes, self._performer.lashes.on(vertices))
        head, offset = rigid_motion(rest, turned(rest, turn, 1.0, PIVOT))
        _place(self._hair, head, offset)
        for target, part in self._rigid:
            own, shift = rigid_motion(rest[part], expressed[part])
            _place(target, head @ own, head @ shift + offset)
        if self._scene.hand:
            self._set_hand(*self._scene.hand.at(frame))
        for target, lamp in zip(self._lamps, self._scene.lamps(frame), strict=True):
            target.location = lamp.place
            target.rotation_euler = (Vector((0, 0, -0.05)) - target.location).to_track_quat("-Z", "Y").to_euler()

    def render(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.stem}-unfinished.png")
        bpy.context.scene.render.filepath = str(unfinished.absolute())
        bpy.ops.render.render(write_still=True)
        unfinished.rename(path)

    def show_mask(self) -> None:
        """From now on render no picture but, in white, where the hand or sleeve lies over the face."""
        # The hand lets the face shine through: red is face, green is hand, and encode.py multiplies them.
        face, hand = _Material("face shown"), _Material("hand shown")
        attribute = face.node("ShaderNodeAttribute")
        attribute.attribute_name = "in_face"
        red = face.node("ShaderNodeEmission", Color=(1, 0, 0, 1), Strength=attribute.outputs["Fac"])
        face.finish(red)
        green = hand.node("ShaderNodeEmission", Color=(0, 1, 0, 1))
        both = hand.node("ShaderNodeAddShader")
        hand.link(green.outputs[0], both.inputs[0])
        hand.link(hand.node("ShaderNodeBsdfTransparent").outputs[0], both.inputs[1])
        hand.finish(both)
        shown = {self._skin: face, self._hand: hand, self._sleeve: hand}
        for target in bpy.data.objects:
            target.hide_render = target not in shown and target.type != "CAMERA"
        for target, material in shown.items():
            target.data.materials[0] = material.material
        world = bpy.context.scene.world.node_tree.nodes["Background"]
        world.inputs["Strength"].default_value = 0
        bpy.context.scene.view_settings.view_transform = "Raw"
        bpy.context.scene.view_settings.look = "None"
        bpy.context.scene.view_settings.exposure = 0
        bpy.context.scene.cycles.use_denoising = False

    def _build_skin(self) -> None:
        performer = self._performer
        canvas = performer.canvas
        index, faces = np.unique(canvas.faces, return_inverse=True)
        skin = _mesh("skin", performer.vertices[index], faces.reshape(-1, 4), canvas.uv)
        share = skin.data.attributes.new("in_face", "FLOAT", "POINT")
        share.data.foreach_set("value", (performer.in_face[index] > 0.5).astype(np.float32))
        _subdivide(skin, 2)
        paint, plain = performer.paint, performer.body.skin.base
        data = np.column_stack([paint.roughness, paint.height, paint.scalp])
        material = _Material("skin")
        colour = material.picture(canvas.picture(paint.colour, plain), "sRGB")
        rough = material.node("ShaderNodeSeparateColor")
        material.link(material.picture(canvas.picture(data, (0.5, 0.5, 0.5)), "Non-Color"), rough.inputs[0])
        bump = material.node("ShaderNodeBump", Strength=0.9, Distance=0.0009, Height=rough.outputs["Green"])
        material.finish(
            material.node(
                "ShaderNodeBsdfPrincipled", **_flesh(0.8, 0.0020, (1, 0.36, 0.2)),
                **{"Base Color": colour, "Roughness": rough.outputs["Red"], "Normal": bump.outputs[0]},
                **{"Specular IOR Level": 0.45, "IOR": 1.42, "Coat Weight": 0.12, "Coat Roughness": 0.30},
            )
        )  # fmt: skip
        skin.data.materials.append(material.material)
        self._skin = skin
        self._deformed.append((skin, index))

    def _build_eyes(self) -> None:
        white, cornea = _Material("eye"), _Material("cornea")
        picture = white.picture(parts.eye_picture(self._performer.face.iris), "sRGB")
        flesh = _flesh(0.25, 0.002, (1, 0.2, 0.1))
        white.finish(
            white.node(
                "ShaderNodeBsdfPrincipled", **flesh,
                **{"Base Color": picture, "Roughness": 0.5, "Specular IOR Level": 0.1},
            )
        )  # fmt: skip
        mix = cornea.node("ShaderNodeMixShader")
        cornea.link(cornea.node("ShaderNodeFresnel", IOR=1.38).outputs[0], mix.inputs[0])
        cornea.link(cornea.node("ShaderNodeBsdfTransparent").outputs[0], mix.inputs[1])
        cornea.link(cornea.node("ShaderNodeBsdfGlossy", Roughness=0.035).outputs[0], mix.inputs[2])
        cornea.finish(mix)
        for name in ("left eye", "right eye"):
            part = PARTS[name]
            rest = self._performer.vertices[part]
            centre = rest.mean(0)
            radius = 0.985 * float(np.linalg.norm(rest - centre, axis=1).mean())
            (ball, ball_faces), (clear, clear_faces) = parts.eyeball(radius)
            inner = _mesh(name, ball + centre, ball_faces, (0.5 + 0.5 * ball[:, :2] / radius)[ball_faces])
            inner.data.materials.append(white.material)
            outer = _mesh(f"{name}'s cornea", clear + centre, clear_faces)
            outer.data.materials.append(cornea.material)
            outer.visible_shadow = False
            self._rigid += [(inner, part), (outer, part)]

    def _build_mouth(self) -> None:
        base, rest = self._performer.base, self._performer.vertices
        enamel = _plain("tooth", (0.96, 0.92, 0.84), 0.25, coat=0.3, **_flesh(0.2, 0.0015))
        gum = _plain("gum", (0.62, 0.28, 0.27), 0.3, coat=0.4, **_flesh(0.4, 0.003))
        for name, upper in (("upper teeth", True), ("lower teeth", False)):
            part = PARTS[name]
            teeth = _mesh(name, *parts.teeth(rest, upper))
            teeth.data.materials.append(enamel)
            gums = _mesh(f"gums of {name}", parts.gums(rest, upper), base.faces_of(part) - part.start)
            _subdivide(gums, 2)
            gums.data.materials.append(gum)
            self._rigid += [(teeth, part), (gums, part)]
        part = PARTS["tongue"]
        self._tongue = _mesh("tongue", rest[part], base.faces_of(part) - part.start)
        _subdivide(self._tongue, 1)
        self._tongue.data.materials.append(_plain("tongue", (0.66, 0.33, 0.31), 0.38, coat=0.25, **_flesh(0.5, 0.003)))

    def _build_hair(self) -> None:
        performer, own, brow = self._performer, self._performer.body.hair, self._performer.face.hair
        taper = 0.1 * own.radius * np.linspace(1, 0.35, performer.hair.shape[1]) ** 0.8
        self._hair = _strands("hair", performer.hair, taper, _hair_material(own, own.melanin))
        hairs = performer.brows.on(performer.vertices)
        radius = 0.00006 * performer.brows.thickness[:, None] * np.linspace(1.15, 0.3, hairs.shape[1])
        self._brows = _strands("brows", hairs, radius, _hair_material(brow, brow.melanin * 0.93))
        hairs = performer.lashes.on(performer.vertices)
        black = Hair(own.style, own.colour, 1, melanin=1, redness=0.2, radius=own.radius)
        taper = 0.00006 * np.linspace(1.3, 0.25, hairs.shape[1])
        self._lashes = _strands("lashes", hairs, taper, _hair_material(black, black.melanin))

    def _build_shirt(self) -> None:
        base, rest = self._performer.base, self._performer.vertices
        neck = rest[JOINTS["neck"]].mean(0)
        faces = base.faces_of(PARTS["shirt"])
        corners = rest[faces] - neck
        collar = (corners[..., 1] + 0.45 * corners[..., 2]).min(1) < COLLAR
        near = (corners[..., 1].min(1) > -SHIRT_LENGTH) & (abs(corners[..., 0]).max(1) < SHIRT_WIDTH)
        index, faces = np.unique(faces[collar & near], return_inverse=True)
        over = rest[index] - neck
        self._shirt_drop = np.zeros_like(over)
        self._shirt_drop[:, 1] = np.minimum(0, COLLAR - 0.45 * over[:, 2] - over[:, 1])
        self._shirt = _mesh("shirt", rest[index] + self._shirt_drop, faces.reshape(-1, 4))
        self._shirt.data.materials.append(_plain("shirt", self._performer.body.shirt, 0.85, specular=0.2))
        _subdivide(self._shirt, 1)
        _thicken(self._shirt)
        self._deformed.append((self._shirt, index))

    def _build_hand(self) -> None:
        """The left hand and its sleeve, cut off the figure at the elbow, to be moved freely."""
        base, rest = self._performer.base, self._performer.vertices
        hand = base.weight(dict.fromkeys(base.bones_under("wrist.L"), 1.0))
        arm = base.weight(dict.fromkeys(base.bones_under("lowerarm01.L"), 1.0))
        wrist = rest[BODY][(abs(hand[BODY] - 0.5) < 0.2) & (rest[BODY, 0] > 0)].mean(0)
        tips = [rest[base.weight({f"finger{k}-3.L": 1.0}) > 0.9].mean(0) for k in (2, 3, 5)]
        up = unit(tips[1] - wrist)
        across = tips[0] - tips[2]
        across = unit(across - (across @ up) * up)
        straight = (rest - wrist) @ np.stack([across, up, np.cross(across, up)]).T
        red, green, blue = self._performer.body.skin.base
        tanned = (0.96 * red, 0.88 * green, 0.86 * blue)
        flesh = _plain("hand", tanned, 0.5, specular=0.4, **_flesh(0.6, 0.002, (1, 0.36, 0.2)))
        cloth = _plain("sleeve", self._performer.body.shirt, 0.85, specular=0.2)
        self._hand = _piece("hand", straight, base.faces_of(BODY), arm, flesh)
        self._sleeve = _piece("sleeve", straight, base.faces_of(PARTS["shirt"]), arm, cloth)
        _subdivide(self._hand, 2)
        _subdivide(self._sleeve, 1)
        _thicken(self._sleeve)

    def _set_hand(self, wrist: tuple[float, float, float], lean: float) -> None:
        for target in (self._hand, self._sleeve):
            target.matrix_world = Matrix.Translation(wrist) @ Matrix.Rotation(-np.radians(lean), 4, "Y")

    def _build_room(self) -> None:
        scene = self._scene
        half = 0.785 * scene.view * (scene.distance + BACKDROP) / scene.distance * 10
        corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * half - (0, 0, BACKDROP * 10)
        uv = np.array([[[0, 0], [1, 0], [1, 1], [0, 1]]], float)
        wall = _mesh("backdrop", corners, np.array([[0, 1, 2, 3]]), uv)
        glow = _Material("backdrop")
        glow.finish(glow.node("ShaderNodeEmission", Color=glow.picture(_backdrop(), "sRGB"), Strength=0.75))
        wall.data.materials.append(glow.material)
        for lamp in scene.lamps(0):
            light = bpy.data.lights.new("lamp", "AREA")
            light.size, light.energy, light.color = lamp.size, lamp.watts, lamp.colour
            self._lamps.append(_linked(bpy.data.objects.new("lamp", light)))
        world = bpy.data.worlds.new("world")
        bpy.context.scene.world = world
        world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.75, 0.82, 0.95, 1)
        world.node_tree.nodes["Background"].inputs["Strength"].default_value = scene.ambient

    def _set_up_camera(self) -> None:
        scene = self._scene
        camera = bpy.data.cameras.new("camera")
        camera.lens = camera.sensor_width * scene.distance / scene.view
        camera.shift_y = -scene.low
        holder = _linked(bpy.data.objects.new("camera", camera))
        holder.location = (0, -scene.distance, -0.005)
        holder.rotation_euler = (np.pi / 2, 0, 0)
        bpy.context.scene.camera = holder
        render = bpy.context.scene.render
        render.resolution_x, render.resolution_y = scene.size


class _Material:
    """A material of nodes. A node's inputs are given by name: values, or outputs of other nodes."""

    def __init__(self, name: str) -> None:
        self.material = bpy.data.materials.new(name)
        self._tree = self.material.node_tree
        self._tree.nodes.clear()

    def node(self, kind: str, **inputs: object) -> bpy.types.Node:
        node = self._tree.nodes.new(kind)
        if kind == "ShaderNodeBsdfPrincipled":
            node.subsurface_method = "BURLEY"  # a third faster than a random walk
        for name, value in inputs.items():
            if isinstance(value, bpy.types.NodeSocket):
                self.link(value, node.inputs[name])
            else:
                node.inputs[name].default_value = value
        return node

    def link(self, output: bpy.types.NodeSocket, to: bpy.types.NodeSocket) -> None:
        self._tree.links.new(output, to)

    def picture(self, pixels: NDArray[np.floating], space: str) -> bpy.types.NodeSocket:
        """The colour of a texture (H, W, 3), 0..1, its first row the top."""
        height, width = pixels.shape[:2]
        image = bpy.data.images.new("texture", width, height)
        image.colorspace_settings.name = space
        opaque = np.dstack([pixels, np.ones((height, width))])[::-1]
        image.pixels.foreach_set(np.ascontiguousarray(opaque, np.float32).ravel())
        image.pack()
        node = self.node("ShaderNodeTexImage")
        node.image = image
        return node.outputs["Color"]

    def finish(self, shader: bpy.types.Node) -> None:
        self.link(shader.outputs[0], self.node("ShaderNodeOutputMaterial").inputs[0])


def _plain(
    name: str, colour: Colour, roughness: float, *, specular: float = 0.5, coat: float = 0.0, **flesh: object
) -> bpy.types.Material:
    material = _Material(name)
    surface = {"Base Color": _linear(colour), "Roughness": roughness, "Specular IOR Level": specular}
    surface |= {"Coat Weight": coat, "Coat Roughness": 0.08}
    material.finish(material.node("ShaderNodeBsdfPrincipled", **surface, **flesh))
    return material.material


def _flesh(weight: float, depth: float, radius: Colour = (1, 0.5, 0.35)) -> dict[str, object]:
    """Inputs of a surface that light enters and leaves elsewhere; `depth` in m."""
    return {"Subsurface Weight": weight, "Subsurface Scale": depth, "Subsurface Radius": radius}


def _hair_material(hair: Hair, melanin: float) -> bpy.types.Material:
    material = _Material("hair")
    node = material.node("ShaderNodeBsdfHairPrincipled")
    node.model, node.parametrization = "CHIANG", "MELANIN"
    values = {"Melanin": melanin, "Melanin Redness": hair.redness, "Roughness": 0.38, "Radial Roughness": 0.4}
    values |= {"Random Color": 0.25, "Random Roughness": 0.1}
    for name, value in values.items():
        node.inputs[name].default_value = value
    material.finish(node)
    return material.material


def _linear(colour: Colour) -> tuple[float, ...]:
    rgb = np.asarray(colour)
    return (*np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4), 1.0)


def _backdrop(size: int = 768) -> Array:
    """(size, size, 3) sRGB: a room far out of focus, with a window."""
    rng = np.random.default_rng(2)
    wall = np.zeros((size, size, 3)) + np.linspace(0.50, 0.36, size)[:, None, None] * (0.98, 1.0, 1.03)
    for _ in range(26):
        width, height = rng.integers(30, 170), rng.integers(40, 240)
        x, y = rng.integers(-40, size), rng.integers(-40, size)
        wall[max(y, 0) : y + height, max(x, 0) : x + width] = rng.uniform(0.10, 0.55) * (1 + rng.normal(0, 0.12, 3))
    wall[int(size * 0.05) : int(size * 0.55), int(size * 0.70) : int(size * 0.92)] = (1.0, 1.02, 1.05)
    wall[:, int(size * 0.80) : int(size * 0.815)] = 0.4
    return np.clip(gaussian_filter(wall, (26, 26, 0)), 0, 1)


def _linked(target: bpy.types.Object) -> bpy.types.Object:
    bpy.context.collection.objects.link(target)
    return target


def _mesh(name: str, points: Array, faces: Indices, uv: Array | None = None) -> bpy.types.Object:
    """An object of `points` (N, 3) in dm and quads (F, 4), with `uv` (F, 4, 2)."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(_blender(points).tolist(), [], faces.tolist())
    if uv is not None:
        mesh.uv_layers.new(name="UVMap").data.foreach_set("uv", np.asarray(uv, np.float32).ravel())
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    mesh.update()
    return _linked(bpy.data.objects.new(name, mesh))


def _piece(name: str, points: Array, faces: Indices, share: Array, material: bpy.types.Material) -> bpy.types.Object:
    """An object of the faces that lie wholly where `share` (V,) is over a half."""
    index, corners = np.unique(faces[share[faces].min(1) > 0.5], return_inverse=True)
    piece = _mesh(name, points[index], corners.reshape(-1, 4))
    piece.data.materials.append(material)
    return piece


def _strands(name: str, points: Array, radius: Array, material: bpy.types.Material) -> bpy.types.Object:
    """An object of strands (N, K, 3) in dm, `radius` in m."""
    curves = bpy.data.hair_curves.new(name)
    curves.add_curves([points.shape[1]] * len(points))
    thickness = curves.attributes.get("radius") or curves.attributes.new("radius", "FLOAT", "POINT")
    every = np.broadcast_to(radius, points.shape[:2])
    thickness.data.foreach_set("value", np.ascontiguousarray(every, np.float32).ravel())
    curves.materials.append(material)
    strands = _linked(bpy.data.objects.new(name, curves))
    _comb(strands, points)
    return strands


def _subdivide(target: bpy.types.Object, levels: int) -> None:
    modifier = target.modifiers.new("smooth", "SUBSURF")
    modifier.levels = modifier.render_levels = levels
    modifier.boundary_smooth = "PRESERVE_CORNERS"


def _thicken(target: bpy.types.Object) -> None:
    modifier = target.modifiers.new("cloth", "SOLIDIFY")
    modifier.thickness, modifier.offset = 0.004, 1


def _move(target: bpy.types.Object, points: Array) -> None:
    """Give a mesh new points (N, 3), in dm."""
    target.data.vertices.foreach_set("co", np.ascontiguousarray(_blender(points), np.float32).ravel())
    target.data.update()


def _comb(strands: bpy.types.Object, points: Array) -> None:
    """Give strands new points (N, K, 3), in dm."""
    position = strands.data.attributes["position"].data
    position.foreach_set("vector", np.ascontiguousarray(_blender(points), np.float32).ravel())
    strands.data.update_tag()


def _place(target: bpy.types.Object, turn: Array, shift: Array) -> None:
    """Turn (3, 3) and then shift (3,) an object, in the mesh's axes and dm."""
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = turn, shift
    target.matrix_world = Matrix((TO_BLENDER @ motion @ np.linalg.inv(TO_BLENDER)).tolist())


def _blender(points: Array) -> Array:
    return points @ TO_BLENDER[:3, :3].T


def _set_up_cycles(samples: int, threads: int) -> None:
    scene = bpy.context.scene
    render, cycles, look = scene.render, scene.cycles, scene.view_settings
    render.engine = "CYCLES"
    render.use_persistent_data = True
    render.threads_mode, render.threads = "FIXED", threads
    render.resolution_percentage = 100
    render.image_settings.file_format = "PNG"
    render.filter_size = 1.6
    cycles.device, cycles.samples = "CPU", samples
    cycles.use_adaptive_sampling, cycles.adaptive_threshold = True, 0.03
    cycles.use_denoising, cycles.denoiser, cycles.denoising_quality = True, "OPENIMAGEDENOISE", "BALANCED"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 3, 2, 2
    cycles.transmission_bounces, cycles.transparent_max_bounces = 4, 8
    cycles.caustics_reflective = cycles.caustics_refractive = cycles.use_light_tree = False
    cycles.sample_clamp_indirect = 3
    scene.cycles_curves.shape, scene.cycles_curves.subdivisions = "RIBBONS", 2
    look.view_transform, look.look, look.exposure = "AgX", "AgX - Medium High Contrast", EXPOSURE


if __name__ == "__main__":
    main()
