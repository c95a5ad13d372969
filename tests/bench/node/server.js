"use strict";
/*
 * The same protocol on Node: `ws`, OpenSSL, and one of the stores of
 * stores.js, in the current directory.
 *
 *   node server.js fill STORE COUNT
 *   node server.js serve STORE PORT CERT KEY
 */

const fs = require("node:fs");
const https = require("node:https");
const stores = require("./stores");

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const SESSIONS_MAX = 20000;

const say = (type, payload) => JSON.stringify({ type, payload });

/* The token, in lower case; null: the message is no login. */
function tokenOf(data) {
  try {
    const { type, payload } = JSON.parse(data);
    if (type === "token_auth" && UUID.test(payload.token))
      return payload.token.toLowerCase();
  } catch {}
  return null;
}

async function answerTo(login, data) {
  const token = tokenOf(data);
  if (token === null)
    return say("auth_error", { message: "Invalid token format" });
  const username = await login(token, Math.floor(Date.now() / 1000));
  if (username === null)
    return say("auth_error", { message: "Invalid or expired token" });
  return say("auth_success", { username, token });
}

/* Answers leave in the order of the requests. */
function converse(socket, login) {
  let last = Promise.resolve();
  socket.on("message", (data) => {
    const answer = answerTo(login, data);
    last = last.then(() => answer).then((text) => socket.send(text));
  });
  socket.on("error", () => {});
}

/* Clients without tickets resume by session ID, which Node leaves to us. */
function keepSessions(server) {
  const sessions = new Map();
  server.on("newSession", (id, data, done) => {
    if (sessions.size === SESSIONS_MAX)
      sessions.delete(sessions.keys().next().value);
    sessions.set(id.toString("hex"), data);
    done();
  });
  server.on("resumeSession", (id, done) =>
    done(null, sessions.get(id.toString("hex")) ?? null),
  );
}

async function serve(store, port, cert, key) {
  const { WebSocketServer } = require("ws");
  const login = await store.open();
  const server = https.createServer({
    cert: fs.readFileSync(cert),
    key: fs.readFileSync(key),
  });
  keepSessions(server);
  new WebSocketServer({
    server,
    path: "/ws",
    perMessageDeflate: false,
    maxPayload: 4096,
  }).on("connection", (socket) => converse(socket, login));
  server.listen(port, "127.0.0.1", () => console.log("listening"));
}

const [what, name, ...rest] = process.argv.slice(2);
const work =
  what === "fill" ? stores[name].fill(Number(rest[0]))
                  : serve(stores[name], Number(rest[0]), rest[1], rest[2]);
work.catch((error) => {
  console.error(`${name}: ${error.message}`);
  process.exit(1);
});
