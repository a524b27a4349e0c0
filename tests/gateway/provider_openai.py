"""What a provider of OpenAI's APIs answers in tests."""

import json
from typing import Any

from aiohttp import web

TEXT = ["Do or do not. ", "There is no try: “", 'é\n\ndata: {"usage": {}}', "”"]

CHAT_USAGE = {
    "prompt_tokens": 1112,
    "completion_tokens": 40,
    "total_tokens": 1152,
    "prompt_tokens_details": {"cached_tokens": 1000, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 12},
}
CHAT_WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "".join(TEXT)}, "finish_reason": "stop"}
    ],
    "usage": CHAT_USAGE,
}
RESPONSE_USAGE = {
    "input_tokens": 1112,
    "input_tokens_details": {"cached_tokens": 1000},
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 12},
    "total_tokens": 1152,
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt-5",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "".join(TEXT), "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": RESPONSE_USAGE,
}


def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
    said = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", **more}
    return f"data: {json.dumps({**said, 'choices': choices}, ensure_ascii=False)}\n\n".encode()


def response_event(name: str, **data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data}, ensure_ascii=False)}\n\n".encode()


CHAT_USAGE_EVENT = chunk([], usage=CHAT_USAGE)
CHAT_EVENTS = [
    chunk([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}], usage=None),
    *(chunk([{"index": 0, "delta": {"content": text}, "finish_reason": None}], usage=None) for text in TEXT),
    chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}], usage=None),
    CHAT_USAGE_EVENT,
    b"data: [DONE]\n\n",
]
CHAT_STREAM = b"".join(CHAT_EVENTS)
RESPONSE_EVENTS = [
    response_event(
        "response.created", response={**RESPONSE, "status": "in_progress", "output": [], "usage": None}
    ),
    *(
        response_event(
            "response.output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta=text
        )
        for text in TEXT
    ),
    response_event("response.completed", response=RESPONSE),
]
RESPONSE_STREAM = b"".join(RESPONSE_EVENTS)
MODELS = {"object": "list", "data": [{"id": "gpt-4o", "object": "model", "created": 1, "owned_by": "openai"}]}


async def answer(request: web.Request) -> web.StreamResponse | None:
    """As OpenAI does, without figures in a stream of Chat Completions unless they are asked for; None: not its path."""
    if request.path not in ("/v1/chat/completions", "/v1/responses"):
        return None
    asked = json.loads(await request.read())
    chats = request.path == "/v1/chat/completions"
    if not asked.get("stream"):
        return web.json_response(CHAT_WHOLE if chats else RESPONSE, headers={"x-request-id": "req_openai"})
    headers = {"content-type": "text/event-stream; charset=utf-8", "x-request-id": "req_openai"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    figures = (asked.get("stream_options") or {}).get("include_usage")
    for event in CHAT_EVENTS if chats else RESPONSE_EVENTS:
        if figures or event != CHAT_USAGE_EVENT:
            await response.write(event)
    return response
