// The page: shows what the chat service says, and hands it what a person writes.

import { ChatError, ChatService, type Message, type State } from "./chat-service.ts";

const BADGE: Record<State, string> = {
  connecting: "Connecting",
  open: "Live",
  reconnecting: "Reconnecting",
  fallback: "HTTP fallback",
  offline: "Offline",
  closed: "Closed",
};

const NOTICE: Partial<Record<State, string>> = {
  reconnecting: "The live connection was lost and is being made again. Messages go over HTTP meanwhile.",
  fallback: "WebSocket doesn't get through. Messages go over HTTP, and the live connection is tried again now and then.",
  offline: "The chat can't be reached. What you write is sent as soon as it can.",
};

const badge = element("badge");
const notice = element("notice");
const conversation = element("conversation");
const messages = element("messages");
const form = element<HTMLFormElement>("form");
const input = element<HTMLTextAreaElement>("input");

const service = new ChatService({
  base: location.origin,
  sessionId: sessionId(),
  onState: showState,
  onMessage: ({ role, content }) => append(role, content),
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (!text) return;
  form.reset();
  grow();
  input.focus();
  void ask(text);
});

input.addEventListener("keydown", (event) => {
  // Enter sends, Shift+Enter begins a line; while an input method composes, Enter is its own.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
input.addEventListener("input", grow);

for (const button of element("suggestions").querySelectorAll("button")) {
  button.addEventListener("click", () => {
    input.focus();
    void ask(button.textContent ?? "");
  });
}

element("retry").addEventListener("click", () => service.retry());
window.addEventListener("online", () => service.retry());
void service.start();

function showState(state: State): void {
  const text = NOTICE[state];
  badge.dataset.state = state;
  conversation.dataset.state = state;
  badge.textContent = BADGE[state];
  notice.hidden = text === undefined;
  element("notice-text").textContent = text ?? "";
}

async function ask(text: string): Promise<void> {
  const question = append("user", text);
  const answer = append("assistant", "");
  answer.classList.add("waiting");
  try {
    answer.append(await service.send(text));
  } catch (error) {
    answer.remove();
    failed(question, text, error);
    return;
  } finally {
    answer.classList.remove("waiting");
  }
  scrollToEnd();
}

/** Says under a message that it was not answered; it may be sent again, unless it was refused. */
function failed(question: HTMLElement, text: string, error: unknown): void {
  const remark = document.createElement("p");
  remark.className = "remark";
  remark.append(error instanceof Error ? error.message : String(error));
  if (error instanceof ChatError && !error.refused) {
    const again = document.createElement("button");
    again.type = "button";
    again.textContent = "Send again";
    again.addEventListener("click", () => {
      question.remove();
      void ask(text);
    });
    remark.append(" ", again);
  }
  question.append(remark);
  scrollToEnd();
}

function append(role: Message["role"], text: string): HTMLElement {
  const bubble = document.createElement("li");
  bubble.className = role;
  bubble.append(spoken(role), text);
  messages.append(bubble);
  element("empty").hidden = true;
  scrollToEnd();
  return bubble;
}

/** Sides and colours tell who speaks; a screen reader needs it in words. */
function spoken(role: Message["role"]): HTMLElement {
  const name = document.createElement("span");
  name.className = "visually-hidden";
  name.textContent = role === "user" ? "You: " : "Chat: ";
  return name;
}

function scrollToEnd(): void {
  conversation.scrollTop = conversation.scrollHeight;
}

/** The field is as high as what is in it; how high at most, the style says. */
function grow(): void {
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight + input.offsetHeight - input.clientHeight}px`;
}

function sessionId(): string {
  // The conversation lives as long as the tab. Not randomUUID: browsers have that over HTTPS alone.
  let id = sessionStorage.getItem("session");
  if (id === null) {
    id = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    sessionStorage.setItem("session", id);
  }
  return id;
}

function element<Kind extends HTMLElement = HTMLElement>(id: string): Kind {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as Kind;
}
