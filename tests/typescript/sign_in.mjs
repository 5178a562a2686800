// Sign in to a server with an official TypeScript client, and print what it heard as JSON.
//
//     node sign_in.mjs URL USER v1|v2
//
// Its browser is here, too: it keeps cookies, logs in and consents.

const [url, user, generation] = process.argv.slice(2);
const REDIRECT = "http://localhost:3030/callback";

const cookies = new Map();

async function send(target, options = {}) {
  const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
  const headers = { cookie, origin: new URL(target).origin, referer: target, ...options.headers };
  const answer = await fetch(target, { redirect: "manual", ...options, headers });
  for (const line of answer.headers.getSetCookie()) {
    const [name, ...value] = line.split(";")[0].split("=");
    cookies.set(name, value.join("="));
  }
  return answer;
}

const unescaped = (text) =>
  text.replaceAll("&amp;", "&").replaceAll("&#x27;", "'").replaceAll("&quot;", '"');

function found(text, expression) {
  const match = text.match(expression);
  if (match === null) throw new Error(`no ${expression} in ${text}`);
  return unescaped(match[1]);
}

async function consent(target) {
  let answer = await send(target);
  while (answer.status >= 300 && answer.status < 400) {
    target = new URL(answer.headers.get("location"), target).href;
    answer = await send(target);
    const text = await answer.clone().text();
    if (text.includes("<h1>Log in</h1>")) {
      const body = new URLSearchParams({ username: user, password: "secret" });
      const token = text.match(/name="csrfmiddlewaretoken" value="([^"]+)"/);
      if (token) body.set("csrfmiddlewaretoken", token[1]);
      answer = await send(target, { method: "POST", body });
    }
  }
  const page = await answer.text();
  const body = new URLSearchParams({
    form: found(page, /name="form" value="([^"]+)"/),
    decision: "allow",
  });
  const action = new URL(found(page, /<form method="post" action="([^"]+)"/), target).href;
  const done = await (await send(action, { method: "POST", body })).text();
  return new URL(found(done, /<meta http-equiv="refresh" content="0;url=([^"]+)">/)).searchParams;
}

const heard = { asked: 0, forgotten: [] };
let information, tokens, verifier, discovery, code;
const provider = {
  redirectUrl: REDIRECT,
  clientMetadata: {
    client_name: "TypeScript",
    redirect_uris: [REDIRECT],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
  state: () => "a+b/c==",
  clientInformation: () => information,
  saveClientInformation: (one) => (information = one),
  tokens: () => tokens,
  saveTokens: (one) => (tokens = one),
  saveCodeVerifier: (one) => (verifier = one),
  codeVerifier: () => verifier,
  saveDiscoveryState: (one) => (discovery = one),
  discoveryState: () => discovery,
  invalidateCredentials: (what) => heard.forgotten.push(what),
  redirectToAuthorization: async (target) => {
    heard.asked += 1;
    heard.scope = target.searchParams.get("scope");
    code = await consent(target.href);
  },
};

async function make() {
  if (generation === "v1") {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await import(
      "@modelcontextprotocol/sdk/client/streamableHttp.js"
    );
    return { Client, StreamableHTTPClientTransport };
  }
  return import("@modelcontextprotocol/client");
}

const { Client, StreamableHTTPClientTransport } = await make();

async function connected() {
  const client = new Client({ name: "sign_in", version: "1" });
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
  await client.connect(transport);
  return client;
}

async function whoami() {
  const client = await connected();
  const result = await client.callTool({ name: "whoami", arguments: {} });
  await client.close();
  return result.content[0].text;
}

try {
  await connected();
} catch (error) {
  heard.refused = error.name === "Error" ? error.constructor.name : error.name;
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
  // Version 1 takes the code alone, version 2 all that came back.
  await transport.finishAuth(generation === "v1" ? code.get("code") : code);
}
heard.state = code.get("state");
heard.first = await whoami();
// A token that is not good any more is replaced without asking.
const before = tokens.refresh_token;
tokens = { ...tokens, access_token: "expired" };
heard.second = await whoami();
heard.rotated = tokens.refresh_token !== before;
console.log(JSON.stringify(heard));
