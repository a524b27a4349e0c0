"""The Anthropic Messages API. https://docs.claude.com/en/api/messages"""

from gateway.dialects.messages.request import MESSAGES, Messages, MessagesRequest

__all__ = ["MESSAGES", "Messages", "MessagesRequest"]
