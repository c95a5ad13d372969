"use strict";
/*
 * The token table in three stores. Each has
 *   fill(count)        make the tokens of load.c in the current directory
 *   open()             returns login
 *   login(token, now)  a promise of the player's name, or of null; when it is
 *                      kept, the time of the last use is durable
 */

const fs = require("node:fs");

const tokenOf = (i) =>
  `00000000-0000-4000-8000-${i.toString(16).padStart(12, "0")}`;
const isOver = (expires, now) => expires !== 0 && expires <= now;

/* Writes of one turn of the event loop are one transaction; `flushed` is kept
 * when it has been synced. */
const lmdb = {
  table() {
    return require("lmdb").open({ path: "tokens.lmdb" });
  },

  async fill(count) {
    const db = this.table();
    await db.transaction(() => {
      for (let i = 0; i < count; i++)
        db.put(tokenOf(i), { username: `player${i}`, expires: 0, lastUsed: 0 });
    });
    await db.flushed;
    await db.close();
  },

  async open() {
    const db = this.table();
    return async (token, now) => {
      const record = db.get(token);
      if (record === undefined || isOver(record.expires, now)) return null;
      db.put(token, { ...record, lastUsed: now });
      await db.flushed;
      return record.username;
    };
  },
};

/* What one turn of the event loop has read is one transaction. */
const sqlite = {
  table() {
    const db = require("better-sqlite3")("tokens.sqlite");
    db.pragma("journal_mode = WAL");
    db.pragma("synchronous = FULL");
    db.exec(
      `create table if not exists tokens (token text primary key,
       username text not null, expires integer not null,
       last_used integer not null) without rowid`,
    );
    return db;
  },

  async fill(count) {
    const db = this.table();
    const insert = db.prepare("insert into tokens values (?, ?, 0, 0)");
    db.transaction(() => {
      for (let i = 0; i < count; i++) insert.run(tokenOf(i), `player${i}`);
    })();
    db.close();
  },

  async open() {
    const db = this.table();
    const touch = db
      .prepare(
        `update tokens set last_used = :now where token = :token
         and (expires = 0 or expires > :now) returning username`,
      )
      .pluck();
    let waiting = [];
    const touchAll = db.transaction((logins) =>
      logins.map(({ token, now }) => touch.get({ token, now }) ?? null),
    );
    const commit = () => {
      const logins = waiting;
      waiting = [];
      touchAll(logins).forEach((name, i) => logins[i].resolve(name));
    };
    return (token, now) =>
      new Promise((resolve) => {
        if (waiting.length === 0) setImmediate(commit);
        waiting.push({ token, now, resolve });
      });
  },
};

/* The server is started by bench.py. Commands of one turn of the event loop
 * share a write, and Redis syncs once for what it has read together. */
const TOUCH = `
local found = redis.call('HMGET', KEYS[1], 'username', 'expires')
local expires, now = tonumber(found[2]), tonumber(ARGV[1])
if not found[1] or (expires ~= 0 and expires <= now) then return false end
redis.call('HSET', KEYS[1], 'last_used', ARGV[1])
return found[1]`;

const redis = {
  /* An append-only file that Redis reads at its start. */
  async fill(count) {
    const words = (list) =>
      `*${list.length}\r\n` +
      list.map((word) => `$${word.length}\r\n${word}\r\n`).join("");
    const file = fs.openSync("appendonly.aof", "w");
    for (let i = 0; i < count; ) {
      let text = "";
      for (const end = Math.min(count, i + 10000); i < end; i++)
        text += words(["HSET", tokenOf(i), "username", `player${i}`,
                       "expires", "0", "last_used", "0"]);
      fs.writeSync(file, text);
    }
    fs.closeSync(file);
  },

  async open() {
    const { createClient, defineScript } = require("redis");
    const client = createClient({
      socket: { path: "redis.sock" },
      scripts: {
        touch: defineScript({
          SCRIPT: TOUCH,
          NUMBER_OF_KEYS: 1,
          parseCommand(parser, token, now) {
            parser.pushKey(token);
            parser.push(String(now));
          },
          transformReply: (name) => name,
        }),
      },
    });
    await client.connect();
    return (token, now) => client.touch(token, now);
  },
};

module.exports = { lmdb, sqlite, redis };
