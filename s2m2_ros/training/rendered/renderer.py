"""Render interiors through OpenGL without a display (moderngl over EGL; Mesa's is fast enough)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from s2m2_ros.errors import S2M2Error
from s2m2_ros.optional_packages import require_packages
from s2m2_ros.training.rendered import shaders
from s2m2_ros.training.rendered.geometry import LAYER, OPACITY, FloatArray, Texture
from s2m2_ros.training.rendered.room import Light, Room
from s2m2_ros.training.rendered.truth import OVERSAMPLING, Camera

SHADOW_SIZE = 512
TEXTURE_SIZE = 256
LARGEST_TEXTURES = 64
"""Textures of a room; surfaces with further ones have their plain color."""

SAMPLES = 4
NEAR, FAR = 0.05, 30.0
"""Meters."""

LIGHT_ANGLE = 120.0
"""Degrees that a light's shadows cover; beyond, everything is lit."""

WITHOUT_DISPLAY: dict[str, Any] = {'backend': 'egl'}
LAYOUT = '3f 3f 2f 3f 3f'
BARE_LAYOUT = '3f 44x'
INPUTS = ('in_position', 'in_normal', 'in_uv', 'in_color', 'in_surface')


class RenderingError(S2M2Error):
    """This machine cannot render."""


@dataclass(frozen=True, eq=False)
class Pose:
    """Where a camera is: its center in meters, and its axes right, down, forward as rows."""

    center: FloatArray
    axes: FloatArray

    def shifted(self, baseline: float) -> Pose:
        """Return the pose of a camera ``baseline`` meters to the right."""
        return Pose(self.center + np.float32(baseline) * self.axes[0], self.axes)


class Renderer:
    """An OpenGL context that holds one room at a time; use as a context manager."""

    def __init__(self, camera: Camera) -> None:
        """Open the context for images of the camera's size.

        Raises:
            MissingPackageError: if moderngl is not installed.
            RenderingError: if OpenGL cannot be opened without a display.
        """
        require_packages('rendering scenes', 'moderngl')
        import moderngl

        try:
            context: Any = moderngl.create_context(standalone=True, require=330, **WITHOUT_DISPLAY)
        except Exception as error:  # glcontext raises plain Exception
            raise RenderingError(
                f'OpenGL cannot be opened without a display ({error}); on Debian and Ubuntu: '
                'apt install libegl1 libgl1-mesa-dri'
            ) from error
        size = (camera.width, camera.height)
        self.camera, self._context = camera, context
        self._color = context.framebuffer(
            context.renderbuffer(size, 4, samples=SAMPLES),
            context.depth_renderbuffer(size, samples=SAMPLES),
        )
        self._resolved = context.framebuffer(context.renderbuffer(size, 4))
        self._depth = _depth_target(context, size)
        self._wide_depth = _depth_target(context, (camera.width * OVERSAMPLING, camera.height))
        self._shadows = [context.depth_texture((SHADOW_SIZE,) * 2) for _ in range(shaders.LIGHTS)]
        for shadow in self._shadows:
            shadow.compare_func = '<='
        self._shade = context.program(shaders.COLOR_VERTEX, shaders.COLOR_FRAGMENT)
        self._measure = context.program(shaders.DEPTH_VERTEX, shaders.DEPTH_FRAGMENT)
        self._cast = context.program(shaders.DEPTH_VERTEX, shaders.SHADOW_FRAGMENT)
        self._room: list[Any] = []

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.release()

    def set_focal_length(self, pixels: float) -> None:
        """Zoom to a focal length in pixels."""
        self.camera = replace(self.camera, focal_length=pixels)

    def load(self, room: Room, *, exposure: float = 1.0) -> None:
        """Take a room in place of the one before, and cast its shadows."""
        import moderngl

        for held in self._room:
            held.release()
        textures = room.geometry.textures[:LARGEST_TEXTURES]
        triangles = _ordered(room.geometry.triangles, len(textures))
        self._opaque = int((triangles[:, 0, OPACITY] >= 1).sum()) * 3
        self._corners = len(triangles) * 3
        buffer = self._context.buffer(triangles.tobytes())
        layers = self._layers(textures)
        self._shaded = self._context.vertex_array(self._shade, [(buffer, LAYOUT, *INPUTS)])
        bare = [(buffer, BARE_LAYOUT, 'in_position')]
        self._measured = self._context.vertex_array(self._measure, bare)
        self._casting = self._context.vertex_array(self._cast, bare)
        self._room = [self._shaded, self._measured, self._casting, buffer, layers]
        self._context.enable_only(moderngl.DEPTH_TEST)
        self._set_lights(room.lights)
        for number, texture in enumerate((layers, *self._shadows)):
            texture.use(number)
        for name, value in (('textures', 0), ('shadow0', 1), ('shadow1', 2), ('shadow2', 3)):
            _set(self._shade, name, value)
        _set(self._shade, 'ambient', room.ambient)
        _set(self._shade, 'exposure', exposure)
        _set(self._shade, 'mirrored_layer', len(textures) - 1.0)

    def inverse_depth(self, pose: Pose, *, wide: bool = False) -> FloatArray:
        """Return 1/depth in 1/m, (H, W); wide: (H, OVERSAMPLING * W) samples, see `truth`."""
        target = self._wide_depth if wide else self._depth
        target.use()
        target.clear(0.0, 0.0, 0.0, 0.0)
        _set_matrix(self._measure, 'to_clip', _to_clip(self.camera, pose))
        self._measured.render(vertices=self._corners)
        content = target.read(components=1, dtype='f4')
        return np.frombuffer(content, np.float32).reshape(self.camera.height, -1)

    def image(self, pose: Pose) -> npt.NDArray[np.uint8]:
        """Return the view (H, W, 3) RGB, without noise."""
        import moderngl

        self._color.use()
        self._color.clear()
        _set_matrix(self._shade, 'to_clip', _to_clip(self.camera, pose))
        _set(self._shade, 'eye', tuple(float(x) for x in pose.center))
        self._shaded.render(vertices=self._opaque)
        if self._corners > self._opaque:
            self._context.enable(moderngl.BLEND)
            self._context.blend_func = moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA
            self._shaded.render(vertices=self._corners - self._opaque, first=self._opaque)
            self._context.disable(moderngl.BLEND)
        self._context.copy_framebuffer(self._resolved, self._color)
        content = self._resolved.read(components=3)
        return np.frombuffer(content, np.uint8).reshape(self.camera.height, -1, 3)

    def views(self, poses: Sequence[Pose]) -> list[npt.NDArray[np.uint8]]:
        """Return the views of several poses, without noise."""
        return [self.image(pose) for pose in poses]

    def _layers(self, textures: tuple[Texture, ...]) -> Any:
        size = (TEXTURE_SIZE, TEXTURE_SIZE)
        blank = np.full((*size, 3), 255, np.uint8)
        resized = [cv2.resize(t, size, interpolation=cv2.INTER_AREA) for t in textures] or [blank]
        layers = self._context.texture_array((*size, len(resized)), 3, np.stack(resized).tobytes())
        layers.build_mipmaps()
        return layers

    def _set_lights(self, lights: tuple[Light, ...]) -> None:
        shown = lights[: shaders.LIGHTS]
        matrices = [_to_light(light) for light in shown]
        for matrix, shadow in zip(matrices, self._shadows, strict=False):
            target = self._context.framebuffer(depth_attachment=shadow)
            target.use()
            target.clear(depth=1.0)
            _set_matrix(self._cast, 'to_clip', matrix)
            self._casting.render(vertices=self._opaque)
            target.release()
        unused = shaders.LIGHTS - len(shown)
        matrices += [np.eye(4, dtype=np.float32)] * unused
        content = b''.join(np.ascontiguousarray(m.T, np.float32).tobytes() for m in matrices)
        self._shade['to_light'].write(content)
        nothing = [(0.0, 0.0, 0.0)] * unused
        _set(self._shade, 'lights', len(shown))
        positions = [tuple(map(float, light.position)) for light in shown]
        colors = [tuple(map(float, light.color)) for light in shown]
        _set(self._shade, 'light_position', positions + nothing)
        _set(self._shade, 'light_color', colors + nothing)


def _ordered(triangles: FloatArray, textures: int) -> FloatArray:
    """Return the triangles with the transparent ones last and only textures that there are."""
    order = np.argsort(triangles[:, 0, OPACITY] < 1, kind='stable')
    ordered = np.ascontiguousarray(triangles[order], np.float32)
    ordered[..., LAYER][ordered[..., LAYER] >= textures] = -1
    return ordered


def _depth_target(context: Any, size: tuple[int, int]) -> Any:
    return context.framebuffer(
        context.renderbuffer(size, 1, dtype='f4'), context.depth_renderbuffer(size)
    )


def _set(program: Any, name: str, value: object) -> None:
    """Set a uniform, unless the compiler found it unused and removed it."""
    if name in program:
        program[name].value = value


def _set_matrix(program: Any, name: str, matrix: FloatArray) -> None:
    program[name].write(np.ascontiguousarray(matrix.T, np.float32).tobytes())


def _to_clip(camera: Camera, pose: Pose) -> FloatArray:
    """Return the matrix from the room to clip coordinates whose w is the depth in meters."""
    focal, (cx, cy) = camera.focal_length, camera.center
    width, height = camera.width, camera.height
    # Column u lies at 2 (u + 0.5) / W - 1: pixel centers are whole numbers here, halves in OpenGL.
    projection = np.array(
        [
            (2 * focal / width, 0, (2 * cx + 1) / width - 1, 0),
            (0, 2 * focal / height, (2 * cy + 1) / height - 1, 0),
            (0, 0, (FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)),
            (0, 0, 1, 0),
        ]
    )
    view = np.eye(4)
    view[:3, :3] = pose.axes
    view[:3, 3] = -pose.axes @ pose.center
    return (projection @ view).astype(np.float32)


def _to_light(light: Light) -> FloatArray:
    """Return the matrix from the room to a light's clip coordinates."""
    half = SHADOW_SIZE / 2
    focal = half / np.tan(np.radians(LIGHT_ANGLE / 2))
    camera = Camera(SHADOW_SIZE, SHADOW_SIZE, float(focal))
    return _to_clip(camera, look_at(light.position, light.target))


def look_at(center: FloatArray, target: FloatArray, *, roll: float = 0.0) -> Pose:
    """Return the pose of a level camera that looks at a point, then rolled, in radians."""
    forward = (target - center) / np.linalg.norm(target - center)
    down = np.array((0.0, -1.0, 0.0) if abs(forward[1]) < 0.99 else (1.0, 0.0, 0.0))
    right = np.cross(down, forward)
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cosine, sine = np.cos(roll), np.sin(roll)
    axes = np.stack([cosine * right + sine * down, cosine * down - sine * right, forward])
    return Pose(np.float32(center), axes.astype(np.float32))
