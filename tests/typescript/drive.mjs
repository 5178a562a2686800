// Drive the fixture server with official TypeScript clients, and print what each heard as JSON.
//
//     node drive.mjs URL v1-legacy|v2-legacy|v2-auto ...
//
// All clients at the same time: mostly they wait.

const INFO = { name: "drive", version: "1" };
const OPTIONS = { capabilities: { elicitation: {}, sampling: {}, roots: {} } };
const [url, ...kinds] = process.argv.slice(2);

async function makeV1() {
  const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
  const { StreamableHTTPClientTransport } = await import(
    "@modelcontextprotocol/sdk/client/streamableHttp.js"
  );
  const types = await import("@modelcontextprotocol/sdk/types.js");
  const client = new Client(INFO, OPTIONS);
  return {
    client,
    transport: new StreamableHTTPClientTransport(new URL(url)),
    onRequest: {
      elicit: (answer) => client.setRequestHandler(types.ElicitRequestSchema, answer),
      sample: (answer) => client.setRequestHandler(types.CreateMessageRequestSchema, answer),
      roots: (answer) => client.setRequestHandler(types.ListRootsRequestSchema, answer),
    },
    onUpdated: (hear) =>
      client.setNotificationHandler(types.ResourceUpdatedNotificationSchema, hear),
    onLog: (hear) => client.setNotificationHandler(types.LoggingMessageNotificationSchema, hear),
    callTool: (params, options) => client.callTool(params, undefined, options),
  };
}

async function makeV2(mode) {
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const client = new Client(INFO, { ...OPTIONS, versionNegotiation: { mode } });
  return {
    client,
    transport: new StreamableHTTPClientTransport(new URL(url)),
    onRequest: {
      elicit: (answer) => client.setRequestHandler("elicitation/create", answer),
      sample: (answer) => client.setRequestHandler("sampling/createMessage", answer),
      roots: (answer) => client.setRequestHandler("roots/list", answer),
    },
    onUpdated: (hear) => client.setNotificationHandler("notifications/resources/updated", hear),
    onLog: (hear) => client.setNotificationHandler("notifications/message", hear),
    callTool: (params, options) => client.callTool(params, options),
  };
}

async function drive(generation, mode) {
  const stateless = mode === "auto";
  const one = await (generation === "v1" ? makeV1() : makeV2(mode));
  const { client, transport } = one;
  const text = (result) => result.content[0].text;
  const call = async (name, args = {}, options = {}) =>
    one.callTool({ name, arguments: args }, options);

  one.onRequest.elicit(() => ({ action: "accept", content: { name: "Ada" } }));
  one.onRequest.sample(() => ({
    role: "assistant",
    model: "test",
    content: { type: "text", text: "Paris" },
  }));
  one.onRequest.roots(() => ({ roots: [{ uri: "file:///here" }] }));

  const heard = {};
  const updated = new Promise((resolve) => one.onUpdated((message) => resolve(message.params.uri)));
  const logs = [];
  one.onLog((message) => logs.push(message.params.data));

  await client.connect(transport);
  heard.tools = (await client.listTools()).tools.length > 20;
  heard.simple = text(await call("test_simple_text"));
  heard.headers = text(await call("test_custom_headers", { region: "für alle", priority: 7 }));
  heard.failed = (await call("test_error_handling")).isError;

  for (const name of ["test_tool_with_progress", "slow_talk"]) {
    const progress = [];
    await call(name, {}, { onprogress: (update) => progress.push(update.progress) });
    heard[name] = progress.length;
  }
  await call("test_tool_with_logging");
  heard.logs = logs.length;

  heard.elicited = text(await call("test_streaming_elicitation"));
  heard.asked = text(await call("test_input_required_result_elicitation"));
  heard.sampled = text(await call("test_input_required_result_sampling"));
  heard.roots = text(await call("test_input_required_result_list_roots"));
  heard.reconnected = text(await call("test_reconnection"));
  heard.reconnectedSync = text(await call("test_sync_reconnection"));

  heard.resources = (await client.listResources()).resources.map((resource) => resource.uri);
  heard.templates = (await client.listResourceTemplates()).resourceTemplates.length;
  heard.read = (await client.readResource({ uri: "test://template/7/data" })).contents[0].text;
  heard.blob = (await client.readResource({ uri: "test://static-binary" })).contents[0].mimeType;

  heard.prompts = (await client.listPrompts()).prompts.length > 4;
  const prompt = await client.getPrompt({
    name: "test_prompt_with_arguments",
    arguments: { arg1: "a", arg2: "b" },
  });
  heard.prompt = prompt.messages[0].content.text;
  const completed = await client.complete({
    ref: { type: "ref/prompt", name: "test_prompt_with_arguments" },
    argument: { name: "arg1", value: "pari" },
  });
  heard.completed = completed.completion.values;

  const uri = "test://watched-resource";
  let subscription;
  if (stateless) {
    subscription = await client.listen({ resourceSubscriptions: [uri] });
  } else {
    await client.subscribeResource({ uri });
  }
  await call("test_trigger_resource_update", { uri });
  heard.updated = await updated;
  await subscription?.close();

  const abort = new AbortController();
  const long = call("slow_compute", { seconds: 30 }, { signal: abort.signal });
  setTimeout(() => abort.abort(), 200);
  heard.aborted = await long.then(() => "answered", () => "aborted");
  heard.after = text(await call("test_simple_text"));

  if (!stateless) {
    await transport.terminateSession();
  }
  await client.close();
  return heard;
}

const heard = await Promise.all(
  kinds.map(async (kind) => [
    kind,
    await drive(...kind.split("-")).catch((error) => String(error.stack)),
  ]),
);
console.log(JSON.stringify(Object.fromEntries(heard)));
