// A minimal `wx` of a mini-program: requests use http of Node.js, login codes come from the simulator.
"use strict";

const http = require("node:http");

/** `simulator`: where codes are made; `person`: who holds the phone. */
module.exports = function wx({ simulator, person }) {
  return { request, login, getPhoneNumber };

  // https://developers.weixin.qq.com/miniprogram/dev/api/network/request/wx.request.html
  function request({ url, data, header = {}, method = "GET", timeout = 60000, success, fail, complete }) {
    const headers = { "content-type": "application/json" };
    for (const name of Object.keys(header)) headers[name.toLowerCase()] = header[name];
    const form = headers["content-type"].startsWith("application/x-www-form-urlencoded");
    let body = data;
    if (typeof data === "object" && data !== null) {
      body = form ? new URLSearchParams(data).toString() : JSON.stringify(data);
    }
    const task = http.request(url, { method, headers, timeout }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => {
        const text = Buffer.concat(parts).toString("utf8");
        let parsed = text;
        try {
          parsed = JSON.parse(text);
        } catch {
          // Like wx.request: a body that is not JSON stays text.
        }
        success?.({ data: parsed, statusCode: response.statusCode, header: response.headers });
        complete?.({});
      });
    });
    task.on("timeout", () => task.destroy(new Error("timeout")));
    task.on("error", (error) => {
      fail?.({ errMsg: `request:fail ${error.message}` });
      complete?.({});
    });
    task.end(body);
    return { abort: () => task.destroy(new Error("abort")) };
  }

  // https://developers.weixin.qq.com/miniprogram/dev/api/open-api/login/wx.login.html
  function login({ success, fail, complete }) {
    ask(`code?person=${encodeURIComponent(person)}`, success, fail, complete);
  }

  // The event of a button with open-type="getPhoneNumber".
  function getPhoneNumber({ phone, success, fail, complete }) {
    ask(`phone_code?phone=${phone}`, success, fail, complete);
  }

  function ask(what, success, fail, complete) {
    request({
      url: `${simulator}/_sim/${what}`,
      success: ({ data }) => success?.({ errMsg: "ok", code: data.code }),
      fail,
      complete,
    });
  }
};
