"""OpenAI's Responses API. https://developers.openai.com/api/reference"""

from gateway.dialects.responses.request import RESPONSES, ResponsesRequest

__all__ = ["RESPONSES", "ResponsesRequest"]
