"""Views of an interior by path tracing: Blender's Cycles, for images that look real.

The geometry and the truth are those of `s2m2_ros.training.rendered`; only the light differs:
soft shadows, reflections of what is really there, glass. It needs bpy (`pip install bpy`, 374 MB,
GPL, for one version of Python), which is why it stands beside the package.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from s2m2_ros.io.images.image_files import read_image
from s2m2_ros.training.rendered.geometry import (
    COLOR,
    GLOSS,
    LAYER,
    NORMAL,
    OPACITY,
    POSITION,
    UV,
    FloatArray,
    Texture,
)
from s2m2_ros.training.rendered.renderer import Pose
from s2m2_ros.training.rendered.room import Room
from s2m2_ros.training.rendered.truth import Camera

SENSOR_WIDTH = 36.0
"""Millimeters; with the focal length it gives the angle of view, nothing else."""

LAMP_SIZE = 0.25
"""Meters."""

LAMP_POWER = 60.0
"""Watts of a lamp of full color."""

CEILING_POWER = 15.0
"""Watts per square meter of ceiling for an ambient light of 1."""

MEAN_BRIGHTNESS = 0.42
"""Mean of the left image, 0..1, at an exposure of 1."""

TINT = 'tint'
"""The attribute with colors of corners; one named 'color' is black to Cycles."""

METERING = (96, 8)
"""Width in pixels and samples of the image that the exposure is measured on."""


class PathTracer:
    """Blender with one room at a time; use as a context manager."""

    def __init__(self, camera: Camera, *, samples: int) -> None:
        """Prepare images of the camera's size with so many paths per pixel, denoised."""
        import bpy

        self._bpy: Any = bpy
        self.camera, self._samples, self._views = camera, samples, 0
        self._folder = tempfile.TemporaryDirectory(prefix='path_tracer-')
        self._file = Path(self._folder.name) / 'view.png'
        self._exposure = 1.0

    def __enter__(self) -> PathTracer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def set_focal_length(self, pixels: float) -> None:
        """Zoom to a focal length in pixels."""
        self.camera = replace(self.camera, focal_length=pixels)

    def load(self, room: Room, *, exposure: float = 1.0) -> None:
        """Take a room in place of the one before."""
        self._bpy.ops.wm.read_factory_settings(use_empty=True)
        scene = self._bpy.context.scene
        scene.render.engine = 'CYCLES'
        scene.cycles.device = 'CPU'
        scene.cycles.use_denoising = True
        scene.cycles.max_bounces = 6
        scene.view_settings.view_transform = 'Standard'
        scene.render.image_settings.file_format = 'PNG'
        scene.render.image_settings.color_mode = 'RGB'
        scene.render.filepath = str(self._file)
        for number, (triangles, texture) in enumerate(_surfaces(room)):
            self._add_mesh(f'surface{number}', triangles, texture)
        for light in room.lights:
            self._add_lamp(light.position, light.target, light.color * LAMP_POWER, LAMP_SIZE)
        self._add_ceiling_light(room)
        scene.camera = self._bpy.data.objects.new('camera', self._bpy.data.cameras.new('camera'))
        scene.collection.objects.link(scene.camera)
        self._exposure = exposure

    def views(self, poses: Sequence[Pose]) -> list[npt.NDArray[np.uint8]]:
        """Return views (H, W, 3) RGB, exposed for the first of them."""
        self._meter(poses[0])
        return [self._render(pose, self.camera.width, self._samples) for pose in poses]

    def _meter(self, pose: Pose) -> None:
        """Set the exposure by what is seen from here."""
        settings = self._bpy.context.scene.view_settings
        settings.exposure = 0.0
        for _ in range(2):  # once more, as the first image may be clipped
            preview = self._render(pose, *METERING)
            wanted = (MEAN_BRIGHTNESS * self._exposure) ** 2.2
            seen = float(((preview / 255.0) ** 2.2).mean())
            settings.exposure += float(np.log2(wanted / max(seen, 1e-4)))

    def _render(self, pose: Pose, width: int, samples: int) -> npt.NDArray[np.uint8]:
        import mathutils

        self._views += 1
        scene = self._bpy.context.scene
        scene.cycles.samples, scene.cycles.seed = samples, self._views
        scene.render.resolution_x = width
        scene.render.resolution_y = round(self.camera.height * width / self.camera.width)
        scene.camera.data.sensor_fit = 'HORIZONTAL'
        scene.camera.data.sensor_width = SENSOR_WIDTH
        scene.camera.data.lens = self.camera.focal_length * SENSOR_WIDTH / self.camera.width
        # Blender's cameras look along -z with y up; ours along z with y down.
        placed = np.eye(4)
        placed[:3, :3] = (pose.axes * np.array([[1], [-1], [-1]])).T
        placed[:3, 3] = pose.center
        scene.camera.matrix_world = mathutils.Matrix(placed.tolist())
        self._bpy.ops.render.render(write_still=True)
        return np.asarray(read_image(self._file), np.uint8)

    def _add_mesh(self, name: str, triangles: FloatArray, texture: Texture | None) -> None:
        data = self._bpy.data
        mesh = data.meshes.new(name)
        corners = triangles.reshape(-1, triangles.shape[-1])
        mesh.from_pydata(
            corners[:, POSITION].tolist(), [], np.arange(len(corners)).reshape(-1, 3).tolist()
        )
        mesh.uv_layers.new(name='uv').data.foreach_set('uv', corners[:, UV].ravel())
        colors = mesh.color_attributes.new(TINT, 'FLOAT_COLOR', 'POINT')
        shown = np.ones((len(corners), 4), np.float32)
        shown[:, :3] = np.clip(corners[:, COLOR], 0, 1)
        colors.data.foreach_set('color', shown.ravel())
        mesh.normals_split_custom_set(corners[:, NORMAL].tolist())
        mesh.materials.append(self._material(name, corners, texture))
        self._bpy.context.scene.collection.objects.link(data.objects.new(name, mesh))

    def _material(self, name: str, corners: FloatArray, texture: Texture | None) -> Any:
        material = self._bpy.data.materials.new(name)
        material.use_nodes = True
        nodes, links = material.node_tree.nodes, material.node_tree.links
        shader = nodes['Principled BSDF']
        gloss, opacity = float(corners[0, GLOSS]), float(corners[0, OPACITY])
        shader.inputs['Roughness'].default_value = max(0.04, 1.0 - gloss)
        shader.inputs['Alpha'].default_value = opacity
        color = nodes.new('ShaderNodeVertexColor')
        color.layer_name = TINT
        output = color.outputs['Color']
        if texture is not None:
            picture = nodes.new('ShaderNodeTexImage')
            picture.image = self._picture(name, texture)
            product = nodes.new('ShaderNodeMixRGB')
            product.blend_type = 'MULTIPLY'
            product.inputs['Fac'].default_value = 1.0
            links.new(picture.outputs['Color'], product.inputs['Color1'])
            links.new(output, product.inputs['Color2'])
            output = product.outputs['Color']
        links.new(output, shader.inputs['Base Color'])
        brightest = float(corners[:, COLOR].max())
        if brightest > 1:  # a window
            links.new(output, shader.inputs['Emission Color'])
            shader.inputs['Emission Strength'].default_value = 2 * brightest
        return material

    def _picture(self, name: str, texture: Texture) -> Any:
        height, width = texture.shape[:2]
        picture = self._bpy.data.images.new(name, width, height)
        pixels = np.ones((height, width, 4), np.float32)
        pixels[..., :3] = texture / np.float32(255)
        picture.pixels.foreach_set(pixels.ravel())  # the first row lies at v = 0, as in OpenGL
        picture.update()
        picture.pack()
        return picture

    def _add_lamp(
        self, position: FloatArray, target: FloatArray, power: FloatArray, size: float
    ) -> None:
        import mathutils

        lamp = self._bpy.data.lights.new('lamp', 'AREA')
        lamp.size = size
        lamp.energy = float(power.max())
        lamp.color = tuple(float(x) for x in power / power.max())
        placed = self._bpy.data.objects.new('lamp', lamp)
        placed.location = [float(x) for x in position]
        towards = mathutils.Vector([float(x) for x in target - position])
        placed.rotation_euler = towards.to_track_quat('-Z', 'Y').to_euler()
        placed.visible_camera = False
        self._bpy.context.scene.collection.objects.link(placed)

    def _add_ceiling_light(self, room: Room) -> None:
        width, height, depth = (float(length) for length in room.size)
        position = np.array((width / 2, height - 0.02, depth / 2), np.float32)
        power = np.full(3, room.ambient * CEILING_POWER * width * depth, np.float32)
        down = position - np.array((0, 1, 0), np.float32)
        self._add_lamp(position, down, power, min(width, depth))


def _surfaces(room: Room) -> Iterator[tuple[FloatArray, Texture | None]]:
    """Yield the triangles of each combination of texture, gloss and opacity."""
    triangles, textures = room.geometry.triangles, room.geometry.textures
    kinds = triangles[:, 0, [LAYER, GLOSS, OPACITY]].round(2)
    bright = (triangles[..., COLOR].max((1, 2)) > 1)[:, None]
    _, which = np.unique(np.concatenate([kinds, bright], 1), axis=0, return_inverse=True)
    for kind in range(int(which.max()) + 1):
        chosen = triangles[which.ravel() == kind]
        layer = int(chosen[0, 0, LAYER])
        yield chosen, textures[layer] if 0 <= layer < len(textures) else None
