"""Which faults are on: the state of ``/lab/faults``, and its effect on each call."""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from monitor.lab.calls import Call, Reply
from monitor.lab.faults import FAULTS, Fault, Outage
from monitor.lab.names import nearest


class FaultError(ValueError):
    """A fault or one of its parameters is not what was written; the message names what was probably meant."""


@dataclass
class _Active:
    fault: Fault
    rng: Random
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Plan:
    """A call as the faults that befall it have left it, and what they will still do.

    ``over`` is set when the fault behind ``outage`` is switched off.
    """

    call: Call
    faults: tuple[Fault, ...] = ()
    outage: Outage | None = None
    over: asyncio.Event | None = None

    def tell(self, reply: Reply) -> Reply:
        """``reply`` as the faults tell it."""
        for fault in self.faults:
            reply = fault.after(reply)
        return reply


class FaultBoard:
    """The switched-on faults. One event loop owns it, so a switch holds from the very next request."""

    def __init__(self) -> None:
        self._active: dict[str, _Active] = {}

    def switch_on(self, name: str, params: dict[str, Any]) -> Fault:
        """Switch ``name`` on, in place of what it was. Raises `FaultError`, and then nothing has changed."""
        fault = parse_fault(name, params)
        self.switch_off(name)
        self._active[name] = _Active(fault, Random(fault.seed))
        return fault

    def switch_off(self, name: str | None = None) -> list[str]:
        """Switch ``name``, or everything, off; returns what was on. Raises `FaultError` for an unknown name."""
        if name is not None:
            _known(name)
        names = [known for known in FAULTS if known in self._active and name in (None, known)]
        for known in names:
            self._active.pop(known).over.set()
        return names

    def plan(self, call: Call) -> Plan:
        """What happens to ``call``: every fault that is on draws its lot, in the order of `FAULTS`."""
        hit = [a for name in FAULTS if (a := self._active.get(name)) and a.fault.picks(call, a.rng)]
        outage = over = None
        for active in hit:
            call = active.fault.before(call)
            if outage is None and (outage := active.fault.outage()) is not None:
                over = active.over
        return Plan(call, tuple(active.fault for active in hit), outage, over)

    def listed(self, model: str, entry: dict[str, Any]) -> dict[str, Any] | None:
        """A model's entry in ``/v1/models`` as the faults leave it; ``None`` where one leaves it out."""
        told: dict[str, Any] | None = entry
        for name in FAULTS:
            active = self._active.get(name)
            if told is not None and active is not None and active.fault.befalls(model):
                told = active.fault.listed(told)
        return told

    def describe(self) -> list[dict[str, Any]]:
        """Every fault there is: name, one line of doc, parameters with type and default, and whether it is on."""
        return [describe_fault(name) | self._state(name) for name in FAULTS]

    def _state(self, name: str) -> dict[str, Any]:
        active = self._active.get(name)
        return {"active": active is not None, "values": active.fault.model_dump() if active else None}


def describe_fault(name: str) -> dict[str, Any]:
    """Name, one line of doc and the parameters of a fault, as JSON."""
    kind = FAULTS[name]
    params = {
        key: {
            "type": _type_name(field.annotation),
            "default": None if field.default is PydanticUndefined else field.default,
        }
        for key, field in kind.model_fields.items()
    }
    return {"name": name, "doc": (kind.__doc__ or "").strip(), "params": params}


def parse_fault(name: str, params: dict[str, Any]) -> Fault:
    """The fault ``name`` with ``params``. Raises `FaultError`."""
    kind = _known(name)
    for key in params:
        if key not in kind.model_fields:
            raise FaultError(f"{name} has no parameter {key!r}; did you mean {nearest(key, kind.model_fields)!r}?")
    try:
        return kind.model_validate(params)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FaultError(f"{name}: {where}: {first['msg'].removeprefix('Value error, ')}") from error


def _known(name: str) -> type[Fault]:
    if name not in FAULTS:
        raise FaultError(f"unknown fault {name!r}; did you mean {nearest(name, FAULTS)!r}?")
    return FAULTS[name]


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if annotation in (str, int, float, bool) else str(annotation).replace("typing.", "")
