// Drive a server with an official TypeScript client, and print what it saw as JSON.
//
//     node typescript.mjs PACKAGE MODE URL KEYED KEY
//
// PACKAGE: the name in package.json of the SDK (sdk-1.x) or of the newer client (client-2).

const [name, mode, url, keyed, key] = process.argv.slice(2);
const split = name.startsWith("client-");
const INFO = { name: "clients", version: "1" };
const CAPABILITIES = { elicitation: {}, sampling: {}, roots: {} };
const SECONDS = 20;
const RESULTS = [
  ...["text", "number", "person", "people", "nobody", "nothing"],
  ...["image", "audio", "link", "embedded", "data"],
];
const FAILURES = {
  refuse: ["refuse", {}],
  fail: ["fail", {}],
  "wrong arguments": ["add", { a: "one" }],
  "unknown tool": ["no_such_tool", {}],
};

const seen = {};
const logs = [];

function wordsOf(error) {
  return `${error?.constructor?.name}: ${error?.message ?? error}`;
}

async function see(what, task) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("took too long")), SECONDS * 1000);
  });
  try {
    seen[what] = (await Promise.race([task(), late])) ?? null;
  } catch (error) {
    seen[what] = { raised: wordsOf(error) };
  } finally {
    clearTimeout(timer);
  }
}

const size = (data) => Buffer.from(data, "base64").length;
const contentsOf = (one) =>
  "text" in one ? `${one.uri} ${one.text}` : `${one.uri} ${size(one.blob)} bytes`;

function lineOf(block) {
  switch (block.type) {
    case "text":
      return `text ${block.text}`;
    case "image":
    case "audio":
      return `${block.type} ${block.mimeType} ${size(block.data)} bytes`;
    case "resource_link":
      return `link ${block.uri}`;
    default:
      return `resource ${contentsOf(block.resource)}`;
  }
}

function resultOf(result) {
  const one = { content: result.content.map(lineOf) };
  if (result.structuredContent !== undefined) one.structured = result.structuredContent;
  if (result.isError) one.error = true;
  return one;
}

async function open(where, headers) {
  const options = { requestInit: { headers } };
  let client, transport;
  if (split) {
    const all = await import(name);
    client = new all.Client(INFO, { capabilities: CAPABILITIES, versionNegotiation: { mode } });
    transport = new all.StreamableHTTPClientTransport(new URL(where), options);
    client.setRequestHandler("elicitation/create", elicited);
    client.setRequestHandler("sampling/createMessage", sampled);
    client.setRequestHandler("roots/list", rooted);
    client.setNotificationHandler("notifications/message", heard);
  } else {
    const { Client } = await import(`${name}/client/index.js`);
    const http = await import(`${name}/client/streamableHttp.js`);
    const types = await import(`${name}/types.js`);
    const capabilities = { ...CAPABILITIES };
    if (!types.ElicitRequestSchema) delete capabilities.elicitation;
    client = new Client(INFO, { capabilities });
    transport = new http.StreamableHTTPClientTransport(new URL(where), options);
    if (types.ElicitRequestSchema) client.setRequestHandler(types.ElicitRequestSchema, elicited);
    client.setRequestHandler(types.CreateMessageRequestSchema, sampled);
    client.setRequestHandler(types.ListRootsRequestSchema, rooted);
    client.setNotificationHandler(types.LoggingMessageNotificationSchema, heard);
  }
  // The revision that was agreed upon: the transport is told after the handshake.
  await client.connect(transport);
  return { client, transport };
}

const elicited = () => ({ action: "accept", content: { colour: "blue" } });
const sampled = () => ({
  role: "assistant",
  model: "test",
  content: { type: "text", text: "Paris" },
});
const rooted = () => ({ roots: [{ uri: "file:///here" }] });
const heard = (message) => void logs.push(message.params.data);

const call = (client, tool, args, options) => {
  const params = { name: tool, arguments: args };
  if (!split) return client.callTool(params, undefined, options);
  return client.callTool(params, options);
};

async function once(where, headers) {
  const { client } = await open(where, headers);
  try {
    return resultOf(await call(client, "text", {}));
  } finally {
    await client.close();
  }
}

async function seeAll({ client, transport }) {
  if (transport.protocolVersion) seen.revision = transport.protocolVersion;
  await see("tools", async () => (await client.listTools()).tools.map((one) => one.name).sort());
  for (const tool of RESULTS) await see(tool, async () => resultOf(await call(client, tool, {})));
  for (const [what, [tool, args]] of Object.entries(FAILURES)) {
    await see(what, async () => resultOf(await call(client, tool, args)));
  }
  await see("progress", async () => {
    const progress = [];
    if (mode === "legacy") await client.setLoggingLevel("info");
    await call(client, "report", {}, { onprogress: (update) => progress.push(update.progress) });
    return progress;
  });
  seen.logs = logs;
  for (const tool of ["ask", "think", "look"]) {
    await see(tool, async () => resultOf(await call(client, tool, {})));
  }
  const read = async (uri) => (await client.readResource({ uri })).contents.map(contentsOf);
  await see("resources", async () =>
    (await client.listResources()).resources.map((one) => one.uri),
  );
  await see("templates", async () =>
    (await client.listResourceTemplates()).resourceTemplates.map((one) => one.uriTemplate),
  );
  await see("read", () => read("notes://today"));
  await see("read template", () => read("notes://by-name/Ada"));
  await see("read unknown", () => read("notes://nowhere"));
  await see("prompts", async () => (await client.listPrompts()).prompts.map((one) => one.name));
  await see("prompt", async () => {
    const got = await client.getPrompt({ name: "greet", arguments: { name: "Ada" } });
    return got.messages.map((one) => `${one.role} ${lineOf(one.content)}`);
  });
  await see("complete", async () => {
    const found = await client.complete({
      ref: { type: "ref/prompt", name: "greet" },
      argument: { name: "name", value: "Ad" },
    });
    return found.completion.values;
  });
  await client.close();
}

try {
  await seeAll(await open(url, {}));
} catch (error) {
  seen.connect = { raised: wordsOf(error) };
}
await see("trailing slash", () => once(`${url}/`, {}));
await see("no key", () => once(keyed, {}));
await see("wrong key", () => once(keyed, { "X-API-Key": "no-key-at-all-but-long" }));
await see("key", () => once(keyed, { "X-API-Key": key }));
process.stdout.write(JSON.stringify(seen), () => process.exit(0));
