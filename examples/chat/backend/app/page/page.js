import { ChatConnection } from "./connection.js";

const messages = document.querySelector("#messages");
const badge = document.querySelector("#badge");
const form = document.querySelector("#form");
const input = document.querySelector("#input");

const TEXTS = {
  connecting: () => "connecting",
  connected: () => "connected",
  reconnecting: ({ attempt, tries }) => `reconnecting ${attempt}/${tries}`,
  http: () => "HTTP fallback",
  offline: () => "offline",
};

const SPEAKERS = { user: "You: ", assistant: "Chat: ", error: "", note: "" };

const connection = new ChatConnection(sessionId());
connection.addEventListener("state", ({ detail }) => {
  const fellBack = detail.state === "http" && badge.dataset.state === "reconnecting";
  badge.dataset.state = detail.state;
  badge.textContent = TEXTS[detail.state](detail);
  if (fellBack) show("note", "The live connection is gone. Messages now go over HTTP.");
});
connection.addEventListener("message", ({ detail }) => {
  if (detail.type === "processing") waiting(true);
  if (detail.type === "response") show("assistant", detail.response);
  if (detail.type === "error") show("error", detail.error);
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (!text) return;
  show("user", text);
  connection.send(text);
  form.reset();
  input.focus();
});

function show(role, text) {
  waiting(false);
  document.querySelector("#empty")?.remove();
  const bubble = document.createElement("p");
  bubble.className = `bubble ${role}`;
  bubble.append(speaker(role), text);
  messages.append(bubble);
  bubble.scrollIntoView({ block: "end" });
}

function speaker(role) {
  // Sides and colours tell who speaks; a screen reader needs it in words.
  const name = document.createElement("span");
  name.className = "visually-hidden";
  name.textContent = SPEAKERS[role];
  return name;
}

function waiting(is) {
  document.querySelector("#waiting")?.remove();
  if (!is) return;
  const dots = document.createElement("p");
  dots.id = "waiting";
  dots.className = "bubble assistant waiting";
  dots.textContent = "…";
  messages.append(dots);
}

function sessionId() {
  // The conversation lives as long as the tab.
  let id = sessionStorage.getItem("session");
  if (!id) {
    id = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    sessionStorage.setItem("session", id);
  }
  return id;
}

async function restore() {
  const answer = await fetch(`/api/v1/chat/history/${connection.sessionId}`).catch(() => null);
  if (answer?.ok) for (const { role, content } of (await answer.json()).messages) show(role, content);
}

restore().then(() => connection.open());
