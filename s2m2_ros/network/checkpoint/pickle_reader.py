"""Reading the structure of a pickle without calling anything that it names.

A pickle is a program for a small stack machine. Its operations come from `pickletools`; here they
make lists, dictionaries, numbers and text only. Every class or function that the program names
stays a `Name`, and what would be a call of it a `Call`, which the caller may understand.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

# Some forty operations a tensor: enough for ten thousand of them.
MOST_OPERATIONS = 600_000
# Python 3.10 takes minutes to read such a number.
LONG_NUMBER = re.compile(rb'[ILgp][\s\d_+-]{5000}')


class PickleReadError(Exception):
    """The pickle is damaged, or too large, or uses what no checkpoint needs."""


@dataclass(frozen=True)
class Name:
    """A class or function, named but never imported."""

    module: str
    attribute: str

    def __str__(self) -> str:
        return f'{self.module}.{self.attribute}'[:200]


@dataclass
class Call:
    """A call that the pickle asks for; ``state`` is what would be set on its result."""

    function: Any
    arguments: Any
    state: Any = None


@dataclass(frozen=True)
class PersistentId:
    """A reference to data outside of the pickle."""

    value: Any


_MARK = object()


@dataclass
class _Machine:
    on_call: Callable[[Call], Any]
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self, file: IO[bytes]) -> Any:
        for count, (operation, argument, _) in enumerate(pickletools.genops(file)):
            if count > MOST_OPERATIONS:
                raise PickleReadError('it consists of too many operations')
            name = operation.name
            if name == 'STOP':
                return self.stack.pop()
            if name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name]())
            elif name in _ACTIONS:
                _ACTIONS[name](self, argument)
            elif not operation.stack_before and len(operation.stack_after) == 1:
                # A number, text or bytes.
                self.stack.append(argument)
            elif name not in ('PROTO', 'FRAME'):
                raise PickleReadError(f'it uses the operation {name}')
        raise PickleReadError('it ends too soon')

    def since_mark(self) -> list[Any]:
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                items = self.stack[index + 1 :]
                del self.stack[index:]
                return items
        raise PickleReadError('a mark is missing')

    def put(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def take(self, count: int) -> None:
        items = tuple(self.stack[len(self.stack) - count :])
        if len(items) != count or any(item is _MARK for item in items):
            raise PickleReadError('a value is missing')
        del self.stack[len(self.stack) - count :]
        self.stack.append(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            for key, value in zip(items[::2], items[1::2], strict=True):
                # Hashing a nested tuple can take forever; no name of a tensor is one.
                if isinstance(key, str | int):
                    target[key] = value

    def extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def call(self, function: Any, arguments: Any) -> None:
        self.stack.append(self.on_call(Call(function, arguments)))

    def build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Call):
            self.stack[-1].state = state

    def stack_global(self) -> None:
        attribute, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Name(str(module)[:200], str(attribute)[:200]))


def read_pickle(file: IO[bytes], on_call: Callable[[Call], Any]) -> Any:
    """Return what the pickle at the file's position describes.

    Args:
        file: in memory and of limited size.
        on_call: returns what a `Call` is worth, or the call itself.

    Raises:
        PickleReadError: it is damaged, or larger or stranger than any checkpoint.

    """
    try:
        return _Machine(on_call).run(file)
    except PickleReadError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise PickleReadError('it is damaged') from error


def has_long_number(data: bytes) -> bool:
    """Return whether a pickle spells out a number so long that reading it takes minutes."""
    return LONG_NUMBER.search(data) is not None


_CONSTANTS: dict[str, Callable[[], Any]] = {
    'NONE': lambda: None,
    'NEWTRUE': lambda: True,
    'NEWFALSE': lambda: False,
    'EMPTY_DICT': dict,
    'EMPTY_LIST': list,
    'EMPTY_TUPLE': tuple,
    'EMPTY_SET': list,
    'MARK': lambda: _MARK,
}


def _global(machine: _Machine, argument: str) -> None:
    module, _, attribute = argument.partition(' ')
    machine.stack.append(Name(module, attribute))


def _reduce(machine: _Machine, _: Any) -> None:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    machine.call(function, arguments)


def _new_object_ex(machine: _Machine, _: Any) -> None:
    machine.stack.pop()
    _reduce(machine, None)


def _object(machine: _Machine, _: Any) -> None:
    function, *arguments = machine.since_mark()
    machine.call(function, tuple(arguments))


def _inst(machine: _Machine, argument: str) -> None:
    arguments = tuple(machine.since_mark())
    module, _, attribute = argument.partition(' ')
    machine.call(Name(module, attribute), arguments)


def _dict(machine: _Machine, _: Any) -> None:
    items = machine.since_mark()
    machine.stack.append({})
    machine.set_items(items)


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.set_items([key, value])


_ACTIONS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(('PUT', 'BINPUT', 'LONG_BINPUT', 'MEMOIZE'), _Machine.put),
    **dict.fromkeys(('GET', 'BINGET', 'LONG_BINGET'), lambda m, i: m.stack.append(m.memo[i])),
    'TUPLE': lambda m, _: m.stack.append(tuple(m.since_mark())),
    'TUPLE1': lambda m, _: m.take(1),
    'TUPLE2': lambda m, _: m.take(2),
    'TUPLE3': lambda m, _: m.take(3),
    'LIST': lambda m, _: m.stack.append(m.since_mark()),
    'FROZENSET': lambda m, _: m.stack.append(m.since_mark()),
    'DICT': _dict,
    'SETITEM': _set_item,
    'SETITEMS': lambda m, _: m.set_items(m.since_mark()),
    'APPEND': lambda m, _: m.extend([m.stack.pop()]),
    'APPENDS': lambda m, _: m.extend(m.since_mark()),
    'ADDITEMS': lambda m, _: m.extend(m.since_mark()),
    'POP': lambda m, _: m.stack.pop(),
    'POP_MARK': lambda m, _: m.since_mark(),
    'DUP': lambda m, _: m.stack.append(m.stack[-1]),
    'GLOBAL': _global,
    'STACK_GLOBAL': lambda m, _: m.stack_global(),
    'REDUCE': _reduce,
    'NEWOBJ': _reduce,
    'NEWOBJ_EX': _new_object_ex,
    'OBJ': _object,
    'INST': _inst,
    'BUILD': lambda m, _: m.build(),
    'BINPERSID': lambda m, _: m.stack.append(PersistentId(m.stack.pop())),
}
