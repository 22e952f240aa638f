// Asks /v1/compare and shows each model's answer as it streams. Texts become text nodes alone, never markup.

const MAX_ARMS = 16; // as the endpoint's
const KEY = "ray_ft.key";
const $ = (id) => document.getElementById(id);

let running = null; // AbortController of the question that is being answered
let turns = []; // the conversation before it: {role, content, by}

// --- asking the endpoint ---------------------------------------------------------------------------------------------

/** What went wrong, in one line for people. */
class Trouble extends Error {
  constructor(message, status = 0, retryAfter = 0) {
    super(message);
    Object.assign(this, { status, retryAfter });
  }
}

/** The response, or Trouble. Paths are relative: an endpoint may stand below a prefix. */
async function request(path, body, signal) {
  const headers = { accept: "application/json" };
  const key = sessionStorage.getItem(KEY);
  if (key) headers.authorization = `Bearer ${key}`;
  if (body) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("The endpoint cannot be reached. Is it still running, and is the network up?");
  }
  if (!response.ok) throw await troubleOf(response);
  return response;
}

async function troubleOf(response) {
  const { status } = response;
  const told = await response.json().then((body) => body.error.message, () => `status ${status}`);
  const retryAfter = Number(response.headers.get("retry-after")) || 0;
  const again = retryAfter && !/try again/.test(told) ? `; try again in ${retryAfter} s` : "";
  if (status === 401) {
    const hadKey = sessionStorage.getItem(KEY) !== null;
    sessionStorage.removeItem(KEY);
    return new Trouble(hadKey ? "This key is not one of the endpoint's." : "", status);
  }
  const kind = { 403: "Not allowed: ", 429: "Too much is being asked: ", 503: "Not ready: " }[status] ?? "";
  return new Trouble(`${kind}${told}${again}`, status, retryAfter);
}

/** Events of a stream, until its end; Trouble where it breaks off before. */
async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let unread = "";
  while (true) {
    const { done, value } = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      return { done: true };
    });
    if (done) throw new Trouble("The connection broke off before the answer was complete.");
    const parts = (unread + value).split(/\r?\n\r?\n/);
    unread = parts.pop();
    for (const part of parts) {
      if (!part.startsWith("data: ")) continue; // a comment that keeps the connection open
      const data = part.slice(6);
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

// --- models and the key ----------------------------------------------------------------------------------------------

async function loadModels() {
  show($("models-trouble"), "");
  $("reload").hidden = true;
  try {
    const body = await (await request("v1/models")).json();
    showModels(body.data);
    showRetrieval(body.ray_ft?.retrieval);
    $("key-form").hidden = true;
    $("forget-key").hidden = sessionStorage.getItem(KEY) === null;
  } catch (trouble) {
    if (trouble.status === 401) return wantKey(trouble);
    $("choices").replaceChildren();
    show($("models-trouble"), trouble.message);
    $("reload").hidden = false;
    if (trouble.status === 503) setTimeout(loadModels, 1000 * (trouble.retryAfter || 5));
  }
}

/** The base, adapters, and below them the versions that other words name. */
function showModels(models) {
  const [base, ...adapters] = models;
  $("served").textContent = `${base.id}, ${adapters.length} adapter${adapters.length === 1 ? "" : "s"}`;
  const chosen = chosenModels();
  const first = chosen.length ? chosen : models.slice(0, 3).map((model) => model.id);
  const rows = models.map((model) => choice(model.id, first, model === base ? "the base" : model.ray_ft.version));
  const others = adapters.flatMap(({ id, ray_ft: { aliases = [], versions = [], version } }) => [
    ...aliases.filter((alias) => alias !== "latest").map((alias) => `${id}@${alias}`),
    ...versions.filter((other) => other !== version).map((other) => `${id}@${other}`),
  ]);
  if (others.length) {
    const more = element("details", {}, element("summary", {}, "Versions"), ...others.map((id) => choice(id, first)));
    more.open = others.some((id) => first.includes(id));
    rows.push(more);
  }
  $("choices").replaceChildren(...rows);
}

function choice(id, chosen, note) {
  const box = element("input", { type: "checkbox", id: `model ${id}`, value: id, checked: chosen.includes(id) });
  const label = element("label", { htmlFor: box.id }, id);
  if (note) label.append(" ", element("span", { className: "muted" }, note));
  return element("div", { className: "choice" }, box, label);
}

const chosenModels = () => [...$("choices").querySelectorAll("input:checked")].map((box) => box.value);

function showRetrieval(retrieval) {
  $("retrieval").hidden = !retrieval;
  if (retrieval) $("num-passages").value ||= retrieval.k;
}

function wantKey(trouble) {
  $("key-form").hidden = false;
  $("forget-key").hidden = true;
  $("choices").replaceChildren(element("p", { className: "muted" }, "They are shown to those who have a key."));
  show($("key-trouble"), trouble.message);
  $("key").focus();
}

// --- a question and its answers --------------------------------------------------------------------------------------

/** One model's answer on the page, and what is known of it. */
class Answer {
  constructor(model) {
    this.model = model;
    this.id = ""; // of the reply; what is rated
    this.tokens = 0;
    this.asked = performance.now();
    this.view = $("answer").content.cloneNode(true).firstElementChild;
    this.view.setAttribute("aria-busy", "true");
    this.view.setAttribute("aria-label", `Answer of ${model}`);
    this.find("h3").textContent = model;
    this.text = this.find(".text").appendChild(document.createTextNode(""));
    show(this.find(".figures"), "waiting …");
  }

  find(selector) {
    return this.view.querySelector(selector);
  }

  get isBusy() {
    return this.view.getAttribute("aria-busy") === "true";
  }

  take(chunk) {
    if (chunk.error) return this.end(`${this.first ? "Broke off" : "Not answered"}: ${chunk.error.message}`);
    this.tokens = chunk.completion_tokens ?? this.tokens;
    if (chunk.ray_ft && !this.id) this.open(chunk);
    const [choice] = chunk.choices ?? [];
    if (choice?.delta.content) {
      this.first ??= { at: performance.now(), tokens: this.tokens };
      this.text.appendData(choice.delta.content);
    }
    if (choice?.finish_reason) this.finish = choice.finish_reason;
    if (chunk.object === "comparison.arm") {
      this.tokens = chunk.usage.completion_tokens;
      return this.end("");
    }
    this.showFigures();
  }

  open(chunk) {
    this.id = chunk.id;
    const { version, step, sources } = chunk.ray_ft;
    const step_ = step == null ? "" : `, step ${step}`;
    this.find("h3").append(" ", element("span", { className: "muted" }, `${version}${step_}`));
    if (!sources) return;
    const found = sources.length === 1 ? "1 source" : `${sources.length || "no"} sources`;
    this.find(".sources summary").textContent = `Answered with ${found}`;
    this.find(".sources ol").append(...sources.map(sourceRow));
    this.find(".sources").hidden = false;
  }

  showFigures() {
    if (!this.first) return show(this.find(".figures"), "waiting …");
    const seconds = (performance.now() - this.first.at) / 1000;
    const later = this.tokens - this.first.tokens; // the first came with what was read before it
    const parts = [`first token ${((this.first.at - this.asked) / 1000).toFixed(2)} s`];
    if (later > 0 && seconds > 0.05) parts.push(`${(later / seconds).toFixed(1)} tokens/s`);
    parts.push(`${this.tokens} token${this.tokens === 1 ? "" : "s"}`);
    if (this.finish === "length") parts.push("cut off at the limit");
    show(this.find(".figures"), parts.join(" · "));
  }

  /** Nothing more comes; an answer without trouble can be rated. */
  end(trouble) {
    if (!this.isBusy) return;
    this.view.setAttribute("aria-busy", "false");
    if (trouble && !this.first) show(this.find(".figures"), "");
    else this.showFigures();
    if (!trouble && !this.text.length) show(this.find(".text"), "(an empty answer)");
    show(this.find(".trouble"), trouble);
    this.isWhole = !trouble;
    show($("status"), `${this.model}: ${trouble || `answered in ${this.tokens} tokens`}`);
  }
}

function sourceRow({ document: name, heading, text, score }) {
  const about = [heading, score == null ? "" : `score ${score.toFixed(1)}`].filter(Boolean).join(" · ");
  const quoted = element("blockquote", { tabIndex: 0 }, text);
  return element("li", {}, element("strong", {}, name), " ", element("span", { className: "muted" }, about), quoted);
}

async function ask() {
  const question = $("question").value;
  const models = chosenModels();
  if (running) return;
  if (!question.trim()) return complain("Write a question first.", $("question"));
  if (!models.length) return complain("Pick at least one model.", $("choices").querySelector("input") ?? $("key"));
  if (models.length > MAX_ARMS) return complain(`Pick at most ${MAX_ARMS} models.`);
  const wrong = [...$("settings").querySelectorAll("input")].find((input) => !input.checkValidity());
  if (wrong) {
    $("settings").open = true;
    return complain(`${wrong.labels[0]?.textContent ?? wrong.ariaLabel}: ${wrong.validationMessage}`, wrong);
  }
  const body = bodyOf(question, models);
  const answers = models.map((model) => new Answer(model));
  begin();
  let isAccepted = false;
  let trouble = null;
  try {
    const response = await request("v1/compare", body, running.signal);
    isAccepted = true;
    showAnswers(answers, body);
    for await (const chunk of eventsOf(response)) answers.find((answer) => answer.model === chunk.arm)?.take(chunk);
  } catch (error) {
    trouble = error;
  }
  running = null;
  $("send").disabled = false;
  if (document.activeElement === $("stop")) $("question").focus();
  $("stop").disabled = true;
  const left = trouble?.name === "AbortError" ? "Stopped." : trouble?.message;
  if (isAccepted) finish(answers, question, left ?? "The model ended without an answer.");
  else if (trouble.status === 401) wantKey(new Trouble(left || "The endpoint wants a key now."));
  else complain(left); // earlier answers stay
}

function bodyOf(question, models) {
  const system = $("system").value.trim();
  const number = (id) => ($(id).value === "" ? undefined : Number($(id).value));
  const body = {
    models,
    messages: [
      ...(system ? [{ role: "system", content: system }] : []),
      ...turns.map(({ role, content }) => ({ role, content })),
      { role: "user", content: question },
    ],
    temperature: number("temperature"),
    max_tokens: number("max-tokens"),
    seed: number("seed") ?? Math.floor(Math.random() * 2 ** 31),
    stream: true,
  };
  if (!$("retrieval").hidden && $("retrieve").checked) body.retrieval = { k: number("num-passages") };
  return body;
}

function begin() {
  running = new AbortController();
  show($("trouble"), "");
  show($("status"), "Asking");
  $("stop").disabled = false;
  if (document.activeElement === $("send")) $("stop").focus();
  $("send").disabled = true;
}

function showAnswers(answers, { seed, temperature = 0 }) {
  show($("asked"), `temperature ${temperature}, seed ${seed}`);
  $("answers").replaceChildren(...answers.map((answer) => answer.view));
  $("answers-section").hidden = false;
}

function finish(answers, question, left) {
  for (const answer of answers) answer.end(left);
  const whole = answers.filter((answer) => answer.isWhole);
  for (const answer of whole) offerRating(answer, whole, question);
}

function complain(message, field) {
  show($("trouble"), message);
  field?.focus();
}

// --- rating, and going on --------------------------------------------------------------------------------------------

function offerRating(answer, whole, question) {
  const button = (name) => answer.find(`.${name}`);
  const comment = answer.find(".rating textarea");
  let score = null;
  answer.find(".rating").hidden = false;
  answer.find(".rating").setAttribute("aria-label", `Rate the answer of ${answer.model}`);
  comment.setAttribute("aria-label", `Comment on the answer of ${answer.model}`);

  /** Send what is said of this answer; `pressed` are the buttons that then are. */
  async function rate(all, thanks, pressed) {
    const place = answer.find(".rated");
    show(place, "Saving …", "muted");
    try {
      for (const fields of all) await request("v1/feedback", { id: answer.id, ...fields });
      pressed();
      show(place, thanks, "muted");
    } catch (trouble) {
      show(place, `Not saved. ${trouble.message || "The endpoint wants a key now."}`, "trouble");
      if (trouble.status === 401) wantKey(trouble);
    }
  }

  for (const [name, value] of [["good", 1], ["bad", -1]]) {
    button(name).onclick = () =>
      rate([{ score: value }], `Saved as ${name}.`, () => {
        score = value;
        for (const each of ["good", "bad"]) press(button(each), each === name);
      });
  }
  const others = whole.filter((other) => other !== answer);
  button("best").hidden = !others.length;
  button("best").onclick = () =>
    rate(others.map((other) => ({ preferred_over: other.id })), "Saved as the best.", () => {
      for (const each of whole) press(each.find(".best"), each === answer);
    });
  button("save").onclick = () => {
    if (!comment.value.trim()) return comment.focus();
    rate([{ comment: comment.value, ...(score === null ? {} : { score }) }], "Comment saved.", () => {});
  };
  button("go-on").onclick = () => {
    turns.push({ role: "user", content: question }, { role: "assistant", content: answer.text.data, by: answer.model });
    showTurns();
    $("question").value = "";
    $("question").focus();
  };
}

const press = (button, isPressed) => button.setAttribute("aria-pressed", String(isPressed));

function showTurns() {
  $("conversation").hidden = !turns.length;
  $("turns").replaceChildren(
    ...turns.map(({ role, content, by }) =>
      element("li", {}, element("span", { className: "muted" }, role === "user" ? "You" : by), content)),
  );
  $("answers").replaceChildren();
  $("answers-section").hidden = true;
}

// --- the page --------------------------------------------------------------------------------------------------------

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Texts alone change where they differ, so that a screen reader is told once. */
function show(place, text, kind) {
  if (place.textContent !== text) place.textContent = text;
  if (kind) for (const each of ["muted", "trouble"]) place.classList.toggle(each, each === kind);
}

$("ask").noValidate = true; // `ask` says what is wrong, in one place
$("ask").onsubmit = (event) => {
  event.preventDefault();
  ask();
};
$("stop").onclick = () => running?.abort();
$("new").onclick = () => {
  turns = [];
  showTurns();
  $("question").focus();
};
$("reload").onclick = loadModels;
$("key-form").onsubmit = (event) => {
  event.preventDefault();
  const key = $("key").value.trim();
  if (!/^[\x21-\x7e]+$/.test(key)) return show($("key-trouble"), "A key has no spaces and no letters beyond ASCII.");
  sessionStorage.setItem(KEY, key);
  $("key").value = "";
  loadModels().then(() => $("key-form").hidden && $("question").focus());
};
$("forget-key").onclick = () => {
  sessionStorage.removeItem(KEY);
  loadModels();
};
document.onkeydown = (event) => {
  if (event.key === "Escape") running?.abort();
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || $("key-form").contains(event.target)) return;
  const rating = event.target.closest(".rating");
  if (rating) rating.querySelector(".save").click();
  else ask();
};
loadModels();
