"""Arguments of the launch files: read, checked, and explained where they are wrong.

No import of launch: errors are raised before any process is started, since launch stops at an
exception but leaves running what it had started.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from s2m2_ros.errors import S2M2Error
from s2m2_ros.large_messages import PROFILE, default_environment
from s2m2_ros.ros_names import why_no_namespace, why_no_topic
from s2m2_ros.text_safety import safe_text

TRUE = frozenset({'true', '1', 'yes', 'on'})
FALSE = frozenset({'false', '0', 'no', 'off'})
PARAMETERS_KEY = 'ros__parameters'


LOG_LEVELS = ('debug', 'info', 'warn', 'error', 'fatal')
RESPAWN_DELAY_S = 2.0
STEREO_NODE = 'stereo_node'


class LaunchArgumentError(S2M2Error):
    """A launch argument that is unknown or has an unusable value."""


class Argument(NamedTuple):
    """One launch argument.

    Attributes:
        name: of the argument and, if it is `passed_on`, of the node's parameter.
        default: empty for those passed on, which leaves the parameter as it is.
        description: one sentence or two.
        kind: what the text is converted to: str, int, float or bool.
        choices: the values allowed, in lower case; empty for any.
        passed_on: whether the node has a parameter of this name, which a value sets.
        named: for names: returns the text as ROS takes it; ValueError says why it is none.

    """

    name: str
    default: str
    description: str
    kind: type = str
    choices: tuple[str, ...] = ()
    passed_on: bool = False
    named: Callable[[str], str] | None = None

    def value(self, text: str) -> Any:
        """Return the text as a value of the kind; None if it is empty and not a string."""
        text = text.strip()
        if self.choices and (text or not self.passed_on):
            return self._choice(text)
        if self.named is not None:
            return self._name(self.named, text)
        if self.kind is str:
            return text
        if not text:
            return None
        try:
            return boolean(text) if self.kind is bool else self.kind(text)
        except ValueError:
            kinds = {bool: 'true or false', int: 'an integer', float: 'a number'}
            raise LaunchArgumentError(
                f"{self.name}:='{text}' must be {kinds[self.kind]}"
            ) from None

    def _name(self, named: Callable[[str], str], text: str) -> str:
        try:
            return named(text)
        except ValueError as error:
            raise LaunchArgumentError(
                f"{self.name}:='{safe_text(text)}' cannot be used: {error}"
            ) from None

    def _choice(self, text: str) -> str:
        if text.lower() not in self.choices:
            raise LaunchArgumentError(
                f"{self.name}:='{text}' must be one of {', '.join(self.choices)}"
            )
        return text.lower()


def why_no_target(text: str) -> str | None:
    """Return why no input can be remapped to this topic, which may be private (~/); else None.

    rcl would end the node with no word on what is wrong with the remapping.
    """
    return why_no_topic(text.removeprefix('~/'))


def topic_name(text: str) -> str:
    """Return the text if an input can be remapped to it; ValueError says why not."""
    if reason := why_no_target(text):
        raise ValueError(reason)
    return text


def namespace_name(text: str) -> str:
    """Return the namespace without a slash at its end; ValueError if it is none."""
    name = text.rstrip('/') or text
    if reason := why_no_namespace(name):
        raise ValueError(reason)
    return name


def topic(name: str, default: str, description: str) -> Argument:
    """Return the argument that names a topic of a camera."""
    return Argument(name, default, description, named=topic_name)


def namespace(description: str) -> Argument:
    """Return the argument `namespace`; empty is the root."""
    return Argument('namespace', '', description, named=namespace_name)


def parameter(name: str, kind: type, description: str, choices: tuple[str, ...] = ()) -> Argument:
    """Return the argument that sets the node's parameter of this name."""
    text = f'{description} Empty: as in params_file.'
    return Argument(name, '', text, kind=kind, choices=choices, passed_on=True)


# How the network runs: of each launch file that starts the stereo node.
NETWORK_ARGUMENTS = (
    parameter(
        'checkpoint',
        str,
        "Weights: a name that 's2m2 weights list' shows, or the path of a .pth or .safetensors "
        'file.',
    ),
    parameter('device', str, 'auto, cpu, cuda, cuda:1, ...'),
    parameter('backend', str, 'What computes the disparity, e.g. auto, torch, tensorrt or sgbm.'),
    parameter(
        'precision',
        str,
        'auto, float32, float16 or bfloat16.',
        ('auto', 'float32', 'float16', 'bfloat16'),
    ),
    parameter(
        'preset',
        str,
        'Speed against accuracy, in place of max_width, refine_iterations and upsampling: '
        'auto, finest, accurate, balanced or fast.',
        ('auto', 'finest', 'accurate', 'balanced', 'fast'),
    ),
    parameter('refine_iterations', int, 'Local refinement steps; -1: as preset says.'),
    parameter(
        'max_width',
        int,
        'Match at this width at most, in pixels; 0: no limit; -1: as preset says.',
    ),
    parameter(
        'upsampling',
        float,
        'Match again at so many times the size, for finer depth; 1: not; -1: as preset says.',
    ),
    parameter(
        'sgbm_refinement',
        str,
        'Take the last pixels of the disparity from semi-global matching: auto (with baseline '
        'weights on a processor), always or never.',
        ('auto', 'always', 'never'),
    ),
)
# How the process of the node runs.
PROCESS_ARGUMENTS = (
    parameter('use_sim_time', bool, 'Take the time from /clock: true or false.'),
    parameter(
        'autostart',
        bool,
        'Configure and activate the node at once: true, or false for a lifecycle manager.',
    ),
    Argument(
        'log_level',
        'info',
        f'Least severity that is logged: {", ".join(LOG_LEVELS)}.',
        choices=LOG_LEVELS,
    ),
    Argument(
        'respawn',
        'false',
        f'Start the node again {RESPAWN_DELAY_S:g} s after it ended by itself: true or false.',
        kind=bool,
    ),
)


def passed_on(
    arguments: Iterable[Argument], values: Mapping[str, Any], as_text: Callable[[str], Any]
) -> dict[str, Any]:
    """Return the parameters that arguments set; `as_text` keeps a string from being read as YAML.

    launch_ros would turn some names into numbers.
    """
    chosen: dict[str, Any] = {}
    for argument in arguments:
        value = values[argument.name]
        if argument.passed_on and value not in {None, ''}:
            chosen[argument.name] = as_text(value) if argument.kind is str else value
    return chosen


def stereo_node_options(
    values: Mapping[str, Any],
    *,
    parameters: Sequence[Any],
    remappings: Sequence[tuple[str, str]],
    environment: Mapping[str, str],
    share: Path,
) -> dict[str, Any]:
    """Return the options of launch_ros's Node for the stereo node.

    `values` are those of `PROCESS_ARGUMENTS` and the namespace; `share` holds `config/`.
    """
    return {
        'package': 's2m2_ros',
        'executable': 'stereo_node',
        'name': STEREO_NODE,
        'namespace': values['namespace'],
        'parameters': [*parameters],
        'remappings': [*remappings],
        'arguments': ['--ros-args', '--log-level', values['log_level']],
        'additional_env': default_environment(environment, share / PROFILE),
        'respawn': bool(values['respawn']),
        'respawn_delay': RESPAWN_DELAY_S,
        'output': 'screen',
    }


def input_remappings(inside: str, topic: str) -> list[tuple[str, str]]:
    """Return the remapping of an input, and of its compressed form if it is an image."""
    forms = ('', '/compressed') if inside.endswith('image_rect') else ('',)
    return [(f'{inside}{form}', f'{topic}{form}') for form in forms]


def boolean(text: str) -> bool:
    """Return the truth value of true, false, 1, 0, yes, no, on or off in any case."""
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise ValueError(f"'{text}' is no truth value")


def check_names(
    launch_file: Path, known: Collection[str], words: Sequence[str] | None = None
) -> None:
    """Raise LaunchArgumentError for an unknown argument of the command line, which launch ignores.

    Only where this launch file is what the command line names: where another one includes it,
    the arguments are that one's. `words` are those of the command line.
    """
    words = sys.argv if words is None else words
    for word in _own_words(launch_file, words):
        name, assigned, _ = word.partition(':=')
        if assigned and name not in known:
            raise LaunchArgumentError(
                f"'{launch_file.name}' has no argument '{name}'{suggestion(name, known)}; "
                f'`ros2 launch s2m2_ros {launch_file.name} --show-args` lists them'
            )


def _own_words(launch_file: Path, words: Sequence[str]) -> Sequence[str]:
    """Return the words behind the name of the launch file, if they are meant for it."""
    for index, word in enumerate(words):
        path = Path(word)
        if path.name != launch_file.name:
            continue
        by_package = index > 0 and words[index - 1] == 's2m2_ros'
        if by_package or (path.is_file() and path.samefile(launch_file)):
            return words[index + 1 :]
    return ()


def suggestion(name: str, known: Collection[str]) -> str:
    """Return the question whether a similar name was meant; empty if none is similar."""
    similar = difflib.get_close_matches(name, known, n=1)
    return f": did you mean '{similar[0]}'?" if similar else ''


def existing_file(name: str, text: str) -> Path:
    """Return the file that an argument names, `~` expanded; LaunchArgumentError if missing."""
    path = Path(text).expanduser()
    if not path.is_file():
        raise LaunchArgumentError(f"{name}:='{text}': there is no such file")
    return path


def node_parameters(path: Path, node: str) -> dict[str, Any]:
    """Return what a file of parameters sets on a node of this name, in any namespace.

    Raises LaunchArgumentError if it cannot be read.
    """
    parameters: dict[str, Any] = {}
    for section, values in parameter_sections(path):
        if section.rsplit('/', 1)[-1] in {node, '*', '**'}:
            parameters |= values
    return parameters


def parameter_sections(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the name and the parameters of each section of a file of parameters.

    Raises LaunchArgumentError if it cannot be read.
    """
    yield from _sections(_read_yaml(path))


def _read_yaml(path: Path) -> Mapping[str, Any]:
    content = load_yaml(path)
    if not isinstance(content, Mapping):
        raise LaunchArgumentError(f"'{path}' must hold sections with '{PARAMETERS_KEY}' in them")
    return content


def load_yaml(path: Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """Return what a YAML file holds; LaunchArgumentError if it cannot be read."""
    try:
        return yaml.load(path.read_text(encoding='utf-8-sig'), loader)  # noqa: S506  # a safe one
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        text = ' '.join(str(error).split())
        raise LaunchArgumentError(f"'{path}' is no readable YAML: {text}") from error


def _sections(content: Mapping[str, Any], above: str = '') -> Iterator[tuple[str, Any]]:
    """Yield the name and the parameters of each section; namespaces may be nested."""
    for name, values in content.items():
        if not isinstance(values, Mapping):
            continue
        full = f'{above}/{name}' if above else str(name)
        if isinstance(values.get(PARAMETERS_KEY), Mapping):
            yield full, values[PARAMETERS_KEY]
        yield from _sections({n: v for n, v in values.items() if n != PARAMETERS_KEY}, full)


def require_package(name: str, argument: str) -> None:
    """Raise LaunchArgumentError if a ROS package is not installed, before anything is started."""
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        get_package_prefix(name)
    except PackageNotFoundError:
        package = f'ros-$ROS_DISTRO-{name.replace("_", "-")}'
        raise LaunchArgumentError(
            f'{argument} needs {name}, which is not installed: '
            f'sudo apt-get install {package}, or omit {argument}'
        ) from None
