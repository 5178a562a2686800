"""The names of OpenTelemetry's semantic conventions for MCP and generative AI, in one table.

The conventions are in development, and move: whatever has a name of theirs takes it from here. They
are those of the repository semantic-conventions-genai, of November 2026.
"""

from __future__ import annotations

from typing import Final

# Of requests and errors
ERROR_TYPE: Final = "error.type"
RPC_STATUS: Final = "rpc.response.status_code"
RPC_ID: Final = "jsonrpc.request.id"
CLIENT_ADDRESS: Final = "client.address"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
TRANSPORT: Final = "network.transport"
PROTOCOL: Final = "network.protocol.name"

# Of MCP
MCP_METHOD: Final = "mcp.method.name"
MCP_REVISION: Final = "mcp.protocol.version"
MCP_RESOURCE: Final = "mcp.resource.uri"
MCP_SESSION: Final = "mcp.session.id"
MCP_DURATION: Final = "mcp.server.operation.duration"
MCP_SECONDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)

# Of tools and prompts
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
PROMPT_NAME: Final = "gen_ai.prompt.name"

# Of operations of models: the values of `OPERATION`
OPERATION: Final = "gen_ai.operation.name"
CHAT: Final = "chat"
EMBEDDINGS: Final = "embeddings"
IMAGE: Final = "generate_content"
"""The conventions have no name for pictures alone: this is theirs for whatever is no text only."""
EXECUTE_TOOL: Final = "execute_tool"

# Of what is asked
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
STREAM: Final = "gen_ai.request.stream"
CHOICES: Final = "gen_ai.request.choice.count"
DIMENSIONS: Final = "gen_ai.embeddings.dimension.count"
OUTPUT_TYPE: Final = "gen_ai.output.type"
OUTPUT_TYPES: Final = {
    "text": "text",
    "json_object": "json",
    "json_schema": "json",
    "image": "image",
}
"""The values of `OUTPUT_TYPE`, by OpenAI's `response_format`."""
REQUEST_OPTIONS: Final = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "stop": "gen_ai.request.stop_sequences",
    "seed": "gen_ai.request.seed",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}
"""The attributes of options of a request, by OpenAI's names."""

# Of what is answered
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
COST: Final = "operation.cost"
"""No attribute of the conventions: it is what Logfire shows."""

# Of what was said, where that is to be seen
INSTRUCTIONS: Final = "gen_ai.system_instructions"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"

# Of metrics
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105
DURATION: Final = "gen_ai.client.operation.duration"
TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105
TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
SECONDS: Final = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64),
    *(1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
TOKENS: Final = tuple(4**power for power in range(14))
