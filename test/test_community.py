"""Files for the people around the project agree with what they speak about."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from catkin_pkg.package import parse_package

import s2m2_ros
from support.documents import documents
from support.processes import SOURCE


def settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(SOURCE / 'setup.cfg')
    return parser


def read_yaml(name: str) -> Any:
    return yaml.safe_load((SOURCE / name).read_text(encoding='utf-8'))


def parts_of_ci() -> set[str]:
    return set(re.findall(r'^(\w+)\(\) \{', (SOURCE / '.ci' / 'run').read_text(), re.MULTILINE))


def test_the_workflow_calls_every_part_of_ci() -> None:
    (job,) = read_yaml('.github/workflows/ci.yml')['jobs'].values()
    assert set(job['strategy']['matrix']['part']) == parts_of_ci() - {'step', 'browser'}
    assert '.ci/run ${{ matrix.part }}' in [step.get('run') for step in job['steps']]


def test_the_site_is_built_by_ci() -> None:
    assert 'step make docs' in (SOURCE / '.ci' / 'run').read_text()
    assert '--fail-on-warning' in (SOURCE / 'Makefile').read_text()


def test_hooks_run_tools_of_the_environment() -> None:
    (repository,) = read_yaml('.pre-commit-config.yaml')['repos']
    assert repository['repo'] == 'local'
    lint = (SOURCE / 'Makefile').read_text()
    for hook in repository['hooks']:
        program, *words = shlex.split(hook['entry'])
        assert program == 'underlay/run'
        assert f'$(RUN) {words[0]}' in lint
        assert all(not word.endswith('.py') or (SOURCE / word).is_file() for word in words)


@pytest.mark.parametrize('name', ['wrong', 'wish', 'measurement'])
def test_issue_forms_have_what_the_host_asks_for(name: str) -> None:
    form = read_yaml(f'.github/ISSUE_TEMPLATE/{name}.yml')
    assert {'name', 'description', 'body'} <= set(form)
    kinds = [part['type'] for part in form['body']]
    assert set(kinds) <= {'input', 'textarea'}
    names = [part['id'] for part in form['body']]
    assert len(set(names)) == len(names)
    assert all(part['attributes']['label'] for part in form['body'])


def test_the_devcontainer_builds_from_a_file_that_is_there() -> None:
    folder = SOURCE / '.devcontainer'
    content = json.loads((folder / 'devcontainer.json').read_text())
    assert (folder / content['build']['dockerfile']).is_file()
    target = content['postCreateCommand'].removeprefix('make ')
    assert re.search(rf'^{target}:', (SOURCE / 'Makefile').read_text(), re.MULTILINE)


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = read_yaml('CITATION.cff')
    assert citation['version'] == s2m2_ros.__version__
    assert citation['license'] == settings()['metadata']['license']
    (paper,) = citation['references']
    text = ' '.join((SOURCE / 'README.md').read_text(encoding='utf-8').replace('> ', '').split())
    assert paper['title'] in text
    assert paper['identifiers'][0]['value'] in text
    assert all(f'{p["given-names"]} {p["family-names"]}' in text for p in paper['authors'])


def test_badges_say_what_the_settings_say() -> None:
    text = (SOURCE / 'README.md').read_text(encoding='utf-8')
    badges = dict(
        unquote(badge).replace('--', '\0').replace('_', ' ').rsplit('-', 1)[0].split('-', 1)
        for badge in re.findall(r'img\.shields\.io/badge/([^)]+)\)', text)
    )
    wheels = (SOURCE / 'underlay' / 'environment.py').read_text()
    found = re.search(r"WHEELS = \{'kilted': \(\(3, (\d+)\), \(3, (\d+)\)\), 'jazzy'", wheels)
    assert found is not None
    assert {name: value.replace('\0', '-') for name, value in badges.items()} == {
        'license': settings()['metadata']['license'],
        'python': f'3.{found[1]} to 3.{found[2]}',
        'ROS 2': 'Jazzy | Kilted',
    }
    assert settings()['options']['python_requires'] == f'>=3.{found[1]}'


def test_the_type_marker_is_packaged() -> None:
    assert (SOURCE / 's2m2_ros' / 'py.typed').is_file()
    assert 'py.typed' in settings()['options.package_data']['s2m2_ros']


def test_rosdoc2_finds_its_settings_and_the_site() -> None:
    (rosdoc2,) = (
        export.content
        for export in parse_package(str(SOURCE / 'package.xml')).exports
        if export.tagname == 'rosdoc2'
    )
    head, body = yaml.safe_load_all((SOURCE / rosdoc2).read_text())
    assert head == {'type': 'rosdoc2 config', 'version': 1}
    (builder,) = body['builders']
    assert (SOURCE / builder['sphinx']['sphinx_sourcedir'] / 'conf.py').is_file()


def test_every_file_whose_license_differs_is_there() -> None:
    text = (SOURCE / 'REUSE.toml').read_text()
    for name in re.findall(r'"([\w/]+\.\w+)"', text):
        assert (SOURCE / name).is_file(), name
    assert text.index('path = "**"') < text.index('precedence')


def test_what_builds_the_site_is_no_requirement_of_the_package() -> None:
    extra = settings()['options.extras_require']['docs'].split()
    pinned = (SOURCE / 'underlay' / 'requirements-docs.txt').read_text()
    assert all(re.search(rf'^{re.escape(name)}==', pinned, re.MULTILINE) for name in extra)
    for path in (SOURCE / 'underlay').glob('requirements*.txt'):
        if path.name != 'requirements-docs.txt':
            assert not set(extra) & set(re.findall(r'^[\w-]+', path.read_text(), re.MULTILINE))


def test_placeholders_stand_where_the_generator_writes_them() -> None:
    """The project's address in any other form would stay when setup.cfg changes."""
    url = settings()['metadata']['url']
    for path in documents():
        rest = path.read_text(encoding='utf-8').replace(f'git clone {url} s2m2_ros', '')
        assert url not in rest, path
