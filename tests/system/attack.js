// Runs in a page that is not allowed to connect: tries to read, and to act without reading.
//
// arguments: the URL of the server, a body that calls a tool, and the callback of the driver.

const [url, body, done] = arguments;

// What a browser sends without asking first, and what it asks about.
const ATTEMPTS = {
  "JSON, asked about": { headers: { "Content-Type": "application/json" } },
  "plain text": { headers: { "Content-Type": "text/plain" } },
  "plain text, unread": { headers: { "Content-Type": "text/plain" }, mode: "no-cors" },
  "a form, unread": {
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
    mode: "no-cors",
  },
  "no type, unread": { mode: "no-cors", blob: true },
  "with cookies": { headers: { "Content-Type": "text/plain" }, credentials: "include" },
};

async function attempt({ blob, ...options }) {
  const sent = blob ? new Blob([body]) : body;
  try {
    const response = await fetch(url, { method: "POST", body: sent, ...options });
    return response.type === "opaque" ? "unread" : `read ${response.status}`;
  } catch (error) {
    return "blocked";
  }
}

async function all() {
  const seen = {};
  for (const [name, options] of Object.entries(ATTEMPTS)) seen[name] = await attempt(options);
  seen["reading with GET"] = await fetch(url).then((one) => `read ${one.status}`, () => "blocked");
  return seen;
}

all().then(done, (error) => done({ failed: String(error) }));
