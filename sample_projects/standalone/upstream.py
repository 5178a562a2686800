"""Two stand-ins for language models, as an upstream of the sample: no key, no download."""

from mcp_mount import CompletionsRouter, MCPServer
from mcp_mount.models import stand_in

models = CompletionsRouter()
models.add_model("north", stand_in)
models.add_model("south", stand_in)

app = MCPServer("upstream", open=True)
app.include_router(models)
