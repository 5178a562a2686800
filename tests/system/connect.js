// Runs in a page: connects to a server by fetch, lists its tools and calls one, in both eras.
//
// arguments: the URL of the server, headers to send along, and the callback of the driver.

const [url, own, done] = arguments;
const JSON_HEADERS = {
  ...own,
  "Content-Type": "application/json",
  Accept: "application/json, text/event-stream",
};

async function send(method, params, headers = {}) {
  const body = { jsonrpc: "2.0", id: 1, method, params };
  const response = await fetch(url, {
    method: "POST",
    headers: { ...JSON_HEADERS, ...headers },
    body: JSON.stringify(body),
  });
  const answer = await response.json().catch(() => null);
  return {
    status: response.status,
    session: response.headers.get("Mcp-Session-Id"),
    challenge: response.headers.get("WWW-Authenticate"),
    message: answer?.error?.message,
    result: answer?.result,
  };
}

function stateless(method, params) {
  const meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const headers = { "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method };
  if (params.name) headers["Mcp-Name"] = params.name;
  return send(method, { ...params, _meta: meta }, headers);
}

async function sessions() {
  const opened = await send("initialize", {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "page", version: "1" },
  });
  if (!opened.session) return { opened };
  const headers = { "Mcp-Session-Id": opened.session, "MCP-Protocol-Version": "2025-11-25" };
  const listed = await send("tools/list", {}, headers);
  const called = await send("tools/call", { name: "text", arguments: {} }, headers);
  const closed = await fetch(url, { method: "DELETE", headers: { ...own, ...headers } });
  return { opened, listed, called, closed: closed.status };
}

async function all() {
  const listed = await stateless("tools/list", {});
  const called = await stateless("tools/call", { name: "text", arguments: {} });
  return { stateless: { listed, called }, sessions: await sessions() };
}

all().then(done, (error) => done({ blocked: String(error) }));
