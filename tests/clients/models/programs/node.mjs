// OpenAI's client for Node, and the AI SDK.
//
//     node node.mjs CLIENT URL
//
// CLIENT: "openai", "ai-sdk" (@ai-sdk/openai, which asks /v1/responses) or "compatible".

const [name, baseURL] = process.argv.slice(2);
const SECONDS = 30;
const seen = {};
const hello = [{ role: "user", content: "Hello world" }];
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

async function see(what, task) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("took too long")), SECONDS * 1000);
  });
  try {
    seen[what] = (await Promise.race([task(), late])) ?? null;
  } catch (error) {
    seen[what] = { raised: `${error?.constructor?.name}: ${error?.message ?? error}` };
  } finally {
    clearTimeout(timer);
  }
}

async function openai() {
  const { default: OpenAI, toFile } = await import("openai");
  const { zodResponseFormat } = await import("openai/helpers/zod");
  const { z } = await import("zod");
  const client = new OpenAI({ baseURL, apiKey: "none", timeout: 20_000 });
  const said = (model, content) =>
    client.chat.completions
      .create({ model, messages: [{ role: "user", content }] })
      .then((answer) => answer.choices[0].message.content);
  const tools = [{ type: "function", function: { name: "weather", parameters } }];

  await see("chat", async () => {
    const answer = await client.chat.completions.create({ model: "echo", messages: hello });
    return answer.choices[0].message.content;
  });
  await see("stream", async () => {
    let text = "";
    const asked = { model: "echo", messages: hello, stream: true };
    for await (const chunk of await client.chat.completions.create(asked))
      text += chunk.choices[0].delta.content ?? "";
    return text;
  });
  await see("usage", async () => {
    const asked = { model: "echo", messages: hello };
    const whole = await client.chat.completions.create(asked);
    const options = { stream: true, stream_options: { include_usage: true } };
    const counts = [];
    for await (const chunk of await client.chat.completions.create({ ...asked, ...options }))
      if (chunk.usage) counts.push(chunk.usage.total_tokens);
    return [whole.usage.total_tokens, counts];
  });
  await see("stream helper", async () => {
    const stream = client.chat.completions.stream({ model: "echo", messages: hello });
    return stream.finalContent();
  });
  await see("schema", async () => {
    const Person = z.object({ name: z.string(), age: z.number() });
    const answer = await client.chat.completions.parse({
      model: "typed",
      messages: hello,
      response_format: zodResponseFormat(Person, "person"),
    });
    return answer.choices[0].message.parsed.age;
  });
  await see("parallel tools", async () => {
    const runner = client.chat.completions.runTools({
      model: "caller",
      messages: [{ role: "user", content: "Paris Rome" }],
      tools: [
        {
          type: "function",
          function: {
            name: "weather",
            parameters,
            parse: JSON.parse,
            function: ({ city }) => `rain in ${city}`,
          },
        },
      ],
    });
    return runner.finalContent();
  });
  await see("embeddings", async () => {
    const answer = await client.embeddings.create({ model: "vectors", input: ["abc", "a"] });
    return answer.data.map((one) => one.embedding);
  });
  await see("responses", async () => {
    const answer = await client.responses.create({ model: "echo", input: "Hello world" });
    return answer.output_text;
  });
  await see("responses stream", async () => {
    const stream = client.responses.stream({ model: "thinker", input: "Hello" });
    return (await stream.finalResponse()).output_text;
  });
  await see("images", async () => {
    const answer = await client.images.generate({ prompt: "A cat", size: "256x256" });
    return answer.data[0].b64_json.slice(0, 5);
  });
  await see("image edits", async () => {
    const drawn = await client.images.generate({ prompt: "A cat", size: "64x64" });
    const picture = Buffer.from(drawn.data[0].b64_json, "base64");
    const image = await toFile(picture, "a.png", { type: "image/png" });
    const answer = await client.images.edit({ prompt: "A hat", image });
    return answer.data[0].b64_json.slice(0, 5);
  });
  await see("image stream", async () => {
    const stream = await client.images.generate({ prompt: "A cat", stream: true });
    const types = [];
    for await (const event of stream) types.push(event.type);
    return types;
  });
  await see("retry", () => said("busy", `${Math.random()}`));
  await see("errors", async () => {
    try {
      await said("nobody", "x");
    } catch (error) {
      return [error.constructor.name, error.type];
    }
  });
  await see("leaving", async () => {
    const messages = [{ role: "user", content: "x" }];
    for (const model of ["endless", "endless-plain"]) {
      const stream = await client.chat.completions.create({ model, messages, stream: true });
      for await (const _ of stream) break;
    }
    return until("0", () => said("state", "open"));
  });
}

async function until(wanted, ask) {
  const deadline = Date.now() + 2000;
  let found;
  while ((found = await ask()) !== wanted && Date.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 50));
  return found;
}

async function aiSDK(model, embedding, image) {
  const { generateText, streamText, embedMany, generateImage, Output, tool, stepCountIs } =
    await import("ai");
  const { z } = await import("zod");

  await see("chat", async () => {
    return (await generateText({ model: model("echo"), prompt: "Hello world" })).text;
  });
  await see("stream", async () => {
    const answer = streamText({ model: model("echo"), prompt: "Hello world" });
    let text = "";
    for await (const piece of answer.textStream) text += piece;
    return text;
  });
  await see("stream helper", async () => {
    const schema = z.object({ name: z.string(), age: z.number() });
    const output = Output.object({ schema });
    const answer = streamText({ model: model("typed"), prompt: "Who?", output });
    let last;
    for await (const partial of answer.partialOutputStream) last = partial;
    return last.age;
  });
  await see("usage", async () => {
    const asked = { model: model("echo"), prompt: "Hello world" };
    const answer = streamText(asked);
    await answer.consumeStream();
    const usages = [(await generateText(asked)).usage, await answer.usage];
    return usages.map((one) => one.totalTokens);
  });
  await see("reasoning", async () => {
    const answer = await generateText({ model: model("thinker"), prompt: "Yes" });
    return [answer.reasoningText, answer.text];
  });
  await see("schema", async () => {
    const schema = z.object({ name: z.string(), age: z.number() });
    const answer = await generateText({
      model: model("typed"),
      prompt: "Who?",
      output: Output.object({ schema }),
    });
    return answer.output.age;
  });
  await see("parallel tools", async () => {
    const weather = tool({
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => `rain in ${city}`,
    });
    const answer = streamText({
      model: model("caller"),
      prompt: "Paris Rome",
      tools: { weather },
      stopWhen: stepCountIs(3),
    });
    return await answer.text;
  });
  await see("embeddings", async () => {
    const answer = await embedMany({ model: embedding("vectors"), values: ["abc", "a"] });
    return answer.embeddings;
  });
  await see("images", async () => {
    const answer = await generateImage({ model: image("stand-in"), prompt: "A cat", n: 2 });
    return [answer.images.length, answer.images[0].base64.slice(0, 5)];
  });
  await see("image edits", async () => {
    const drawn = await generateImage({ model: image("stand-in"), prompt: "A cat" });
    const prompt = { text: "A hat", images: [drawn.image.uint8Array] };
    return (await generateImage({ model: image("stand-in"), prompt })).image.base64.slice(0, 5);
  });
  await see("retry", async () => {
    return (await generateText({ model: model("busy"), prompt: `${Math.random()}` })).text;
  });
  await see("errors", async () => {
    try {
      await generateText({ model: model("nobody"), prompt: "x" });
    } catch (error) {
      return [error.name, error.statusCode];
    }
  });
  await see("leaving", async () => {
    for (const name of ["endless", "endless-plain"]) {
      const leaving = new AbortController();
      const abortSignal = leaving.signal;
      const answer = streamText({ model: model(name), prompt: "x", abortSignal });
      for await (const _ of answer.textStream) {
        leaving.abort();
        break;
      }
    }
    const state = async () => (await generateText({ model: model("state"), prompt: "open" })).text;
    return until("0", state);
  });
}

if (name === "openai") {
  await openai();
} else if (name === "ai-sdk") {
  const { createOpenAI } = await import("@ai-sdk/openai");
  const own = createOpenAI({ baseURL, apiKey: "none" });
  await aiSDK((id) => own(id), (id) => own.embedding(id), (id) => own.image(id));
  seen.responses = seen.chat;
  // By itself it asks /v1/responses.
  const { generateText } = await import("ai");
  await see("chat", async () => {
    return (await generateText({ model: own.chat("echo"), prompt: "Hello world" })).text;
  });
} else {
  const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
  const own = createOpenAICompatible({
    name: "own",
    baseURL,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
  await aiSDK((id) => own(id), (id) => own.textEmbeddingModel(id), (id) => own.imageModel(id));
}
console.log(JSON.stringify(seen));
process.exit(0);
