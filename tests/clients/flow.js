// The login flow of a mini-program, with axios over axios-miniprogram-adapter and with wx.request itself.
"use strict";

const assert = require("node:assert/strict");
const axios = require("axios");
const adapter = require("axios-miniprogram-adapter");
const makeWx = require("./wx.js");

const [gateway, simulator] = process.argv.slice(2);
assert.ok(gateway && simulator, "usage: node flow.js GATEWAY SIMULATOR");

const promised = (api, options = {}) => new Promise((success, fail) => api({ ...options, success, fail }));

/** The tenant's mini-program on the phone of one user; `call` returns the data, or throws an error with status and error code. */
function miniProgram(person) {
  global.wx = makeWx({ simulator, person });
  const client = axios.create({ baseURL: gateway, adapter });
  let token = "";
  client.interceptors.request.use((config) => {
    if (token) config.headers.Authorization = `Bearer ${token}`;
    return config;
  });
  return {
    wx: global.wx,
    async call(action, data, config = {}) {
      const { data: envelope, status, headers } = await client.post("/srv/", data, {
        params: { f: "manulife", a: action },
        validateStatus: () => true,
        ...config,
      });
      assert.ok(headers["x-request-id"], "every response has a request id");
      assert.equal(typeof envelope.msg, "string");
      if (envelope.code !== 1) throw Object.assign(new Error(envelope.msg), { status, errorCode: envelope.error });
      token = envelope.data.session?.token ?? token;
      return envelope.data;
    },
    token: () => token,
  };
}

async function withAxios() {
  const ann = miniProgram("ann");
  await assert.rejects(ann.call("user"), { status: 401, errorCode: "login_required" });

  const { code } = await promised(ann.wx.login);
  const first = await ann.call("openid", { code });
  assert.equal(first.user, null);
  assert.ok(first.session.expires_in > 0);
  await assert.rejects(ann.call("user", {}), { status: 401, errorCode: "login_required" });

  const { code: phone_code } = await promised(ann.wx.getPhoneNumber, { phone: "13800138000" });
  const { user } = await ann.call("login", { method: "phone", phone_code });
  assert.ok(Number.isInteger(user.id));

  const form = { headers: { "Content-Type": "application/x-www-form-urlencoded" } };
  const renamed = await ann.call("user", new URLSearchParams({ name: "安" }).toString(), form);
  assert.deepEqual(renamed.user, { ...user, name: "安" });
  assert.deepEqual((await ann.call("user")).user, renamed.user);

  const { code: again } = await promised(ann.wx.login);
  assert.deepEqual((await ann.call("openid", { code: again })).user, renamed.user, "from now on it logs in by itself");

  await ann.call("logout");
  await assert.rejects(ann.call("user"), { status: 401, errorCode: "session_expired", message: /登录已过期/ });
  const english = { headers: { "Accept-Language": "en" } };
  await assert.rejects(ann.call("user", {}, english), { status: 401, message: /log in again/ });
  await assert.rejects(ann.call("openid", { code: again + "x" }), { status: 200, errorCode: "invalid_code" });
}

async function withWxRequest() {
  const { wx } = miniProgram("bob");
  const post = (action, data, token) =>
    promised(wx.request, {
      url: `${gateway}/srv/?f=manulife&a=${action}`,
      method: "POST",
      header: token ? { Authorization: `Bearer ${token}` } : {},
      data,
    });
  const { code } = await promised(wx.login);
  const { data: authorized } = await post("openid", { code });
  assert.equal(authorized.code, 1);
  assert.equal(authorized.data.user, null);
  const { token } = authorized.data.session;
  const { data: login } = await post("login", { method: "profile", name: "Bob", avatar_url: "" }, token);
  assert.equal(login.data.user.name, "Bob");
  const { data: read, statusCode } = await post("user", {}, token);
  assert.equal(statusCode, 200);
  assert.deepEqual(read.data.user, login.data.user);
}

withAxios()
  .then(withWxRequest)
  .then(() => console.log("the flow works"))
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
