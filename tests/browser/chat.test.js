// The chat as a person in front of a browser sees it, through nginx, while things go wrong behind it.

import assert from "node:assert/strict";
import { after, afterEach, before, it as test } from "node:test";
import { Middlebox, onHost, openBrowser, PATIENCE, picture, SITE } from "./site.js";

const it = (name, body) => test(name, { timeout: 4 * PATIENCE }, body);

let browser;
let page;
/** The badge's texts, in their order. */
let badges;
/** The types of the frames sent over WebSocket, and the messages sent over HTTP. */
let frames;
let posts;
/** What a person would find in the browser's console. */
let complaints;

before(async () => {
  browser = await openBrowser();
});

after(() => browser.close());

afterEach(() => page.context().close());

async function visit(address, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 720 }, colorScheme: "light", ...options });
  page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  badges = [];
  frames = [];
  posts = [];
  complaints = [];
  await page.exposeFunction("onBadge", (text) => badges.push(text));
  await page.addInitScript(() => {
    addEventListener("DOMContentLoaded", () => {
      const badge = document.getElementById("badge");
      new MutationObserver(() => window.onBadge(badge.textContent)).observe(badge, { childList: true });
    });
  });
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => frames.push(JSON.parse(payload).type)));
  page.on("request", (request) => request.method() === "POST" && posts.push(request.postDataJSON().message));
  await page.goto(address);
  await badge("Live");
}

const badge = (text) => page.locator("#badge", { hasText: text }).waitFor();
const bubble = (role, text) => page.locator(`#messages > li.${role}`, { hasText: text });

async function say(text) {
  await page.getByLabel("Message").fill(text);
  await page.getByLabel("Message").press("Enter");
}

/** Waits for what was told to this process, not to the page. */
async function until(condition) {
  for (const end = Date.now() + PATIENCE; !condition(); ) {
    assert.ok(Date.now() < end, `still not so after ${PATIENCE} ms: ${condition}`);
    await page.waitForTimeout(50);
  }
}

function conversation() {
  return page.locator("#messages > li").allInnerTexts();
}

async function kept() {
  const session = await page.evaluate(() => sessionStorage.getItem("session"));
  const answer = await page.request.get(`${SITE}/api/v1/chat/history/${session}`);
  return (await answer.json()).messages.map(({ content }) => content);
}

it("sends a message over WebSocket, and shows the answer", async () => {
  await visit(SITE);
  await page.screenshot(picture("empty"));

  await page.getByRole("button", { name: "Hello!" }).click();
  await bubble("assistant", "Ask me something").waitFor();
  await say("I deployed on a Friday");
  await bubble("assistant", "Was it healthy before it got traffic?").waitFor();
  await say("How much can go wrong between a message and its answer?");
  await bubble("assistant", "A good question of 11 words.").waitFor();
  await page.screenshot(picture("open"));

  assert.deepEqual(frames, ["message", "message", "message"]);
  assert.deepEqual(posts, []);
  assert.deepEqual(complaints, []);
});

it("shows the conversation again after a reload", async () => {
  await visit(SITE);
  await say("hello");
  await bubble("assistant", "Hello!").waitFor();
  const before = await conversation();
  await page.reload();
  await bubble("assistant", "Hello!").waitFor();

  assert.deepEqual(await conversation(), before);
});

it("takes several lines, and shows text as text", async () => {
  await visit(SITE);
  const input = page.getByLabel("Message");
  await input.pressSequentially("<b>one</b>");
  await input.press("Shift+Enter");
  await input.pressSequentially("two");
  await input.press("Enter");
  await bubble("assistant", "You said: <b>one</b>").waitFor();

  assert.deepEqual(await kept(), ["<b>one</b>\ntwo", "You said: <b>one</b>\ntwo"]);
  assert.equal(await page.locator("#messages b").count(), 0);
});

it("reconnects when the backend restarts", async () => {
  await visit(SITE);
  await say("hello");
  await bubble("assistant", "Hello!").waitFor();
  badges.length = 0;
  await onHost("systemctl", "restart", "chat-api@*");
  await until(() => badges.includes("Live"));
  await say("still there?");
  await bubble("assistant", "A good question").waitFor();

  assert.equal(badges[0], "Reconnecting");
  assert.equal(badges.at(-1), "Live");
});

it("keeps what is written while the backend is away, and sends it once", async () => {
  await visit(SITE);
  await onHost("systemctl", "stop", "chat-api@*");
  try {
    await badge("Reconnecting");
    await say("is anybody home?");
    await page.screenshot(picture("reconnecting"));
    await badge("Offline");
    await page.screenshot(picture("offline"));
  } finally {
    await onHost("systemctl", "start", "--all", "chat-api@*");
  }
  await bubble("assistant", "A good question").waitFor();
  await badge("Live");

  assert.deepEqual((await kept()).length, 2);
});

it("goes on over HTTP where WebSockets are blocked, and comes back to them", async () => {
  const middlebox = await new Middlebox().listen();
  try {
    await visit(middlebox.address);
    middlebox.block();
    await badge("HTTP fallback");
    await say("hello");
    await bubble("assistant", "Hello!").waitFor();
    assert.deepEqual(posts, ["hello"]);
    await page.screenshot(picture("fallback"));

    middlebox.unblock();
    await page.getByRole("button", { name: "Try now" }).click();
    await badge("Live");
    assert.equal(await page.locator("#notice").isVisible(), false);
    assert.deepEqual(badges.filter((text, i) => text !== badges[i - 1]), ["Live", "Reconnecting", "HTTP fallback", "Live"]);
  } finally {
    middlebox.close();
  }
});

for (const [name, options] of [
  ["phone", { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true }],
  ["dark", { colorScheme: "dark" }],
]) {
  it(`fits (${name})`, async () => {
    await visit(SITE, options);
    await say("hello");
    await say("awordthatismuchtoolongforanarrowscreen".repeat(4));
    await bubble("assistant", "You said:").waitFor();
    await page.screenshot(picture(name));

    const over = await page.evaluate(() => {
      const { documentElement: whole } = document;
      const conversation = document.getElementById("conversation");
      return [whole.scrollWidth - innerWidth, whole.scrollHeight - innerHeight, conversation.scrollWidth - conversation.clientWidth];
    });
    assert.deepEqual(over, [0, 0, 0]);
    const field = await page.getByLabel("Message").boundingBox();
    assert.ok(field.y + field.height <= page.viewportSize().height, "the field is in sight");
  });
}
