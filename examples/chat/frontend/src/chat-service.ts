// The chat's connection: WebSocket while it can, HTTP while it can't, and back.
//
//   connecting ─► open ◄─► reconnecting ─► fallback ◄─► offline
//        └───────────────────▲               └─────────────┴─► open
//
// WebSockets are tried again for ever, with growing pauses. After `triesBeforeFallback` failures in a row HTTP stands in
// (`fallback`; `offline` while it does not answer either), and the history is polled for what came meanwhile.
//
// Messages wait in an outbox until they are answered. When a connection is lost under one, nobody knows whether it had
// arrived; the history knows, and is asked before it is sent again. So nothing is lost, and nothing is said twice.

export type State = "connecting" | "open" | "reconnecting" | "fallback" | "offline" | "closed";

export interface Message {
  id: number;
  role: "user" | "assistant";
  content: string;
}

/** A message will get no answer. `refused`: the service does not want it, so to send it again is of no use. */
export class ChatError extends Error {
  readonly refused: boolean;

  constructor(text: string, refused: boolean) {
    super(text);
    this.name = "ChatError";
    this.refused = refused;
  }
}

/** Times are in milliseconds. */
export interface Policy {
  /** The pause before the second try; each is twice the one before, up to `longestDelay`. */
  firstDelay: number;
  longestDelay: number;
  triesBeforeFallback: number;
  /** How long a WebSocket may take until the service greets. */
  openTimeout: number;
  /** How long an open one may be silent before it is taken for dead. The service pings every 30 s. */
  silence: number;
  /** The pause between two looks at the history while HTTP stands in. */
  pollEvery: number;
  requestTimeout: number;
  /** How often a message is sent, or looked for in the history, before it is given up. */
  sendTries: number;
}

export const POLICY: Policy = {
  firstDelay: 500,
  longestDelay: 30_000,
  triesBeforeFallback: 4,
  openTimeout: 5_000,
  silence: 75_000,
  pollEvery: 3_000,
  requestTimeout: 10_000,
  sendTries: 3,
};

/** A WebSocket, as far as it is used here. */
export interface Socket {
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
  send(text: string): void;
  close(): void;
}

/** What of the browser is used, so that tests can take its place. */
export interface Browser {
  socket(address: string): Socket;
  fetch(address: string, options: RequestInit): Promise<Response>;
  /** Runs `action` after some milliseconds; what it gives takes that back. */
  after(milliseconds: number, action: () => void): () => void;
  random(): number;
}

export const BROWSER: Browser = {
  socket: (address) => new WebSocket(address) as Socket,
  fetch: (address, options) => fetch(address, options),
  after(milliseconds, action) {
    const timer = setTimeout(action, milliseconds);
    return () => clearTimeout(timer);
  },
  random: Math.random,
};

export interface Options {
  /** Where the service is, such as https://chat.example.com. */
  base: string;
  sessionId: string;
  /** `failures`: WebSockets that have failed in a row. */
  onState: (state: State, failures: number) => void;
  /** A message that was not sent here: it is from before, or from another tab. */
  onMessage: (message: Message) => void;
  policy?: Partial<Policy>;
  browser?: Browser;
}

interface Outgoing {
  text: string;
  resolve: (answer: string) => void;
  reject: (error: ChatError) => void;
  /** waiting: to be sent; flying: on the open WebSocket; unsure: lost sight of, the history must tell. */
  status: "waiting" | "flying" | "unsure";
  tries: number;
}

const NOTHING = () => {};

export class ChatService {
  readonly #options: Options;
  readonly #policy: Policy;
  readonly #browser: Browser;
  readonly #address: string;
  #state: State = "closed";
  #failures = 0;
  #socket: Socket | null = null;
  #outbox: Outgoing[] = [];
  /** The largest number of the history that is known here. */
  #seen = 0;
  /** Requests take turns: a look at the history would else show a message that is on its way as another's. */
  #turn: Promise<unknown> = Promise.resolve();
  #cancelRetry = NOTHING;
  #cancelPoll = NOTHING;
  #cancelWatch = NOTHING;

  constructor(options: Options) {
    this.#options = options;
    this.#policy = { ...POLICY, ...options.policy };
    this.#browser = options.browser ?? BROWSER;
    this.#address = `${options.base}/api/v1/chat`;
  }

  get state(): State {
    return this.#state;
  }

  /** Reads what was said before, and connects. */
  async start(): Promise<void> {
    this.#setState("connecting");
    await this.#catchUp();
    if (this.#state === "connecting") this.#connect();
  }

  /** Sends a message the way that works, now or as soon as one does. Gives the answer, or throws a ChatError. */
  send(text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#outbox.push({ text, resolve, reject, status: "waiting", tries: 0 });
      void this.#flush();
    });
  }

  /** Tries a WebSocket at once, for someone who knows that it is worth it: the network is back, a person asks. */
  retry(): void {
    if (this.#socket || this.#state === "closed") return;
    this.#cancelRetry();
    this.#connect();
  }

  /** Ends it for good. */
  close(): void {
    this.#setState("closed");
    this.#cancelRetry();
    this.#cancelPoll();
    this.#drop();
    for (const outgoing of [...this.#outbox]) this.#giveUp(outgoing, "The chat was closed.");
  }

  // The WebSocket

  #connect(): void {
    const socket = this.#browser.socket(`${this.#address.replace(/^http/, "ws")}/ws/${this.#options.sessionId}`);
    this.#socket = socket;
    // What a socket says after it was given up is of no interest.
    socket.onclose = () => socket === this.#socket && this.#lost();
    socket.onmessage = ({ data }) => socket === this.#socket && this.#heard(socket, parse(data));
    this.#watch(this.#policy.openTimeout);
  }

  #heard(socket: Socket, frame: Frame | null): void {
    this.#watch(this.#policy.silence);
    if (frame?.type === "status") this.#greeted();
    else if (frame?.type === "ping") socket.send(JSON.stringify({ type: "pong" }));
    else if (frame?.type === "response") this.#answered(this.#flying(), frame);
    else if (frame?.type === "error") this.#giveUp(this.#flying(), sentence(frame.error), true);
  }

  /** Open is a connection only once the service has spoken: a proxy may open one that leads nowhere. */
  #greeted(): void {
    this.#failures = 0;
    this.#cancelPoll();
    this.#setState("open");
    void this.#resume();
  }

  #watch(milliseconds: number): void {
    this.#cancelWatch();
    this.#cancelWatch = this.#browser.after(milliseconds, () => this.#lost());
  }

  #lost(): void {
    this.#drop();
    const pause = Math.min(this.#policy.firstDelay * 2 ** this.#failures, this.#policy.longestDelay);
    // Chance keeps a thousand browsers from coming back in the same millisecond.
    this.#cancelRetry = this.#browser.after(pause * (0.75 + this.#browser.random() / 2), () => this.#connect());
    this.#failures += 1;
    if (this.#standsIn) void this.#poll();
    else this.#setState("reconnecting");
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#cancelWatch();
    for (const outgoing of this.#outbox) if (outgoing.status === "flying") outgoing.status = "unsure";
    socket?.close();
  }

  // HTTP

  get #standsIn(): boolean {
    return this.#state !== "closed" && this.#failures >= this.#policy.triesBeforeFallback;
  }

  async #poll(): Promise<void> {
    this.#cancelPoll();
    const answered = await this.#resume();
    if (!this.#standsIn) return;
    this.#setState(answered ? "fallback" : "offline");
    this.#cancelPoll();
    this.#cancelPoll = this.#browser.after(this.#policy.pollEvery, () => void this.#poll());
  }

  /** Picks up where contact was lost; false when there still is none over HTTP. */
  async #resume(): Promise<boolean> {
    const caughtUp = await this.#catchUp();
    await this.#flush();
    if (this.#state === "open" && this.#outbox.some(({ status }) => status === "unsure")) {
      this.#cancelPoll();
      this.#cancelPoll = this.#browser.after(this.#policy.pollEvery, () => void this.#resume());
    }
    return caughtUp;
  }

  /** Brings in what the history has beyond what is known, and settles what was lost sight of. */
  #catchUp(): Promise<boolean> {
    return this.#inTurn(async () => {
      try {
        const path = `/history/${this.#options.sessionId}?after=${this.#seen}`;
        const { messages } = await this.#request<{ messages: Message[] }>(path);
        this.#settle(messages);
        return true;
      } catch {
        return false;
      }
    });
  }

  #settle(messages: Message[]): void {
    for (const [index, message] of messages.entries()) {
      // An answer that was taken together with its question.
      if (message.id <= this.#seen) continue;
      const own = message.role === "user" && this.#outbox.find((o) => o.status === "unsure" && o.text === message.content);
      const answer = messages[index + 1];
      if (own && answer?.role === "assistant") this.#answered(own, { response: answer.content, id: answer.id });
      else if (own && own.tries < this.#policy.sendTries) {
        // It has arrived, its answer is still to come: look again from here.
        own.tries += 1;
        return;
      } else if (own) this.#giveUp(own, "The message was kept, but nobody answered it.", true);
      else this.#options.onMessage(message);
      this.#seen = Math.max(this.#seen, message.id);
    }
    // The history does not know them: they never arrived.
    for (const outgoing of this.#outbox) if (outgoing.status === "unsure") outgoing.status = "waiting";
  }

  /** Sends what waits, in its order; what is unsure holds up what came after it. */
  #flush(): Promise<void> {
    return this.#inTurn(async () => {
      for (const outgoing of [...this.#outbox]) {
        if (outgoing.status === "unsure") return;
        if (outgoing.status === "flying") continue;
        if (outgoing.tries >= this.#policy.sendTries) {
          this.#giveUp(outgoing, "The service can't be reached.");
          continue;
        }
        outgoing.tries += 1;
        if (this.#state === "open") {
          outgoing.status = "flying";
          this.#socket?.send(JSON.stringify({ type: "message", message: outgoing.text }));
        } else if (!(await this.#post(outgoing))) return;
      }
    });
  }

  /** Sends a message over HTTP; false when there was no answer, for now. */
  async #post(outgoing: Outgoing): Promise<boolean> {
    try {
      const body = JSON.stringify({ session_id: this.#options.sessionId, message: outgoing.text });
      const headers = { "Content-Type": "application/json" };
      this.#answered(outgoing, await this.#request<Answer>("/message", { method: "POST", headers, body }));
      return true;
    } catch (error) {
      if (error instanceof ChatError && error.refused) {
        this.#giveUp(outgoing, error.message, true);
        return true;
      }
      outgoing.status = "unsure";
      if (this.#state === "fallback") this.#setState("offline");
      return false;
    }
  }

  async #request<Body>(path: string, options: RequestInit = {}): Promise<Body> {
    const stop = new AbortController();
    const cancel = this.#browser.after(this.#policy.requestTimeout, () => stop.abort());
    try {
      const url = this.#address + path;
      const response = await this.#browser.fetch(url, { ...options, cache: "no-store", signal: stop.signal });
      // 4xx is about the message, but for 429 (too many, for now); the rest is about the service, and passes.
      const refused = response.status < 500 && response.status !== 429;
      if (!response.ok) throw new ChatError(`The service answered ${response.status}.`, refused);
      return (await response.json()) as Body;
    } finally {
      cancel();
    }
  }

  #inTurn<Result>(action: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(action);
    this.#turn = result.catch(NOTHING);
    return result;
  }

  // The outbox

  /** The service answers a connection's messages in their order. */
  #flying(): Outgoing | undefined {
    return this.#outbox.find(({ status }) => status === "flying");
  }

  #answered(outgoing: Outgoing | undefined, { response, id }: Answer): void {
    this.#seen = Math.max(this.#seen, id);
    this.#remove(outgoing);
    outgoing?.resolve(response);
  }

  #giveUp(outgoing: Outgoing | undefined, why: string, refused = false): void {
    this.#remove(outgoing);
    outgoing?.reject(new ChatError(why, refused));
  }

  #remove(outgoing: Outgoing | undefined): void {
    this.#outbox = this.#outbox.filter((other) => other !== outgoing);
  }

  #setState(state: State): void {
    if (state === this.#state && state !== "reconnecting") return;
    this.#state = state;
    this.#options.onState(state, this.#failures);
  }
}

interface Answer {
  response: string;
  id: number;
}

type Frame = { type: "status" | "ping" | "pong" | "processing" } | ({ type: "response" } & Answer) | { type: "error"; error: string };

function parse(data: unknown): Frame | null {
  try {
    return JSON.parse(String(data)) as Frame;
  } catch {
    return null;
  }
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
