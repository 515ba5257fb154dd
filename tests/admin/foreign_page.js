// Runs as a page of another origin: tries to read from the admin endpoint, and to change something.
"use strict";

// Longer than any answer takes on a busy machine, and shorter than the browser is waited for.
const PATIENCE = 20000;

async function attempt(name, action) {
  const late = new Promise((resolve) => setTimeout(() => resolve("nothing yet"), PATIENCE));
  let outcome = "failed";
  try {
    outcome = "got " + (await Promise.race([action(), late]));
  } catch (error) {
    // A browser does not tell a page why.
  }
  const item = document.createElement("li");
  item.textContent = name + ": " + outcome;
  document.getElementById("results").append(item);
}

// What a fetch has brought: the text, or only that there was an answer.
async function fetched(url, options) {
  const answer = await fetch(url, options);
  return answer.type === "opaque" ? "an opaque answer" : answer.status + " " + (await answer.text());
}

// Loads an element, and says whether it could be loaded.
function loaded(kind, url) {
  return new Promise((resolve, reject) => {
    const element = document.createElement(kind);
    element.onload = () => resolve("an element");
    element.onerror = reject;
    element.src = url;
    document.body.append(element);
  });
}

function streamed(url) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(url);
    source.onopen = () => resolve("a stream");
    source.onerror = reject;
  });
}

// What cannot be judged from here, and must change nothing: the log of the daemon shows it.
function send_blindly(base) {
  navigator.sendBeacon(base + "/drain");
  const frame = document.createElement("iframe");
  frame.name = "target" + base;
  document.body.append(frame);
  const form = document.createElement("form");
  form.method = "POST";
  form.action = base + "/drain";
  form.target = frame.name;
  document.body.append(form);
  form.submit();
  const shown = document.createElement("iframe");
  shown.src = base + "/connections";
  document.body.append(shown);
}

async function run() {
  await attempt("own page", () => fetched("/own"));
  for (const base of BASES) {
    const with_token = { Authorization: "Bearer " + TOKEN };
    const post = (path, options) => () => fetched(base + path, { method: "POST", ...options });
    await attempt("read", () => fetched(base + "/connections"));
    await attempt("read blindly", () => fetched(base + "/connections", { mode: "no-cors" }));
    await attempt("read with the token", () =>
      fetched(base + "/connections", { headers: with_token }));
    await attempt("events", () => fetched(base + "/events"));
    await attempt("events blindly", () => fetched(base + "/events", { mode: "no-cors" }));
    await attempt("event source", () => streamed(base + "/events"));
    await attempt("drain", post("/drain"));
    await attempt("drain blindly", post("/drain", { mode: "no-cors" }));
    await attempt("drain with the token", post("/drain", { headers: with_token }));
    await attempt("level blindly", post("/log/level", { mode: "no-cors", body: '{"level":"off"}' }));
    await attempt("close with the token", () =>
      fetched(base + "/connections/1", { method: "DELETE", headers: with_token }));
    await attempt("image", () => loaded("img", base + "/connections"));
    await attempt("image of metrics", () => loaded("img", base + "/metrics"));
    await attempt("script", () => loaded("script", base + "/connections"));
    send_blindly(base);
  }
  await fetch("/done");
}

run();
