"""The lab's HTTP gateway: OpenAI's and Anthropic's APIs over one set of engines, and the switches of its faults.

The path of a request: body -> call (a vendor's wire format) -> plan (the fault board) -> engine -> reply, changed by
faults -> body. An answer is generated completely before it is sent, also in a stream: this takes milliseconds, and
every fault then has the same effect on both.
"""

import asyncio
import dataclasses
import json
import math
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from monitor.lab.anthropic_wire import AnthropicWire
from monitor.lab.board import FaultBoard, FaultError, Plan, describe_fault
from monitor.lab.calls import ApiError, Call, Reply
from monitor.lab.engine import EngineError, Engines
from monitor.lab.limits import Meter
from monitor.lab.openai_wire import OpenAIWire, unknown_model
from monitor.lab.served import SERVED, Catalogue

MAX_BODY_BYTES: Final = 1 << 20
_THREADS: Final = 32

Wire = OpenAIWire | AnthropicWire
OPENAI: Final = OpenAIWire()
ANTHROPIC: Final = AnthropicWire()


class Gateway:
    """The served state: engines, faults, allowance. One per process; `app` makes it an ASGI application.

    ``drop`` closes the client's connection, given its address; only the HTTP server below can do that.
    """

    def __init__(self, catalogue: Catalogue, drop: Callable[[tuple[str, int]], None]) -> None:
        self.catalogue = catalogue
        self.board = FaultBoard()
        self._engines = Engines(catalogue.root)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="lab-engine")
        self._meter = Meter()
        self._drop = drop

    def app(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/messages", self._messages, methods=["POST"]),
            Route("/v1/messages/count_tokens", self._count_tokens, methods=["POST"]),
            Route("/v1/models", self._models),
            Route("/v1/models/{name}", self._model),
            Route("/healthz", self._healthz),
            Route("/lab/faults", self._faults, methods=["GET", "DELETE"]),
            Route("/lab/faults/{name}", self._fault, methods=["PUT", "DELETE"]),
        ]
        handlers = {HTTPException: self._on_http_error, ApiError: self._on_api_error}
        return Starlette(routes=routes, lifespan=self._lifespan, exception_handlers=handlers)  # type: ignore[arg-type]

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(self._pool.shutdown)
        self._engines.close()

    async def _chat(self, request: Request) -> Response:
        return await self._answer(request, OPENAI)

    async def _messages(self, request: Request) -> Response:
        return await self._answer(request, ANTHROPIC)

    async def _answer(self, request: Request, wire: Wire) -> Response:
        call = _understood(await _body(request), lambda body: wire.parse(body, request.headers))
        call = dataclasses.replace(call, connection=_connection(request))
        plan = self.board.plan(call)
        await self._suffer(plan, request)
        reply = plan.tell(await self._run(self._draw, plan.call))
        return self._respond(wire, plan, reply)

    async def _suffer(self, plan: Plan, request: Request) -> None:
        """Let the plan's outage happen; returns if there is still an answer to give."""
        outage = plan.outage
        if outage is None or outage.kind == "garble":
            return
        if outage.kind == "status":
            raise _status_error(outage.status, outage.seconds)
        if outage.kind == "drop":
            client = request.client
            if client is not None:
                self._drop((client.host, client.port))
            raise ApiError(503, "the connection was dropped", kind="server_error")  # nobody hears it
        deadline = time.monotonic() + outage.seconds
        while plan.over is not None and not plan.over.is_set() and (left := deadline - time.monotonic()) > 0:
            if await request.is_disconnected():
                raise ApiError(499, "the client has gone")
            with suppress(TimeoutError):
                await asyncio.wait_for(plan.over.wait(), min(left, 0.1))

    def _draw(self, call: Call) -> Reply:
        """Draw the answer; blocks. A stretched one is drawn on from where the model had ended."""
        engine = self._engines.get(call.weights)
        prompt = engine.prompt(call.messages)
        answer = engine.generate(prompt, call.sampling)
        extra = math.ceil(answer.completion_tokens * (call.stretch - 1))
        if call.sampling.max_tokens is not None:
            extra = min(extra, call.sampling.max_tokens - answer.completion_tokens)
        if answer.finish == "stop" and extra > 0:
            more = dataclasses.replace(call.sampling, max_tokens=extra, ban_end=True, schema=None)
            rest = engine.generate(prompt + answer.text, more)
            answer = dataclasses.replace(
                answer,
                text=answer.text + rest.text,
                completion_tokens=answer.completion_tokens + rest.completion_tokens,
                tokens=None if answer.tokens is None else answer.tokens + (rest.tokens or ()),
            )
        return Reply(call.model, self.catalogue.fingerprint(call.model), **vars(answer))

    async def _run(self, work: Callable[..., Any], *args: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)
        except EngineError as error:
            if error.too_long:
                raise ApiError(400, str(error), param="messages", code="context_length_exceeded") from error
            raise ApiError(400, str(error)) from error

    def _respond(self, wire: Wire, plan: Plan, reply: Reply) -> Response:
        request_id = _request_id(wire)
        limits = self._meter.count(time.monotonic(), reply.prompt_tokens + reply.completion_tokens)
        headers = wire.headers(limits) | {wire.request_id_header: request_id}
        garbled = plan.outage is not None and plan.outage.kind == "garble"
        if plan.call.stream:
            events = wire.events(plan.call, reply, request_id)
            stream = _garbled_stream(events) if garbled else events
            return StreamingResponse(stream, media_type="text/event-stream", headers=headers)
        body = json.dumps(wire.render(plan.call, reply, request_id), separators=(",", ":")).encode()
        return Response(body[: len(body) // 2] if garbled else body, media_type="application/json", headers=headers)

    async def _count_tokens(self, request: Request) -> Response:
        call = _understood(await _body(request), ANTHROPIC.parse_count)

        def count() -> int:
            engine = self._engines.get(call.weights)
            return engine.count(engine.prompt(call.messages))

        headers = {ANTHROPIC.request_id_header: _request_id(ANTHROPIC)}
        return JSONResponse({"input_tokens": await self._run(count)}, headers=headers)

    async def _models(self, request: Request) -> Response:
        wire = _wire_of(request)
        entries = [self._listed(wire, name) for name in SERVED]
        return JSONResponse(wire.models([entry for entry in entries if entry is not None]))

    def _listed(self, wire: Wire, name: str) -> dict[str, Any] | None:
        return self.board.listed(name, wire.model(self.catalogue, SERVED[name]))

    async def _model(self, request: Request) -> Response:
        name = request.path_params["name"]
        wire = _wire_of(request)
        entry = self._listed(wire, name) if name in SERVED else None
        if entry is None:
            raise ApiError(404, f"model: {name}") if wire is ANTHROPIC else unknown_model(name)
        return JSONResponse(entry)

    async def _healthz(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _faults(self, request: Request) -> Response:
        if request.method == "DELETE":
            return JSONResponse({"off": self.board.switch_off()})
        return JSONResponse({"faults": self.board.describe()})

    async def _fault(self, request: Request) -> Response:
        name = request.path_params["name"]
        try:
            if request.method == "DELETE":
                return JSONResponse({"off": self.board.switch_off(name)})
            fault = self.board.switch_on(name, await _body(request, empty={}))
        except (FaultError, ApiError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse(describe_fault(name) | {"active": True, "values": fault.model_dump()})

    async def _on_api_error(self, request: Request, error: ApiError) -> Response:
        wire = _wire_of(request)
        request_id = _request_id(wire)
        headers = error.headers | {wire.request_id_header: request_id}
        return JSONResponse(wire.error(error, request_id), status_code=error.status, headers=headers)

    async def _on_http_error(self, request: Request, error: HTTPException) -> Response:
        told = ApiError(error.status_code, f"{error.detail}: {request.method} {request.url.path}")
        return await self._on_api_error(request, told)


def _wire_of(request: Request) -> Wire:
    """Both vendors have ``/v1/models``; Anthropic's clients say which version of the API they mean."""
    anthropic = request.url.path.startswith("/v1/messages") or "anthropic-version" in request.headers
    return ANTHROPIC if anthropic else OPENAI


def _request_id(wire: Wire) -> str:
    return f"{wire.request_id_prefix}{uuid.uuid4().hex}"


def _connection(request: Request) -> str:
    return f"{request.client.host}:{request.client.port}" if request.client else ""


async def _body(request: Request, empty: dict[str, Any] | None = None) -> dict[str, Any]:
    """The request's JSON object. Raises `ApiError`: 400 for anything else, 413 past `MAX_BODY_BYTES`."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise ApiError(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    if not raw and empty is not None:
        return empty
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise ApiError(400, "the body is not a JSON object")
    return body


def _understood(body: dict[str, Any], parse: Callable[[dict[str, Any]], Call]) -> Call:
    try:
        return parse(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ApiError(400, f"{where}: {first['msg']}", param=where or None) from error


def _status_error(status: int, retry_after: float) -> ApiError:
    if status == 429:
        seconds = f"{retry_after:g}"
        return ApiError(
            429,
            f"Rate limit reached, try again in {seconds}s",
            kind="requests",
            code="rate_limit_exceeded",
            headers={"retry-after": seconds},
        )
    return ApiError(status, "The server had an error while processing your request", kind="server_error")


def _garbled_stream(events: Iterator[bytes]) -> Iterator[bytes]:
    """The first events, and then half of one."""
    told = list(events)
    yield from told[: len(told) // 2]
    yield told[len(told) // 2][:20]
