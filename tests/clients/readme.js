// The example of README.md and README.zh-CN.md, run unchanged.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const makeWx = require("./wx.js");

const [gateway, simulator, ...readmes] = process.argv.slice(2);
assert.ok(readmes.length, "usage: node readme.js GATEWAY SIMULATOR README…");

/** The first js block, with the gateway of this run in place of the example's. */
function example(readme) {
  const [, code] = fs.readFileSync(readme, "utf8").match(/```js\n([^]*?)```/);
  assert.ok(code.includes("https://api.example.com/srv/"));
  return code.replace("https://api.example.com/srv/", `${gateway}/srv/`);
}

async function walk(readme, person) {
  const kept = {};
  const wx = makeWx({ simulator, person });
  wx.getStorageSync = (key) => kept[key] ?? "";
  wx.setStorageSync = (key, value) => (kept[key] = value);
  const page = {};
  new Function("wx", "module", example(readme))(wx, page);
  const { enter, loginByPhone, call } = page.exports;

  assert.equal(await enter(), null);
  const phone = person === "ann" ? "13800138001" : "13800138002";
  const { code } = await new Promise((success, fail) => wx.getPhoneNumber({ phone, success, fail }));
  const { user } = await loginByPhone({ detail: { code } });
  assert.ok(Number.isInteger(user.id));
  assert.deepEqual(await enter(), user, "the next time it logs in by itself");
  assert.deepEqual((await call("user")).user, user);
  await call("logout");
  await assert.rejects(call("user"), (envelope) => envelope.error === "session_expired");
}

walk(readmes[0], "ann")
  .then(() => walk(readmes[1], "bob"))
  .then(() => console.log("the examples work"))
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
