import assert from "node:assert/strict";
import { beforeEach, describe, it as test } from "node:test";
import { ChatError, POLICY } from "../src/chat-service.ts";
import { settled, World } from "./world.ts";

// What never comes is a failure, not a test that hangs.
const it = (name: string, body: () => Promise<void>) => test(name, { timeout: 30_000 }, body);

let world: World;

beforeEach(() => {
  world = new World();
});

describe("connecting", () => {
  it("shows what was said before, then opens a WebSocket at the session's address", async () => {
    world.reply("hello");
    const service = world.service();
    await service.start();

    assert.deepEqual(world.messages, ["user: hello", "assistant: re: hello"]);
    assert.equal(world.last.address, "wss://chat.example.com/api/v1/chat/ws/s");
    assert.deepEqual(world.states, ["connecting"]);
  });

  it("is open once the service has greeted", async () => {
    const service = world.service();
    await service.start();
    assert.equal(service.state, "connecting");
    await world.last.greet();

    assert.deepEqual(world.states, ["connecting", "open"]);
  });

  it("gives a connection up that opens but leads nowhere", async () => {
    await world.service().start();
    await world.pass(POLICY.openTimeout);

    assert.deepEqual(world.states, ["connecting", "reconnecting 1"]);
    assert.equal(world.last.closed, true);
  });

  it("connects without its history when that cannot be read", async () => {
    world.http = 503;
    await world.open();

    assert.deepEqual(world.states, ["connecting", "open"]);
  });
});

describe("an open connection", () => {
  it("carries messages and gives the answers in their order", async () => {
    const service = await world.open();
    const answers = [service.send("one"), service.send("two")];
    await settled();
    assert.deepEqual(world.last.sent, [
      { type: "message", message: "one" },
      { type: "message", message: "two" },
    ]);
    for (const text of ["one", "two"]) {
      await world.last.say({ type: "processing" });
      await world.last.say({ type: "response", response: `re: ${text}`, id: world.reply(text) });
    }

    assert.deepEqual(await Promise.all(answers), ["re: one", "re: two"]);
    assert.deepEqual(world.posted, []);
  });

  it("hands on why a message is refused, and lives on", async () => {
    const service = await world.open();
    const answer = service.send("x");
    await settled();
    void world.last.say({ type: "error", error: "message is text of 1 to 2000 characters" });

    await assert.rejects(answer, new ChatError("Message is text of 1 to 2000 characters.", true));
    assert.equal(service.state, "open");
  });

  it("answers pings", async () => {
    await world.open();
    await world.last.say({ type: "ping" });

    assert.deepEqual(world.last.sent, [{ type: "pong" }]);
  });

  it("does not mind what is no frame", async () => {
    const service = await world.open();
    for (const data of ["no json", "null", "[]", '{"type": "news"}']) world.last.onmessage?.({ data });

    assert.equal(service.state, "open");
  });

  it("is taken for dead after a long silence, which each word ends", async () => {
    await world.open();
    await world.pass(POLICY.silence - 1);
    await world.last.say({ type: "ping" });
    await world.pass(POLICY.silence - 1);
    assert.equal(world.states.at(-1), "open");
    await world.pass(1);

    assert.equal(world.states.at(-1), "reconnecting 1");
  });
});

describe("reconnecting", () => {
  it("pauses twice as long after each failure, up to a limit", async () => {
    await world.open({ triesBeforeFallback: 99, firstDelay: 1_000, longestDelay: 5_000 });
    const pauses = [];
    for (let failure = 0; failure < 5; failure += 1) {
      await world.last.break();
      pauses.push(await world.nextTry());
    }

    assert.deepEqual(pauses, [1_000, 2_000, 4_000, 5_000, 5_000]);
  });

  for (const [chance, pause] of [
    [0, 750],
    [1, 1_250],
  ] as const) {
    it(`spreads the pauses: with chance ${chance}, 1000 ms become ${pause}`, async () => {
      world.chance = chance;
      await world.open({ firstDelay: 1_000 });
      await world.last.break();

      assert.equal(await world.nextTry(), pause);
    });
  }

  it("begins anew once a connection was open", async () => {
    await world.open();
    for (let failure = 0; failure < 2; failure += 1) {
      await world.last.break();
      await world.nextTry();
    }
    await world.last.greet();
    await world.last.break();

    assert.deepEqual(world.states.slice(2), ["reconnecting 1", "reconnecting 2", "open", "reconnecting 1"]);
  });

  it("is at once when someone asks, and only once", async () => {
    const service = await world.open();
    service.retry();
    assert.equal(world.sockets.length, 1);
    await world.last.break();
    service.retry();
    service.retry();
    await world.last.greet();
    await world.pass(POLICY.firstDelay * 2);

    assert.equal(world.sockets.length, 2);
    assert.equal(service.state, "open");
  });

  it("brings what came meanwhile, each message once", async () => {
    await world.open();
    await world.last.break();
    world.reply("from another tab");
    await world.nextTry();
    await world.last.greet();

    assert.deepEqual(world.messages, ["user: from another tab", "assistant: re: from another tab"]);
    await world.last.break();
    await world.nextTry();
    await world.last.greet();
    assert.equal(world.messages.length, 2);
    assert.match(world.asked.at(-1)!, /after=2$/);
  });

  it("sends over HTTP meanwhile", async () => {
    const service = await world.open();
    await world.last.break();

    assert.equal(await service.send("now"), "re: now");
    assert.deepEqual(world.posted, ["now"]);
    assert.equal(service.state, "reconnecting");
  });

  it("pays no attention to the connection that was given up", async () => {
    const service = await world.open();
    const former = world.last;
    await former.break();
    await world.nextTry();
    await former.break();
    await former.greet();

    assert.deepEqual(world.states.slice(2), ["reconnecting 1"]);
    assert.equal(service.state, "reconnecting");
  });
});

describe("a message whose connection is lost", () => {
  it("gets its answer from the history, when it had arrived", async () => {
    const service = await world.open();
    const answer = service.send("hello");
    await settled();
    world.reply("hello");
    await world.last.break();
    await world.nextTry();
    await world.last.greet();

    assert.equal(await answer, "re: hello");
    assert.deepEqual(world.last.sent, []);
    assert.deepEqual(world.messages, []);
  });

  it("is sent again, when it had not", async () => {
    const service = await world.open();
    const answer = service.send("hello");
    await settled();
    await world.last.break();
    await world.nextTry();
    await world.last.greet();
    assert.deepEqual(world.last.sent, [{ type: "message", message: "hello" }]);
    await world.last.say({ type: "response", response: "re: hello", id: world.reply("hello") });

    assert.equal(await answer, "re: hello");
  });

  it("is waited for, when its answer is still to come", async () => {
    const service = await world.open();
    const answer = service.send("hello");
    await settled();
    world.keep("user", "hello");
    await world.last.break();
    await world.nextTry();
    await world.last.greet();
    world.keep("assistant", "at last");
    await world.pass(POLICY.pollEvery);

    assert.equal(await answer, "at last");
    assert.deepEqual(world.last.sent, []);
  });

  it("is given up when it was kept and no answer comes", async () => {
    const service = await world.open();
    const answer = assert.rejects(service.send("hello"), /nobody answered/);
    await settled();
    world.keep("user", "hello");
    await world.last.break();
    await world.nextTry();
    await world.last.greet();
    for (let look = 0; look < POLICY.sendTries; look += 1) await world.pass(POLICY.pollEvery);

    await answer;
  });

  it("is told from the same words of another tab", async () => {
    const service = await world.open();
    void service.send("first");
    await settled();
    await world.last.break();
    void service.send("same");
    world.reply("same");
    await world.nextTry();
    await world.last.greet();

    assert.deepEqual(world.messages, ["user: same", "assistant: re: same"]);
    assert.deepEqual(
      world.last.sent.map(({ message }) => message),
      ["first", "same"],
    );
  });

  it("does not take what another tab said next for its answer", async () => {
    const service = await world.open();
    const answer = assert.rejects(service.send("hello"), /nobody answered/);
    await settled();
    world.keep("user", "hello");
    world.reply("from another tab");
    await world.last.break();
    await world.nextTry();
    await world.last.greet();
    await world.pass(POLICY.pollEvery * POLICY.sendTries);

    await answer;
    assert.deepEqual(world.messages, ["user: from another tab", "assistant: re: from another tab"]);
  });

  it("goes before those that were written after it", async () => {
    const service = await world.open();
    const answers = [service.send("first")];
    await settled();
    await world.last.break();
    answers.push(service.send("second"));
    await settled();
    assert.deepEqual(world.posted, []);
    await world.nextTry();
    await world.last.greet();
    assert.deepEqual(
      world.last.sent.map(({ message }) => message),
      ["first", "second"],
    );
    for (const text of ["first", "second"]) {
      await world.last.say({ type: "response", response: `re: ${text}`, id: world.reply(text) });
    }

    assert.deepEqual(await Promise.all(answers), ["re: first", "re: second"]);
  });

  it("is not said twice when only the answer to its POST was lost", async () => {
    const service = await world.open();
    await world.fallBack();
    world.losesAnswers = 1;
    const answer = service.send("hello");
    await world.pass(POLICY.pollEvery);

    assert.equal(await answer, "re: hello");
    assert.deepEqual(world.posted, ["hello"]);
    assert.deepEqual(world.messages, []);
  });
});

describe("HTTP", () => {
  it("takes turns: a look at the history does not show a message that is on its way", async () => {
    const service = await world.open();
    await world.fallBack();
    let release = () => {};
    world.hold = new Promise((resolve) => (release = resolve));
    const answer = service.send("hello");
    await world.pass(POLICY.pollEvery * 2);
    release();

    assert.equal(await answer, "re: hello");
    await world.pass(POLICY.pollEvery);
    assert.deepEqual(world.messages, []);
  });

  it("is not waited for beyond a limit", async () => {
    world.hold = new Promise(() => {});
    const service = world.service();
    void service.start();
    await settled();
    await world.pass(POLICY.requestTimeout - 1);
    assert.equal(world.sockets.length, 0);
    await world.pass(1);

    assert.equal(world.sockets.length, 1);
  });

  it("answers late, after a connection has opened: it stays open", async () => {
    const service = await world.open();
    await world.fallBack();
    let release = () => {};
    world.hold = new Promise((resolve) => (release = resolve));
    service.retry();
    await world.pass(POLICY.pollEvery);
    await world.last.greet();
    release();
    await settled();

    assert.equal(world.states.at(-1), "open");
  });
});

describe("falling back to HTTP", () => {
  it("comes after some failures in a row, and not before", async () => {
    await world.open();
    await world.fallBack();

    assert.deepEqual(world.states.slice(2), ["reconnecting 1", "reconnecting 2", "reconnecting 3", "fallback"]);
  });

  it("carries messages, and brings those of others", async () => {
    const service = await world.open();
    await world.fallBack();
    assert.equal(await service.send("over HTTP"), "re: over HTTP");
    world.reply("from another tab");
    await world.pass(POLICY.pollEvery);

    assert.deepEqual(world.posted, ["over HTTP"]);
    assert.equal(world.states.filter((state) => state === "fallback").length, 1, "what stays is not told again");
    assert.deepEqual(world.messages, ["user: from another tab", "assistant: re: from another tab"]);
  });

  it("goes on trying, and returns to WebSocket", async () => {
    const service = await world.open();
    await world.fallBack();
    await world.nextTry();
    await world.last.greet();
    assert.equal(service.state, "open");
    world.reply("later");
    await world.pass(POLICY.pollEvery * 3);

    assert.deepEqual(world.messages, [], "an open connection is not polled beside");
  });

  it("is offline while HTTP does not answer either, and sends what was written once it does", async () => {
    const service = await world.open();
    world.http = null;
    await world.fallBack();
    assert.equal(service.state, "offline");
    const answer = service.send("hello");
    await world.pass(POLICY.pollEvery);
    world.http = 200;
    await world.pass(POLICY.pollEvery);

    assert.equal(await answer, "re: hello");
    assert.equal(service.state, "fallback");
    assert.deepEqual(world.posted, ["hello"]);
  });

  for (const status of [429, 503]) {
    it(`sends again what was answered with ${status}`, async () => {
      const service = await world.open();
      await world.fallBack();
      world.http = status;
      const answer = service.send("hello");
      await settled();
      world.http = 200;
      await world.pass(POLICY.pollEvery);

      assert.equal(await answer, "re: hello");
    });
  }

  it("sends nothing before what was lost, and is offline at once", async () => {
    const service = await world.open();
    await world.fallBack();
    world.losesPosts = 1;
    const answers = [service.send("one"), service.send("two")];
    await settled();
    assert.equal(service.state, "offline");
    assert.deepEqual(world.posted, []);
    await world.pass(POLICY.pollEvery);

    assert.deepEqual(await Promise.all(answers), ["re: one", "re: two"]);
    assert.deepEqual(world.posted, ["one", "two"]);
  });

  it("gives a message up that gets lost again and again", async () => {
    const service = await world.open();
    await world.fallBack();
    world.losesPosts = Infinity;
    const answer = assert.rejects(service.send("hello"), new ChatError("The service can't be reached.", false));
    await world.pass(POLICY.pollEvery * POLICY.sendTries);

    await answer;
  });

  it("does not send again what is refused", async () => {
    const service = await world.open();
    await world.fallBack();
    world.http = 422;

    await assert.rejects(service.send("x"), new ChatError("The service answered 422.", true));
  });
});

it("tries no more when it is closed in between", async () => {
  const service = await world.open();
  await world.last.break();
  service.close();
  await world.pass(POLICY.longestDelay);

  assert.equal(world.sockets.length, 1);
});

it("ends for good when it is closed", async () => {
  const service = await world.open();
  const answer = assert.rejects(service.send("hello"), /closed/);
  await settled();
  service.close();
  await answer;
  service.retry();
  await world.pass(POLICY.silence);

  assert.equal(world.sockets.length, 1);
  assert.equal(world.last.closed, true);
  assert.deepEqual(world.states.slice(2), ["closed"]);
});
