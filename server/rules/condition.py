"""One condition of a rule: an expression of the Common Expression Language (https://cel.dev), compiled once.

``common-expression-language`` (cel-rust) parses and evaluates. It bounds recursion, its regular expressions are linear in
time, and an expression has no loops but those over its own lists. What is left to bound is work that grows with a power of
the data: an iteration inside another one is refused, and so are values that have too many elements.

``list.includes(value)`` and ``text.includes(part)`` are added, as JavaScript has them. They are called in Python with a
copy of the list, so ``value in list`` is faster for long lists.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal
from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from engine.errors import RealtimeError
from server.protocol.error_codes import ErrorCode
from server.rules.form import bound_names, fields_of, form_problem, iterates

if TYPE_CHECKING:
    import cel

__all__ = ["VARIABLES", "CompiledCondition", "ConditionError", "Scope", "compile_condition"]

VARIABLES: Final = ("auth", "channel", "data", "request")
_FUNCTIONS: Final = frozenset(
    (
        "includes",
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "has",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "bool",
        "type",
        "dyn",
        "timestamp",
        "duration",
        "getFullYear",
        "getMonth",
        "getDate",
        "getDayOfMonth",
        "getDayOfWeek",
        "getDayOfYear",
        "getHours",
        "getMinutes",
        "getSeconds",
        "getMilliseconds",
    )
)
_NAMES: Final = frozenset(
    (
        *VARIABLES,
        "bool",
        "bytes",
        "double",
        "duration",
        "int",
        "list",
        "map",
        "null_type",
        "string",
        "timestamp",
        "type",
        "uint",
    )
)
_MAX_ELEMENTS: Final = 10_000
_MAX_ITERATED: Final = 1_000
_MAX_DEPTH: Final = 32
_COMPILED: Final = 10_000
_INT64: Final = range(-(2**63), 2**63)
_AS_THEY_ARE: Final = frozenset((str, bool, float, type(None)))
_OBJECTS: Final = (dict, Mapping)  # the usual one first: to ask for a Mapping is slow
_NESTING: Final = (dict, list, tuple, Mapping)
_NO_VALUES: Final[Mapping[str, object]] = MappingProxyType({})


class ConditionError(RealtimeError):
    """A condition cannot be compiled, or not be evaluated with these values. It denies."""

    code = ErrorCode.PERMISSION_DENIED


class Scope:
    """Values of variables. ``elements``: of how many values each variable consists.

    The library converts all variables of a context again when one of them is set, and one that is given each time that an
    expression names it. So those that last are kept in the context, and those of one decision are given when an expression
    asks for them. Without any that last, ``values`` has all of one decision, which is the fastest.
    """

    __slots__ = ("_passing", "context", "elements")

    def __init__(self, values: Mapping[str, object] = _NO_VALUES) -> None:
        self.elements: dict[str, int] = {}
        converted = {name: self._checked(name, value) for name, value in values.items()}
        self.context: cel.Context = _library().Context(converted, {"includes": _includes})
        self._passing: dict[str, object] | None = None

    def keep(self, name: str, value: object) -> None:
        """Set a variable to a value of JSON for many decisions; numbers that are no 64-bit integers become doubles.

        Raises ``ConditionError`` if it is nested too deep or too large.
        """
        self.context.add_variable(name, self._checked(name, value))

    def give(self, name: str, value: object) -> None:
        """Set another variable for the next decision, to a value of JSON or a time. Raises as ``keep`` does."""
        if self._passing is None:
            self._passing = {}
            self.context.set_variable_resolver(self._passing.get)
        self._passing[name] = self._checked(name, value)

    def _checked(self, name: str, value: object) -> object:
        converted, elements = _converted(value, _MAX_DEPTH)
        if elements > _MAX_ELEMENTS:
            raise ConditionError(f"{name} has {elements} values, an expression may read {_MAX_ELEMENTS}")
        self.elements[name] = elements
        return converted


class CompiledCondition:
    """See the module. ``variables``: those of ``VARIABLES`` that it reads; ``auth_fields``: of ``auth`` (None: any),
    ``claims``: of ``auth.claims``.
    """

    __slots__ = ("_most", "_program", "auth_fields", "claims", "text", "variables")

    def __init__(self, text: str, program: cel.Program) -> None:
        self.text = text
        self._program = program
        self._most = _MAX_ITERATED if iterates(text) else _MAX_ELEMENTS
        self.auth_fields = fields_of(text, "auth")
        self.claims = None if self.auth_fields is None else fields_of(text, "auth.claims")
        self.variables = frozenset(program.variables()) & frozenset(VARIABLES)

    def evaluate(self, scope: Scope) -> bool:
        """The condition with the values of ``scope``. Raises ``ConditionError``."""
        for name in self.variables:
            if (elements := scope.elements[name]) > self._most:
                raise ConditionError(f"{name} has {elements} values, this expression may read {self._most}")
        try:
            result = self._program.execute(scope.context)
        except BaseException as problem:
            if not isinstance(problem, Exception) and not _is_panic(problem):
                raise
            raise ConditionError(_reason(problem)) from problem
        if result is True or result is False:
            return bool(result)
        raise ConditionError(f"the result is no boolean but {type(result).__name__}")


def compile_condition(text: str) -> CompiledCondition:
    """Compile an expression, or give the one that was compiled before. Raises ``ConditionError`` with the reason."""
    compiled = _compiled(text)
    if isinstance(compiled, str):
        raise ConditionError(compiled)
    return compiled


@lru_cache(_COMPILED)
def _compiled(text: str) -> CompiledCondition | str:
    if (wrong := form_problem(text)) is not None:
        return wrong
    try:
        program = _library().compile(text)
    except BaseException as problem:
        if not isinstance(problem, Exception) and not _is_panic(problem):
            raise
        return _reason(problem)
    if functions := sorted(name for name in program.functions() if name.isidentifier() and name not in _FUNCTIONS):
        return f"there is no function {functions[0]!r}"
    if variables := sorted(set(program.variables()) - _NAMES - bound_names(text)):
        return f"there is no variable {variables[0]!r}: {', '.join(VARIABLES)}"
    return CompiledCondition(text, program)


@cache
def _library() -> Any:
    """The library, with the first rule: it brings a command line of its own, 20 MB."""
    import cel

    logging.getLogger("cel").disabled = True  # it logs each failure of `includes`, which clients can cause as they like
    return cel


def _converted(value: object, depth: int) -> tuple[Any, int]:
    if type(value) in _AS_THEY_ARE:
        return value, 1
    if isinstance(value, _NESTING):
        if depth == 0:
            raise ConditionError(f"a value is nested more than {_MAX_DEPTH} levels deep")
        elements = 1
        if isinstance(value, _OBJECTS):
            object: dict[str, Any] = {}
            for name, item in value.items():
                object[name], more = _converted(item, depth - 1)
                elements += more
            return object, elements
        array: list[Any] = []
        for item in value:
            one, more = _converted(item, depth - 1)
            array.append(one)
            elements += more
        return array, elements
    if isinstance(value, Decimal):
        return float(value), 1
    if isinstance(value, int) and not isinstance(value, bool) and value not in _INT64:
        return float(value), 1
    return value, 1


def _includes(container: object, value: object) -> bool:
    """``includes`` of a list or a text, without JavaScript's conversions."""
    if isinstance(container, str) and isinstance(value, str):
        return value in container
    if not isinstance(container, list):
        raise TypeError(f"includes: {type(container).__name__} is neither a list nor a text")
    if isinstance(value, bool | int | float):  # Python's True is equal to 1
        return any(item == value and isinstance(item, bool) == isinstance(value, bool) for item in container)
    return value in container


def _is_panic(problem: BaseException) -> bool:
    """Whether the library failed in Rust: PyO3 raises a panic as an error that is no ``Exception``."""
    return type(problem).__name__ == "PanicException"


def _reason(problem: BaseException) -> str:
    if isinstance(problem, KeyError):
        return f"there is no field {problem.args[0]!r}" if problem.args else "a field is missing"
    text = " ".join(str(problem).split())
    return text[:500] or type(problem).__name__
