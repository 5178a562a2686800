// Call a tool with each of the providers for machines of an official TypeScript client, and print
// what each heard as JSON.
//
//     node machines.mjs v1|v2 < {"url", "id", "secret", "key", "provider"}

import { readFileSync } from "node:fs";

const generation = process.argv[2];
const given = JSON.parse(readFileSync(0, "utf8"));
const expectedIssuer = new URL(given.url).origin;

async function make() {
  if (generation === "v2") return import("@modelcontextprotocol/client");
  return {
    ...(await import("@modelcontextprotocol/sdk/client/index.js")),
    ...(await import("@modelcontextprotocol/sdk/client/streamableHttp.js")),
    ...(await import("@modelcontextprotocol/sdk/client/auth-extensions.js")),
  };
}

const sdk = await make();

async function whoami(authProvider) {
  const client = new sdk.Client({ name: "machines", version: "1" });
  const transport = new sdk.StreamableHTTPClientTransport(new URL(given.url), { authProvider });
  await client.connect(transport);
  const result = await client.callTool({ name: "whoami", arguments: {} });
  await client.close();
  return result.content[0].text;
}

const heard = {
  secret: await whoami(
    new sdk.ClientCredentialsProvider({
      clientId: given.id,
      clientSecret: given.secret,
      scope: "orders:read",
      expectedIssuer,
    }),
  ),
  key: await whoami(
    new sdk.PrivateKeyJwtProvider({
      clientId: "signer",
      privateKey: given.key,
      algorithm: "RS256",
      scope: "orders:read",
      expectedIssuer,
    }),
  ),
};
if (sdk.CrossAppAccessProvider !== undefined) {
  // Version 1 has none.
  heard.person = await whoami(
    new sdk.CrossAppAccessProvider({
      clientId: "assistant",
      clientSecret: given.secret,
      expectedIssuer,
      assertion: async ({ authorizationServerUrl, resourceUrl }) => {
        const query = new URLSearchParams({ aud: authorizationServerUrl, resource: resourceUrl });
        return (await fetch(`${given.provider}/sign?${query}`)).text();
      },
    }),
  );
}
console.log(JSON.stringify(heard));
