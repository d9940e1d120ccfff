// A chat service and a browser without a network and without a clock: both do what a test tells them to.

import { ChatService, type Browser, type Message, type Policy, type Socket, type State } from "../src/chat-service.ts";

export const SESSION = "s";

class FakeSocket implements Socket {
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  readonly sent: { type: string; message?: string }[] = [];
  closed = false;

  constructor(readonly address: string) {}

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.closed = true;
  }

  say(frame: object): Promise<void> {
    this.onmessage?.({ data: JSON.stringify(frame) });
    return settled();
  }

  greet(): Promise<void> {
    return this.say({ type: "status", status: "connected" });
  }

  break(): Promise<void> {
    this.onclose?.();
    return settled();
  }
}

/** Everything that can happen without time passing has happened. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export class World implements Browser {
  readonly sockets: FakeSocket[] = [];
  readonly states: string[] = [];
  readonly messages: string[] = [];
  readonly posted: string[] = [];
  /** What the service keeps. */
  readonly history: Message[] = [];
  /** The status with which it answers HTTP; null when it does not answer. */
  http: number | null = 200;
  /** Messages that do not arrive, and answers that do not come back. */
  losesPosts = 0;
  losesAnswers = 0;
  /** What each answer of HTTP waits for. */
  hold: Promise<void> = Promise.resolve();
  /** The addresses asked for. */
  readonly asked: string[] = [];
  chance = 0.5;
  now = 0;
  #timers: { at: number; action: () => void }[] = [];

  service(policy: Partial<Policy> = {}): ChatService {
    return new ChatService({
      base: "https://chat.example.com",
      sessionId: SESSION,
      onState: (state: State, failures: number) => this.states.push(state === "reconnecting" ? `${state} ${failures}` : state),
      onMessage: ({ role, content }) => this.messages.push(`${role}: ${content}`),
      policy,
      browser: this,
    });
  }

  /** A service whose first connection is open. */
  async open(policy: Partial<Policy> = {}): Promise<ChatService> {
    const service = this.service(policy);
    await service.start();
    await this.last.greet();
    return service;
  }

  /** The newest one. */
  get last(): FakeSocket {
    return this.sockets.at(-1)!;
  }

  keep(role: Message["role"], content: string): number {
    this.history.push({ id: this.history.length + 1, role, content });
    return this.history.length;
  }

  /** What the service does with a message; gives the answer's number. */
  reply(text: string): number {
    this.keep("user", text);
    return this.keep("assistant", `re: ${text}`);
  }

  /** Lets time pass, timer by timer. */
  async pass(milliseconds: number): Promise<void> {
    const until = this.now + milliseconds;
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.now = next.at;
      next.action();
      await settled();
    }
    this.now = until;
  }

  /** Time passes until the next connection is tried; gives how much. */
  async nextTry(): Promise<number> {
    const begin = this.now;
    const tried = this.sockets.length;
    while (this.sockets.length === tried) await this.pass(1);
    return this.now - begin;
  }

  /** Connections fail until HTTP stands in. */
  async fallBack(): Promise<void> {
    await this.last.break();
    while (this.states.at(-1)!.startsWith("reconnecting")) {
      await this.nextTry();
      await this.last.break();
    }
  }

  // The browser

  socket(address: string): FakeSocket {
    const socket = new FakeSocket(address);
    this.sockets.push(socket);
    return socket;
  }

  after(milliseconds: number, action: () => void): () => void {
    const timer = { at: this.now + milliseconds, action };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  random(): number {
    return this.chance;
  }

  async fetch(address: string, options: RequestInit): Promise<Response> {
    const url = new URL(address);
    this.asked.push(url.pathname + url.search);
    const answer = this.#serve(url, options);
    const aborted = new Promise<never>((_, reject) => {
      options.signal?.addEventListener("abort", () => reject(options.signal?.reason));
    });
    await Promise.race([this.hold, aborted]);
    return answer();
  }

  /** What is asked for is done at once; what it gives may be long in coming. */
  #serve(url: URL, { method, body }: RequestInit): () => Response {
    const lost = () => {
      throw new TypeError("no answer");
    };
    const { http } = this;
    if (http === null) return lost;
    if (http !== 200) return () => new Response("", { status: http });
    if (method !== "POST") {
      const after = Number(url.searchParams.get("after"));
      const messages = this.history.filter(({ id }) => id > after);
      return () => Response.json({ messages });
    }
    if (this.losesPosts-- > 0) return lost;
    const { message } = JSON.parse(String(body));
    this.posted.push(message);
    const id = this.reply(message);
    if (this.losesAnswers-- > 0) return lost;
    return () => Response.json({ session_id: SESSION, response: `re: ${message}`, id });
  }
}
