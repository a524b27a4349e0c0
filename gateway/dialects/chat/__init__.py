"""OpenAI's Chat Completions API, which most local servers speak as well. https://developers.openai.com/api/reference"""

from gateway.dialects.chat.request import CHAT, ChatRequest

__all__ = ["CHAT", "ChatRequest"]
