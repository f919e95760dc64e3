// Walks through the console as a tenant's operator would, in Debian's Chromium, and holds every page to axe-core.
import { AxeBuilder } from "@axe-core/playwright";
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const { ADMIN, TRAFFIC, SIM, TOKEN, SHOTS } = process.env;
const APPID = "wx4f4bc4dec97d474b";
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const complaints = [];
let shown = 0;

/** A page of someone with this taste, every complaint of the browser noted: what the policy forbids, too. */
async function visit(taste) {
    const context = await browser.newContext({ locale: "en", viewport: { width: 1280, height: 900 }, ...taste });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
    page.on("console", (line) => {
        // That a page answers 4xx is what some steps are about.
        if (line.type() === "error" && !line.text().includes("Failed to load resource")) {
            complaints.push(`${page.url()}: ${line.text()}`);
        }
    });
    return page;
}

/** Holds a page to accessibility, and to its width. */
async function look(page, name) {
    const { violations } = await new AxeBuilder({ page }).analyze();
    const told = violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ")).join(", ")}`);
    assert.deepEqual(told, [], `${name} is not accessible`);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(over <= 0, `${name} is ${over} px too wide`);
    if (SHOTS) {
        mkdirSync(SHOTS, { recursive: true });
        shown += 1;
        await page.screenshot({ path: `${SHOTS}/${String(shown).padStart(2, "0")}-${name}.png`, fullPage: true });
    }
}

async function signIn(page) {
    await page.goto(`${ADMIN}/console/`);
    await page.getByLabel("Token").fill(TOKEN);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL(`${ADMIN}/console/`);
}

async function sim(path) {
    const answer = await fetch(`${SIM}/_sim/${path}`, { method: path.startsWith("code") ? "GET" : "POST" });
    assert.ok(answer.ok, `${path}: ${answer.status}`);
    return answer.json();
}

async function call(action, fields, token) {
    const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const answer = await fetch(`${TRAFFIC}/srv/?f=shop&a=${action}`, { method: "POST", headers, body: JSON.stringify(fields) });
    return { status: answer.status, ...(await answer.json()) };
}

/** Tries until it holds: a saved file is taken up within seconds. */
async function eventually(what, holds) {
    const end = Date.now() + 20_000;
    for (;;) {
        const value = await holds();
        if (value) {
            return value;
        }
        assert.ok(Date.now() < end, `this never came to hold: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
}

const page = await visit({});

// Signing in.
await page.goto(`${ADMIN}/`);
await look(page, "sign-in");
await page.getByLabel("Token").fill("mla_000000000000_wrong");
await page.keyboard.press("Enter");
await page.getByRole("alert").waitFor();
await look(page, "sign-in-refused");
await signIn(page);
await look(page, "overview");

// A tenant with a wrong appid, told while typing, and a wrong secret, told by WeChat.
await page.getByRole("link", { name: "New tenant" }).click();
await page.waitForLoadState();
await page.getByLabel("Tenant", { exact: true }).fill("shop");
await page.getByLabel("Name", { exact: true }).fill("Shop");
await page.getByLabel("AppID").fill("wx1");
await page.getByLabel("AppSecret").fill("not-the-secret");
await page.locator("#flaws-appid p").waitFor();
await look(page, "new-with-a-fault");
await page.getByLabel("AppID").fill(APPID);
await page.getByText("More", { exact: true }).click();
await page.getByLabel("The platform's address").fill(SIM);
await page.locator("#flaws-appid p").waitFor({ state: "detached" });
await page.getByRole("button", { name: "Make it" }).click();
await page.waitForURL("**/tenants/shop?done=made");
await page.getByRole("button", { name: "Ask WeChat" }).click();
await page.getByText("errcode 40125").first().waitFor();
await look(page, "status-with-a-wrong-secret");

// The settings: what is typed here stands there, and what is wrong stands at its place.
await page.getByRole("link", { name: "Settings", exact: true }).click();
await page.waitForLoadState();
await look(page, "settings");
await page.getByLabel("Life of a session").fill("soon");
await page.locator("#flaws-session-ttl p").waitFor();
await page.locator(".row.bad .note").waitFor();
assert.match(await page.locator("#toml").inputValue(), /ttl = "soon"/);
await look(page, "settings-with-a-fault");
const toml = await page.locator("#toml").inputValue();
await page.locator("#toml").fill(toml.replace('"soon"', '"2d"'));
await page.getByText("no faults").waitFor();
assert.equal(await page.getByLabel("Life of a session").inputValue(), "2d");
await page.getByRole("button", { name: "Save" }).click();
await page.waitForURL("**/settings?done=saved");

// The right secret, which WeChat takes.
await page.getByLabel("A new AppSecret").fill("demo-secret");
await page.getByLabel("Keep the one before").uncheck();
await page.getByRole("button", { name: "Change the AppSecret" }).click();
await page.waitForURL("**/settings?done=secret");
await page.getByRole("link", { name: "Status", exact: true }).click();
await page.getByRole("button", { name: "Ask WeChat" }).click();
await page.getByText("Everything works").waitFor();

// A call through the gateway, counted.
const opened = await eventually("somebody logs in", async () => {
    const answer = await call("openid", { code: (await sim("code?person=ann")).code });
    return answer.code === 1 && answer;
});
const token = opened.data.session.token;
assert.equal((await call("login", { method: "profile", name: "Ann" }, token)).code, 1);
await eventually("the calls are counted", async () => {
    await page.reload();
    return page.locator("svg[aria-label*='sessions opened']").isVisible();
});
await page.getByText(/sessions opened \(log-ins\) [1-9]/).waitFor();
await look(page, "status");

// Another secret, without an outage.
await sim(`app?appid=${APPID}&secret=the-next-secret&previous_secret=demo-secret`);
await page.getByRole("link", { name: "Settings", exact: true }).click();
await page.waitForLoadState();
await page.getByLabel("A new AppSecret").fill("the-next-secret");
await page.getByRole("button", { name: "Change the AppSecret" }).click();
await page.getByText("Being changed").waitFor();
await look(page, "settings-while-the-secret-changes");
assert.equal((await call("openid", { code: (await sim("code?person=bob")).code })).code, 1);
await page.getByRole("button", { name: "take the old one away" }).click();
await page.getByText("Being changed").waitFor({ state: "detached" });

// An action on and off, by keyboard.
await page.getByRole("link", { name: "Actions", exact: true }).click();
await look(page, "actions");
await page.getByRole("link", { name: "Switch on… proxy" }).focus();
await page.keyboard.press("Enter");
await page.getByLabel("upstream").fill("http://127.0.0.1:9");
await page.getByLabel("login", { exact: true }).selectOption("none");
await look(page, "action");
await page.getByRole("button", { name: "Switch on" }).focus();
await page.keyboard.press("Enter");
await page.waitForURL("**/actions?done=on");
await page.getByRole("button", { name: "Switch off proxy" }).click();
await page.waitForURL("**/actions?done=off");

// A person's session ends.
await page.getByRole("link", { name: "People", exact: true }).click();
await look(page, "people");
await page.getByRole("link", { name: "Ann" }).click();
await look(page, "person");
await page.getByRole("button", { name: "End", exact: true }).first().click();
await page.waitForURL("**done=ended");
assert.equal((await call("user", {}, token)).status, 401);

// What was done is written down.
await page.getByRole("link", { name: "History", exact: true }).click();
await page.getByText("The change, secrets masked").first().click();
await look(page, "history");
for (const [link, name] of [["Audit log", "audit"], ["Plugins", "plugins"], ["Tenants", "overview"]]) {
    await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: link }).click();
    await look(page, name);
}

// In the other language, in the dark, on a phone: every page again.
const paths = ["", "plugins", "audit", "new", "none", ...["", "/settings", "/actions", "/actions/login", "/people", "/history"].map((tab) => `tenants/shop${tab}`)];
const phone = await visit({ colorScheme: "dark", viewport: { width: 360, height: 740 }, hasTouch: true });
await signIn(phone);
for (const path of paths) {
    await phone.goto(`${ADMIN}/console/${path}`);
    await look(phone, `phone-dark-${path.replaceAll("/", "-")}`);
}
await phone.getByRole("button", { name: "中文" }).click();
await phone.waitForURL(`${ADMIN}/console/**`);
for (const path of paths) {
    await phone.goto(`${ADMIN}/console/${path}`);
    assert.equal(await phone.locator("html").getAttribute("lang"), "zh-CN");
    await look(phone, `phone-zh-${path.replaceAll("/", "-")}`);
}

// Where scripts don't run, forms still do.
const plain = await visit({ javaScriptEnabled: false });
await signIn(plain);
await plain.goto(`${ADMIN}/console/tenants/shop/settings`);
await plain.locator("#name").fill("Shop without scripts");
await plain.getByRole("button", { name: "Save" }).click();
await plain.waitForURL("**/settings?done=saved");
assert.equal(await plain.locator("#name").inputValue(), "Shop without scripts");
await plain.goto(`${ADMIN}/console/tenants/shop`);
await plain.getByRole("button", { name: "Ask WeChat" }).click();
await plain.getByText("Everything works").waitFor();

// Signing out.
await page.getByRole("button", { name: "Sign out" }).click();
await page.getByText("You are signed out").waitFor();
await page.goto(`${ADMIN}/console/tenants/shop`);
await page.getByLabel("Token").waitFor();

assert.deepEqual(complaints, [], "the browser complained");
await browser.close();
