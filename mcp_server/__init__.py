"""The MCP server at `/mcp`: autovibe as tools and resources, for agents.

It asks the REST API, in this process and with the caller's own token, so rights, limits, records and refusals are the
API's. It knows no Django and no other room; the SDK is loaded when the first agent comes.
"""
