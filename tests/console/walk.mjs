// Operates the console in Debian's Chromium, as an operator would, and checks every page with axe-core.
import { AxeBuilder } from "@axe-core/playwright";
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const { ADMIN, TRAFFIC, SIM, TOKEN, SHOTS } = process.env;
const APPID = "wx4f4bc4dec97d474b";
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const browserErrors = [];
let shots = 0;

/** Opens a page with these browser options. Collects all browser errors, also violations of the security policy. */
async function openPage(options) {
    const context = await browser.newContext({ locale: "en", viewport: { width: 1280, height: 900 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    page.on("pageerror", (error) => browserErrors.push(`${page.url()}: ${error.message}`));
    page.on("console", (line) => {
        // Some steps expect a 4xx response.
        if (line.type() === "error" && !line.text().includes("Failed to load resource")) {
            browserErrors.push(`${page.url()}: ${line.text()}`);
        }
    });
    return page;
}

/** Checks that a page is accessible and not too wide. */
async function check(page, name) {
    const { violations } = await new AxeBuilder({ page }).analyze();
    const found = violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ")).join(", ")}`);
    assert.deepEqual(found, [], `${name} is not accessible`);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(over <= 0, `${name} is ${over} px too wide`);
    if (SHOTS) {
        mkdirSync(SHOTS, { recursive: true });
        shots += 1;
        await page.screenshot({ path: `${SHOTS}/${String(shots).padStart(2, "0")}-${name}.png`, fullPage: true });
    }
}

async function signIn(page) {
    await page.goto(`${ADMIN}/console/`);
    await page.getByLabel("Token").fill(TOKEN);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL(`${ADMIN}/console/`);
}

async function sim(path) {
    const response = await fetch(`${SIM}/_sim/${path}`, { method: path.startsWith("code") ? "GET" : "POST" });
    assert.ok(response.ok, `${path}: ${response.status}`);
    return response.json();
}

async function request(action, fields, token) {
    const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const response = await fetch(`${TRAFFIC}/srv/?f=shop&a=${action}`, { method: "POST", headers, body: JSON.stringify(fields) });
    return { status: response.status, ...(await response.json()) };
}

/** Retries until the condition holds: a saved file is loaded within seconds. */
async function eventually(what, holds) {
    const end = Date.now() + 20_000;
    for (;;) {
        const value = await holds();
        if (value) {
            return value;
        }
        assert.ok(Date.now() < end, `timeout: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
}

const page = await openPage({});

// Signing in.
await page.goto(`${ADMIN}/`);
await check(page, "sign-in");
await page.getByLabel("Token").fill("mla_000000000000_wrong");
await page.keyboard.press("Enter");
await page.getByRole("alert").waitFor();
await check(page, "sign-in-refused");
await signIn(page);
await check(page, "overview");

// A tenant with an invalid AppID, reported while typing, and a wrong secret, reported by WeChat.
await page.getByRole("link", { name: "New tenant" }).click();
await page.waitForLoadState();
await page.getByLabel("Tenant", { exact: true }).fill("shop");
await page.getByLabel("Name", { exact: true }).fill("Shop");
await page.getByLabel("AppID").fill("wx1");
await page.getByLabel("AppSecret").fill("not-the-secret");
await page.locator("#errors-appid p").waitFor();
await check(page, "new-with-an-error");
await page.getByLabel("AppID").fill(APPID);
await page.getByText("Advanced", { exact: true }).click();
await page.getByLabel("Platform URL").fill(SIM);
await page.locator("#errors-appid p").waitFor({ state: "detached" });
await page.getByRole("button", { name: "Create" }).click();
await page.waitForURL("**/tenants/shop?done=made");
await page.getByRole("button", { name: "Verify with WeChat" }).click();
await page.getByText("errcode 40125").first().waitFor();
// The result of a verification replaces the earlier one: two that contradict each other are never shown together.
// The result is remembered once the new tenant is loaded.
await eventually("the rejection is remembered", async () => {
    await page.getByRole("button", { name: "Verify with WeChat" }).click();
    await page.getByText("errcode 40125").first().waitFor();
    await page.reload();
    return page.getByText("rejected").first().isVisible();
});
await check(page, "status-with-a-wrong-secret");

// The settings: form and text follow each other, and errors are shown at their field and line.
await page.getByRole("link", { name: "Settings", exact: true }).click();
await page.waitForLoadState();
await check(page, "settings");
await page.getByLabel("Session lifetime").fill("soon");
await page.locator("#errors-session-ttl p").waitFor();
await page.locator(".row.bad .note").waitFor();
assert.match(await page.locator("#toml").inputValue(), /ttl = "soon"/);
await check(page, "settings-with-an-error");
const toml = await page.locator("#toml").inputValue();
await page.locator("#toml").fill(toml.replace('"soon"', '"2d"'));
await page.getByText("no errors").waitFor();
assert.equal(await page.getByLabel("Session lifetime").inputValue(), "2d");
await page.getByRole("button", { name: "Save" }).click();
await page.waitForURL("**/settings?done=saved");

// The right secret, which WeChat accepts.
await page.getByLabel("New AppSecret").fill("demo-secret");
await page.getByLabel("Keep the previous secret").uncheck();
await page.getByRole("button", { name: "Change AppSecret" }).click();
await page.waitForURL("**/settings?done=secret");
await page.getByRole("link", { name: "Status", exact: true }).click();
await page.getByRole("button", { name: "Verify with WeChat" }).click();
await page.getByText("Credentials work").waitFor();
assert.equal(await page.locator("#credentials ~ *").getByText("rejected").count(), 0);
assert.equal(await page.locator("section[aria-labelledby=credentials] .mark.bad").count(), 0);

// A request through the gateway is counted.
const opened = await eventually("a session is opened", async () => {
    const response = await request("openid", { code: (await sim("code?person=ann")).code });
    return response.code === 1 && response;
});
const token = opened.data.session.token;
assert.equal((await request("login", { method: "profile", name: "Ann" }, token)).code, 1);
await eventually("the requests are counted", async () => {
    await page.reload();
    return page.locator("svg[aria-label*='sessions opened']").isVisible();
});
await page.getByText(/sessions opened \(logins\) [1-9]/).waitFor();
await check(page, "status");

// Secret rotation without an interruption.
await sim(`app?appid=${APPID}&secret=the-next-secret&previous_secret=demo-secret`);
await page.getByRole("link", { name: "Settings", exact: true }).click();
await page.waitForLoadState();
await page.getByLabel("New AppSecret").fill("the-next-secret");
await page.getByRole("button", { name: "Change AppSecret" }).click();
await page.getByText("Rotation in progress").waitFor();
await check(page, "settings-while-the-secret-changes");
assert.equal((await request("openid", { code: (await sim("code?person=bob")).code })).code, 1);
await page.getByRole("button", { name: "remove the previous one" }).click();
await page.getByText("Rotation in progress").waitFor({ state: "detached" });

// Enabling and disabling an action, by keyboard.
await page.getByRole("link", { name: "Actions", exact: true }).click();
await check(page, "actions");
await page.getByRole("link", { name: "Enable… proxy" }).focus();
await page.keyboard.press("Enter");
await page.getByLabel("upstream").fill("http://127.0.0.1:9");
await page.getByLabel("auth", { exact: true }).selectOption("optional");
await check(page, "action");
await page.getByRole("button", { name: "Enable" }).focus();
await page.keyboard.press("Enter");
await page.waitForURL("**/actions?done=on");
// Disabling takes a confirmation, and keeps the settings for the next time.
await page.locator("summary", { hasText: "Disable… proxy" }).click();
await check(page, "actions-before-disabling");
await page.getByRole("button", { name: "Disable proxy" }).click();
await page.waitForURL("**/actions?done=off");
await check(page, "actions-with-a-disabled-one");
await page.getByRole("link", { name: "Settings proxy" }).click();
assert.equal((await page.getByLabel("upstream").inputValue()).trim(), "http://127.0.0.1:9");
await page.goBack();
await page.getByRole("button", { name: "Enable again proxy" }).click();
await page.waitForURL("**/actions?done=on");

// Ending a user's session.
await page.getByRole("link", { name: "Users", exact: true }).click();
await check(page, "users");
// A phone number is found as people write it.
await page.getByLabel("Search by").selectOption("phone");
await page.getByRole("searchbox").fill("138 0013 8000");
await page.keyboard.press("Enter");
await page.waitForURL("**/people?by=phone**");
await page.goto(`${ADMIN}/console/tenants/shop/people`);
await page.getByRole("link", { name: "Ann" }).click();
await check(page, "user");
await page.getByRole("button", { name: "End", exact: true }).first().click();
await page.waitForURL("**done=ended");
assert.equal((await request("user", {}, token)).status, 401);

// The audit log.
await page.getByRole("link", { name: "History", exact: true }).click();
await page.getByText("Changes (secrets masked)").first().click();
await check(page, "history");
for (const [link, name] of [["Audit log", "audit"], ["Plugins", "plugins"], ["Tenants", "overview"]]) {
    await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: link }).click();
    await check(page, name);
}

// Every page again in Chinese, in the dark colour scheme, on a phone.
const paths = ["", "plugins", "audit", "new", "none", ...["", "/settings", "/actions", "/actions/login", "/people", "/history"].map((tab) => `tenants/shop${tab}`)];
const phone = await openPage({ colorScheme: "dark", viewport: { width: 360, height: 740 }, hasTouch: true });
await signIn(phone);
for (const path of paths) {
    await phone.goto(`${ADMIN}/console/${path}`);
    await check(phone, `phone-dark-${path.replaceAll("/", "-")}`);
}
await phone.getByRole("button", { name: "中文" }).click();
await phone.waitForURL(`${ADMIN}/console/**`);
for (const path of paths) {
    await phone.goto(`${ADMIN}/console/${path}`);
    assert.equal(await phone.locator("html").getAttribute("lang"), "zh-CN");
    await check(phone, `phone-zh-${path.replaceAll("/", "-")}`);
}

// Forms work without JavaScript.
const plain = await openPage({ javaScriptEnabled: false });
await signIn(plain);
await plain.goto(`${ADMIN}/console/tenants/shop/settings`);
await plain.locator("#name").fill("Shop without scripts");
await plain.getByRole("button", { name: "Save" }).click();
await plain.waitForURL("**/settings?done=saved");
assert.equal(await plain.locator("#name").inputValue(), "Shop without scripts");
await plain.goto(`${ADMIN}/console/tenants/shop`);
await plain.getByRole("button", { name: "Verify with WeChat" }).click();
await plain.getByText("Credentials work").waitFor();

// Signing out.
await page.getByRole("button", { name: "Sign out" }).click();
await page.getByText("You have signed out").waitFor();
await page.goto(`${ADMIN}/console/tenants/shop`);
await page.getByLabel("Token").waitFor();

assert.deepEqual(browserErrors, [], "the browser reported errors");
await browser.close();
