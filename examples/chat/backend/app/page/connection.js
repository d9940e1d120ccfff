// A chat connection: WebSocket first, tried again with exponential back-off, then plain HTTP.

const LONGEST_TRIES = 5;
const FIRST_DELAY = 500;

export class ChatConnection extends EventTarget {
  // Events: "state" with detail {state, attempt}, and "message" with detail {type, …} as the service sends them.
  // state is connecting, connected, reconnecting, http or offline.

  constructor(sessionId, { base = location.origin, tries = LONGEST_TRIES, firstDelay = FIRST_DELAY } = {}) {
    super();
    this.sessionId = sessionId;
    this.base = base;
    this.tries = tries;
    this.firstDelay = firstDelay;
    this.attempt = 0;
    this.unanswered = 0;
    this.state = "connecting";
  }

  open() {
    this.#setState(this.attempt ? "reconnecting" : "connecting");
    const address = `${this.base.replace(/^http/, "ws")}/api/v1/chat/ws/${this.sessionId}`;
    const socket = (this.socket = new WebSocket(address));
    socket.addEventListener("open", () => {
      this.attempt = 0;
      this.#setState("connected");
    });
    socket.addEventListener("message", (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "ping") socket.send(JSON.stringify({ type: "pong" }));
      else {
        if (message.type === "response" || message.type === "error") this.unanswered -= 1;
        this.#tell(message);
      }
    });
    socket.addEventListener("close", () => this.#lost());
  }

  async send(text) {
    if (this.socket?.readyState === WebSocket.OPEN) {
      this.unanswered += 1;
      this.socket.send(JSON.stringify({ type: "message", message: text }));
      return;
    }
    // Not connected right now: HTTP carries the message, so that nothing a person writes is lost.
    this.#tell({ type: "processing" });
    try {
      const answer = await fetch(`${this.base}/api/v1/chat/message`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ session_id: this.sessionId, message: text }),
      });
      if (!answer.ok) throw new Error(`the service answered ${answer.status}`);
      if (this.state === "offline") this.#setState("http");
      this.#tell({ type: "response", response: (await answer.json()).response });
    } catch (error) {
      if (this.state === "http") this.#setState("offline");
      // fetch fails with a TypeError, worded by each browser, when no answer came at all.
      const why = error instanceof TypeError ? "the service can't be reached" : error.message;
      this.#tell({ type: "error", error: `The message was not delivered: ${why}.` });
    }
  }

  #lost() {
    if (this.unanswered > 0) this.#tell({ type: "error", error: "The connection was lost before the answer came." });
    this.unanswered = 0;
    if (this.attempt >= this.tries) {
      this.#setState("http");
      return;
    }
    const delay = this.firstDelay * 2 ** this.attempt;
    this.attempt += 1;
    this.#setState("reconnecting");
    // A little chance in the delay keeps a thousand browsers from coming back in the same millisecond.
    setTimeout(() => this.open(), delay * (0.75 + Math.random() / 2));
  }

  #setState(state) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, attempt: this.attempt, tries: this.tries } }));
  }

  #tell(message) {
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }
}
