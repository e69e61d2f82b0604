"""The programs of the renderer (GLSL 3.3).

Image rows run downward: a row of the image is a row of the frame buffer, so nothing is flipped.
"""

LIGHTS = 3
"""Largest number of lights of a room."""

_VERTEX_INPUTS = """
#version 330
uniform mat4 to_clip;
in vec3 in_position;
"""

DEPTH_VERTEX = (
    _VERTEX_INPUTS
    + """
void main() { gl_Position = to_clip * vec4(in_position, 1.0); }
"""
)

# The fourth coordinate is the depth in meters, and 1/w is exactly linear on the screen.
DEPTH_FRAGMENT = """
#version 330
out float inverse_depth;
void main() { inverse_depth = gl_FragCoord.w; }
"""

SHADOW_FRAGMENT = """
#version 330
void main() {}
"""

COLOR_VERTEX = (
    _VERTEX_INPUTS
    + """
in vec3 in_normal;
in vec2 in_uv;
in vec3 in_color;
in vec3 in_surface;
out vec3 position;
out vec3 normal;
out vec2 uv;
out vec3 color;
flat out vec3 surface;
void main() {
    gl_Position = to_clip * vec4(in_position, 1.0);
    position = in_position;
    normal = in_normal;
    uv = in_uv;
    color = in_color;
    surface = in_surface;
}
"""
)

COLOR_FRAGMENT = """
#version 330
uniform sampler2DArray textures;
uniform sampler2DShadow shadow0;
uniform sampler2DShadow shadow1;
uniform sampler2DShadow shadow2;
uniform int lights;
uniform mat4 to_light[3];
uniform vec3 light_position[3];
uniform vec3 light_color[3];
uniform vec3 eye;
uniform float ambient;
uniform float exposure;
uniform float mirrored_layer;
in vec3 position;
in vec3 normal;
in vec2 uv;
in vec3 color;
flat in vec3 surface;  // layer, gloss, opacity
out vec4 result;

float lit(int index, vec3 point) {
    vec4 clip = to_light[index] * vec4(point, 1.0);
    vec3 place = clip.xyz / clip.w * 0.5 + 0.5;
    if (clip.w <= 0.0 || any(lessThan(place, vec3(0.0))) || any(greaterThan(place, vec3(1.0))))
        return 1.0;
    if (index == 0) return texture(shadow0, place);
    if (index == 1) return texture(shadow1, place);
    return texture(shadow2, place);
}

void main() {
    vec3 base = color;
    if (surface.x >= 0.0) base *= pow(texture(textures, vec3(uv, surface.x)).rgb, vec3(2.2));
    vec3 view = normalize(eye - position);
    vec3 facing = normalize(normal);
    if (dot(facing, view) < 0.0) facing = -facing;
    vec3 sum = ambient * base;
    for (int i = 0; i < lights; i++) {
        vec3 way = light_position[i] - position;
        float distance_squared = dot(way, way);
        way *= inversesqrt(distance_squared);
        // A texel of the shadow map is 0.0068 of the distance; less would stripe flat walls.
        vec3 lifted = position + (0.005 + 0.0075 * sqrt(distance_squared)) * facing;
        float strength = lit(i, lifted) / (0.6 + 0.12 * distance_squared);
        float shine = pow(max(dot(facing, normalize(way + view)), 0.0), 60.0);
        sum += strength * light_color[i] * (base * max(dot(facing, way), 0.0)
                                            + surface.y * shine);
    }
    if (surface.y > 0.15) {  // a room of pictures, mirrored
        vec3 ray = reflect(-view, facing);
        vec2 place = vec2(atan(ray.z, ray.x) * 0.95493, ray.y * 0.8 + 0.5);
        float grazing = pow(1.0 - max(dot(facing, view), 0.0), 3.0);
        vec3 other = vec3(0.3 + 0.4 * step(0.5, fract(place.x)) * step(0.4, place.y));
        if (mirrored_layer >= 0.0)
            other = pow(texture(textures, vec3(place, mirrored_layer)).rgb, vec3(2.2));
        sum += other * surface.y * (0.15 + 0.6 * grazing);
    }
    result = vec4(pow(clamp(sum * exposure, 0.0, 1.0), vec3(1.0 / 2.2)), surface.z);
}
"""
